/* When a server is taken out of use, for how long, and when it is taken back. */
#include "proxy/pool/eject.h"

#include <criterion/criterion.h>

#define SECOND INT64_C(1000000000)

static const struct eject_rule rule = { .failures = 5, .for_ns = 10 * SECOND };
static struct eject_server server;
static struct eject_counts counts;
static int64_t now;

static void setup(void)
{
	server = (struct eject_server){ .known = false };
	counts = (struct eject_counts){ .failures = 100, .successes = 100 };
	now = 1000 * SECOND;
	cr_assert_eq(eject_look(&server, &rule, &counts, true, now), EJECT_NONE);
}

TestSuite(eject, .init = setup);

/* A quarter of a second in which that happens. */
static enum eject_change passes(unsigned failures, unsigned successes)
{
	now += SECOND / 4;
	counts.failures += failures;
	counts.successes += successes;
	return eject_look(&server, &rule, &counts, true, now);
}

/* Fails, and returns how long it is out. */
static int64_t fail_and_wait(void)
{
	int64_t from;

	cr_assert_eq(passes(5, 0), EJECT_OUT);
	from = now;
	for (int i = 0; i < 4000; i++) {
		if (passes(0, 0) == EJECT_BACK)
			return now - from;
	}
	return 0;
}

Test(eject, what_was_before_it_was_known_does_not_count)
{
	cr_assert_eq(passes(4, 0), EJECT_NONE);
	cr_assert_eq(passes(1, 0), EJECT_OUT);
	cr_assert_eq(server.until_ns, now + 10 * SECOND);
}

Test(eject, a_success_ends_the_row)
{
	for (int i = 0; i < 10; i++) {
		cr_assert_eq(passes(4, 0), EJECT_NONE);
		cr_assert_eq(passes(0, 1), EJECT_NONE);
	}
	cr_assert_eq(passes(50, 1), EJECT_NONE, "it is not known which came first");
	cr_assert_eq(passes(5, 0), EJECT_OUT);
}

Test(eject, times_double_up_to_five_minutes)
{
	static const int seconds[] = { 10, 20, 40, 80, 160, 300, 300 };

	for (unsigned i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++)
		cr_assert_eq(fail_and_wait(), seconds[i] * SECOND, "%u", i);
}

Test(eject, as_long_a_time_of_success_makes_good)
{
	cr_assert_eq(fail_and_wait(), 10 * SECOND);
	cr_assert_eq(fail_and_wait(), 20 * SECOND);
	cr_assert_eq(passes(0, 1), EJECT_NONE);
	cr_assert_eq(fail_and_wait(), 40 * SECOND, "too short a time");
	for (int i = 0; i < 4 * 41; i++)
		cr_assert_eq(passes(0, 1), EJECT_NONE);
	cr_assert_eq(fail_and_wait(), 10 * SECOND);
}

Test(eject, what_fails_while_it_is_out_is_not_held_against_it)
{
	cr_assert_eq(passes(5, 0), EJECT_OUT);
	for (int i = 0; i < 39; i++)
		cr_assert_eq(passes(100, 0), EJECT_NONE);
	cr_assert_eq(passes(100, 0), EJECT_BACK);
	cr_assert_eq(server.back_ns, now);
	cr_assert_eq(passes(4, 0), EJECT_NONE);
}

Test(eject, without_room_or_rule_it_stays)
{
	const struct eject_rule never = { .failures = 0, .for_ns = SECOND };

	counts.failures += 50;
	cr_assert_eq(eject_look(&server, &rule, &counts, false, now), EJECT_NONE);
	cr_assert_eq(eject_look(&server, &never, &counts, true, now), EJECT_NONE);
	cr_assert_eq(eject_look(&server, &rule, &counts, true, now), EJECT_OUT, "once there is");
}

Test(eject, the_share_is_a_bound)
{
	cr_assert_not(eject_has_room(0, 1, 50));
	cr_assert(eject_has_room(0, 2, 50));
	cr_assert_not(eject_has_room(1, 2, 50));
	cr_assert(eject_has_room(0, 3, 50));
	cr_assert_not(eject_has_room(1, 3, 50));
	cr_assert(eject_has_room(0, 1, 100));
	cr_assert_not(eject_has_room(0, 100, 0));
	cr_assert(eject_has_room(4999, 10000, 50));
}
