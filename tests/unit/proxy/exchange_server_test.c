/* Which server a request goes to, and when it is sent again. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/http/upstream.h"
#include "tests/support/play.h"

#define ONE(more) "\"pools\":{\"p\":{\"servers\":[\"127.0.0.1:1\"]" more "}}"
#define LISTENER "{\"listeners\":[" SCENE_LISTENER("\"pool\":\"p\"") "],"
static const char one[] = LISTENER ONE("") "}";
static const char two[] = LISTENER SCENE_POOL("") "}";
static const char narrow[] =
	LISTENER SCENE_POOL(",\"connections\":{\"max\":1,\"max_pending\":0}") "}";
static const char narrow_one[] = LISTENER ONE(",\"connections\":{\"max\":1,\"max_pending\":0}") "}";
static const char hasty[] =
	LISTENER ONE(",\"tls\":{\"verify\":false},\"timeouts\":{\"connect\":\"20ms\"}") "}";

static struct metrics_server *server(struct play *p, unsigned i)
{
	return &scene_cells(&p->scene)->servers[i];
}

/* The exchange has ended and is on record as this. */
static struct record_request ended(struct play *p, unsigned status, enum cause cause)
{
	struct record_request r;

	cr_assert(play_over(p));
	cr_assert_eq(p->num_over, 1u);
	cr_assert(p->down.watch.gone);
	cr_assert(scene_record(&p->scene, &r));
	cr_assert_eq(r.status, status, "status %u", r.status);
	cr_assert_eq(r.cause, cause, "cause %s", cause_name(r.cause));
	cr_assert_eq(scene_cells(&p->scene)->listeners[0].requests_active, 0u);
	cr_assert_eq(scene_cells(&p->scene)->pools_active[0], 0u);
	for (unsigned i = 0; i < SCENE_SERVERS; i++)
		cr_assert_eq(server(p, i)->requests_active, 0u);
	return r;
}

/* ---- choosing */

Test(exchange_server, another_takes_what_the_first_refuses)
{
	struct record_request r;
	struct bare bare;
	struct play p;

	play_init(&p, two, 1);
	play_begin(&p, play_request("POST", "/", 5), false);
	play_down_data(&p, "hello", 5);
	cr_assert(play_served(&p, 1, &bare));
	cr_assert(scene_until(&p.scene, &bare, "\r\n\r\nhello"));
	play_down_end(&p, NULL);
	play_up_head(&p, play_response(200, 0), true);
	r = ended(&p, 200, CAUSE_NONE);
	cr_assert_eq(r.attempt, 2u);
	cr_assert_eq(r.server, 1u);
	cr_assert_eq(server(&p, 0)->failures[CAUSE_CONNECT_REFUSED], 1u);
	cr_assert_eq(server(&p, 0)->requests[0], 1u);
	cr_assert_eq(server(&p, 0)->active, 0u);
	cr_assert_eq(server(&p, 1)->retries, 1u);
	cr_assert_eq(server(&p, 1)->requests[2], 1u);
	cr_assert_eq(p.down.watch.consumed, 5u);
	bare_close(&bare);
	play_fini(&p);
}

Test(exchange_server, where_all_refuse_there_is_a_502)
{
	struct record_request r;
	struct play p;

	play_init(&p, two, 2);
	play_begin(&p, play_request("GET", "/", 0), true);
	cr_assert_not(play_spy(&p));
	r = ended(&p, 502, CAUSE_CONNECT_REFUSED);
	cr_assert_eq(r.attempt, 2u);
	cr_assert_eq(scene_cells(&p.scene)->listeners[0].request_errors[CAUSE_CONNECT_REFUSED], 1u);
	cr_assert_eq(server(&p, 1)->active, 0u);
	play_fini(&p);
}

Test(exchange_server, one_that_says_nothing_is_a_504)
{
	struct play p;

	play_init(&p, hasty, 0);
	play_begin(&p, play_request("GET", "/", 0), true);
	(void)ended(&p, 504, CAUSE_CONNECT_TIMEOUT);
	play_fini(&p);
}

