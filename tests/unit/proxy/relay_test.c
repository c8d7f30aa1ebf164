/* Whole connections: a bare client, the relay, a bare server. */
#include "proxy/net/relay.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/rig.h"
#include "tests/support/world.h"

enum { PLAIN, TLS }; /* listeners */

struct scene {
	struct rig rig;
	struct world w;
	struct server_addresses servers[WORLD_SERVERS];
	int listener; /* of the server */
	int client;   /* the test's end */
	int server;   /* accepted; -1: not yet */
	SSL *ssl;     /* of the client, on the TLS listener */
};

#define POOL(timeouts) \
	"\"pools\":{\"p\":{\"servers\":[\"127.0.0.1:1\",\"127.0.0.1:2\"]" timeouts "}}"
#define LISTENERS(idle)                                                                          \
	"\"listeners\":[{\"name\":\"plain\",\"address\":\":1\",\"mode\":\"tcp\",\"pool\":\"p\"," \
	"\"timeouts\":{\"idle\":\"" idle "\"}},"                                                 \
	"{\"name\":\"tls\",\"address\":\":2\",\"mode\":\"tcp\",\"pool\":\"p\","                  \
	"\"tls\":{\"certificates\":[\"/world.pem\"]},"                                           \
	"\"timeouts\":{\"idle\":\"" idle "\"}}]"

static const char usual[] = "{" LISTENERS("10m") "," POOL("") "}";
static const char hasty[] = "{" LISTENERS("1s") "," POOL("") "}";
static const char narrow[] =
	"{" LISTENERS("10m") "," POOL(",\"connections\":{\"max\":1,\"max_pending\":0}") "}";

/* Both servers of the pool are the one listener; `refused` of them are not there. */
static void scene_init(struct scene *s, const char *json, unsigned refused)
{
	struct sockaddr_in at, gone;

	memset(s, 0, sizeof(*s));
	rig_init(&s->rig, true);
	world_init(&s->w, s->rig.loop);
	s->client = s->server = -1;
	s->listener = rig_listen(&at);
	(void)close(rig_listen(&gone));
	for (unsigned i = 0; i < 2; i++)
		world_at(&s->servers[i], i < refused ? &gone : &at);
	world_use(&s->w, world_snapshot(&s->w, json, s->servers, 1, 0));
}

/* Signatures for the world's TLS listener. */
static void world_signs(void *arg)
{
	struct scene *s = arg;

	keys_run(s->w.keys, 16);
}

static size_t (*rig_wanted)(const void *arg);

static size_t world_wants(const void *arg)
{
	const struct scene *s = arg;

	return rig_wanted(&s->rig) + keys_waiting(s->w.keys);
}

static void enter(struct scene *s, uint32_t place)
{
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_port = htons(4711) };
	struct limits_seat seat;
	struct client_arrival arrival = { .from = (struct sockaddr *)&from, .seat = &seat };
	int fds[2];

	rig_wanted = s->rig.loop->between_waiting == world_wants ? rig_wanted
								 : s->rig.loop->between_waiting;
	s->rig.loop->between = world_signs;
	s->rig.loop->between_waiting = world_wants;
	s->rig.loop->between_arg = s;
	rig_join(fds, false);
	s->client = fds[1];
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->rig.loop->now_ns = loop_clock_ns();
	cr_assert(limits_admit(&s->w.traffic.limits, (struct sockaddr *)&from, &seat));
	cr_assert(relay_open(&s->w.traffic, s->w.traffic.now, place, fds[0], &arrival));
}

static bool server_is_there(void *arg)
{
	struct scene *s = arg;

	if (s->server < 0)
		s->server = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	return s->server >= 0;
}

static void join(struct scene *s, uint32_t place)
{
	enter(s, place);
	if (place == TLS)
		s->ssl = rig_shake(&s->rig, s->client);
	cr_assert(rig_until(&s->rig, server_is_there, s));
	rig_rest(&s->rig, 1);
}

