/* What passes between the two streams of an exchange, and what is left when either breaks. Which
 * server it goes to: exchange_server_test.c. */
#include "proxy/http/exchange.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/play.h"

#define ONE "\"pools\":{\"p\":{\"servers\":[\"127.0.0.1:1\"]}}"
static const char usual[] = "{\"listeners\":[" SCENE_LISTENER("\"pool\":\"p\"") "]," ONE "}";
static const char bounded[] = "{\"listeners\":[" SCENE_LISTENER(
	"\"pool\":\"p\",\"http\":{\"max_body_size\":\"10\"}") "]," ONE "}";

#define down_is(p, text) cr_assert_str_eq((p)->down.watch.story, text)
#define up_is(p, text) cr_assert_str_eq((p)->up.watch.story, text)

/* The exchange has ended and was counted and put on record, as this. */
static void ended(struct play *p, unsigned status, enum cause cause)
{
	const struct metrics_listener *cells = &scene_cells(&p->scene)->listeners[0];
	struct record_request r;

	cr_assert(play_over(p));
	cr_assert_eq(p->num_over, 1u);
	cr_assert(p->down.watch.gone, "the client's stream was not given up");
	cr_assert(p->up.stream == NULL || p->up.watch.gone, "the server's stream was not");
	cr_assert(scene_record(&p->scene, &r));
	cr_assert_eq(r.status, status, "status %u", r.status);
	cr_assert_eq(r.cause, cause, "cause %s", cause_name(r.cause));
	cr_assert_eq(cells->requests[metrics_class(status)], 1u);
	for (unsigned i = 1; i < CAUSE_COUNT; i++)
		cr_assert_eq(cells->request_errors[i], i == cause ? 1u : 0u, "%s", cause_name(i));
	cr_assert_eq(cells->requests_active, 0u);
	cr_assert_eq(scene_cells(&p->scene)->servers[0].requests_active, 0u);
	cr_assert_eq(scene_cells(&p->scene)->pools_active[0], 0u);
}

static void begin(struct play *p, const char *json, const char *method, int64_t length)
{
	play_init(p, json, 0);
	play_begin(p, play_request(method, "/x?y", length), length == 0);
}

/* As far as the response may begin. */
static void begin_served(struct play *p, const char *json, const char *method, int64_t length)
{
	begin(p, json, method, length);
	cr_assert(play_spy(p));
}

static void answer(struct play *p)
{
	play_up_head(p, play_response(200, 2), false);
	play_up_data(p, "ok", 2);
	play_up_end(p, NULL);
}

Test(exchange, a_request_and_its_response_pass)
{
	struct metrics_server *server;
	struct bare bare;
	struct play p;

	begin(&p, usual, "GET", 0);
	server = scene_cells(&p.scene)->servers;
	cr_assert_eq(scene_cells(&p.scene)->listeners[0].requests_active, 1u);
	cr_assert_eq(scene_cells(&p.scene)->pools_active[0], 1u);
	cr_assert_eq(server->requests_active, 1u);
	cr_assert(play_served(&p, 0, &bare));
	cr_assert(scene_until(&p.scene, &bare, "GET /x?y HTTP/1.1\r\nHost: a.example\r\n"));
	answer(&p);
	ended(&p, 200, CAUSE_NONE);
	down_is(&p, "head:200 data:ok end release");
	cr_assert_not_null(strstr(p.down.watch.fields, "date="));
	up_is(&p, "release");
	cr_assert_eq(p.up.watch.consumed, 2u);
	cr_assert_eq(server->requests[2], 1u);
	cr_assert_eq(server->connects, 1u);
	cr_assert_eq(server->reuses + server->retries, 0u);
	bare_close(&bare);
	play_fini(&p);
}

