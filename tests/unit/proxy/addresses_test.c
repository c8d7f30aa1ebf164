/* Which address of a name is next. */
#include "proxy/pool/addresses.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/world.h"

#define JSON(discovery)                                                                         \
	"{\"listeners\":[{\"name\":\"l\",\"address\":\":1\",\"mode\":\"tcp\",\"pool\":\"p\"}]," \
	"\"pools\":{\"p\":{\"discovery\":\"" discovery "\",\"servers\":[\"app.test:80\"]}}}"

struct stage {
	struct loop *loop;
	struct world w;
	struct server_addresses servers[WORLD_SERVERS];
	struct snapshot *s;
	struct shun shun;
	struct addresses *addresses;
};

static struct stage *stage;

static struct plan_address v4(unsigned last)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(80) };
	struct plan_address a = { .len = sizeof(at) };

	at.sin_addr.s_addr = htonl(0x0a000000 + last);
	memcpy(&a.address, &at, sizeof(at));
	return a;
}

static struct plan_address v6(unsigned last)
{
	struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons(80) };
	struct plan_address a = { .len = sizeof(at) };

	at.sin6_addr.s6_addr[0] = 0xfd;
	at.sin6_addr.s6_addr[15] = (uint8_t)last;
	memcpy(&a.address, &at, sizeof(at));
	return a;
}

/* 4 and the last number, or 6 and that: 41 is 10.0.0.1. */
static int number_of(const struct plan_address *a)
{
	const struct sockaddr_in *four = (const struct sockaddr_in *)&a->address;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&a->address;

	return a->address.ss_family == AF_INET ? 40 + (int)(ntohl(four->sin_addr.s_addr) & 0xff)
					       : 60 + six->sin6_addr.s6_addr[15];
}

static void stage_new(const char *json)
{
	struct plan_address first = v4(9);
	struct sockaddr_in at;

	stage = calloc(1, sizeof(*stage));
	memcpy(&at, &first.address, sizeof(at));
	world_at(&stage->servers[0], &at);
	cr_assert_not_null(stage->loop = loop_new());
	world_init(&stage->w, stage->loop);
	stage->s = world_snapshot(&stage->w, json, stage->servers, 1, 0);
	world_use(&stage->w, stage->s);
	stage->addresses =
		addresses_new(stage->s, snapshot_pool(stage->s, 0), stage->w.board, &stage->shun);
	cr_assert_not_null(stage->addresses);
}

static void stage_free(void)
{
	addresses_free(stage->addresses);
	world_fini(&stage->w);
	loop_free(stage->loop);
	free(stage);
}

static void found(const struct named_address *list, uint32_t num)
{
	const struct plan_server *server = snapshot_server(stage->s, 0);

	board_name_write(&board_steward(stage->w.board)->names[server->slot],
			 board_name_identity(server), list, num);
}

static struct addresses_choice choose(int64_t now_ns)
{
	struct addresses_choice c;

	addresses_choose(stage->addresses, 0, now_ns, &c);
	return c;
}

Test(addresses, what_the_load_found_is_used_until_the_steward_knows_more)
{
	const struct named_address one = { .at = v4(1), .weight = 1 };

	stage_new(JSON("dns"));
	cr_assert(addresses_may_change(stage->addresses, 0));
	cr_assert_eq(number_of(choose(1).list[0]), 49);
	found(&one, 1);
	cr_assert_eq(number_of(choose(1).list[0]), 41);
	cr_assert(addresses_has(stage->addresses, 0, &one.at.address, one.at.len));
	found(&one, 0);
	cr_assert_eq(number_of(choose(1).list[0]), 41, "nothing is worse than what was");
	stage_free();
}

Test(addresses, what_is_of_another_name_is_not_ours)
{
	const struct named_address one = { .at = v4(1), .weight = 1 };

	stage_new(JSON("dns"));
	board_name_write(&board_steward(stage->w.board)->names[0], 7, &one, 1);
	cr_assert_eq(number_of(choose(1).list[0]), 49);
	stage_free();
	stage_new(JSON("once"));
	found(&one, 1);
	cr_assert_not(addresses_may_change(stage->addresses, 0));
	cr_assert_eq(number_of(choose(1).list[0]), 49);
	stage_free();
}

