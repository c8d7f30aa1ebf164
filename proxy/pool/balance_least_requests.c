#include <stdlib.h>

#include "proxy/pool/balance_draw.h"

struct balance {
	struct balance_urn *urn;
};

/* Another than `one`. Where the draws give nothing else, the next usable one from some place on:
 * it need not be fair, since it is only compared with. */
static size_t another(struct balance_urn *u, const struct balance_view *view, size_t one)
{
	uint32_t from;

	for (unsigned n = 0; n < 2; n++) {
		size_t other = balance_urn_draw(u, view);

		if (other != one)
			return other;
	}
	from = balance_chance_below(&u->chance, u->num);
	for (uint32_t n = 0; n < u->num; n++) {
		size_t i = (from + n) % u->num;

		if (i != one && balance_usable(view, i) && balance_share(view, i) > 0)
			return i;
	}
	return one;
}

static uint64_t weight_of(const struct balance_urn *u, const struct balance_view *view, size_t i)
{
	return (uint64_t)u->slips[i].weight * balance_share(view, i);
}

/* Comparing two that were drawn, rather than all, keeps workers that cannot see each other's last
 * choice from all running to the same server (the power of two choices). */
static size_t pick(struct balance *b, const struct balance_view *view)
{
	size_t one = balance_urn_draw(b->urn, view), other;

	if (one == BALANCE_NONE || b->urn->num == 1)
		return one;
	other = another(b->urn, view, one);
	if (other == one)
		return one;
	/* For their weights, compared without dividing. Of equals the first one: it was drawn by
	 * its weight, so that shares are kept where hardly anything is on its way. */
	return balance_load(view, one) * weight_of(b->urn, view, other) <=
			       balance_load(view, other) * weight_of(b->urn, view, one)
		       ? one
		       : other;
}

static void drop(struct balance *b)
{
	if (b == NULL)
		return;
	free(b->urn);
	free(b);
}

static struct balance *make(const struct balance_server *servers, size_t num, unsigned start)
{
	struct balance *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	if ((b->urn = balance_urn_new(servers, num, start)) != NULL)
		return b;
	drop(b);
	return NULL;
}

const struct balance_policy balance_least_requests = { .make = make, .drop = drop, .pick = pick };
