#include "proxy/process/resolv_conf.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct resolv_conf read_text(const char *text)
{
	struct resolv_conf c;

	resolv_conf_read(span_str(text), &c);
	return c;
}

Test(resolv_conf, what_it_says_is_read)
{
	struct resolv_conf c =
		read_text("# who\nnameserver 10.0.0.1\nnameserver\tfe80::1%eth0 ; x\n"
			  "domain old.example\nsearch a.example. B.example\n"
			  "options timeout:1 ndots:5 rotate\nnameserver 2001:db8::1");

	cr_assert_eq(c.num_servers, 3u);
	cr_assert_str_eq(c.servers[0], "10.0.0.1");
	cr_assert_str_eq(c.servers[1], "fe80::1%eth0");
	cr_assert_str_eq(c.servers[2], "2001:db8::1");
	cr_assert_eq(c.num_search, 2u);
	cr_assert_str_eq(c.search[0], "a.example");
	cr_assert_str_eq(c.search[1], "b.example");
	cr_assert_eq(c.ndots, 5u);
}

Test(resolv_conf, what_it_does_not_say_has_a_default)
{
	struct resolv_conf c = read_text("");

	cr_assert_eq(c.num_servers, 1u);
	cr_assert_str_eq(c.servers[0], "127.0.0.1");
	cr_assert_eq(c.num_search, 0u);
	cr_assert_eq(c.ndots, 1u);
}

Test(resolv_conf, what_makes_no_sense_is_passed_over)
{
	struct resolv_conf c = read_text("nameserver ns.example\nnameserver\nnameserver 1.2.3.4%x\n"
					 "search -a- b.example\noptions ndots:99 ndots\n\n;\n"
					 "nameserver 10.0.0.1\n");

	cr_assert_eq(c.num_servers, 1u);
	cr_assert_str_eq(c.servers[0], "10.0.0.1");
	cr_assert_eq(c.num_search, 1u);
	cr_assert_eq(c.ndots, 15u);
	cr_assert_eq(read_text("options ndots:-3").ndots, 0u);
}

Test(resolv_conf, lists_are_bounded)
{
	char text[4096] = "search";
	struct resolv_conf c;

	for (int i = 0; i < 20; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), " s%d.example", i);
	for (int i = 0; i < 20; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
			       "\nnameserver 10.0.0.%d", i);
	c = read_text(text);
	cr_assert_eq(c.num_servers, (unsigned)RESOLV_MAX_SERVERS);
	cr_assert_eq(c.num_search, (unsigned)RESOLV_MAX_SEARCH);
}

static unsigned find(const char *text, const char *name, struct hosts_address *out)
{
	return hosts_find(span_str(text), name, out);
}

Test(resolv_conf, hosts_are_found_by_any_of_their_names)
{
	static const char text[] =
		"10.0.0.1 a.example a # b\n::1 A.Example\n10.0.0.1 a\nx a.example\n"
		"#10.0.0.9 a\n10.0.0.2";
	struct hosts_address out[RESOLV_MAX_ADDRESSES];

	cr_assert_eq(find(text, "a.example", out), 2u);
	cr_assert(out[0].family == AF_INET && out[1].family == AF_INET6);
	cr_assert_eq(find(text, "a.example.", out), 2u);
	cr_assert_eq(find(text, "a", out), 1u, "each address once");
	cr_assert_eq(find(text, "b", out), 0u, "a comment");
	cr_assert_eq(find("", "a", out), 0u);
}

Test(resolv_conf, localhost_needs_no_hosts)
{
	struct hosts_address out[RESOLV_MAX_ADDRESSES];

	cr_assert_eq(find("", "localhost", out), 2u);
	cr_assert_eq(find("127.0.0.1 localhost", "localhost", out), 1u);
}

Test(resolv_conf, addresses_of_a_host_are_bounded)
{
	struct hosts_address out[RESOLV_MAX_ADDRESSES];
	char text[2048] = "";

	for (int i = 0; i < 40; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "10.0.0.%d a\n",
			       i);
	cr_assert_eq(find(text, "a", out), (unsigned)RESOLV_MAX_ADDRESSES);
}
