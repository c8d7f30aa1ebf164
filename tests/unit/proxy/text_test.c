#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxy/observe/text.h"

static char buf[4096];

static struct text empty(void)
{
	return text_fixed(buf, sizeof(buf));
}

static void expect(const struct text *t, const char *want)
{
	cr_assert_not(t->failed);
	cr_assert(t->n == strlen(want) && memcmp(t->p, want, t->n) == 0, "'%.*s' is not '%s'",
		  (int)t->n, t->p, want);
}

#define EXPECT(call, want)               \
	do {                             \
		struct text t = empty(); \
		call;                    \
		expect(&t, want);        \
	} while (0)

Test(text, numbers)
{
	EXPECT(text_u64(&t, 0), "0");
	EXPECT(text_u64(&t, UINT64_MAX), "18446744073709551615");
	EXPECT(text_fraction(&t, 0, 3), "0.000");
	EXPECT(text_fraction(&t, 7, 3), "0.007");
	EXPECT(text_fraction(&t, 1234, 3), "1.234");
	EXPECT(text_fraction(&t, UINT64_MAX, 9), "18446744073.709551615");
	EXPECT(text_hex16(&t, 0x0a1f), "0x0a1f");
}

Test(text, times_agree_with_libc)
{
	static const int64_t seconds[] = { 0,	       951782399,  951782400,  951868800,
					   978307199,  1709164800, 1709251199, 1735689599,
					   4102444799, 4107542400, 9223372036 };

	for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		time_t s = seconds[i];
		char want[64];
		struct tm tm;

		cr_assert_not_null(gmtime_r(&s, &tm));
		cr_assert_gt(strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.678Z", &tm), 0u);
		EXPECT(text_time(&t, seconds[i] * 1000000000 + 678999999), want);
	}
	for (int64_t day = 0; day < 106000; day++) { /* up to 2260 */
		time_t s = day * 86400 + 86399;
		char want[64];
		struct tm tm;

		cr_assert_not_null(gmtime_r(&s, &tm));
		cr_assert_gt(strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.000Z", &tm), 0u);
		EXPECT(text_time(&t, (int64_t)s * 1000000000), want);
	}
}

Test(text, common_times_agree_with_libc)
{
	for (int64_t day = 0; day < 106000; day += 7) {
		time_t s = day * 86400 + day % 86400;
		char want[64];
		struct tm tm;

		cr_assert_not_null(gmtime_r(&s, &tm));
		cr_assert_gt(strftime(want, sizeof(want), "%d/%b/%Y:%H:%M:%S +0000", &tm), 0u);
		EXPECT(text_common_time(&t, (int64_t)s * 1000000000 + 999999999), want);
	}
	EXPECT(text_common_time(&t, INT64_MIN), "01/Jan/1970:00:00:00 +0000");
}

Test(text, times_that_make_no_sense_stay_in_form)
{
	EXPECT(text_time(&t, -1), "1970-01-01T00:00:00.000Z");
	EXPECT(text_time(&t, INT64_MIN), "1970-01-01T00:00:00.000Z");
	EXPECT(text_time(&t, INT64_MAX), "2262-04-11T23:47:16.854Z");
}

#define JSON(in, want) EXPECT(text_json(&t, span_of((in), sizeof(in) - 1)), want)

Test(text, json_escapes_what_must_be)
{
	JSON("", "\"\"");
	JSON("plain text~", "\"plain text~\"");
	JSON("a\"b\\c", "\"a\\\"b\\\\c\"");
	JSON("\n\x01\x1f\0z", "\"\\u000a\\u0001\\u001f\\u0000z\"");
	JSON("\x7f", "\"\\u007f\"");
	JSON("\xc2\x9b"
	     "31m",
	     "\"\\u009b31m\""); /* CSI: a terminal would obey it */
}

Test(text, json_keeps_utf8)
{
	JSON("\xc3\xa9", "\"\xc3\xa9\"");
	JSON("\xe2\x82\xac", "\"\xe2\x82\xac\"");
	JSON("\xe2\x80\xa8\xe2\x80\xa9", "\"\\u2028\\u2029\""); /* ends of lines, for some */
	JSON("\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"");
	JSON("\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\"");
}

Test(text, json_replaces_what_is_not_utf8)
{
	JSON("\xff", "\"\\ufffd\"");
	JSON("a\x80z", "\"a\\ufffdz\"");
	JSON("\xc0\xaf", "\"\\ufffd\\ufffd\"");		   /* overlong */
	JSON("\xe0\x80\xaf", "\"\\ufffd\\ufffd\\ufffd\""); /* overlong */
	JSON("\xf0\x80\x80\xaf", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
	JSON("\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"");	      /* surrogate */
	JSON("\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""); /* past the end */
	JSON("\xf5\x80\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
	JSON("\xc3", "\"\\ufffd\""); /* cut */
	JSON("\xe2\x82", "\"\\ufffd\\ufffd\"");
	JSON("\xe2\x28\xa1", "\"\\ufffd(\\ufffd\"");
}

Test(text, hex_escapes_all_but_printable_ascii)
{
	EXPECT(text_hex_escaped(&t, span_str("/a?b=c'~"), false), "/a?b=c'~");
	EXPECT(text_hex_escaped(&t, span_str(""), false), "");
	EXPECT(text_hex_escaped(&t, span_str("a \"\\\n\x7f\xc3\xa4\xff"), true),
	       "a \\x22\\x5C\\x0A\\x7F\\xC3\\xA4\\xFF");
	EXPECT(text_hex_escaped(&t, span_str(" a b"), false), "\\x20a\\x20b");
	EXPECT(text_hex_escaped(&t, span_of("\0", 1), false), "\\x00");
}

Test(text, plain_is_safe_to_show)
{
	EXPECT(text_plain(&t, span_str("a\nb\x1b[31m\xff\xc2\x9b \xe2\x82\xac"), 0),
	       "a?b?[31m?? \xe2\x82\xac");
}

Test(text, plain_is_cut_between_characters)
{
	struct text t = text_fixed(buf, 6);

	text_plain(&t, span_str("abcd\xe2\x82\xac"), 1);
	expect(&t, "abcd");
	t = text_fixed(buf, 8);
	text_plain(&t, span_str("abcd\xe2\x82\xac"), 1);
	expect(&t, "abcd\xe2\x82\xac");
}

Test(text, a_fixed_text_that_is_full_stays_as_it_was)
{
	struct text t = text_fixed(buf, 5);

	TEXT_PUT(&t, "abc");
	TEXT_PUT(&t, "def");
	cr_assert(t.failed);
	cr_assert_eq(t.n, 3);
	TEXT_PUT(&t, "d"); /* would fit, but something is missing before it */
	cr_assert_eq(t.n, 3);
}

Test(text, a_growing_text_grows)
{
	struct text t = text_growing();

	for (int i = 0; i < 100000; i++)
		TEXT_PUT(&t, "0123456789");
	cr_assert_not(t.failed);
	cr_assert_eq(t.n, 1000000);
	for (size_t i = 0; i < t.n; i++)
		cr_assert_eq(t.p[i], (char)('0' + i % 10));
	free(t.p);
}

Test(text, ipv4)
{
	EXPECT(text_ipv4(&t, (const uint8_t[]){ 0, 0, 0, 0 }), "0.0.0.0");
	EXPECT(text_ipv4(&t, (const uint8_t[]){ 255, 255, 255, 255 }), "255.255.255.255");
	EXPECT(text_ipv4(&t, (const uint8_t[]){ 192, 0, 2, 10 }), "192.0.2.10");
}

static void expect_ipv6(const char *spelled, const char *want)
{
	uint8_t address[16];

	cr_assert_eq(inet_pton(AF_INET6, spelled, address), 1);
	EXPECT(text_ipv6(&t, address), want);
}

Test(text, ipv6_as_rfc_5952_wants_it)
{
	expect_ipv6("::", "::");
	expect_ipv6("::1", "::1");
	expect_ipv6("1::", "1::");
	expect_ipv6("2001:DB8::0:1", "2001:db8::1");
	expect_ipv6("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"); /* 4.2.2 */
	expect_ipv6("2001:0:0:1:0:0:0:1", "2001:0:0:1::1");	     /* 4.2.3: the longest */
	expect_ipv6("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1");    /* or the first */
	expect_ipv6("0:0:1::", "0:0:1::");
	expect_ipv6("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8");
	expect_ipv6("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	expect_ipv6("1:2:3:4:5:6:0:0", "1:2:3:4:5:6::");
}

Test(text, ipv6_agrees_with_libc)
{
	uint32_t seed = 1;

	for (int i = 0; i < 200000; i++) {
		uint8_t address[16];
		char want[INET6_ADDRSTRLEN];

		for (size_t k = 0; k < 16; k += 2) {
			seed = seed * 1664525 + 1013904223;
			address[k] = (uint8_t)((seed >> 30) == 0 ? 0 : seed >> 22);
			address[k + 1] = (uint8_t)((seed >> 30) <= 1 ? 0 : seed >> 14);
		}
		cr_assert_not_null(inet_ntop(AF_INET6, address, want, sizeof(want)));
		if (strchr(want, '.') != NULL)
			continue; /* libc shows embedded IPv4 */
		EXPECT(text_ipv6(&t, address), want);
	}
}
