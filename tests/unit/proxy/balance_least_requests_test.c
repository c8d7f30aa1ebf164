#include "proxy/pool/balance.h"

#include <criterion/criterion.h>

static uint64_t load_of(const void *pool, size_t i)
{
	return ((const uint64_t *)pool)[i];
}

static struct balance *make(const unsigned *weights, size_t num, unsigned start)
{
	struct balance_server servers[5] = { 0 };

	for (size_t i = 0; i < num; i++)
		servers[i].weight = weights[i];
	return balance_least_requests.make(servers, num, start);
}

Test(balance_least_requests, one_server_is_always_it)
{
	static const uint64_t loads[] = { 9 };
	struct balance_view view = { .pool = loads, .load = load_of };
	struct balance *b = make((const unsigned[]){ 1 }, 1, 0);

	cr_assert_not_null(b);
	for (int i = 0; i < 10; i++)
		cr_assert_eq(balance_least_requests.pick(b, &view), 0u);
	balance_least_requests.drop(b);
	balance_least_requests.drop(NULL);
}

Test(balance_least_requests, of_two_the_less_loaded_one_is_taken)
{
	uint64_t loads[] = { 4, 5 };
	struct balance_view view = { .pool = loads, .load = load_of };
	struct balance *b = make((const unsigned[]){ 1, 1 }, 2, 3);

	for (int i = 0; i < 50; i++)
		cr_assert_eq(balance_least_requests.pick(b, &view), 0u);
	loads[0] = 6;
	for (int i = 0; i < 50; i++)
		cr_assert_eq(balance_least_requests.pick(b, &view), 1u);
	balance_least_requests.drop(b);
}

Test(balance_least_requests, the_most_loaded_of_many_gets_nothing)
{
	static const uint64_t loads[] = { 1, 1, 100, 1, 1 };
	struct balance_view view = { .pool = loads, .load = load_of };
	struct balance *b = make((const unsigned[]){ 1, 1, 1, 1, 1 }, 5, 0);
	unsigned got[5] = { 0 };

	for (int i = 0; i < 1000; i++)
		got[balance_least_requests.pick(b, &view)]++;
	cr_assert_eq(got[2], 0u);
	for (int i = 0; i < 5; i++)
		cr_assert(i == 2 || got[i] > 150, "%d: %u", i, got[i]);
	balance_least_requests.drop(b);
}

/* As requests that never end pile up, each server has its share of them. */
Test(balance_least_requests, load_follows_the_weights)
{
	uint64_t loads[] = { 0, 0, 0 };
	struct balance_view view = { .pool = loads, .load = load_of };
	struct balance *b = make((const unsigned[]){ 4, 2, 2 }, 3, 1);

	for (int i = 0; i < 8000; i++)
		loads[balance_least_requests.pick(b, &view)]++;
	cr_assert(loads[0] > 3900 && loads[0] < 4100, "%lu", (unsigned long)loads[0]);
	cr_assert(loads[1] > 1900 && loads[1] < 2100, "%lu", (unsigned long)loads[1]);
	balance_least_requests.drop(b);
}

Test(balance_least_requests, workers_do_not_go_in_step)
{
	static const uint64_t loads[] = { 0, 0, 0, 0 };
	static const unsigned weights[] = { 1, 1, 1, 1 };
	struct balance_view view = { .pool = loads, .load = load_of };
	struct balance *one = make(weights, 4, 0);
	struct balance *other = make(weights, 4, 1);
	int same = 0;

	for (int i = 0; i < 100; i++)
		same += balance_least_requests.pick(one, &view) ==
			balance_least_requests.pick(other, &view);
	cr_assert_lt(same, 60);
	balance_least_requests.drop(one);
	balance_least_requests.drop(other);
}
