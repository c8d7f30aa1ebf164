/* What every policy keeps to: shares by weight, states, slow starts, and a bounded search. */
#include "proxy/pool/balance.h"

#include <criterion/criterion.h>
#include <math.h>

#include "tests/support/balance_rig.h"

static const struct {
	const char *name;
	const struct balance_policy *policy;
	bool weighs; /* gives each its share by weight */
} policies[] = {
	{ "round_robin", &balance_round_robin, true },
	{ "least_requests", &balance_least_requests, true },
	{ "random", &balance_random, true },
	{ "hash", &balance_hash, true },
	{ "first", &balance_first, false },
};

enum { NUM_POLICIES = sizeof(policies) / sizeof(policies[0]), NUM_PICKS = 400000 };

static struct balance_rig rig; /* too large for the stack */

/* Each has, within 2 %, the share that `parts` says. */
static void expect_parts(const char *name, unsigned num_picks, const double *parts)
{
	double sum = 0;

	for (size_t i = 0; i < rig.num; i++)
		sum += parts[i];
	for (size_t i = 0; i < rig.num; i++)
		cr_expect_leq(fabs(rig.got[i] - num_picks * parts[i] / sum),
			      0.02 * num_picks * parts[i] / sum, "%s: %zu got %u of %u", name, i,
			      rig.got[i], num_picks);
}

Test(balance, shares_follow_the_weights)
{
	static const unsigned weights[] = { 1, 2, 3, 10, 4 };
	static const double parts[] = { 1, 2, 3, 10, 4 };

	for (size_t p = 0; p < NUM_POLICIES; p++) {
		struct balance *b;

		if (!policies[p].weighs)
			continue;
		balance_rig_init(&rig, 5, weights, 5);
		b = balance_rig_make(&rig, policies[p].policy, 3);
		balance_rig_picks(&rig, policies[p].policy, b, NUM_PICKS);
		expect_parts(policies[p].name, NUM_PICKS, parts);
		policies[p].policy->drop(b);
	}
}

Test(balance, shares_of_a_thousand_servers_follow_their_weights_as_well)
{
	static const unsigned weights[] = { 1, 9 };

	for (size_t p = 0; p < NUM_POLICIES; p++) {
		unsigned heavy = 0;
		struct balance *b;

		if (!policies[p].weighs)
			continue;
		balance_rig_init(&rig, 1000, weights, 2);
		b = balance_rig_make(&rig, policies[p].policy, 3);
		balance_rig_picks(&rig, policies[p].policy, b, NUM_PICKS);
		for (size_t i = 1; i < rig.num; i += 2)
			heavy += rig.got[i];
		cr_expect_lt(fabs(heavy - 0.9 * NUM_PICKS), 0.02 * 0.1 * NUM_PICKS, "%s: %u",
			     policies[p].name, heavy);
		for (size_t i = 0; i < rig.num; i++)
			cr_expect_gt(rig.got[i], 0, "%s: %zu", policies[p].name, i);
		policies[p].policy->drop(b);
	}
}

Test(balance, what_is_not_usable_gets_nothing_and_the_rest_share_by_weight)
{
	static const unsigned weights[] = { 4, 2, 1, 1 };
	static const double parts[] = { 4, 0, 1, 1 };

	for (size_t p = 0; p < NUM_POLICIES; p++) {
		struct balance *b;

		balance_rig_init(&rig, 4, weights, 4);
		rig.down[1] = true;
		b = balance_rig_make(&rig, policies[p].policy, 0);
		balance_rig_picks(&rig, policies[p].policy, b, NUM_PICKS);
		cr_expect_eq(rig.got[1], 0u, "%s", policies[p].name);
		if (policies[p].weighs)
			expect_parts(policies[p].name, NUM_PICKS, parts);
		policies[p].policy->drop(b);
	}
}

Test(balance, with_none_usable_there_is_none_and_later_there_is)
{
	static const unsigned weights[] = { 4, 2, 1 };

	for (size_t p = 0; p < NUM_POLICIES; p++) {
		const struct balance_policy *policy = policies[p].policy;
		struct balance *b;

		balance_rig_init(&rig, 3, weights, 3);
		b = balance_rig_make(&rig, policy, 0);
		for (int i = 0; i < 3; i++)
			rig.down[i] = true;
		for (int i = 0; i < 100; i++)
			cr_expect_eq(policy->pick(b, &rig.view), BALANCE_NONE, "%s",
				     policies[p].name);
		rig.down[2] = false;
		cr_expect_eq(policy->pick(b, &rig.view), 2u, "%s", policies[p].name);
		policy->drop(b);
		policy->drop(NULL);
	}
}

/* One of a thousand is left: it is found, at the cost of a few looks at each. */
Test(balance, the_last_usable_one_is_found_in_bounded_time)
{
	static const unsigned weights[] = { 1, 5, 3 };

	for (size_t p = 0; p < NUM_POLICIES; p++) {
		const struct balance_policy *policy = policies[p].policy;
		struct balance *b;

		balance_rig_init(&rig, 1000, weights, 3);
		b = balance_rig_make(&rig, policy, 0);
		for (size_t i = 0; i < rig.num; i++)
			rig.down[i] = i != 777;
		for (uint64_t i = 0; i < 50; i++) {
			rig.num_asked = 0;
			rig.view.key = balance_rig_key(i);
			cr_assert_eq(policy->pick(b, &rig.view), 777u, "%s", policies[p].name);
			cr_expect_leq(rig.num_asked, 8 * rig.num, "%s: %zu", policies[p].name,
				      rig.num_asked);
		}
		policy->drop(b);
	}
}

