#include "proxy/pool/balance_draw.h"

static size_t pick(struct balance *b, const struct balance_view *view)
{
	return balance_urn_draw(balance_urn_of(b), view);
}

const struct balance_policy balance_random = { .make = balance_urn_make,
					       .drop = balance_urn_drop,
					       .pick = pick };
