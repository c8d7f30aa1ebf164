/* slots: numbers that listeners, pools and servers keep across reloads, so that their counters on
 * the board go on. A number is given to another only when every worker has let go of all
 * generations that used it, and of every connection that counts on it. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct slots;

/* slots_new makes a table of `num` free slots. NULL: out of memory. */
struct slots *slots_new(uint32_t num);

/* slots_free frees it. NULL is fine. */
void slots_free(struct slots *s);

/* slots_assign finds the slot of `key` or takes a free one, for generation `generation`, which
 * must be above all that were committed. `*fresh` tells that the slot was not this key's before.
 * False: none is free, or out of memory. */
bool slots_assign(struct slots *s, uint32_t generation, const char *key, uint32_t *slot,
		  bool *fresh);

/* slots_abandon takes back what was assigned for `generation`, which will never be used. */
void slots_abandon(struct slots *s, uint32_t generation);

/* slots_release frees the slots that only generations below `below` used, since no worker uses
 * those any more, unless `busy` says that connections made in them still count on the slot. */
void slots_release(struct slots *s, uint32_t below, bool (*busy)(const void *arg, uint32_t slot),
		   const void *arg);
