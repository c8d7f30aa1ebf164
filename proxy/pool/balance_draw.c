#include "proxy/pool/balance_draw.h"

#include <stdlib.h>

#include "conf/must.h"

/* ---- chance: xorshift64* */

void balance_chance_init(struct balance_chance *c, unsigned start)
{
	c->state = UINT64_C(0x9e3779b97f4a7c15) * ((uint64_t)start + 1);
}

static uint32_t chance(struct balance_chance *c)
{
	uint64_t x = c->state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	c->state = x;
	return (uint32_t)(x * UINT64_C(0x2545f4914f6cdd1d) >> 32);
}

uint32_t balance_chance_below(struct balance_chance *c, uint32_t n)
{
	return (uint32_t)((uint64_t)chance(c) * n >> 32);
}

/* ---- the view */

bool balance_usable(const struct balance_view *view, size_t i)
{
	return view->usable == NULL || view->usable(view->pool, i);
}

unsigned balance_share(const struct balance_view *view, size_t i)
{
	unsigned share;

	if (view->share == NULL)
		return BALANCE_WHOLE;
	share = view->share(view->pool, i);
	return share < BALANCE_WHOLE ? share : BALANCE_WHOLE;
}

uint64_t balance_load(const struct balance_view *view, size_t i)
{
	return view->load == NULL ? 0 : view->load(view->pool, i);
}

/* ---- the urn */

/* Each slip has room for the average weight (all times `num`, so that it is whole): what is short
 * of it is filled up by one that has more. */
static void fill(struct balance_urn *u, uint64_t *left, uint32_t *order)
{
	uint32_t low = 0, high = u->num;

	for (uint32_t i = 0; i < u->num; i++) {
		left[i] = (uint64_t)u->slips[i].weight * u->num;
		if (left[i] < u->total)
			order[low++] = i;
		else
			order[--high] = i;
	}
	/* Below `low` are those that are short, and from `high` on those that are not. */
	while (low > 0 && high < u->num) {
		uint32_t poor = order[--low], rich = order[high];

		u->slips[poor].cut = (uint32_t)left[poor];
		u->slips[poor].other = rich;
		left[rich] -= u->total - left[poor];
		if (left[rich] >= u->total)
			continue;
		high++;
		order[low++] = rich;
	}
}

struct balance_urn *balance_urn_new(const struct balance_server *servers, size_t num,
				    unsigned start)
{
	struct balance_urn *u = calloc(1, sizeof(*u) + num * sizeof(u->slips[0]));
	uint64_t *left = calloc(num, sizeof(*left));
	uint32_t *order = calloc(num, sizeof(*order));

	MUST(num > 0 && num <= UINT32_MAX / BALANCE_MAX_WEIGHT);
	if (u == NULL || left == NULL || order == NULL) {
		free(u);
		u = NULL;
		goto out;
	}
	balance_chance_init(&u->chance, start);
	u->num = (uint32_t)num;
	for (uint32_t i = 0; i < u->num; i++) {
		u->slips[i].weight = servers[i].weight;
		u->slips[i].other = i;
		u->total += servers[i].weight;
	}
	for (uint32_t i = 0; i < u->num; i++)
		u->slips[i].cut = u->total;
	fill(u, left, order);
out:
	free(left);
	free(order);
	return u;
}

struct balance *balance_urn_make(const struct balance_server *servers, size_t num, unsigned start)
{
	return (struct balance *)balance_urn_new(servers, num, start);
}

void balance_urn_drop(struct balance *b)
{
	free(b);
}

struct balance_urn *balance_urn_of(struct balance *b)
{
	return (struct balance_urn *)b;
}

static uint64_t weight_now(const struct balance_urn *u, const struct balance_view *view, uint32_t i,
			   bool shares)
{
	if (!balance_usable(view, i))
		return 0;
	return (uint64_t)u->slips[i].weight * (shares ? balance_share(view, i) : 1);
}

/* Looks at all of them: what is left of `total` tells which. */
static size_t look(struct balance_urn *u, const struct balance_view *view, bool shares)
{
	size_t last = BALANCE_NONE;
	uint64_t total = 0, at;

	for (uint32_t i = 0; i < u->num; i++)
		total += weight_now(u, view, i, shares);
	if (total == 0)
		return BALANCE_NONE;
	at = ((uint64_t)chance(&u->chance) * total) >> 32;
	for (uint32_t i = 0; i < u->num; i++) {
		uint64_t weight = weight_now(u, view, i, shares);

		if (weight > at)
			return i;
		at -= weight;
		if (weight > 0)
			last = i;
	}
	return last;
}

size_t balance_urn_draw(struct balance_urn *u, const struct balance_view *view)
{
	size_t found;

	for (unsigned n = 0; n < BALANCE_DRAWS; n++) {
		uint32_t i = balance_chance_below(&u->chance, u->num);
		unsigned share;

		if (balance_chance_below(&u->chance, u->total) >= u->slips[i].cut)
			i = u->slips[i].other;
		if (!balance_usable(view, i))
			continue;
		share = balance_share(view, i);
		if (share == BALANCE_WHOLE ||
		    balance_chance_below(&u->chance, BALANCE_WHOLE) < share)
			return i;
	}
	found = look(u, view, true);
	return found != BALANCE_NONE ? found : look(u, view, false);
}
