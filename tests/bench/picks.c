/* picks: nanoseconds that a choice of a server takes, by policy: of 10 and of 1,000 servers, alike
 * and with weights, and with most of them not usable. One line of JSON each. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/support/balance_rig.h"

enum { PICKS = 2000000, SLOW_PICKS = 20000, ROUNDS = 5 };

static const struct {
	const char *name;
	const struct balance_policy *policy;
} policies[] = {
	{ "round_robin", &balance_round_robin },
	{ "least_requests", &balance_least_requests },
	{ "random", &balance_random },
	{ "hash", &balance_hash },
	{ "first", &balance_first },
};

static struct balance_rig rig; /* too large for the stack */

static int64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The best of some rounds: what others did to the machine meanwhile is not asked for. */
static double measure(const struct balance_policy *policy, struct balance *b, unsigned picks)
{
	double best = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		int64_t began = now_ns();
		double each;

		for (unsigned i = 0; i < picks; i++) {
			rig.view.key = balance_rig_key(i);
			if (policy->pick(b, &rig.view) >= rig.num)
				abort();
		}
		each = (double)(now_ns() - began) / picks;
		if (each < best)
			best = each;
	}
	return best;
}

static void run(size_t num, const unsigned *weights, size_t num_weights, const char *what,
		size_t usable)
{
	for (size_t p = 0; p < sizeof(policies) / sizeof(policies[0]); p++) {
		struct balance *b;
		int64_t began;
		double make_us, ns;

		balance_rig_init(&rig, num, weights, num_weights);
		for (size_t i = usable; i < num; i++)
			rig.down[i * 7 % num] = true;
		began = now_ns();
		b = balance_rig_make(&rig, policies[p].policy, 1);
		make_us = (double)(now_ns() - began) / 1000;
		ns = measure(policies[p].policy, b, usable < num ? SLOW_PICKS : PICKS);
		printf("{\"policy\":\"%s\",\"servers\":%zu,\"weights\":\"%s\",\"usable\":%zu,"
		       "\"ns_per_pick\":%.1f,\"make_us\":%.1f}\n",
		       policies[p].name, num, what, usable, ns, make_us);
		policies[p].policy->drop(b);
	}
}

int main(void)
{
	static const unsigned alike[] = { 1 }, mixed[] = { 1, 7, 3, 100, 20 };

	run(10, alike, 1, "alike", 10);
	run(1000, alike, 1, "alike", 1000);
	run(1000, mixed, 5, "mixed", 1000);
	run(1000, mixed, 5, "mixed", 10);
	return 0;
}
