/* The order in which servers and their addresses are tried. */
#include "proxy/pool/pool.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/world.h"

struct fixture {
	struct loop *loop;
	struct world w;
	struct server_addresses servers[WORLD_SERVERS];
	struct pool *pool;
};

#define LISTENER \
	"\"listeners\":[{\"name\":\"l\",\"address\":\":1\",\"mode\":\"tcp\",\"pool\":\"p\"}]"

/* Addresses are told apart by their ports: 10 for server 0's first, 21 for server 1's second. */
static void fixture_init(struct fixture *f, const char *pool, const unsigned *num_addresses)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	char json[1024];
	struct snapshot *s;

	memset(f, 0, sizeof(*f));
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (unsigned i = 0; num_addresses[i] != 99; i++)
		for (unsigned k = 0; k < num_addresses[i]; k++) {
			at.sin_port = htons((uint16_t)(10 * (i + 1) + k));
			world_at(&f->servers[i], &at);
		}
	cr_assert_not_null(f->loop = loop_new());
	world_init(&f->w, f->loop);
	(void)snprintf(json, sizeof(json), "{" LISTENER ",\"pools\":{\"p\":%s}}", pool);
	s = world_snapshot(&f->w, json, f->servers, 1, 0);
	world_use(&f->w, s);
	f->pool = site_of(s)->pools[0];
}

static void fixture_fini(struct fixture *f)
{
	world_fini(&f->w);
	loop_free(f->loop);
}

/* Returns the port that is tried next; 0: none, -1: full. */
static int next(struct fixture *f, struct pool_tries *t)
{
	struct pool_choice to;

	enum pool_verdict verdict;

	do
		verdict = pool_next(f->pool, t, &to);
	while (verdict == POOL_FOUND && to.full);
	switch (verdict) {
	case POOL_FOUND:
		return ntohs(((const struct sockaddr_in *)&to.at.list[0]->address)->sin_port);
	case POOL_FULL:
		return -1;
	default:
		return 0;
	}
}

static struct metrics_server *cells(struct fixture *f, unsigned worker, unsigned server)
{
	return &board_worker(f->w.board, worker)->metrics.servers[server];
}

#define THREE \
	"{\"balance\":\"round_robin\",\"servers\":[\"127.0.0.1:1\",\"127.0.0.1:2\",\"127.0.0.1:3\"]}"

Test(pool, connections_go_round)
{
	struct fixture f;

	fixture_init(&f, THREE, (unsigned[]){ 1, 1, 1, 99 });
	for (int i = 0; i < 6; i++) {
		struct pool_tries t = { 0 };

		cr_assert_eq(next(&f, &t), 10 * (i % 3 + 1));
	}
	fixture_fini(&f);
}

Test(pool, tries_each_server_once_with_all_its_addresses)
{
	static const unsigned num[] = { 2, 1, 3 };
	struct fixture f;
	struct pool_tries t = { 0 };
	struct pool_choice to;

	fixture_init(&f, THREE, (unsigned[]){ 2, 1, 3, 99 });
	for (size_t i = 0; i < 3; i++) {
		cr_assert_eq(pool_next(f.pool, &t, &to), POOL_FOUND);
		cr_assert_eq(to.place, i);
		cr_assert_eq(to.at.num, num[i], "server %zu", i);
	}
	cr_assert_eq(pool_next(f.pool, &t, &to), POOL_NO_SERVER);
	t = (struct pool_tries){ 0 };
	cr_assert_eq(next(&f, &t), 20, "the next connection begins with the next server");
	cr_assert_eq(next(&f, &t) / 10, 3);
	fixture_fini(&f);
}

Test(pool, servers_without_addresses_are_passed_over)
{
	struct fixture f;
	struct pool_tries t = { 0 };

	fixture_init(&f, THREE, (unsigned[]){ 0, 1, 0, 99 });
	cr_assert_eq(next(&f, &t), 20);
	cr_assert_eq(next(&f, &t), 0);
	fixture_fini(&f);
}

Test(pool, no_addresses_at_all_is_no_server)
{
	struct fixture f;
	struct pool_tries t = { 0 };

	fixture_init(&f, THREE, (unsigned[]){ 0, 0, 0, 99 });
	for (int i = 0; i < 3; i++)
		cr_assert_eq(next(&f, &t), 0);
	fixture_fini(&f);
}

