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
 * `s`. False: out of memory, the seat stays the caller's. */
bool relay_open(struct traffic *t, struct snapshot *s, uint32_t place, int fd,
		const struct client_arrival *arrival);