Test(exchange, a_record_says_what_there_is_to_say)
{
	struct record_request r;
	struct head *h = play_request("POST", "/x?y", 3);
	struct play p;
	char buf[2049];

	play_init(&p, usual, 0);
	head_add_id(h, HEADER_USER_AGENT, span_str("agent"));
	head_add_id(h, HEADER_REFERER, span_str("from"));
	play_begin(&p, h, false);
	play_down_data(&p, "abc", 3);
	cr_assert(play_spy(&p));
	play_down_end(&p, NULL);
	answer(&p);
	cr_assert(scene_record(&p.scene, &r));
	cr_assert_eq(r.listener, 0u);
	cr_assert_eq(r.pool, 0u);
	cr_assert_eq(r.server, 0u);
	cr_assert_eq(r.attempt, 1u);
	cr_assert_eq(r.http_version, 11);
	cr_assert_eq(r.reused, 0);
	cr_assert_eq(r.bytes_received, 3u);
	cr_assert_eq(r.bytes_sent, 2u);
	cr_assert_eq(r.peer_family, AF_INET);
	cr_assert_eq(r.peer_port, 4711);
	cr_assert_eq(r.peer_address[0], 127);
	cr_assert_gt(r.connect_ns, 0);
	cr_assert_geq(r.first_byte_ns, r.connect_ns);
	cr_assert_geq(r.duration_ns, r.first_byte_ns);
	cr_assert_str_eq(play_text(&r, RECORD_TEXT_METHOD, buf, sizeof(buf)), "POST");
	cr_assert_str_eq(play_text(&r, RECORD_TEXT_AUTHORITY, buf, sizeof(buf)), "a.example");
	cr_assert_str_eq(play_text(&r, RECORD_TEXT_PATH, buf, sizeof(buf)), "/x?y");
	cr_assert_str_eq(play_text(&r, RECORD_TEXT_USER_AGENT, buf, sizeof(buf)), "agent");
	cr_assert_str_eq(play_text(&r, RECORD_TEXT_REFERER, buf, sizeof(buf)), "from");
	cr_assert_str_eq(play_text(&r, RECORD_TEXT_DETAIL, buf, sizeof(buf)), "");
	cr_assert_neq(r.lens[RECORD_TEXT_REQUEST_ID], 0);
	play_fini(&p);
}

/* ---- how much may come */

Test(exchange, a_body_that_comes_before_there_is_a_server_is_kept)
{
	struct bare bare;
	struct play p;

	begin(&p, usual, "POST", 10);
	play_down_data(&p, "hello", 5);
	cr_assert_eq(p.down.watch.consumed, 0u, "nowhere to put it yet");
	cr_assert(play_served(&p, 0, &bare));
	cr_assert_eq(p.down.watch.consumed, 5u);
	cr_assert(scene_until(&p.scene, &bare, "\r\n\r\nhello"));
	play_down_data(&p, "world", 5);
	cr_assert_eq(p.down.watch.consumed, 10u);
	play_down_end(&p, NULL);
	up_is(&p, "data:world end");
	answer(&p);
	ended(&p, 200, CAUSE_NONE);
	bare_close(&bare);
	play_fini(&p);
}

Test(exchange, a_request_is_said_consumed_once_the_server_takes_it)
{
	struct play p;

	begin_served(&p, usual, "POST", 15);
	p.up.watch.full = true;
	play_down_data(&p, "aaaaa", 5);
	play_down_data(&p, "bbbbb", 5);
	cr_assert_eq(p.down.watch.consumed, 0u);
	play_up_drained(&p);
	cr_assert_eq(p.down.watch.consumed, 10u);
	play_up_drained(&p);
	cr_assert_eq(p.down.watch.consumed, 10u, "once");
	play_down_data(&p, "ccccc", 5);
	play_down_end(&p, NULL);
	cr_assert_eq(p.down.watch.consumed, 15u);
	up_is(&p, "data:aaaaabbbbbccccc end");
	answer(&p);
	ended(&p, 200, CAUSE_NONE);
	play_fini(&p);
}

Test(exchange, a_response_is_said_consumed_once_the_client_takes_it)
{
	struct play p;

	begin_served(&p, usual, "GET", 0);
	play_up_head(&p, play_response(200, 15), false);
	p.down.watch.full = true;
	play_up_data(&p, "aaaaa", 5);
	play_up_data(&p, "bbbbb", 5);
	cr_assert_eq(p.up.watch.consumed, 0u);
	play_down_drained(&p);
	cr_assert_eq(p.up.watch.consumed, 10u);
	play_down_drained(&p);
	cr_assert_eq(p.up.watch.consumed, 10u, "once");
	play_up_data(&p, "ccccc", 5);
	cr_assert_eq(p.up.watch.consumed, 15u);
	play_up_end(&p, NULL);
	ended(&p, 200, CAUSE_NONE);
	down_is(&p, "head:200 data:aaaaabbbbbccccc end release");
	play_fini(&p);
}

/* It is the codec's to send what it has taken. */
Test(exchange, a_response_may_end_while_the_client_takes_nothing)
{
	struct play p;

	begin_served(&p, usual, "GET", 0);
	play_up_head(&p, play_response(200, 5), false);
	p.down.watch.full = true;
	play_up_data(&p, "aaaaa", 5);
	play_up_end(&p, NULL);
	ended(&p, 200, CAUSE_NONE);
	down_is(&p, "head:200 data:aaaaa end release");
	up_is(&p, "release");
	play_fini(&p);
}