Test(exchange_server, one_without_tls_is_a_502)
{
	struct bare bare;
	struct play p;

	play_init(&p, hasty, 0);
	play_begin(&p, play_request("GET", "/", 0), true);
	cr_assert(scene_accept(&p.scene, 0, &bare));
	bare_say(&bare, "220 mail.example ESMTP\r\n");
	(void)ended(&p, 502, CAUSE_CONNECT_TLS);
	bare_close(&bare);
	play_fini(&p);
}

Test(exchange_server, a_full_pool_is_a_503)
{
	struct record_request r;
	struct play p;

	play_init(&p, narrow, 0);
	for (unsigned i = 0; i < SCENE_SERVERS; i++)
		board_worker(p.scene.w.board, 1)->metrics.servers[i].active = 1;
	play_begin(&p, play_request("GET", "/", 0), true);
	r = ended(&p, 503, CAUSE_POOL_FULL);
	cr_assert_eq(r.attempt, 0u);
	cr_assert_eq(r.pool, 0u);
	cr_assert_eq(r.server, (uint32_t)RECORD_NONE);
	play_fini(&p);
}

#define WAITING(ms)                                                                            \
	LISTENER ONE(",\"connections\":{\"max\":1,\"max_pending\":5,\"pending_timeout\":\"" ms \
		     "\"}") "}"

/* The server's only connection is somebody else's. */
static void begin_full(struct play *p, const char *json)
{
	play_init(p, json, 0);
	server(p, 0)->active = 1;
	play_begin(p, play_request("GET", "/", 0), true);
	cr_assert_not_null(p->x, "it waits");
}

Test(exchange_server, a_request_waits_for_room)
{
	struct bare bare;
	struct play p;

	begin_full(&p, WAITING("5s"));
	server(&p, 0)->active = 0;
	cr_assert(play_served(&p, 0, &bare));
	play_up_head(&p, play_response(200, 0), true);
	(void)ended(&p, 200, CAUSE_NONE);
	bare_close(&bare);
	play_fini(&p);
}

Test(exchange_server, it_does_not_wait_for_ever)
{
	struct record_request r;
	struct play p;

	begin_full(&p, WAITING("50ms"));
	r = ended(&p, 503, CAUSE_POOL_FULL);
	cr_assert_eq(r.attempt, 0u);
	server(&p, 0)->active = 0;
	play_fini(&p);
}

Test(exchange_server, a_client_that_goes_waits_no_more)
{
	struct play p;

	begin_full(&p, WAITING("5s"));
	play_down_aborted(&p, CAUSE_CLIENT_RESET);
	(void)ended(&p, 0, CAUSE_CLIENT_RESET);
	server(&p, 0)->active = 0;
	play_fini(&p);
}

Test(exchange_server, a_server_with_room_is_found_beside_a_full_one)
{
	struct bare bare;
	struct play p;

	play_init(&p, narrow, 0);
	board_worker(p.scene.w.board, 1)->metrics.servers[0].active = 1;
	play_begin(&p, play_request("GET", "/", 0), true);
	cr_assert(play_served(&p, 1, &bare));
	play_up_head(&p, play_response(204, HEAD_UNKNOWN), true);
	(void)ended(&p, 204, CAUSE_NONE);
	bare_close(&bare);
	play_fini(&p);
}

Test(exchange_server, a_pool_without_an_address_is_a_503)
{
	struct play p;

	play_init(&p, two, 0);
	p.scene.servers[0].num = p.scene.servers[1].num = 0;
	scene_use(&p.scene, two, 0);
	play_begin(&p, play_request("GET", "/", 0), true);
	(void)ended(&p, 503, CAUSE_NO_SERVER);
	play_fini(&p);
}

/* ---- sending again */

