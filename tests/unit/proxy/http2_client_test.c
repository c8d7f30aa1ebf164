/* The client's role of HTTP/2 on a real link, with a bare socket as the server. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/http2_side.h"
#include "tests/support/leap.h"

#define END NGHTTP2_FLAG_END_STREAM
#define SECOND INT64_C(1000000000)

struct stage {
	struct rig rig;
	struct h2_side side;
};

static struct stage *stage_new(void)
{
	struct stage *t = calloc(1, sizeof(*t));

	cr_assert_not_null(t);
	rig_init(&t->rig, false);
	h2_limits(&t->side);
	return t;
}

static struct stage *open_stage(void)
{
	struct stage *t = stage_new();

	h2_ask(&t->side, &t->rig, false);
	h2_begin(&t->side);
	return t;
}

static void close_stage(struct stage *t)
{
	h2_fini(&t->side);
	rig_fini(&t->rig);
	free(t);
}

#define heard(t, text)                                                                           \
	cr_assert(h2_until_heard(&(t)->side, text), "wanted <%s>, heard <%s>, story <%s>", text, \
		  (t)->side.heard, (t)->side.story)
#define told(t, text)                                                                           \
	cr_assert(h2_until_told(&(t)->side, text), "wanted <%s>, story <%s>, heard <%s>", text, \
		  (t)->side.story, (t)->side.heard)

static struct h2_user *get(struct stage *t)
{
	struct h2_user *u = h2_request(&t->side, "GET", "/", 0, true);

	cr_assert_not_null(u);
	return u;
}

static void release_at_end(struct h2_user *u, char event)
{
	if (event == 'e' || (event == 'h' && u->whole))
		h2_release(u);
}

Test(http2_client, requests_are_sent_and_answered_several_at_a_time)
{
	struct stage *t = open_stage();
	struct h2_side *s = &t->side;
	struct h2_user *u;

	s->then = release_at_end;
	(void)get(t);
	u = h2_request(s, "POST", "/p?q", 5, false);
	cr_assert_not_null(u);
	(void)stream_send_data(u->stream, span_str("hello"));
	stream_send_end(u->stream, NULL);
	heard(t, "SETTINGS 2=0 4=131072 6=65536\n");
	heard(t, "HEADERS 1 :method=GET :scheme=http :authority=a.example :path=/ END\n");
	heard(t, "HEADERS 3 :method=POST :scheme=http :authority=a.example :path=/p?q "
		 "content-length=5\nDATA 3 5 hello END\n");
	h2_headers(s, END, 3, ":status=204\n");
	h2_headers(s, 0, 1, ":status=103\nlink=a\n");
	h2_headers(s, 0, 1, ":status=200\ncontent-length=3\na=1\n");
	h2_data(s, 0, 1, "ok\n");
	h2_headers(s, END, 1, "grpc-status=0\n");
	h2_send(s);
	told(t, "#2 head 204 length=-1 end\n#1 informational 103\n  link=a\n"
		"#1 head 200 length=3\n  a=1\n#1 body 3 ok\n\n#1 end\n  grpc-status=0\nroom\n");
	cr_assert_eq(http2_client_num_streams(s->client), 0);
	http2_client_retire(s->client);
	told(t, "room\nended\n");
	close_stage(t);
}

static const char *const broken_heads[] = {
	"a=1\n",
	":status=20\n",
	":status=2000\n",
	":status=2x0\n",
	":status=099\n",
	":status=600\n",
	":status=101\n",
	":status=200\n:status=200\n",
	":status=200\n:path=/\n",
	"a=1\n:status=200\n",
	":status=200\nUpper=1\n",
	":status=200\na= 1\n",
	":status=200\na=1^2\n",
	":status=200\nconnection=close\n",
	":status=200\ntransfer-encoding=chunked\n",
	":status=200\nupgrade=websocket\n",
	":status=200\ncontent-length=1\ncontent-length=1\n",
	":status=200\ncontent-length=-1\n",
};

Test(http2_client, malformed_responses_are_stream_errors)
{
	struct stage *t = open_stage();
	uint32_t id = 1;

	for (size_t i = 0; i < sizeof(broken_heads) / sizeof(broken_heads[0]); i++, id += 2) {
		char want[64];

		(void)get(t);
		(void)snprintf(want, sizeof(want), "HEADERS %u ", id);
		heard(t, want);
		h2_headers(&t->side, 0, id, broken_heads[i]);
		h2_send(&t->side);
		(void)snprintf(want, sizeof(want), "RST %u PROTOCOL_ERROR\n", id);
		cr_assert(h2_until_heard(&t->side, want), "%s: %s", broken_heads[i], t->side.heard);
		(void)snprintf(want, sizeof(want), "#%u aborted bad_response: ", (unsigned)i + 1);
		told(t, want);
	}
	cr_assert(http2_client_is_usable(t->side.client));
	close_stage(t);
}

struct ending {
	const char *head, *body, *trailers;
	bool head_ends, body_ends;
	const char *story;
};
static const struct ending endings[] = {
	{ ":status=200\ncontent-length=5\n", "four", NULL, false, true, "shorter" },
	{ ":status=200\ncontent-length=5\n", "five++", NULL, false, false, "longer" },
	{ ":status=200\ncontent-length=5\n", NULL, NULL, true, false, "shorter" },
	{ ":status=200\ncontent-length=5\n", NULL, "a=1\n", false, false, "shorter" },
	{ ":status=200\n", "x", ":status=200\n", false, false, "aborted bad_response" },
	{ ":status=200\n", "x", "content-length=1\n", false, false, "aborted bad_response" },
	{ ":status=204\n", "x", NULL, false, true, "longer" },
	{ ":status=304\ncontent-length=1\n", "x", NULL, false, true, "longer" },
	{ ":status=100\n", NULL, NULL, true, false, "interim response that ends" },
	{ ":status=103\n", "x", NULL, false, false, "aborted bad_response" },
	{ NULL, "x", NULL, false, true, "aborted bad_response" },
	/* and those that are well-formed */
	{ ":status=304\ncontent-length=9\n", NULL, NULL, true, false, "head 304 length=9 end\n" },
	{ ":status=200\ncontent-length=0\n", NULL, NULL, true, false, "head 200 length=0 end\n" },
	{ ":status=200\n", "x", "a=1\n", false, false, "#1 body 1 x\n#1 end\n  a=1\n" },
	{ ":status=204\n", "", NULL, false, true, "#1 head 204 length=-1\n#1 end\n" },
};

