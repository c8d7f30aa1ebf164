/* What the server's role of HTTP/2 does with a client that breaks the rules, or floods. */
#include "tests/unit/proxy/http2_stage.h"

/* ---- what is malformed, and what is refused with an answer */

static const char *const malformed[] = {
	/* pseudo-fields: RFC 9113 8.3 */
	":method=GET\n:scheme=https\n:authority=a\n",
	":method=GET\n:authority=a\n:path=/\n",
	":scheme=https\n:authority=a\n:path=/\n",
	GET ":path=/\n",
	GET ":method=GET\n",
	":method=GET\n:scheme=https\na=1\n:path=/\n:authority=a\n",
	GET ":status=200\n",
	GET ":odd=1\n",
	":method=GET\n:scheme=https\n:authority=a\n:path=\n",
	":method=G T\n:scheme=https\n:authority=a\n:path=/\n",
	":method=\n:scheme=https\n:authority=a\n:path=/\n",
	GET ":protocol=websocket\n",
	":method=CONNECT\n:scheme=https\n:authority=a\n:path=/\n",
	":method=CONNECT\n",
	":method=CONNECT\n:protocol=websocket\n:authority=a\n",
	":Method=GET\n:scheme=https\n:authority=a\n:path=/\n",
	/* names and values: 8.2.1 */
	GET "Upper=1\n",
	GET "a b=1\n",
	GET "a:=1\n",
	GET "\x80=1\n",
	GET "=1\n",
	GET "a= 1\n",
	GET "a=1 \n",
	GET "a=1\t\n",
	GET "a=1^2\n",
	GET "a=1\r2\n",
	GET "a=1\x7f\n",
	/* the connection's: 8.2.2 */
	GET "connection=close\n",
	GET "keep-alive=1\n",
	GET "proxy-connection=keep-alive\n",
	GET "transfer-encoding=chunked\n",
	GET "upgrade=websocket\n",
	GET "te=gzip\n",
	GET "te=trailers, gzip\n",
	/* lengths */
	GET "content-length=1\n",
	GET "content-length=0\ncontent-length=0\n",
	GET "content-length=+0\n",
	GET "content-length=\n",
};

Test(http2_rules, malformed_requests_are_stream_errors)
{
	struct stage *t = open_stage();
	uint32_t id = 1;

	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++, id += 2) {
		char want[64];

		h2_headers(&t->side, END, id, malformed[i]);
		h2_send(&t->side);
		(void)snprintf(want, sizeof(want), "RST %u PROTOCOL_ERROR\n", id);
		cr_assert(h2_until_heard(&t->side, want), "%s: %s", malformed[i], t->side.heard);
	}
	cr_assert_eq(t->side.num_users, 0);
	h2_headers(&t->side, END, id, GET);
	h2_send(&t->side);
	told(t, "#1 request GET");
	close_stage(t);
}

struct refusal {
	const char *lines, *status, *cause;
};
static const struct refusal refusals[] = {
	{ ":method=GET\n:scheme=https\n:path=/\n", "400", "bad_host" },
	{ ":method=GET\n:scheme=https\n:authority=\n:path=/\n", "400", "bad_host" },
	{ GET "host=b.example\n", "400", "bad_host" },
	{ GET "host=a.example\nhost=a.example\n", "400", "bad_host" },
	{ ":method=GET\n:scheme=https\n:authority=u@a\n:path=/\n", "400", "bad_host" },
	{ ":method=GET\n:scheme=https\n:authority=a\n:path=x\n", "400", "bad_target" },
	{ ":method=GET\n:scheme=https\n:authority=a\n:path=/#x\n", "400", "bad_target" },
	{ ":method=GET\n:scheme=https\n:authority=a\n:path=/ x\n", "400", "bad_target" },
	{ ":method=GET\n:scheme=https\n:authority=a\n:path=*\n", "400", "bad_target" },
	{ ":method=GET\n:scheme=ftp\n:authority=a\n:path=/\n", "400", "bad_target" },
	{ ":method=CONNECT\n:authority=a:1\n", "405", "method_refused" },
	{ ":method=TRACE\n:scheme=https\n:authority=a\n:path=/\n", "405", "method_refused" },
	{ ":method=BREW\n:scheme=https\n:authority=a\n:path=/\n", "501", "unknown_method" },
	{ ":method=CONNECT\n:protocol=other\n:scheme=https\n:authority=a\n:path=/\n", "501",
	  "method_refused" },
	{ POST "expect=200-ok\n", "417", "unknown_expectation" },
	{ GET
	  "a=1\na=1\na=1\na=1\na=1\na=1\na=1\na=1\na=1\na=1\na=1\na=1\na=1\na=1\na=1\na=1\na=1\n"
	  "a=1\na=1\na=1\na=1\na=1\na=1\na=1\na=1\na=1\na=1\na=1\na=1\na=1\na=1\na=1\na=1\n",
	  "431", "header_too_large" },
};

