#include <criterion/criterion.h>
#include <string.h>

#include "conf/address.h"
#include "conf/conf.h"

static const struct {
	const char *text, *canonical, *host;
	uint16_t port;
} good[] = {
	{ "10.0.0.1:8080", "10.0.0.1:8080", "10.0.0.1", 8080 },
	{ "localhost:1", "localhost:1", "localhost", 1 },
	{ "App.Internal:65535", "app.internal:65535", "app.internal", 65535 },
	{ "app.internal.:80", "app.internal.:80", "app.internal.", 80 },
	{ "my_app-1.x2:80", "my_app-1.x2:80", "my_app-1.x2", 80 },
	{ "1a:80", "1a:80", "1a", 80 },
	{ "[::1]:443", "[::1]:443", "::1", 443 },
	{ "[0:0::0001]:443", "[::1]:443", "::1", 443 },
	{ "[2001:DB8::A]:443", "[2001:db8::a]:443", "2001:db8::a", 443 },
	{ "[::]:443", "[::]:443", "::", 443 },
	{ "0.0.0.0:443", "0.0.0.0:443", "0.0.0.0", 443 },
};

Test(address, tcp_has_host_and_port)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct conf_address a, again;
		char why[256] = "";

		cr_assert(conf_address_parse(good[i].text, true, &a, why, sizeof(why)), "%s: %s",
			  good[i].text, why);
		cr_expect_not(a.is_unix);
		cr_expect_str_eq(a.text, good[i].canonical);
		cr_expect_str_eq(a.host, good[i].host);
		cr_expect_eq(a.port, good[i].port);
		cr_expect_null(a.path);
		cr_assert(conf_address_parse(a.text, true, &again, why, sizeof(why)));
		cr_expect_str_eq(again.text, a.text, "canonical text is a fixed point");
		conf_address_fini(&again);
		conf_address_fini(&a);
		cr_expect_null(a.text);
		conf_address_fini(&a);
	}
	conf_address_fini(NULL);
}

Test(address, port_alone_is_for_listening)
{
	struct conf_address a;
	char why[256];

	cr_assert(conf_address_parse(":443", false, &a, why, sizeof(why)));
	cr_expect_null(a.host);
	cr_expect_eq(a.port, 443);
	cr_expect_str_eq(a.text, ":443");
	conf_address_fini(&a);
	cr_expect_not(conf_address_parse(":443", true, &a, why, sizeof(why)));
	cr_expect_not_null(strstr(why, "needs a host"));
}

Test(address, unix_has_a_path)
{
	struct conf_address a;
	char why[256];

	cr_assert(conf_address_parse("unix:/run/app.sock", true, &a, why, sizeof(why)));
	cr_expect(a.is_unix);
	cr_expect_str_eq(a.path, "/run/app.sock");
	cr_expect_str_eq(a.text, "unix:/run/app.sock");
	cr_expect_null(a.host);
	cr_expect_eq(a.port, 0);
	conf_address_fini(&a);
}

Test(address, unix_path_fits_the_kernel)
{
	char text[5 + ADDRESS_MAX_PATH + 2] = "unix:/", why[256];
	struct conf_address a;

	memset(text + 6, 'x', ADDRESS_MAX_PATH);
	cr_expect_not(conf_address_parse(text, true, &a, why, sizeof(why)));
	cr_expect_not_null(strstr(why, "107 bytes"));
	text[5 + ADDRESS_MAX_PATH] = '\0';
	cr_assert(conf_address_parse(text, true, &a, why, sizeof(why)));
	cr_expect_eq(strlen(a.path), ADDRESS_MAX_PATH);
	conf_address_fini(&a);
}

Test(address, malformed_ones_are_refused_with_a_reason)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "empty" },
		{ "host", "expected \"host:port\"" },
		{ "443", "expected \"host:port\"" },
		{ "host:", "port must be" },
		{ "host:0", "port must be" },
		{ "host:080", "port must be" },
		{ "host:65536", "port must be" },
		{ "host:100000", "port must be" },
		{ "host:+80", "port must be" },
		{ "host:8o", "port must be" },
		{ "host:80 ", "port must be" },
		{ "::1:443", "in brackets" },
		{ "::", "in brackets" },
		{ "http://host:80", "in brackets" },
		{ "[::1]", "in brackets" },
		{ "[::1]443", "in brackets" },
		{ "[::1:443", "in brackets" },
		{ "[]:443", "IPv6 addresses only" },
		{ "[host]:443", "IPv6 addresses only" },
		{ "[1.2.3.4]:443", "IPv6 addresses only" },
		{ "[::g]:443", "neither a host name" },
		{ "[::1%eth0]:443", "neither a host name" },
		{ "*:443", "leave the host out" },
		{ "1.2.3:80", "neither a host name" },
		{ "1.2.3.4.5:80", "neither a host name" },
		{ "1.2.3.256:80", "neither a host name" },
		{ "host.123:80", "neither a host name" },
		{ "-a:80", "neither a host name" },
		{ "a-:80", "neither a host name" },
		{ "a..b:80", "neither a host name" },
		{ ".a:80", "neither a host name" },
		{ ".:80", "neither a host name" },
		{ "a b:80", "neither a host name" },
		{ "a/b:80", "neither a host name" },
		{ "caf\xc3\xa9:80", "neither a host name" },
		{ "unix:", "absolute path" },
		{ "unix:run/x", "absolute path" },
		{ "unix:@x", "absolute path" },
		{ "unix:/run/", "not one of a socket" },
		{ "unix:/a\nb", "not one of a socket" },
		{ "UNIX:/run/x", "port must be" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct conf_address a = { .port = 7 };
		char why[256] = "";

		cr_expect_not(conf_address_parse(bad[i].text, false, &a, why, sizeof(why)), "%s",
			      bad[i].text);
		cr_expect_not_null(strstr(why, bad[i].why), "%s: %s", bad[i].text, why);
		cr_expect(a.port == 7 && a.text == NULL, "%s: left alone", bad[i].text);
	}
}

Test(address, labels_and_names_have_a_longest)
{
	char host[300], out[ADDRESS_MAX_HOST + 1];

	memset(host, 'a', sizeof(host));
	cr_expect(address_host(span_of(host, 63), out));
	cr_expect_not(address_host(span_of(host, 64), out));
	for (size_t i = 63; i < sizeof(host); i += 64)
		host[i] = '.';
	cr_expect(address_host(span_of(host, 253), out));
	cr_expect_not(address_host(span_of(host, 254), out));
	host[253] = '.';
	cr_expect(address_host(span_of(host, 254), out));
	cr_expect_not(address_host(span_of(host, 255), out));
	cr_expect_not(address_host(span_of("a\0b", 3), out));
}
