#include "proxy/process/dns_answer.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Messages, as hexadecimal text: a question for app.test or _http._tcp.test, and answers. */
#define HEAD(answers, question) "260685800001" answers "00000000" question
#define A_QUESTION                 \
	"036170700474657374000001" \
	"0001"
#define AAAA_QUESTION              \
	"03617070047465737400001c" \
	"0001"
#define SRV_QUESTION                             \
	"055f68747470045f7463700474657374000021" \
	"0001"
#define RR_A(ttl, address) "c00c00010001" ttl "0004" address
#define RR_SRV(priority, weight, port, target) \
	"c00c00210001"                         \
	"00000005"                             \
	"000a" priority weight port "0161" target
#define NAME_TEST "c017" /* .test */

static struct span message(const char *hex)
{
	static char bytes[4096];
	size_t n = strlen(hex) / 2;

	cr_assert(n <= sizeof(bytes));
	for (size_t i = 0; i < n; i++) {
		const char byte[] = { hex[2 * i], hex[2 * i + 1], '\0' };

		bytes[i] = (char)strtoul(byte, NULL, 16);
	}
	return span_of(bytes, n);
}

Test(dns_answer, addresses_are_read_each_once)
{
	static struct dns_addresses a;

	cr_assert(dns_addresses(message(HEAD("0003", A_QUESTION) RR_A("00000005", "0a000001") RR_A(
					"00000003", "0a000002") RR_A("00000009", "0a000001")),
				AF_INET, &a));
	cr_assert_eq(a.num, 2u);
	cr_assert_eq(a.ttl_s, 3u);
	cr_assert_eq(memcmp(a.list[1], "\x0a\0\0\2", 4), 0);
}

Test(dns_answer, an_alias_has_its_say_on_the_time)
{
	static struct dns_addresses a;

	cr_assert(dns_addresses(message(HEAD("0002", A_QUESTION) "c00c00050001"
								 "00000002"
								 "0004"
								 "0162c010"
								 "c02600010001"
								 "0000003c"
								 "0004"
								 "0a000001"),
				AF_INET, &a));
	cr_assert_eq(a.num, 1u);
	cr_assert_eq(a.ttl_s, 2u);
}

Test(dns_answer, what_was_not_asked_for_is_passed_over)
{
	static struct dns_addresses a;

	cr_assert(dns_addresses(message(HEAD("0001", AAAA_QUESTION) RR_A("00000005", "0a000001")),
				AF_INET6, &a));
	cr_assert_eq(a.num, 0u);
	cr_assert(dns_addresses(message(HEAD("0000", A_QUESTION)), AF_INET, &a));
	cr_assert_eq(a.num, 0u);
}

Test(dns_answer, a_time_with_its_top_bit_set_is_none)
{
	static struct dns_addresses a;

	cr_assert(dns_addresses(message(HEAD("0001", A_QUESTION) RR_A("80000000", "0a000001")),
				AF_INET, &a));
	cr_assert_eq(a.ttl_s, 0u);
}

Test(dns_answer, what_is_damaged_is_told)
{
	static const char *const bad[] = {
		"",
		"2606",
		HEAD("0002", A_QUESTION) RR_A("00000005", "0a000001"),
		HEAD("0001", A_QUESTION) "c00c00010001"
					 "00000005"
					 "0003"
					 "0a0000",
		HEAD("0001", A_QUESTION) "c00c00010001"
					 "00000005"
					 "00ff"
					 "0a000001",
		HEAD("0001", A_QUESTION) "c0ff00010001"
					 "00000005"
					 "0004"
					 "0a000001",
	};
	static struct dns_addresses a;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_not(dns_addresses(message(bad[i]), AF_INET, &a), "%zu", i);
}

Test(dns_answer, services_are_sorted_and_those_that_are_none_left_out)
{
	static struct dns_services s;

	/* "a.test", "b.test", and "." which says: there is none. */
	cr_assert(dns_services(message(HEAD("0003", SRV_QUESTION) RR_SRV("0002", "0001", "0050",
									 NAME_TEST) "c00c00210001"
										    "00000005"
										    "000a"
										    "0001"
										    "0007"
										    "0051"
										    "0162" NAME_TEST
										    "c00c00210001"
										    "00000005"
										    "0007"
										    "0001"
										    "0007"
										    "0052"
										    "00"),
			       &s));
	cr_assert_eq(s.num, 2u);
	cr_assert_str_eq(s.list[0].host, "b.test");
	cr_assert(s.list[0].port == 0x51 && s.list[0].weight == 7 && s.list[0].priority == 1);
	cr_assert_str_eq(s.list[1].host, "a.test");
}

Test(dns_answer, a_service_that_is_cut_short_is_damaged)
{
	static struct dns_services s;

	cr_assert_not(dns_services(message(HEAD("0001", SRV_QUESTION) "c00c00210001"
								      "00000005"
								      "0006"
								      "000200010050"),
				   &s));
	cr_assert_not(dns_services(message(HEAD("0001", SRV_QUESTION) "c00c00210001"
								      "00000005"
								      "000b"
								      "000200010050"
								      "0161c017"
								      "00"),
				   &s));
}
