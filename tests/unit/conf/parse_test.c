#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/values.h"
#include "tests/unit/conf/given.h"

Test(parse, defaults_are_those_of_the_table)
{
	struct conf *c = given_parse("{" GIVEN_ALL "}");
	const struct conf_listener *l = &c->listeners[0];
	const struct conf_pool *p = &c->pools[0];

	cr_assert_eq(c->num_listeners, 1);
	cr_expect_str_eq(l->name, ":443");
	cr_expect_str_eq(l->pointer, "/listeners/0");
	cr_assert_eq(l->num_addresses, 1);
	cr_expect_null(l->addresses[0].host);
	cr_expect_eq(l->addresses[0].port, 443);
	cr_expect_eq(l->mode, CONF_MODE_HTTP);
	cr_expect_null(l->tls);
	cr_expect_eq(l->pool, 0);
	cr_expect_eq(l->timeouts.handshake_ns, 10 * VALUE_SECOND);
	cr_expect_eq(l->timeouts.idle_ns, 10 * VALUE_MINUTE);
	cr_assert_eq(c->num_pools, 1);
	cr_expect_str_eq(p->name, "web");
	cr_expect_str_eq(p->pointer, "/pools/web");
	cr_assert_eq(p->num_servers, 1);
	cr_expect_str_eq(p->servers[0].name, "127.0.0.1:8080");
	cr_expect_eq(p->servers[0].weight, 1);
	cr_assert_eq(l->num_routes, 1);
	cr_expect_eq(l->routes[0].pool, 0);
	cr_expect_eq(l->routes[0].num_hosts, 0);
	cr_expect_str_eq(l->routes[0].pointer, "/listeners/0");
	cr_expect_eq(l->num_trusted_proxies, 0);
	cr_expect_eq(l->http.max_header_size, 32 * 1024);
	cr_expect_eq(l->http.max_headers, 128);
	cr_expect_eq(l->http.max_body_size, 0);
	cr_expect_eq(l->http.max_requests_per_connection, 0);
	cr_expect_eq(l->http.escaped_slashes, CONF_SLASHES_KEEP);
	cr_expect_eq(l->http.forwarded, CONF_FORWARDED_X);
	cr_expect_null(l->http.server_header);
	cr_expect_eq(l->timeouts.request_header_ns, 10 * VALUE_SECOND);
	cr_expect_eq(l->timeouts.request_body_ns, 60 * VALUE_SECOND);
	cr_expect_eq(l->timeouts.keepalive_ns, 75 * VALUE_SECOND);
	cr_expect_eq(l->timeouts.response_write_ns, 60 * VALUE_SECOND);
	cr_expect_eq(l->timeouts.minimum_rate, 240);
	cr_expect_eq(p->balance, CONF_BALANCE_LEAST_REQUESTS);
	cr_expect_null(p->tls);
	cr_expect_eq(p->max_connections, 0);
	cr_expect_eq(p->idle_connections, 64);
	cr_expect_eq(p->idle_connection_ns, 60 * VALUE_SECOND);
	cr_expect_eq(p->timeouts.response_header_ns, 60 * VALUE_SECOND);
	cr_expect_eq(p->timeouts.connect_ns, 3 * VALUE_SECOND);
	cr_expect_eq(p->timeouts.idle_ns, 60 * VALUE_SECOND);
	cr_expect_eq(c->workers, 0);
	cr_expect_null(c->user);
	cr_expect_null(c->group);
	cr_expect_eq(c->drain_timeout_ns, 25 * VALUE_SECOND);
	cr_expect_eq(c->limits.connections, 0);
	cr_expect_eq(c->limits.connections_per_address, 0);
	cr_expect_eq(c->log.level, CONF_LOG_INFO);
	cr_expect_str_eq(c->log.error, "stderr");
	cr_expect_str_eq(c->log.access, "stdout");
	cr_expect_eq(c->log.format, CONF_LOG_JSON);
	cr_expect(c->admin.on);
	cr_expect_not(c->admin.given);
	conf_free(c);
	conf_free(NULL);
}

Test(parse, defaults_of_tls_are_those_of_the_table)
{
	struct conf *c = given_parse("{\"listeners\":[{\"address\":\":1\",\"pool\":\"web\",\"tls\":"
				     "{\"certificates\":[\"a.pem\"]}}],\"pools\":{\"web\":"
				     "{\"servers\":[\"b:1\"],\"tls\":{}}}}");
	const struct conf_tls *t = c->listeners[0].tls;
	const struct conf_pool_tls *p = c->pools[0].tls;

	cr_assert_not_null(t);
	cr_assert_eq(t->num_certificates, 1);
	cr_expect_str_eq(t->certificates[0].certificate, "/etc/sallyport/a.pem");
	cr_expect_null(t->certificates[0].key);
	cr_expect_str_eq(t->certificates[0].pointer, "/listeners/0/tls/certificates/0");
	cr_expect_null(t->default_certificate);
	cr_expect_not(t->strict_sni);
	cr_expect_eq(t->min_version, 0x0303);
	cr_expect_eq(t->max_version, 0x0304);
	cr_expect_str_eq(t->ciphers, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
				     "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
				     "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305");
	cr_assert_eq(t->num_groups, 4);
	cr_expect_str_eq(t->groups[0], "X25519MLKEM768");
	cr_expect_str_eq(t->groups[3], "P-384");
	cr_expect_not(t->groups_given);
	cr_expect_str_eq(t->pointer, "/listeners/0/tls");
	cr_assert_not_null(p);
	cr_expect(p->verify);
	cr_expect_null(p->ca);
	cr_expect_null(p->server_name);
	cr_expect_eq(p->min_version, 0x0303);
	conf_free(c);
}

