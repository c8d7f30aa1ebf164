/* ticket_ring: the session ticket keys as the supervisor makes them: the newest and those before
 * it. In memory only, and wiped. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "certs/tickets.h"
#include "proxy/process/channel.h"

struct ticket_ring {
	struct ticket_key keys[TICKETS_KEYS]; /* newest first */
	size_t num;
};

/* ticket_ring_rotate puts a new random key first and forgets the oldest; an empty ring (zero
 * bytes) gets its first. False with errno, leaving the ring alone: the kernel gave no random
 * bytes. */
bool ticket_ring_rotate(struct ticket_ring *r);

/* ticket_ring_message fills `m` with a CHANNEL_TICKETS message; wipe it after use. */
void ticket_ring_message(const struct ticket_ring *r, struct channel_message *m);

/* ticket_ring_fini wipes the keys. */
void ticket_ring_fini(struct ticket_ring *r);
