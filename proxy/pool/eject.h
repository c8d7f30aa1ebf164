/* eject: when a server that fails is taken out of use, for how long, and when it is taken back.
 * Pure; the caller brings what was counted, and the clock. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define EJECT_MAX_NS (INT64_C(300) * 1000000000) /* what the time doubles up to */

struct eject_rule {
	unsigned failures; /* in a row; 0: nothing is ever taken out */
	int64_t for_ns;	   /* the first time */
};

/* What a server has done so far. */
struct eject_counts {
	uint64_t failures, successes;
};

/* One server. Zero before the first look. */
struct eject_server {
	struct eject_counts seen;
	int64_t until_ns; /* 0: it is in use */
	int64_t back_ns;  /* when it was taken back; 0: it never was out */
	unsigned streak;  /* failures since the last success */
	unsigned times;	  /* that it was taken out, without a time of success as long in between */
	bool known;
};

enum eject_change { EJECT_NONE, EJECT_OUT, EJECT_BACK };

/* eject_look looks at what has been counted since the last look, which was not long ago: failures
 * count as in a row where no success came beside them. `room`: another server of the pool may be
 * taken out. */
enum eject_change eject_look(struct eject_server *s, const struct eject_rule *r,
			     const struct eject_counts *now, bool room, int64_t now_ns);

/* eject_has_room tells whether one more than `out` of `num` servers may be out, by a bound in
 * percent. */
bool eject_has_room(unsigned out, unsigned num, unsigned max_percent);
