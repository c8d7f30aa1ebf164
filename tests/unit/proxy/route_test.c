/* Which route a request takes: order, words, conditions, and what choosing costs. */
#include "proxy/http/route.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct conf_route on(const char *host, const char *path, const char *prefix)
{
	struct conf_route r = { .path = path, .path_prefix = prefix, .pool = 0 };

	if (host != NULL) {
		const char **hosts = malloc(sizeof(*hosts));

		hosts[0] = host;
		r.hosts = hosts;
		r.num_hosts = 1;
	}
	return r;
}

/* The place in `list` of what is chosen; -1: nothing. */
static int chosen(const struct conf_route *list, const struct routes *r, const char *host,
		  const char *path)
{
	struct head *h = head_new(0);
	struct route_query q = { .host = span_str(host),
				 .path = span_str(path),
				 .method_name = span_str("GET"),
				 .head = h,
				 .family = AF_INET };
	const struct conf_route *found = routes_find(r, &q);

	head_free(h);
	return found == NULL ? -1 : (int)(found - list);
}

struct wanted {
	const char *host, *path;
	int route;
};

static void check(struct conf_route *list, size_t num, const struct wanted *rows, size_t num_rows)
{
	struct routes *r = routes_new(list, num);

	cr_assert_not_null(r);
	for (size_t i = 0; i < num_rows; i++) {
		int got = chosen(list, r, rows[i].host, rows[i].path);

		cr_expect_eq(got, rows[i].route, "%s%s: %d", rows[i].host, rows[i].path, got);
	}
	routes_free(r);
	for (size_t i = 0; i < num; i++) {
		if (list[i].num_hosts == 1)
			free((void *)list[i].hosts);
	}
}

Test(route, hosts_exact_then_wildcard_then_any)
{
	struct conf_route list[] = {
		on(NULL, NULL, "/any"),
		on("*.example", NULL, NULL),
		on("*.b.example", NULL, NULL),
		on("a.b.example", NULL, NULL),
		on("b.example", NULL, "/only"),
		on("[2001:DB8::0:1]", NULL, NULL),
		on("*.EXAMPLE.test.", NULL, NULL),
	};
	const struct wanted rows[] = {
		{ "a.b.example", "/any", 3 },
		{ "x.b.example", "/", 2 },
		{ "x.a.b.example", "/", 2 },
		{ "b.example", "/only/x", 4 },
		{ "b.example", "/any", 1 },
		{ "example", "/any", 0 },
		{ "xexample", "/any", 0 },
		{ "example", "/", -1 },
		{ "a.example.test", "/", 6 },
		{ "", "/any/x", 0 },
		{ "", "/", -1 },
		{ "[2001:db8::1]", "/", 5 },
		{ "other", "/anything", -1 },
		{ "b.example.b", "/", -1 },
		{ "example.test", "/", -1 },
	};

	check(list, COUNT(list), rows, COUNT(rows));
}

Test(route, paths_exact_then_longest_prefix_then_order)
{
	struct conf_route list[] = {
		on("a", NULL, NULL),	    on("a", NULL, "/api"),	on("a", NULL, "/api/v1"),
		on("a", NULL, "/api/"),	    on("a", "/api/v1/x", NULL), on("a", NULL, "/api"),
		on("a", "/api", NULL),	    on("a", NULL, "/"),		on("a", NULL, "/%7eme/./x"),
		on("a", NULL, "/api/v1/x"), on("a", "*", NULL),		on("a", NULL, "/l//"),
	};
	const struct wanted rows[] = {
		{ "a", "/api", 6 },	   { "a", "/api/", 3 },	   { "a", "/api/v", 3 },
		{ "a", "/api/v1", 2 },	   { "a", "/api/v1/", 2 }, { "a", "/api/v1/x", 4 },
		{ "a", "/api/v1/x/y", 9 }, { "a", "/api/v1x", 3 }, { "a", "/apix", 7 },
		{ "a", "/ap", 7 },	   { "a", "/", 7 },	   { "a", "/~me/x/y", 8 },
		{ "a", "*", 10 },	   { "a", "/l//x", 11 },   { "a", "/l/x", 7 },
		{ "a", "/API", 7 },	   { "b", "/api", -1 },
	};

	check(list, COUNT(list), rows, COUNT(rows));
}

