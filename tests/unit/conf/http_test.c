#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/values.h"
#include "tests/unit/conf/given.h"

/* Keys of a listener or pool for HTTP, in a configuration that is right otherwise. */
#define LISTENER(json) \
	"{\"listeners\":[{\"address\":\":443\",\"pool\":\"web\"," json "}]," GIVEN_POOLS "}"
#define HTTP(json) LISTENER("\"http\":{" json "}")
#define TIMEOUTS(json) LISTENER("\"timeouts\":{" json "}")
#define POOL(json) \
	"{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":[\"127.0.0.1:8080\"]," json "}}}"
#define AT "/listeners/0"

Test(http, every_key_reaches_its_place)
{
	char *text = given_file("conf/examples/http.json");
	struct conf *c = given_parse(text);
	const struct conf_listener *l = c->listeners;
	const struct conf_pool *p = c->pools;

	cr_assert_eq(l->num_trusted_proxies, 1);
	cr_expect_eq(l->trusted_proxies[0].bits, 24);
	cr_expect_eq(l->timeouts.request_header_ns, 5 * VALUE_SECOND);
	cr_expect_eq(l->timeouts.request_body_ns, 30 * VALUE_SECOND);
	cr_expect_eq(l->timeouts.keepalive_ns, 60 * VALUE_SECOND);
	cr_expect_eq(l->timeouts.response_write_ns, 30 * VALUE_SECOND);
	cr_expect_eq(l->timeouts.minimum_rate, 1000);
	cr_expect_eq(l->http.num_versions, 2);
	cr_expect_eq(l->http.max_concurrent_streams, 100u);
	cr_expect_eq(l->http.max_header_size, 16384);
	cr_expect_eq(l->http.max_headers, 64);
	cr_expect_eq(l->http.max_body_size, 10 << 20);
	cr_expect_eq(l->http.max_requests_per_connection, 10000);
	cr_expect_eq(l->http.escaped_slashes, CONF_SLASHES_REJECT);
	cr_expect_eq(l->http.forwarded, CONF_FORWARDED_BOTH);
	cr_expect_str_eq(l->http.server_header, "sallyport");
	cr_expect_eq(c->listeners[2].mode, CONF_MODE_TCP);
	cr_expect_eq(c->listeners[2].num_routes, 0);
	cr_expect_eq(p[0].balance, CONF_BALANCE_LEAST_REQUESTS);
	cr_expect_eq(p[0].idle_connections, 32);
	cr_expect_eq(p[0].idle_connection_ns, 30 * VALUE_SECOND);
	cr_expect_eq(p[0].timeouts.response_header_ns, 20 * VALUE_SECOND);
	cr_expect_eq(p[1].balance, CONF_BALANCE_ROUND_ROBIN);
	cr_expect_eq(p[1].protocol, CONF_PROTOCOL_AUTO);
	cr_expect_eq(c->log.format, CONF_LOG_COMBINED);
	conf_free(c);
	free(text);
}

Test(http, all_choices_are_known)
{
	static const struct {
		const char *json;
		enum conf_forwarded forwarded;
	} cases[] = {
		{ HTTP("\"forwarded\":\"x-forwarded\""), CONF_FORWARDED_X },
		{ HTTP("\"forwarded\":\"rfc7239\""), CONF_FORWARDED_RFC },
		{ HTTP("\"forwarded\":\"both\",\"escaped_slashes\":\"keep\""),
		  CONF_FORWARDED_BOTH },
		{ HTTP("\"forwarded\":\"none\""), CONF_FORWARDED_NONE },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf *c = given_parse(cases[i].json);

		cr_expect_eq(c->listeners[0].http.forwarded, cases[i].forwarded);
		conf_free(c);
	}
}

Test(http, ranges_are_checked)
{
	given_refused(HTTP("\"max_header_size\":\"1023\""), AT "/http/max_header_size",
		      "\"1023\" is out of range: expected \"1KiB\" to \"1MiB\"");
	given_refused(HTTP("\"max_header_size\":\"2MiB\""), AT "/http/max_header_size",
		      "out of range");
	given_refused(
		HTTP("\"max_header_size\":\"64KB\""), AT "/http/max_header_size",
		"\"64KB\" is not a size such as \"64KiB\"; units are KiB, MiB, GiB or none for "
		"bytes");
	given_refused(HTTP("\"max_header_size\":\"\""), AT "/http/max_header_size",
		      "is not a size");
	given_refused(HTTP("\"max_header_size\":65536"), AT "/http/max_header_size",
		      "expected a size such as \"64KiB\", got number 65536");
	given_refused(HTTP("\"max_body_size\":\"1025GiB\""), AT "/http/max_body_size",
		      "expected \"0\" to \"1024GiB\"");
	given_refused(HTTP("\"max_headers\":0"), AT "/http/max_headers", "from 1 to 1000");
	given_refused(HTTP("\"max_headers\":1001"), AT "/http/max_headers", "from 1 to 1000");
	given_refused(HTTP("\"max_headers\":\"9\""), AT "/http/max_headers", "got string \"9\"");
	given_refused(HTTP("\"max_requests_per_connection\":-1"),
		      AT "/http/max_requests_per_connection", "from 0 to 1000000000");
	given_refused(HTTP("\"escaped_slashes\":\"rejct\""), AT "/http/escaped_slashes",
		      "did you mean \"reject\"?: expected \"keep\" or \"reject\"");
	given_refused(HTTP("\"forwarded\":\"x-forwarded-for\""), AT "/http/forwarded",
		      "expected \"x-forwarded\", \"rfc7239\", \"both\" or \"none\"");
	given_refused(HTTP("\"server_header\":\"a\\u0007\""), AT "/http/server_header",
		      "control character");
	given_refused(HTTP("\"max_header\":1"), AT "/http/max_header", "did you mean");
	given_refused(LISTENER("\"http\":false"), AT "/http", "expected an object, got false");
	given_refused(TIMEOUTS("\"request_header\":\"2h\""), AT "/timeouts/request_header",
		      "expected \"10ms\" to \"1h\"");
	given_refused(TIMEOUTS("\"request_body\":\"0s\""), AT "/timeouts/request_body",
		      "expected \"10ms\" to \"1d\"");
	given_refused(TIMEOUTS("\"keepalive\":75"), AT "/timeouts/keepalive", "got number 75");
	given_refused(TIMEOUTS("\"response_write\":\"9ms\""), AT "/timeouts/response_write",
		      "out of range");
	given_refused(TIMEOUTS("\"minimum_rate\":-1"), AT "/timeouts/minimum_rate", "from 0 to");
	given_refused(TIMEOUTS("\"keep_alive\":\"1s\""), AT "/timeouts/keep_alive",
		      "did you mean \"keepalive\"?");
	conf_free(given_parse(TIMEOUTS("\"minimum_rate\":0")));
	conf_free(given_parse(HTTP("\"max_header_size\":\"1024\",\"max_body_size\":\"1024GiB\"")));
}

static void expect_hash(const char *json, enum conf_hash hash, const char *name)
{
	struct conf *c = given_parse(json);
	const struct conf_pool *p = c->pools;

	cr_expect_eq(p->balance, CONF_BALANCE_HASH);
	cr_expect_eq(p->hash, hash, "%s", json);
	if (name == NULL)
		cr_expect_null(p->hash_name, "%s", json);
	else
		cr_expect_str_eq(p->hash_name, name);
	conf_free(c);
}

Test(http, a_hash_has_something_to_go_by)
{
	expect_hash(POOL("\"balance\":\"hash\""), CONF_HASH_CLIENT_ADDRESS, NULL);
	expect_hash(POOL("\"balance\":\"hash\",\"hash\":\"client_address\""),
		    CONF_HASH_CLIENT_ADDRESS, NULL);
	expect_hash(POOL("\"balance\":\"hash\",\"hash\":\"path\""), CONF_HASH_PATH, NULL);
	expect_hash(POOL("\"balance\":\"hash\",\"hash\":\"header:X-User\""), CONF_HASH_HEADER,
		    "X-User");
	expect_hash(POOL("\"balance\":\"hash\",\"hash\":\"cookie:sid\""), CONF_HASH_COOKIE, "sid");
	given_refused(POOL("\"balance\":\"hash\",\"hash\":\"query:a\""), "/pools/web/hash",
		      "\"query:a\" is nothing to hash: expected \"client_address\", "
		      "\"header:NAME\", \"cookie:NAME\" or \"path\"");
	given_refused(POOL("\"balance\":\"hash\",\"hash\":\"paths\""), "/pools/web/hash",
		      "is nothing to hash");
	given_refused(POOL("\"balance\":\"hash\",\"hash\":\"cookie:\""), "/pools/web/hash",
		      "\"cookie:\" has no name behind its colon");
	given_refused(POOL("\"balance\":\"hash\",\"hash\":\"header:a b\""), "/pools/web/hash",
		      "has a name with a character that does not belong in it");
	given_refused(POOL("\"balance\":\"hash\",\"hash\":\"\""), "/pools/web/hash", "is empty");
	given_refused(POOL("\"balance\":\"hash\",\"hash\":1"), "/pools/web/hash",
		      "expected \"client_address\"");
}

Test(http, a_hash_that_is_not_used_is_told_of)
{
	struct conf_source from = given_source();
	struct problems why;
	struct conf *c;

	problems_init(&why);
	c = conf_parse(span_str(POOL("\"balance\":\"random\",\"hash\":\"path\"")), &from, &why);
	cr_assert_not_null(c);
	cr_expect_eq(c->pools[0].balance, CONF_BALANCE_RANDOM);
	cr_assert_eq(why.num, 1u);
	cr_expect_str_eq(why.list[0].where, "t.json: /pools/web/hash");
	conf_free(c);
	problems_fini(&why);
}

#define SERVERS(list) \
	"{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":[" list "],\"balance\":\"first\"}}}"
#define SERVER(n, more) "{\"address\":\"127.0.0.1:" n "\"" more "}"

Test(http, backups_stand_in_for_others)
{
	struct conf *c = given_parse(SERVERS(SERVER("1", "") "," SERVER(
		"2", ",\"backup\":true") "," SERVER("3", ",\"backup\":false")));

	cr_expect_eq(c->pools[0].balance, CONF_BALANCE_FIRST);
	cr_expect_not(c->pools[0].servers[0].backup);
	cr_expect(c->pools[0].servers[1].backup);
	cr_expect_not(c->pools[0].servers[2].backup);
	conf_free(c);
	given_refused(SERVERS(SERVER("1", ",\"backup\":true")), "/pools/web/servers",
		      "every server is a \"backup\"");
	given_refused(SERVERS(SERVER("1", ",\"backup\":1")), "/pools/web/servers/0/backup",
		      "expected true or false");
}

Test(http, pools_have_keys_for_it)
{
	given_refused(POOL("\"connections\":{\"idle\":10001}"), "/pools/web/connections/idle",
		      "from 0 to 10000");
	given_refused(POOL("\"connections\":{\"idle_timeout\":60}"),
		      "/pools/web/connections/idle_timeout", "expected a duration");
	given_refused(POOL("\"timeouts\":{\"response_header\":\"2d\"}"),
		      "/pools/web/timeouts/response_header", "expected \"10ms\" to \"1d\"");
	given_refused("{" GIVEN_ALL ",\"log\":{\"access\":{\"format\":\"clf\"}}}",
		      "/log/access/format", "expected \"json\" or \"combined\"");
	conf_free(given_parse(POOL("\"connections\":{\"idle\":0}")));
}

Test(http, trusted_proxies_are_networks)
{
	struct conf *c = given_parse(LISTENER("\"trusted_proxies\":[]"));

	cr_expect_eq(c->listeners[0].num_trusted_proxies, 0);
	conf_free(c);
	c = given_parse(LISTENER("\"trusted_proxies\":\"10.0.0.0/8\""));
	cr_expect_eq(c->listeners[0].num_trusted_proxies, 1);
	conf_free(c);
	given_refused(LISTENER("\"trusted_proxies\":[\"proxy\"]"), AT "/trusted_proxies/0",
		      "\"proxy\" is no network");
	given_refused(LISTENER("\"trusted_proxies\":true"), AT "/trusted_proxies",
		      "expected a network such as \"10.0.0.0/8\", got true");
}

Test(http, a_listener_has_a_pool_or_routes)
{
	given_refused("{\"listeners\":[{\"address\":\":1\",\"mode\":\"tcp\"}]}", AT,
		      "has no \"pool\", \"routes\" or \"sni_routes\": give it one of them");
	given_refused(LISTENER("\"routes\":[{\"pool\":\"web\"}]"), AT,
		      "has both \"pool\" and \"routes\"");
	given_refused("{\"listeners\":[{\"address\":\":1\",\"routes\":[]}]}", AT "/routes",
		      "is empty: give at least one");
	given_refused("{\"listeners\":[{\"address\":\":1\",\"routes\":{}}]}", AT "/routes",
		      "expected an array");
	conf_free(given_parse("{\"listeners\":[{\"address\":\":1\",\"routes\":[{\"redirect\":"
			      "\"https\"}]}]}"));
}

Test(http, keys_of_http_are_for_mode_http)
{
	given_refused(
		"{\"listeners\":[{\"address\":\":1\",\"mode\":\"tcp\",\"routes\":[{\"pool\":"
		"\"web\"}]}]," GIVEN_POOLS "}",
		AT "/routes",
		"is only for mode \"http\", and this listener has mode \"tcp\": remove it, or "
		"change \"mode\"");
	given_refused(LISTENER("\"mode\":\"${NO:-tcp}\",\"http\":{}"), AT "/http",
		      "is only for mode \"http\"");
	given_refused(LISTENER("\"mode\":\"tcp\",\"trusted_proxies\":[]"), AT "/trusted_proxies",
		      "is only for mode \"http\"");
	/* What is wrong already is not told again. */
	given_refused(LISTENER("\"mode\":\"tpc\",\"http\":{}"), AT "/mode",
		      "did you mean \"tcp\"?");
	given_refused(LISTENER("\"mode\":1,\"http\":{}"), AT "/mode", "got number 1");
	conf_free(given_parse(LISTENER("\"mode\":\"http\",\"http\":{}")));
}

#define NAMED(json) "{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":" json "}}}"
#define TOP(json) "{" GIVEN_ALL "," json "}"

Test(http, names_of_servers_have_their_ways)
{
	struct conf *c = given_parse(POOL("\"discovery\":\"once\""));

	cr_expect_eq(c->pools[0].discovery, CONF_DISCOVERY_ONCE);
	conf_free(c);
	c = given_parse(NAMED("[\"_http._tcp.a.example\"],\"discovery\":\"srv\""));
	cr_expect_eq(c->pools[0].discovery, CONF_DISCOVERY_SRV);
	cr_expect_str_eq(c->pools[0].servers[0].address.host, "_http._tcp.a.example");
	cr_expect_eq(c->pools[0].servers[0].address.port, 0);
	conf_free(c);
	given_refused(NAMED("[\"_http._tcp.a.example\"]"), "/pools/web/servers/0",
		      "has no port: give it one, or set \"discovery\" to \"srv\"");
	given_refused(NAMED("[\"a.example:80\"],\"discovery\":\"srv\""), "/pools/web/servers/0",
		      "is no service");
	given_refused(NAMED("[\"_http\"],\"discovery\":\"srv\""), "/pools/web/servers/0",
		      "the name of a service is like \"_http._tcp.example.com\"");
	given_refused(NAMED("[\"_s._tcp.a.example\"],\"discovery\":\"srv\",\"tls\":{}"),
		      "/pools/web/tls", "add the \"server_name\"");
}

Test(http, name_servers_are_addresses)
{
	struct conf *c = given_parse(TOP("\"resolver\":{\"servers\":[\"10.0.0.1:53\",\"[::1]:53\"],"
					 "\"min_ttl\":\"2s\"}"));

	cr_expect_eq(c->resolver.num_servers, 2u);
	cr_expect_eq(c->resolver.min_ttl_ns, INT64_C(2000000000));
	cr_expect_eq(c->resolver.max_ttl_ns, INT64_C(300000000000));
	conf_free(c);
	given_refused(TOP("\"resolver\":{\"servers\":[\"ns.example:53\"]}"), "/resolver/servers/0",
		      "is no IP address");
	given_refused(TOP("\"resolver\":{\"servers\":[\"unix:/a\"]}"), "/resolver/servers/0",
		      "is no IP address");
	given_refused(TOP("\"resolver\":{\"min_ttl\":\"2m\",\"max_ttl\":\"1m\"}"), "/resolver",
		      "\"min_ttl\" is above \"max_ttl\"");
}

Test(http, health_is_asked_for_in_one_way)
{
	struct conf *c = given_parse(POOL("\"health\":{\"path\":\"/ok\"}"));
	const struct conf_health *h = c->pools[0].health;

	cr_assert_not_null(h);
	cr_expect_str_eq(h->path, "/ok");
	cr_expect(h->interval_ns == INT64_C(5000000000) && h->timeout_ns == INT64_C(2000000000));
	cr_expect(h->rise == 2 && h->fall == 3 && h->num_expect == 1 && !h->tcp);
	cr_expect_str_eq(h->expect[0], "200-399");
	cr_expect_eq(c->pools[0].panic_percent, 0u);
	conf_free(c);
	c = given_parse(POOL("\"panic_percent\":50,\"health\":{\"tcp\":true}"));
	cr_expect(c->pools[0].health->tcp && c->pools[0].health->path == NULL);
	conf_free(c);
	c = given_parse(POOL("\"health\":{\"path\":\"/\",\"expect\":[\"204\",\"401-403\"]}"));
	cr_expect_eq(c->pools[0].health->num_expect, 2u);
	conf_free(c);
	given_refused(POOL("\"health\":{}"), "/pools/web/health",
		      "has no \"path\" or \"tcp\": give it one of them");
	given_refused(POOL("\"health\":{\"path\":\"/\",\"tcp\":true}"), "/pools/web/health",
		      "\"tcp\"");
	given_refused(POOL("\"health\":{\"tcp\":true,\"host\":\"a\"}"), "/pools/web/health/host",
		      "\"path\"");
	given_refused(POOL("\"health\":{\"path\":\"/\",\"expect\":\"100\"}"),
		      "/pools/web/health/expect", "is no status of a response");
	given_refused(POOL("\"health\":{\"path\":\"/\",\"expect\":\"300-200\"}"),
		      "/pools/web/health/expect", "is no status of a response");
	given_refused(POOL("\"health\":{\"path\":\"x\"}"), "/pools/web/health/path", "\"/\"");
}

Test(http, a_cookie_may_name_the_server)
{
	struct conf *c = given_parse(POOL("\"sticky\":{\"cookie\":\"srv\",\"secret\":\"s\"}"));

	cr_expect_str_eq(c->pools[0].sticky->cookie, "srv");
	cr_expect_str_eq(c->pools[0].sticky->secret, "s");
	cr_expect_eq(c->pools[0].sticky->max_age_ns, 0);
	conf_free(c);
	given_refused(POOL("\"sticky\":{}"), "/pools/web/sticky", "required key \"cookie\"");
	given_refused(POOL("\"sticky\":{\"cookie\":\"a b\"}"), "/pools/web/sticky/cookie",
		      "character");
}

#define SNI(listener, routes)                                              \
	"{\"listeners\":[{\"address\":\":443\",\"mode\":\"tcp\"," listener \
	"\"sni_routes\":[" routes "]}]," GIVEN_POOLS "}"

Test(http, names_asked_for_in_tls_have_their_routes)
{
	struct conf *c = given_parse(
		SNI("", "{\"host\":\"A.example\",\"pool\":\"web\",\"passthrough\":true}"));

	cr_expect_eq(c->listeners[0].num_sni_routes, 1u);
	cr_expect_str_eq(c->listeners[0].sni_routes[0].hosts[0], "a.example");
	cr_expect(c->listeners[0].sni_routes[0].passthrough);
	cr_expect_eq(c->listeners[0].pool, CONF_NO_POOL);
	conf_free(c);
	given_refused(SNI("", "{\"pool\":\"web\"}"), "/listeners/0/sni_routes/0",
		      "has no \"tls\" that could be ended");
	given_refused(SNI("\"pool\":\"web\",", "{\"pool\":\"web\",\"passthrough\":true}"),
		      "/listeners/0", "has both \"pool\" and \"sni_routes\"");
	given_refused(SNI("", "{\"host\":\"a.example\",\"passthrough\":true}"),
		      "/listeners/0/sni_routes/0", "required key \"pool\"");
	given_refused(
		SNI("",
		    "{\"pool\":\"web\",\"passthrough\":true},{\"pool\":\"web\",\"passthrough\":true}"),
		"/listeners/0/sni_routes/1", "is for any name, as one before it is");
	given_refused("{\"listeners\":[{\"address\":\":443\",\"sni_routes\":[{\"pool\":\"web\","
		      "\"passthrough\":true}]}]," GIVEN_POOLS "}",
		      "/listeners/0/sni_routes", "tcp");
}
