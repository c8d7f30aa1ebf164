/* The client's role of HTTP/1 on a real link, with a bare socket as the server; and both roles
 * with each other. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/http1_side.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

struct stage {
	struct rig rig;
	struct side side;
};

static void begin(struct stage *t)
{
	*t = (struct stage){ 0 };
	rig_init(&t->rig, false);
	side_limits(&t->side);
}

static void open_stage(struct stage *t)
{
	begin(t);
	side_ask(&t->side, &t->rig, false);
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

static void hang_up(struct stage *t)
{
	(void)close(t->side.fd);
	t->side.fd = -1;
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

static void get(struct stage *t)
{
	cr_assert(side_request(&t->side, "GET", "/", 0, true));
	got(t, "\r\n\r\n");
}

/* ---- requests */

Test(http1_client, requests_are_said_afresh)
{
	static const struct {
		const char *method;
		int64_t length;
		bool end;
		const char *want;
	} cases[] = {
		{ "GET", 0, true, "GET /p?q HTTP/1.1\r\nHost: a.example\r\n\r\n" },
		{ "GET", 5, true, "GET /p?q HTTP/1.1\r\nHost: a.example\r\n\r\n" },
		{ "GET", 0, false, "GET /p?q HTTP/1.1\r\nHost: a.example\r\n\r\n" },
		{ "DELETE", HEAD_UNKNOWN, true, "DELETE /p?q HTTP/1.1\r\nHost: a.example\r\n\r\n" },
		{ "POST", 0, true,
		  "POST /p?q HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n" },
		{ "PUT", 5, false,
		  "PUT /p?q HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello" },
		{ "PUT", HEAD_UNKNOWN, false,
		  "PUT /p?q HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "5\r\nhello\r\n0\r\n\r\n" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stage t;

		open_stage(&t);
		cr_assert(side_request(&t.side, cases[i].method, "/p?q", cases[i].length,
				       cases[i].end));
		if (!cases[i].end && cases[i].length != 0)
			cr_assert(stream_send_data(t.side.stream, span_str("hello")));
		if (!cases[i].end)
			stream_send_end(t.side.stream, NULL);
		got(&t, cases[i].want);
		cr_assert_str_eq(t.side.got, cases[i].want);
		say(&t, OK);
		told(&t, "end\n");
		side_release(&t.side);
		told(&t, "idle");
		cr_assert(side_request(&t.side, "GET", "/2", 0, true));
		got(&t, "GET /2 ");
		close_stage(&t);
	}
}

Test(http1_client, what_the_head_says_of_the_connection)
{
	struct stage t;
	struct head *h = head_new(0);
	struct head *trailers = head_new(0);

	open_stage(&t);
	h->method = METHOD_POST;
	h->method_name = span_str("POST");
	h->path = span_str("/");
	h->authority = span_str("a");
	h->length = HEAD_UNKNOWN;
	h->te_trailers = true;
	h->expect_continue = true;
	head_add(h, span_str("Transfer-Encoding"), span_str("gzip"));
	head_add(h, span_str("Host"), span_str("b"));
	head_add(h, span_str("X"), span_str("y"));
	head_add(trailers, span_str("T"), span_str("1"));
	t.side.stream = http1_client_open(t.side.client, &t.side.client_limits);
	stream_send_head(t.side.stream, h, false);
	stream_send_end(t.side.stream, trailers);
	got(&t, "0\r\nT: 1\r\n\r\n");
	cr_assert_str_eq(t.side.got, "POST / HTTP/1.1\r\nHost: a\r\nX: y\r\nTE: trailers\r\n"
				     "Connection: TE\r\nTransfer-Encoding: chunked\r\n"
				     "Expect: 100-continue\r\n\r\n0\r\nT: 1\r\n\r\n");
	head_free(h);
	head_free(trailers);
	close_stage(&t);
}

Test(http1_client, a_request_that_cannot_be_said_is_not)
{
	static const char *const paths[] = { "/a b", "/\r\nX: y", "", "/\x80" };

	for (size_t i = 0; i < 4; i++) {
		struct stage t;

		open_stage(&t);
		cr_assert(side_request(&t.side, "GET", paths[i], 0, true));
		told(&t, "aborted bad_request");
		told(&t, "ended");
		ended(&t);
		cr_assert_eq(t.side.got_len, 0);
		close_stage(&t);
	}
}

Test(http1_client, a_request_that_is_short_is_seen_to_be)
{
	struct stage t;

	open_stage(&t);
	cr_assert(side_request(&t.side, "PUT", "/", 5, false));
	(void)stream_send_data(t.side.stream, span_str("hel"));
	stream_send_end(t.side.stream, NULL);
	told(&t, "aborted bad_request");
	ended(&t);
	cr_assert(t.side.got_reset);
	close_stage(&t);
}

/* ---- responses, cut at every place */

struct answer {
	const char *method, *text, *story;
	bool close; /* the server closes after it */
};

static const struct answer answers[] = {
	{ "GET", OK, "head 200 OK length=2\ndata ok\nend\nidle\n", false },
	{ "GET", "HTTP/1.1 200\r\nA: b\r\nConnection: x\r\nX: y\r\nContent-Length: 0\r\n\r\n",
	  "head 200  length=0 end\n  A=b\nidle\n", false },
	{ "GET",
	  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\nT: 1\r\n\r\n",
	  "head 200 OK length=-1\ndata ok\nend\n  T=1\nidle\n", false },
	{ "GET", "HTTP/1.1 103 E\r\nL: 1\r\n\r\nHTTP/1.1 100 C\r\n\r\n" OK,
	  "informational 103\n  L=1\ninformational 100\nhead 200 OK length=2\ndata ok\nend\nidle\n",
	  false },
	{ "GET", "HTTP/1.1 104 U\r\nContent-Length: 0\r\n\r\n" OK,
	  "informational 104\nhead 200 OK length=2\ndata ok\nend\nidle\n", false },
	{ "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
	  "head 200 OK length=5 end\nidle\n", false },
	{ "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	  "head 200 OK length=-1 end\nidle\n", false },
	{ "GET", "HTTP/1.1 204 N\r\nContent-Length: 5\r\n\r\n", "head 204 N length=-1 end\nidle\n",
	  false },
	{ "GET", "HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n", "head 304 N length=5 end\nidle\n",
	  false },
	{ "GET", "HTTP/1.1 200 OK\r\n\r\nuntil the end",
	  "head 200 OK length=-1\ndata until the end\nend\nended\n", true },
	{ "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
	  "head 200 OK length=2\ndata ok\nend\nended\n", false },
	{ "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
	  "head 200 OK length=2\ndata ok\nend\nidle\n", false },
	{ "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
	  "head 200 OK length=2\ndata ok\nend\nended\n", false },
	/* and what is none */
	{ "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no",
	  "head 200 OK length=2\ndata o\naborted server_closed: the response's body ended early\n"
	  "ended\n",
	  true },
	{ "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n",
	  "head 200 OK length=-1\ndata o\naborted server_closed: the response's body ended early\n"
	  "ended\n",
	  true },
	{ "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1,x\r\no\r\n0\r\n\r\n",
	  "head 200 OK length=-1\naborted bad_response: malformed chunk\nended\n", false },
	{ "GET", "HTTP/1.1 200 O",
	  "aborted server_closed: the response's head ended early\nended\n", true },
	{ "GET", "", "aborted server_closed: closed before a response\nended\n", true },
	{ "GET", "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: ws\r\n\r\n",
	  "aborted bad_response: an upgrade that nobody asked for\nended\n", false },
	{ "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
	  "aborted bad_response: contradictory or malformed length\nended\n", false },
	{ "GET", "SSH-2.0-x\r\n", "aborted bad_response: no status line\nended\n", false },
};

static void release_at_end(struct side *s, char event)
{
	if ((event == 'e' || event == 'h') && s->whole && s->is_open)
		side_release(s);
}

static void converse(const struct answer *a, size_t at, char *story)
{
	struct stage t;

	open_stage(&t);
	t.side.then = release_at_end;
	cr_assert(side_request(&t.side, a->method, "/", 0, true));
	got(&t, "\r\n\r\n");
	side_say(&t.side, span_of(a->text, at));
	rig_settle(&t.rig);
	side_say(&t.side, span_of(a->text + at, strlen(a->text) - at));
	if (a->close)
		hang_up(&t);
	(void)side_until_story(&t.side, strstr(a->story, "ended\n") != NULL ? "ended\n" : "idle\n");
	(void)snprintf(story, SIDE_STORY, "%s", t.side.story);
	close_stage(&t);
}

Test(http1_client, where_the_response_is_cut_changes_nothing)
{
	static char story[SIDE_STORY];

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		for (size_t at = 0; at <= strlen(answers[i].text); at++) {
			converse(&answers[i], at, story);
			cr_assert_str_eq(story, answers[i].story, "%zu at %zu: <%s> <%s>", i, at,
					 story, answers[i].story);
		}
	}
}

Test(http1_client, bytes_behind_a_response_throw_the_connection_away)
{
	struct stage t;

	open_stage(&t);
	get(&t);
	say(&t, OK "HTTP/1.1 200 OK\r\n");
	told(&t, "end\n");
	side_release(&t.side);
	told(&t, "ended");
	cr_assert_eq(t.side.num_idle, 0);
	close_stage(&t);
}

Test(http1_client, bytes_on_an_idle_connection_throw_it_away)
{
	struct stage t;

	open_stage(&t);
	get(&t);
	say(&t, OK);
	told(&t, "end\n");
	side_release(&t.side);
	told(&t, "idle");
	say(&t, "x");
	told(&t, "ended");
	close_stage(&t);
}

Test(http1_client, an_idle_connection_that_the_server_closes_ends)
{
	struct stage t;

	open_stage(&t);
	hang_up(&t);
	told(&t, "ended");
	close_stage(&t);
}

Test(http1_client, it_tells_whether_a_request_may_have_been_seen)
{
	struct stage t;

	open_stage(&t);
	get(&t);
	cr_assert_not(stream_answered(t.side.stream));
	say(&t, "H");
	rig_rest(&t.rig, 10);
	cr_assert(stream_answered(t.side.stream));
	close_stage(&t);
}

Test(http1_client, endless_interim_responses_break_it)
{
	struct stage t;

	open_stage(&t);
	get(&t);
	for (int i = 0; i < 40; i++)
		say(&t, "HTTP/1.1 102 P\r\n\r\n");
	told(&t, "aborted bad_response: too many interim responses");
	close_stage(&t);
	open_stage(&t);
	get(&t);
	for (int i = 0; i < 5; i++) {
		char text[1200];

		(void)snprintf(text, sizeof(text), "HTTP/1.1 102 P\r\nA: %01000d\r\n\r\n", 0);
		say(&t, text);
	}
	told(&t, "aborted bad_response: too many interim responses");
	close_stage(&t);
}

Test(http1_client, a_response_that_comes_before_the_request_is_whole)
{
	struct stage t;

	open_stage(&t);
	cr_assert(side_request(&t.side, "PUT", "/", 50, false));
	(void)stream_send_data(t.side.stream, span_str("hello"));
	say(&t, OK);
	told(&t, "end\n");
	side_release(&t.side);
	told(&t, "ended");
	cr_assert_eq(t.side.num_idle, 0);
	close_stage(&t);
}

/* ---- times and windows */

Test(http1_client, a_response_that_does_not_come)
{
	struct stage t;

	begin(&t);
	t.side.client_limits.response_head_ns = 60000000;
	side_ask(&t.side, &t.rig, false);
	get(&t);
	say(&t, "HTTP/1.1 100 C\r\n\r\nHTTP/1.1");
	told(&t, "aborted response_timeout");
	close_stage(&t);
}

Test(http1_client, the_response_is_due_from_the_last_byte_of_the_request)
{
	struct stage t;

	begin(&t);
	t.side.client_limits.response_head_ns = 60000000;
	side_ask(&t.side, &t.rig, false);
	cr_assert(side_request(&t.side, "PUT", "/", 5, false));
	rig_rest(&t.rig, 150);
	cr_assert_null(strstr(t.side.story, "aborted"));
	(void)stream_send_data(t.side.stream, span_str("hello"));
	stream_send_end(t.side.stream, NULL);
	told(&t, "aborted response_timeout");
	close_stage(&t);
}

Test(http1_client, a_body_that_stops)
{
	struct stage t;

	begin(&t);
	t.side.client_limits.idle_ns = 60000000;
	side_ask(&t.side, &t.rig, false);
	get(&t);
	say(&t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
	told(&t, "aborted server_idle_timeout");
	close_stage(&t);
}

static uint64_t sent_by_then;

static void look_at_the_end(struct side *s, char event)
{
	struct link_facts facts;

	if (event != 'x')
		return;
	link_facts(s->link, &facts);
	sent_by_then = facts.bytes_sent;
}

Test(http1_client, a_link_that_was_broken_off_can_still_be_asked)
{
	struct stage t;

	begin(&t);
	t.side.client_limits.idle_ns = 60000000;
	t.side.then = look_at_the_end;
	side_ask(&t.side, &t.rig, false);
	get(&t);
	say(&t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
	ended(&t);
	cr_assert_eq(sent_by_then, strlen(t.side.got));
	close_stage(&t);
}

Test(http1_client, a_server_that_does_not_read)
{
	struct stage t;
	char *much = rig_fill(4 << 20);

	begin(&t);
	t.side.client_limits.idle_ns = 100000000;
	side_ask(&t.side, &t.rig, true);
	cr_assert(side_request(&t.side, "PUT", "/", 4 << 20, false));
	cr_assert_not(stream_send_data(t.side.stream, span_of(much, 4 << 20)));
	told(&t, "aborted server_idle_timeout");
	free(much);
	close_stage(&t);
}

Test(http1_client, what_is_not_consumed_stops_it_and_makes_no_server_slow)
{
	struct stage t;
	char *much = rig_fill(300000);

	begin(&t);
	t.side.client_limits.idle_ns = 100000000;
	t.side.keep_unconsumed = true;
	side_ask(&t.side, &t.rig, false);
	get(&t);
	say(&t, "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n");
	side_say(&t.side, span_of(much, 300000));
	rig_rest(&t.rig, 250);
	cr_assert_null(strstr(t.side.story, "aborted"));
	cr_assert_leq(t.side.num_unconsumed, 128u << 10);
	t.side.keep_unconsumed = false;
	stream_consumed(t.side.stream, t.side.num_unconsumed);
	t.side.num_unconsumed = 0;
	rig_rest(&t.rig, 20);
	cr_assert(t.side.whole);
	free(much);
	close_stage(&t);
}

/* ---- tunnels */

static void ask_upgrade(struct stage *t)
{
	t->side.upgrade = "ws";
	cr_assert(side_request(&t->side, "GET", "/", 0, true));
	got(t, "Upgrade: ws\r\nConnection: upgrade\r\n\r\n");
}

Test(http1_client, an_upgrade_makes_a_tunnel)
{
	struct stage t;

	open_stage(&t);
	ask_upgrade(&t);
	say(&t, "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: WS\r\n\r\nhi");
	told(&t, "head 101 S length=-1 upgrade=WS\ndata hi");
	(void)stream_send_data(t.side.stream, span_str("ho"));
	got(&t, "\r\n\r\nho");
	stream_send_end(t.side.stream, NULL);
	ended(&t);
	say(&t, "!");
	told(&t, "data hi!");
	hang_up(&t);
	told(&t, "end\n");
	rig_rest(&t.rig, 10);
	side_release(&t.side);
	told(&t, "ended");
	close_stage(&t);
}

Test(http1_client, an_upgrade_to_something_else_is_none)
{
	struct stage t;

	open_stage(&t);
	ask_upgrade(&t);
	say(&t, "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n");
	told(&t, "aborted bad_response");
	close_stage(&t);
}

/* ---- giving it up */

static char free_at;
static bool abort_first;

static void free_in_event(struct side *s, char event)
{
	if (event != free_at || s->client == NULL || event == 'x')
		return;
	if (abort_first && s->is_open)
		stream_abort(s->stream, CAUSE_DRAIN);
	else
		http1_client_free(s->client), s->client = NULL;
	s->is_open = false;
}

Test(http1_client, it_may_be_given_up_in_each_event)
{
	static const char when[] = "ihdea";

	for (size_t i = 0; i < 2 * (sizeof(when) - 1); i++) {
		struct stage t;

		free_at = when[i / 2];
		abort_first = i % 2 == 1;
		open_stage(&t);
		t.side.then = free_in_event;
		get(&t);
		say(&t, free_at == 'a' ? "x\n" : "HTTP/1.1 103 E\r\n\r\n" OK);
		ended(&t);
		rig_rest(&t.rig, 10);
		cr_assert(t.side.client == NULL);
		close_stage(&t);
	}
}

Test(http1_client, a_websocket_by_extended_connect_gets_a_key)
{
	struct stage t;
	struct stream *stream;
	struct head *h = head_new(0);

	cr_assert_not_null(h);
	open_stage(&t);
	h->method = METHOD_GET;
	h->method_name = span_str("GET");
	h->authority = span_str("a");
	h->path = span_str("/");
	h->upgrade = span_str("websocket");
	h->extended_connect = true;
	head_add(h, span_str("sec-websocket-version"), span_str("13"));
	stream = http1_client_open(t.side.client, &t.side.client_limits);
	cr_assert_not_null(stream);
	stream_send_head(stream, h, true);
	head_free(h);
	got(&t, "Upgrade: websocket\r\nSec-WebSocket-Key: ");
	cr_assert_eq(strcspn(strstr(t.side.got, "Key: ") + 5, "\r"), 24, "%s", t.side.got);
	got(&t, "Connection: upgrade\r\n\r\n");
	stream_release(stream);
	close_stage(&t);
}
