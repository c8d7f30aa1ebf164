/* pool: the servers of one pool as a worker sees them: which is next, whether it has room, how
 * its TLS is spoken. One per worker and snapshot. Opens no socket: who asks connects. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/client.h"
#include "conf/problems.h"
#include "conf/span.h"
#include "proxy/pool/addresses.h"
#include "proxy/pool/retry.h"
#include "proxy/pool/sticky.h"
#include "proxy/process/board.h"
#include "proxy/process/snapshot.h"

struct pool;

/* What a pool borrows; all outlive it. */
struct pool_parts {
	const struct board *board;
	unsigned worker;
	const int64_t *now_ns;	 /* CLOCK_MONOTONIC, kept up to date */
	const struct shun *shun; /* or NULL */
	struct index *index;	 /* of the snapshot, for the certificate that it shows */
	struct keys *keys;
};

/* pool_new makes pool `number` of `s`, which outlives it. NULL: what is wrong was added to `why`,
 * or memory was short. */
struct pool *pool_new(const struct snapshot *s, uint32_t number, const struct pool_parts *parts,
		      struct problems *why);

/* pool_free drops it. NULL is fine. */
void pool_free(struct pool *p);

enum { POOL_MAX_TRIES = 16 }; /* servers that one connection tries at most */

/* The tries of one connection or request. Zero before the first, but for `key` and `wanted`. */
struct pool_tries {
	uint64_t key;	  /* what the balance by hash goes by: a pool_key */
	uint32_t num;	  /* servers given so far that were not full */
	uint32_t servers; /* servers gone through so far */
	uint32_t server;  /* the present one, in the pool */
	uint32_t wanted;  /* the one to try first, plus 1, if it is in use; 0: none */
	uint32_t rest;	  /* past POOL_MAX_TRIES servers: of the others, how many were looked at */
	bool full;	  /* a server has all the connections it may */
	bool desperate;	  /* none that is in use is left: those that are out are asked */
	uint16_t tried[POOL_MAX_TRIES]; /* the first of the servers gone through */
};

/* Where to go. Borrowed from the snapshot, and the addresses until the pool is asked again. */
struct pool_choice {
	const struct plan_server *server;
	struct addresses_choice at; /* one or more */
	struct client_tls *tls;	    /* NULL: plaintext */
	const char *name;	    /* for SNI and verification */
	uint32_t place;		    /* of the server in the pool: for `tls` */
	int64_t connect_timeout_ns;
	/* It has all the connections it may: only one that is there already can be used. */
	bool full;
};

enum pool_verdict { POOL_FOUND, POOL_NO_SERVER, POOL_FULL };

/* pool_key hashes what requests are told by. */
uint64_t pool_key(struct span what);

/* pool_next chooses where to try (next): a server by the pool's balance, among those that are left;
 * backups once there is no other. A server that is full is given once. */
enum pool_verdict pool_next(struct pool *p, struct pool_tries *t, struct pool_choice *out);

/* pool_max_pending returns how many may wait in this worker for a connection. */
unsigned pool_max_pending(const struct pool *p);

/* pool_tries_anew begins again, with the same key and the same preference. */
void pool_tries_anew(struct pool_tries *t);

/* pool_budget returns the pool's budget of retries, in this worker. */
struct retry_budget *pool_budget(struct pool *p);

/* pool_has_address tells whether `address`, of `len` bytes, is one of server `place` of the pool
 * now. */
bool pool_has_address(struct pool *p, uint32_t place, const struct sockaddr_storage *address,
		      socklen_t len);

/* pool_may_move tells whether the addresses of that server come and go. */
bool pool_may_move(const struct pool *p, uint32_t place);

/* pool_sticky returns the tokens of its servers; NULL: clients go to any. */
const struct sticky *pool_sticky(const struct pool *p);

/* pool_snapshot returns the snapshot that it is of. */
const struct snapshot *pool_snapshot(const struct pool *p);

/* pool_conf returns its configuration. */
const struct conf_pool *pool_conf(const struct pool *p);

/* pool_plan returns its place in the plan. */
const struct plan_pool *pool_plan(const struct pool *p);