Test(exchange, trailers_pass_both_ways)
{
	struct head *there = play_response(0, 0), *back = play_response(0, 0);
	struct play p;

	head_add(there, span_str("A"), span_str("1"));
	head_add(back, span_str("B"), span_str("2"));
	begin_served(&p, usual, "POST", HEAD_UNKNOWN);
	play_down_data(&p, "x", 1);
	play_down_end(&p, there);
	up_is(&p, "data:x end:1");
	play_up_head(&p, play_response(200, HEAD_UNKNOWN), false);
	play_up_data(&p, "y", 1);
	play_up_end(&p, back);
	ended(&p, 200, CAUSE_NONE);
	down_is(&p, "head:200 data:y end:1 release");
	play_fini(&p);
}

Test(exchange, trailers_without_a_body_pass)
{
	struct head *trailers = play_response(0, 0);
	struct bare bare;
	struct play p;

	head_add(trailers, span_str("A"), span_str("1"));
	begin(&p, usual, "POST", HEAD_UNKNOWN);
	play_down_end(&p, trailers);
	cr_assert(play_served(&p, 0, &bare));
	cr_assert(scene_until(&p.scene, &bare, "\r\n\r\n0\r\nA: 1\r\n\r\n"));
	answer(&p);
	ended(&p, 200, CAUSE_NONE);
	bare_close(&bare);
	play_fini(&p);
}

/* ---- answers that do not wait */

Test(exchange, an_answer_before_the_request_is_whole_stops_it)
{
	struct play p;

	begin_served(&p, usual, "POST", 10);
	play_down_data(&p, "hello", 5);
	answer(&p);
	ended(&p, 200, CAUSE_NONE);
	down_is(&p, "head:200 data:ok end stop release");
	up_is(&p, "data:hello release");
	play_fini(&p);
}

Test(exchange, an_answer_without_a_body_may_be_early_as_well)
{
	struct play p;

	begin_served(&p, usual, "POST", 10);
	play_up_head(&p, play_response(403, 0), true);
	ended(&p, 403, CAUSE_NONE);
	down_is(&p, "head:403:end stop release");
	play_fini(&p);
}

Test(exchange, a_request_goes_on_while_its_response_has_begun)
{
	struct play p;

	begin_served(&p, usual, "POST", 10);
	play_down_data(&p, "hello", 5);
	play_up_head(&p, play_response(200, 2), false);
	play_down_data(&p, "world", 5);
	play_down_end(&p, NULL);
	up_is(&p, "data:helloworld end");
	play_up_data(&p, "ok", 2);
	play_up_end(&p, NULL);
	ended(&p, 200, CAUSE_NONE);
	down_is(&p, "head:200 data:ok end release");
	play_fini(&p);
}

/* ---- bodies past the limit */

Test(exchange, a_length_past_the_limit_is_refused_at_once)
{
	struct play p;

	begin(&p, bounded, "POST", 11);
	ended(&p, 413, CAUSE_BODY_TOO_LARGE);
	cr_assert_null(strstr(p.down.watch.story, "abort"));
	cr_assert_not_null(strstr(p.down.watch.story, "end stop release"));
	cr_assert_eq(scene_cells(&p.scene)->servers[0].active, 0u, "no server was asked");
	play_fini(&p);
}

Test(exchange, a_length_at_the_limit_is_not)
{
	struct play p;

	begin_served(&p, bounded, "POST", 10);
	play_down_data(&p, "0123456789", 10);
	play_down_end(&p, NULL);
	answer(&p);
	ended(&p, 200, CAUSE_NONE);
	play_fini(&p);
}

Test(exchange, chunks_past_the_limit_are_refused_when_they_come)
{
	struct play p;

	begin_served(&p, bounded, "POST", HEAD_UNKNOWN);
	play_down_data(&p, "0123456789", 10);
	play_down_data(&p, "x", 1);
	ended(&p, 413, CAUSE_BODY_TOO_LARGE);
	cr_assert_not_null(strstr(p.down.watch.story, "end stop release"));
	up_is(&p, "data:0123456789 abort:body_too_large");
	play_fini(&p);
}

