#include <stdbool.h>
#include <stdlib.h>

#include "conf/must.h"
#include "proxy/pool/balance.h"

struct balance {
	size_t num;
	size_t next; /* where all weights are equal */
	bool equal;
	int64_t total;
	struct {
		int64_t weight;
		int64_t current;
	} servers[];
};

/* Smooth weighted round robin. */
static size_t pick(struct balance *b, const struct balance_view *view)
{
	size_t best = 0;

	(void)view;
	if (b->equal) {
		best = b->next;
		b->next = (b->next + 1) % b->num;
		return best;
	}
	/* Each gains its weight; the furthest ahead is taken and pays what all gained. */
	for (size_t i = 0; i < b->num; i++) {
		b->servers[i].current += b->servers[i].weight;
		if (b->servers[i].current > b->servers[best].current)
			best = i;
	}
	b->servers[best].current -= b->total;
	return best;
}

static struct balance *make(const unsigned *weights, size_t num, unsigned start)
{
	struct balance *b;

	MUST(num > 0);
	b = calloc(1, sizeof(*b) + num * sizeof(b->servers[0]));
	if (b == NULL)
		return NULL;
	b->num = num;
	b->next = start % num;
	b->equal = true;
	for (size_t i = 0; i < num; i++) {
		b->servers[i].weight = weights[i];
		b->total += weights[i];
		if (weights[i] != weights[0])
			b->equal = false;
	}
	for (unsigned i = 0; !b->equal && i < start % num; i++)
		(void)pick(b, NULL);
	return b;
}

static void drop(struct balance *b)
{
	free(b);
}

const struct balance_policy balance_round_robin = { .make = make, .drop = drop, .pick = pick };
