#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/values.h"
#include "tests/unit/conf/given.h"

/* Routes of a listener, plaintext or with TLS, in a configuration that is right otherwise. */
#define ROUTES(json) "{\"listeners\":[{\"address\":\":1\",\"routes\":[" json "]}]," GIVEN_POOLS "}"
#define ROUTE(json) ROUTES("{" json "}")
#define POOL(json) ROUTE("\"pool\":\"web\"," json)
#define TLS(json)                                                                              \
	"{\"listeners\":[{\"address\":\":1\",\"tls\":{\"certificates\":[\"a\"]},\"routes\":[{" \
	"\"pool\":\"web\"," json "}]}]," GIVEN_POOLS "}"
#define AT "/listeners/0/routes/0"

Test(route, every_key_reaches_its_place)
{
	char *text = given_file("conf/examples/http.json");
	struct conf *c = given_parse(text);
	const struct conf_listener *l = c->listeners;
	const struct conf_route *r = l->routes;

	cr_assert_eq(c->num_listeners, 3);
	cr_assert_eq(l->num_routes, 6);
	cr_expect_eq(l->pool, CONF_NO_POOL);
	cr_assert_eq(r[0].num_hosts, 1);
	cr_expect_str_eq(r[0].hosts[0], "shop.example.com");
	cr_expect_null(r[0].path);
	cr_expect_str_eq(r[0].path_prefix, "/api/");
	cr_assert_eq(r[0].num_methods, 3);
	cr_expect_str_eq(r[0].methods[2], "POST");
	cr_expect_eq(r[0].pool, 1);
	cr_expect_str_eq(r[0].strip_prefix, "/api");
	cr_assert_eq(r[0].request_headers.num_set, 1);
	cr_expect_str_eq(r[0].request_headers.set[0].name, "X-Site");
	cr_expect_str_eq(r[0].request_headers.set[0].value, "shop");
	cr_assert_eq(r[0].request_headers.num_remove, 1);
	cr_expect_str_eq(r[0].request_headers.remove[0], "X-Debug");
	cr_expect_eq(r[0].request_headers.num_add, 0);
	cr_expect_eq(r[0].response_headers.num_set, 0);
	cr_expect_str_eq(r[0].pointer, AT);
	cr_expect_eq(r[1].pool, CONF_NO_POOL);
	cr_expect_eq(r[1].respond->status, 405);
	cr_expect_str_eq(r[1].respond->body, "");
	cr_expect_str_eq(r[1].respond->headers[0].name, "Allow");
	cr_expect_str_eq(r[2].hosts[1], "*.internal.example.com");
	cr_assert_eq(r[2].num_source, 2);
	cr_expect_eq(r[2].source[0].family, AF_INET);
	cr_expect_eq(r[2].source[0].bits, 8);
	cr_expect_eq(r[2].source[1].family, AF_INET6);
	cr_assert_eq(r[2].num_headers, 2);
	cr_expect_str_eq(r[2].headers[0].name, "X-Team");
	cr_expect_str_eq(r[2].headers[0].value, "ops");
	cr_expect_not(r[2].headers[0].present);
	cr_expect_str_eq(r[2].headers[1].name, "Authorization");
	cr_expect_null(r[2].headers[1].value);
	cr_expect(r[2].headers[1].present);
	cr_expect_str_eq(r[3].redirect->location, "https://shop.example.com");
	cr_expect_eq(r[3].redirect->status, 301);
	cr_expect_eq(r[3].redirect->port, 0);
	cr_expect_str_eq(r[4].path, "/robots.txt");
	cr_expect_str_eq(r[4].respond->body, "User-agent: *\nDisallow:\n");
	cr_expect_eq(r[5].pool, 0);
	cr_expect_eq(r[5].hsts->max_age_ns, 365 * VALUE_DAY);
	cr_expect(r[5].hsts->include_subdomains && !r[5].hsts->preload);
	cr_expect_str_eq(r[5].response_headers.add[0].value, "nosniff");
	cr_expect_str_eq(r[5].response_headers.remove[0], "X-Powered-By");
	cr_expect_str_eq(c->listeners[1].routes[0].redirect->location, "https");
	cr_expect_eq(c->listeners[1].routes[0].redirect->port, 443);
	cr_expect_eq(c->listeners[1].routes[0].redirect->status, 308);
	conf_free(c);
	free(text);
}

