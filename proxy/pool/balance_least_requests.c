#include "proxy/pool/balance_draw.h"

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
	struct balance_urn *u = balance_urn_of(b);
	size_t one = balance_urn_draw(u, view), other;

	if (one == BALANCE_NONE || u->num == 1)
		return one;
	other = another(u, view, one);
	if (other == one)
		return one;
	/* For their weights, compared without dividing. Of equals the first one: it was drawn by
	 * its weight, so that shares are kept where hardly anything is on its way. */
	return balance_load(view, one) * weight_of(u, view, other) <=
			       balance_load(view, other) * weight_of(u, view, one)
		       ? one
		       : other;
}

const struct balance_policy balance_least_requests = { .make = balance_urn_make,
						       .drop = balance_urn_drop,
						       .pick = pick };
