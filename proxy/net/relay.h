/* relay: TCP mode: a client's link and a server's link joined back to back. Half-closes are passed
 * on each way, a broken stream is never passed on as a complete one. Counts and records the
 * connection when it ends. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proxy/net/traffic.h"

struct relay;

/* relay_open takes over the accepted socket `fd`, also on failure, for the listener at `place` in
 * `s`. `seat` is what the limits counted; the relay gives it back. False: out of memory, the seat
 * stays the caller's. */
bool relay_open(struct traffic *t, struct snapshot *s, uint32_t place, int fd,
		const struct sockaddr *client, const struct limits_seat *seat);

/* relay_retire gives relays of listeners that `t->now` no longer has `within_ns` to end. */
void relay_retire(struct traffic *t, int64_t within_ns);

/* relay_end_all ends every relay now, for `cause`. */
void relay_end_all(struct traffic *t, enum cause cause);