Test(route, shorthands_stand_for_objects)
{
	struct conf *c = given_parse(TLS("\"host\":\"A.example\",\"methods\":\"PUT\",\"source\":"
					 "\"::1\",\"hsts\":\"2d\""));
	const struct conf_route *r = c->listeners[0].routes;

	cr_expect_str_eq(r->hosts[0], "a.example");
	cr_expect_str_eq(r->methods[0], "PUT");
	cr_expect_eq(r->source[0].bits, 128);
	cr_expect_eq(r->hsts->max_age_ns, 2 * VALUE_DAY);
	conf_free(c);
	c = given_parse(TLS("\"hsts\":{}"));
	cr_expect_eq(c->listeners[0].routes[0].hsts->max_age_ns, 365 * VALUE_DAY);
	conf_free(c);
	c = given_parse(ROUTE("\"redirect\":{\"location\":\"https\",\"port\":8443}"));
	cr_expect_eq(c->listeners[0].routes[0].redirect->port, 8443);
	conf_free(c);
	c = given_parse(POOL("\"headers\":{\"a\":{\"value\":\"\"}}"));
	cr_expect_str_eq(c->listeners[0].routes[0].headers[0].value, "");
	conf_free(c);
}

Test(route, has_exactly_one_action)
{
	given_refused(ROUTE("\"path\":\"/\""), AT,
		      "has no \"pool\", \"redirect\" or \"respond\": give it one of them");
	given_refused(POOL("\"redirect\":\"https\""), AT,
		      "has both \"pool\" and \"redirect\": only one of \"pool\", \"redirect\" or "
		      "\"respond\" may be there");
	given_refused(ROUTE("\"redirect\":\"/a\",\"respond\":{\"status\":200}"), AT,
		      "has both \"redirect\" and \"respond\"");
	given_refused(POOL("\"path\":\"/a\",\"path_prefix\":\"/a\""), AT,
		      "has both \"path\" and \"path_prefix\"");
	given_refused(ROUTE("\"pool\":\"wbe\""), AT "/pool", "did you mean \"web\"?");
	given_refused(POOL("\"pathprefix\":\"/\""), AT "/pathprefix",
		      "did you mean \"path_prefix\"?");
	given_refused(ROUTES("1"), AT, "expected an object, got number 1");
}

