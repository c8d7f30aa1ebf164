/* A client's connection from its acceptance to its end, over real codecs, with bare peers. */
#include "proxy/http/front.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/http_scene.h"

enum { PLAIN, TLS }; /* listeners */

#define ONE "\"pools\":{\"p\":{\"servers\":[\"127.0.0.1:1\"]}}"
#define TLS_LISTENER \
	",{\"name\":\"t\",\"address\":\":2\",\"pool\":\"p\",\"tls\":{\"certificates\":[\"/w.pem\"]}}"
static const char usual[] =
	"{\"listeners\":[" SCENE_LISTENER("\"pool\":\"p\"") TLS_LISTENER "]," ONE "}";
static const char in_tcp[] =
	"{\"listeners\":[" SCENE_LISTENER("\"mode\":\"tcp\",\"pool\":\"p\"") "]," ONE "}";
static const char other[] =
	"{\"listeners\":[{\"name\":\"new\",\"address\":\":9\",\"pool\":\"p\"}]," ONE "}";

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static struct metrics_listener *cells(struct http_scene *s, uint32_t place)
{
	return &scene_cells(s)->listeners[place];
}

static bool nobody_is_left(void *arg)
{
	return ((const struct http_scene *)arg)->w.traffic.num_clients == 0;
}

/* The one connection has ended, for `cause`. */
static void ended(struct http_scene *s, uint32_t place, enum cause cause)
{
	cr_assert(rig_until(&s->rig, nobody_is_left, s));
	cr_assert_eq(s->w.num_ended, 1u);
	for (unsigned i = 0; i < CAUSE_COUNT; i++)
		cr_assert_eq(cells(s, place)->ended[i], i == cause ? 1u : 0u, "%s", cause_name(i));
	cr_assert_eq(scene_cells(s)->connections, 0u);
	for (unsigned row = 0; row < BOARD_ADDRESS_ROWS; row++)
		for (unsigned i = 0; i < BOARD_ADDRESS_CELLS; i++)
			cr_assert_eq(s->w.traffic.page->addresses[row][i], 0u);
}

/* A request that has come to the server. */
static void ask(struct http_scene *s, struct bare *client, struct bare *server)
{
	cr_assert(scene_enter(s, PLAIN, client));
	bare_say(client, GET);
	cr_assert(scene_accept(s, 0, server));
	cr_assert(scene_until(s, server, "\r\n\r\n"));
}

Test(front, serves_one_request_after_the_other)
{
	struct bare client, server;
	struct http_scene s;

	scene_init(&s, usual, 0, false);
	ask(&s, &client, &server);
	bare_say(&server, OK);
	cr_assert(scene_until(&s, &client, "\r\n\r\nok"));
	bare_forget(&server);
	bare_forget(&client);
	bare_say(&client, GET);
	cr_assert(scene_until(&s, &server, "\r\n\r\n"));
	bare_say(&server, OK);
	cr_assert(scene_until(&s, &client, "\r\n\r\nok"));
	cr_assert_eq(cells(&s, PLAIN)->bytes_received, 2 * strlen(GET));
	cr_assert_gt(cells(&s, PLAIN)->bytes_sent, 2 * strlen(OK), "with a Date");
	cr_assert_eq(scene_cells(&s)->servers[0].reuses, 1u);
	bare_close(&client);
	ended(&s, PLAIN, CAUSE_CLOSED);
	bare_close(&server);
	scene_fini(&s);
}

/* ---- handshakes */

Test(front, a_failed_handshake_is_counted_and_put_on_record)
{
	enum cause cause = (enum cause)(CAUSE_TLS + TLS_REASON_HTTP_REQUEST);
	uint8_t bytes[RING_RECORD_MAX];
	struct record_connection r;
	struct http_scene s;
	struct bare client;
	bool skipped;
	size_t len;

	scene_init(&s, usual, 0, true);
	cr_assert(scene_enter(&s, TLS, &client));
	bare_say(&client, GET);
	ended(&s, TLS, cause);
	cr_assert_eq(cells(&s, TLS)->handshake_failures[cause], 1u);
	cr_assert_eq(cells(&s, TLS)->handshakes[1][0], 0u);
	cr_assert(ring_read(&s.w.traffic.page->ring, &board_steward(s.w.board)->tails[0], bytes,
			    &len, &skipped));
	cr_assert_eq(record_type_of(span_of(bytes, len)), RECORD_HANDSHAKE_FAILED);
	memcpy(&r, bytes, len);
	cr_assert_eq(r.cause, cause);
	cr_assert_eq(r.listener, (uint32_t)TLS);
	cr_assert_eq(r.client_port, 4711);
	cr_assert_gt(r.detail_len, 0);
	bare_close(&client);
	scene_fini(&s);
}

