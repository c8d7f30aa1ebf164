#include "tests/support/balance_rig.h"

#include <string.h>

#include "conf/must.h"

static bool usable(const void *pool, size_t i)
{
	/* The counter is all that a policy changes. */
	struct balance_rig *r = (struct balance_rig *)(uintptr_t)pool;

	r->num_asked++;
	return !r->down[i];
}

static uint64_t load(const void *pool, size_t i)
{
	const struct balance_rig *r = pool;

	return r->loads[i];
}

static uint64_t total(const void *pool)
{
	const struct balance_rig *r = pool;

	return r->total + 1;
}

static unsigned share(const void *pool, size_t i)
{
	const struct balance_rig *r = pool;

	return r->shares[i];
}

uint64_t balance_rig_key(uint64_t i)
{
	uint64_t x = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

void balance_rig_init(struct balance_rig *r, size_t num, const unsigned *weights,
		      size_t num_weights)
{
	MUST(num > 0 && num <= RIG_SERVERS);
	memset(r, 0, sizeof(*r));
	r->num = num;
	for (size_t i = 0; i < num; i++) {
		r->servers[i] = (struct balance_server){
			.weight = weights[i % num_weights],
			.id = balance_rig_key(UINT64_C(1) << 40 | i),
		};
		r->shares[i] = BALANCE_WHOLE;
	}
	r->view = (struct balance_view){
		.pool = r, .usable = usable, .load = load, .total = total, .share = share
	};
}

struct balance *balance_rig_make(struct balance_rig *r, const struct balance_policy *policy,
				 unsigned start)
{
	struct balance *b = policy->make(r->servers, r->num, start);

	MUST(b != NULL);
	return b;
}

void balance_rig_load(struct balance_rig *r, size_t i)
{
	r->loads[i]++;
	r->total++;
}

void balance_rig_picks(struct balance_rig *r, const struct balance_policy *policy,
		       struct balance *b, unsigned num)
{
	memset(r->got, 0, sizeof(r->got));
	for (unsigned i = 0; i < num; i++) {
		size_t pick;

		r->view.key = balance_rig_key(i);
		pick = policy->pick(b, &r->view);
		MUST(pick < r->num);
		r->got[pick]++;
	}
}