Test(pool, tries_are_bounded)
{
	char many[1024] = "{\"servers\":[";
	struct fixture f;
	struct pool_tries t = { 0 };
	unsigned each[POOL_MAX_TRIES + 3];
	int num = 0;

	for (unsigned i = 0; i < POOL_MAX_TRIES + 2; i++) {
		size_t n = strlen(many);

		(void)snprintf(many + n, sizeof(many) - n, "%s\"127.0.0.1:%u\"", i == 0 ? "" : ",",
			       i + 1);
		each[i] = 1;
	}
	each[POOL_MAX_TRIES + 2] = 99;
	(void)snprintf(many + strlen(many), sizeof(many) - strlen(many), "]}");
	fixture_init(&f, many, each);
	while (next(&f, &t) > 0)
		num++;
	cr_assert_eq(num, POOL_MAX_TRIES);
	fixture_fini(&f);
}

#define MAX_TWO \
	"{\"balance\":\"round_robin\",\"servers\":[\"127.0.0.1:1\",\"127.0.0.1:2\"],\"connections\":{\"max\":2}}"

Test(pool, a_full_server_is_passed_over_counting_all_workers)
{
	struct fixture f;
	struct pool_tries t = { 0 };

	fixture_init(&f, MAX_TWO, (unsigned[]){ 2, 2, 99 });
	cells(&f, 0, 0)->active = 1;
	cells(&f, 1, 0)->active = 1;
	cr_assert_eq(next(&f, &t) / 10, 2);
	cr_assert_eq(next(&f, &t), 0, "others were tried: not full, but failed");
	fixture_fini(&f);
}

Test(pool, all_full_is_full_until_one_has_room)
{
	struct fixture f;
	struct pool_tries t = { 0 };

	fixture_init(&f, MAX_TWO, (unsigned[]){ 1, 1, 99 });
	cells(&f, 0, 0)->active = 2;
	cells(&f, 1, 1)->active = 5;
	cr_assert_eq(next(&f, &t), -1);
	cells(&f, 0, 0)->active = 1;
	t = (struct pool_tries){ 0 };
	cr_assert_eq(next(&f, &t), 10);
	fixture_fini(&f);
}

Test(pool, weights_are_shares)
{
	struct fixture f;
	unsigned got[2] = { 0, 0 };

	fixture_init(
		&f,
		"{\"balance\":\"round_robin\",\"servers\":[{\"address\":\"127.0.0.1:1\",\"weight\":3},\"127.0.0.1:2\"]}",
		(unsigned[]){ 1, 1, 99 });
	for (int i = 0; i < 40; i++) {
		struct pool_tries t = { 0 };

		got[next(&f, &t) / 10 - 1]++;
	}
	cr_assert_eq(got[0], 30u);
	cr_assert_eq(got[1], 10u);
	fixture_fini(&f);
}

Test(pool, a_choice_says_how_to_speak)
{
	struct fixture f;
	struct pool_tries t = { 0 };
	struct pool_choice to;

	fixture_init(&f,
		     "{\"servers\":[\"srv.example:1\"],\"tls\":{\"verify\":false},"
		     "\"timeouts\":{\"connect\":\"7s\"}}",
		     (unsigned[]){ 1, 99 });
	cr_assert_eq(pool_next(f.pool, &t, &to), POOL_FOUND);
	cr_assert_not_null(to.tls);
	cr_assert_str_eq(to.name, "srv.example");
	cr_assert_eq(to.connect_timeout_ns, INT64_C(7000000000));
	cr_assert_str_eq(pool_plan(f.pool)->name, "p");
	cr_assert_str_eq(pool_conf(f.pool)->name, "p");
	fixture_fini(&f);
}

Test(pool, a_full_server_is_given_once_for_what_it_has_already)
{
	struct fixture f;
	struct pool_tries t = { 0 };
	struct pool_choice to;

	fixture_init(&f, MAX_TWO, (unsigned[]){ 2, 1, 99 });
	cells(&f, 0, 0)->active = 2;
	cr_assert_eq(pool_next(f.pool, &t, &to), POOL_FOUND);
	cr_assert(to.full);
	cr_assert_eq(pool_next(f.pool, &t, &to), POOL_FOUND);
	cr_assert_not(to.full);
	cr_assert_eq(pool_next(f.pool, &t, &to), POOL_NO_SERVER);
	fixture_fini(&f);
}

Test(pool, by_default_the_server_with_fewer_requests_of_all_workers_is_chosen)
{
	struct fixture f;

	fixture_init(&f, "{\"servers\":[\"127.0.0.1:1\",\"127.0.0.1:2\"]}",
		     (unsigned[]){ 1, 1, 99 });
	cells(&f, 0, 0)->requests_active = 1;
	cells(&f, 1, 0)->requests_active = 1;
	cells(&f, 0, 1)->requests_active = 1;
	for (int i = 0; i < 20; i++) {
		struct pool_tries t = { 0 };

		cr_assert_eq(next(&f, &t), 20);
	}
	fixture_fini(&f);
}