Test(http2_rules, what_is_no_request_to_pass_on_gets_a_status)
{
	struct stage *t = open_stage();
	uint32_t id = 1;

	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++, id += 2) {
		const struct refusal *r = &refusals[i];
		char want[96];

		h2_headers(&t->side, END, id, r->lines);
		h2_send(&t->side);
		(void)snprintf(want, sizeof(want), "HEADERS %u :status=%s", id, r->status);
		cr_assert(h2_until_heard(&t->side, want), "%s: %s", r->lines, t->side.heard);
		(void)snprintf(want, sizeof(want), "#%u refused %s %s:", (unsigned)i + 1, r->status,
			       r->cause);
		told(t, want);
	}
	cr_assert_eq(t->side.num_resets, 0);
	close_stage(t);
}

struct meaning {
	const char *lines, *story;
};
static const struct meaning meanings[] = {
	{ GET "host=A.example:443\n", "request GET https://a.example / 20 length=0 end\n" },
	{ ":method=GET\n:scheme=http\n:path=/p?q\nhost=b:8\n",
	  "request GET http://b:8 /p?q 20 length=0 end\n" },
	{ ":method=OPTIONS\n:scheme=https\n:authority=a\n:path=*\n",
	  "request OPTIONS https://a * 20 length=0 end\n" },
	{ GET "te=trailers\n", "request GET https://a.example / 20 length=0 end te\n" },
	{ GET "cookie=a=1\nx=1\ncookie=b=2\ncookie=\ncookie=c\n",
	  "length=0 end\n  cookie=a=1; b=2; ; c\n  x=1\n" },
	{ GET "priority=u=1, i\n", "end\n  priority=u=1, i\n" },
	{ GET "http2-settings=AAA\ncontent-length=0\n", "length=0 end\n" },
};

Test(http2_rules, heads_mean_what_they_say)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		struct stage *t = open_stage();

		h2_headers(&t->side, END, 1, meanings[i].lines);
		h2_send(&t->side);
		told(t, meanings[i].story);
		heard(t, "DATA 1 2 ok END\n");
		close_stage(t);
	}
}

Test(http2_rules, bodies_keep_to_their_length)
{
	struct stage *t = open_stage();

	h2_headers(&t->side, 0, 1, POST "content-length=5\n");
	h2_send(&t->side);
	told(t, "#1 request");
	h2_data(&t->side, END, 1, "four");
	h2_send(&t->side);
	heard(t, "RST 1 PROTOCOL_ERROR\n");
	told(t, "#1 body 4 four\n#1 aborted bad_request: a body shorter than announced\n");
	h2_headers(&t->side, 0, 3, POST "content-length=5\n");
	h2_data(&t->side, 0, 3, "five ");
	h2_send(&t->side);
	told(t, "#2 request");
	h2_data(&t->side, 0, 3, "6");
	h2_send(&t->side);
	heard(t, "RST 3 PROTOCOL_ERROR\n");
	told(t, "#2 body 5 five \n#2 aborted bad_request: a body longer than announced\n");
	h2_headers(&t->side, 0, 5, POST "content-length=5\n");
	h2_data(&t->side, 0, 5, "five ");
	h2_headers(&t->side, END, 5, "x-t=1\nhost=dropped\n");
	h2_send(&t->side);
	told(t, "#3 body 5 five \n#3 end\n  x-t=1\n");
	heard(t, "DATA 5 2 ok END\n");
	/* All at once: it is no request, and nobody hears of it. */
	h2_headers(&t->side, 0, 7, POST "content-length=5\n");
	h2_data(&t->side, END, 7, "four");
	h2_headers(&t->side, 0, 9, POST "content-length=5\n");
	h2_data(&t->side, 0, 9, "five 6");
	h2_send(&t->side);
	heard(t, "RST 7 PROTOCOL_ERROR\n");
	heard(t, "RST 9 PROTOCOL_ERROR\n");
	cr_assert_null(strstr(t->side.story, "#4"), "%s", t->side.story);
	close_stage(t);
}

