/* balance: which server of a pool is next. One file a policy; each keeps what it needs in an
 * object of its own, one per worker. Knows numbers, weights and hashes, no servers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct balance;

#define BALANCE_NONE SIZE_MAX /* no server may be chosen */

enum {
	BALANCE_MAX_WEIGHT = 256,
	BALANCE_WHOLE = 256, /* the share of a server that gets all of its weight */
};

/* A server as a policy knows it. */
struct balance_server {
	unsigned weight; /* 1 to BALANCE_MAX_WEIGHT */
	uint64_t id;	 /* hash of its name: the same wherever it stands in the configuration */
};

/* What a policy may ask of the pool, and what it is to know of the request. */
struct balance_view {
	const void *pool;
	/* Whether server `i` may be chosen. NULL: all may. */
	bool (*usable)(const void *pool, size_t i);
	/* Requests that are on their way to server `i`, of all workers. NULL: none. */
	uint64_t (*load)(const void *pool, size_t i);
	/* The same of all servers together, with the one that is asked for. NULL: not known, and
	 * loads are not bounded. */
	uint64_t (*total)(const void *pool);
	/* How much of its weight server `i` gets now, of BALANCE_WHOLE. NULL: all of it. */
	unsigned (*share)(const void *pool, size_t i);
	uint64_t key; /* hash of what the request is told by */
	bool again;   /* a server was tried for this request already: it has had its turn */
};

struct balance_policy {
	/* Takes `num` servers; `start` tells workers apart, so that they do not go in step. NULL:
	 * out of memory. */
	struct balance *(*make)(const struct balance_server *servers, size_t num, unsigned start);
	/* Drops it. NULL is fine. */
	void (*drop)(struct balance *b);
	/* Returns the number of the server to try; BALANCE_NONE where none is usable. One without
	 * any share is returned only where the others are not usable. */
	size_t (*pick)(struct balance *b, const struct balance_view *view);
};

/* Servers in turn, each as often as its weight says, evenly mixed. */
extern const struct balance_policy balance_round_robin;

/* Of two taken at random, the one with fewer requests on their way for its weight. */
extern const struct balance_policy balance_least_requests;

/* At random, each as often as its weight says. */
extern const struct balance_policy balance_random;

/* The same server for the same key, unless that has 1.25 times the load of the average. */
extern const struct balance_policy balance_hash;

/* The first that is usable, whatever its weight. */
extern const struct balance_policy balance_first;
