/* The server's role of HTTP/1 on a real link, with a bare socket as the client. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/http1_side.h"

#define HOST "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST "\r\n"

struct stage {
	struct rig rig;
	struct side side;
};

static void begin(struct stage *t)
{
	*t = (struct stage){ 0 };
	rig_init(&t->rig, false);
	side_limits(&t->side);
	t->side.answer = "ok\n";
}

static void open_stage(struct stage *t)
{
	begin(t);
	side_serve(&t->side, &t->rig, false);
}

static void close_stage(struct stage *t)
{
	side_fini(&t->side);
	rig_fini(&t->rig);
}

static void say(struct stage *t, const char *text)
{
	side_say(&t->side, span_str(text));
}

static void say_all(struct stage *t, const char *text)
{
	say(t, text);
	(void)shutdown(t->side.fd, SHUT_WR);
}

#define got(t, text)                                                                           \
	cr_assert(side_until_got(&(t)->side, text), "wanted <%s>, got <%s>, story <%s>", text, \
		  (t)->side.got == NULL ? "" : (t)->side.got, (t)->side.story)
#define told(t, text)                                                                  \
	cr_assert(side_until_story(&(t)->side, text), "wanted <%s>, story <%s>", text, \
		  (t)->side.story)
#define ended(t)                                                                \
	cr_assert(side_until_ended(&(t)->side), "no end; got <%s>, story <%s>", \
		  (t)->side.got == NULL ? "" : (t)->side.got, (t)->side.story)

Test(http1_server, requests_are_answered_one_after_the_other)
{
	struct stage t;

	open_stage(&t);
	say(&t, GET);
	got(&t, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n");
	say(&t, "POST /x?y HTTP/1.1\r\nHost: b:8\r\nContent-Length: 5\r\nA: 1\r\n\r\nhello");
	told(&t, "request POST b:8 /x?y 11 length=5\n  A=1\ndata hello\nend\n");
	say(&t, "POST /z HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
		"5\r\nhello\r\n6,x\r\n");
	told(&t, "request POST a /z 11 length=-1\ndata hello\naborted bad_framing");
	got(&t, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	ended(&t);
	told(&t, "ended closed: \n");
	close_stage(&t);
}

Test(http1_server, pipelined_requests_wait_for_each_other)
{
	struct stage t;

	open_stage(&t);
	t.side.answer = NULL;
	say_all(&t, GET "GET /2 HTTP/1.1\r\n" HOST "\r\n" GET);
	told(&t, "request GET a / 11");
	rig_rest(&t.rig, 30);
	cr_assert_eq(t.side.num_requests, 1);
	side_respond(&t.side, 200, "one");
	told(&t, "request GET a /2 11");
	cr_assert_eq(t.side.num_requests, 2);
	t.side.answer = "three";
	side_respond(&t.side, 200, "two");
	got(&t, "\r\n\r\none");
	got(&t, "\r\n\r\ntwo");
	got(&t, "\r\n\r\nthree");
	ended(&t);
	told(&t, "ended closed");
	close_stage(&t);
}

/* ---- every way to cut the input */

static const char *const messages[] = {
	GET,
	"\r\n" GET "\r\n" GET,
	"POST /a HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello" GET,
	"POST /b HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
	"3\r\nhel\r\n2\r\nlo\r\n0\r\nT: 1\r\n\r\n" GET,
	"POST /c HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhell",
	"POST /d HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\nx",
	"GET / HTTP/1.1\r\n" HOST " fold\r\n\r\n",
	"GET /e HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" GET,
	"GET /f",
	"\r\n\r\n" GET,
};

static void talk(const char *text, size_t at, char *story, char *answers)
{
	struct stage t;

	open_stage(&t);
	side_say(&t.side, span_of(text, at));
	rig_settle(&t.rig);
	side_say(&t.side, span_of(text + at, strlen(text) - at));
	(void)shutdown(t.side.fd, SHUT_WR);
	ended(&t);
	told(&t, "ended ");
	(void)snprintf(story, SIDE_STORY, "%s", t.side.story);
	(void)snprintf(answers, SIDE_STORY, "%s", t.side.got == NULL ? "" : t.side.got);
	close_stage(&t);
}