static void drop(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static void scene_fini(struct scene *s)
{
	world_fini(&s->w);
	SSL_free(s->ssl);
	drop(&s->client);
	drop(&s->server);
	drop(&s->listener);
	rig_fini(&s->rig);
}

static const struct metrics_listener *counts(const struct scene *s, uint32_t place)
{
	return &s->w.traffic.page->metrics.listeners[place];
}

static bool over(void *arg)
{
	return ((struct scene *)arg)->w.num_ended > 0;
}

/* Waits until the relay has ended, for `cause`, and checks that nothing is left of it. */
static void ends(struct scene *s, uint32_t place, enum cause cause)
{
	const struct metrics_worker *m = &s->w.traffic.page->metrics;

	cr_assert(rig_until(&s->rig, over, s));
	cr_assert_eq(s->w.num_ended, 1u);
	for (unsigned i = 0; i < CAUSE_COUNT; i++)
		cr_assert_eq(m->listeners[place].ended[i], i == cause ? 1u : 0u,
			     "%s counted, not %s", cause_name(i), cause_name(cause));
	cr_assert_eq(m->connections, 0u);
	cr_assert_eq(m->listeners[place].active, 0u);
	cr_assert_eq(m->servers[0].active + m->servers[1].active, 0u);
	cr_assert_eq(s->w.traffic.num_clients, 0u);
	for (unsigned row = 0; row < BOARD_ADDRESS_ROWS; row++)
		for (unsigned i = 0; i < BOARD_ADDRESS_CELLS; i++)
			cr_assert_eq(s->w.traffic.page->addresses[row][i], 0u);
}

static void say(int fd, const char *text)
{
	cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* What a bare peer reads until its stream ends. */
struct reading {
	int fd;
	char bytes[64];
	size_t n;
	bool eof;
	int error; /* errno */
};

static bool read_end(void *arg)
{
	struct reading *r = arg;

	for (;;) {
		ssize_t n = recv(r->fd, r->bytes + r->n, sizeof(r->bytes) - 1 - r->n, 0);

		if (n < 0 && errno == EAGAIN)
			return false;
		if (n <= 0) {
			r->eof = n == 0;
			r->error = n == 0 ? 0 : errno;
			return true;
		}
		r->n += (size_t)n;
	}
}

/* Reads all of `fd` and compares; `whole`: it ends with a FIN, else with a reset. */
static void hears(struct scene *s, int fd, const char *text, bool whole)
{
	struct reading r = { .fd = fd };

	cr_assert(rig_until(&s->rig, read_end, &r));
	cr_assert_str_eq(r.bytes, text);
	cr_assert_eq(r.eof, whole, "%s", strerror(r.error));
	if (!whole)
		cr_assert_eq(r.error, ECONNRESET);
}

Test(relay, half_closes_pass_each_way)
{
	struct scene s;

	scene_init(&s, usual, 0);
	join(&s, PLAIN);
	say(s.client, "question");
	cr_assert(shutdown(s.client, SHUT_WR) == 0);
	hears(&s, s.server, "question", true);
	say(s.server, "answer");
	drop(&s.server);
	hears(&s, s.client, "answer", true);
	ends(&s, PLAIN, CAUSE_CLOSED);
	cr_assert_eq(counts(&s, PLAIN)->bytes_received, 8u);
	cr_assert_eq(counts(&s, PLAIN)->bytes_sent, 6u);
	cr_assert_gt(ring_used(&s.w.traffic.page->ring, s.w.traffic.journal.tail), 0u);
	scene_fini(&s);
}

Test(relay, the_server_may_end_first)
{
	struct scene s;

	scene_init(&s, usual, 0);
	join(&s, PLAIN);
	say(s.server, "greeting");
	cr_assert(shutdown(s.server, SHUT_WR) == 0);
	hears(&s, s.client, "greeting", true);
	cr_assert_not(over(&s));
	say(s.client, "late");
	drop(&s.client);
	hears(&s, s.server, "late", true);
	ends(&s, PLAIN, CAUSE_CLOSED);
	scene_fini(&s);
}

Test(relay, what_the_client_said_before_there_was_a_server_is_kept)
{
	struct scene s;

	scene_init(&s, usual, 1); /* the first server refuses */
	enter(&s, PLAIN);
	say(s.client, "early");
	cr_assert(shutdown(s.client, SHUT_WR) == 0);
	cr_assert(rig_until(&s.rig, server_is_there, &s));
	hears(&s, s.server, "early", true);
	cr_assert_eq(s.w.traffic.page->metrics.servers[0].failures[CAUSE_CONNECT_REFUSED], 1u);
	cr_assert_eq(s.w.traffic.page->metrics.servers[1].connects, 1u);
	drop(&s.server);
	ends(&s, PLAIN, CAUSE_CLOSED);
	scene_fini(&s);
}

Test(relay, no_server_is_told_as_a_reset)
{
	struct scene s;

	scene_init(&s, usual, 2);
	enter(&s, PLAIN);
	ends(&s, PLAIN, CAUSE_CONNECT_REFUSED);
	hears(&s, s.client, "", false);
	scene_fini(&s);
}

Test(relay, a_full_pool_is_told_as_a_reset)
{
	struct scene s;

	scene_init(&s, narrow, 0);
	board_worker(s.w.board, 1)->metrics.servers[0].active = 1;
	board_worker(s.w.board, 1)->metrics.servers[1].active = 1;
	enter(&s, PLAIN);
	ends(&s, PLAIN, CAUSE_POOL_FULL);
	hears(&s, s.client, "", false);
	scene_fini(&s);
}

Test(relay, a_broken_server_stream_is_never_passed_on_as_complete)
{
	struct scene s;

	scene_init(&s, usual, 0);
	join(&s, PLAIN);
	say(s.server, "half");
	rig_rest(&s.rig, 25);
	rig_reset(s.server);
	s.server = -1;
	ends(&s, PLAIN, CAUSE_SERVER_RESET);
	hears(&s, s.client, "half", false);
	scene_fini(&s);
}

Test(relay, a_broken_client_stream_is_never_passed_on_as_complete)
{
	struct scene s;

	scene_init(&s, usual, 0);
	join(&s, PLAIN);
	say(s.client, "half");
	rig_rest(&s.rig, 25);
	rig_reset(s.client);
	s.client = -1;
	ends(&s, PLAIN, CAUSE_CLIENT_RESET);
	hears(&s, s.server, "half", false);
	scene_fini(&s);
}

Test(relay, a_client_without_close_notify_breaks_the_servers_stream)
{
	struct scene s;

	scene_init(&s, usual, 0);
	join(&s, TLS);
	cr_assert_eq(SSL_write(s.ssl, "half", 4), 4);
	rig_rest(&s.rig, 25);
	drop(&s.client);
	ends(&s, TLS, CAUSE_CLIENT_TRUNCATED);
	hears(&s, s.server, "half", false);
	cr_assert_eq(counts(&s, TLS)->handshakes[1][0], 1u);
	scene_fini(&s);
}

Test(relay, close_notify_is_passed_on_as_fin)
{
	struct scene s;

	scene_init(&s, usual, 0);
	join(&s, TLS);
	cr_assert_eq(SSL_write(s.ssl, "whole", 5), 5);
	(void)SSL_shutdown(s.ssl);
	hears(&s, s.server, "whole", true);
	drop(&s.server);
	ends(&s, TLS, CAUSE_CLOSED);
	scene_fini(&s);
}

Test(relay, a_failed_handshake_is_counted_by_reason)
{
	struct scene s;

	scene_init(&s, usual, 0);
	enter(&s, TLS);
	say(s.client, "GET / HTTP/1.1\r\n\r\n");
	ends(&s, TLS, (enum cause)(CAUSE_TLS + TLS_REASON_HTTP_REQUEST));
	cr_assert_eq(counts(&s, TLS)->handshake_failures[CAUSE_TLS + TLS_REASON_HTTP_REQUEST], 1u);
	scene_fini(&s);
}

/* A handshake may be the last that holds its snapshot: its parts go after it. */
Test(relay, a_handshake_may_outlive_its_snapshots_use)
{
	struct scene s;

	scene_init(&s, usual, 0);
	enter(&s, TLS);
	rig_rest(&s.rig, 1);
	world_use(&s.w, world_snapshot(&s.w, usual, s.servers, 2, 0));
	cr_assert_eq(s.w.released, 0u);
	say(s.client, "no TLS at all");
	cr_assert(rig_until(&s.rig, over, &s));
	cr_assert_eq(s.w.released, 2u);
	scene_fini(&s);
}

/* The server has answered in full and closed, not waiting for all of the request. */
Test(relay, an_answer_is_whole_though_the_server_refuses_the_rest_of_the_request)
{
	struct scene s;
	struct reading r;

	scene_init(&s, usual, 0);
	join(&s, PLAIN);
	say(s.server, "too large");
	drop(&s.server);
	for (int i = 0; i < 5; i++) {
		say(s.client, "upload");
		rig_rest(&s.rig, 5);
	}
	r = (struct reading){ .fd = s.client };
	cr_assert(rig_until(&s.rig, read_end, &r));
	cr_assert_str_eq(r.bytes, "too large");
	cr_assert(r.eof, "%s", strerror(r.error));
	drop(&s.client);
	ends(&s, PLAIN, CAUSE_SERVER_RESET);
	scene_fini(&s);
}

/* A client that has said all it had to say and is gone: the server still gets that, whole. */
Test(relay, a_request_is_whole_though_the_client_does_not_wait_for_the_answer)
{
	struct scene s;

	scene_init(&s, usual, 0);
	join(&s, PLAIN);
	say(s.client, "QUIT");
	drop(&s.client);
	rig_rest(&s.rig, 25);
	for (int i = 0; i < 3; i++) {
		say(s.server, "bye");
		rig_rest(&s.rig, 25);
	}
	ends(&s, PLAIN, CAUSE_CLIENT_RESET);
	hears(&s, s.server, "QUIT", true);
	scene_fini(&s);
}

Test(relay, an_idle_one_ends)
{
	struct scene s;
	int64_t began;

	scene_init(&s, hasty, 0);
	join(&s, PLAIN);
	rig_rest(&s.rig, 600);
	say(s.client, "still here");
	began = loop_clock_ns();
	ends(&s, PLAIN, CAUSE_IDLE_TIMEOUT);
	cr_assert_geq(loop_clock_ns() - began, INT64_C(900000000));
	hears(&s, s.server, "still here", false);
	scene_fini(&s);
}

static const char other[] = "{\"listeners\":[{\"name\":\"new\",\"address\":\":9\",\"mode\":\"tcp\","
			    "\"pool\":\"p\"}]," POOL("") "}";

Test(relay, one_of_a_listener_that_is_gone_has_its_time)
{
	struct scene s;

	scene_init(&s, usual, 0);
	join(&s, PLAIN);
	world_use(&s.w, world_snapshot(&s.w, other, s.servers, 2, 7));
	clients_retire(&s.w.traffic, 100000000);
	rig_rest(&s.rig, 50);
	say(s.client, "goes on");
	rig_rest(&s.rig, 10);
	cr_assert_not(over(&s));
	ends(&s, PLAIN, CAUSE_RETIRED);
	hears(&s, s.server, "goes on", false);
	scene_fini(&s);
}

Test(relay, one_of_a_listener_that_stays_stays)
{
	struct scene s;

	scene_init(&s, usual, 0);
	join(&s, PLAIN);
	world_use(&s.w, world_snapshot(&s.w, usual, s.servers, 2, 0));
	clients_retire(&s.w.traffic, 1);
	rig_rest(&s.rig, 60);
	cr_assert_not(over(&s));
	say(s.client, "on");
	drop(&s.client);
	hears(&s, s.server, "on", true);
	drop(&s.server);
	ends(&s, PLAIN, CAUSE_CLOSED);
	scene_fini(&s);
}

/* It needs no snapshot once it is joined; but its slots are not given to others while gauges that
 * it holds up say that they are busy. */
Test(relay, a_connection_holds_the_slots_it_is_counted_in)
{
	struct scene s;

	scene_init(&s, usual, 0);
	join(&s, PLAIN);
	world_use(&s.w, world_snapshot(&s.w, usual, s.servers, 2, 0));
	cr_assert_eq(s.w.released, 2u);
	cr_assert_eq(counts(&s, PLAIN)->active, 1u);
	cr_assert_eq(s.w.traffic.page->metrics.pools_active[0], 1u);
	cr_assert_eq(s.w.traffic.page->metrics.servers[0].active, 1u);
	drop(&s.client);
	drop(&s.server);
	ends(&s, PLAIN, CAUSE_CLOSED);
	cr_assert_eq(counts(&s, PLAIN)->active, 0u);
	cr_assert_eq(s.w.traffic.page->metrics.pools_active[0], 0u);
	cr_assert_eq(s.w.traffic.page->metrics.servers[0].active, 0u);
	scene_fini(&s);
}

Test(relay, all_may_be_ended_in_any_state)
{
	for (int state = 0; state < 4; state++) {
		struct scene s;

		scene_init(&s, usual, 0);
		enter(&s, state < 2 ? TLS : PLAIN);
		if (state % 2 == 1)
			rig_rest(&s.rig, 25);
		clients_end_all(&s.w.traffic, CAUSE_DRAIN);
		ends(&s, state < 2 ? TLS : PLAIN, CAUSE_DRAIN);
		rig_rest(&s.rig, 25);
		scene_fini(&s);
	}
}
