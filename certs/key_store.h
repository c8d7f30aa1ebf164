/* key_store: private keys, parsed at their first use, and what is signed with them. For the process
 * that holds keys: the keeper, or a worker that signs for itself. Several threads may sign at a
 * time. Never sees a socket. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/keys.h"
#include "conf/span.h"

struct key_store;

/* key_store_new returns one without keys. NULL: out of memory. */
struct key_store *key_store_new(void);

/* key_store_free drops all keys. NULL is fine. */
void key_store_free(struct key_store *s);

/* key_store_adopt makes the keys of `table` (made by key_table_write) usable as load `load`.
 * Borrows the bytes until key_store_retire. False: not such a table, the load is known already, or
 * memory. */
bool key_store_adopt(struct key_store *s, uint32_t load, struct span table);

/* key_store_retire drops the keys of `load` and wipes what was parsed; a signature that is being
 * made with one of them is finished. An unknown load is fine. */
void key_store_retire(struct key_store *s, uint32_t load);

/* key_store_roles returns what the key may sign (enum key_role, as bits); 0: nothing, or there is
 * no such key. key_store_sign does not ask: whoever signs for others does. */
unsigned key_store_roles(struct key_store *s, struct key_id key);

/* key_store_sign signs `message` by TLS signature algorithm `algorithm` (SSL_SIGN_*) into `out`
 * (KEYS_MAX_SIGNATURE bytes) and returns the signature's length. A signature by RSA or Ed25519 is
 * verified first: one made by a machine that erred would give the key away. 0: there is no such
 * key, it does not fit the algorithm, or it failed. */
size_t key_store_sign(struct key_store *s, struct key_id key, uint16_t algorithm,
		      struct span message, uint8_t *out);