Test(parse, every_key_reaches_its_place)
{
	char *text = given_file("conf/examples/tcp.json");
	struct conf *c = given_parse(text);
	const struct conf_listener *l = c->listeners;
	const struct conf_pool *p = c->pools;

	cr_assert_eq(c->num_listeners, 3);
	cr_assert_eq(c->num_pools, 3);
	cr_expect_str_eq(l[0].name, "https");
	cr_assert_eq(l[0].num_addresses, 2);
	cr_expect_eq(l[0].addresses[0].port, 443);
	cr_expect_str_eq(l[0].addresses[1].path, "/run/sallyport/https.sock");
	cr_expect_eq(l[0].mode, CONF_MODE_TCP);
	cr_assert_eq(l[0].tls->num_certificates, 2);
	cr_expect_str_eq(l[0].tls->certificates[0].certificate, "/etc/sallyport/certs.d");
	cr_expect_str_eq(l[0].tls->certificates[1].certificate,
			 "/etc/sallyport/shop/fullchain.pem");
	cr_expect_str_eq(l[0].tls->certificates[1].key, "/etc/sallyport/shop/privkey.pem");
	cr_expect_str_eq(l[0].tls->default_certificate, "/etc/sallyport/shop/fullchain.pem");
	cr_expect(l[0].tls->groups_given);
	cr_expect_eq(l[0].tls->num_groups, 3);
	cr_expect_eq(l[0].pool, 0);
	cr_expect_eq(l[0].num_routes, 0);
	cr_expect_eq(p[0].balance, CONF_BALANCE_ROUND_ROBIN);
	cr_expect_eq(l[0].timeouts.handshake_ns, 5 * VALUE_SECOND);
	cr_expect_eq(l[0].timeouts.idle_ns, 5 * VALUE_MINUTE);
	cr_expect_str_eq(l[1].addresses[0].host, "::");
	cr_expect(l[1].tls->strict_sni);
	cr_expect_str_eq(l[1].tls->ciphers,
			 "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256");
	cr_expect_eq(l[1].pool, 1);
	cr_expect_eq(l[2].pool, 2);
	cr_assert_eq(p[0].num_servers, 3);
	cr_expect_eq(p[0].servers[1].weight, 2);
	cr_expect_str_eq(p[0].servers[1].name, "big");
	cr_expect(p[0].servers[2].address.is_unix);
	cr_expect_eq(p[0].max_connections, 200);
	cr_expect_eq(p[0].timeouts.connect_ns, 500 * VALUE_MS);
	cr_expect_eq(p[0].timeouts.idle_ns, 30 * VALUE_SECOND);
	cr_expect_str_eq(p[2].tls->ca, "/etc/sallyport/ca.pem");
	cr_expect_str_eq(p[2].tls->server_name, "app.internal");
	cr_expect_eq(p[2].tls->min_version, 0x0304);
	cr_expect_eq(c->workers, 2);
	cr_expect_str_eq(c->user, "sallyport");
	cr_expect_str_eq(c->group, "sallyport");
	cr_expect_eq(c->drain_timeout_ns, 20 * VALUE_SECOND);
	cr_expect_eq(c->limits.connections, 20000);
	cr_expect_eq(c->limits.connections_per_address, 100);
	cr_expect_str_eq(c->log.error, "/var/log/sallyport/error.log");
	cr_expect_str_eq(c->log.access, "/var/log/sallyport/access.log");
	cr_expect(c->admin.on && c->admin.given);
	cr_expect_str_eq(c->admin.address.text, "127.0.0.1:9901");
	conf_free(c);
	free(text);
}

Test(parse, false_turns_admin_and_access_log_off)
{
	struct conf *c = given_parse("{" GIVEN_ALL ",\"admin\":false,\"log\":{\"access\":false}}");

	cr_expect_not(c->admin.on);
	cr_expect_not(c->admin.given);
	cr_expect_null(c->log.access);
	cr_expect_str_eq(c->log.error, "stderr");
	conf_free(c);
	given_refused("{" GIVEN_ALL ",\"admin\":true}", "/admin",
		      "expected false or an object, got true");
	given_refused("{" GIVEN_ALL ",\"log\":{\"access\":\"stdout\"}}", "/log/access",
		      "expected false or an object, got string \"stdout\"");
	given_refused("{" GIVEN_ALL ",\"limits\":false}", "/limits",
		      "expected an object, got false");
}