Test(route, what_is_matched_is_checked)
{
	given_refused(POOL("\"host\":\"a.example:443\""), AT "/host",
		      "\"a.example:443\" has a port, which is not matched: leave it out");
	given_refused(POOL("\"host\":[\"a.example\",\"*\"]"), AT "/host/1",
		      "\"*\" is any host: leave \"host\" out");
	given_refused(POOL("\"host\":[\"a.example\",\"A.example.\"]"), AT "/host/1",
		      "\"a.example\" is there twice: remove one");
	given_refused(POOL("\"host\":[]"), AT "/host", "is empty: give at least one");
	given_refused(POOL("\"host\":1"), AT "/host",
		      "expected a host such as \"a.example\" or \"*.example\", got number 1");
	given_refused(POOL("\"path\":\"a\""), AT "/path",
		      "\"a\" does not begin with \"/\": put one there");
	given_refused(POOL("\"path_prefix\":\"/a/../b\""), AT "/path_prefix",
		      "has a segment \".\" or \"..\"");
	given_refused(POOL("\"path\":\"\""), AT "/path",
		      "is empty: expected a path such as \"/api/\"");
	given_refused(POOL("\"path\":[]"), AT "/path", "expected a path such as");
	given_refused(POOL("\"methods\":[\"GET\",\"post\"]"), AT "/methods/1",
		      "\"post\" is no method: they are case-sensitive, write it in upper case");
	given_refused(POOL("\"methods\":[\"GET\",\"GET\"]"), AT "/methods/1", "is there twice");
	given_refused(POOL("\"methods\":{}"), AT "/methods", "expected a method such as \"GET\"");
	given_refused(POOL("\"source\":\"10.0.0.1/8\""), AT "/source",
		      "write \"10.0.0.0/8\" for all of it, or \"10.0.0.1\"");
	given_refused(POOL("\"source\":[\"::1\",8]"), AT "/source/1",
		      "expected a network such as \"10.0.0.0/8\", got number 8");
	given_refused(POOL("\"headers\":[]"), AT "/headers",
		      "expected an object of name to value or {\"present\": true}, got an array");
	given_refused(POOL("\"headers\":{\"a b\":\"x\"}"), AT "/headers/a b",
		      "\"a b\" has a character that does not belong in it");
	given_refused(POOL("\"headers\":{\"a\":1}"), AT "/headers/a",
		      "expected a string or an object, got number 1");
	given_refused(POOL("\"headers\":{\"a\":{\"present\":false}}"), AT "/headers/a/present",
		      "expected true, got false");
	given_refused(POOL("\"headers\":{\"a\":{}}"), AT "/headers/a",
		      "has no \"value\" or \"present\": give it one of them");
	given_refused(POOL("\"headers\":{\"a\":{\"value\":\"b\",\"present\":true}}"),
		      AT "/headers/a", "has both \"value\" and \"present\"");
	given_refused(POOL("\"headers\":{\"X-A\":\"1\",\"b\":\"\",\"x-a\":\"2\"}"),
		      AT "/headers/x-a", "\"x-a\" is there twice: remove one");
	given_refused(POOL("\"headers\":{\"a\":\" b\"}"), AT "/headers/a",
		      "has a space at its beginning or end");
	conf_free(given_parse(POOL("\"headers\":{\"Host\":{\"present\":true}}")));
}

Test(route, redirects_are_checked)
{
	given_refused(ROUTE("\"redirect\":{}"), AT "/redirect",
		      "required key \"location\" is missing: expected \"https\", a URL or a path");
	given_refused(ROUTE("\"redirect\":1"), AT "/redirect", "expected a string or an object");
	given_refused(ROUTE("\"redirect\":\"www.example\""), AT "/redirect",
		      "\"www.example\" is nowhere to go");
	given_refused(ROUTE("\"redirect\":{\"location\":\"/a\\nb\"}"), AT "/redirect/location",
		      "contains a control character");
	given_refused(ROUTE("\"redirect\":{\"location\":\"/\",\"status\":200}"),
		      AT "/redirect/status", "expected 301, 302, 303, 307 or 308, got number 200");
	given_refused(ROUTE("\"redirect\":{\"location\":\"/\",\"status\":\"301\"}"),
		      AT "/redirect/status", "got string \"301\"");
	given_refused(ROUTE("\"redirect\":{\"location\":\"/\",\"port\":443}"), AT "/redirect/port",
		      "is only for the location \"https\"");
	given_refused(ROUTE("\"redirect\":{\"location\":\"https\",\"port\":65536}"),
		      AT "/redirect/port", "from 1 to 65535");
}

Test(route, responses_are_checked)
{
	static const char *const empty[] = { "204", "205", "304" };
	char text[512];

	given_refused(ROUTE("\"respond\":{}"), AT "/respond", "required key \"status\"");
	given_refused(ROUTE("\"respond\":\"ok\""), AT "/respond", "expected an object");
	given_refused(ROUTE("\"respond\":{\"status\":199}"), AT "/respond/status",
		      "from 200 to 599");
	given_refused(ROUTE("\"respond\":{\"status\":600}"), AT "/respond/status",
		      "from 200 to 599");
	given_refused(ROUTE("\"respond\":{\"status\":200,\"body\":1}"), AT "/respond/body",
		      "expected a text, got number 1");
	given_refused(ROUTE("\"respond\":{\"status\":200,\"headers\":{\"Content-Length\":\"1\"}}"),
		      AT "/respond/headers/Content-Length",
		      "\"Content-Length\" is a field that the proxy itself decides on");
	given_refused(ROUTE("\"respond\":{\"status\":200,\"headers\":{\"a\":{\"value\":\"b\"}}}"),
		      AT "/respond/headers/a",
		      "expected the value of a header field, got an object");
	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
		(void)snprintf(text, sizeof(text),
			       ROUTE("\"respond\":{\"status\":%s,\"body\":\"x\"}"), empty[i]);
		given_refused(text, AT "/respond/body", "has no body: remove it");
		(void)snprintf(text, sizeof(text),
			       ROUTE("\"respond\":{\"status\":%s,\"body\":\"\"}"), empty[i]);
		conf_free(given_parse(text));
	}
}