/* The last that holds it. */
Test(front, a_handshake_holds_its_snapshot_and_no_longer)
{
	struct http_scene s;
	struct bare client;
	SSL *ssl;

	scene_init(&s, usual, 0, true);
	cr_assert(scene_enter(&s, TLS, &client));
	rig_rest(&s.rig, 1);
	scene_use(&s, usual, 0);
	cr_assert_eq(s.w.released, 0u);
	ssl = rig_shake(&s.rig, client.fd);
	rig_rest(&s.rig, 1);
	cr_assert_eq(s.w.released, 2u);
	cr_assert_eq(cells(&s, TLS)->handshakes[1][0], 1u);
	SSL_free(ssl);
	bare_close(&client);
	scene_fini(&s);
}

/* ---- draining and retirement */

Test(front, one_that_was_just_made_drains_soon)
{
	struct bare client;
	struct http_scene s;

	scene_init(&s, usual, 0, false);
	cr_assert(scene_enter(&s, PLAIN, &client));
	rig_rest(&s.rig, 1);
	clients_drain(&s.w.traffic);
	cr_assert(scene_until_ended(&s, &client));
	bare_close(&client);
	ended(&s, PLAIN, CAUSE_CLOSED);
	scene_fini(&s);
}

Test(front, one_that_is_not_open_yet_drains_then)
{
	struct bare client;
	struct http_scene s;

	scene_init(&s, usual, 0, false);
	cr_assert(scene_enter(&s, PLAIN, &client));
	clients_drain(&s.w.traffic);
	cr_assert(scene_until_ended(&s, &client));
	bare_close(&client);
	ended(&s, PLAIN, CAUSE_CLOSED);
	scene_fini(&s);
}

Test(front, a_busy_one_drains_with_its_response)
{
	struct bare client, server;
	struct http_scene s;

	scene_init(&s, usual, 0, false);
	ask(&s, &client, &server);
	clients_drain(&s.w.traffic);
	rig_rest(&s.rig, 5);
	cr_assert_eq(s.w.traffic.num_clients, 1u);
	bare_say(&server, OK);
	cr_assert(scene_until_ended(&s, &client));
	cr_assert_not_null(strstr(client.got, "Connection: close\r\n"), "%s", client.got);
	cr_assert_not_null(strstr(client.got, "\r\n\r\nok"));
	bare_close(&client);
	bare_close(&server);
	ended(&s, PLAIN, CAUSE_CLOSED);
	scene_fini(&s);
}

Test(front, one_of_a_listener_that_is_gone_has_its_time)
{
	struct bare client, server;
	struct http_scene s;

	scene_init(&s, usual, 0, false);
	ask(&s, &client, &server);
	scene_use(&s, other, 7);
	clients_retire(&s.w.traffic, 300000000);
	rig_rest(&s.rig, 5);
	cr_assert_eq(s.w.traffic.num_clients, 1u);
	cr_assert_not(scene_until_ended(&s, &client), "a reset");
	ended(&s, PLAIN, CAUSE_RETIRED);
	cr_assert_eq(cells(&s, PLAIN)->request_errors[CAUSE_RETIRED], 1u);
	cr_assert_not(scene_until_ended(&s, &server));
	bare_close(&client);
	bare_close(&server);
	scene_fini(&s);
}

