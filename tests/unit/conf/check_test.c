#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "tests/unit/conf/given.h"

static const char *two_listeners(const char *a, const char *b)
{
	static char text[1024];

	(void)snprintf(text, sizeof(text),
		       "{\"listeners\":[{\"name\":\"a\",\"address\":%s,\"pool\":\"web\"},"
		       "{\"name\":\"b\",\"address\":%s,\"pool\":\"web\"}]," GIVEN_POOLS "}",
		       a, b);
	return text;
}

Test(check, unknown_pools_come_with_the_nearest)
{
	given_refused("{\"listeners\":[{\"address\":\":1\",\"pool\":\"wbe\"}]," GIVEN_POOLS "}",
		      "/listeners/0/pool", "no pool is named \"wbe\", did you mean \"web\"?");
	given_refused("{\"listeners\":[{\"address\":\":1\",\"pool\":\"other\"}]," GIVEN_POOLS "}",
		      "/listeners/0/pool", "no pool is named \"other\": add it to \"pools\"");
	given_refused("{\"listeners\":[{\"address\":\":1\",\"pool\":\"web\"}]}",
		      "/listeners/0/pool", "no pool is named \"web\"");
}

Test(check, pools_are_found_whatever_their_order)
{
	struct conf *c = given_parse(
		"{\"listeners\":[{\"address\":\":1\",\"pool\":\"b\"},{\"address\":\":2\",\"pool\":"
		"\"c\"},{\"address\":\":3\",\"pool\":\"a\"}],\"pools\":{\"c\":{\"servers\":[\"c:1\"]"
		"},\"a\":{\"servers\":[\"a:1\"]},\"b\":{\"servers\":[\"b:1\"]}}}");

	cr_expect_str_eq(c->pools[c->listeners[0].pool].name, "b");
	cr_expect_str_eq(c->pools[c->listeners[1].pool].name, "c");
	cr_expect_str_eq(c->pools[c->listeners[2].pool].name, "a");
	cr_expect_str_eq(c->pools[0].name, "c");
	conf_free(c);
}

Test(check, listener_names_are_unique)
{
	given_refused("{\"listeners\":[{\"name\":\"x\",\"address\":\":1\",\"pool\":\"web\"},"
		      "{\"name\":\"x\",\"address\":\":2\",\"pool\":\"web\"}]," GIVEN_POOLS "}",
		      "/listeners/1", "the listener at /listeners/0 is named \"x\", too");
	given_refused("{\"listeners\":[{\"address\":\":1\",\"pool\":\"web\"},"
		      "{\"name\":\":1\",\"address\":\":2\",\"pool\":\"web\"}]," GIVEN_POOLS "}",
		      "/listeners/1", "named \":1\", too");
}

Test(check, the_same_address_twice_is_told_once)
{
	given_refused("{\"listeners\":[{\"address\":\":1\",\"pool\":\"web\"},"
		      "{\"address\":\":1\",\"pool\":\"web\"}]," GIVEN_POOLS "}",
		      "/listeners/1/address", "\":1\" is the same place as \":1\" of /listeners/0");
}