Test(http2_client, bodies_keep_to_their_heads)
{
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		const struct ending *e = &endings[i];
		struct stage *t = open_stage();

		(void)get(t);
		heard(t, "HEADERS 1 ");
		if (e->head != NULL)
			h2_headers(&t->side, e->head_ends ? END : 0, 1, e->head);
		if (e->body != NULL)
			h2_data(&t->side, e->body_ends ? END : 0, 1, e->body);
		if (e->trailers != NULL)
			h2_headers(&t->side, END, 1, e->trailers);
		h2_send(&t->side);
		told(t, e->story);
		close_stage(t);
	}
}

Test(http2_client, a_head_request_has_a_length_and_no_body)
{
	struct stage *t = open_stage();

	cr_assert_not_null(h2_request(&t->side, "HEAD", "/", 0, true));
	heard(t, "HEADERS 1 :method=HEAD");
	h2_headers(&t->side, END, 1, ":status=200\ncontent-length=9\n");
	h2_send(&t->side);
	told(t, "#1 head 200 length=9 end\n");
	close_stage(t);
}

Test(http2_client, interim_responses_are_bounded)
{
	struct stage *t = open_stage();

	(void)get(t);
	heard(t, "HEADERS 1 ");
	for (int i = 0; i < 33; i++)
		h2_headers(&t->side, 0, 1, ":status=103\n");
	h2_send(&t->side);
	told(t, "#1 aborted bad_response: too many interim responses\n");
	heard(t, "RST 1 CANCEL\n");
	close_stage(t);
}

