#include <stdlib.h>
#include <string.h>

#include "conf/must.h"
#include "proxy/pool/balance.h"

struct balance {
	size_t num;
	uint64_t state; /* of the generator, never 0 */
	unsigned weights[];
};

/* xorshift64*: who could guess it would gain nothing. */
static uint64_t draw(struct balance *b)
{
	uint64_t x = b->state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	b->state = x;
	return x * UINT64_C(0x2545f4914f6cdd1d) >> 32;
}

/* Comparing two that were drawn, rather than all, keeps workers that cannot see each other's last
 * choice from all running to the same server (the power of two choices). */
static size_t pick(struct balance *b, const struct balance_view *view)
{
	size_t one, other;
	uint64_t one_load, other_load;

	if (b->num == 1)
		return 0;
	one = (size_t)(draw(b) % b->num);
	other = (size_t)(draw(b) % (b->num - 1));
	if (other >= one)
		other++;
	one_load = view->load(view->pool, one) + 1;
	other_load = view->load(view->pool, other) + 1;
	/* With the request that is to come, for its weight: compared without dividing. */
	return one_load * b->weights[other] <= other_load * b->weights[one] ? one : other;
}

static struct balance *make(const unsigned *weights, size_t num, unsigned start)
{
	struct balance *b;

	MUST(num > 0);
	if ((b = malloc(sizeof(*b) + num * sizeof(b->weights[0]))) == NULL)
		return NULL;
	b->num = num;
	b->state = UINT64_C(0x9e3779b97f4a7c15) * (start + 1);
	memcpy(b->weights, weights, num * sizeof(b->weights[0]));
	return b;
}

static void drop(struct balance *b)
{
	free(b);
}

const struct balance_policy balance_least_requests = { .make = make, .drop = drop, .pick = pick };
