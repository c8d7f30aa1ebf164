#include "proxy/http/http2_client.h"

#include <stdlib.h>

#include "conf/must.h"
#include "proxy/http/http2_session.h"

enum {
	STREAMS_MAX = 128, /* at a time, whatever the server would take */
	STREAM_WINDOW = 128 << 10,
	/* All of them: one whose client is slow shall not hold up the others. */
	WINDOW = STREAMS_MAX * STREAM_WINDOW,
	HEADER_LIST_MAX = 64 << 10,
	HEADERS_MAX = 256,
	INTERIM_MAX = 32, /* 1xx responses to one request */
};
#define PING_AFTER_NS INT64_C(30000000000) /* without a byte from the server */
#define PING_WAIT_NS INT64_C(10000000000)  /* for its answer */

struct http2_client {
	struct http2_session session; /* first */
	struct client_codec codec;
	const struct http2_client_events *events;
	bool retired;	   /* no more streams: the server said so, or our owner */
	bool pinged;	   /* and no byte has come since */
	bool room_due;	   /* the server takes more than before */
	unsigned num_seen; /* streams, when the owner was last told */
	int64_t heard_ns;
	struct timer liveness;
};

static struct http2_client *from_session(struct http2_session *h)
{
	CHECK(h, HTTP2_SESSION_MAGIC);
	return (struct http2_client *)h;
}

/* ---- times */

static void wrote(struct http2_stream *s)
{
	if (!s->head_came)
		loop_after(s->session->loop, &s->timer, s->limits.response_head_ns);
}

/* While it is we who do not read, the server is not slow. */
static void moved(struct http2_stream *s, size_t came)
{
	if (!s->head_came || s->whole || s->discard || s->aborted)
		return;
	if (s->unconsumed >= STREAM_WINDOW / 2)
		loop_cancel(s->session->loop, &s->timer);
	else if (came > 0 || s->timer.deadline_ns == 0)
		loop_after(s->session->loop, &s->timer, s->limits.idle_ns);
}

static void read_over(struct http2_stream *s)
{
	loop_cancel(s->session->loop, &s->timer);
}

static void stream_timer(struct http2_stream *s)
{
	if (s->whole || s->discard)
		return;
	if (s->head_came)
		http2_stream_break(s, NGHTTP2_CANCEL, CAUSE_SERVER_IDLE,
				   "the response's body stopped");
	else
		http2_stream_break(s, NGHTTP2_CANCEL, CAUSE_RESPONSE_TIMEOUT, "no response came");
}

static void liveness_fired(struct timer *t)
{
	static const uint8_t mark[8] = { 'a', 'l', 'i', 'v', 'e' };
	struct http2_client *h =
		(struct http2_client *)((char *)t - offsetof(struct http2_client, liveness));
	struct http2_session *x = &h->session;
	int64_t silent = x->loop->now_ns - h->heard_ns;

	if (http2_is_dead(x))
		return;
	if (silent < PING_AFTER_NS) {
		wheel_set(&x->loop->wheel, t, h->heard_ns + PING_AFTER_NS);
		return;
	}
	if (h->pinged) {
		http2_fail(x, NGHTTP2_NO_ERROR, CAUSE_SERVER_IDLE, "no answer to PING");
		return;
	}
	h->pinged = true;
	if (nghttp2_submit_ping(x->ng, NGHTTP2_FLAG_NONE, mark) != 0)
		http2_fail(x, NGHTTP2_INTERNAL_ERROR, CAUSE_MEMORY, "");
	http2_output_due(x);
	loop_after(x->loop, t, PING_WAIT_NS);
}

/* ---- responses */

static struct http2_bounds bounds(struct http2_session *x, struct http2_stream *s)
{
	(void)x;
	if (s == NULL)
		return (struct http2_bounds){ .max_size = HEADER_LIST_MAX,
					      .max_fields = HEADERS_MAX };
	return (struct http2_bounds){ .max_size = s->limits.max_header_size,
				      .max_fields = s->limits.max_headers };
}

static bool begin(struct http2_session *x, int32_t id)
{
	(void)x;
	(void)id;
	return false;
}

static void block(struct http2_session *x, bool begins)
{
	(void)x;
	(void)begins;
}

static void bad_response(struct http2_stream *s, uint32_t code, enum cause why, const char *detail)
{
	s->discard = true;
	http2_stream_break(s, code, why == CAUSE_MEMORY ? why : CAUSE_BAD_RESPONSE, detail);
}