Test(http1_server, where_the_input_is_cut_changes_nothing)
{
	static char story[SIDE_STORY], answers[SIDE_STORY], again[SIDE_STORY], got[SIDE_STORY];

	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		talk(messages[i], 0, story, answers);
		for (size_t at = 1; at < strlen(messages[i]); at++) {
			talk(messages[i], at, again, got);
			cr_assert_str_eq(story, again, "%zu at %zu: <%s> <%s>", i, at, story,
					 again);
			cr_assert_str_eq(answers, got, "%zu at %zu: <%s> <%s>", i, at, answers,
					 got);
		}
	}
}

/* ---- refusals */

Test(http1_server, what_is_refused_is_answered_and_the_connection_closed)
{
	struct stage t;

	open_stage(&t);
	say(&t, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
		"0\r\n\r\n" GET);
	got(&t, "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n");
	ended(&t);
	told(&t, "refused 400 bad_framing");
	told(&t, "ended closed");
	cr_assert_eq(t.side.num_requests, 0);
	cr_assert(t.side.got_eof);
	close_stage(&t);
}

Test(http1_server, a_refused_client_that_goes_on_sending_gets_the_answer)
{
	struct stage t;
	char *much = rig_fill(200000);

	open_stage(&t);
	say(&t, "BREW / HTTP/1.1\r\n" HOST "Content-Length: 200000\r\n\r\n");
	side_say(&t.side, span_of(much, 200000));
	got(&t, "HTTP/1.1 501 Not Implemented\r\n");
	ended(&t);
	cr_assert(t.side.got_eof && !t.side.got_reset);
	free(much);
	close_stage(&t);
}

Test(http1_server, a_head_that_never_ends_is_answered_with_408)
{
	struct stage t;

	begin(&t);
	t.side.limits.request_header_ns = 60000000;
	side_serve(&t.side, &t.rig, false);
	say(&t, "GET / HT");
	got(&t, "HTTP/1.1 408 Request Timeout\r\n");
	ended(&t);
	told(&t, "refused 408 request_header_timeout");
	close_stage(&t);
}

Test(http1_server, a_client_that_says_nothing_is_left_without_a_word)
{
	struct stage t;

	begin(&t);
	t.side.limits.request_header_ns = 60000000;
	side_serve(&t.side, &t.rig, false);
	ended(&t);
	cr_assert_eq(t.side.got_len, 0);
	cr_assert(t.side.got_eof);
	told(&t, "ended request_header_timeout");
	close_stage(&t);
}

Test(http1_server, an_idle_connection_ends_in_good_order)
{
	struct stage t;

	begin(&t);
	t.side.limits.keepalive_ns = 60000000;
	side_serve(&t.side, &t.rig, false);
	say(&t, GET);
	ended(&t);
	cr_assert(t.side.got_eof);
	told(&t, "ended closed");
	close_stage(&t);
}

/* ---- bodies */

