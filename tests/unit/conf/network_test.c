#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>

#include "conf/network.h"

Test(network, is_read_and_written_in_one_spelling)
{
	static const struct {
		const char *text, *canonical;
		int family;
		uint8_t bits, first, last;
	} good[] = {
		{ "10.0.0.0/8", "10.0.0.0/8", AF_INET, 8, 10, 0 },
		{ "10.0.0.1", "10.0.0.1", AF_INET, 32, 10, 1 },
		{ "10.0.0.1/32", "10.0.0.1", AF_INET, 32, 10, 1 },
		{ "0.0.0.0/0", "0.0.0.0/0", AF_INET, 0, 0, 0 },
		{ "192.0.2.254/31", "192.0.2.254/31", AF_INET, 31, 192, 254 },
		{ "2001:DB8:0::/32", "2001:db8::/32", AF_INET6, 32, 0x20, 0xb8 },
		{ "::1", "::1", AF_INET6, 128, 0, 0 },
		{ "::/0", "::/0", AF_INET6, 0, 0, 0 },
		{ "::ffff:10.1.2.3", "10.1.2.3", AF_INET, 32, 10, 3 },
		{ "::ffff:10.0.0.0/104", "10.0.0.0/8", AF_INET, 8, 10, 0 },
		{ "::ffff:0:0/96", "0.0.0.0/0", AF_INET, 0, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		char why[256], text[NETWORK_MAX_TEXT];
		struct conf_network n;

		cr_assert(network_read(span_str(good[i].text), &n, why, sizeof(why)), "%s: %s",
			  good[i].text, why);
		cr_expect_eq(n.family, good[i].family, "%s", good[i].text);
		cr_expect_eq(n.bits, good[i].bits, "%s", good[i].text);
		cr_expect_eq(n.bytes[0], good[i].first, "%s", good[i].text);
		cr_expect_eq(n.bytes[3], good[i].last, "%s", good[i].text);
		network_text(&n, text);
		cr_expect_str_eq(text, good[i].canonical);
	}
}

Test(network, says_why_a_text_is_none)
{
	static const struct {
		const char *text, *what;
	} bad[] = {
		{ "", "\"\" is no network: expected one such as \"10.0.0.0/8\"" },
		{ "localhost", "is no network" },
		{ "10.0.0/8", "is no network" },
		{ "[::1]", "is no network" },
		{ "10.0.0.0:80", "is no network" },
		{ "10.0.0.0/33", "after \"/\" a number of bits from 0 to 32 is expected" },
		{ "::/129", "from 0 to 128" },
		{ "10.0.0.0/", "number of bits" },
		{ "10.0.0.0/08", "number of bits" },
		{ "10.0.0.0/-1", "number of bits" },
		{ "10.0.0.0/8/8", "number of bits" },
		{ "10.0.0.0/255.0.0.0", "number of bits" },
		{ "10.1.0.0/8", "write \"10.0.0.0/8\" for all of it, or \"10.1.0.0\"" },
		{ "2001:db8::1/127", "write \"2001:db8::/127\" for all of it, or \"2001:db8::1\"" },
		{ "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/1",
		  "is no network" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct conf_network n = { .family = 77 };
		char why[256];

		cr_expect_not(network_read(span_str(bad[i].text), &n, why, sizeof(why)), "%s",
			      bad[i].text);
		cr_expect_not_null(strstr(why, bad[i].what), "%s lacks %s", why, bad[i].what);
		cr_expect_eq(n.family, 77);
	}
}
