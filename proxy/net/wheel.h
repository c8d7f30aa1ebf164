/* wheel: the deadlines of one thread. Setting, moving and cancelling cost the same whatever the
 * number of timers; a deadline is kept to the next tick. Extending one is a single store: the
 * timer is put where it belongs only when its old place comes round. Knows no loop and no clock:
 * the caller says what time it is (monotonic ns). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum {
	WHEEL_SLOTS = 4096,
	WHEEL_TICK_NS = 20 * 1000 * 1000,
	WHEEL_FIRES_PER_TURN = 256, /* a crowd of deadlines is worked off over several turns */
};

struct timer;
LIST_HEAD(timer_list, timer);

/* Lives inside the object it is for. Zero is a valid idle timer once `fire` is set. */
struct timer {
	LIST_ENTRY(timer) entry;
	int64_t deadline_ns;	       /* 0: not set */
	void (*fire)(struct timer *t); /* may set it again, or free the object */
	uint32_t slot_plus_1;	       /* 0: in no slot */
};

struct wheel {
	struct timer_list slots[WHEEL_SLOTS];
	uint64_t occupied[WHEEL_SLOTS / 64];
	struct timer_list due; /* taken from their slots, not yet looked at */
	uint64_t tick;	       /* last one that has been taken; behind while `due` is worked off */
	size_t num;
};

/* wheel_init makes an empty wheel at time `now_ns`. */
void wheel_init(struct wheel *w, int64_t now_ns);

/* wheel_set lets `t` fire at `deadline_ns` (over 0), whether or not it was set before. */
void wheel_set(struct wheel *w, struct timer *t, int64_t deadline_ns);

/* wheel_cancel makes sure that `t` does not fire. Fine where it is not set. */
void wheel_cancel(struct wheel *w, struct timer *t);

/* wheel_run fires what is due, at most WHEEL_FIRES_PER_TURN. True: more is due already. */
bool wheel_run(struct wheel *w, int64_t now_ns);

/* wheel_next returns when wheel_run should be called next, in monotonic ns; INT64_MAX: no timer
 * is set. May be earlier than the first deadline, never more than a tick later. */
int64_t wheel_next(const struct wheel *w);
