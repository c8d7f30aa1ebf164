/* keys: the one way to a private-key operation: message in, signature out, by key id, always
 * asynchronous. Either the calling process holds the keys and signs when keys_run is called, or the
 * keeper does, a process of its own at the other end of a keeper_area. One per worker, on its
 * thread. Never sees a socket. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/span.h"

enum {
	KEYS_MAX_SIGNATURE = 1024,   /* bytes: RSA up to 8192 bits */
	KEYS_MAX_MESSAGE = 64 << 10, /* less by the keeper: KEY_MESSAGE_MAX */
	KEYS_MAX_WAITING = 16 << 10, /* jobs */
	KEYS_SHED_PAST = 512,	     /* waiting jobs */
};

/* From a signature to the end of its handshake: the client has to answer. */
#define KEYS_TO_FINISH_NS INT64_C(500000000)

/* What a key is there for, as bits: what it may sign. */
enum key_role { KEY_ROLE_SERVER = 1, KEY_ROLE_CLIENT = 2 };

struct keys;
struct keys_job;
struct keeper_area;

/* A key: the load it came with and its number in that load's table. Never used again for
 * another. */
struct key_id {
	uint32_t load;
	uint32_t number;
};

/* What the asker is told, from within keys_run: the signature (bytes live for this call only),
 * or an empty span where the key is gone, does not fit the algorithm or failed. */
typedef void keys_answer(void *owner, struct span signature);

/* keys_new returns a signer without keys, for the calling process. NULL: out of memory. */
struct keys *keys_new(void);

/* keys_free drops all keys and waiting jobs, without answers. NULL is fine. */
void keys_free(struct keys *k);

/* keys_adopt makes the keys of `table` (made by key_table_write) usable as load `load`. Borrows
 * the bytes until keys_retire. False: not such a table, the load is known already, or memory. */
bool keys_adopt(struct keys *k, uint32_t load, struct span table);

/* keys_retire drops the keys of `load` and wipes what was parsed; jobs that wait for them are
 * answered empty at the next keys_run. An unknown load is fine. */
void keys_retire(struct keys *k, uint32_t load);

/* keys_use_keeper asks the keeper from here on, through a fresh `area` (borrowed until the next
 * call, or keys_free). What an earlier keeper has not answered is asked again. `wake` is called,
 * from within keys_run, when the keeper may sleep. */
void keys_use_keeper(struct keys *k, struct keeper_area *area, void (*wake)(void *arg), void *arg);

/* keys_sign queues a signature of `message` (copied) by TLS signature algorithm `algorithm`
 * (SSL_SIGN_*, RFC 8446 4.2.3). NULL: message too long, KEYS_MAX_WAITING jobs wait, or out of
 * memory; else the job, valid until answered or cancelled. `answer` is never called from within
 * keys_sign. */
struct keys_job *keys_sign(struct keys *k, struct key_id key, uint16_t algorithm,
			   struct span message, keys_answer *answer, void *owner);

/* keys_is_dear tells whether a signature by `algorithm` (SSL_SIGN_*) takes some ten times as long
 * as others: by RSA. */
bool keys_is_dear(uint16_t algorithm);

/* keys_set_deadline says when the asker gives up, on the clock of keys_shed. Without one a job
 * waits as long as it takes. */
void keys_set_deadline(struct keys_job *job, int64_t deadline_ns);

/* keys_shed answers, empty and the oldest first, jobs that can no longer be of use: whose deadline
 * is nearer than KEYS_TO_FINISH_NS, while more than KEYS_SHED_PAST wait. Returns how many that
 * were. */
unsigned keys_shed(struct keys *k, int64_t now_ns);

/* keys_is_shedding tells an answer that it comes from keys_shed. */
bool keys_is_shedding(const struct keys *k);

/* keys_cancel forgets a job that has not been answered; NULL is fine. */
void keys_cancel(struct keys_job *job);

/* keys_waiting returns the number of jobs not yet answered. */
size_t keys_waiting(const struct keys *k);

/* keys_ready tells whether keys_run would find something to do. */
bool keys_ready(const struct keys *k);

/* keys_run works on up to `max` jobs, oldest first, and answers them; or asks the keeper for what
 * it has room for, and passes up to `max` of its answers on. */
void keys_run(struct keys *k, unsigned max);

/* The key table as a load makes it: secret, so it is wiped when freed. */
struct key_table;

/* key_table_new starts an empty one. NULL: out of memory. */
struct key_table *key_table_new(void);

/* key_table_free wipes and frees it. NULL is fine. */
void key_table_free(struct key_table *t);

/* key_table_add copies a private key (PKCS#8 DER) in; equal keys share a number. False: out of
 * memory. */
bool key_table_add(struct key_table *t, struct span pkcs8, uint32_t *number);

/* key_table_allow lets key `number` sign in `role`, besides those that it had; one that has none
 * signs nothing in the keeper. */
void key_table_allow(struct key_table *t, uint32_t number, enum key_role role);

/* key_table_size returns the bytes that key_table_write needs. */
size_t key_table_size(const struct key_table *t);

/* key_table_write lays the table out at `to`, which has key_table_size bytes. */
void key_table_write(const struct key_table *t, void *to);