Test(exchange, chunks_past_the_limit_while_it_connects_are_refused)
{
	struct play p;

	begin(&p, bounded, "POST", HEAD_UNKNOWN);
	play_down_data(&p, "0123456789x", 11);
	ended(&p, 413, CAUSE_BODY_TOO_LARGE);
	play_fini(&p);
}

Test(exchange, chunks_past_the_limit_break_a_response_that_has_begun)
{
	struct play p;

	begin_served(&p, bounded, "POST", HEAD_UNKNOWN);
	play_up_head(&p, play_response(200, 2), false);
	play_down_data(&p, "0123456789x", 11);
	ended(&p, 200, CAUSE_BODY_TOO_LARGE);
	down_is(&p, "head:200 abort:body_too_large");
	up_is(&p, "abort:body_too_large");
	play_fini(&p);
}

/* ---- 100-continue */

static void begin_expecting(struct play *p)
{
	struct head *h = play_request("POST", "/", 5);

	play_init(p, usual, 0);
	h->expect_continue = true;
	play_begin(p, h, false);
	cr_assert(play_spy(p));
	cr_assert_neq(p->x->timer.deadline_ns, 0);
}

static void finish_expecting(struct play *p, const char *story)
{
	play_down_data(p, "hello", 5);
	play_down_end(p, NULL);
	answer(p);
	ended(p, 200, CAUSE_NONE);
	down_is(p, story);
	play_fini(p);
}

Test(exchange, the_servers_leave_is_passed_on_once)
{
	struct play p;

	begin_expecting(&p);
	play_up_informational(&p, 100);
	play_up_informational(&p, 100);
	cr_assert_eq(p.x->timer.deadline_ns, 0);
	finish_expecting(&p, "100 head:200 data:ok end release");
}

Test(exchange, a_server_that_gives_no_leave_is_not_waited_for)
{
	int64_t left;
	struct play p;

	begin_expecting(&p);
	left = p.x->timer.deadline_ns - loop_clock_ns();
	cr_assert(left > 500000000 && left <= 1000000000);
	p.x->timer.fire(&p.x->timer);
	cr_assert_eq(p.x->timer.deadline_ns, 0);
	play_up_informational(&p, 100);
	finish_expecting(&p, "100 head:200 data:ok end release");
}

Test(exchange, a_client_that_sends_needs_no_leave)
{
	struct play p;

	begin_expecting(&p);
	play_down_data(&p, "he", 2);
	cr_assert_eq(p.x->timer.deadline_ns, 0);
	play_up_informational(&p, 100);
	play_down_data(&p, "llo", 3);
	play_down_end(&p, NULL);
	answer(&p);
	ended(&p, 200, CAUSE_NONE);
	down_is(&p, "head:200 data:ok end release");
	play_fini(&p);
}

Test(exchange, a_final_answer_ends_the_wait_for_leave)
{
	struct play p;

	begin_expecting(&p);
	play_up_head(&p, play_response(417, 0), true);
	ended(&p, 417, CAUSE_NONE);
	down_is(&p, "head:417:end stop release");
	up_is(&p, "release");
	rig_rest(&p.scene.rig, 5);
	play_fini(&p);
}

Test(exchange, other_interim_responses_pass)
{
	struct play p;

	begin_served(&p, usual, "GET", 0);
	play_up_informational(&p, 103);
	play_up_informational(&p, 100);
	play_up_informational(&p, 103);
	answer(&p);
	ended(&p, 200, CAUSE_NONE);
	down_is(&p, "103 103 head:200 data:ok end release");
	play_fini(&p);
}

/* ---- tunnels */

static void open_tunnel(struct play *p)
{
	struct head *h = play_request("GET", "/", 0), *yes = play_response(101, HEAD_UNKNOWN);

	h->upgrade = span_str("ws");
	yes->upgrade = span_str("ws");
	play_init(p, bounded, 0);
	play_begin(p, h, true);
	cr_assert(play_spy(p));
	play_up_head(p, yes, false);
	/* The limit is of bodies. */
	play_down_data(p, "0123456789abcdef", 16);
	play_up_data(p, "server", 6);
	cr_assert_eq(p->down.watch.consumed, 16u);
	cr_assert_eq(p->up.watch.consumed, 6u);
}

Test(exchange, a_tunnel_ends_with_the_clients_end_after_the_servers)
{
	struct play p;

	open_tunnel(&p);
	play_up_end(&p, NULL);
	cr_assert_not_null(p.x);
	play_down_data(&p, "more", 4);
	play_down_end(&p, NULL);
	ended(&p, 101, CAUSE_NONE);
	down_is(&p, "head:101 data:server end release");
	up_is(&p, "data:0123456789abcdefmore end release");
	play_fini(&p);
}