static void informational(struct http2_session *x, struct http2_stream *s)
{
	s->interim_bytes += x->block.size;
	if (++s->num_interim > INTERIM_MAX || s->interim_bytes > s->limits.max_header_size)
		bad_response(s, NGHTTP2_CANCEL, CAUSE_NONE, "too many interim responses");
	else
		s->stream.events->informational(s->stream.owner, http2_block_take(&x->block));
}

static void head_came(struct http2_session *x, struct http2_stream *s, bool end)
{
	const struct head *head = x->block.head;
	bool bodiless;

	s->answered = true;
	if (!s->attached || s->discard || s->aborted || s->cut)
		return;
	if (x->block.fault.harm != HTTP2_FINE) {
		bad_response(s, NGHTTP2_CANCEL, x->block.fault.why, x->block.fault.detail);
		return;
	}
	if (head->status < 200) {
		informational(x, s);
		return;
	}
	bodiless = s->is_head || head->status == 204 || head->status == 304;
	if (end && !bodiless && head->length > 0) {
		bad_response(s, NGHTTP2_PROTOCOL_ERROR, CAUSE_NONE,
			     "a body shorter than announced");
		return;
	}
	s->left_in = bodiless ? 0 : head->length;
	s->head_came = true;
	s->whole = end;
	if (end)
		read_over(s);
	else
		loop_after(x->loop, &s->timer, s->limits.idle_ns);
	s->stream.events->head(s->stream.owner, http2_block_take(&x->block), end);
}

/* ---- requests */

/* Neither space nor control character. */
static bool is_word(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	}
	return true;
}

static bool send_head(struct http2_stream *s, const struct head *head, bool end)
{
	struct http2_session *x = s->session;
	nghttp2_data_provider body = http2_data_source(s);
	struct http2_fields f;
	int32_t id = NGHTTP2_ERR_NOMEM;

	if (head->method_name.n == 0 || !is_word(head->method_name) || head->path.n == 0 ||
	    !is_word(head->path) || !is_word(head->authority)) {
		http2_stream_cut(s, CAUSE_BAD_REQUEST, "the request cannot be said in HTTP/2");
		return true;
	}
	s->is_head = head->method == METHOD_HEAD;
	s->bodiless = end;
	if (!end)
		s->left_out = head->length;
	http2_fields_request(&f, head, link_ssl(x->link) != NULL, end);
	if (f.list != NULL)
		id = nghttp2_submit_request(x->ng, NULL, f.list, f.num, end ? NULL : &body, s);
	http2_fields_fini(&f);
	if (id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE) {
		from_session(x)->retired = true;
		http2_stream_cut(s, CAUSE_SERVER_REFUSED, "the connection has no more streams");
		return true;
	}
	if (id <= 0)
		return false;
	s->id = id;
	s->open = true;
	if (end)
		wrote(s);
	return true;
}

/* ---- the connection */

static void frame_came(struct http2_session *x, const nghttp2_frame *frame)
{
	struct http2_client *h = from_session(x);

	if (frame->hd.type == NGHTTP2_GOAWAY)
		h->retired = true;
	else if (frame->hd.type == NGHTTP2_SETTINGS)
		h->room_due = true;
}

static void said_goaway(struct http2_session *x)
{
	(void)x;
}

static void settled(struct http2_session *x)
{
	struct http2_client *h = from_session(x);
	bool room = h->room_due || x->num_streams < h->num_seen;

	h->room_due = false;
	h->num_seen = x->num_streams;
	if ((h->retired || x->eof) && x->num_streams == 0)
		http2_close(x);
	else if (room && (x->num_streams == 0 || http2_client_has_room(h)))
		h->events->room(x->owner);
}

static void session_ended(struct http2_session *x)
{
	struct http2_client *h = from_session(x);

	loop_cancel(x->loop, &h->liveness);
	h->events->ended(x->owner);
}

static const struct http2_role client_role = {
	.is_server = false,
	.window = WINDOW,
	.begin = begin,
	.bounds = bounds,
	.head = head_came,
	.block = block,
	.moved = moved,
	.read = read_over,
	.wrote = wrote,
	.timer = stream_timer,
	.send_head = send_head,
	.frame = frame_came,
	.said_goaway = said_goaway,
	.settled = settled,
	.ended = session_ended,
	.gone = CAUSE_SERVER_CLOSED,
	.reset = CAUSE_SERVER_RESET,
	.protocol = CAUSE_BAD_RESPONSE,
};

/* ---- from the link's owner */

void http2_client_data(struct http2_client *h, struct span bytes)
{
	h->heard_ns = h->session.loop->now_ns;
	h->pinged = false;
	http2_session_data(&h->session, bytes);
}

void http2_client_eof(struct http2_client *h)
{
	http2_session_eof(&h->session);
}