/* Leaves a connection to server 0 idle, whose other end is `bare`. */
static void prime(struct play *p, const char *json, struct bare *bare)
{
	struct record_request r;

	play_init(p, json, 0);
	play_begin(p, play_request("GET", "/first", 0), true);
	cr_assert(scene_accept(&p->scene, 0, bare));
	cr_assert(scene_until(&p->scene, bare, "\r\n\r\n"));
	bare_say(bare, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	cr_assert(play_over(p));
	rig_rest(&p->scene.rig, 1);
	cr_assert_eq(scene_cells(&p->scene)->idle_connections, 1u);
	cr_assert(scene_record(&p->scene, &r));
	bare_forget(bare);
}

static void begin_again(struct play *p, const char *method, int64_t length)
{
	play_begin(p, play_request(method, "/", length), length == 0);
	cr_assert_eq(scene_cells(&p->scene)->idle_connections, 0u);
	cr_assert(play_spy(p));
}

/* The real end of it: the server has read the request, and closes. */
Test(exchange_server, a_kept_connection_that_was_closed_is_replaced)
{
	struct bare bare, next;
	struct record_request r;
	struct play p;

	prime(&p, one, &bare);
	play_begin(&p, play_request("GET", "/again", 0), true);
	cr_assert(scene_until(&p.scene, &bare, "GET /again "));
	bare_close(&bare);
	cr_assert(scene_accept(&p.scene, 0, &next));
	cr_assert(scene_until(&p.scene, &next, "GET /again "));
	bare_say(&next, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	r = ended(&p, 200, CAUSE_NONE);
	cr_assert_eq(r.attempt, 2u);
	cr_assert_eq(r.reused, 0);
	cr_assert_str_eq(p.down.watch.story, "head:200 data:ok end release");
	cr_assert_eq(server(&p, 0)->reuses, 1u);
	cr_assert_eq(server(&p, 0)->retries, 1u);
	cr_assert_eq(server(&p, 0)->connects, 2u);
	cr_assert_eq(server(&p, 0)->active, 1u);
	bare_close(&next);
	play_fini(&p);
}

Test(exchange_server, a_body_is_sent_again_and_consumed_once)
{
	struct bare bare, next;
	struct play p;

	prime(&p, one, &bare);
	begin_again(&p, "PUT", 10);
	play_down_data(&p, "hello", 5);
	cr_assert_eq(p.down.watch.consumed, 5u);
	play_up_aborted(&p, CAUSE_SERVER_CLOSED);
	play_down_data(&p, "wor", 3);
	cr_assert_eq(p.down.watch.consumed, 5u, "while there is no server");
	cr_assert(play_served(&p, 0, &next));
	cr_assert(scene_until(&p.scene, &next, "\r\n\r\nhellowor"));
	cr_assert_eq(p.down.watch.consumed, 8u);
	play_down_data(&p, "ld", 2);
	play_down_end(&p, NULL);
	cr_assert_eq(p.down.watch.consumed, 10u);
	cr_assert_str_eq(p.up.watch.story, "data:ld end");
	play_up_head(&p, play_response(200, 0), true);
	(void)ended(&p, 200, CAUSE_NONE);
	bare_close(&bare);
	bare_close(&next);
	play_fini(&p);
}

Test(exchange_server, a_body_that_waited_is_sent_again_and_consumed_once)
{
	struct bare bare, next;
	struct play p;

	prime(&p, one, &bare);
	begin_again(&p, "PUT", 10);
	p.up.watch.full = true;
	play_down_data(&p, "hello", 5);
	play_down_data(&p, "world", 5);
	play_down_end(&p, NULL);
	cr_assert_eq(p.down.watch.consumed, 0u);
	play_up_aborted(&p, CAUSE_SERVER_RESET);
	cr_assert(play_served(&p, 0, &next));
	cr_assert(scene_until(&p.scene, &next, "\r\n\r\nhelloworld"));
	cr_assert_eq(p.down.watch.consumed, 10u);
	play_up_head(&p, play_response(200, 0), true);
	(void)ended(&p, 200, CAUSE_NONE);
	bare_close(&bare);
	bare_close(&next);
	play_fini(&p);
}

/* It breaks and the exchange ends with it: nothing is sent again. */
static void stays_broken(struct play *p, enum cause why, unsigned status)
{
	cr_assert_not_null(p->x);
	play_up_aborted(p, why);
	cr_assert_null(p->x);
	(void)ended(p, status, why);
	cr_assert_eq(server(p, 0)->retries, 0u);
	cr_assert_eq(server(p, 0)->failures[why], 1u);
}

Test(exchange_server, what_must_not_happen_twice_is_not_sent_again)
{
	static const char *const methods[] = { "POST", "PATCH", "LINK" };

	for (unsigned i = 0; i < 3; i++) {
		struct bare bare;
		struct play p;

		prime(&p, one, &bare);
		begin_again(&p, methods[i], 0);
		stays_broken(&p, CAUSE_SERVER_CLOSED, 502);
		bare_close(&bare);
		play_fini(&p);
	}
}

Test(exchange_server, on_a_fresh_connection_nothing_is_sent_again)
{
	struct play p;

	play_init(&p, one, 0);
	play_begin(&p, play_request("GET", "/", 0), true);
	cr_assert(play_spy(&p));
	stays_broken(&p, CAUSE_SERVER_CLOSED, 502);
	play_fini(&p);
}

Test(exchange_server, nothing_is_sent_again_twice)
{
	struct bare bare;
	struct play p;

	prime(&p, one, &bare);
	begin_again(&p, "GET", 0);
	play_up_aborted(&p, CAUSE_SERVER_CLOSED);
	cr_assert(play_spy(&p));
	play_up_aborted(&p, CAUSE_SERVER_CLOSED);
	(void)ended(&p, 502, CAUSE_SERVER_CLOSED);
	cr_assert_eq(server(&p, 0)->retries, 1u);
	bare_close(&bare);
	play_fini(&p);
}

Test(exchange_server, what_broke_for_other_reasons_is_not_sent_again)
{
	static const struct {
		enum cause why;
		unsigned status;
	} cases[] = { { CAUSE_RESPONSE_TIMEOUT, 504 }, { CAUSE_BAD_RESPONSE, 502 } };

	for (unsigned i = 0; i < 2; i++) {
		struct bare bare;
		struct play p;

		prime(&p, one, &bare);
		begin_again(&p, "GET", 0);
		stays_broken(&p, cases[i].why, cases[i].status);
		bare_close(&bare);
		play_fini(&p);
	}
}

Test(exchange_server, what_was_answered_is_not_sent_again)
{
	struct bare bare;
	struct play p;

	prime(&p, one, &bare);
	play_begin(&p, play_request("GET", "/", 0), true);
	cr_assert(scene_until(&p.scene, &bare, "\r\n\r\n"));
	bare_say(&bare, "HTTP/1.1 2");
	bare_close(&bare);
	(void)ended(&p, 502, CAUSE_SERVER_CLOSED);
	cr_assert_eq(server(&p, 0)->retries, 0u);
	play_fini(&p);
}

Test(exchange_server, a_response_that_has_begun_is_not_asked_for_again)
{
	struct bare bare;
	struct play p;

	prime(&p, one, &bare);
	begin_again(&p, "GET", 0);
	play_up_head(&p, play_response(200, 5), false);
	stays_broken(&p, CAUSE_SERVER_CLOSED, 200);
	cr_assert_str_eq(p.down.watch.story, "head:200 abort:server_closed");
	bare_close(&bare);
	play_fini(&p);
}

/* All of a body up to the bound is kept, and nothing of one past it. */
Test(exchange_server, a_long_body_is_not_sent_again)
{
	char *body = rig_fill(EXCHANGE_REPLAY_BYTES + 1);

	for (unsigned extra = 0; extra < 2; extra++) {
		struct bare bare, next;
		struct play p;

		prime(&p, one, &bare);
		begin_again(&p, "PUT", HEAD_UNKNOWN);
		play_down_data(&p, body, EXCHANGE_REPLAY_BYTES - 1);
		play_down_data(&p, body + EXCHANGE_REPLAY_BYTES - 1, 1 + extra);
		cr_assert_eq(p.up.watch.sent, EXCHANGE_REPLAY_BYTES + extra);
		cr_assert_eq(p.down.watch.consumed, EXCHANGE_REPLAY_BYTES + extra);
		cr_assert_eq(p.x->body.len, extra == 1 ? 0u : EXCHANGE_REPLAY_BYTES);
		if (extra == 1) {
			stays_broken(&p, CAUSE_SERVER_CLOSED, 502);
		} else {
			play_up_aborted(&p, CAUSE_SERVER_CLOSED);
			cr_assert(play_served(&p, 0, &next));
			play_up_head(&p, play_response(200, 0), true);
			(void)ended(&p, 200, CAUSE_NONE);
			rig_rest(&p.scene.rig, 5);
			(void)bare_hear(&next);
			cr_assert_gt(next.total, (size_t)EXCHANGE_REPLAY_BYTES);
			bare_close(&next);
		}
		bare_close(&bare);
		play_fini(&p);
	}
	free(body);
}

/* The one connection that a full server may have is what makes room for the next. */
Test(exchange_server, a_full_server_is_asked_again_in_place_of_the_connection_that_broke)
{
	struct bare bare, next;
	struct play p;

	prime(&p, narrow_one, &bare);
	begin_again(&p, "GET", 0);
	play_up_aborted(&p, CAUSE_SERVER_CLOSED);
	cr_assert(play_served(&p, 0, &next));
	cr_assert_eq(server(&p, 0)->active, 1u);
	play_up_head(&p, play_response(200, 0), true);
	(void)ended(&p, 200, CAUSE_NONE);
	bare_close(&bare);
	bare_close(&next);
	play_fini(&p);
}

Test(exchange_server, what_is_sent_again_and_finds_nobody_is_a_502)
{
	struct bare bare;
	struct play p;

	prime(&p, one, &bare);
	begin_again(&p, "GET", 0);
	(void)close(p.scene.listeners[0]);
	p.scene.listeners[0] = -1;
	play_up_aborted(&p, CAUSE_SERVER_CLOSED);
	(void)ended(&p, 502, CAUSE_CONNECT_REFUSED);
	bare_close(&bare);
	play_fini(&p);
}

/* A client that had leave to send is not given it again. */
Test(exchange_server, the_wait_for_leave_ends_once)
{
	struct head *h = play_request("PUT", "/", 5);
	struct bare bare;
	struct play p;

	h->expect_continue = true;
	prime(&p, one, &bare);
	play_begin(&p, h, false);
	cr_assert(play_spy(&p));
	play_up_informational(&p, 100);
	play_up_aborted(&p, CAUSE_SERVER_CLOSED);
	cr_assert(play_spy(&p));
	if (p.x->timer.deadline_ns != 0)
		p.x->timer.fire(&p.x->timer);
	play_down_data(&p, "hello", 5);
	play_down_end(&p, NULL);
	play_up_head(&p, play_response(200, 0), true);
	(void)ended(&p, 200, CAUSE_NONE);
	cr_assert_str_eq(p.down.watch.story, "100 head:200:end release");
	bare_close(&bare);
	play_fini(&p);
}

Test(exchange_server, may_be_abandoned_between_two_tries)
{
	struct bare bare;
	struct play p;

	prime(&p, one, &bare);
	begin_again(&p, "PUT", 10);
	play_down_data(&p, "hello", 5);
	play_up_aborted(&p, CAUSE_SERVER_CLOSED);
	cr_assert_null(p.x->up);
	play_down_aborted(&p, CAUSE_CLIENT_RESET);
	(void)ended(&p, 0, CAUSE_CLIENT_RESET);
	cr_assert_eq(server(&p, 0)->active, 0u);
	bare_close(&bare);
	play_fini(&p);
}

/* ---- when a server fails with it */

#define RETRY(more) LISTENER SCENE_POOL(",\"retry\":{" more "}") "}"
static const char never[] = RETRY("\"on\":[]");
static const char once[] = RETRY("\"attempts\":1");
static const char stingy[] = RETRY("\"budget_percent\":0");

/* A request to the first server, which is a spy. */
static void begin_two(struct play *p, const char *json, const char *method)
{
	play_init(p, json, 0);
	play_begin(p, play_request(method, "/", 0), true);
	cr_assert(play_spy(p));
}

Test(exchange_server, what_breaks_on_a_fresh_connection_goes_to_another)
{
	struct record_request r;
	struct bare bare;
	struct play p;

	begin_two(&p, two, "GET");
	play_up_aborted(&p, CAUSE_SERVER_RESET);
	cr_assert(play_served(&p, 1, &bare));
	play_up_head(&p, play_response(200, 0), true);
	r = ended(&p, 200, CAUSE_NONE);
	cr_assert(r.attempt == 2 && r.server == 1);
	cr_assert_eq(server(&p, 0)->failures[CAUSE_SERVER_RESET], 1u, "it has failed all the same");
	cr_assert_eq(server(&p, 1)->retries, 1u);
	bare_close(&bare);
	play_fini(&p);
}

Test(exchange_server, a_503_is_not_the_last_word)
{
	struct record_request r;
	struct bare bare;
	struct play p;

	begin_two(&p, two, "PUT");
	play_up_head(&p, play_response(503, 9), false);
	cr_assert(play_served(&p, 1, &bare));
	play_up_head(&p, play_response(201, 0), true);
	r = ended(&p, 201, CAUSE_NONE);
	cr_assert(r.attempt == 2 && r.server == 1);
	cr_assert_str_eq(p.down.watch.story, "head:201:end release");
	cr_assert_eq(server(&p, 0)->requests[5], 1u, "of class 5xx");
	bare_close(&bare);
	play_fini(&p);
}

Test(exchange_server, two_times_are_enough)
{
	struct bare bare;
	struct play p;

	begin_two(&p, two, "GET");
	play_up_head(&p, play_response(503, 0), true);
	cr_assert(play_served(&p, 1, &bare));
	play_up_head(&p, play_response(503, 0), true);
	(void)ended(&p, 503, CAUSE_NONE);
	cr_assert_eq(server(&p, 0)->retries + server(&p, 1)->retries, 1u);
	bare_close(&bare);
	play_fini(&p);
}

Test(exchange_server, what_is_not_wanted_or_not_safe_is_not_sent_again)
{
	static const struct {
		const char *json, *method;
	} cases[] = { { never, "GET" }, { once, "GET" }, { two, "POST" } };

	for (unsigned i = 0; i < 3; i++) {
		struct play p;

		begin_two(&p, cases[i].json, cases[i].method);
		play_up_head(&p, play_response(503, 0), true);
		(void)ended(&p, 503, CAUSE_NONE);
		play_fini(&p);
		begin_two(&p, cases[i].json, cases[i].method);
		stays_broken(&p, CAUSE_SERVER_RESET, 502);
		play_fini(&p);
	}
}

Test(exchange_server, without_on_connect_the_first_refusal_is_the_last)
{
	struct play p;

	play_init(&p, never, 1);
	play_begin(&p, play_request("GET", "/", 0), true);
	cr_assert_not(play_spy(&p));
	(void)ended(&p, 502, CAUSE_CONNECT_REFUSED);
	play_fini(&p);
}

/* The pool's, of all requests: what is over is answered as it came. */
Test(exchange_server, a_budget_that_is_spent_ends_it)
{
	unsigned again = 0;
	struct play p;

	play_init(&p, stingy, 0);
	for (unsigned i = 0; i < 2 * RETRY_BURST; i++) {
		struct bare bare = { .fd = -1 };

		play_begin(&p, play_request("GET", "/", 0), true);
		cr_assert(play_spy(&p));
		play_up_aborted(&p, CAUSE_SERVER_RESET);
		if (p.x != NULL) {
			again++;
			cr_assert(play_spy(&p));
			play_up_aborted(&p, CAUSE_SERVER_RESET);
		}
		cr_assert(play_over(&p));
		bare_close(&bare);
	}
	cr_assert(again >= RETRY_BURST && again <= RETRY_BURST + 2 * RETRY_PER_SECOND, "%u", again);
	play_fini(&p);
}

Test(exchange_server, the_routes_timeout_ends_it)
{
	struct record_request r;
	struct play p;

	play_init(&p,
		  "{\"listeners\":[" SCENE_LISTENER(
			  "\"routes\":[{\"pool\":\"p\",\"timeout\":\"50ms\"}]") "]," ONE("") "}",
		  0);
	play_begin(&p, play_request("GET", "/", 0), true);
	cr_assert(play_spy(&p));
	r = ended(&p, 504, CAUSE_ROUTE_TIMEOUT);
	cr_assert_eq(r.attempt, 1u);
	play_fini(&p);
}