Test(exchange, a_tunnel_ends_with_the_servers_end_after_the_clients)
{
	struct play p;

	open_tunnel(&p);
	play_down_end(&p, NULL);
	cr_assert_not_null(p.x);
	play_up_data(&p, "more", 4);
	play_up_end(&p, NULL);
	ended(&p, 101, CAUSE_NONE);
	down_is(&p, "head:101 data:servermore end release");
	up_is(&p, "data:0123456789abcdef end release");
	play_fini(&p);
}

Test(exchange, a_tunnel_that_breaks_breaks_on_both_sides)
{
	struct play p;

	open_tunnel(&p);
	play_down_end(&p, NULL);
	play_up_aborted(&p, CAUSE_SERVER_RESET);
	ended(&p, 101, CAUSE_SERVER_RESET);
	down_is(&p, "head:101 data:server abort:server_reset");
	play_fini(&p);
	open_tunnel(&p);
	play_up_end(&p, NULL);
	play_down_aborted(&p, CAUSE_CLIENT_RESET);
	ended(&p, 101, CAUSE_CLIENT_RESET);
	up_is(&p, "data:0123456789abcdef abort:client_reset");
	play_fini(&p);
}

/* Which HTTP/1 has not, but exchange cannot know. */
Test(exchange, a_tunnel_may_follow_a_request_with_trailers)
{
	struct head *trailers = play_response(0, 0);
	struct play p;

	head_add(trailers, span_str("A"), span_str("1"));
	begin_served(&p, usual, "POST", HEAD_UNKNOWN);
	play_down_data(&p, "x", 1);
	play_down_end(&p, trailers);
	play_up_head(&p, play_response(101, HEAD_UNKNOWN), false);
	play_down_end(&p, NULL);
	play_up_end(&p, NULL);
	ended(&p, 101, CAUSE_NONE);
	up_is(&p, "data:x end:1 end release");
	play_fini(&p);
}

/* ---- what breaks, and when */

enum stage { CONNECTING, ASKED, ASKING, ANSWERING, STAGES };
enum breaker { CLIENT, CLIENT_BADLY, SERVER, OWNER, BREAKERS };

static void come_to(struct play *p, enum stage stage)
{
	begin(p, usual, "POST", 10);
	play_down_data(p, "he", 2);
	if (stage == CONNECTING)
		return;
	cr_assert(play_spy(p));
	if (stage == ASKED) {
		play_down_data(p, "llo world", 8);
		play_down_end(p, NULL);
	}
	if (stage == ANSWERING) {
		play_up_head(p, play_response(200, 2), false);
		play_up_data(p, "o", 1);
	}
}

static void check_broken(struct play *p, enum stage stage, enum breaker who)
{
	bool begun = stage == ANSWERING;
	const char *story = p->down.watch.story;
	static const enum cause causes[BREAKERS] = { CAUSE_CLIENT_RESET, CAUSE_BAD_FRAMING,
						     CAUSE_SERVER_RESET, CAUSE_DRAIN };
	unsigned answer_of[BREAKERS] = { 0, 400, 502, 0 };

	ended(p, begun ? 200 : answer_of[who], causes[who]);
	if (!begun && answer_of[who] == 0)
		cr_assert_null(strstr(story, "head"), "%s", story);
	if (begun || answer_of[who] == 0)
		cr_assert_eq(p->down.watch.why, who <= CLIENT_BADLY ? CAUSE_NONE : causes[who]);
	else
		cr_assert(p->down.watch.why == CAUSE_NONE && strstr(story, "end") != NULL);
	cr_assert_eq(p->down.watch.last, !begun && who == CLIENT_BADLY);
	if (stage == CONNECTING)
		return;
	cr_assert_eq(p->up.watch.why, who == SERVER ? CAUSE_NONE : causes[who]);
	cr_assert_eq(scene_cells(&p->scene)->servers[0].failures[causes[who]],
		     who == SERVER ? 1u : 0u);
}