Test(addresses, each_has_its_share)
{
	struct named_address list[4];
	unsigned got[4] = { 0 };

	stage_new(JSON("dns"));
	for (unsigned i = 0; i < 4; i++)
		list[i] = (struct named_address){ .at = v4(i), .weight = (uint16_t)(i + 1) };
	found(list, 4);
	for (int i = 0; i < 1000; i++)
		got[number_of(choose(1).list[0]) - 40]++;
	for (unsigned i = 0; i < 4; i++)
		cr_assert(abs((int)got[i] - (int)(i + 1) * 100) <= 4, "%u: %u", i, got[i]);
	stage_free();
}

Test(addresses, weight_0_is_for_when_there_is_nothing_else)
{
	struct named_address list[2] = { { .at = v4(1), .weight = 0 },
					 { .at = v4(2), .weight = 5 } };
	unsigned first = 0;

	stage_new(JSON("dns"));
	found(list, 2);
	for (int i = 0; i < 50; i++)
		cr_assert_eq(number_of(choose(1).list[0]), 42);
	list[1].weight = 0;
	found(list, 2);
	for (int i = 0; i < 50; i++)
		first += number_of(choose(1).list[0]) == 41;
	cr_assert(first >= 20 && first <= 30, "%u", first);
	stage_free();
}

Test(addresses, families_alternate_and_priorities_follow)
{
	const struct named_address list[] = {
		{ .at = v6(1), .weight = 1 },
		{ .at = v6(2), .weight = 1 },
		{ .at = v4(1), .weight = 1 },
		{ .at = v4(2), .weight = 1 },
		{ .at = v4(3), .weight = 1, .priority = 1 },
	};
	struct addresses_choice c;

	stage_new(JSON("dns"));
	found(list, 5);
	for (int i = 0; i < 20; i++) {
		c = choose(1);
		cr_assert_eq(c.num, 5u);
		cr_assert(number_of(c.list[0]) / 10 == 6 && number_of(c.list[1]) / 10 == 4);
		cr_assert(number_of(c.list[2]) / 10 == 6 && number_of(c.list[3]) / 10 == 4);
		cr_assert_eq(number_of(c.list[4]), 43);
	}
	stage_free();
}

Test(addresses, what_failed_lately_goes_last)
{
	const struct named_address list[] = { { .at = v6(1), .weight = 1 },
					      { .at = v4(1), .weight = 1 },
					      { .at = v4(2), .weight = 1 } };
	struct addresses_choice c;

	stage_new(JSON("dns"));
	found(list, 3);
	shun_add(&stage->shun, &list[0].at.address, list[0].at.len, 5);
	shun_add(&stage->shun, &list[1].at.address, list[1].at.len, 5);
	for (int i = 0; i < 5; i++) {
		c = choose(6);
		cr_assert_eq(c.num, 3u);
		cr_assert_eq(number_of(c.list[0]), 42);
	}
	c = choose(5 + INT64_C(10000000000));
	cr_assert_eq(number_of(c.list[0]), 61, "not for ever");
	stage_free();
}

Test(addresses, there_are_never_more_than_fit)
{
	struct named_address list[BOARD_NAME_ADDRESSES];
	bool seen[BOARD_NAME_ADDRESSES] = { false };
	struct addresses_choice c;
	unsigned num = 0;

	stage_new(JSON("dns"));
	for (unsigned i = 0; i < BOARD_NAME_ADDRESSES; i++)
		list[i] = (struct named_address){ .at = v4(i), .weight = 1 };
	found(list, BOARD_NAME_ADDRESSES);
	for (int i = 0; i < 2 * BOARD_NAME_ADDRESSES; i++) {
		c = choose(1);
		cr_assert_eq(c.num, (uint32_t)ADDRESSES_CHOICE);
		seen[number_of(c.list[0]) - 40] = true;
	}
	for (unsigned i = 0; i < BOARD_NAME_ADDRESSES; i++)
		num += seen[i];
	cr_assert_gt(num, 240u, "%u had a turn", num);
	stage_free();
}
