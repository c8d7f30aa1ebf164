/* The server's role of HTTP/2 on a real link: exchanges, tunnels, priorities and ends. */
#include "tests/unit/proxy/http2_stage.h"

Test(http2_server, requests_are_answered)
{
	struct stage *t = open_stage();

	h2_headers(&t->side, END, 1, GET "a=1\n");
	h2_send(&t->side);
	heard(t, "HEADERS 1 :status=200 content-length=2\nDATA 1 2 ok END\n");
	told(t, "#1 request GET https://a.example / 20 length=0 end\n  a=1\n");
	h2_headers(&t->side, 0, 3, POST "content-length=5\n");
	h2_data(&t->side, END, 3, "hello");
	h2_send(&t->side);
	told(t, "#2 request POST https://a.example / 20 length=5\n#2 body 5 hello\n#2 end\n");
	heard(t, "DATA 3 2 ok END\n");
	(void)close(t->side.fd);
	t->side.fd = -1;
	told(t, "ended closed");
	close_stage(t);
}

/* ---- responses */

static void respond_in_parts(struct h2_user *u, char event)
{
	struct head *h;

	if (event != 'q')
		return;
	h = head_new(0);
	cr_assert_not_null(h);
	h->status = 103;
	head_add(h, span_str("Link"), span_str("</a>"));
	stream_send_informational(u->stream, h);
	h->status = 200;
	h->length = HEAD_UNKNOWN;
	head_add(h, span_str("Keep-Alive"), span_str("1"));
	stream_send_head(u->stream, h, false);
	cr_assert(stream_send_data(u->stream, span_str("body")));
	h->num = 0;
	head_add(h, span_str("Grpc-Status"), span_str("0"));
	stream_send_end(u->stream, h);
	head_free(h);
	u->sent = true;
	h2_release(u);
}

Test(http2_server, interim_responses_and_trailers_are_sent)
{
	struct stage *t = open_stage();

	t->side.then = respond_in_parts;
	h2_headers(&t->side, END, 1, GET);
	h2_send(&t->side);
	heard(t, "HEADERS 1 :status=103 link=</a>\nHEADERS 1 :status=200 link=</a>\n"
		 "DATA 1 4 body\nHEADERS 1 grpc-status=0 END\n");
	close_stage(t);
}

static void respond_large(struct h2_user *u, char event)
{
	enum { LARGE = 100000 };
	struct head *h = event == 'q' ? head_new(0) : NULL;
	char *value = rig_fill(LARGE);

	if (h != NULL) {
		memset(value, 'v', LARGE);
		h->status = 200;
		head_add(h, span_str("a"), span_of(value, LARGE));
		stream_send_head(u->stream, h, true);
		head_free(h);
		u->sent = true;
		h2_release(u);
	}
	free(value);
}

Test(http2_server, a_head_of_many_frames_is_sent)
{
	enum { ROOM = 64 << 10, AT_LEAST = 80000 };
	struct stage *t = open_stage();
	char *buf = malloc(ROOM);
	size_t sum = 0;

	cr_assert_not_null(buf);
	t->side.then = respond_large;
	h2_headers(&t->side, END, 1, GET);
	h2_send(&t->side);
	for (int i = 0; i < 100 && sum < AT_LEAST; i++) {
		ssize_t n = recv(t->side.fd, buf, ROOM, MSG_DONTWAIT);

		if (n > 0)
			sum += (size_t)n;
		else
			rig_rest(&t->rig, 2);
	}
	cr_assert_geq(sum, AT_LEAST);
	free(buf);
	close_stage(t);
}

static void respond_204(struct h2_user *u, char event)
{
	if (event != 'q')
		return;
	h2_send_head(u,
		     u->number == 1   ? 204
		     : u->number == 2 ? 304
				      : 200,
		     u->number == 1 ? HEAD_UNKNOWN : 7, u->number == 2);
	(void)stream_send_data(u->stream, span_str("nothing"));
	stream_send_end(u->stream, NULL);
	h2_release(u);
}

Test(http2_server, what_has_no_body_ends_with_its_head)
{
	struct stage *t = open_stage();

	t->side.then = respond_204;
	h2_headers(&t->side, END, 1, GET);
	h2_headers(&t->side, END, 3, GET);
	h2_headers(&t->side, END, 5, ":method=HEAD\n:scheme=https\n:authority=a\n:path=/\n");
	h2_send(&t->side);
	heard(t, "HEADERS 1 :status=204 END\nHEADERS 3 :status=304 content-length=7 END\n"
		 "HEADERS 5 :status=200 content-length=7 END\n");
	close_stage(t);
}

