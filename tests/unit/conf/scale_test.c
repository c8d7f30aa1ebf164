#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conf/conf.h"
#include "tests/unit/conf/given.h"

/* The largest configuration: every listener names the last pools, 4096 servers in 1024 pools. */
static char *largest(void)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	cr_assert_not_null(out);
	(void)fputs("{\"listeners\":[", out);
	for (int i = 0; i < CONF_MAX_LISTENERS; i++)
		(void)fprintf(out, "%s{\"address\":\":%d\",\"pool\":\"pool-%d\"}",
			      i == 0 ? "" : ",", i + 1, CONF_MAX_POOLS - 1 - i);
	(void)fputs("],\"pools\":{", out);
	for (int i = 0; i < CONF_MAX_POOLS; i++)
		(void)fprintf(out,
			      "%s\"pool-%d\":{\"servers\":[\"10.0.0.1:80\",\"10.0.0.2:80\","
			      "\"10.0.0.3:80\",{\"address\":\"10.0.0.4:80\",\"weight\":2}]}",
			      i == 0 ? "" : ",", i);
	(void)fputs("}}", out);
	cr_assert_eq(fclose(out), 0);
	return text;
}

static double seconds(void)
{
	struct timespec t;

	cr_assert_eq(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

Test(scale, the_largest_configuration_parses_fast)
{
	char *text = largest();
	double start = seconds(), took;
	struct conf *c = given_parse(text);

	took = seconds() - start;
	(void)fprintf(stderr, "1024 pools, 4096 servers: %.1f ms\n", took * 1e3);
	/* Some 20 ms of CPU; what is quadratic takes many times the bound, also with sanitizers. */
	cr_expect_lt(took, 1.0);
	cr_expect_eq(c->num_pools, CONF_MAX_POOLS);
	cr_expect_eq(c->listeners[1].pool, CONF_MAX_POOLS - 2);
	conf_free(c);
	free(text);
}

/* As many routes as one listener may have; where `same`, all of one host. */
static char *routes(bool same)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	cr_assert_not_null(out);
	(void)fputs("{\"listeners\":[{\"address\":\":443\",\"routes\":[", out);
	for (int i = 0; i < CONF_MAX_ROUTES; i++)
		(void)fprintf(out,
			      "%s{\"host\":[\"h%d.example\",\"*.h%d.example\"],\"path_prefix\":"
			      "\"/p%d/\",\"pool\":\"web\",\"request_headers\":{\"set\":{\"X-A\":"
			      "\"%d\"},\"remove\":[\"X-B\"]}}",
			      i == 0 ? "" : ",", same ? 0 : i, same ? 0 : i, i, i);
	(void)fputs("]}]," GIVEN_POOLS "}", out);
	cr_assert_eq(fclose(out), 0);
	return text;
}

Test(scale, as_many_routes_as_there_may_be_parse_fast)
{
	for (int same = 0; same < 2; same++) {
		char *text = routes(same == 1);
		double start = seconds(), took;
		struct conf *c = given_parse(text);

		took = seconds() - start;
		(void)fprintf(stderr, "20000 routes: %.1f ms\n", took * 1e3);
		/* Some 100 ms of CPU, and more with sanitizers; what is quadratic takes minutes. */
		cr_expect_lt(took, 2.0);
		cr_assert_eq(c->listeners[0].num_routes, CONF_MAX_ROUTES);
		cr_expect_str_eq(c->listeners[0].routes[CONF_MAX_ROUTES - 1].path_prefix,
				 "/p19999/");
		conf_free(c);
		free(text);
	}
}
