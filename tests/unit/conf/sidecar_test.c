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