Test(front, one_of_a_listener_that_stays_stays)
{
	struct bare client;
	struct http_scene s;

	scene_init(&s, usual, 0, false);
	cr_assert(scene_enter(&s, PLAIN, &client));
	rig_rest(&s.rig, 1);
	scene_use(&s, usual, 0);
	clients_retire(&s.w.traffic, 1);
	rig_rest(&s.rig, 5);
	cr_assert_eq(s.w.traffic.num_clients, 1u);
	bare_close(&client);
	scene_fini(&s);
}

/* Too late to drain, and in time to be answered. */
Test(front, one_that_asks_of_a_listener_that_is_gone_is_told_so)
{
	struct bare client;
	struct http_scene s;

	scene_init(&s, usual, 0, false);
	cr_assert(scene_enter(&s, PLAIN, &client));
	bare_say(&client, "GET / HTTP/1.1\r\n");
	rig_rest(&s.rig, 1);
	scene_use(&s, other, 7);
	clients_retire(&s.w.traffic, INT64_C(1000000000));
	bare_say(&client, "Host: a\r\n\r\n");
	cr_assert(scene_until_ended(&s, &client));
	cr_assert_eq(strncmp(client.got, "HTTP/1.1 503 ", 13), 0, "%s", client.got);
	bare_close(&client);
	ended(&s, PLAIN, CAUSE_CLOSED);
	scene_fini(&s);
}

Test(front, one_that_asks_wrongly_of_a_listener_that_is_gone_is_told_so)
{
	struct bare client;
	struct http_scene s;

	scene_init(&s, usual, 0, false);
	cr_assert(scene_enter(&s, PLAIN, &client));
	bare_say(&client, "GET / HTTP/1.1\r\n");
	rig_rest(&s.rig, 1);
	scene_use(&s, other, 7);
	bare_say(&client, "Host : a\r\n\r\n");
	cr_assert(scene_until(&s, &client, "HTTP/1.1 400 "));
	bare_close(&client);
	scene_fini(&s);
}

/* Its client shall come again, and find what the listener speaks now. */
Test(front, one_whose_listener_changed_its_mode_is_told_to_go)
{
	struct bare client;
	struct http_scene s;

	scene_init(&s, usual, 0, false);
	cr_assert(scene_enter(&s, PLAIN, &client));
	rig_rest(&s.rig, 1);
	scene_use(&s, in_tcp, 0);
	clients_retire(&s.w.traffic, INT64_C(1000000000));
	bare_say(&client, GET);
	cr_assert(scene_until_ended(&s, &client));
	cr_assert_eq(strncmp(client.got, "HTTP/1.1 503 ", 13), 0, "%s", client.got);
	bare_close(&client);
	ended(&s, PLAIN, CAUSE_CLOSED);
	cr_assert_eq(cells(&s, PLAIN)->request_errors[CAUSE_RETIRED], 1u);
	scene_fini(&s);
}

/* ---- ends */

enum stage { NEW, SHAKING, SHAKEN, IDLE, BEGUN, CONNECTING, ASKED, ANSWERING, KEPT, STAGES };

struct ends {
	struct http_scene s;
	struct bare client, server;
	SSL *ssl;
};

