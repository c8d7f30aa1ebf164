/* balance: which server of a pool is next. One file a policy; each keeps what it needs in an
 * object of its own, one per pool and worker. Knows numbers and weights, no servers. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct balance;

/* What a policy may ask of the pool. */
struct balance_view {
	const void *pool;
	/* Requests that are on their way to server `i`, of all workers. */
	uint64_t (*load)(const void *pool, size_t i);
};

struct balance_policy {
	/* Takes `num` weights (1 or more each); `start` tells workers apart, so that they do not
	 * go in step. NULL: out of memory. */
	struct balance *(*make)(const unsigned *weights, size_t num, unsigned start);
	/* Drops it. NULL is fine. */
	void (*drop)(struct balance *b);
	/* Returns the number of the server to try first. */
	size_t (*pick)(struct balance *b, const struct balance_view *view);
};

/* Servers in turn, each as often as its weight says, evenly mixed. */
extern const struct balance_policy balance_round_robin;

/* Of two taken at random, the one with fewer requests on their way for its weight. */
extern const struct balance_policy balance_least_requests;
