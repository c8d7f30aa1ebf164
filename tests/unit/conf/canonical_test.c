#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "tests/unit/conf/given.h"

/* Parses the canonical text of `json` in another folder and without environment. */
static void round_trip(const char *json)
{
	struct conf_source other = { .file = "again", .folder = "/nowhere", .getenv = NULL };
	struct conf *c = given_parse(json), *again;
	const char *text = conf_canonical(c);
	struct problems why;

	problems_init(&why);
	again = conf_parse(span_str(text), &other, &why);
	problems_print(&why, stderr);
	cr_assert_not_null(again, "%s", text);
	cr_expect_str_eq(conf_canonical(again), text);
	cr_expect(given_equal(c, again), "%s", text);
	conf_free(again);
	conf_free(c);
	problems_fini(&why);
}

Test(canonical, is_a_fixed_point)
{
	static const char *const files[] = { "conf/examples/minimal.json", "conf/examples/tcp.json",
					     "conf/examples/sidecar.json",
					     "conf/examples/http.json" };

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char *text = given_file(files[i]);

		round_trip(text);
		free(text);
	}
}

Test(canonical, is_what_was_given_and_no_more)
{
	struct conf *c = given_parse(
		"{ \"$comment\": \"x\", \"pools\": {\"b\":{\"servers\":[\"${HOST}:1\",\"[0::1]:2\"]},"
		"\"a\":{\"servers\":[\"unix:a.sock\"],\"$comment\":\"y\"}},\n\"listeners\":"
		"[{\"pool\":\"a\",\"address\":\":1\",\"tls\":{\"certificates\":[\"./x\"]}}] }");

	cr_expect_str_eq(conf_canonical(c),
			 "{\"pools\":{\"b\":{\"servers\":[\"10.0.0.1:1\",\"[::1]:2\"]},"
			 "\"a\":{\"servers\":[\"unix:/etc/sallyport/a.sock\"]}},\"listeners\":"
			 "[{\"pool\":\"a\",\"address\":\":1\",\"tls\":{\"certificates\":"
			 "[\"/etc/sallyport/x\"]}}]}");
	conf_free(c);
}

Test(canonical, keeps_dollars_and_braces_that_are_meant)
{
	round_trip("{\"listeners\":[{\"name\":\"$${NO}${DOLLAR}$${\",\"address\":\":1\","
		   "\"pool\":\"p${NO:-$}\",\"tls\":{\"certificates\":[\"$${X:-y}\"]}}],"
		   "\"pools\":{\"p$\":{\"servers\":[\"a:1\"]}}}");
}

Test(canonical, keeps_names_that_need_escapes)
{
	round_trip("{\"listeners\":[{\"name\":\"\\u00e9\\\"\\\\/~\",\"address\":\":1\","
		   "\"pool\":\"a/b~\\\"\"}],\"pools\":{\"a/b~\\\"\":{\"servers\":[\"a:1\"]}}}");
}

Test(canonical, keeps_what_was_given_apart_from_defaults)
{
	round_trip("{" GIVEN_ALL ",\"admin\":{}}");
	round_trip("{" GIVEN_ALL ",\"admin\":false,\"log\":{\"access\":false}}");
	round_trip("{\"listeners\":[{\"address\":[\":1\"],\"pool\":\"web\",\"tls\":{"
		   "\"certificates\":[\"a\"],\"groups\":[\"X25519\"]}}]," GIVEN_POOLS "}");
}

Test(canonical, spells_hosts_and_networks_one_way)
{
	struct conf *c = given_parse(
		"{\"listeners\":[{\"address\":\":1\",\"trusted_proxies\":\"::ffff:10.0.0.0/104\","
		"\"routes\":[{\"host\":[\"A.Example.\",\"*.B.example\",\"[0:0::1]\"],\"source\":"
		"[\"10.0.0.1/32\",\"2001:DB8:0::/32\",\"0.0.0.0/0\"],\"redirect\":\"https\"}]}]}");

	cr_expect_str_eq(conf_canonical(c),
			 "{\"listeners\":[{\"address\":\":1\",\"trusted_proxies\":\"10.0.0.0/8\","
			 "\"routes\":[{\"host\":[\"a.example\",\"*.b.example\",\"[::1]\"],"
			 "\"source\":[\"10.0.0.1\",\"2001:db8::/32\",\"0.0.0.0/0\"],"
			 "\"redirect\":\"https\"}]}]}");
	conf_free(c);
}

Test(canonical, keeps_the_texts_of_routes)
{
	round_trip("{\"listeners\":[{\"address\":\":1\",\"http\":{\"server_header\":\"$${x}\"},"
		   "\"routes\":[{\"path\":\"/$${a}/%2F\",\"headers\":{\"a$\":\"${HOST}\","
		   "\"b\":{\"present\":true,\"$comment\":\"c\"}},\"respond\":{\"status\":200,"
		   "\"body\":\"a\\r\\n\\t${HOST}$${\"}}]}]}");
}

Test(canonical, equality_of_these_tests_sees_differences)
{
	static const char *const others[] = {
		"{" GIVEN_ALL ",\"workers\":1}",
		"{" GIVEN_ALL ",\"user\":\"a\"}",
		"{" GIVEN_ALL ",\"admin\":false}",
		"{" GIVEN_ALL ",\"admin\":{\"address\":\":1\"}}",
		"{" GIVEN_ALL ",\"log\":{\"level\":\"debug\"}}",
		"{" GIVEN_ALL ",\"drain_timeout\":\"1s\"}",
		"{\"listeners\":[{\"address\":\":443\",\"pool\":\"web\",\"trusted_proxies\":"
		"[\"::1\"]}]," GIVEN_POOLS "}",
		"{\"listeners\":[{\"address\":\":443\",\"pool\":\"web\",\"http\":{"
		"\"max_headers\":1}}]," GIVEN_POOLS "}",
		"{\"listeners\":[{\"address\":\":443\",\"routes\":[{\"pool\":\"web\"}]}]," GIVEN_POOLS
		"}",
		"{\"listeners\":[{\"address\":\":443\",\"routes\":[{\"pool\":\"web\","
		"\"request_headers\":{\"remove\":[\"a\"]}}]}]," GIVEN_POOLS "}",
		"{\"listeners\":[{\"address\":\":443\",\"routes\":[{\"pool\":\"web\","
		"\"response_headers\":{\"remove\":[\"a\"]}}]}]," GIVEN_POOLS "}",
		"{\"listeners\":[{\"address\":\":444\",\"pool\":\"web\"}]," GIVEN_POOLS "}",
		"{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":[\"127.0.0.1:8081\"]}}}",
		"{" GIVEN_LISTENERS
		",\"pools\":{\"web\":{\"tls\":{},\"servers\":[\"127.0.0.1:8080\"]}}}",
		"{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":[\"127.0.0.1:8080\"]},"
		"\"b\":{\"servers\":[\"a:1\"]}}}",
	};
	struct conf *c = given_parse("{" GIVEN_ALL "}");

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct conf *other = given_parse(others[i]);

		cr_expect_not(given_equal(c, other), "%s", others[i]);
		conf_free(other);
	}
	conf_free(c);
}