Test(balance, with_few_usable_weights_still_count)
{
	static const unsigned weights[] = { 1, 1 };

	for (size_t p = 0; p < NUM_POLICIES; p++) {
		struct balance *b;

		if (!policies[p].weighs)
			continue;
		balance_rig_init(&rig, 500, weights, 2);
		for (size_t i = 0; i < rig.num; i++)
			rig.down[i] = i != 7 && i != 300;
		rig.servers[300].weight = 3;
		b = balance_rig_make(&rig, policies[p].policy, 0);
		balance_rig_picks(&rig, policies[p].policy, b, 20000);
		cr_expect_lt(fabs(rig.got[300] - 15000.0), 400, "%s: %u", policies[p].name,
			     rig.got[300]);
		policies[p].policy->drop(b);
	}
}

Test(balance, a_share_is_a_part_of_the_weight)
{
	static const unsigned weights[] = { 2, 2, 1 };
	static const double parts[] = { 2, 0.5, 1 };
	/* Of the keys that are its own a quarter stay; the others are shared by the rest. */
	static const double parts_of_keys[] = { 6, 1, 3 };

	for (size_t p = 0; p < NUM_POLICIES; p++) {
		struct balance *b;

		if (!policies[p].weighs)
			continue;
		balance_rig_init(&rig, 3, weights, 3);
		rig.shares[1] = BALANCE_WHOLE / 4;
		b = balance_rig_make(&rig, policies[p].policy, 0);
		balance_rig_picks(&rig, policies[p].policy, b, NUM_PICKS);
		expect_parts(policies[p].name, NUM_PICKS,
			     policies[p].policy == &balance_hash ? parts_of_keys : parts);
		policies[p].policy->drop(b);
	}
}

Test(balance, all_that_recover_alike_share_alike)
{
	static const unsigned weights[] = { 3, 1 };
	static const double parts[] = { 3, 1 };

	for (size_t p = 0; p < NUM_POLICIES; p++) {
		struct balance *b;

		if (!policies[p].weighs)
			continue;
		balance_rig_init(&rig, 2, weights, 2);
		rig.shares[0] = rig.shares[1] = 2;
		b = balance_rig_make(&rig, policies[p].policy, 0);
		balance_rig_picks(&rig, policies[p].policy, b, NUM_PICKS);
		expect_parts(policies[p].name, NUM_PICKS, parts);
		policies[p].policy->drop(b);
	}
}

Test(balance, one_without_a_share_is_for_when_there_is_no_other)
{
	static const unsigned weights[] = { 1 };

	for (size_t p = 0; p < NUM_POLICIES; p++) {
		struct balance *b;

		balance_rig_init(&rig, 3, weights, 1);
		rig.shares[0] = 0;
		b = balance_rig_make(&rig, policies[p].policy, 0);
		balance_rig_picks(&rig, policies[p].policy, b, 1000);
		cr_expect_eq(rig.got[0], 0u, "%s", policies[p].name);
		rig.down[1] = rig.down[2] = true;
		balance_rig_picks(&rig, policies[p].policy, b, 1000);
		cr_expect_eq(rig.got[0], 1000u, "%s", policies[p].name);
		policies[p].policy->drop(b);
	}
}

Test(balance, what_comes_back_makes_nothing_good)
{
	static const unsigned weights[] = { 1, 1, 1, 1 };
	const struct balance_policy *policy = &balance_round_robin;
	struct balance *b;

	balance_rig_init(&rig, 40, weights, 4);
	b = balance_rig_make(&rig, policy, 0);
	for (size_t i = 0; i < rig.num; i++)
		rig.down[i] = i >= 2;
	balance_rig_picks(&rig, policy, b, 5000);
	cr_expect_eq(rig.got[0], 2500u);
	for (size_t i = 0; i < rig.num; i++)
		rig.down[i] = false;
	balance_rig_picks(&rig, policy, b, 400);
	for (size_t i = 0; i < rig.num; i++)
		cr_expect(rig.got[i] >= 9 && rig.got[i] <= 12, "%zu: %u", i, rig.got[i]);
	policy->drop(b);
}

Test(balance, a_further_try_does_not_use_up_a_turn)
{
	static const unsigned weights[] = { 1 };
	const struct balance_policy *policy = &balance_round_robin;
	struct balance *b;

	balance_rig_init(&rig, 3, weights, 1);
	b = balance_rig_make(&rig, policy, 0);
	cr_expect_eq(policy->pick(b, &rig.view), 0u);
	rig.view.again = rig.down[0] = true;
	cr_expect_eq(policy->pick(b, &rig.view), 1u);
	rig.down[1] = true;
	cr_expect_eq(policy->pick(b, &rig.view), 2u);
	rig.view.again = rig.down[0] = rig.down[1] = false;
	cr_expect_eq(policy->pick(b, &rig.view), 1u);
	policy->drop(b);
}

Test(balance, first_is_the_first_that_is_usable)
{
	static const unsigned weights[] = { 1, 200, 1 };
	struct balance *b;

	balance_rig_init(&rig, 3, weights, 3);
	b = balance_rig_make(&rig, &balance_first, 2);
	balance_rig_picks(&rig, &balance_first, b, 100);
	cr_expect_eq(rig.got[0], 100u);
	rig.down[0] = true;
	balance_rig_picks(&rig, &balance_first, b, 100);
	cr_expect_eq(rig.got[1], 100u);
	rig.down[0] = false;
	rig.shares[0] = BALANCE_WHOLE / 2;
	balance_rig_picks(&rig, &balance_first, b, 10000);
	cr_expect(rig.got[0] > 4700 && rig.got[0] < 5300 && rig.got[0] + rig.got[1] == 10000);
	balance_first.drop(b);
}
