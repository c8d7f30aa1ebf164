#include <stdlib.h>

#include "proxy/pool/balance_draw.h"

struct balance {
	struct balance_urn *urn;
};

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

static size_t pick(struct balance *b, const struct balance_view *view)
{
	return balance_urn_draw(b->urn, view);
}

const struct balance_policy balance_random = { .make = make, .drop = drop, .pick = pick };
