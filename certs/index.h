/* index: every certificate as one flat, position-independent table: chains in DER, stored once
 * each, and for each set (a TLS listener) a hash table from names to certificates. A loader
 * builds it, every process maps it read-only; opening it costs the same for 10 certificates and
 * for 100,000. Holds nothing secret. Any thread: it never changes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/compat.h"
#include "conf/span.h"

enum { INDEX_NONE = 0xffffffffu }; /* no such certificate */

/* What a key can sign. Order is preference among certificates of one name. */
enum index_key_type {
	INDEX_KEY_ECDSA_P256,
	INDEX_KEY_ECDSA_P384,
	INDEX_KEY_ECDSA_P521,
	INDEX_KEY_ED25519,
	INDEX_KEY_RSA,
	INDEX_KEY_TYPES
};

/* index_key_type_name returns "ECDSA P-256" and so on; never NULL. */
const char *index_key_type_name(enum index_key_type type);

/* One certificate as it is added. */
struct index_certificate {
	const struct span *chain; /* DER, leaf first */
	size_t chain_len;
	enum index_key_type type;
	uint32_t key_bits;
	uint32_t key;			   /* number of its key in the key table of the same load */
	int64_t not_before_s, not_after_s; /* Unix seconds */
	struct span file;		   /* where it came from, for messages */
};

struct index_builder;

/* index_builder_new starts an empty table with `num_sets` sets. NULL: out of memory. */
struct index_builder *index_builder_new(uint32_t num_sets);

/* index_builder_free frees it. NULL is fine. */
void index_builder_free(struct index_builder *b);

/* index_builder_add copies a certificate in; `*number` is its number from 0. Chain elements seen
 * before are stored once. False: out of memory, or over 4 GiB in all. */
bool index_builder_add(struct index_builder *b, const struct index_certificate *c,
		       uint32_t *number);

/* index_builder_name lets certificate `number` answer for `name` in `set`. `name` is in lower
 * case, "*.example.com" for a wildcard. Of several certificates of one type and name the one
 * added first wins. False: out of memory, or the name is longer than 253 bytes. */
bool index_builder_name(struct index_builder *b, uint32_t set, struct span name, uint32_t number);

/* index_builder_default adds `number` to the defaults of `set`: one for each key type, the first
 * wins. False: out of memory. */
bool index_builder_default(struct index_builder *b, uint32_t set, uint32_t number);

/* index_builder_finish lays the table out in `*bytes` (free with free()) of `*len` bytes.
 * False: out of memory. */
bool index_builder_finish(const struct index_builder *b, void **bytes, size_t *len);

struct index;

/* index_open checks the head of `bytes` and returns a reader that borrows them; NULL: not such a
 * table, or out of memory. All offsets are checked at each use, so a damaged table gives
 * INDEX_NONE and empty spans, never a read outside. */
struct index *index_open(struct span bytes);

/* index_close frees the reader and its CRYPTO_BUFFERs; the bytes stay. NULL is fine. */
void index_close(struct index *i);

/* index_count returns the number of certificates. */
uint32_t index_count(const struct index *i);

/* index_find fills `found`, by key type, with the certificates that answer for host `name` in
 * `set`: exact name, else wildcard of its first label; INDEX_NONE where there is none of a type.
 * Letter case does not matter, one trailing dot is ignored. False: none at all. */
bool index_find(const struct index *i, uint32_t set, struct span name,
		uint32_t found[INDEX_KEY_TYPES]);

/* index_defaults fills `found` with the defaults of `set`. False: none at all. */
bool index_defaults(const struct index *i, uint32_t set, uint32_t found[INDEX_KEY_TYPES]);

/* What is known of a certificate, borrowed from the table. */
struct index_entry {
	enum index_key_type type;
	uint32_t key_bits;
	uint32_t key;
	uint32_t chain_len;
	int64_t not_before_s, not_after_s;
	struct span file;
};

/* index_entry reads certificate `number`. False: no such one. */
bool index_entry(const struct index *i, uint32_t number, struct index_entry *out);

/* index_chain fills `out` (room for `max`) with DER spans of the chain of `number`, leaf first;
 * returns how many, 0 where there is none or `max` is too small. */
size_t index_chain(const struct index *i, uint32_t number, struct span *out, size_t max);

/* index_buffers is index_chain as the library wants it: CRYPTO_BUFFERs over the table's own bytes,
 * made at their first use and kept; they belong to `i`. 0 also where memory was short. */
size_t index_buffers(struct index *i, uint32_t number, CRYPTO_BUFFER **out, size_t max);