Test(route, edits_leave_the_proxys_own_fields_alone)
{
	given_refused(POOL("\"request_headers\":{\"set\":{\"host\":\"a\"}}"),
		      AT "/request_headers/set/host", "decides on: take it out");
	given_refused(POOL("\"request_headers\":{\"add\":{\"Connection\":\"a\"}}"),
		      AT "/request_headers/add/Connection", "decides on");
	given_refused(POOL("\"response_headers\":{\"remove\":[\"Transfer-Encoding\"]}"),
		      AT "/response_headers/remove/0", "decides on");
	given_refused(POOL("\"response_headers\":{\"remove\":[\"a\",\"A\"]}"),
		      AT "/response_headers/remove/1", "is there twice");
	given_refused(POOL("\"response_headers\":{\"remove\":\"a\"}"),
		      AT "/response_headers/remove",
		      "expected an array with each entry the name of a header field");
	given_refused(POOL("\"request_headers\":{\"set\":{\"a\":\"b\\r\\nc: d\"}}"),
		      AT "/request_headers/set/a", "contains a control character: remove it");
	given_refused(POOL("\"request_headers\":{\"set\":{\"a\":1}}"), AT "/request_headers/set/a",
		      "expected the value of a header field, got number 1");
	given_refused(POOL("\"request_headers\":{\"set\":{\"\":\"a\"}}"),
		      AT "/request_headers/set/", "the name is empty");
	given_refused(POOL("\"request_headers\":{\"sett\":{}}"), AT "/request_headers/sett",
		      "did you mean \"set\"?");
}

Test(route, keys_of_a_pool_are_for_a_pool)
{
	given_refused(ROUTE("\"redirect\":\"/\",\"request_headers\":{}"), AT "/request_headers",
		      "is only for a route with \"pool\": remove it");
	given_refused(ROUTE("\"redirect\":\"/\",\"path\":\"/a\",\"strip_prefix\":\"/a\""),
		      AT "/strip_prefix", "is only for a route with \"pool\": remove it");
	given_refused(POOL("\"strip_prefix\":\"/a\""), AT "/strip_prefix",
		      "is only for a route with \"path\" or \"path_prefix\": remove it");
	conf_free(given_parse(ROUTE("\"redirect\":\"/\",\"response_headers\":{\"set\":{\"a\":"
				    "\"b\"}}")));
}

Test(route, what_is_stripped_ends_with_a_segment)
{
	static const char *const good[][2] = {
		{ "/api", "/api" },    { "/api", "/api/" }, { "/api/", "/api/" },
		{ "/api", "/api/v1" }, { "/", "/api" },	    { "/api/", "/api/v1" },
	};
	static const char *const bad[][2] = {
		{ "/ap", "/api" },
		{ "/api/", "/api" },
		{ "/api", "/apis/" },
		{ "/b", "/api" },
	};
	char text[512];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		(void)snprintf(text, sizeof(text),
			       POOL("\"strip_prefix\":\"%s\",\"path_prefix\":\"%s\""), good[i][0],
			       good[i][1]);
		conf_free(given_parse(text));
		(void)snprintf(text, sizeof(text), POOL("\"strip_prefix\":\"%s\",\"path\":\"%s\""),
			       good[i][0], good[i][1]);
		conf_free(given_parse(text));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(text, sizeof(text),
			       POOL("\"strip_prefix\":\"%s\",\"path_prefix\":\"%s\""), bad[i][0],
			       bad[i][1]);
		given_refused(text, AT "/strip_prefix", "by whole segments");
	}
	given_refused(POOL("\"strip_prefix\":\"a\",\"path\":\"/a\""), AT "/strip_prefix",
		      "does not begin with \"/\"");
}