static const char *const bad_trailers[] = {
	":path=/\n",
	":status=200\n",
	"content-length=0\n",
	"transfer-encoding=chunked\n",
	"connection=x\n",
	"te=trailers\n",
	"X=1\n",
	"a=\x01\n",
};

Test(http2_rules, trailers_are_only_fields)
{
	struct stage *t = open_stage();
	uint32_t id = 1;
	char want[64];

	for (size_t i = 0; i < sizeof(bad_trailers) / sizeof(bad_trailers[0]); i++, id += 2) {
		h2_headers(&t->side, 0, id, POST);
		h2_headers(&t->side, END, id, bad_trailers[i]);
		h2_send(&t->side);
		(void)snprintf(want, sizeof(want), "RST %u PROTOCOL_ERROR\n", id);
		cr_assert(h2_until_heard(&t->side, want), "%s: %s", bad_trailers[i], t->side.heard);
	}
	/* RFC 9113 8.1: they end the message. */
	h2_headers(&t->side, 0, id, POST);
	h2_headers(&t->side, 0, id, "a=1\n");
	h2_send(&t->side);
	(void)snprintf(want, sizeof(want), "RST %u PROTOCOL_ERROR\n", id);
	heard(t, want);
	close_stage(t);
}

/* ---- connection errors, by section of RFC 9113 */

struct wrong {
	const char *what;
	void (*say)(struct h2_side *s);
	const char *code;
};

static void get(struct h2_side *s, uint32_t id)
{
	h2_headers(s, END, id, GET);
	h2_send(s);
}

static void say_data_on_idle(struct h2_side *s)
{
	h2_data(s, 0, 5, "x");
}

static void say_data_on_zero(struct h2_side *s)
{
	h2_data(s, 0, 0, "x");
}

static void say_headers_on_zero(struct h2_side *s)
{
	h2_headers(s, END, 0, GET);
}

static void say_headers_on_even(struct h2_side *s)
{
	h2_headers(s, END, 2, GET);
}

static void say_lower_id(struct h2_side *s)
{
	get(s, 5);
	h2_headers(s, END, 3, GET);
}

static void say_headers_after_end(struct h2_side *s)
{
	s->answer = NULL;
	get(s, 1);
	h2_headers(s, END, 1, "a=1\n");
}

static void say_headers_on_closed(struct h2_side *s)
{
	get(s, 1);
	cr_assert(h2_until_heard(s, "DATA 1 2 ok END"));
	h2_headers(s, END, 1, GET);
}

static void say_data_after_end(struct h2_side *s)
{
	s->answer = NULL;
	get(s, 1);
	h2_data(s, END, 1, "x");
}

static void say_data_on_closed(struct h2_side *s)
{
	get(s, 1);
	cr_assert(h2_until_heard(s, "DATA 1 2 ok END"));
	h2_data(s, END, 1, "x");
}