static void answer_early(struct h2_user *u, char event)
{
	if (event == 'q')
		h2_respond(u, 200, "early");
}

Test(http2_server, an_early_response_asks_for_no_more)
{
	struct stage *t = open_stage();

	t->side.then = answer_early;
	h2_headers(&t->side, 0, 1, POST);
	h2_send(&t->side);
	heard(t, "DATA 1 5 early END\nRST 1 NO_ERROR\n");
	h2_data(&t->side, 0, 1, "still"); /* it did not know */
	h2_headers(&t->side, END, 3, GET);
	h2_send(&t->side);
	heard(t, "DATA 3 5 early END\n");
	close_stage(t);
}

static void give_up(struct h2_user *u, char event)
{
	if (event != 'q')
		return;
	u->is_open = false;
	if (u->number == 1)
		stream_abort(u->stream, CAUSE_SERVER_RESET);
	else
		stream_release(u->stream);
}

Test(http2_server, what_is_given_up_is_reset)
{
	struct stage *t = open_stage();

	t->side.then = give_up;
	h2_headers(&t->side, END, 1, GET);
	h2_headers(&t->side, END, 3, GET);
	h2_send(&t->side);
	heard(t, "RST 1 INTERNAL_ERROR\nRST 3 INTERNAL_ERROR\n");
	close_stage(t);
}

static void lie(struct h2_user *u, char event)
{
	if (event != 'q')
		return;
	h2_send_head(u, 200, 3, false);
	(void)stream_send_data(u->stream, span_str(u->number == 1 ? "four" : "tw"));
	if (u->number == 2)
		stream_send_end(u->stream, NULL);
}

Test(http2_server, responses_keep_to_their_length)
{
	struct stage *t = open_stage();

	t->side.then = lie;
	h2_headers(&t->side, END, 1, GET);
	h2_headers(&t->side, END, 3, GET);
	h2_send(&t->side);
	heard(t, "RST 1 INTERNAL_ERROR\n");
	heard(t, "RST 3 INTERNAL_ERROR\n");
	told(t, "#1 aborted bad_response: a body longer than announced\n");
	told(t, "#2 aborted bad_response: a body shorter than announced\n");
	close_stage(t);
}

/* ---- concurrency */

