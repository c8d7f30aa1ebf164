#include <stdlib.h>

#include "conf/must.h"
#include "proxy/pool/balance_draw.h"

struct balance {
	size_t num;
	struct balance_chance chance;
};

/* The pool passes on from one that is full, so that this fills one server after the other. */
static size_t pick(struct balance *b, const struct balance_view *view)
{
	size_t usable = BALANCE_NONE;

	for (size_t i = 0; i < b->num; i++) {
		unsigned share;

		if (!balance_usable(view, i))
			continue;
		share = balance_share(view, i);
		if (share == BALANCE_WHOLE ||
		    balance_chance_below(&b->chance, BALANCE_WHOLE) < share)
			return i;
		if (usable == BALANCE_NONE)
			usable = i;
	}
	return usable;
}

static struct balance *make(const struct balance_server *servers, size_t num, unsigned start)
{
	struct balance *b = calloc(1, sizeof(*b));

	(void)servers;
	MUST(num > 0);
	if (b == NULL)
		return NULL;
	b->num = num;
	balance_chance_init(&b->chance, start);
	return b;
}

static void drop(struct balance *b)
{
	free(b);
}

const struct balance_policy balance_first = { .make = make, .drop = drop, .pick = pick };
