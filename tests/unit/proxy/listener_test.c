/* Accepting: limits, pauses, what is queued when a socket goes. */
#include "proxy/net/listener.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/rig.h"
#include "tests/support/world.h"

enum { CLIENTS = 8 };

struct scene {
	struct rig rig;
	struct world w;
	struct server_addresses servers[WORLD_SERVERS];
	struct sockaddr_in at;
	int backend;
	int clients[CLIENTS];
	size_t num;
	size_t wanted;
};

static const char usual[] =
	"{\"listeners\":[{\"name\":\"l\",\"address\":\":1\",\"mode\":\"tcp\",\"pool\":\"p\"}],"
	"\"pools\":{\"p\":{\"servers\":[\"127.0.0.1:1\"]}}}";

static void scene_init(struct scene *s)
{
	struct sockaddr_in at;

	memset(s, 0, sizeof(*s));
	rig_init(&s->rig, false);
	world_init(&s->w, s->rig.loop);
	s->backend = rig_listen(&at);
	world_at(&s->servers[0], &at);
	world_use(&s->w, world_snapshot(&s->w, usual, s->servers, 1, 0));
	cr_assert(listener_open(&s->w.traffic, rig_listen(&s->at), 0, 0));
}

static void knock(struct scene *s)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert(connect(fd, (struct sockaddr *)&s->at, sizeof(s->at)) == 0);
	s->clients[s->num++] = fd;
}

static void scene_fini(struct scene *s)
{
	world_fini(&s->w);
	for (size_t i = 0; i < s->num; i++)
		(void)close(s->clients[i]);
	(void)close(s->backend);
	rig_fini(&s->rig);
}

static bool as_many(void *arg)
{
	const struct scene *s = arg;

	return s->w.traffic.num_clients == s->wanted;
}

static bool comes_to(struct scene *s, size_t num)
{
	s->wanted = num;
	return rig_until(&s->rig, as_many, s);
}

Test(listener, accepts_what_knocks)
{
	struct scene s;

	scene_init(&s);
	for (int i = 0; i < 5; i++)
		knock(&s);
	cr_assert(comes_to(&s, 5));
	cr_assert_eq(s.w.traffic.page->metrics.connections, 5u);
	cr_assert_eq(s.w.traffic.page->metrics.listeners[0].accepted, 5u);
	scene_fini(&s);
}

Test(listener, pauses_at_the_limit_and_goes_on_below_it)
{
	struct scene s;
	uint64_t turns;

	scene_init(&s);
	s.w.traffic.limits.connections = 2;
	for (int i = 0; i < 4; i++)
		knock(&s);
	cr_assert(comes_to(&s, 2));
	turns = s.rig.loop->turns;
	rig_rest(&s.rig, 200);
	cr_assert_eq(s.w.traffic.num_clients, 2u);
	cr_assert_leq(s.rig.loop->turns - turns, 40u, "no spinning");
	cr_assert_eq(s.w.traffic.page->metrics.accept_paused, 1u);
	cr_assert_eq(s.w.traffic.page->metrics.accept_pauses[0], 1u);
	rig_reset(s.clients[0]);
	s.clients[0] = -1;
	rig_reset(s.clients[1]);
	s.clients[1] = -1;
	rig_rest(&s.rig, 50);
	cr_assert(comes_to(&s, 2));
	cr_assert_eq(s.w.traffic.page->metrics.listeners[0].accepted, 4u);
	scene_fini(&s);
}

Test(listener, room_made_by_a_sibling_is_noticed)
{
	struct scene s;

	scene_init(&s);
	s.w.traffic.limits.connections = 2;
	board_worker(s.w.board, 1)->metrics.connections = 2;
	knock(&s);
	rig_rest(&s.rig, 50);
	cr_assert_eq(s.w.traffic.num_clients, 0u);
	board_worker(s.w.board, 1)->metrics.connections = 0;
	cr_assert(comes_to(&s, 1));
	cr_assert_eq(s.w.traffic.page->metrics.accept_paused, 0u);
	scene_fini(&s);
}

Test(listener, descriptors_that_run_out_pause_it)
{
	struct scene s;

	scene_init(&s);
	s.w.traffic.limits.max_fds = LIMITS_RESERVED_FDS + 1 + 2 * LIMITS_FDS_PER_CONNECTION;
	for (int i = 0; i < 3; i++)
		knock(&s);
	cr_assert(comes_to(&s, 2));
	rig_rest(&s.rig, 50);
	cr_assert_eq(s.w.traffic.num_clients, 2u);
	cr_assert_eq(s.w.traffic.page->metrics.accept_pauses[1], 1u);
	scene_fini(&s);
}