Test(route, the_first_of_equals_is_taken)
{
	struct conf_route list[] = { on("a", NULL, "/x"), on("a", NULL, "/x"), on("a", "/y", NULL),
				     on("a", "/y", NULL) };
	const struct wanted rows[] = { { "a", "/x", 0 }, { "a", "/y", 2 } };

	check(list, COUNT(list), rows, COUNT(rows));
}

Test(route, no_routes_choose_nothing)
{
	const struct wanted rows[] = { { "a", "/", -1 }, { "", "*", -1 } };

	check(NULL, 0, rows, COUNT(rows));
	routes_free(NULL);
}

Test(route, a_route_may_have_several_hosts)
{
	const char *const hosts[] = { "a", "*.b", "c" };
	struct conf_route list[] = { { .hosts = hosts, .num_hosts = 3, .path_prefix = "/x" },
				     on(NULL, NULL, NULL) };
	const struct wanted rows[] = {
		{ "a", "/x", 0 }, { "z.b", "/x/y", 0 }, { "c", "/x", 0 },
		{ "b", "/x", 1 }, { "c", "/y", 1 },
	};

	check(list, COUNT(list), rows, COUNT(rows));
}

/* ---- the other conditions */

struct asked {
	const char *method, *name, *value, *address;
	int route;
};

static void ask(const struct conf_route *list, size_t num, const struct asked *rows,
		size_t rows_num)
{
	struct routes *r = routes_new(list, num);

	cr_assert_not_null(r);
	for (size_t i = 0; i < rows_num; i++) {
		struct head *h = head_new(0);
		const struct conf_route *found;
		struct route_query q = { .host = span_str("x.a"),
					 .path = span_str("/p/q"),
					 .method_name = span_str(rows[i].method),
					 .head = h,
					 .family = AF_UNIX };

		head_add(h, span_str("X-Before"), span_str("1"));
		if (rows[i].name != NULL) {
			head_add(h, span_str(rows[i].name), span_str("first"));
			head_add(h, span_str(rows[i].name), span_str(rows[i].value));
		}
		if (rows[i].address != NULL) {
			q.family = strchr(rows[i].address, ':') == NULL ? AF_INET : AF_INET6;
			cr_assert_eq(inet_pton(q.family, rows[i].address, q.address), 1);
		}
		found = routes_find(r, &q);
		cr_expect_eq(found == NULL ? -1 : (int)(found - list), rows[i].route, "row %zu", i);
		head_free(h);
	}
	routes_free(r);
}

Test(route, what_does_not_hold_is_passed_over)
{
	static const char *const exact[] = { "x.a" }, *const wild[] = { "*.a" };
	static const char *const get[] = { "GET", "HEAD" }, *const post[] = { "POST" };
	static const struct conf_field_match version = { .name = "x-version", .value = "2" };
	static const struct conf_field_match there = { .name = "X-There", .present = true };
	static const struct conf_network net = { AF_INET, 8, { 10 } };
	const struct conf_route list[] = {
		{ .hosts = exact,
		  .num_hosts = 1,
		  .path = "/p/q",
		  .methods = post,
		  .num_methods = 1 },
		{ .hosts = exact,
		  .num_hosts = 1,
		  .path_prefix = "/p/q",
		  .headers = &version,
		  .num_headers = 1 },
		{ .hosts = exact,
		  .num_hosts = 1,
		  .path_prefix = "/p",
		  .headers = &there,
		  .num_headers = 1 },
		{ .hosts = wild, .num_hosts = 1, .source = &net, .num_source = 1 },
		{ .path_prefix = "/", .methods = get, .num_methods = 2 },
	};
	static const struct asked rows[] = {
		{ "POST", NULL, NULL, NULL, 0 },
		{ "post", NULL, NULL, NULL, -1 },
		{ "GET", "X-Version", "2", NULL, 1 },
		{ "GET", "X-Version", "22", NULL, 4 },
		{ "GET", "x-tHERE", "", NULL, 2 },
		{ "GET", NULL, NULL, "10.1.2.3", 3 },
		{ "GET", NULL, NULL, "::ffff:10.1.2.3", 3 },
		{ "GET", NULL, NULL, "11.1.2.3", 4 },
		{ "HEAD", NULL, NULL, "2001:db8::1", 4 },
		{ "PUT", NULL, NULL, NULL, -1 },
	};

	ask(list, COUNT(list), rows, COUNT(rows));
}

