#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "tests/unit/conf/given.h"

static struct conf *sidecar(const struct conf_sidecar *flags)
{
	char *text = conf_sidecar_json(flags);
	struct conf *c;

	cr_assert_not_null(text);
	c = given_parse(text);
	free(text);
	return c;
}

Test(sidecar, least_flags)
{
	static const char *const listen[] = { ":8443" }, *const backend[] = { "127.0.0.1:8080" };
	struct conf *c = sidecar(&(struct conf_sidecar){
		.listen = listen, .num_listen = 1, .backend = backend, .num_backend = 1 });

	cr_assert_eq(c->num_listeners, 1);
	cr_expect_str_eq(c->listeners[0].addresses[0].text, ":8443");
	cr_expect_eq(c->listeners[0].mode, CONF_MODE_HTTP);
	cr_expect_null(c->listeners[0].tls);
	cr_assert_eq(c->num_pools, 1);
	cr_expect_str_eq(c->pools[0].servers[0].address.text, "127.0.0.1:8080");
	cr_expect(c->admin.on && !c->admin.given);
	conf_free(c);
}

Test(sidecar, all_flags)
{
	static const char *const listen[] = { ":1", "unix:/a" }, *const backend[] = { "a:1",
										      "b:2" };
	struct conf *c = sidecar(&(struct conf_sidecar){ .listen = listen,
							 .num_listen = 2,
							 .cert = "c.pem",
							 .key = "/k.pem",
							 .backend = backend,
							 .num_backend = 2,
							 .mode = "tcp",
							 .admin = "127.0.0.1:9" });

	cr_expect_eq(c->listeners[0].num_addresses, 2);
	cr_expect_eq(c->listeners[0].mode, CONF_MODE_TCP);
	cr_expect_str_eq(c->listeners[0].tls->certificates[0].certificate, "/etc/sallyport/c.pem");
	cr_expect_str_eq(c->listeners[0].tls->certificates[0].key, "/k.pem");
	cr_expect_eq(c->pools[0].num_servers, 2);
	cr_expect_str_eq(c->admin.address.text, "127.0.0.1:9");
	conf_free(c);
}

Test(sidecar, one_file_and_no_admin)
{
	static const char *const listen[] = { ":1" }, *const backend[] = { "a:1" };
	struct conf *c = sidecar(&(struct conf_sidecar){ .listen = listen,
							 .num_listen = 1,
							 .cert = "c.pem",
							 .backend = backend,
							 .num_backend = 1,
							 .admin = "false" });

	cr_expect_null(c->listeners[0].tls->certificates[0].key);
	cr_expect_not(c->admin.on);
	conf_free(c);
}

/* The redirect of the second listener, from `listen` and `from`. */
static struct conf *redirecting(const char *listen)
{
	static const char *const from[] = { ":8080", "[::1]:81" }, *const backend[] = { "a:1" };

	return sidecar(&(struct conf_sidecar){ .listen = &listen,
					       .num_listen = 1,
					       .cert = "c.pem",
					       .backend = backend,
					       .num_backend = 1,
					       .redirect_from = from,
					       .num_redirect_from = 2 });
}

Test(sidecar, a_second_door_sends_plaintext_on_to_the_port_of_the_first)
{
	static const struct {
		const char *listen;
		uint16_t port;
	} cases[] = {
		{ ":8443", 8443 },	  { "[::1]:444", 444 },
		{ "127.0.0.1:443", 443 }, { "unix:/run/a.sock:77", 443 },
		{ "${NO:-:8443}", 443 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf *c = redirecting(cases[i].listen);
		const struct conf_listener *l = &c->listeners[1];

		cr_assert_eq(c->num_listeners, 2);
		cr_expect_not_null(c->listeners[0].tls);
		cr_expect_str_eq(l->name, "redirect");
		cr_assert_eq(l->num_addresses, 2);
		cr_expect_str_eq(l->addresses[0].text, ":8080");
		cr_expect_str_eq(l->addresses[1].text, "[::1]:81");
		cr_expect_eq(l->mode, CONF_MODE_HTTP);
		cr_expect_null(l->tls);
		cr_expect_eq(l->pool, CONF_NO_POOL);
		cr_assert_eq(l->num_routes, 1);
		cr_expect_eq(l->routes[0].pool, CONF_NO_POOL);
		cr_expect_str_eq(l->routes[0].redirect->location, "https");
		cr_expect_eq(l->routes[0].redirect->port, cases[i].port, "%s", cases[i].listen);
		cr_expect_eq(l->routes[0].redirect->status, 308);
		conf_free(c);
	}
}

Test(sidecar, bad_ports_are_left_to_the_parser)
{
	static const char *const listen[] = { ":99999999999999999999" }, *const from[] = { ":1" },
				 *const backend[] = { "a:1" };
	char *text = conf_sidecar_json(&(struct conf_sidecar){ .listen = listen,
							       .num_listen = 1,
							       .backend = backend,
							       .num_backend = 1,
							       .redirect_from = from,
							       .num_redirect_from = 1 });

	cr_assert_not_null(text);
	cr_expect_not_null(strstr(text, "\"redirect\": \"https\""));
	given_refused(text, "/listeners/0/address", "the port must be a number from 1 to 65535");
	free(text);
}

Test(sidecar, bad_flags_are_left_to_the_parser)
{
	static const char *const listen[] = { "a\xff\"b" }, *const backend[] = { "" };
	char *text = conf_sidecar_json(&(struct conf_sidecar){ .listen = listen,
							       .num_listen = 1,
							       .backend = backend,
							       .num_backend = 1,
							       .mode = "\n" });

	cr_assert_not_null(text);
	cr_expect_eq(given_errors(text), 3);
	free(text);
}

Test(sidecar, no_flags_give_json_that_is_refused)
{
	char *text = conf_sidecar_json(&(struct conf_sidecar){ .mode = NULL });

	cr_assert_not_null(text);
	cr_expect_eq(given_errors(text), 2);
	free(text);
}