Test(exchange, may_break_at_any_time)
{
	for (unsigned i = 0; i < STAGES * BREAKERS; i++) {
		enum stage stage = i / BREAKERS;
		enum breaker who = i % BREAKERS;
		struct play p;

		if (stage == CONNECTING && who == SERVER)
			continue;
		come_to(&p, stage);
		if (who == CLIENT)
			play_down_aborted(&p, CAUSE_CLIENT_RESET);
		else if (who == CLIENT_BADLY)
			play_down_aborted(&p, CAUSE_BAD_FRAMING);
		else if (who == SERVER)
			play_up_aborted(&p, CAUSE_SERVER_RESET);
		else
			exchanges_abandon(&p.list, CAUSE_DRAIN);
		if (who == OWNER)
			p.x = NULL;
		check_broken(&p, stage, who);
		rig_rest(&p.scene.rig, 1);
		cr_assert_eq(scene_cells(&p.scene)->servers[0].active, 0u, "stage %u, by %u", stage,
			     who);
		play_fini(&p);
	}
}

Test(exchange, what_breaks_has_its_status)
{
	static const struct {
		bool by_client;
		enum cause why;
		unsigned status;
	} cases[] = {
		{ true, CAUSE_BAD_REQUEST, 400 },	{ true, CAUSE_BODY_TIMEOUT, 408 },
		{ true, CAUSE_TOO_SLOW, 408 },		{ true, CAUSE_HEADER_TOO_LARGE, 431 },
		{ true, CAUSE_CLIENT_GONE, 0 },		{ true, CAUSE_CLIENT_TRUNCATED, 0 },
		{ false, CAUSE_RESPONSE_TIMEOUT, 504 }, { false, CAUSE_SERVER_IDLE, 504 },
		{ false, CAUSE_MEMORY, 503 },		{ false, CAUSE_BAD_RESPONSE, 502 },
		{ false, CAUSE_SERVER_CLOSED, 502 },	{ false, CAUSE_SERVER_TRUNCATED, 502 },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct play p;

		begin_served(&p, usual, "POST", 10);
		if (cases[i].by_client)
			play_down_aborted(&p, cases[i].why);
		else
			play_up_aborted(&p, cases[i].why);
		ended(&p, cases[i].status, cases[i].why);
		play_fini(&p);
	}
}

Test(exchange, the_detail_is_on_record)
{
	struct record_request r;
	struct play p;
	char buf[512];

	begin_served(&p, usual, "GET", 0);
	play_up_aborted(&p, CAUSE_BAD_RESPONSE);
	cr_assert(scene_record(&p.scene, &r));
	cr_assert_str_eq(play_text(&r, RECORD_TEXT_DETAIL, buf, sizeof(buf)), "the server's");
	play_fini(&p);
}

Test(exchange, what_is_refused_is_answered)
{
	static const struct exchange_place none;
	struct exchange_place at = none;
	struct play p;

	play_init(&p, usual, 0);
	play_begin(&p, play_request("GET", "/", 0), true);
	at = p.x->at;
	exchanges_abandon(&p.list, CAUSE_DRAIN);
	p.x = NULL;
	while (scene_record(&p.scene, &(struct record_request){ 0 }))
		continue;
	memset(&scene_cells(&p.scene)->listeners[0].request_errors, 0,
	       sizeof(scene_cells(&p.scene)->listeners[0].request_errors));
	p.down.watch = (struct watch){ 0 };
	p.num_over = 0;
	cr_assert_not_null(p.x = exchange_new(&at, &p.down.stream, NULL));
	exchange_refuse(p.x, 431, CAUSE_HEADER_TOO_LARGE, "long");
	ended(&p, 431, CAUSE_HEADER_TOO_LARGE);
	cr_assert_not_null(strstr(p.down.watch.story, "head:431 data:"));
	play_fini(&p);
}

/* ---- reloads */

Test(exchange, a_request_keeps_its_snapshot_until_its_response_begins)
{
	struct play p;

	begin_served(&p, usual, "GET", 0);
	scene_use(&p.scene, usual, 4);
	cr_assert_eq(p.scene.w.released, 0u);
	play_up_head(&p, play_response(200, 2), false);
	cr_assert_eq(p.scene.w.released, 2u, "a long response holds none");
	play_up_data(&p, "ok", 2);
	play_up_end(&p, NULL);
	ended(&p, 200, CAUSE_NONE); /* in the cells of the slots it began with */
	play_fini(&p);
}

Test(exchange, a_snapshot_goes_with_the_exchange_that_was_its_last)
{
	struct play p;

	begin(&p, usual, "POST", 10);
	scene_use(&p.scene, usual, 4);
	cr_assert_eq(p.scene.w.released, 0u);
	play_down_aborted(&p, CAUSE_CLIENT_RESET);
	ended(&p, 0, CAUSE_CLIENT_RESET);
	cr_assert_eq(p.scene.w.released, 2u);
	play_fini(&p);
}