Test(route, hsts_needs_tls)
{
	given_refused(POOL("\"hsts\":\"1d\""), AT "/hsts",
		      "is only for a listener with \"tls\": clients heed it by HTTPS only");
	given_refused(TLS("\"hsts\":\"1y\""), AT "/hsts", "is not a duration");
	given_refused(TLS("\"hsts\":{\"max_age\":\"3651d\"}"), AT "/hsts/max_age",
		      "out of range: expected \"0s\" to \"3650d\"");
	given_refused(TLS("\"hsts\":{\"preload\":1}"), AT "/hsts/preload",
		      "expected true or false");
	given_refused(TLS("\"hsts\":true"), AT "/hsts", "expected a string or an object");
}

/* Parses `json`, which is right, and expects `num` warnings, the first at `where` and `what`. */
static void hidden(const char *json, size_t num, const char *where, const char *what)
{
	struct conf_source from = given_source();
	struct problems why;
	struct conf *c;

	problems_init(&why);
	c = conf_parse(span_str(json), &from, &why);
	cr_assert_not_null(c, "%s", json);
	cr_assert_eq(why.num_warnings, num, "%zu warnings: %s", why.num_warnings, json);
	if (num > 0) {
		cr_expect_str_eq(why.list[0].where, where);
		cr_expect_str_eq(why.list[0].what, what);
	}
	conf_free(c);
	problems_fini(&why);
}

Test(route, one_that_is_never_reached_is_a_warning)
{
	hidden(ROUTES("{\"pool\":\"web\"},{\"redirect\":\"/\"}"), 1,
	       "t.json: /listeners/0/routes/1",
	       "is never reached: /listeners/0/routes/0 comes before it and takes the same "
	       "requests");
	hidden(ROUTES("{\"host\":[\"a\",\"b\"],\"path\":\"/x\",\"pool\":\"web\"},{\"path\":\"/x\","
		      "\"host\":\"c\",\"pool\":\"web\"},{\"path\":\"/x\",\"host\":[\"d\",\"B\"],"
		      "\"methods\":[\"GET\"],\"pool\":\"web\"}"),
	       1, "t.json: /listeners/0/routes/2",
	       "is never reached for host \"b\": /listeners/0/routes/0 comes before it and takes the "
	       "same requests");
	hidden(ROUTES("{\"path_prefix\":\"/\",\"pool\":\"web\"},{\"pool\":\"web\"},{\"pool\":"
		      "\"web\"}"),
	       2, "t.json: /listeners/0/routes/1",
	       "is never reached: /listeners/0/routes/0 comes before it and takes the same "
	       "requests");
}

Test(route, others_are_reached)
{
	hidden(ROUTES("{\"path\":\"/a\",\"pool\":\"web\"},{\"path_prefix\":\"/a\",\"pool\":\"web\"},"
		      "{\"host\":\"a\",\"path\":\"/a\",\"pool\":\"web\"},{\"pool\":\"web\"}"),
	       0, NULL, NULL);
	hidden(ROUTES("{\"methods\":[\"GET\"],\"pool\":\"web\"},{\"source\":\"::1\",\"pool\":"
		      "\"web\"},{\"headers\":{\"a\":\"\"},\"pool\":\"web\"},{\"pool\":\"web\"}"),
	       0, NULL, NULL);
	hidden("{\"listeners\":[{\"address\":\":1\",\"routes\":[{\"pool\":\"web\"}]},{\"address\":"
	       "\":2\",\"routes\":[{\"pool\":\"web\"}]}]," GIVEN_POOLS "}",
	       0, NULL, NULL);
}

Test(route, all_errors_of_one_are_found)
{
	cr_expect_eq(
		given_errors(ROUTE("\"host\":\"*\",\"path\":\"a\",\"path_prefix\":\"b\","
				   "\"methods\":[\"get\"],\"redirect\":{\"port\":1,\"status\":1},"
				   "\"strip_prefix\":\"/x\",\"hsts\":\"1d\",\"x\":1")),
		10);
}
