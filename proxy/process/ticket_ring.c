#include "proxy/process/ticket_ring.h"

#include <string.h>
#include <sys/random.h>

bool ticket_ring_rotate(struct ticket_ring *r)
{
	struct ticket_key fresh;

	/* Up to 256 bytes come whole and without an interruption. */
	if (getrandom(&fresh, sizeof(fresh), 0) != (ssize_t)sizeof(fresh))
		return false;
	memmove(&r->keys[1], &r->keys[0], sizeof(r->keys) - sizeof(r->keys[0]));
	r->keys[0] = fresh;
	if (r->num < TICKETS_KEYS)
		r->num++;
	explicit_bzero(&fresh, sizeof(fresh));
	return true;
}

void ticket_ring_message(const struct ticket_ring *r, struct channel_message *m)
{
	memset(m, 0, sizeof(*m));
	m->type = CHANNEL_TICKETS;
	m->num_keys = (uint32_t)r->num;
	memcpy(m->keys, r->keys, r->num * sizeof(r->keys[0]));
}

void ticket_ring_fini(struct ticket_ring *r)
{
	explicit_bzero(r, sizeof(*r));
}