#define WITH_BACKUP                                                                      \
	"{\"balance\":\"round_robin\",\"connections\":{\"max\":2},\"servers\":["         \
	"{\"address\":\"127.0.0.1:1\",\"backup\":true},\"127.0.0.1:2\",\"127.0.0.1:3\"," \
	"{\"address\":\"127.0.0.1:4\",\"backup\":true}]}"

Test(pool, backups_are_tried_once_there_is_no_other)
{
	static const int order[] = { 20, 30, 10, 40, 0, 0 };
	struct fixture f;
	struct pool_tries t = { 0 };

	fixture_init(&f, WITH_BACKUP, (unsigned[]){ 1, 1, 1, 1, 99 });
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		cr_assert_eq(next(&f, &t), order[i], "try %zu", i);
	for (int i = 0; i < 6; i++) {
		t = (struct pool_tries){ 0 };
		cr_assert_eq(next(&f, &t), i % 2 == 0 ? 30 : 20);
	}
	fixture_fini(&f);
}

Test(pool, backups_take_what_the_full_ones_cannot)
{
	struct fixture f;
	struct pool_tries t = { 0 };

	fixture_init(&f, WITH_BACKUP, (unsigned[]){ 1, 1, 1, 0, 99 });
	cells(&f, 0, 1)->active = 2;
	cells(&f, 1, 2)->active = 2;
	cr_assert_eq(next(&f, &t), 10);
	cr_assert_eq(next(&f, &t), 0);
	fixture_fini(&f);
}

Test(pool, further_tries_follow_the_balance_too)
{
	struct fixture f;

	fixture_init(
		&f,
		"{\"servers\":[\"127.0.0.1:1\",\"127.0.0.1:2\",\"127.0.0.1:3\",\"127.0.0.1:4\"]}",
		(unsigned[]){ 1, 1, 1, 1, 99 });
	for (unsigned i = 0; i < 3; i++)
		cells(&f, 0, i)->requests_active = 10 * (i + 1);
	for (int i = 0; i < 40; i++) {
		struct pool_tries t = { 0 };
		unsigned seen = 0;
		int last = 0;

		for (int n = 0; n < 4; n++) {
			int port = next(&f, &t);

			/* The most loaded one is left for the end. */
			cr_assert(n < 3 ? port != 30 : port == 30, "try %d: %d", n, port);
			cr_assert_neq(port, last);
			last = port;
			seen |= 1U << (port / 10);
		}
		cr_assert_eq(seen, 0x1eU);
		cr_assert_eq(next(&f, &t), 0);
	}
	fixture_fini(&f);
}

#define HASHED                                                                                \
	"{\"balance\":\"hash\",\"servers\":[\"127.0.0.1:1\",\"127.0.0.1:2\",\"127.0.0.1:3\"," \
	"\"127.0.0.1:4\"]}"

Test(pool, a_hash_gives_a_key_the_same_servers_in_the_same_order)
{
	struct fixture f;
	int by_key[50][3];
	unsigned got[5] = { 0 };

	fixture_init(&f, HASHED, (unsigned[]){ 1, 1, 1, 1, 99 });
	for (int round = 0; round < 3; round++) {
		for (int k = 0; k < 50; k++) {
			struct pool_tries t = {
				.key = pool_key(span_of((const char *)&k, sizeof(k))),
			};

			for (int n = 0; n < 3; n++) {
				int port = next(&f, &t);

				if (round == 0)
					by_key[k][n] = port;
				cr_assert_eq(port, by_key[k][n]);
				got[port / 10] += n == 0;
			}
		}
	}
	for (int i = 1; i < 5; i++)
		cr_expect_gt(got[i], 0, "%d", i);
	fixture_fini(&f);
}

Test(pool, a_hash_goes_on_from_a_server_with_more_than_its_part)
{
	struct fixture f;
	struct pool_tries t = { .key = 99 };
	int usual;

	fixture_init(&f, HASHED, (unsigned[]){ 1, 1, 1, 1, 99 });
	usual = next(&f, &t);
	cells(&f, 1, (unsigned)usual / 10 - 1)->requests_active = 20;
	board_worker(f.w.board, 1)->metrics.pools_active[0] = 80;
	t = (struct pool_tries){ .key = 99 };
	cr_assert_eq(next(&f, &t), usual, "20 of 80 is a quarter");
	board_worker(f.w.board, 1)->metrics.pools_active[0] = 60;
	t = (struct pool_tries){ .key = 99 };
	cr_assert_neq(next(&f, &t), usual, "20 of 60 is more than 1.25 times a quarter");
	fixture_fini(&f);
}