Test(http2_server, work_is_limited_not_only_open_streams)
{
	struct stage *t = stage_new();
	struct h2_side *s = &t->side;

	s->limits.max_concurrent_streams = 2;
	s->answer = NULL;
	s->then = NULL;
	h2_serve(s, &t->rig, false);
	h2_begin(s);
	heard(t, "SETTINGS 3=2 ");
	h2_headers(s, END, 1, GET);
	h2_headers(s, END, 3, GET);
	h2_send(s);
	told(t, "#2 request");
	h2_u32(s, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
	h2_send(s);
	told(t, "#1 aborted client_reset");
	h2_headers(s, END, 5, GET); /* the first one was released */
	h2_send(s);
	told(t, "#3 request");
	close_stage(t);
}

static struct h2_user *held;
static void hold_aborted(struct h2_user *u, char event)
{
	if (event == 'a' && u->number == 1) {
		held = u;
		u->is_open = false; /* not released */
	}
}

Test(http2_server, a_reset_stream_counts_until_it_is_released)
{
	struct stage *t = stage_new();
	struct h2_side *s = &t->side;

	s->limits.max_concurrent_streams = 2;
	s->answer = NULL;
	s->then = hold_aborted;
	h2_serve(s, &t->rig, false);
	h2_begin(s);
	h2_headers(s, END, 1, GET);
	h2_headers(s, END, 3, GET);
	h2_send(s);
	told(t, "#2 request");
	h2_u32(s, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
	h2_send(s);
	told(t, "#1 aborted client_reset");
	h2_headers(s, END, 5, GET);
	h2_send(s);
	heard(t, "RST 5 REFUSED_STREAM\n");
	stream_release(held->stream);
	h2_headers(s, END, 7, GET);
	h2_send(s);
	told(t, "#3 request");
	close_stage(t);
}

Test(http2_server, what_is_taken_back_at_once_is_never_begun)
{
	struct stage *t = open_stage();
	struct h2_side *s = &t->side;
	char much[3000];

	memset(much, 'x', sizeof(much) - 1);
	much[sizeof(much) - 1] = '\0';
	/* Each at once; together more than the connection's window holds, were it not given back.
	 */
	for (unsigned id = 1; id < 2 * 300; id += 2) {
		h2_headers(s, 0, id, POST);
		h2_data(s, 0, id, much);
		h2_u32(s, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
		h2_send(s);
	}
	h2_headers(s, 0, 601, POST);
	h2_data(s, 0, 601, "ab");
	h2_data(s, END, 601, "c");
	h2_headers(s, 0, 603, POST);
	h2_data(s, 0, 603, "d");
	h2_headers(s, END, 603, "t=1\n");
	h2_send(s);
	told(t, "#1 body 3 abc\n#1 end\n");
	told(t, "#2 body 1 d\n#2 end\n  t=1\n");
	heard(t, "DATA 603 2 ok END\n");
	close_stage(t);
}

static struct {
	struct loop *loop;
	struct loop_task other; /* of somebody else, who always has something to do */
	unsigned in_a_row, most, all;
} begun;

static void other_run(struct loop_task *t)
{
	begun.in_a_row = 0;
	if (begun.all < 80)
		loop_queue(begun.loop, t, LOOP_TRAFFIC);
}

static void count_begun(struct h2_user *u, char event)
{
	(void)u;
	if (event != 'q')
		return;
	begun.all++;
	if (++begun.in_a_row > begun.most)
		begun.most = begun.in_a_row;
}

static bool all_begun(void *arg)
{
	(void)arg;
	return begun.all == 80;
}

Test(http2_server, others_have_their_turn_between_many_requests)
{
	struct stage *t = stage_new();
	struct h2_side *s = &t->side;

	begun.loop = t->rig.loop;
	begun.other.run = other_run;
	loop_queue(begun.loop, &begun.other, LOOP_TRAFFIC);
	s->then = count_begun;
	h2_serve(s, &t->rig, false);
	h2_begin(s);
	for (unsigned id = 1; id < 2 * 80; id += 2)
		h2_headers(s, END, id, GET);
	h2_send(s);
	cr_assert(rig_until(&t->rig, all_begun, NULL));
	cr_assert_eq(begun.most, 16);
	loop_unqueue(begun.loop, &begun.other);
	close_stage(t);
}

/* ---- tunnels: RFC 8441 */

#define WS                                                                                      \
	":method=CONNECT\n:protocol=websocket\n:scheme=https\n:authority=a.example\n:path=/c\n" \
	"sec-websocket-version=13\n"

static void open_tunnel(struct h2_user *u, char event)
{
	struct head *h;

	if (event == 'd')
		(void)stream_send_data(u->stream, span_of(u->body, u->body_len));
	if (event == 'e') {
		stream_send_end(u->stream, NULL);
		h2_release(u);
	}
	if (event != 'q')
		return;
	h = head_new(0);
	cr_assert_not_null(h);
	h->status = 101;
	h->length = HEAD_UNKNOWN;
	h->upgrade = span_str("websocket");
	head_add(h, span_str("Sec-WebSocket-Accept"), span_str("x"));
	head_add(h, span_str("Sec-WebSocket-Protocol"), span_str("chat"));
	stream_send_head(u->stream, h, false);
	head_free(h);
	u->sent = true;
}

Test(http2_server, extended_connect_opens_a_tunnel)
{
	struct stage *t = open_stage();

	t->side.then = open_tunnel;
	h2_headers(&t->side, 0, 1, WS);
	h2_data(&t->side, 0, 1, "early");
	h2_send(&t->side);
	told(t, "#1 request GET https://a.example /c 20 length=0 end upgrade=websocket extended\n"
		"  sec-websocket-version=13\n");
	heard(t, "HEADERS 1 :status=200 sec-websocket-protocol=chat\nDATA 1 5 early\n");
	h2_data(&t->side, END, 1, "");
	h2_send(&t->side);
	told(t, "#1 body 5 early\n#1 end\n");
	heard(t, "DATA 1 0  END\n");
	close_stage(t);
}

Test(http2_server, a_success_that_is_no_upgrade_opens_none)
{
	struct stage *t = open_stage();

	h2_headers(&t->side, 0, 1, WS);
	h2_send(&t->side);
	told(t, "#1 request");
	heard(t, "RST 1 INTERNAL_ERROR\n");
	t->side.then = NULL;
	cr_assert_null(strstr(t->side.heard, ":status"));
	close_stage(t);
}

Test(http2_server, a_tunnel_without_a_byte_ends)
{
	struct stage *t = stage_in_haste();

	t->side.then = open_tunnel;
	h2_begin(&t->side);
	h2_headers(&t->side, 0, 1, WS);
	h2_send(&t->side);
	told(t, "#1 aborted idle_timeout: nothing came through the tunnel\n");
	heard(t, "RST 1 CANCEL\n");
	close_stage(t);
}

/* ---- the end */

Test(http2_server, draining_takes_what_is_on_its_way)
{
	struct stage *t = open_stage();
	struct h2_side *s = &t->side;

	s->answer = NULL;
	h2_headers(s, END, 1, GET);
	h2_send(s);
	told(t, "#1 request");
	cr_assert(!http2_server_is_idle(s->server));
	http2_server_drain(s->server);
	h2_headers(s, END, 3, GET); /* before it knows */
	h2_send(s);
	heard(t, "GOAWAY 2147483647 NO_ERROR\nPING\n");
	told(t, "#2 request");
	heard(t, "GOAWAY 3 NO_ERROR\n");
	h2_headers(s, END, 5, GET); /* though it knows */
	h2_send(s);
	rig_rest(&t->rig, 30);
	cr_assert_eq(s->num_users, 2);
	h2_respond(&s->users[0], 200, "one");
	h2_respond(&s->users[1], 200, "two");
	heard(t, "DATA 1 3 one END\n");
	heard(t, "DATA 3 3 two END\n");
	ended(t);
	(void)close(s->fd);
	s->fd = -1;
	told(t, "ended closed: \n");
	close_stage(t);
}

Test(http2_server, draining_an_idle_connection_ends_it)
{
	struct stage *t = open_stage();

	http2_server_drain(t->side.server);
	heard(t, "GOAWAY 2147483647 NO_ERROR\nPING\n");
	heard(t, "GOAWAY 0 NO_ERROR\n");
	told(t, "ended closed: \n");
	close_stage(t);
}

Test(http2_server, draining_does_not_wait_for_ever_for_a_ping)
{
	struct stage *t = open_stage();
	struct h2_side *s = &t->side;
	int64_t began = loop_clock_ns();

	http2_server_drain(s->server);
	while (!s->ended && loop_clock_ns() - began < 3 * SECOND)
		rig_rest(&t->rig, 20); /* a peer that does not answer */
	cr_assert(s->ended);
	close_stage(t);
}

Test(http2_server, the_last_request_drains)
{
	struct stage *t = stage_new();

	t->side.limits.max_requests = 2;
	h2_serve(&t->side, &t->rig, false);
	h2_begin(&t->side);
	h2_headers(&t->side, END, 1, GET);
	h2_headers(&t->side, END, 3, GET);
	h2_send(&t->side);
	heard(t, "DATA 3 2 ok END\n");
	heard(t, "GOAWAY 3 NO_ERROR\n");
	told(t, "ended closed: \n");
	close_stage(t);
}

Test(http2_server, a_client_that_ends_its_direction_gets_its_responses)
{
	struct stage *t = open_stage();
	struct h2_side *s = &t->side;

	s->answer = NULL;
	h2_headers(s, END, 1, GET);
	h2_headers(s, 0, 3, POST);
	h2_send(s);
	told(t, "#2 request");
	(void)shutdown(s->fd, SHUT_WR);
	told(t, "#2 aborted client_gone");
	h2_respond(&s->users[0], 200, "still");
	heard(t, "DATA 1 5 still END\n");
	ended(t);
	told(t, "ended closed: \n");
	close_stage(t);
}

Test(http2_server, a_client_that_breaks_off_aborts_what_is_open)
{
	struct stage *t = open_stage();
	struct h2_side *s = &t->side;

	s->answer = NULL;
	h2_headers(s, END, 1, GET);
	h2_headers(s, 0, 3, POST);
	h2_send(s);
	told(t, "#2 request");
	rig_reset(s->fd);
	s->fd = -1;
	told(t, "#1 aborted client_reset: \n#2 aborted client_reset: \nended client_reset: \n");
	close_stage(t);
}

/* ---- priorities: RFC 9218 */

static void send_some(struct h2_user *u, char event)
{
	static char body[40000];

	if (event != 'q')
		return;
	h2_send_head(u, 200, sizeof(body), false);
	(void)stream_send_data(u->stream, span_of(body, sizeof(body)));
	stream_send_end(u->stream, NULL);
	h2_release(u);
}

static size_t where(const struct stage *t, const char *text)
{
	const char *p = strstr(t->side.heard, text);

	cr_assert_not_null(p, "%s: %s", text, t->side.heard);
	return (size_t)(p - t->side.heard);
}

Test(http2_server, urgent_responses_come_first_and_incremental_ones_together)
{
	struct stage *t = open_stage();

	t->side.answer = NULL;
	t->side.then = send_some;
	h2_u32(&t->side, NGHTTP2_WINDOW_UPDATE, 0, 1 << 20);
	h2_headers(&t->side, END, 1, GET "priority=u=5\n");
	h2_headers(&t->side, END, 3, GET "priority=u=0\n");
	h2_headers(&t->side, END, 5, GET "priority=u=3, i\n");
	h2_headers(&t->side, END, 7, GET "priority=u=3,i=?1;x\n");
	h2_headers(&t->side, END, 9, GET "priority=u=5\n");
	h2_frame(&t->side, 0x10, 0, 0, "\0\0\0\x09u=1", 7);
	h2_send(&t->side);
	heard(t, "DATA 1 7232 END\n");
	cr_assert_lt(where(t, "DATA 3 7232 END"), where(t, "DATA 9 16384"));
	cr_assert_lt(where(t, "DATA 9 7232 END"), where(t, "DATA 5 16384"));
	cr_assert_lt(where(t, "DATA 7 16384"), where(t, "DATA 5 7232 END"));
	cr_assert_lt(where(t, "DATA 7 7232 END"), where(t, "DATA 1 16384"));
	close_stage(t);
}

/* ---- every way to cut the input */

static void talk(size_t at, size_t *all, char *story)
{
	struct stage *t = stage_new();
	struct h2_side *s = &t->side;

	h2_serve(s, &t->rig, false);
	h2_preface(s);
	h2_headers(s, 0, 1, POST "content-length=5\ncookie=a\ncookie=b\n");
	h2_data(s, 0, 1, "hel");
	h2_frame(s, NGHTTP2_PING, 0, 0, "12345678", 8);
	h2_frame(s, NGHTTP2_DATA, END | NGHTTP2_FLAG_PADDED, 1, "\2lo\0\0", 5);
	h2_frame(s, NGHTTP2_HEADERS, END, 3, "\x82\x87", 2);
	h2_frame(s, NGHTTP2_CONTINUATION, 0, 3, "\x84", 1);
	h2_frame(s, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 3, "\x41\1a", 3);
	h2_headers(s, END, 5, GET "Bad=1\n");
	h2_headers(s, 0, 7, POST);
	h2_headers(s, END, 7, "t=1\n");
	h2_frame(s, 0x77, 0xff, 9, "??", 2);
	*all = s->out_len;
	h2_say_in_pieces(s, at);
	told(t, "#3 end\n  t=1\n");
	h2_data(s, END, 99, "idle");
	h2_send(s);
	told(t, "ended h2_protocol_error");
	memcpy(story, s->story, s->story_len + 1);
	close_stage(t);
}

Test(http2_server, what_is_told_does_not_depend_on_how_it_came, .timeout = 60)
{
	char *whole = malloc(H2_STORY), *cut = malloc(H2_STORY);
	size_t all;

	cr_assert(whole != NULL && cut != NULL);
	talk(0, &all, whole);
	cr_assert_not_null(strstr(whole, "#1 body 5 hello\n#1 end\n"), "%s", whole);
	cr_assert_not_null(strstr(whole, "#3 end\n  t=1\n"), "%s", whole);
	for (size_t at = 1; at < all; at++) {
		talk(at, &all, cut);
		cr_assert_str_eq(cut, whole, "cut at %zu: %s", at, cut);
	}
	free(whole);
	free(cut);
}
