#include "proxy/pool/balance.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct balance_view all = { 0 };

static struct balance *make(const unsigned *weights, size_t num, unsigned start)
{
	struct balance_server servers[4] = { 0 };

	for (size_t i = 0; i < num; i++)
		servers[i].weight = weights[i];
	return balance_round_robin.make(servers, num, start);
}

Test(balance_round_robin, equal_weights_go_in_turn_from_the_start)
{
	static const unsigned weights[] = { 7, 7, 7 };

	for (unsigned start = 0; start < 7; start++) {
		struct balance *b = make(weights, 3, start);

		for (unsigned i = 0; i < 12; i++)
			cr_assert_eq(balance_round_robin.pick(b, &all), (start + i) % 3);
		balance_round_robin.drop(b);
	}
}

Test(balance_round_robin, shares_are_exact_over_a_cycle)
{
	static const unsigned sets[][4] = { { 1, 2, 3, 4 }, { 256, 1, 1, 1 }, { 5, 5, 5, 6 } };

	for (size_t s = 0; s < 3; s++) {
		for (unsigned start = 0; start < 9; start++) {
			struct balance *b = make(sets[s], 4, start);
			unsigned total = 0, got[4] = { 0 };

			for (int i = 0; i < 4; i++)
				total += sets[s][i];
			for (unsigned i = 0; i < 3 * total; i++)
				got[balance_round_robin.pick(b, &all)]++;
			for (int i = 0; i < 4; i++)
				cr_assert_eq(got[i], 3 * sets[s][i]);
			balance_round_robin.drop(b);
		}
	}
}

Test(balance_round_robin, a_heavy_server_is_mixed_with_the_others)
{
	static const unsigned weights[] = { 5, 1, 1 };
	struct balance *b = make(weights, 3, 0);
	char order[8] = "";

	for (int i = 0; i < 7; i++)
		order[i] = (char)('a' + balance_round_robin.pick(b, &all));
	cr_assert_str_eq(order, "aabacaa");
	balance_round_robin.drop(b);
}

Test(balance_round_robin, no_server_waits_longer_than_its_share)
{
	static const unsigned weights[] = { 3, 2, 1 };
	struct balance *b = make(weights, 3, 0);
	unsigned since[3] = { 0 };

	for (int i = 0; i < 600; i++) {
		size_t pick = balance_round_robin.pick(b, &all);

		for (size_t j = 0; j < 3; j++)
			since[j] = j == pick ? 0 : since[j] + 1;
		for (size_t j = 0; j < 3; j++)
			cr_assert_leq(since[j], 2 * 6 / weights[j]);
	}
	balance_round_robin.drop(b);
}

Test(balance_round_robin, workers_do_not_start_at_the_same_server)
{
	static const unsigned weights[] = { 2, 2, 3 };
	struct balance *a = make(weights, 3, 0);
	struct balance *b = make(weights, 3, 1);

	cr_assert_neq(balance_round_robin.pick(a, &all), balance_round_robin.pick(b, &all));
	balance_round_robin.drop(a);
	balance_round_robin.drop(b);
	balance_round_robin.drop(NULL);
}

Test(balance_round_robin, one_server_is_always_the_one)
{
	static const unsigned weights[] = { 9 };
	struct balance *b = make(weights, 1, 250);

	for (int i = 0; i < 3; i++)
		cr_assert_eq(balance_round_robin.pick(b, &all), 0u);
	balance_round_robin.drop(b);
}
