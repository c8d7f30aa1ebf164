/* Which versions of HTTP are spoken, on either side. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "tests/unit/conf/given.h"

#define HTTP(json)                                                               \
	"{\"listeners\":[{\"address\":\":443\",\"pool\":\"web\",\"http\":{" json \
	"}}]," GIVEN_POOLS "}"
#define POOL(json) \
	"{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":[\"127.0.0.1:8080\"]," json "}}}"
#define VERSIONS "/listeners/0/http/versions"

Test(versions, of_a_listener_are_in_order_of_preference)
{
	static const struct {
		const char *json;
		size_t num;
		uint64_t list[2];
		bool given;
	} cases[] = {
		{ HTTP(""), 2, { CONF_HTTP2, CONF_HTTP1 }, false },
		{ HTTP("\"versions\":[2,1.1]"), 2, { CONF_HTTP2, CONF_HTTP1 }, true },
		{ HTTP("\"versions\":[1.1,2]"), 2, { CONF_HTTP1, CONF_HTTP2 }, true },
		{ HTTP("\"versions\":[1.1]"), 1, { CONF_HTTP1 }, true },
		{ HTTP("\"versions\":[2]"), 1, { CONF_HTTP2 }, true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf *c = given_parse(cases[i].json);
		const struct conf_http *h = &c->listeners[0].http;

		cr_assert_eq(h->num_versions, cases[i].num, "%s", cases[i].json);
		for (size_t k = 0; k < cases[i].num; k++)
			cr_expect_eq(h->versions[k], cases[i].list[k], "%s", cases[i].json);
		cr_expect_eq(h->versions_given, cases[i].given, "%s", cases[i].json);
		conf_free(c);
	}
}

Test(versions, that_are_none_are_refused)
{
	given_refused(HTTP("\"versions\":[3]"), VERSIONS "/0", "expected 2 or 1.1, got number 3");
	given_refused(HTTP("\"versions\":[2,1.0]"), VERSIONS "/1", "expected");
	given_refused(HTTP("\"versions\":[ \"2\"]"), VERSIONS "/0", "got string \"2\"");
	given_refused(HTTP("\"versions\":[2.0000001]"), VERSIONS "/0", "expected");
	given_refused(HTTP("\"versions\":[]"), VERSIONS, "is empty");
	given_refused(HTTP("\"versions\":\"2\""), VERSIONS, "expected an array");
	given_refused(HTTP("\"version\":[\"2\"]"), "/listeners/0/http/version",
		      "did you mean \"versions\"?");
}

Test(versions, are_named_once)
{
	given_refused(HTTP("\"versions\":[2,2]"), VERSIONS,
		      "names the same version twice: remove one");
	given_refused(HTTP("\"versions\":[1.1,1.1]"), VERSIONS, "twice");
	cr_expect_eq(given_errors(HTTP("\"versions\":[3,3]")), 2,
		     "what is wrong already is not told again");
}

Test(versions, streams_at_a_time_have_a_range)
{
	struct conf *c = given_parse(HTTP(""));

	cr_expect_eq(c->listeners[0].http.max_concurrent_streams, 128u);
	conf_free(c);
	c = given_parse(HTTP("\"max_concurrent_streams\":1"));
	cr_expect_eq(c->listeners[0].http.max_concurrent_streams, 1u);
	conf_free(c);
	given_refused(HTTP("\"max_concurrent_streams\":0"),
		      "/listeners/0/http/max_concurrent_streams", "from 1 to 10000");
	given_refused(HTTP("\"max_concurrent_streams\":10001"),
		      "/listeners/0/http/max_concurrent_streams", "from 1 to 10000");
	given_refused(HTTP("\"max_concurrent_streams\":\"9\""),
		      "/listeners/0/http/max_concurrent_streams", "got string \"9\"");
}

Test(versions, of_a_pool_are_its_protocol)
{
	static const struct {
		const char *json;
		enum conf_protocol protocol;
	} cases[] = {
		{ POOL("\"balance\":\"round_robin\""), CONF_PROTOCOL_HTTP1 },
		{ POOL("\"protocol\":\"http/1.1\""), CONF_PROTOCOL_HTTP1 },
		{ POOL("\"protocol\":\"http/2\""), CONF_PROTOCOL_HTTP2 },
		{ POOL("\"protocol\":\"http/2\",\"tls\":{}"), CONF_PROTOCOL_HTTP2 },
		{ POOL("\"protocol\":\"auto\",\"tls\":{}"), CONF_PROTOCOL_AUTO },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf *c = given_parse(cases[i].json);

		cr_expect_eq(c->pools[0].protocol, cases[i].protocol, "%s", cases[i].json);
		conf_free(c);
	}
	given_refused(POOL("\"protocol\":\"h2\""), "/pools/web/protocol",
		      "expected \"http/1.1\", \"http/2\" or \"auto\"");
	given_refused(POOL("\"protocol\":[\"http/2\"]"), "/pools/web/protocol", "got an array");
	given_refused(POOL("\"protocols\":\"http/2\""), "/pools/web/protocols",
		      "did you mean \"protocol\"?");
}

Test(versions, auto_is_for_servers_that_can_be_asked)
{
	given_refused(POOL("\"protocol\":\"auto\""), "/pools/web/protocol",
		      "\"auto\" is for pools with \"tls\"");
}

Test(versions, round_trip)
{
	static const char *const texts[] = {
		HTTP(""),
		HTTP("\"versions\":[2,1.1]"),
		HTTP("\"versions\":[2],\"max_concurrent_streams\":7"),
		POOL("\"protocol\":\"auto\",\"tls\":{}"),
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct conf *c = given_parse(texts[i]);
		struct conf *again = given_parse(conf_canonical(c));

		cr_expect(given_equal(c, again), "%s", texts[i]);
		cr_expect_str_eq(conf_canonical(c), conf_canonical(again));
		/* Else HTTP/2 would be spoken without TLS where nobody has asked for it. */
		cr_expect_eq(again->listeners[0].http.versions_given,
			     c->listeners[0].http.versions_given, "%s", texts[i]);
		conf_free(again);
		conf_free(c);
	}
}
