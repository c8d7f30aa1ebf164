/* dial: connecting to a server of a pool, with what is counted and logged of it: for relays and
 * for HTTP alike. Keeps nothing itself. One thread. */
#pragma once

#include <stdint.h>

#include "proxy/net/link.h"
#include "proxy/net/traffic.h"
#include "proxy/observe/cause.h"
#include "proxy/pool/pool.h"

/* dial starts a connection to `to`, which counts as active until dial_left or dial_failed. NULL:
 * out of memory or descriptors, which was counted. */
struct link *dial(struct traffic *t, const struct pool_choice *to, const struct link_events *ev,
		  void *owner);

/* dial_opened counts a connection that was begun at `began_ns` (loop_clock_ns) and is open now, as
 * `link`; returns how long that took, in ns. */
int64_t dial_opened(struct traffic *t, uint32_t server_slot, const struct link *link,
		    int64_t began_ns);

/* dial_addresses fills in where `to` leads; `at` is borrowed with it. */
void dial_addresses(const struct addresses_choice *at, struct link_target *to);

/* dial_reason returns words for people of why `link` did not come to be; "" where the cause says it
 * all. Borrowed from the link. */
const char *dial_reason(const struct link *link, enum link_end why);

/* dial_cause names the end of a connection that did not come to be. */
enum cause dial_cause(enum link_end why);

/* dial_failed counts and logs a connection to `server` of the pool called `pool` that did not come
 * to be, as `link` and `why` tell, and returns the cause. */
enum cause dial_failed(struct traffic *t, const char *pool, const struct plan_server *server,
		       const struct link *link, enum link_end why);

/* dial_left takes an open connection out of the count, as it is about to be closed. */
void dial_left(struct traffic *t, uint32_t server_slot);
