#include <stdlib.h>

#include "conf/must.h"
#include "proxy/pool/balance_draw.h"

/* A cycle gives every server as many turns as its weight, at times that are evenly spread over it;
 * those of servers with the same weight lie between each other. Whose time is next is at the top of
 * a heap: what a linear search would choose by, at a cost that hardly grows with their number. */

enum { CYCLE_BITS = 20, CYCLE = 1 << CYCLE_BITS };

struct turn {
	uint64_t at; /* cycles, times CYCLE */
	uint32_t server;
	uint16_t weight;
	uint16_t credit; /* of a share that is not whole, collected over turns */
};

struct balance {
	size_t num;
	uint64_t now;
	struct balance_urn *urn;
	uint32_t *phases; /* when in the cycle a server's first turn is */
	struct turn heap[];
};

/* ---- time */

static uint64_t turn_at(const struct turn *t, uint64_t cycle, uint32_t number)
{
	return (cycle << CYCLE_BITS) + ((number << CYCLE_BITS) + t->weight - 1) / t->weight;
}

/* The first turn of `t` after `now`. */
static uint64_t turn_after(const struct balance *b, const struct turn *t, uint64_t now)
{
	uint32_t phase = b->phases[t->server], number;
	uint64_t cycle;

	if (now < phase)
		return phase;
	now -= phase;
	cycle = now >> CYCLE_BITS;
	number = (uint32_t)((now & (CYCLE - 1)) * t->weight >> CYCLE_BITS) + 1;
	if (number == t->weight)
		return ((cycle + 1) << CYCLE_BITS) + phase;
	return turn_at(t, cycle, number) + phase;
}

/* ---- the heap */

static bool is_before(const struct turn *a, const struct turn *b)
{
	return a->at != b->at ? a->at < b->at : a->server < b->server;
}

static void sink(struct balance *b, size_t i)
{
	const struct turn moved = b->heap[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= b->num)
			break;
		if (child + 1 < b->num)
			child += is_before(&b->heap[child + 1], &b->heap[child]);
		if (is_before(&moved, &b->heap[child]))
			break;
		b->heap[i] = b->heap[child];
		i = child;
	}
	b->heap[i] = moved;
}

/* ---- choosing */

/* Whether it takes its turn: where its share is not whole, it lets some pass, evenly. */
static bool takes_turn(struct turn *t, const struct balance_view *view)
{
	unsigned share;

	if (!balance_usable(view, t->server))
		return false;
	share = balance_share(view, t->server);
	if (share == BALANCE_WHOLE)
		return true;
	t->credit = (uint16_t)(t->credit + share);
	if (t->credit < BALANCE_WHOLE)
		return false;
	t->credit = (uint16_t)(t->credit - BALANCE_WHOLE);
	return true;
}

/* When `t` is next; what it has missed is not made good. */
static uint64_t next_of(const struct balance *b, const struct turn *t)
{
	return t->at < b->now ? turn_after(b, t, b->now) : t->at;
}

/* Looks at all of them for the one whose turn is next. A request that is tried again does not use
 * it up: that would go on as if a server had been in the order twice. */
static size_t look(struct balance *b, const struct balance_view *view)
{
	size_t best = BALANCE_NONE, server;
	uint64_t best_at = 0;

	for (size_t i = 0; i < b->num; i++) {
		struct turn t = b->heap[i];

		if (!balance_usable(view, t.server))
			continue;
		if (balance_share(view, t.server) != BALANCE_WHOLE)
			return balance_urn_draw(b->urn, view);
		t.at = next_of(b, &t);
		if (best != BALANCE_NONE &&
		    (best_at < t.at || (best_at == t.at && b->heap[best].server < t.server)))
			continue;
		best = i;
		best_at = t.at;
	}
	if (best == BALANCE_NONE)
		return BALANCE_NONE;
	server = b->heap[best].server;
	if (!view->again) {
		b->now = best_at;
		b->heap[best].at = turn_after(b, &b->heap[best], b->now);
		sink(b, best);
	}
	return server;
}

static size_t pick(struct balance *b, const struct balance_view *view)
{
	for (unsigned n = 0; !view->again && n < BALANCE_DRAWS; n++) {
		struct turn *top = &b->heap[0];
		size_t server = top->server;
		bool missed = top->at < b->now, takes = !missed && takes_turn(top, view);

		if (!missed)
			b->now = top->at;
		top->at = turn_after(b, top, b->now);
		sink(b, 0);
		if (takes)
			return server;
	}
	return look(b, view);
}

/* ---- making */

static void drop(struct balance *b)
{
	if (b == NULL)
		return;
	free(b->urn);
	free(b->phases);
	free(b);
}

static void set_phases(struct balance *b, const struct balance_server *servers)
{
	uint32_t of_weight[BALANCE_MAX_WEIGHT + 1] = { 0 }, so_far[BALANCE_MAX_WEIGHT + 1] = { 0 };

	for (size_t i = 0; i < b->num; i++)
		of_weight[servers[i].weight]++;
	for (size_t i = 0; i < b->num; i++) {
		unsigned weight = servers[i].weight;
		uint64_t place = ++so_far[weight];

		b->phases[i] =
			(uint32_t)(place * CYCLE / ((uint64_t)(of_weight[weight] + 1) * weight));
	}
}

static const struct balance_view all = { 0 };

static struct balance *make(const struct balance_server *servers, size_t num, unsigned start)
{
	struct balance *b = calloc(1, sizeof(*b) + num * sizeof(b->heap[0]));

	MUST(num > 0 && num <= UINT32_MAX);
	if (b == NULL)
		return NULL;
	b->num = num;
	b->phases = calloc(num, sizeof(*b->phases));
	if (b->phases == NULL || (b->urn = balance_urn_new(servers, num, start)) == NULL) {
		drop(b);
		return NULL;
	}
	set_phases(b, servers);
	for (uint32_t i = 0; i < num; i++) {
		MUST(servers[i].weight > 0 && servers[i].weight <= BALANCE_MAX_WEIGHT);
		b->heap[i] = (struct turn){ .at = b->phases[i],
					    .server = i,
					    .weight = (uint16_t)servers[i].weight };
	}
	for (size_t i = num / 2; i-- > 0;)
		sink(b, i);
	for (unsigned i = 0; i < start % num; i++)
		(void)pick(b, &all);
	return b;
}

const struct balance_policy balance_round_robin = { .make = make, .drop = drop, .pick = pick };