Test(check, addresses_that_exclude_each_other_are_told)
{
	static const char *const pairs[][2] = {
		{ "\":443\"", "\":443\"" },
		{ "\":443\"", "\"0.0.0.0:443\"" },
		{ "\"0.0.0.0:443\"", "\":443\"" },
		{ "\":443\"", "\"[::]:443\"" },
		{ "\"[0::0]:443\"", "\":443\"" },
		{ "\"[::1]:443\"", "\"[0:0::1]:443\"" },
		{ "\"LocalHost:443\"", "\"localhost:443\"" },
		{ "\"unix:/run/a\"", "\"unix:/run//a\"" },
		{ "[\":1\",\":2\"]", "[\":3\",\":2\"]" },
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		given_refused(two_listeners(pairs[i][0], pairs[i][1]), "/listeners/1/address",
			      "is the same place as");
}

Test(check, addresses_that_live_together_are_fine)
{
	static const char *const pairs[][2] = {
		{ "\":443\"", "\":444\"" },
		{ "\"0.0.0.0:443\"", "\"[::]:443\"" },
		{ "\"127.0.0.1:443\"", "\"127.0.0.2:443\"" },
		{ "\"unix:/run/a\"", "\"unix:/run/b\"" },
		{ "\":443\"", "\"0.0.0.0:444\"" },
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		conf_free(given_parse(two_listeners(pairs[i][0], pairs[i][1])));
}

Test(check, one_listener_may_not_name_an_address_twice)
{
	given_refused(
		"{\"listeners\":[{\"address\":[\":1\",\"0.0.0.0:1\"],\"pool\":\"web\"}]," GIVEN_POOLS
		"}",
		"/listeners/0/address", "is the same place as");
}

Test(check, admin_may_not_be_where_a_listener_is)
{
	given_refused("{" GIVEN_ALL ",\"admin\":{\"address\":\"0.0.0.0:443\"}}", "/admin/address",
		      "is the same place as \":443\" of /listeners/0");
	conf_free(given_parse("{" GIVEN_ALL ",\"admin\":{\"address\":\":444\"}}"));
}

Test(check, tls_versions_leave_one)
{
	given_refused(
		"{\"listeners\":[{\"address\":\":1\",\"pool\":\"web\",\"tls\":{"
		"\"certificates\":[\"a\"],\"min_version\":\"1.3\",\"max_version\":\"1.2\"}}]," GIVEN_POOLS
		"}",
		"/listeners/0/tls", "no version is left");
	conf_free(given_parse("{\"listeners\":[{\"address\":\":1\",\"pool\":\"web\",\"tls\":{"
			      "\"certificates\":[\"a\"],\"min_version\":\"1.3\",\"max_version\":"
			      "\"1.3\"}}]," GIVEN_POOLS "}"));
}

Test(check, server_names_are_unique_in_a_pool)
{
	given_refused("{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":[\"a:1\",\"b:1\","
		      "\"A:1\"]}}}",
		      "/pools/web/servers/2", "server \"a:1\" is in this pool already");
	given_refused("{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":[{\"address\":\"a:1\","
		      "\"name\":\"x\"},{\"address\":\"b:1\",\"name\":\"x\"}]}}}",
		      "/pools/web/servers/1", "server \"x\" is in this pool already");
	conf_free(given_parse("{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":[\"a:1\","
			      "{\"address\":\"a:1\",\"name\":\"again\"}]},\"b\":{\"servers\":"
			      "[\"a:1\"]}}}"));
}

Test(check, names_from_addresses_are_not_too_long)
{
	char text[1024], host[128];

	memset(host, 'a', sizeof(host));
	host[63] = '.';
	host[127] = '\0';
	(void)snprintf(text, sizeof(text),
		       "{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":[\"%s:1\"]}}}", host);
	given_refused(text, "/pools/web/servers/0", "give it a \"name\"");
	(void)snprintf(
		text, sizeof(text),
		"{" GIVEN_LISTENERS
		",\"pools\":{\"web\":{\"servers\":[{\"address\":\"%s:1\",\"name\":\"x\"}]}}}",
		host);
	conf_free(given_parse(text));
}

Test(check, a_unix_server_with_tls_needs_a_name_to_verify)
{
	given_refused("{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":[\"unix:/a\"],"
		      "\"tls\":{}}}}",
		      "/pools/web/tls", "add \"server_name\"");
	conf_free(given_parse("{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":[\"unix:/a\"],"
			      "\"tls\":{\"server_name\":\"a\"}}}}"));
	conf_free(given_parse("{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":[\"unix:/a\"],"
			      "\"tls\":{\"verify\":false}}}}"));
}

Test(check, a_ca_that_is_not_used_is_a_warning)
{
	struct conf_source from = given_source();
	struct problems why;
	struct conf *c;

	problems_init(&why);
	c = conf_parse(span_str("{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":[\"a:1\"],"
				"\"tls\":{\"verify\":false,\"ca\":\"x\"}}}}"),
		       &from, &why);
	cr_assert_not_null(c);
	cr_assert_eq(why.num_warnings, 1);
	cr_expect_str_eq(why.list[0].where, "t.json: /pools/web/tls");
	conf_free(c);
	problems_fini(&why);
}

Test(check, pool_names_are_checked)
{
	static const struct {
		const char *name, *pointer, *what;
	} bad[] = {
		{ "", "/pools/", "the name is empty" },
		{ "$x", "/pools/$x", "may not begin with \"$\"" },
		{ "a\\u0007", "/pools/a?", "control character" },
	};
	char text[1024], name[130];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(text, sizeof(text),
			       "{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":[\"a:1\"]},"
			       "\"%s\":{\"servers\":[\"a:1\"]}}}",
			       bad[i].name);
		given_refused(text, bad[i].pointer, bad[i].what);
	}
	memset(name, 'n', sizeof(name));
	name[129] = '\0';
	(void)snprintf(text, sizeof(text),
		       "{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":[\"a:1\"]},"
		       "\"%s\":{\"servers\":[\"a:1\"]}}}",
		       name);
	cr_expect_eq(given_errors(text), 1);
}

/* `count` copies of `item`, in which '#' is the number, between `head` and `tail`. */
static char *many(const char *head, const char *item, const char *tail, size_t count)
{
	size_t mark = strcspn(item, "#"), len;
	char *text = NULL;
	FILE *out = open_memstream(&text, &len);

	cr_assert_not_null(out);
	(void)fputs(head, out);
	for (size_t i = 1; i <= count; i++)
		(void)fprintf(out, "%s%.*s%zu%s", i == 1 ? "" : ",", (int)mark, item, i,
			      item + mark + 1);
	(void)fputs(tail, out);
	cr_assert_eq(fclose(out), 0);
	return text;
}

Test(check, counts_are_bounded)
{
	static const struct {
		const char *head, *item, *tail, *where, *what;
		size_t max;
	} bounds[] = {
		{ "{\"listeners\":[", "{\"address\":\":#\",\"pool\":\"web\"}", "]," GIVEN_POOLS "}",
		  "/listeners", "at most 256", CONF_MAX_LISTENERS },
		{ "{\"listeners\":[{\"pool\":\"web\",\"address\":[", "\":#\"",
		  "]}]," GIVEN_POOLS "}", "/listeners/0/address", "at most 16",
		  CONF_MAX_ADDRESSES },
		{ "{\"listeners\":[{\"address\":\":1\",\"pool\":\"1\"}],\"pools\":{",
		  "\"#\":{\"servers\":[\"a:1\"]}", "}}", "/pools", "at most 1024", CONF_MAX_POOLS },
		{ "{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":[", "\"a:#\"", "]}}}",
		  "/pools/web/servers", "at most 4096", CONF_MAX_SERVERS },
		{ "{\"listeners\":[{\"address\":\":1\",\"pool\":\"web\",\"tls\":{\"certificates\":[",
		  "\"#.pem\"", "]}}]," GIVEN_POOLS "}", "/listeners/0/tls/certificates",
		  "at most 10000", CONF_MAX_CERTIFICATES },
		{ "{\"listeners\":[{\"address\":\":1\",\"routes\":[",
		  "{\"path\":\"/#\",\"pool\":\"web\"}", "]}]," GIVEN_POOLS "}",
		  "/listeners/0/routes", "at most 20000", CONF_MAX_ROUTES },
		{ "{\"listeners\":[{\"address\":\":1\",\"routes\":[{\"pool\":\"web\",\"host\":[",
		  "\"h#\"", "]}]}]," GIVEN_POOLS "}", "/listeners/0/routes/0/host", "at most 256",
		  CONF_MAX_ROUTE_WORDS },
		{ "{\"listeners\":[{\"address\":\":1\",\"routes\":[{\"pool\":\"web\",\"methods\":[",
		  "\"M#\"", "]}]}]," GIVEN_POOLS "}", "/listeners/0/routes/0/methods",
		  "at most 256", CONF_MAX_ROUTE_WORDS },
		{ "{\"listeners\":[{\"address\":\":1\",\"routes\":[{\"pool\":\"web\",\"headers\":{",
		  "\"X-#\":\"\"", "}}]}]," GIVEN_POOLS "}", "/listeners/0/routes/0/headers",
		  "at most 256", CONF_MAX_ROUTE_WORDS },
		{ "{\"listeners\":[{\"address\":\":1\",\"routes\":[{\"pool\":\"web\",\"source\":[",
		  "\"::#\"", "]}]}]," GIVEN_POOLS "}", "/listeners/0/routes/0/source",
		  "at most 256", CONF_MAX_ROUTE_WORDS },
	};

	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		char *text = many(bounds[i].head, bounds[i].item, bounds[i].tail, bounds[i].max);

		conf_free(given_parse(text));
		free(text);
		text = many(bounds[i].head, bounds[i].item, bounds[i].tail, bounds[i].max + 1);
		given_refused(text, bounds[i].where, bounds[i].what);
		free(text);
	}
}

Test(check, servers_of_all_pools_together_are_bounded)
{
	char *text =
		many("{\"listeners\":[{\"address\":\":1\",\"pool\":\"1\"}],\"pools\":{",
		     "\"#\":{\"servers\":[\"a:1\",\"a:2\",\"a:3\",\"a:4\",\"a:5\"]}", "}}", 820);

	given_refused(text, "/pools", "has 4100 servers in all pools together: at most 4096");
	free(text);
}
