#include "certs/keeper_area.h"

#include <string.h>

#include "conf/must.h"

/* Each counter is written by one end only, and on a cache line of its own. */
struct ring {
	_Alignas(64) uint32_t written;
	_Alignas(64) uint32_t read;
};

struct keeper_area {
	struct ring asked;
	struct ring answered;
	struct keeper_request requests[KEEPER_SLOTS];
	struct keeper_answer answers[KEEPER_SLOTS];
};

size_t keeper_area_size(void)
{
	return sizeof(struct keeper_area);
}

void keeper_end_init(struct keeper_end *e, struct keeper_area *area)
{
	*e = (struct keeper_end){ .area = area };
}

static bool has_room(const struct ring *r, uint32_t written)
{
	/* A peer that lies about what it has read makes room it does not have, and is told things
	 * twice or never: its own loss. */
	return written - __atomic_load_n(&r->read, __ATOMIC_ACQUIRE) < KEEPER_SLOTS;
}

/* What was written before is there for whoever sees the new count. Returns whether the reader may
 * have gone to sleep: it looks again after it has said what it read. */
static bool publish(struct ring *r, uint32_t before)
{
	__atomic_store_n(&r->written, before + 1, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&r->read, __ATOMIC_SEQ_CST) == before;
}

static bool has_more(const struct ring *r, uint32_t read)
{
	uint32_t there = __atomic_load_n(&r->written, __ATOMIC_SEQ_CST) - read;

	return there != 0 && there <= KEEPER_SLOTS;
}

static void taken(struct ring *r, uint32_t *read)
{
	__atomic_store_n(&r->read, ++*read, __ATOMIC_SEQ_CST);
}

bool keeper_ask(struct keeper_end *e, const struct keeper_request *r, bool *wake)
{
	struct ring *ring = &e->area->asked;
	struct keeper_request *to;

	if (!has_room(ring, e->written))
		return false;
	to = &e->area->requests[e->written % KEEPER_SLOTS];
	memcpy(to, r, offsetof(struct keeper_request, message));
	memcpy(to->message, r->message, r->len < sizeof(r->message) ? r->len : sizeof(r->message));
	*wake = publish(ring, e->written++);
	return true;
}

bool keeper_has_answer(const struct keeper_end *e)
{
	return has_more(&e->area->answered, e->read);
}

bool keeper_answered(struct keeper_end *e, struct keeper_answer *a)
{
	if (!keeper_has_answer(e))
		return false;
	memcpy(a, &e->area->answers[e->read % KEEPER_SLOTS], sizeof(*a));
	taken(&e->area->answered, &e->read);
	if (a->len > sizeof(a->signature) || a->verdict != KEEPER_SIGNED)
		a->len = 0;
	return true;
}

bool keeper_has_request(const struct keeper_end *e)
{
	return has_more(&e->area->asked, e->read);
}

bool keeper_asked(struct keeper_end *e, struct keeper_request *r)
{
	const struct keeper_request *from;

	if (!keeper_has_request(e))
		return false;
	from = &e->area->requests[e->read % KEEPER_SLOTS];
	memcpy(r, from, offsetof(struct keeper_request, message));
	if (r->len > sizeof(r->message))
		r->len = 0;
	memcpy(r->message, from->message, r->len);
	taken(&e->area->asked, &e->read);
	return true;
}

bool keeper_answer(struct keeper_end *e, const struct keeper_answer *a, bool *wake)
{
	struct ring *ring = &e->area->answered;
	struct keeper_answer *to;

	MUST(a->len <= sizeof(a->signature));
	if (!has_room(ring, e->written))
		return false;
	to = &e->area->answers[e->written % KEEPER_SLOTS];
	memcpy(to, a, offsetof(struct keeper_answer, signature));
	memcpy(to->signature, a->signature, a->len);
	*wake = publish(ring, e->written++);
	return true;
}
