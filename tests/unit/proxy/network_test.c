#include "proxy/net/network.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>

static struct conf_network network(const char *text, uint8_t bits)
{
	struct conf_network n = { .bits = bits, .family = AF_INET };

	if (inet_pton(AF_INET, text, n.bytes) != 1) {
		n.family = AF_INET6;
		cr_assert_eq(inet_pton(AF_INET6, text, n.bytes), 1);
	}
	return n;
}

static bool contains(const struct conf_network *list, size_t num, const char *text)
{
	struct conf_network address = network(text, 0);

	return network_contains(list, num, address.family, address.bytes);
}

Test(network, bits_decide)
{
	static const struct {
		const char *network;
		uint8_t bits;
		const char *inside, *outside;
	} rows[] = {
		{ "10.0.0.0", 8, "10.255.255.255", "11.0.0.0" },
		{ "192.0.2.128", 25, "192.0.2.200", "192.0.2.127" },
		{ "192.0.2.1", 32, "192.0.2.1", "192.0.2.0" },
		{ "192.0.2.2", 31, "192.0.2.3", "192.0.2.4" },
		{ "0.0.0.0", 0, "255.1.2.3", "2001:db8::1" },
		{ "::", 0, "2001:db8::1", "192.0.2.1" },
		{ "2001:db8::", 32, "2001:db8:ffff::", "2001:db9::" },
		{ "2001:db8:0:8000::", 49, "2001:db8:0:ffff::", "2001:db8:0:7fff::" },
		{ "::1", 128, "::1", "::" },
		{ "fe80::", 10, "febf::1", "fec0::" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct conf_network n = network(rows[i].network, rows[i].bits);

		cr_assert(contains(&n, 1, rows[i].inside), "%s", rows[i].inside);
		cr_assert_not(contains(&n, 1, rows[i].outside), "%s", rows[i].outside);
	}
}

Test(network, mapped_addresses_are_ipv4)
{
	struct conf_network v4 = network("10.0.0.0", 8), all6 = network("::", 0);
	struct conf_network mapped = network("::ffff:10.0.0.0", 104);

	cr_assert(contains(&v4, 1, "::ffff:10.1.2.3"));
	cr_assert_not(contains(&v4, 1, "::ffff:11.1.2.3"));
	cr_assert_not(contains(&v4, 1, "::fffe:10.1.2.3"));
	cr_assert_not(contains(&all6, 1, "::ffff:10.1.2.3"));
	cr_assert(contains(&mapped, 1, "10.1.2.3"));
	cr_assert(contains(&mapped, 1, "::ffff:10.1.2.3"));
	cr_assert_not(contains(&mapped, 1, "11.1.2.3"));
	cr_assert_not(contains(&mapped, 1, "a01:203::"));
}

Test(network, any_of_a_list_will_do_and_none_of_none)
{
	struct conf_network list[] = { network("10.0.0.0", 8), network("2001:db8::", 32) };
	uint8_t zeros[16] = { 0 };

	cr_assert(contains(list, 2, "2001:db8::1"));
	cr_assert_not(contains(list, 1, "2001:db8::1"));
	cr_assert_not(contains(NULL, 0, "10.0.0.1"));
	list[0] = network("0.0.0.0", 0);
	cr_assert_not(network_contains(list, 2, AF_UNIX, zeros));
}