void http2_client_drained(struct http2_client *h)
{
	http2_session_drained(&h->session);
}

void http2_client_link_ended(struct http2_client *h, enum cause why, const char *detail)
{
	http2_session_link_ended(&h->session, why, detail);
}

/* ---- exchanges */

bool http2_client_is_usable(const struct http2_client *h)
{
	CHECK(&h->session, HTTP2_SESSION_MAGIC);
	return !h->retired && !h->session.eof && !http2_is_dead(&h->session);
}

bool http2_client_has_room(const struct http2_client *h)
{
	uint32_t max;

	if (!http2_client_is_usable(h))
		return false;
	max = nghttp2_session_get_remote_settings(h->session.ng,
						  NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
	return h->session.num_streams < (max < STREAMS_MAX ? max : STREAMS_MAX);
}

unsigned http2_client_num_streams(const struct http2_client *h)
{
	CHECK(&h->session, HTTP2_SESSION_MAGIC);
	return h->session.num_streams;
}

struct stream *http2_client_open(struct http2_client *h, const struct client_codec_limits *limits)
{
	struct http2_stream *s;

	if (!http2_client_has_room(h) || (s = http2_stream_new(&h->session)) == NULL)
		return NULL;
	s->limits = *limits;
	s->stall_ns = limits->idle_ns;
	s->tunnel_ns = limits->tunnel_idle_ns;
	h->session.write_ns = limits->idle_ns;
	h->num_seen = h->session.num_streams;
	http2_stream_give(s);
	return &s->stream;
}

bool http2_client_answered(const struct stream *stream)
{
	const struct http2_stream *s =
		(const struct http2_stream *)((const char *)stream -
					      offsetof(struct http2_stream, stream));

	CHECK(s, HTTP2_STREAM_MAGIC);
	return s->answered;
}

void http2_client_retire(struct http2_client *h)
{
	CHECK(&h->session, HTTP2_SESSION_MAGIC);
	h->retired = true;
	loop_queue(h->session.loop, &h->session.work, LOOP_TRAFFIC);
}

/* ---- making and giving up */

static void free_at_last(struct http2_session *x)
{
	free(x); /* it comes first */
}

/* ---- as one of the codecs */

static struct http2_client *from_codec(struct client_codec *c)
{
	return (struct http2_client *)((char *)c - offsetof(struct http2_client, codec));
}

static struct stream *codec_open(struct client_codec *c, const struct client_codec_limits *limits)
{
	return http2_client_open(from_codec(c), limits);
}

static unsigned codec_num_streams(const struct client_codec *c)
{
	return http2_client_num_streams(
		(const struct http2_client *)(const void *)((const char *)c -
							    offsetof(struct http2_client, codec)));
}

static void codec_data(struct client_codec *c, struct span bytes)
{
	http2_client_data(from_codec(c), bytes);
}

static void codec_eof(struct client_codec *c)
{
	http2_client_eof(from_codec(c));
}

static void codec_drained(struct client_codec *c)
{
	http2_client_drained(from_codec(c));
}

static void codec_link_ended(struct client_codec *c, enum cause why, const char *detail)
{
	http2_client_link_ended(from_codec(c), why, detail);
}

static void codec_free(struct client_codec *c)
{
	http2_client_free(from_codec(c));
}

static const struct client_codec_ops codec_ops = {
	.open = codec_open,
	.num_streams = codec_num_streams,
	.data = codec_data,
	.eof = codec_eof,
	.drained = codec_drained,
	.link_ended = codec_link_ended,
	.free = codec_free,
	.shares = true,
};

struct client_codec *http2_client_codec(struct http2_client *h)
{
	return h == NULL ? NULL : &h->codec;
}

struct http2_client *http2_client_new(struct loop *loop, struct link *link,
				      const struct http2_client_events *events, void *owner)
{
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADER_LIST_MAX },
	};
	struct http2_client *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	h->codec.ops = &codec_ops;
	h->events = events;
	h->heard_ns = loop->now_ns;
	h->liveness.fire = liveness_fired;
	h->session.owner = owner;
	h->session.free = free_at_last;
	h->session.write_ns = PING_AFTER_NS;
	if (!http2_session_init(&h->session, &client_role, loop, link, settings,
				sizeof(settings) / sizeof(settings[0]))) {
		free(h);
		return NULL;
	}
	loop_after(loop, &h->liveness, PING_AFTER_NS);
	return h;
}

void http2_client_free(struct http2_client *h)
{
	if (h == NULL)
		return;
	loop_cancel(h->session.loop, &h->liveness);
	http2_session_free(&h->session);
}