Test(http1_server, a_body_that_stops_is_aborted_and_answered)
{
	struct stage t;

	begin(&t);
	t.side.limits.request_body_ns = 60000000;
	side_serve(&t.side, &t.rig, false);
	say(&t, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhel");
	told(&t, "aborted request_body_timeout");
	got(&t, "HTTP/1.1 400 Bad Request\r\n");
	ended(&t);
	close_stage(&t);
}

Test(http1_server, a_body_that_drips_is_too_slow)
{
	struct stage t;

	begin(&t);
	t.side.limits.minimum_rate = 1000;
	t.side.limits.minimum_rate_over_ns = 100000000;
	side_serve(&t.side, &t.rig, false);
	say(&t, "POST / HTTP/1.1\r\n" HOST "Content-Length: 500\r\n\r\n");
	for (int i = 0; i < 40 && strstr(t.side.story, "aborted") == NULL; i++) {
		say(&t, "x");
		rig_rest(&t.rig, 20);
	}
	told(&t, "aborted below_minimum_rate");
	close_stage(&t);
}

Test(http1_server, our_own_backpressure_makes_nobody_slow)
{
	struct stage t;
	char *much = rig_fill(300000);

	begin(&t);
	t.side.limits.minimum_rate = 1000;
	t.side.limits.minimum_rate_over_ns = 60000000;
	t.side.limits.request_body_ns = 60000000;
	t.side.keep_unconsumed = true;
	side_serve(&t.side, &t.rig, false);
	say(&t, "POST / HTTP/1.1\r\n" HOST "Content-Length: 300000\r\n\r\n");
	side_say(&t.side, span_of(much, 300000));
	rig_rest(&t.rig, 200);
	cr_assert_null(strstr(t.side.story, "aborted"));
	cr_assert_geq(t.side.num_unconsumed, 64u << 10);
	cr_assert_leq(t.side.num_unconsumed, 128u << 10);
	t.side.keep_unconsumed = false;
	stream_consumed(t.side.stream, t.side.num_unconsumed);
	t.side.num_unconsumed = 0;
	got(&t, "HTTP/1.1 200 OK\r\n");
	free(much);
	close_stage(&t);
}

Test(http1_server, a_body_cut_short_is_told)
{
	struct stage t;

	open_stage(&t);
	say_all(&t, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhel");
	told(&t, "aborted client_truncated");
	ended(&t);
	told(&t, "ended closed");
	close_stage(&t);
}

Test(http1_server, a_client_that_breaks_off_is_told_and_the_end_follows_release)
{
	struct stage t;

	open_stage(&t);
	t.side.answer = NULL;
	say(&t, GET);
	told(&t, "request GET");
	rig_reset(t.side.fd);
	t.side.fd = -1;
	told(&t, "aborted client_reset");
	told(&t, "ended client_reset");
	close_stage(&t);
}

Test(http1_server, an_early_answer_closes)
{
	struct stage t;

	open_stage(&t);
	t.side.answer = NULL;
	say(&t, "POST / HTTP/1.1\r\n" HOST "Content-Length: 50\r\n\r\nhel");
	told(&t, "data hel");
	side_respond(&t.side, 413, "big");
	got(&t, "Connection: close\r\n\r\nbig");
	say(&t, GET);
	ended(&t);
	cr_assert(t.side.got_eof);
	cr_assert_eq(t.side.num_requests, 1);
	close_stage(&t);
}

Test(http1_server, nobody_hears_of_a_body_after_stop_reading)
{
	struct stage t;

	open_stage(&t);
	t.side.answer = NULL;
	say(&t, "POST / HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nhel");
	told(&t, "data hel");
	stream_stop_reading(t.side.stream);
	say(&t, "lo, me");
	rig_rest(&t.rig, 20);
	side_respond(&t.side, 200, "ok");
	got(&t, "Connection: close\r\n\r\nok");
	ended(&t);
	cr_assert_null(strstr(t.side.story, "lo"));
	cr_assert_null(strstr(t.side.story, "end\n"));
	close_stage(&t);
}

/* ---- expectations */

static struct head *plain_head(unsigned status, int64_t length)
{
	struct head *h = head_new(0);

	cr_assert_not_null(h);
	h->status = (uint16_t)status;
	h->length = length;
	return h;
}

static void send_head(struct stage *t, unsigned status, int64_t length, bool end)
{
	struct head *h = plain_head(status, length);

	stream_send_head(t->side.stream, h, end);
	head_free(h);
}

static void send_informational(struct stage *t, unsigned status)
{
	struct head *h = plain_head(status, 0);

	stream_send_informational(t->side.stream, h);
	head_free(h);
}

Test(http1_server, who_expects_100_gets_it_once_and_its_time_begins_then)
{
	struct stage t;

	begin(&t);
	t.side.limits.request_body_ns = 60000000;
	side_serve(&t.side, &t.rig, false);
	say(&t, "POST / HTTP/1.1\r\n" HOST "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
	told(&t, " expect");
	rig_rest(&t.rig, 120);
	cr_assert_null(strstr(t.side.story, "aborted"));
	send_informational(&t, 100);
	send_informational(&t, 100);
	send_informational(&t, 103);
	got(&t, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n");
	say(&t, "hi");
	got(&t, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n");
	close_stage(&t);
}

Test(http1_server, a_final_answer_instead_of_100_closes)
{
	struct stage t;

	open_stage(&t);
	t.side.answer = NULL;
	say(&t, "POST / HTTP/1.1\r\n" HOST "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
	told(&t, " expect");
	side_respond(&t.side, 403, "no");
	got(&t, "Connection: close\r\n\r\nno");
	ended(&t);
	close_stage(&t);
}

/* ---- responses */

static void answer_head(struct stage *t, const char *request, unsigned status, int64_t length,
			bool end)
{
	open_stage(t);
	t->side.answer = NULL;
	say(t, request);
	told(t, "request ");
	send_head(t, status, length, end);
}

Test(http1_server, unknown_length_is_chunked_and_empty_data_ends_nothing)
{
	struct stage t;

	answer_head(&t, GET, 200, HEAD_UNKNOWN, false);
	cr_assert(stream_send_data(t.side.stream, span_str("hello")));
	cr_assert(stream_send_data(t.side.stream, span_str("")));
	cr_assert(stream_send_data(t.side.stream, span_str("0123456789abcdef")));
	stream_send_end(t.side.stream, NULL);
	side_release(&t.side);
	got(&t,
	    "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n");
	say(&t, GET);
	told(&t, "request GET a / 11 length=0 end\nrequest");
	close_stage(&t);
}

Test(http1_server, trailers_only_for_who_asked)
{
	for (int asked = 0; asked < 2; asked++) {
		struct stage t;
		struct head *trailers = plain_head(0, 0);

		head_add(trailers, span_str("T"), span_str("1"));
		head_add(trailers, span_str("Bad"), span_str("1\r\nX: y"));
		answer_head(&t, asked ? "GET / HTTP/1.1\r\n" HOST "TE: trailers\r\n\r\n" : GET, 200,
			    HEAD_UNKNOWN, false);
		stream_send_end(t.side.stream, trailers);
		side_release(&t.side);
		got(&t, asked ? "\r\n\r\n0\r\nT: 1\r\n\r\n" : "\r\n\r\n0\r\n\r\n");
		head_free(trailers);
		close_stage(&t);
	}
}

Test(http1_server, http_1_0_gets_neither_chunks_nor_interim_responses)
{
	struct stage t;

	open_stage(&t);
	t.side.answer = NULL;
	say(&t, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	told(&t, "request ");
	send_informational(&t, 103);
	send_head(&t, 200, HEAD_UNKNOWN, false);
	(void)stream_send_data(t.side.stream, span_str("hello"));
	stream_send_end(t.side.stream, NULL);
	side_release(&t.side);
	ended(&t);
	cr_assert_str_eq(t.side.got, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
	close_stage(&t);
}

Test(http1_server, http_1_0_is_kept_where_it_asks_for_it)
{
	struct stage t;

	open_stage(&t);
	say(&t, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	got(&t, "Content-Length: 3\r\nConnection: keep-alive\r\n\r\nok\n");
	say(&t, "GET / HTTP/1.0\r\n\r\n");
	got(&t, "Content-Length: 3\r\nConnection: close\r\n\r\nok\n");
	ended(&t);
	close_stage(&t);
}

Test(http1_server, no_body_where_there_is_none)
{
	static const struct {
		const char *request;
		unsigned status;
		int64_t length;
		const char *want;
	} cases[] = {
		{ "HEAD / HTTP/1.1\r\n" HOST "\r\n", 200, 7,
		  "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n" },
		{ "HEAD / HTTP/1.1\r\n" HOST "\r\n", 200, -1, "HTTP/1.1 200 OK\r\n\r\n" },
		{ GET, 204, 0, "HTTP/1.1 204 No Content\r\n\r\n" },
		{ GET, 304, 7, "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n" },
		{ GET, 304, -1, "HTTP/1.1 304 Not Modified\r\n\r\n" },
	};

	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		struct stage t;

		answer_head(&t, cases[i / 2].request, cases[i / 2].status, cases[i / 2].length,
			    i % 2 == 0);
		if (i % 2 == 1) { /* a user who sends a body all the same */
			(void)stream_send_data(t.side.stream, span_str("x"));
			stream_send_end(t.side.stream, NULL);
		}
		side_release(&t.side);
		t.side.answer = "ok\n";
		say(&t, GET);
		got(&t, "ok\n");
		cr_assert_eq(strncmp(t.side.got, cases[i / 2].want, strlen(cases[i / 2].want)), 0,
			     "%s", t.side.got);
		cr_assert_str_eq(t.side.got + strlen(cases[i / 2].want),
				 "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n");
		close_stage(&t);
	}
}

Test(http1_server, a_response_that_is_short_is_seen_to_be)
{
	for (int how = 0; how < 4; how++) {
		struct stage t;

		answer_head(&t, GET, 200, how == 3 ? HEAD_UNKNOWN : 5, false);
		(void)stream_send_data(t.side.stream, span_str("hel"));
		rig_rest(&t.rig, 1);
		if (how == 0) {
			stream_send_end(t.side.stream, NULL);
			told(&t, "aborted bad_response");
		} else if (how == 1) {
			t.side.is_open = false;
			stream_abort(t.side.stream, CAUSE_SERVER_CLOSED);
			told(&t, "ended server_closed");
		} else {
			side_release(&t.side);
			told(&t, "ended closed");
		}
		ended(&t);
		cr_assert(t.side.got_reset, "%d", how);
		told(&t, "ended");
		close_stage(&t);
	}
}

Test(http1_server, fields_that_would_break_the_head_are_left_out)
{
	struct stage t;
	struct head *h = plain_head(200, 0);

	open_stage(&t);
	t.side.answer = NULL;
	say(&t, GET);
	told(&t, "request ");
	head_add(h, span_str("A"), span_str("1\r\nB: 2"));
	head_add(h, span_str("A b"), span_str("1"));
	head_add(h, span_str("Connection"), span_str("x"));
	head_add(h, span_str("content-length"), span_str("9"));
	head_add(h, span_str("C"), span_str("3"));
	h->reason = span_str("a\r\nb");
	stream_send_head(t.side.stream, h, true);
	side_release(&t.side);
	head_free(h);
	got(&t, "\r\n\r\n");
	cr_assert_str_eq(t.side.got, "HTTP/1.1 200 OK\r\nC: 3\r\nContent-Length: 0\r\n\r\n");
	close_stage(&t);
}

Test(http1_server, who_does_not_read_is_waited_for_only_so_long)
{
	struct stage t;
	char *much = rig_fill(4 << 20);

	begin(&t);
	t.side.limits.response_write_ns = 100000000;
	side_serve(&t.side, &t.rig, true);
	t.side.answer = NULL;
	say(&t, GET);
	told(&t, "request ");
	send_head(&t, 200, 4 << 20, false);
	cr_assert_not(stream_send_data(t.side.stream, span_of(much, 4 << 20)));
	told(&t, "aborted response_write_timeout");
	told(&t, "ended response_write_timeout");
	free(much);
	close_stage(&t);
}

Test(http1_server, who_reads_slowly_gets_all)
{
	struct stage t;
	char *much = rig_fill(1 << 20);

	begin(&t);
	t.side.limits.response_write_ns = 500000000;
	side_serve(&t.side, &t.rig, true);
	t.side.answer = NULL;
	say(&t, GET);
	told(&t, "request ");
	send_head(&t, 200, 1 << 20, false);
	cr_assert_not(stream_send_data(t.side.stream, span_of(much, 1 << 20)));
	while (t.side.num_drained == 0) {
		(void)side_hear(&t.side);
		rig_rest(&t.rig, 1);
	}
	stream_send_end(t.side.stream, NULL);
	side_release(&t.side);
	(void)shutdown(t.side.fd, SHUT_WR);
	ended(&t);
	cr_assert(t.side.got_eof);
	cr_assert_eq(t.side.got_len,
		     (1 << 20) + strlen("HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n"));
	told(&t, "ended closed");
	free(much);
	close_stage(&t);
}

/* ---- tunnels */

#define WEBSOCKET "GET / HTTP/1.1\r\n" HOST "Connection: upgrade\r\nUpgrade: ws\r\n\r\n"

static void upgrade(struct stage *t)
{
	struct head *h = plain_head(101, 0);

	told(t, "upgrade=ws");
	h->upgrade = span_str("ws");
	stream_send_head(t->side.stream, h, false);
	head_free(h);
}

Test(http1_server, an_upgrade_makes_a_tunnel)
{
	struct stage t;

	open_stage(&t);
	t.side.answer = NULL;
	say(&t, WEBSOCKET "early");
	upgrade(&t);
	told(&t, "data early");
	(void)stream_send_data(t.side.stream, span_str("back"));
	got(&t,
	    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: ws\r\n\r\nback");
	say_all(&t, " GET");
	told(&t, "data early GET\nend\n");
	(void)stream_send_data(t.side.stream, span_str("!"));
	stream_send_end(t.side.stream, NULL);
	side_release(&t.side);
	got(&t, "back!");
	ended(&t);
	cr_assert(t.side.got_eof);
	told(&t, "ended closed");
	close_stage(&t);
}

Test(http1_server, a_silent_tunnel_ends)
{
	struct stage t;

	begin(&t);
	t.side.limits.tunnel_idle_ns = 60000000;
	t.side.answer = NULL;
	side_serve(&t.side, &t.rig, false);
	say(&t, WEBSOCKET);
	upgrade(&t);
	told(&t, "aborted idle_timeout");
	ended(&t);
	close_stage(&t);
}

Test(http1_server, an_upgrade_that_nobody_asked_for_is_not_made)
{
	struct stage t;
	struct head *h = plain_head(101, 0);

	open_stage(&t);
	t.side.answer = NULL;
	say(&t, GET);
	told(&t, "request ");
	h->upgrade = span_str("ws");
	stream_send_head(t.side.stream, h, false);
	head_free(h);
	told(&t, "aborted bad_response");
	ended(&t);
	cr_assert_eq(t.side.got_len, 0);
	close_stage(&t);
}

/* ---- the end of a connection */

Test(http1_server, between_requests_no_way_to_go_is_a_failure)
{
	struct stage t;

	open_stage(&t);
	say(&t, GET);
	got(&t, "ok\n");
	rig_reset(t.side.fd);
	t.side.fd = -1;
	told(&t, "ended closed");
	close_stage(&t);
	open_stage(&t);
	say(&t, "GET / HTTP/1.1\r\n");
	rig_rest(&t.rig, 10);
	rig_reset(t.side.fd);
	t.side.fd = -1;
	told(&t, "ended client_reset");
	close_stage(&t);
}

Test(http1_server, draining_ends_idle_connections_at_once)
{
	struct stage t;

	open_stage(&t);
	say(&t, GET);
	got(&t, "ok\n");
	cr_assert(http1_server_is_idle(t.side.server));
	http1_server_drain(t.side.server);
	ended(&t);
	cr_assert(t.side.got_eof);
	told(&t, "ended closed");
	close_stage(&t);
}

Test(http1_server, draining_gives_a_new_connection_the_time_to_ask)
{
	struct stage t;

	open_stage(&t);
	http1_server_drain(t.side.server);
	rig_rest(&t.rig, 50);
	say(&t, GET);
	got(&t, "Connection: close\r\n\r\nok\n");
	ended(&t);
	told(&t, "ended closed");
	close_stage(&t);
	/* Not for ever. */
	open_stage(&t);
	http1_server_drain(t.side.server);
	ended(&t);
	cr_assert(t.side.got_eof);
	told(&t, "ended closed");
	close_stage(&t);
}

Test(http1_server, a_head_that_begins_in_a_drain_has_its_whole_time)
{
	struct stage t;

	open_stage(&t);
	http1_server_drain(t.side.server);
	say(&t, "GET / HTTP/1.1\r\n");
	rig_rest(&t.rig, 1200);
	say(&t, HOST "\r\n");
	got(&t, "Connection: close\r\n\r\nok\n");
	ended(&t);
	close_stage(&t);
}

Test(http1_server, draining_lets_a_request_that_is_on_its_way_end)
{
	struct stage t;

	open_stage(&t);
	say(&t, "GET / HTTP/1.1\r\n");
	rig_rest(&t.rig, 10);
	cr_assert_not(http1_server_is_idle(t.side.server));
	http1_server_drain(t.side.server);
	rig_rest(&t.rig, 10);
	say(&t, HOST "\r\n");
	got(&t, "Connection: close\r\n\r\nok\n");
	ended(&t);
	close_stage(&t);
}

Test(http1_server, the_last_of_max_requests_closes)
{
	struct stage t;

	begin(&t);
	t.side.limits.max_requests = 2;
	side_serve(&t.side, &t.rig, false);
	say(&t, GET GET GET);
	ended(&t);
	cr_assert_eq(t.side.num_requests, 2);
	cr_assert_not_null(strstr(t.side.got, "Connection: close"));
	close_stage(&t);
}

static char free_at;
static bool abort_first;

static void free_in_event(struct side *s, char event)
{
	if (event != free_at || s->server == NULL || event == 'x')
		return;
	if (abort_first && s->is_open)
		stream_abort(s->stream, CAUSE_DRAIN);
	else
		http1_server_free(s->server), s->server = NULL;
	s->is_open = false;
}

Test(http1_server, it_may_be_given_up_in_each_event)
{
	static const char when[] = "qdefa";

	for (size_t i = 0; i < 2 * (sizeof(when) - 1); i++) {
		struct stage t;

		begin(&t);
		free_at = when[i / 2];
		abort_first = i % 2 == 1;
		t.side.then = free_in_event;
		side_serve(&t.side, &t.rig, false);
		say(&t, free_at == 'f' ? "x\n"
			: free_at == 'a'
				? "POST / HTTP/1.1\r\n" HOST
				  "Transfer-Encoding: chunked\r\n\r\n1\r\nxx"
				: "POST / HTTP/1.1\r\n" HOST
				  "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" GET);
		ended(&t);
		rig_rest(&t.rig, 10);
		cr_assert(t.side.server == NULL);
		close_stage(&t);
	}
}

Test(http1_server, a_crowd_of_pipelined_requests_is_served_in_bounded_memory)
{
	enum { MANY = 5000 };
	struct stage t;
	struct span request = span_str(GET);
	char *many = malloc(MANY * request.n);

	open_stage(&t);
	for (size_t i = 0; i < MANY; i++)
		memcpy(many + i * request.n, request.p, request.n);
	side_say(&t.side, span_of(many, MANY * request.n));
	(void)shutdown(t.side.fd, SHUT_WR);
	ended(&t);
	cr_assert_eq(t.side.num_requests, (unsigned)MANY);
	cr_assert(t.side.got_eof);
	free(many);
	close_stage(&t);
}
