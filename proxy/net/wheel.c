#include "proxy/net/wheel.h"

#include "conf/must.h"

static uint64_t tick_of(int64_t ns)
{
	return (uint64_t)ns / WHEEL_TICK_NS;
}

void wheel_init(struct wheel *w, int64_t now_ns)
{
	*w = (struct wheel){ .tick = tick_of(now_ns) };
}

/* A timer is due once its tick is over, so that it never fires early. One that lies further ahead
 * than the wheel is large waits in the last slot and is put on from there. */
static void place(struct wheel *w, struct timer *t)
{
	uint64_t tick = tick_of(t->deadline_ns) + 1;
	uint32_t slot;

	if (tick <= w->tick)
		tick = w->tick + 1;
	if (tick >= w->tick + WHEEL_SLOTS)
		tick = w->tick + WHEEL_SLOTS - 1;
	slot = (uint32_t)(tick % WHEEL_SLOTS);
	LIST_INSERT_HEAD(&w->slots[slot], t, entry);
	w->occupied[slot / 64] |= UINT64_C(1) << (slot % 64);
	t->slot_plus_1 = slot + 1;
}

static void take_out(struct wheel *w, struct timer *t)
{
	LIST_REMOVE(t, entry);
	if (t->slot_plus_1 != 0) {
		uint32_t slot = t->slot_plus_1 - 1;

		if (LIST_EMPTY(&w->slots[slot]))
			w->occupied[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
	}
	t->slot_plus_1 = 0;
}

void wheel_set(struct wheel *w, struct timer *t, int64_t deadline_ns)
{
	MUST(deadline_ns > 0);
	if (t->deadline_ns != 0) {
		bool later = deadline_ns >= t->deadline_ns;

		t->deadline_ns = deadline_ns;
		if (later)
			return;
		take_out(w, t);
	} else {
		t->deadline_ns = deadline_ns;
		w->num++;
	}
	place(w, t);
}

void wheel_cancel(struct wheel *w, struct timer *t)
{
	if (t->deadline_ns == 0)
		return;
	take_out(w, t);
	t->deadline_ns = 0;
	w->num--;
}

/* Moves every slot that time has passed to the list of what is due. */
static void collect(struct wheel *w, uint64_t until)
{
	uint64_t steps = until - w->tick;

	if (steps > WHEEL_SLOTS)
		steps = WHEEL_SLOTS;
	for (uint64_t i = 1; i <= steps; i++) {
		uint32_t slot = (uint32_t)((w->tick + i) % WHEEL_SLOTS);
		struct timer *t;

		if ((w->occupied[slot / 64] & (UINT64_C(1) << (slot % 64))) == 0)
			continue;
		while ((t = LIST_FIRST(&w->slots[slot])) != NULL) {
			take_out(w, t);
			LIST_INSERT_HEAD(&w->due, t, entry);
		}
	}
	w->tick = until;
}

bool wheel_run(struct wheel *w, int64_t now_ns)
{
	uint64_t now = tick_of(now_ns);
	struct timer *t;

	/* Those that are due longer come first: a crowd that is not worked off yet is let finish.
	 */
	if (now > w->tick && LIST_EMPTY(&w->due))
		collect(w, now);
	for (int i = 0; i < WHEEL_FIRES_PER_TURN && (t = LIST_FIRST(&w->due)) != NULL; i++) {
		LIST_REMOVE(t, entry);
		if (t->deadline_ns > now_ns) {
			place(w, t);
			continue;
		}
		t->deadline_ns = 0;
		w->num--;
		t->fire(t);
	}
	return !LIST_EMPTY(&w->due) || now > w->tick;
}

int64_t wheel_next(const struct wheel *w)
{
	if (w->num == 0)
		return INT64_MAX;
	if (!LIST_EMPTY(&w->due))
		return (int64_t)(w->tick * WHEEL_TICK_NS);
	for (uint64_t i = 1; i <= WHEEL_SLOTS; i++) {
		uint64_t tick = w->tick + i;
		uint32_t slot = (uint32_t)(tick % WHEEL_SLOTS);
		uint64_t word = w->occupied[slot / 64] >> (slot % 64);

		if (word == 0) {
			i += 63 - slot % 64; /* on to the next word */
			continue;
		}
		tick += (uint64_t)__builtin_ctzll(word);
		return (int64_t)(tick * WHEEL_TICK_NS);
	}
	return INT64_MAX;
}
