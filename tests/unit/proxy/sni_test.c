#include "proxy/net/sni.h"

#include <criterion/criterion.h>

static const char *const exact[] = { "a.example", "b.example" };
static const char *const wild[] = { "*.example" };
static const char *const longer[] = { "*.deep.example" };
static const struct conf_sni_route routes[] = {
	{ .num_hosts = 0, .pool = 0 },
	{ .hosts = wild, .num_hosts = 1, .pool = 1 },
	{ .hosts = exact, .num_hosts = 2, .pool = 2 },
	{ .hosts = longer, .num_hosts = 1, .pool = 3, .passthrough = true },
};

static int pool_of(size_t num, const char *name)
{
	const struct conf_listener l = { .sni_routes = routes + 4 - num, .num_sni_routes = num };
	const struct conf_sni_route *r = sni_find(&l, span_str(name));

	return r == NULL ? -1 : (int)r->pool;
}

Test(sni, the_best_fit_takes_it)
{
	cr_expect_eq(pool_of(4, "a.example"), 2);
	cr_expect_eq(pool_of(4, "b.example"), 2);
	cr_expect_eq(pool_of(4, "c.example"), 1);
	cr_expect_eq(pool_of(4, "x.y.example"), 1);
	cr_expect_eq(pool_of(4, "x.deep.example"), 3);
	cr_expect_eq(pool_of(4, "deep.example"), 1);
	cr_expect_eq(pool_of(4, "example"), 0, "a wildcard is for what is below it");
	cr_expect_eq(pool_of(4, ""), 0);
}

Test(sni, without_one_for_any_name_there_may_be_none)
{
	cr_expect_eq(pool_of(3, "example"), -1);
	cr_expect_eq(pool_of(3, ""), -1);
	cr_expect_eq(pool_of(0, "a.example"), -1);
}

Test(sni, only_passthrough_needs_a_look_first)
{
	struct conf_listener l = { .sni_routes = routes, .num_sni_routes = 4 };

	cr_expect(sni_must_look(&l));
	l.num_sni_routes = 3;
	cr_expect_not(sni_must_look(&l));
	l.num_sni_routes = 0;
	cr_expect_not(sni_must_look(&l));
}