Test(parse, an_empty_object_leaves_all_at_its_default)
{
	struct conf *c = given_parse("{" GIVEN_ALL ",\"admin\":{},\"log\":{\"access\":{}},"
				     "\"limits\":{}}");
	struct conf *d = given_parse("{" GIVEN_ALL "}");

	cr_expect(given_equal(c, d));
	conf_free(d);
	conf_free(c);
}

Test(parse, annotations_may_be_anywhere)
{
	struct conf *c = given_parse(
		"{\"$schema\":\"s\",\"$comment\":\"c\",\"listeners\":[{\"$comment\":\"c\","
		"\"address\":\":1\",\"pool\":\"web\"}],\"pools\":{\"$comment\":\"\\n\",\"web\":"
		"{\"$comment\":\"${NO\",\"servers\":[{\"$comment\":\"c\",\"address\":\"a:1\"}]}}}");

	cr_expect_eq(c->num_pools, 1);
	cr_expect_null(strstr(conf_canonical(c), "$comment"));
	conf_free(c);
	given_refused("{" GIVEN_ALL ",\"$comment\":1}", "/$comment",
		      "expected a string, got number 1");
	given_refused("{" GIVEN_ALL ",\"log\":{\"$schema\":[]}}", "/log/$schema",
		      "expected a string, got an array");
	given_refused("{" GIVEN_ALL ",\"$commen\":\"\"}", "/$commen", "unknown key");
}

Test(parse, relative_unix_sockets_lie_beside_the_file)
{
	struct conf *c =
		given_parse("{\"listeners\":[{\"address\":\"unix:a.sock\",\"pool\":\"p\"}],"
			    "\"pools\":{\"p\":{\"servers\":[\"unix:./b//c\"]}}}");

	cr_expect_str_eq(c->listeners[0].addresses[0].path, "/etc/sallyport/a.sock");
	cr_expect_str_eq(c->pools[0].servers[0].address.text, "unix:/etc/sallyport/b/c");
	conf_free(c);
}

Test(parse, a_file_may_be_called_stderr)
{
	struct conf *c = given_parse("{" GIVEN_ALL ",\"log\":{\"error\":\"./stderr\"}}");

	cr_expect_str_eq(c->log.error, "/etc/sallyport/stderr");
	conf_free(c);
}

Test(parse, variables_work_in_every_kind_of_string)
{
	struct conf *c = given_parse(
		"{\"listeners\":[{\"name\":\"n-${HOST}\",\"address\":\"${HOST}:1\",\"mode\":"
		"\"${NO:-tcp}\",\"pool\":\"${NO:-web}\",\"timeouts\":{\"idle\":\"${NO:-7}s\"},"
		"\"tls\":{\"certificates\":[\"${HOST}.pem\"],\"groups\":[\"${NO:-X25519}\"]}}],"
		"\"pools\":{\"web\":{\"servers\":[\"${HOST}:2\"]}}}");
	const struct conf_listener *l = &c->listeners[0];

	cr_expect_str_eq(l->name, "n-10.0.0.1");
	cr_expect_str_eq(l->addresses[0].text, "10.0.0.1:1");
	cr_expect_eq(l->mode, CONF_MODE_TCP);
	cr_expect_eq(l->timeouts.idle_ns, 7 * VALUE_SECOND);
	cr_expect_str_eq(l->tls->certificates[0].certificate, "/etc/sallyport/10.0.0.1.pem");
	cr_expect_str_eq(l->tls->groups[0], "X25519");
	cr_expect_str_eq(c->pools[0].servers[0].address.text, "10.0.0.1:2");
	conf_free(c);
}

Test(parse, keys_are_not_expanded)
{
	given_refused("{\"listeners\":[{\"address\":\":1\",\"pool\":\"a${HOST}\"}],"
		      "\"pools\":{\"a${HOST}\":{\"servers\":[\"a:1\"]}}}",
		      "/listeners/0/pool", "no pool is named \"a10.0.0.1\"");
	conf_free(given_parse("{\"listeners\":[{\"address\":\":1\",\"pool\":\"a$${HOST}\"}],"
			      "\"pools\":{\"a${HOST}\":{\"servers\":[\"a:1\"]}}}"));
}

Test(parse, the_folder_must_be_text)
{
	struct conf_source from = { .file = "f", .folder = "/a\xff", .getenv = NULL };
	struct problems why;

	problems_init(&why);
	cr_expect_null(conf_parse(span_str("{" GIVEN_ALL "}"), &from, &why));
	cr_assert_eq(why.num_errors, 1);
	cr_expect_not_null(strstr(why.list[0].what, "UTF-8"));
	problems_fini(&why);
}

Test(parse, earlier_problems_do_not_refuse_a_good_text)
{
	struct conf_source from = given_source();
	struct problems why;
	struct conf *c;

	problems_init(&why);
	problems_add(&why, PROBLEM_ERROR, "x", "y");
	c = conf_parse(span_str("{" GIVEN_ALL "}"), &from, &why);
	cr_expect_not_null(c);
	conf_free(c);
	problems_fini(&why);
}
