#include "proxy/process/board_name.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

static struct named_address made(int family, unsigned n)
{
	struct named_address a = { .priority = (uint16_t)(n * 3), .weight = (uint16_t)(n * 5) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)(1000 + n)) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
				   .sin6_port = htons((uint16_t)(1000 + n)) };

	v4.sin_addr.s_addr = htonl(n);
	v6.sin6_addr.s6_addr[15] = (uint8_t)n;
	a.at.len = family == AF_INET ? sizeof(v4) : sizeof(v6);
	if (family == AF_INET)
		memcpy(&a.at.address, &v4, sizeof(v4));
	else
		memcpy(&a.at.address, &v6, sizeof(v6));
	return a;
}

Test(board_name, what_is_written_is_read)
{
	static struct board_name name;
	static struct named_address list[BOARD_NAME_ADDRESSES], got[BOARD_NAME_ADDRESSES];
	uint64_t seen = 0;
	uint32_t num;

	cr_assert_not(board_name_changed(&name, 0));
	cr_assert_not(board_name_read(&name, 5, got, &num, &seen), "nobody has written");
	for (unsigned i = 0; i < BOARD_NAME_ADDRESSES; i++)
		list[i] = made(i % 2 == 0 ? AF_INET : AF_INET6, i);
	board_name_write(&name, 5, list, BOARD_NAME_ADDRESSES);
	cr_assert(board_name_changed(&name, seen));
	cr_assert(board_name_read(&name, 5, got, &num, &seen));
	cr_assert_eq(num, (uint32_t)BOARD_NAME_ADDRESSES);
	for (unsigned i = 0; i < BOARD_NAME_ADDRESSES; i++)
		cr_assert(named_address_same(&list[i], &got[i]), "%u", i);
	cr_assert_not(board_name_changed(&name, seen));
	cr_assert_not(board_name_read(&name, 6, got, &num, &seen), "of another");
}

Test(board_name, what_makes_no_sense_is_left_out)
{
	static struct board_name name;
	struct named_address got[BOARD_NAME_ADDRESSES], one = made(AF_INET, 1);
	uint64_t seen;
	uint32_t num;

	board_name_write(&name, 5, &one, 1);
	name.words[1][2] = (uint64_t)80 << 16 | 5; /* no such family */
	name.words[2][2] = 4;			   /* no port */
	name.num = UINT64_MAX;
	cr_assert(board_name_read(&name, 5, got, &num, &seen));
	cr_assert_eq(num, 1u);
}

Test(board_name, one_that_died_while_it_wrote_is_written_over)
{
	static struct board_name name;
	struct named_address got[BOARD_NAME_ADDRESSES], one = made(AF_INET6, 1);
	uint64_t seen;
	uint32_t num;

	board_name_write(&name, 5, &one, 1);
	name.sequence++;
	cr_assert_not(board_name_changed(&name, 0));
	cr_assert_not(board_name_read(&name, 5, got, &num, &seen));
	board_name_write(&name, 5, &one, 1);
	cr_assert(board_name_read(&name, 5, got, &num, &seen));
	cr_assert_eq(num, 1u);
}

Test(board_name, names_are_told_apart)
{
	struct plan_server a = { .host = "a.example", .port = 80 }, b = a;

	cr_assert_eq(board_name_identity(&a), board_name_identity(&b));
	b.port = 81;
	cr_assert_neq(board_name_identity(&a), board_name_identity(&b));
	b = a;
	b.discovery = CONF_DISCOVERY_SRV;
	cr_assert_neq(board_name_identity(&a), board_name_identity(&b));
	b = a;
	memcpy(b.host, "b", 1);
	cr_assert_neq(board_name_identity(&a), board_name_identity(&b));
}