/* Sockets that linger give way: they must not keep clients out. */
Test(listener, lingering_sockets_make_room)
{
	struct scene s;
	struct party p[3];
	int peers[3];

	scene_init(&s);
	for (int i = 0; i < 3; i++) {
		int fds[2];

		p[i] = (struct party){ .rig = &s.rig };
		rig_join(fds, false);
		peers[i] = fds[1];
		party_accept(&p[i], fds[0]);
		party_fini(&p[i]);
	}
	cr_assert_eq(s.rig.loop->num_orphans, 3u);
	s.w.traffic.limits.max_fds = LIMITS_RESERVED_FDS + 1 + LIMITS_FDS_PER_CONNECTION + 1;
	knock(&s);
	cr_assert(comes_to(&s, 1));
	cr_assert_eq(s.rig.loop->num_orphans, 1u, "only as many as needed");
	for (int i = 0; i < 3; i++)
		(void)close(peers[i]);
	scene_fini(&s);
}

Test(listener, an_address_over_its_limit_is_reset)
{
	struct scene s;
	char byte;

	scene_init(&s);
	s.w.traffic.limits.connections_per_address = 1;
	knock(&s);
	knock(&s);
	rig_rest(&s.rig, 50);
	cr_assert_eq(s.w.traffic.num_clients, 1u);
	cr_assert_eq(s.w.traffic.page->metrics.listeners[0].ended[CAUSE_ADDRESS_LIMIT], 1u);
	cr_assert_lt(recv(s.clients[1], &byte, 1, 0), 0);
	cr_assert_eq(errno, ECONNRESET);
	scene_fini(&s);
}

Test(listener, a_socket_without_a_place_waits_for_one)
{
	struct scene s;
	struct sockaddr_in at;

	scene_init(&s);
	cr_assert(listener_open(&s.w.traffic, rig_listen(&at), 5, 0));
	s.at = at;
	knock(&s);
	rig_rest(&s.rig, 50);
	cr_assert_eq(s.w.traffic.num_clients, 0u);
	world_use(&s.w, world_snapshot(&s.w, usual, s.servers, 2, 5)); /* now its id is known */
	cr_assert(comes_to(&s, 1));
	cr_assert_eq(s.w.traffic.num_listeners, 1u, "the other is gone");
	scene_fini(&s);
}

Test(listener, what_is_queued_on_a_socket_that_goes_is_served)
{
	struct scene s;

	scene_init(&s);
	knock(&s);
	knock(&s);
	world_use(&s.w, world_snapshot(&s.w, usual, s.servers, 2, 5));
	cr_assert_eq(s.w.traffic.num_clients, 2u);
	cr_assert_eq(s.w.traffic.num_listeners, 0u);
	scene_fini(&s);
}

Test(listener, draining_serves_what_is_queued_and_leaving_does_not_touch_it)
{
	struct scene s;
	int kept;

	scene_init(&s);
	knock(&s);
	listener_drain(&s.w.traffic);
	cr_assert_eq(s.w.traffic.num_clients, 1u);
	kept = rig_listen(&s.at);
	cr_assert(listener_open(&s.w.traffic, dup(kept), 0, 0));
	knock(&s);
	listener_leave(&s.w.traffic);
	cr_assert_eq(s.w.traffic.num_clients, 1u);
	{
		int fd = accept(kept, NULL, NULL);

		cr_assert_geq(fd, 0, "it waits for the next worker");
		(void)close(fd);
	}
	(void)close(kept);
	scene_fini(&s);
}

Test(listener, dropping_closes_those_of_one_owner)
{
	struct sockaddr_in at;
	struct scene s;

	scene_init(&s);
	cr_assert(listener_open(&s.w.traffic, rig_listen(&at), 0, 3));
	cr_assert(listener_open(&s.w.traffic, rig_listen(&at), 0, 3));
	cr_assert_eq(s.w.traffic.num_listeners, 3u);
	listener_drop(&s.w.traffic, 3);
	cr_assert_eq(s.w.traffic.num_listeners, 1u);
	knock(&s);
	cr_assert(comes_to(&s, 1));
	scene_fini(&s);
}