/* ---- what it costs */

static double now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

enum { MANY = 10000, ROUNDS = 10, WORD = 48 };

struct many {
	struct conf_route list[MANY];
	char hosts[MANY][WORD], paths[MANY][WORD];
	const char *host_words[MANY];
	struct routes *routes;
	struct head *head;
};

static void many_init(struct many *m, bool one_host)
{
	m->head = head_new(0);
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(m->hosts[i], WORD, "host-%d.customers.example", one_host ? 0 : i);
		(void)snprintf(m->paths[i], WORD, "/service/%d/version/%d", i, i % 7);
		m->host_words[i] = m->hosts[i];
		m->list[i] = (struct conf_route){ .hosts = &m->host_words[i], .num_hosts = 1 };
		if (i % 2 == 0)
			m->list[i].path = m->paths[i];
		else
			m->list[i].path_prefix = m->paths[i];
	}
	cr_assert_not_null(m->routes = routes_new(m->list, MANY));
}

static double many_ask(struct many *m)
{
	struct route_query q = { .method_name = span_str("GET"), .head = m->head };
	double start = now_us();

	for (int n = 0; n < ROUNDS * MANY; n++) {
		int i = (int)((unsigned)n * 7919U % MANY);

		q.host = span_str(m->hosts[i]);
		q.path = span_str(m->paths[i]);
		cr_assert(routes_find(m->routes, &q) == &m->list[i]);
	}
	return (now_us() - start) / (ROUNDS * MANY);
}

/* Loose, for any build and a busy machine: the claim is under 1 us. */
static const double most_us = 5, most_hostile_us = 50;

Test(route, ten_thousand_routes_choose_quickly)
{
	for (int one_host = 0; one_host < 2; one_host++) {
		struct many *m = calloc(1, sizeof(*m));
		double us;

		many_init(m, one_host == 1);
		us = many_ask(m);
		printf("route: 10,000 on %s: %.3f us\n", one_host ? "one host" : "a host each", us);
		cr_expect_lt(us, most_us);
		routes_free(m->routes);
		head_free(m->head);
		free(m);
	}
}

Test(route, a_hostile_path_costs_no_more_than_the_longest_word)
{
	enum { LONG = 32768 };
	struct many *m = calloc(1, sizeof(*m));
	char *slashes = malloc(LONG), *dots = malloc(LONG);
	struct route_query q = { .method_name = span_str("GET"), .path = { slashes, LONG } };
	double start;

	memset(slashes, '/', LONG);
	for (int i = 0; i < LONG; i++)
		dots[i] = i % 2 ? '.' : 'a';
	many_init(m, true);
	q.head = m->head;
	start = now_us();
	for (int i = 0; i < 1000; i++) {
		q.host = span_str(m->hosts[0]);
		cr_assert_null(routes_find(m->routes, &q));
		q.host = span_of(dots, LONG);
		cr_assert_null(routes_find(m->routes, &q));
	}
	printf("route: hostile: %.3f us\n", (now_us() - start) / 2000);
	cr_expect_lt((now_us() - start) / 2000, most_hostile_us);
	routes_free(m->routes);
	head_free(m->head);
	free(m);
	free(slashes);
	free(dots);
}

Test(route, nested_prefixes_are_walked_from_the_longest)
{
	enum { DEPTH = 200 };
	static char paths[DEPTH][2 * DEPTH + 1];
	static struct conf_route list[DEPTH];
	static const char *const post[] = { "POST" };
	struct routes *r;

	for (int i = 0; i < DEPTH; i++) {
		for (int k = 0; k <= i; k++)
			memcpy(paths[i] + 2 * k, "/a", 2);
		list[i] = (struct conf_route){ .path_prefix = paths[i], .methods = post };
		list[i].num_methods = i >= 100 ? 1 : 0;
	}
	cr_assert_not_null(r = routes_new(list, DEPTH));
	cr_assert_eq(chosen(list, r, "h", paths[DEPTH - 1]), 99);
	cr_assert_eq(chosen(list, r, "h", paths[50]), 50);
	cr_assert_eq(chosen(list, r, "h", "/b"), -1);
	routes_free(r);
}