static void come_to(struct ends *e, enum stage stage)
{
	static const char *const said[STAGES] = { [BEGUN] = "GET / HT", [CONNECTING] = GET };
	uint32_t place = stage == SHAKING || stage == SHAKEN ? TLS : PLAIN;

	memset(e, 0, sizeof(*e));
	e->server.fd = -1;
	scene_init(&e->s, usual, 0, true);
	if (stage >= ASKED)
		ask(&e->s, &e->client, &e->server);
	else
		cr_assert(scene_enter(&e->s, place, &e->client));
	if (stage == SHAKEN)
		e->ssl = rig_shake(&e->s.rig, e->client.fd);
	if (stage == KEPT)
		bare_say(&e->server, OK);
	if (stage == ANSWERING)
		bare_say(&e->server, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\no");
	if (stage >= ANSWERING)
		cr_assert(scene_until(&e->s, &e->client, "\r\n\r\no"));
	if (said[stage] != NULL)
		bare_say(&e->client, said[stage]);
	if (stage != NEW)
		rig_rest(&e->s.rig, 1);
}

static void leave(struct ends *e)
{
	SSL_free(e->ssl);
	bare_close(&e->client);
	bare_close(&e->server);
	scene_fini(&e->s);
}

Test(front, all_may_be_ended_in_any_state)
{
	for (enum stage stage = 0; stage < STAGES; stage++) {
		struct ends e;

		come_to(&e, stage);
		clients_end_all(&e.s.w.traffic, CAUSE_DRAIN);
		cr_assert_eq(e.s.w.num_ended, 1u);
		rig_rest(&e.s.rig, 1);
		if (e.ssl == NULL && stage != SHAKING)
			cr_assert_not(scene_until_ended(&e.s, &e.client), "stage %u: a reset",
				      stage);
		leave(&e);
	}
}

Test(front, a_client_may_go_in_any_state)
{
	for (enum stage stage = 0; stage < STAGES; stage++) {
		struct ends e;

		come_to(&e, stage);
		rig_reset(e.client.fd);
		e.client.fd = -1;
		cr_assert(rig_until(&e.s.rig, nobody_is_left, &e.s), "stage %u", stage);
		cr_assert_eq(e.s.w.num_ended, 1u);
		if (stage == ASKED || stage == ANSWERING)
			cr_assert_not(scene_until_ended(&e.s, &e.server), "stage %u", stage);
		leave(&e);
	}
}

Test(front, a_server_may_go_in_any_state)
{
	for (enum stage stage = ASKED; stage <= ANSWERING; stage++) {
		struct ends e;

		come_to(&e, stage);
		rig_reset(e.server.fd);
		e.server.fd = -1;
		if (stage == ASKED)
			cr_assert(scene_until(&e.s, &e.client, "HTTP/1.1 502 "));
		else
			cr_assert_not(scene_until_ended(&e.s, &e.client), "a reset");
		leave(&e);
	}
}

/* ---- what is left of a turn */

struct late {
	struct http_scene *s;
	struct loop_task task;
};

static void end_all(struct loop_task *t)
{
	struct late *late = (struct late *)(void *)((char *)t - offsetof(struct late, task));

	clients_end_all(&late->s->w.traffic, CAUSE_DRAIN);
}

/* So that what follows from it is left for the next turn, as it is where there is more to do than
 * one turn has time for. */
Test(front, an_end_late_in_a_turn_is_one_like_any_other)
{
	static const unsigned queues[] = { LOOP_TRAFFIC, LOOP_HANDSHAKE, LOOP_FLUSH };

	for (unsigned i = 0; i < 3; i++) {
		struct ends e;
		struct late late = { .s = &e.s, .task = { .run = end_all } };

		come_to(&e, ANSWERING);
		loop_queue(e.s.rig.loop, &late.task, queues[i]);
		rig_rest(&e.s.rig, 2);
		cr_assert_eq(e.s.w.num_ended, 1u);
		cr_assert_eq(scene_cells(&e.s)->servers[0].active, 0u);
		cr_assert_gt(scene_cells(&e.s)->servers[0].bytes_sent, strlen(GET));
		leave(&e);
	}
}

/* What was agreed with a client is also known of a request that broke. */
Test(front, a_broken_request_over_tls_is_on_record_with_its_tls)
{
	struct record_request r;
	struct http_scene s;
	struct bare client, server;
	SSL *ssl;

	scene_init(&s, usual, 0, true);
	cr_assert(scene_enter(&s, TLS, &client));
	ssl = rig_shake(&s.rig, client.fd);
	cr_assert_eq(SSL_write(ssl, GET, strlen(GET)), (int)strlen(GET));
	cr_assert(scene_accept(&s, 0, &server));
	cr_assert(scene_until(&s, &server, "\r\n\r\n"));
	bare_say(&server, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\no");
	rig_rest(&s.rig, 5);
	rig_reset(server.fd);
	cr_assert(rig_until(&s.rig, nobody_is_left, &s));
	cr_assert(scene_record(&s, &r));
	cr_assert_eq(r.cause, CAUSE_SERVER_RESET);
	cr_assert_eq(r.tls_version, TLS1_3_VERSION);
	cr_assert_neq(r.cipher, 0);
	SSL_free(ssl);
	bare_close(&client);
	scene_fini(&s);
}
