/* pending: who waits until a server of a pool may have another connection: for each pool in the
 * order in which they came, so many at most, and each for so long. One per worker, across reloads;
 * other workers have queues of their own, so what they let go of is looked for now and then, and
 * who lets go of something leaves them a chance. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "proxy/net/wheel.h"

struct pending;
struct traffic;

/* Who waits; lives in the waiter's object, zero at first. */
struct pending_wait {
	TAILQ_ENTRY(pending_wait) entry;
	struct pending *in; /* NULL: does not wait */
	struct timer timer;
	int64_t until_ns; /* 0: it has not waited yet */
	uint32_t pool;
	/* From the loop, after it waits no more: try again, and pending_join if that fails as
	 * before. */
	void (*ready)(struct pending_wait *w);
	void (*late)(struct pending_wait *w); /* its time is over */
};

/* pending_new makes empty queues. `t`, which has its loop already, outlives it. NULL: out of
 * memory.
 */
struct pending *pending_new(struct traffic *t);

/* pending_free drops them; nobody waits any more. NULL is fine. */
void pending_free(struct pending *p);

/* What the log says of who is not let wait, and of whose time is over. */
#define PENDING_FULL \
	"every server of the pool has connections.max, and connections.max_pending wait"
#define PENDING_LATE "no server had room within connections.pending_timeout"

/* pending_join lets `w`, with `ready` and `late` set, wait for the pool with slot `pool`, behind
 * the others, for `for_ns`. Who has waited before waits on, before all others, for what is left of
 * its time. False: `most` wait there already. */
bool pending_join(struct pending *p, uint32_t pool, unsigned most, int64_t for_ns,
		  struct pending_wait *w);

/* pending_leave lets `w` wait no longer; one that does not is fine. */
void pending_leave(struct pending_wait *w);

/* pending_has tells whether somebody waits here for the pool: then who comes new waits behind. */
bool pending_has(const struct pending *p, uint32_t pool);

/* pending_elsewhere tells whether somebody waits for the pool in another worker. */
bool pending_elsewhere(const struct pending *p, uint32_t pool);

/* pending_look lets who waits try again before the turn of the loop is over: a connection of this
 * worker has nothing to do. */
void pending_look(struct pending *p);

/* pending_freed does so where a connection is gone, unless others wait elsewhere: then all of them
 * try again soon, and nobody first. */
void pending_freed(struct pending *p);
