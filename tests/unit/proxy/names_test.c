#include <criterion/criterion.h>

#include "proxy/observe/names.h"

static struct names *seal(struct names *t)
{
	cr_assert(names_seal(t));
	return t;
}

Test(names, slots_without_a_name_have_none)
{
	struct names *t = seal(names_new(NULL));

	cr_assert_null(names_listener(t, 0));
	cr_assert_null(names_pool(t, METRICS_POOLS));
	cr_assert_null(names_server(t, UINT32_MAX));
	cr_assert_null(names_listener(NULL, 0));
	cr_assert_not(t->listeners[0].shown);
	names_unref(t);
	names_unref(NULL);
}

Test(names, slots_out_of_range_are_refused)
{
	struct names *t = names_new(NULL);

	cr_assert_not(names_set_listener(t, METRICS_LISTENERS, "a"));
	cr_assert_not(names_set_pool(t, METRICS_POOLS, "a"));
	cr_assert_not(names_set_server(t, METRICS_SERVERS, 0, "a"));
	cr_assert_not(names_set_server(t, 0, METRICS_POOLS, "a"));
	cr_assert(names_set_listener(t, METRICS_LISTENERS - 1, "a"));
	cr_assert(names_set_server(t, METRICS_SERVERS - 1, METRICS_POOLS - 1, "a"));
	names_unref(t);
}

Test(names, are_remembered_until_the_slot_gets_another)
{
	struct names *first = names_new(NULL), *second, *third;

	cr_assert(names_set_listener(first, 1, "https"));
	cr_assert(names_set_listener(first, 2, "imaps"));
	second = names_new(seal(first));
	names_unref(first);
	cr_assert(names_set_listener(second, 2, "imaps"));
	(void)seal(second);
	cr_assert_str_eq(names_listener(second, 1), "https");
	cr_assert(second->listeners[1].shown);
	third = names_new(second);
	names_unref(second);
	cr_assert(names_set_listener(third, 1, "smtp"));
	(void)seal(third);
	cr_assert_str_eq(names_listener(third, 1), "smtp");
	names_unref(third);
}

Test(names, of_slots_with_the_same_name_only_the_current_one_is_shown)
{
	struct names *old = names_new(NULL), *now;

	cr_assert(names_set_listener(old, 1, "https"));
	cr_assert(names_set_listener(old, 3, "https"));
	now = names_new(seal(old));
	cr_assert(names_set_listener(now, 5, "https"));
	(void)seal(now);
	cr_assert(old->listeners[1].shown);
	cr_assert_not(old->listeners[3].shown);
	cr_assert(now->listeners[5].shown);
	cr_assert_not(now->listeners[1].shown);
	cr_assert_not(now->listeners[3].shown);
	cr_assert_str_eq(names_listener(now, 1), "https"); /* lines still know it */
	names_unref(old);
	names_unref(now);
}

Test(names, servers_are_told_apart_by_their_pool)
{
	struct names *t = names_new(NULL);

	cr_assert(names_set_pool(t, 0, "web"));
	cr_assert(names_set_pool(t, 1, "api"));
	cr_assert(names_set_server(t, 0, 0, "10.0.0.1:80"));
	cr_assert(names_set_server(t, 1, 1, "10.0.0.1:80"));
	cr_assert(names_set_server(t, 2, 1, "10.0.0.1:80"));
	cr_assert(names_set_server(t, 3, 7, "10.0.0.1:80")); /* of a pool without a name */
	(void)seal(t);
	cr_assert(t->servers[0].shown);
	cr_assert(t->servers[1].shown);
	cr_assert_not(t->servers[2].shown);
	cr_assert_not(t->servers[3].shown);
	names_unref(t);
}

Test(names, a_pool_slot_with_another_name_loses_its_old_servers)
{
	struct names *old = names_new(NULL), *now;

	cr_assert(names_set_pool(old, 0, "web"));
	cr_assert(names_set_server(old, 0, 0, "a"));
	cr_assert(names_set_server(old, 1, 0, "b"));
	now = names_new(seal(old));
	names_unref(old);
	cr_assert(names_set_pool(now, 0, "api"));
	cr_assert(names_set_server(now, 1, 0, "c"));
	(void)seal(now);
	cr_assert_null(names_server(now, 0));
	cr_assert_str_eq(names_server(now, 1), "c");
	names_unref(now);
}