Test(http2_client, a_head_too_large_breaks_its_stream)
{
	struct stage *t = open_stage();
	char lines[6000];

	(void)snprintf(lines, sizeof(lines), ":status=200\na=%05000d\n", 1);
	(void)get(t);
	heard(t, "HEADERS 1 ");
	h2_headers(&t->side, END, 1, lines);
	h2_send(&t->side);
	told(t, "#1 aborted bad_response: the head is too large\n");
	cr_assert(http2_client_is_usable(t->side.client));
	close_stage(t);
}

/* ---- room */

Test(http2_client, no_more_streams_than_the_server_takes)
{
	struct stage *t = stage_new();
	struct h2_side *s = &t->side;

	h2_ask(s, &t->rig, false);
	h2_frame(s, NGHTTP2_SETTINGS, 0, 0, "\0\3\0\0\0\2", 6);
	h2_send(s);
	heard(t, "SETTINGS ACK\n");
	s->then = release_at_end;
	(void)get(t);
	(void)get(t);
	cr_assert(!http2_client_has_room(s->client));
	cr_assert_null(h2_request(s, "GET", "/", 0, true));
	heard(t, "HEADERS 3 ");
	h2_headers(s, END, 1, ":status=204\n");
	h2_send(s);
	told(t, "#1 head 204 length=-1 end\nroom\n");
	(void)get(t);
	heard(t, "HEADERS 5 ");
	cr_assert(!http2_client_has_room(s->client));
	s->num_room = 0;
	h2_frame(s, NGHTTP2_SETTINGS, 0, 0, "\0\3\0\0\0\5", 6);
	h2_send(s);
	while (s->num_room == 0)
		rig_rest(&t->rig, 5);
	cr_assert(http2_client_has_room(s->client));
	close_stage(t);
}

Test(http2_client, what_the_server_did_not_take_may_be_sent_again)
{
	struct stage *t = open_stage();
	struct h2_side *s = &t->side;

	for (int i = 0; i < 4; i++)
		(void)get(t);
	heard(t, "HEADERS 7 ");
	h2_u32(s, NGHTTP2_RST_STREAM, 1, NGHTTP2_REFUSED_STREAM);
	h2_u32(s, NGHTTP2_RST_STREAM, 5, NGHTTP2_INTERNAL_ERROR);
	h2_frame(s, NGHTTP2_GOAWAY, 0, 0, "\0\0\0\5\0\0\0\0", 8);
	h2_send(s);
	told(t, "#1 aborted server_refused_stream: the server did not take the request\n");
	told(t, "#3 aborted server_reset: the stream was reset\n");
	told(t, "#4 aborted server_refused_stream: the server did not take the request\n");
	cr_assert(!http2_client_is_usable(s->client));
	cr_assert_null(http2_client_open(s->client, &s->client_limits));
	s->then = release_at_end;
	h2_headers(s, END, 3, ":status=204\n"); /* the one that it did take */
	h2_send(s);
	told(t, "#2 head 204 length=-1 end\nended\n");
	close_stage(t);
}

Test(http2_client, answered_is_a_streams_own)
{
	struct stage *t = open_stage();
	struct h2_user *a = get(t), *b = get(t);

	heard(t, "HEADERS 3 ");
	h2_headers(&t->side, 0, 3, ":status=100\n");
	h2_send(&t->side);
	told(t, "#2 informational 100\n");
	cr_assert(!http2_client_answered(a->stream));
	cr_assert(http2_client_answered(b->stream));
	close_stage(t);
}

/* ---- the ends */

Test(http2_client, what_is_given_up_is_cancelled)
{
	struct stage *t = open_stage();
	struct h2_user *a = get(t), *b = get(t), *c = h2_request(&t->side, "PUT", "/", 9, false);
	struct stream *untouched = http2_client_open(t->side.client, &t->side.client_limits);

	heard(t, "HEADERS 5 ");
	h2_release(a);
	b->is_open = false;
	stream_abort(b->stream, CAUSE_CLIENT_GONE);
	h2_release(c);
	stream_release(untouched);
	heard(t, "RST 1 CANCEL\nRST 3 CANCEL\nRST 5 CANCEL\n");
	while (http2_client_num_streams(t->side.client) > 0)
		rig_rest(&t->rig, 2);
	/* It had not heard of it: ignored. */
	h2_headers(&t->side, 0, 1, ":status=200\n");
	h2_data(&t->side, END, 1, "late");
	h2_send(&t->side);
	rig_rest(&t->rig, 20);
	cr_assert(http2_client_is_usable(t->side.client));
	close_stage(t);
}

