/* Counts of several workers on one board. */
#include "proxy/net/limits.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

enum { WORKERS = 3 };

struct fixture {
	struct board *board;
	struct limits of[WORKERS];
};

static void fixture_init(struct fixture *f, uint64_t connections, uint64_t per_address)
{
	cr_assert_not_null(f->board = board_new(WORKERS));
	memcpy(board_supervisor(f->board)->address_key, "sixteen bytes of", 16);
	for (unsigned i = 0; i < WORKERS; i++)
		f->of[i] = (struct limits){ .board = f->board,
					    .worker = i,
					    .connections = connections,
					    .connections_per_address = per_address,
					    .max_fds = 1000 };
}

static union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
} address_of(const char *text)
{
	union address a = { .any = { .sa_family = AF_UNIX } };

	if (inet_pton(AF_INET, text, &a.in.sin_addr) == 1)
		a.in.sin_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &a.in6.sin6_addr) == 1)
		a.in6.sin6_family = AF_INET6;
	return a;
}

static bool admit(struct limits *l, const char *text, struct limits_seat *seat)
{
	struct limits_seat unused;
	union address a = address_of(text);

	return limits_admit(l, &a.any, seat == NULL ? &unused : seat);
}

Test(limits, an_address_gets_its_share_over_all_workers)
{
	struct limits_seat seats[3];
	struct fixture f;

	fixture_init(&f, 0, 3);
	for (unsigned i = 0; i < WORKERS; i++)
		cr_assert(admit(&f.of[i], "192.0.2.1", &seats[i]));
	for (unsigned i = 0; i < WORKERS; i++)
		cr_assert_not(admit(&f.of[i], "192.0.2.1", NULL));
	cr_assert(admit(&f.of[0], "192.0.2.2", NULL), "another is not concerned");
	limits_leave(&f.of[1], &seats[1]);
	cr_assert(admit(&f.of[2], "192.0.2.1", NULL));
	cr_assert_not(admit(&f.of[1], "192.0.2.1", NULL));
	board_free(f.board);
}

Test(limits, refusing_counts_nothing)
{
	struct limits_seat seat;
	struct fixture f;

	fixture_init(&f, 0, 1);
	cr_assert(admit(&f.of[0], "192.0.2.1", &seat));
	for (int i = 0; i < 5; i++)
		cr_assert_not(admit(&f.of[0], "192.0.2.1", NULL));
	limits_leave(&f.of[0], &seat);
	for (unsigned row = 0; row < BOARD_ADDRESS_ROWS; row++)
		cr_assert_eq(board_worker(f.board, 0)->addresses[row][seat.cells[row]], 0u);
	cr_assert(admit(&f.of[0], "192.0.2.1", NULL));
	board_free(f.board);
}

Test(limits, ipv6_counts_by_its_64)
{
	struct fixture f;

	fixture_init(&f, 0, 2);
	cr_assert(admit(&f.of[0], "2001:db8::1", NULL));
	cr_assert(admit(&f.of[0], "2001:db8::ffff:1", NULL));
	cr_assert_not(admit(&f.of[0], "2001:db8:0:0:9::7", NULL));
	cr_assert(admit(&f.of[0], "2001:db8:0:1::1", NULL), "the next /64");
	board_free(f.board);
}

Test(limits, a_mapped_address_is_the_ipv4_address)
{
	struct fixture f;

	fixture_init(&f, 0, 1);
	cr_assert(admit(&f.of[0], "::ffff:192.0.2.1", NULL));
	cr_assert_not(admit(&f.of[0], "192.0.2.1", NULL));
	cr_assert(admit(&f.of[0], "::ffff:192.0.2.2", NULL), "mapped ones are no /64");
	board_free(f.board);
}

Test(limits, unix_peers_always_come_in)
{
	struct limits_seat seat;
	struct fixture f;

	fixture_init(&f, 0, 1);
	for (int i = 0; i < 5; i++)
		cr_assert(admit(&f.of[0], "unix", &seat));
	limits_leave(&f.of[0], &seat);
	cr_assert(admit(&f.of[0], "0.0.0.0", NULL), "and are nobody's share");
	board_free(f.board);
}

Test(limits, no_limit_is_no_limit)
{
	struct fixture f;

	fixture_init(&f, 0, 0);
	for (int i = 0; i < 1000; i++)
		cr_assert(admit(&f.of[0], "192.0.2.1", NULL));
	board_free(f.board);
}

Test(limits, a_dead_workers_share_is_given_back)
{
	struct fixture f;

	fixture_init(&f, 0, 2);
	cr_assert(admit(&f.of[1], "192.0.2.1", NULL) && admit(&f.of[1], "192.0.2.1", NULL));
	cr_assert_not(admit(&f.of[0], "192.0.2.1", NULL));
	memset(board_worker(f.board, 1)->addresses, 0, sizeof(board_worker(f.board, 1)->addresses));
	cr_assert(admit(&f.of[0], "192.0.2.1", NULL));
	board_free(f.board);
}

Test(limits, connections_are_counted_over_all_workers)
{
	struct fixture f;

	fixture_init(&f, 10, 0);
	board_worker(f.board, 0)->metrics.connections = 4;
	board_worker(f.board, 2)->metrics.connections = 5;
	cr_assert_eq(limits_room(&f.of[1], 0), LIMITS_ROOM);
	board_worker(f.board, 1)->metrics.connections = 1;
	for (unsigned i = 0; i < WORKERS; i++)
		cr_assert_eq(limits_room(&f.of[i], 0), LIMITS_CONNECTIONS);
	board_worker(f.board, 2)->metrics.connections = 4;
	cr_assert_eq(limits_room(&f.of[1], 0), LIMITS_ROOM);
	board_free(f.board);
}

Test(limits, descriptors_are_this_processs_own)
{
	struct fixture f;
	uint64_t fit = (1000 - LIMITS_RESERVED_FDS - 10) / LIMITS_FDS_PER_CONNECTION;

	fixture_init(&f, 0, 0);
	board_worker(f.board, 1)->metrics.connections = 100000;
	board_worker(f.board, 0)->metrics.connections = fit - 1;
	cr_assert_eq(limits_room(&f.of[0], 10), LIMITS_ROOM);
	cr_assert_eq(limits_room(&f.of[0], 12), LIMITS_DESCRIPTORS);
	board_worker(f.board, 0)->metrics.connections = fit;
	cr_assert_eq(limits_room(&f.of[0], 10), LIMITS_DESCRIPTORS);
	board_free(f.board);
}