static void say_data_after_reset(struct h2_side *s)
{
	h2_headers(s, 0, 1, POST);
	h2_u32(s, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
	h2_data(s, END, 1, "x");
}

static void say_push_promise(struct h2_side *s)
{
	h2_headers(s, 0, 1, POST);
	h2_frame(s, NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, 1, "\0\0\0\2\x82\x87\x84", 7);
}

static void say_long_frame(struct h2_side *s)
{
	char *p = calloc(1, 16385);

	cr_assert_not_null(p);
	h2_headers(s, 0, 1, POST);
	h2_frame(s, NGHTTP2_DATA, 0, 1, p, 16385);
	free(p);
}

static void say_short_ping(struct h2_side *s)
{
	h2_frame(s, NGHTTP2_PING, 0, 0, "1234567", 7);
}

static void say_ping_on_stream(struct h2_side *s)
{
	h2_frame(s, NGHTTP2_PING, 0, 1, "12345678", 8);
}

static void say_odd_settings(struct h2_side *s)
{
	h2_frame(s, NGHTTP2_SETTINGS, 0, 0, "12345", 5);
}

static void say_settings_ack_with_payload(struct h2_side *s)
{
	h2_frame(s, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "123456", 6);
}

static void say_settings_on_stream(struct h2_side *s)
{
	h2_frame(s, NGHTTP2_SETTINGS, 0, 1, NULL, 0);
}

static void say_push_setting(struct h2_side *s)
{
	h2_frame(s, NGHTTP2_SETTINGS, 0, 0, "\0\2\0\0\0\2", 6);
}

static void say_huge_window_setting(struct h2_side *s)
{
	h2_frame(s, NGHTTP2_SETTINGS, 0, 0, "\0\4\x80\0\0\0", 6);
}

static void say_small_frame_setting(struct h2_side *s)
{
	h2_frame(s, NGHTTP2_SETTINGS, 0, 0, "\0\5\0\0\x10\0", 6);
}

static void say_rst_on_idle(struct h2_side *s)
{
	h2_u32(s, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
}

static void say_rst_on_zero(struct h2_side *s)
{
	h2_u32(s, NGHTTP2_RST_STREAM, 0, NGHTTP2_CANCEL);
}

static void say_short_rst(struct h2_side *s)
{
	h2_headers(s, 0, 1, POST);
	h2_frame(s, NGHTTP2_RST_STREAM, 0, 1, "123", 3);
}

static void say_window_of_nothing(struct h2_side *s)
{
	h2_u32(s, NGHTTP2_WINDOW_UPDATE, 0, 0);
}

static void say_window_overflow(struct h2_side *s)
{
	h2_u32(s, NGHTTP2_WINDOW_UPDATE, 0, 0x7fffffff);
}

static void say_window_on_idle(struct h2_side *s)
{
	h2_u32(s, NGHTTP2_WINDOW_UPDATE, 1, 1);
}

static void say_continuation_alone(struct h2_side *s)
{
	h2_frame(s, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, NULL, 0);
}

static void say_frame_in_block(struct h2_side *s)
{
	h2_frame(s, NGHTTP2_HEADERS, END, 1, "\x82", 1);
	h2_frame(s, NGHTTP2_PING, 0, 0, "12345678", 8);
}

static void say_continuation_of_another(struct h2_side *s)
{
	h2_frame(s, NGHTTP2_HEADERS, END, 1, "\x82", 1);
	h2_frame(s, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 3, "\x87", 1);
}

static void say_bad_hpack(struct h2_side *s)
{
	h2_frame(s, NGHTTP2_HEADERS, END | NGHTTP2_FLAG_END_HEADERS, 1, "\xff\xff\xff\xff\x0f", 5);
}

static void say_index_zero(struct h2_side *s)
{
	h2_frame(s, NGHTTP2_HEADERS, END | NGHTTP2_FLAG_END_HEADERS, 1, "\x80", 1);
}

static void say_data_of_padding_only(struct h2_side *s)
{
	h2_headers(s, 0, 1, POST);
	h2_frame(s, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, "\x05x", 2);
}

static void say_headers_of_padding_only(struct h2_side *s)
{
	h2_frame(s, NGHTTP2_HEADERS, NGHTTP2_FLAG_PADDED | NGHTTP2_FLAG_END_HEADERS, 1, "\x05x", 2);
}

static void say_goaway_on_stream(struct h2_side *s)
{
	h2_frame(s, NGHTTP2_GOAWAY, 0, 1, "\0\0\0\0\0\0\0\0", 8);
}

static void say_priority_update_on_stream(struct h2_side *s)
{
	h2_frame(s, 0x10, 0, 1, "\0\0\0\1u=1", 7);
}

static const struct wrong wrongs[] = {
	{ "4.2 long frame", say_long_frame, "FRAME_SIZE_ERROR" },
	{ "4.3 bad block", say_bad_hpack, "COMPRESSION_ERROR" },
	{ "4.3 index 0", say_index_zero, "COMPRESSION_ERROR" },
	{ "5.1 data, idle", say_data_on_idle, "PROTOCOL_ERROR" },
	{ "5.1 data, half-closed", say_data_after_end, "STREAM_CLOSED" },
	{ "5.1 data, closed", say_data_on_closed, "STREAM_CLOSED" },
	{ "5.1 data, reset", say_data_after_reset, "STREAM_CLOSED" },
	{ "5.1 headers, half-closed", say_headers_after_end, "STREAM_CLOSED" },
	{ "5.1 headers, closed", say_headers_on_closed, "STREAM_CLOSED" },
	{ "5.1 RST, idle", say_rst_on_idle, "PROTOCOL_ERROR" },
	{ "5.1 window, idle", say_window_on_idle, "PROTOCOL_ERROR" },
	{ "5.1.1 even", say_headers_on_even, "PROTOCOL_ERROR" },
	{ "5.1.1 lower", say_lower_id, "PROTOCOL_ERROR" },
	{ "6.1 data, 0", say_data_on_zero, "PROTOCOL_ERROR" },
	{ "6.1 padding", say_data_of_padding_only, "PROTOCOL_ERROR" },
	{ "6.2 headers, 0", say_headers_on_zero, "PROTOCOL_ERROR" },
	{ "6.2 padding", say_headers_of_padding_only, "PROTOCOL_ERROR" },
	{ "6.4 RST, 0", say_rst_on_zero, "PROTOCOL_ERROR" },
	{ "6.4 RST, short", say_short_rst, "FRAME_SIZE_ERROR" },
	{ "6.5 size", say_odd_settings, "FRAME_SIZE_ERROR" },
	{ "6.5 ACK with payload", say_settings_ack_with_payload, "FRAME_SIZE_ERROR" },
	{ "6.5 stream", say_settings_on_stream, "PROTOCOL_ERROR" },
	{ "6.5.2 push", say_push_setting, "PROTOCOL_ERROR" },
	{ "6.5.2 window", say_huge_window_setting, "FLOW_CONTROL_ERROR" },
	{ "6.5.2 frame size", say_small_frame_setting, "PROTOCOL_ERROR" },
	{ "6.7 size", say_short_ping, "FRAME_SIZE_ERROR" },
	{ "6.7 stream", say_ping_on_stream, "PROTOCOL_ERROR" },
	{ "6.8 stream", say_goaway_on_stream, "PROTOCOL_ERROR" },
	{ "6.9 nothing", say_window_of_nothing, "PROTOCOL_ERROR" },
	{ "6.9.1 overflow", say_window_overflow, "FLOW_CONTROL_ERROR" },
	{ "6.10 alone", say_continuation_alone, "PROTOCOL_ERROR" },
	{ "6.2 frame in a block", say_frame_in_block, "PROTOCOL_ERROR" },
	{ "6.10 another's", say_continuation_of_another, "PROTOCOL_ERROR" },
	{ "8.4 push promise", say_push_promise, "PROTOCOL_ERROR" },
	{ "9218 7.1 stream", say_priority_update_on_stream, "PROTOCOL_ERROR" },
};

Test(http2_rules, broken_rules_end_the_connection_with_their_code)
{
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		struct stage *t = open_stage();
		char want[64];

		wrongs[i].say(&t->side);
		h2_send(&t->side);
		(void)h2_until_ended(&t->side);
		(void)snprintf(want, sizeof(want), " %s\n", wrongs[i].code);
		cr_expect(strstr(t->side.heard, "GOAWAY ") != NULL &&
				  strstr(strstr(t->side.heard, "GOAWAY "), want) != NULL,
			  "%s: %s", wrongs[i].what, t->side.heard);
		cr_expect(strstr(t->side.story, "ended h2_protocol_error") != NULL, "%s: %s",
			  wrongs[i].what, t->side.story);
		close_stage(t);
	}
}

/* ---- floods */

static void flood(const char *what, void (*one)(struct h2_side *s, uint32_t i), const char *cause)
{
	struct stage *t = open_stage();
	char want[64];

	t->side.answer = NULL;
	for (uint32_t i = 0; i < 20000 && !t->side.ended; i++) {
		one(&t->side, i);
		if (i % 64 == 63) {
			/* Read before there are more of them than streams that are allowed. */
			h2_send(&t->side);
			rig_rest(t->side.rig, 1);
		}
	}
	(void)snprintf(want, sizeof(want), "ended %s", cause);
	cr_expect(strstr(t->side.story, want) != NULL, "%s: %s", what, t->side.story);
	(void)h2_until_ended(&t->side);
	cr_expect(strstr(t->side.heard, "ENHANCE_YOUR_CALM") != NULL, "%s: %s", what,
		  t->side.heard + (t->side.heard_len > 400 ? t->side.heard_len - 400 : 0));
	close_stage(t);
}

static void one_reset(struct h2_side *s, uint32_t i)
{
	h2_headers(s, END, 2 * i + 1, GET);
	h2_u32(s, NGHTTP2_RST_STREAM, 2 * i + 1, NGHTTP2_CANCEL);
}

static void one_provoked(struct h2_side *s, uint32_t i)
{
	h2_headers(s, 0, 2 * i + 1, POST);
	h2_u32(s, NGHTTP2_WINDOW_UPDATE, 2 * i + 1, 0x7fffffff);
}

static void one_malformed(struct h2_side *s, uint32_t i)
{
	h2_headers(s, END, 2 * i + 1, ":method=GET\n");
}

static void one_ping(struct h2_side *s, uint32_t i)
{
	(void)i;
	h2_frame(s, NGHTTP2_PING, 0, 0, "12345678", 8);
}

static void one_settings(struct h2_side *s, uint32_t i)
{
	(void)i;
	h2_frame(s, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

static void one_priority(struct h2_side *s, uint32_t i)
{
	h2_frame(s, NGHTTP2_PRIORITY, 0, 2 * i + 1, "\0\0\0\0\1", 5);
}

static void one_priority_update(struct h2_side *s, uint32_t i)
{
	(void)i;
	h2_frame(s, 0x10, 0, 0, "\0\0\0\1u=1", 7);
}

static void one_unknown(struct h2_side *s, uint32_t i)
{
	(void)i;
	h2_frame(s, 0x77, 0, 0, "x", 1);
}

static void one_tiny_window(struct h2_side *s, uint32_t i)
{
	(void)i;
	h2_u32(s, NGHTTP2_WINDOW_UPDATE, 0, 1);
}

static void one_empty_data(struct h2_side *s, uint32_t i)
{
	if (i == 0)
		h2_headers(s, 0, 1, POST);
	h2_data(s, 0, 1, "");
}

static void one_padding(struct h2_side *s, uint32_t i)
{
	if (i == 0)
		h2_headers(s, 0, 1, POST);
	h2_frame(s, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, "\x01y", 2);
}

static void one_continuation(struct h2_side *s, uint32_t i)
{
	if (i == 0)
		h2_frame(s, NGHTTP2_HEADERS, END, 1, "\x82", 1);
	else
		h2_frame(s, NGHTTP2_CONTINUATION, 0, 1, "\x82", 1);
}

Test(http2_rules, floods_come_to_an_end)
{
	flood("reset", one_reset, "h2_reset_flood");
	flood("provoked", one_provoked, "h2_reset_flood");
	flood("malformed", one_malformed, "h2_reset_flood");
	flood("ping", one_ping, "h2_control_flood");
	flood("settings", one_settings, "h2_control_flood");
	flood("priority", one_priority, "h2_control_flood");
	flood("priority update", one_priority_update, "h2_control_flood");
	flood("unknown", one_unknown, "h2_control_flood");
	flood("tiny window", one_tiny_window, "h2_control_flood");
	flood("empty data", one_empty_data, "h2_empty_frame_flood");
	flood("padding", one_padding, "h2_empty_frame_flood");
	flood("continuation", one_continuation, "h2_continuation_flood");
}

Test(http2_rules, a_head_far_too_large_is_a_flood_and_one_too_large_is_not)
{
	enum { ROOM = 16 << 10 };
	struct stage *t = open_stage();
	char *lines = malloc(ROOM);
	size_t len = strlen(GET);

	cr_assert_not_null(lines);
	memcpy(lines, GET, len + 1);
	for (int i = 0; i < 30; i++)
		len += (size_t)snprintf(lines + len, ROOM - len, "a%d=%0200d\n", i, 0);
	h2_headers(&t->side, END, 1, lines);
	h2_send(&t->side);
	heard(t, "HEADERS 1 :status=431");
	/* An entry of HPACK's table, named many times. */
	{
		uint8_t block[8192];
		size_t n;

		n = h2_block(block, sizeof(block), GET);
		block[n++] = 0x40;
		block[n++] = 1;
		block[n++] = 'a';
		block[n++] = 127;
		block[n++] = 127;
		block[n++] = 23; /* 127 + 127 + 23 * 128 = 3198 */
		memset(block + n, 'x', 3198);
		n += 3198;
		memset(block + n, 0xbe, 2000); /* index 62: the newest */
		n += 2000;
		h2_frame(&t->side, NGHTTP2_HEADERS, END | NGHTTP2_FLAG_END_HEADERS, 3, block, n);
	}
	h2_send(&t->side);
	heard(t, "GOAWAY 3 ENHANCE_YOUR_CALM\n");
	told(t, "ended h2_header_flood");
	free(lines);
	close_stage(t);
}