Test(http2_client, a_response_before_the_request_is_whole_needs_no_more)
{
	struct stage *t = open_stage();
	struct h2_user *u = h2_request(&t->side, "PUT", "/", HEAD_UNKNOWN, false);

	(void)stream_send_data(u->stream, span_str("some"));
	heard(t, "DATA 1 4 some\n");
	h2_headers(&t->side, END, 1, ":status=413\n");
	h2_u32(&t->side, NGHTTP2_RST_STREAM, 1, NGHTTP2_NO_ERROR);
	h2_send(&t->side);
	told(t, "#1 head 413 length=-1 end\n");
	rig_rest(&t->rig, 10);
	cr_assert_null(strstr(t->side.story, "aborted"), "%s", t->side.story);
	cr_assert(stream_send_data(u->stream, span_str("more"))); /* goes nowhere */
	h2_release(u);
	close_stage(t);
}

Test(http2_client, requests_with_trailers)
{
	struct stage *t = open_stage();
	struct h2_user *u = h2_request(&t->side, "POST", "/", HEAD_UNKNOWN, false);
	struct head *h = head_new(0);

	cr_assert_not_null(h);
	head_add(h, span_str("X-Sum"), span_str("1"));
	(void)stream_send_data(u->stream, span_str("body"));
	stream_send_end(u->stream, h);
	head_free(h);
	heard(t, "DATA 1 4 body\nHEADERS 1 x-sum=1 END\n");
	close_stage(t);
}

Test(http2_client, a_server_that_goes_aborts_what_is_open)
{
	struct stage *t = open_stage();

	(void)get(t);
	heard(t, "HEADERS 1 ");
	rig_reset(t->side.fd);
	t->side.fd = -1;
	told(t, "#1 aborted server_reset: \nended\n");
	close_stage(t);
}

Test(http2_client, an_idle_connection_that_the_server_closes_ends)
{
	struct stage *t = open_stage();

	(void)close(t->side.fd);
	t->side.fd = -1;
	told(t, "ended\n");
	close_stage(t);
}

static void say_push(struct h2_side *s)
{
	h2_frame(s, NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, 1, "\0\0\0\2\x82\x87\x84", 7);
}

static void say_headers_on_even(struct h2_side *s)
{
	h2_headers(s, END, 2, ":status=200\n");
}

static void say_headers_on_idle(struct h2_side *s)
{
	h2_headers(s, END, 7, ":status=200\n");
}

static void say_headers_on_closed(struct h2_side *s)
{
	h2_headers(s, END, 1, ":status=204\n");
	h2_headers(s, END, 1, ":status=204\n");
}

static void say_http1(struct h2_side *s)
{
	h2_raw(s, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
}

static void (*const wrongs[])(struct h2_side *s) = {
	say_push, say_headers_on_even, say_headers_on_idle, say_headers_on_closed, say_http1,
};

Test(http2_client, a_server_that_breaks_the_rules_loses_its_connection)
{
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		struct stage *t = open_stage();

		(void)get(t);
		heard(t, "HEADERS 1 ");
		t->side.then = release_at_end;
		wrongs[i](&t->side);
		h2_send(&t->side);
		told(t, "ended\n");
		heard(t, "GOAWAY ");
		close_stage(t);
	}
}

/* ---- windows */

static void keep(struct h2_user *u, char event)
{
	(void)u;
	(void)event;
}

