/* front: a client's connection where HTTP is spoken: its link, the codec on it, and the exchange
 * that is on its way. Owns what stays the same for all of its requests. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proxy/net/traffic.h"

/* front_open takes over the accepted socket `fd`, also on failure, for the listener at `place` in
 * `s`. False: out of memory, the seat stays the caller's. */
bool front_open(struct traffic *t, struct snapshot *s, uint32_t place, int fd,
		const struct client_arrival *arrival);
