/* What a hash is for: the same key, the same server; little moves; nobody gets too much. */
#include <criterion/criterion.h>
#include <string.h>

#include "proxy/pool/balance.h"
#include "tests/support/balance_rig.h"

enum { NUM_KEYS = 100000 };

static struct balance_rig rig; /* too large for the stack */
static uint64_t before[NUM_KEYS];

static uint64_t server_of(struct balance *b, uint64_t key)
{
	size_t pick;

	rig.view.key = balance_rig_key(key);
	pick = balance_hash.pick(b, &rig.view);
	cr_assert_lt(pick, rig.num);
	return rig.servers[pick].id;
}

static void remember(struct balance *b)
{
	for (uint64_t i = 0; i < NUM_KEYS; i++)
		before[i] = server_of(b, i);
}

/* Returns how many keys have another server now. */
static unsigned count_moved(struct balance *b)
{
	unsigned moved = 0;

	for (uint64_t i = 0; i < NUM_KEYS; i++)
		moved += server_of(b, i) != before[i];
	return moved;
}

/* Takes server `i` out of the list; the numbers of those behind it change. */
static void take_out(size_t i)
{
	memmove(&rig.servers[i], &rig.servers[i + 1], (rig.num - i - 1) * sizeof(rig.servers[0]));
	rig.num--;
}

Test(balance_hash, workers_and_restarts_agree_whatever_the_order_of_servers)
{
	static const unsigned weights[] = { 1, 3, 2 };
	struct balance *one, *other;

	balance_rig_init(&rig, 30, weights, 3);
	one = balance_rig_make(&rig, &balance_hash, 0);
	remember(one);
	balance_hash.drop(one);
	for (size_t i = 0; i < rig.num / 2; i++) {
		struct balance_server s = rig.servers[i];

		rig.servers[i] = rig.servers[rig.num - 1 - i];
		rig.servers[rig.num - 1 - i] = s;
	}
	other = balance_rig_make(&rig, &balance_hash, 5);
	cr_expect_eq(count_moved(other), 0u);
	balance_hash.drop(other);
}

/* Of n servers, one that goes, or comes, moves a part of 1/n, and 1.5 % of all at most. */
Test(balance_hash, little_moves_as_servers_come_and_go)
{
	static const unsigned weights[] = { 1 };
	static const size_t nums[] = { 2, 3, 10, 40, 200, 1000 };

	for (size_t n = 0; n < sizeof(nums) / sizeof(nums[0]); n++) {
		unsigned most = (unsigned)(NUM_KEYS / nums[n]) + NUM_KEYS * 3 / 200, moved;
		struct balance *all, *fewer;

		balance_rig_init(&rig, nums[n], weights, 1);
		all = balance_rig_make(&rig, &balance_hash, 0);
		remember(all);
		balance_hash.drop(all);
		take_out(nums[n] / 3);
		fewer = balance_rig_make(&rig, &balance_hash, 0);
		moved = count_moved(fewer);
		cr_expect_leq(moved, most, "one of %zu goes: %u of %u", nums[n], moved, most);
		remember(fewer);
		balance_hash.drop(fewer);
		balance_rig_init(&rig, nums[n], weights, 1);
		all = balance_rig_make(&rig, &balance_hash, 0);
		moved = count_moved(all);
		cr_expect_leq(moved, most, "one of %zu comes: %u of %u", nums[n], moved, most);
		balance_hash.drop(all);
	}
}

/* And back: nobody loses a key that was not the server's that failed. */
Test(balance_hash, only_keys_of_what_is_not_usable_move)
{
	static const unsigned weights[] = { 1, 2 };
	struct balance *b;

	balance_rig_init(&rig, 20, weights, 2);
	b = balance_rig_make(&rig, &balance_hash, 0);
	remember(b);
	for (size_t down = 0; down < 19; down++) {
		rig.down[down] = true;
		for (uint64_t i = 0; i < 2000; i++) {
			bool gone = false;

			for (size_t d = 0; d <= down; d++)
				gone = gone || before[i] == rig.servers[d].id;
			cr_assert(gone || server_of(b, i) == before[i]);
		}
	}
	memset(rig.down, 0, sizeof(rig.down));
	cr_expect_eq(count_moved(b), 0u);
	balance_hash.drop(b);
}

Test(balance_hash, a_growing_share_takes_keys_back_and_keeps_them)
{
	static const unsigned weights[] = { 1 };
	unsigned last = NUM_KEYS;
	struct balance *b;

	balance_rig_init(&rig, 10, weights, 1);
	b = balance_rig_make(&rig, &balance_hash, 0);
	remember(b);
	for (unsigned share = 16; share <= BALANCE_WHOLE; share += 48) {
		unsigned moved;

		rig.shares[4] = share;
		moved = count_moved(b);
		cr_expect_lt(moved, last, "share %u: %u", share, moved);
		last = moved;
	}
	cr_expect_eq(last, 0u);
	balance_hash.drop(b);
}

/* All requests have one of three keys, and none ends. */
Test(balance_hash, nobody_gets_more_than_its_bound)
{
	static const unsigned weights[] = { 1, 1, 2 };
	struct balance *b;

	balance_rig_init(&rig, 12, weights, 3);
	rig.down[3] = true; /* its weight is not counted */
	b = balance_rig_make(&rig, &balance_hash, 0);
	for (uint64_t n = 1; n <= 6000; n++) {
		size_t pick;

		rig.view.key = balance_rig_key(n % 3);
		pick = balance_hash.pick(b, &rig.view);
		cr_assert(pick < rig.num && pick != 3);
		balance_rig_load(&rig, pick);
		/* 1.25 times its part of what is on its way, rounded up; but for the first few. */
		cr_assert(rig.loads[pick] <= 8 ||
				  (double)(rig.loads[pick] - 1) <
					  1.25 * (double)n * rig.servers[pick].weight / 15,
			  "%zu has %lu of %lu", pick, (unsigned long)rig.loads[pick],
			  (unsigned long)n);
	}
	balance_hash.drop(b);
}

Test(balance_hash, a_few_requests_stay_together)
{
	static const unsigned weights[] = { 1 };
	struct balance *b;
	size_t first;

	balance_rig_init(&rig, 5, weights, 1);
	b = balance_rig_make(&rig, &balance_hash, 0);
	rig.view.key = balance_rig_key(7);
	first = balance_hash.pick(b, &rig.view);
	for (int i = 0; i < 8; i++) {
		cr_expect_eq(balance_hash.pick(b, &rig.view), first);
		balance_rig_load(&rig, first);
	}
	cr_expect_neq(balance_hash.pick(b, &rig.view), first);
	balance_hash.drop(b);
}