Test(http2_client, the_window_opens_as_bodies_are_consumed)
{
	struct stage *t = open_stage();
	struct h2_side *s = &t->side;
	char *body = rig_fill(16384);
	struct h2_user *u;

	s->then = keep;
	s->keeps = true;
	u = get(t);
	heard(t, "HEADERS 1 ");
	s->connection_opened = 0;
	h2_headers(s, 0, 1, ":status=200\n");
	for (int i = 0; i < 8; i++)
		h2_frame(s, NGHTTP2_DATA, 0, 1, body, 16384);
	h2_send(s);
	while (u->num_bytes < 128 << 10)
		rig_rest(&t->rig, 2);
	(void)h2_hear(s);
	cr_assert_eq(s->stream_opened, 0);
	h2_consume(u);
	rig_rest(&t->rig, 10);
	(void)h2_hear(s);
	cr_assert_eq(s->stream_opened, 128 << 10);
	free(body);
	close_stage(t);
}

Test(http2_client, a_request_waits_for_the_window)
{
	struct stage *t = open_stage();
	struct h2_side *s = &t->side;
	struct h2_user *u = h2_request(s, "POST", "/", HEAD_UNKNOWN, false);
	char *body = rig_fill(16384);
	size_t sent = 0;

	while (stream_send_data(u->stream, span_of(body, 16384))) {
		sent += 16384;
		rig_rest(&t->rig, 1);
		cr_assert_lt(sent, 1 << 20);
	}
	rig_rest(&t->rig, 20);
	(void)h2_hear(s);
	cr_assert_eq(s->data_heard, 65535);
	h2_u32(s, NGHTTP2_WINDOW_UPDATE, 1, 1 << 20);
	h2_u32(s, NGHTTP2_WINDOW_UPDATE, 0, 1 << 20);
	h2_send(s);
	while (u->num_drained == 0)
		rig_rest(&t->rig, 2);
	free(body);
	close_stage(t);
}

/* ---- times */

static struct stage *stage_in_haste(void)
{
	struct stage *t = open_stage();

	t->side.client_limits.response_head_ns = SECOND / 5;
	t->side.client_limits.idle_ns = SECOND / 5;
	return t;
}

Test(http2_client, no_response_comes)
{
	struct stage *t = stage_in_haste();

	(void)get(t);
	told(t, "#1 aborted response_timeout: no response came\n");
	heard(t, "RST 1 CANCEL\n");
	cr_assert(http2_client_is_usable(t->side.client));
	close_stage(t);
}

Test(http2_client, a_body_that_stops)
{
	struct stage *t = stage_in_haste();

	(void)get(t);
	heard(t, "HEADERS 1 ");
	h2_headers(&t->side, 0, 1, ":status=200\n");
	h2_data(&t->side, 0, 1, "a");
	h2_send(&t->side);
	told(t, "#1 body 1 a\n#1 aborted server_idle_timeout: the response's body stopped\n");
	close_stage(t);
}

Test(http2_client, a_server_that_takes_no_request)
{
	struct stage *t = stage_in_haste();
	struct h2_user *u = h2_request(&t->side, "POST", "/", HEAD_UNKNOWN, false);
	char *body = rig_fill(400000);

	cr_assert(!stream_send_data(u->stream, span_of(body, 400000)));
	told(t, "#1 aborted server_idle_timeout: the window stayed shut\n");
	free(body);
	close_stage(t);
}

Test(http2_client, a_server_that_is_silent_is_asked_whether_it_lives)
{
	struct stage *t = open_stage();
	struct h2_side *s = &t->side;

	rig_rest(&t->rig, 5);
	leap(31 * SECOND);
	heard(t, "PING\n");
	rig_rest(&t->rig, 20);
	cr_assert(http2_client_is_usable(s->client));
	close_stage(t);
}

Test(http2_client, and_if_it_does_not_that_is_the_end)
{
	struct stage *t = open_stage();
	struct h2_side *s = &t->side;

	rig_rest(&t->rig, 5);
	leap(31 * SECOND);
	rig_rest(&t->rig, 5);
	leap(11 * SECOND);
	for (int i = 0; i < 50 && !s->ended; i++)
		rig_rest(&t->rig, 5);
	cr_assert(s->ended);
	close_stage(t);
}
