/* The two rings: what goes in comes out, who is to be woken, and a peer that lies. */
#include "certs/keeper_area.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct keeper_area *area;
static struct keeper_end worker, keeper;

static void setup(void)
{
	area = aligned_alloc(64, (keeper_area_size() + 63) / 64 * 64);
	memset(area, 0, keeper_area_size());
	keeper_end_init(&worker, area);
	keeper_end_init(&keeper, area);
}

static void teardown(void)
{
	free(area);
}

TestSuite(keeper_area, .init = setup, .fini = teardown);

static bool ask(uint32_t slot, bool *wake)
{
	struct keeper_request r = { .slot = slot, .generation = slot + 1, .len = 3 };

	memcpy(r.message, "abc", 3);
	return keeper_ask(&worker, &r, wake);
}

Test(keeper_area, what_is_asked_arrives_in_order_and_once)
{
	struct keeper_request r;
	bool wake;

	for (uint32_t i = 0; i < 3 * KEEPER_SLOTS; i++) {
		cr_assert(ask(i, &wake));
		cr_assert(wake, "it had read all");
		cr_assert(keeper_has_request(&keeper));
		cr_assert(keeper_asked(&keeper, &r));
		cr_assert(r.slot == i && r.generation == i + 1 && r.len == 3);
		cr_assert_eq(memcmp(r.message, "abc", 3), 0);
		cr_assert_not(keeper_asked(&keeper, &r));
	}
}

Test(keeper_area, only_the_first_of_many_wakes)
{
	struct keeper_request r;
	bool wake;

	for (uint32_t i = 0; i < KEEPER_SLOTS; i++) {
		cr_assert(ask(i, &wake));
		cr_assert_eq(wake, i == 0);
	}
	cr_assert_not(ask(9, &wake), "it is full");
	cr_assert(keeper_asked(&keeper, &r));
	cr_assert(ask(9, &wake));
	cr_assert_not(wake);
}

Test(keeper_area, answers_come_back)
{
	struct keeper_answer a = { .slot = 7, .generation = 8, .verdict = KEEPER_SIGNED, .len = 4 };
	struct keeper_answer got;
	bool wake;

	memcpy(a.signature, "sign", 4);
	cr_assert_not(keeper_has_answer(&worker));
	cr_assert(keeper_answer(&keeper, &a, &wake));
	cr_assert(wake);
	cr_assert(keeper_has_answer(&worker));
	cr_assert(keeper_answered(&worker, &got));
	cr_assert(got.slot == 7 && got.generation == 8 && got.len == 4);
	cr_assert_eq(memcmp(got.signature, "sign", 4), 0);
	a.verdict = KEEPER_REFUSED;
	cr_assert(keeper_answer(&keeper, &a, &wake));
	cr_assert(keeper_answered(&worker, &got));
	cr_assert_eq(got.len, 0, "no signature with that");
}

Test(keeper_area, lengths_that_lie_are_none)
{
	struct keeper_request r = { .len = KEY_MESSAGE_MAX + 1 };
	struct keeper_answer a = { .verdict = KEEPER_SIGNED, .len = 1 }, got, *first;
	bool wake;

	cr_assert(keeper_ask(&worker, &r, &wake));
	cr_assert(keeper_asked(&keeper, &r));
	cr_assert_eq(r.len, 0);
	cr_assert(keeper_answer(&keeper, &a, &wake));
	/* The answers are what comes last. */
	first = (struct keeper_answer *)(void *)((char *)area + keeper_area_size() -
						 KEEPER_SLOTS * sizeof(*first));
	cr_assert_eq(first->len, 1);
	first->len = KEYS_MAX_SIGNATURE + 1;
	cr_assert(keeper_answered(&worker, &got));
	cr_assert_eq(got.len, 0);
}

Test(keeper_area, counters_that_lie_make_nobody_read_beyond)
{
	struct keeper_request r;
	struct keeper_answer a;

	memset(area, 0xff, keeper_area_size());
	for (int i = 0; i < 3 * KEEPER_SLOTS; i++) {
		cr_assert(!keeper_asked(&keeper, &r) || r.len <= KEY_MESSAGE_MAX);
		cr_assert(!keeper_answered(&worker, &a) || a.len <= KEYS_MAX_SIGNATURE);
	}
	cr_assert_not(keeper_has_request(&keeper), "that many do not fit");
}