Test(pool, first_fills_one_after_the_other)
{
	struct fixture f;

	fixture_init(
		&f,
		"{\"balance\":\"first\",\"servers\":[\"127.0.0.1:1\",\"127.0.0.1:2\"],\"connections\":{\"max\":2}}",
		(unsigned[]){ 1, 1, 99 });
	for (int i = 0; i < 6; i++) {
		struct pool_tries t = { 0 };

		cells(&f, 0, 0)->active = i < 4 ? (uint64_t)i / 2 : 2;
		cr_assert_eq(next(&f, &t), i < 4 ? 10 : 20);
	}
	fixture_fini(&f);
}

Test(pool, a_random_balance_uses_all)
{
	struct fixture f;
	unsigned got[3] = { 0 };

	fixture_init(
		&f,
		"{\"balance\":\"random\",\"servers\":[\"127.0.0.1:1\",\"127.0.0.1:2\",\"127.0.0.1:3\"]}",
		(unsigned[]){ 1, 1, 1, 99 });
	for (int i = 0; i < 300; i++) {
		struct pool_tries t = { 0 };

		got[next(&f, &t) / 10 - 1]++;
	}
	for (int i = 0; i < 3; i++)
		cr_expect(got[i] > 60 && got[i] < 140, "%u", got[i]);
	fixture_fini(&f);
}

/* ---- servers that are out */

static struct board_server *found(struct fixture *f, unsigned i)
{
	const struct snapshot *s = pool_snapshot(f->pool);

	return &board_steward(f->w.board)
			->servers[snapshot_server(s, pool_plan(f->pool)->first_server + i)->slot];
}

Test(pool, a_server_that_is_out_gets_nothing_while_there_are_others)
{
	struct fixture f;

	fixture_init(&f, THREE, (const unsigned[]){ 1, 1, 1, 99 });
	found(&f, 1)->out = 1;
	for (int i = 0; i < 30; i++) {
		struct pool_tries t = { 0 };

		cr_assert_neq(next(&f, &t), 20);
		cr_assert_neq(next(&f, &t), 20);
		cr_assert_eq(next(&f, &t), 20, "where the others have failed, even that one");
		cr_assert_eq(next(&f, &t), 0);
	}
	for (unsigned i = 0; i < 3; i++)
		found(&f, i)->out = 1;
	for (int i = 0; i < 3; i++) {
		struct pool_tries t = { 0 };

		cr_assert_neq(next(&f, &t), 0, "better than nothing");
	}
	fixture_fini(&f);
}

Test(pool, one_that_is_full_is_waited_for_rather_than_one_that_is_out_asked)
{
	struct fixture f;
	struct pool_tries t = { 0 };

	fixture_init(&f, MAX_TWO, (unsigned[]){ 1, 1, 99 });
	cells(&f, 0, 0)->active = 2;
	board_steward(f.w.board)->servers[1].down = 1;
	cr_assert_eq(next(&f, &t), -1);
	cells(&f, 0, 0)->active = 1;
	t = (struct pool_tries){ 0 };
	cr_assert_eq(next(&f, &t), 10);
	cr_assert_eq(next(&f, &t), 20, "it has failed: now anything is better");
	board_steward(f.w.board)->servers[0].out = 1;
	cells(&f, 0, 0)->active = 2;
	t = (struct pool_tries){ 0 };
	cr_assert_eq(next(&f, &t), 20, "both are out, and one is full");
	fixture_fini(&f);
}

Test(pool, a_server_that_is_back_gets_its_share_slowly)
{
	static const struct {
		int64_t since_ms;
		int least, most; /* of 1,000 */
	} cases[] = { { 0, 0, 20 }, { 5000, 290, 375 }, { 10000, 500, 500 }, { 99000, 500, 500 } };
	struct fixture f;

	fixture_init(
		&f,
		"{\"balance\":\"round_robin\",\"slow_start\":\"10s\",\"servers\":[\"127.0.0.1:1\","
		"\"127.0.0.1:2\"]}",
		(const unsigned[]){ 1, 1, 99 });
	for (unsigned c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		int got = 0;

		found(&f, 1)->back_ns = f.loop->now_ns - cases[c].since_ms * 1000000;
		for (int i = 0; i < 1000; i++) {
			struct pool_tries t = { 0 };

			got += next(&f, &t) == 20;
		}
		cr_assert(got >= cases[c].least && got <= cases[c].most, "%d after %lld ms", got,
			  (long long)cases[c].since_ms);
	}
	fixture_fini(&f);
}
