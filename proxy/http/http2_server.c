#include "proxy/http/http2_server.h"

#include <stdlib.h>

#include "conf/must.h"
#include "proxy/http/http2_priority.h"
#include "proxy/http/http2_session.h"

enum {
	STREAM_WINDOW = 256 << 10,
	WINDOW = 1 << 20, /* of all streams together: what a connection may make us keep */
};
#define SHUTDOWN_NS INT64_C(1000000000) /* for a client that does not answer our PING */

/* What is said of the end, and when. */
enum draining {
	DRAINING_NOT,
	DRAINING_DUE,
	DRAINING_TOLD, /* to open no more; those on their way are still taken */
	DRAINING_SHUT, /* and which was the last */
};

struct http2_server {
	struct http2_session session; /* first */
	struct server_codec codec;
	const struct http2_limits *limits;
	const struct server_codec_events *events;
	uint64_t num_requests;
	uint8_t draining;   /* enum draining */
	bool idle;	    /* `timer` is that of a connection without requests */
	struct timer timer; /* for a head, or the next request */
	struct timer shutdown;
};

static struct http2_server *from_session(struct http2_session *h)
{
	CHECK(h, HTTP2_SESSION_MAGIC);
	return (struct http2_server *)h;
}

/* ---- times */

/* Where a window is half full or less, the client has been told to send. */
static bool is_full(const struct http2_stream *s)
{
	return s->unconsumed >= STREAM_WINDOW / 2;
}

static void set_body_timer(struct http2_stream *s)
{
	const struct http2_limits *limits = from_session(s->session)->limits;
	int64_t due = s->last_byte_ns + limits->request_body_ns;
	int64_t rate = s->rate_from_ns + limits->minimum_rate_over_ns;

	if (limits->minimum_rate > 0 && rate < due)
		due = rate;
	wheel_set(&s->session->loop->wheel, &s->timer, due);
}

static void await_body(struct http2_stream *s)
{
	s->last_byte_ns = s->rate_from_ns = s->session->loop->now_ns;
	s->rate_bytes = 0;
	set_body_timer(s);
}

/* While it is we who do not read, nobody is slow; nor is who waits for our 100. */
static void moved(struct http2_stream *s, size_t came)
{
	if (came > 0) {
		s->expecting = false;
		s->rate_bytes += came;
		s->last_byte_ns = s->session->loop->now_ns;
	}
	if (s->tunnel || s->upgrade_asked || s->whole || s->discard || s->aborted || s->expecting)
		return;
	if (is_full(s))
		loop_cancel(s->session->loop, &s->timer);
	else if (s->timer.deadline_ns == 0)
		await_body(s);
}

static void read_over(struct http2_stream *s)
{
	if (!s->tunnel)
		loop_cancel(s->session->loop, &s->timer);
}

/* It may still be answered: not reset. */
static void late(struct http2_stream *s, enum cause why, const char *detail)
{
	s->discard = true;
	http2_stream_cut(s, why, detail);
}

static void body_timer(struct http2_stream *s)
{
	const struct http2_limits *limits = from_session(s->session)->limits;
	int64_t now = s->session->loop->now_ns;
	int64_t over = now - s->rate_from_ns;

	if (s->whole || s->discard)
		return;
	if (s->session->unconsumed >= WINDOW / 2) { /* others may have filled it all */
		await_body(s);
		return;
	}
	if (now - s->last_byte_ns >= limits->request_body_ns) {
		late(s, CAUSE_BODY_TIMEOUT, "the request's body stopped");
		return;
	}
	if (limits->minimum_rate > 0 && over >= limits->minimum_rate_over_ns) {
		if ((double)s->rate_bytes * 1e9 < (double)limits->minimum_rate * (double)over) {
			late(s, CAUSE_TOO_SLOW, "the request's body is too slow");
			return;
		}
		s->rate_from_ns = now;
		s->rate_bytes = 0;
	}
	set_body_timer(s);
}

/* Without a head that has begun and without a request, the next one is waited for. */
static void await_request(struct http2_server *h)
{
	struct http2_session *x = &h->session;
	bool idle = x->num_streams == 0 && !x->in_block;

	if (idle && !h->idle)
		loop_after(x->loop, &h->timer,
			   h->num_requests == 0 ? h->limits->request_header_ns
						: h->limits->keepalive_ns);
	else if (!idle && h->idle && !x->in_block)
		loop_cancel(x->loop, &h->timer);
	h->idle = idle;
}

static void block(struct http2_session *x, bool begins)
{
	struct http2_server *h = from_session(x);

	if (!begins) {
		loop_cancel(x->loop, &h->timer);
		h->idle = false;
	} else if (h->num_requests > 0 || !h->idle) { /* the first one's has begun before */
		loop_after(x->loop, &h->timer, h->limits->request_header_ns);
		h->idle = false;
	}
}

/* GOAWAY with the number of the last stream that is taken. */
static void say_last(struct http2_session *x)
{
	if (nghttp2_submit_goaway(x->ng, NGHTTP2_FLAG_NONE, x->last_id, NGHTTP2_NO_ERROR, NULL,
				  0) != 0)
		http2_fail(x, NGHTTP2_INTERNAL_ERROR, CAUSE_MEMORY, "");
}

/* It is idle; but the last response may still be on its way. */
static void go_away(struct http2_server *h)
{
	struct http2_session *x = &h->session;

	say_last(x);
	http2_close(x);
}

static void timer_fired(struct timer *t)
{
	struct http2_server *h =
		(struct http2_server *)((char *)t - offsetof(struct http2_server, timer));
	struct http2_session *x = &h->session;

	if (http2_is_dead(x))
		return;
	if (x->in_block)
		http2_fail(x, NGHTTP2_ENHANCE_YOUR_CALM, CAUSE_HEADER_TIMEOUT,
			   "the request's head took too long");
	else if (h->num_requests == 0)
		http2_fail(x, NGHTTP2_NO_ERROR, CAUSE_HEADER_TIMEOUT, "no request came");
	else
		go_away(h);
}

/* ---- requests */

static struct http2_bounds bounds(struct http2_session *x, struct http2_stream *s)
{
	const struct http2_limits *limits = from_session(x)->limits;

	(void)s;
	return (struct http2_bounds){ .max_size = limits->max_header_size,
				      .max_fields = limits->max_headers };
}

static bool begin(struct http2_session *x, int32_t id)
{
	const struct http2_server *h = from_session(x);

	(void)id;
	return !x->eof && x->num_streams < h->limits->max_concurrent_streams;
}

/* RFC 9218 4, 5: urgency and incremental are nghttp2's to act upon. */
static void set_priority(struct http2_session *x, const struct http2_stream *s)
{
	nghttp2_extpri priority = http2_priority_parse(x->block.priority);

	(void)nghttp2_session_change_extpri_stream_priority(x->ng, s->id, &priority, 0);
}

static void start(struct http2_stream *s)
{
	struct http2_server *h = from_session(s->session);
	struct head *asked = s->asked;
	bool more;

	s->asked = NULL;
	http2_stream_give(s);
	if (s->fault.harm == HTTP2_REFUSED) {
		h->events->refused(h->session.owner, &s->stream, asked, s->fault.status,
				   s->fault.why, s->fault.detail);
		MUST(!s->attached || s->stream.events != NULL);
		return;
	}
	moved(s, s->early.len);
	more = s->early.len > 0 || s->early_trailers != NULL;
	h->events->request(h->session.owner, &s->stream, asked,
			   s->upgrade_asked || (s->whole && !more));
	MUST(!s->attached || s->stream.events != NULL);
	if (more && !s->upgrade_asked)
		http2_give_early(s);
}

static void head_came(struct http2_session *x, struct http2_stream *s, bool end)
{
	struct http2_server *h = from_session(x);
	const struct head *known = x->block.head;

	h->num_requests++;
	s->head_came = true;
	s->whole = end;
	s->stall_ns = h->limits->response_write_ns;
	s->tunnel_ns = h->limits->tunnel_idle_ns;
	s->is_head = known != NULL && known->method == METHOD_HEAD;
	if (h->limits->max_requests > 0 && h->num_requests >= h->limits->max_requests)
		http2_server_drain(h);
	s->fault = x->block.fault;
	if (s->fault.why == CAUSE_MEMORY) /* not all of it may be there */
		http2_block_drop(&x->block);
	if (s->fault.harm == HTTP2_REFUSED)
		s->discard = true;
	else if (x->block.priority.n > 0) /* else a PRIORITY_UPDATE that came first may count */
		set_priority(x, s);
	s->asked = http2_block_take(&x->block);
	if (s->fault.harm != HTTP2_REFUSED) {
		s->upgrade_asked = s->asked->extended_connect;
		s->expecting = s->asked->expect_continue;
		s->left_in = s->upgrade_asked ? HEAD_UNKNOWN : s->asked->length;
	}
	http2_stream_wait(s);
}

/* ---- responses */

static bool has_body(const struct http2_stream *s, unsigned status)
{
	return !s->is_head && status != 204 && status != 304;
}

static int64_t length_to_tell(const struct http2_stream *s, const struct head *head, bool end)
{
	if (s->tunnel || head->status == 204)
		return HEAD_UNKNOWN;
	if (end && has_body(s, head->status))
		return 0;
	return head->length;
}

static bool send_head(struct http2_stream *s, const struct head *head, bool end)
{
	struct http2_session *h = s->session;
	nghttp2_data_provider body = http2_data_source(s);
	struct http2_fields f;
	int rv = -1;

	if (head->status == 101 ? !s->upgrade_asked
				: head->status < 200 || (s->upgrade_asked && head->status < 300)) {
		/* A 2xx would be taken for a tunnel (RFC 8441 5). */
		http2_stream_break(s, NGHTTP2_INTERNAL_ERROR, CAUSE_BAD_RESPONSE,
				   "an upgrade and a response that do not go together");
		return true;
	}
	s->tunnel = head->status == 101;
	if (s->tunnel)
		http2_stream_list(s); /* for what came early */
	s->bodiless = !s->tunnel && (end || !has_body(s, head->status));
	if (!s->bodiless && !s->tunnel)
		s->left_out = head->length;
	http2_fields_response(&f, head, length_to_tell(s, head, end));
	if (f.list != NULL)
		rv = nghttp2_submit_response(h->ng, s->id, f.list, f.num,
					     s->bodiless ? NULL : &body);
	http2_fields_fini(&f);
	return rv == 0;
}

static void nothing(struct http2_stream *s)
{
	(void)s;
}

/* ---- the end */

static void shut(struct http2_server *h)
{
	struct http2_session *x = &h->session;

	if (h->draining != DRAINING_TOLD || http2_is_dead(x))
		return;
	h->draining = DRAINING_SHUT;
	loop_cancel(x->loop, &h->shutdown);
	say_last(x);
	http2_output_due(x);
	loop_queue(x->loop, &x->work, LOOP_TRAFFIC);
}

static void shutdown_fired(struct timer *t)
{
	shut((struct http2_server *)((char *)t - offsetof(struct http2_server, shutdown)));
}

/* RFC 9113 6.8: requests that the client sends before it knows are still taken. */
static void begin_draining(struct http2_server *h)
{
	struct http2_session *x = &h->session;

	h->draining = DRAINING_TOLD;
	if (nghttp2_submit_shutdown_notice(x->ng) != 0)
		http2_fail(x, NGHTTP2_INTERNAL_ERROR, CAUSE_MEMORY, "");
	loop_after(x->loop, &h->shutdown, SHUTDOWN_NS);
	http2_output_due(x);
}

/* What answers a PING from behind it comes when the client knows. */
static void said_goaway(struct http2_session *x)
{
	static const uint8_t mark[8] = { 'd', 'r', 'a', 'i', 'n' };

	if (from_session(x)->draining == DRAINING_TOLD &&
	    nghttp2_submit_ping(x->ng, NGHTTP2_FLAG_NONE, mark) != 0)
		http2_fail(x, NGHTTP2_INTERNAL_ERROR, CAUSE_MEMORY, "");
}

static void frame_came(struct http2_session *x, const nghttp2_frame *frame)
{
	if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0)
		shut(from_session(x));
}

static void settled(struct http2_session *x)
{
	struct http2_server *h = from_session(x);

	if (h->draining == DRAINING_DUE)
		begin_draining(h);
	if (x->num_streams == 0 && !x->in_block && (h->draining == DRAINING_SHUT || x->eof))
		http2_close(x);
	if (!http2_is_dead(x))
		await_request(h);
}

static void cancel_timers(struct http2_server *h)
{
	loop_cancel(h->session.loop, &h->timer);
	loop_cancel(h->session.loop, &h->shutdown);
}

static void session_ended(struct http2_session *x)
{
	struct http2_server *h = from_session(x);

	cancel_timers(h);
	h->events->ended(x->owner, x->cause, x->detail);
}

static const struct http2_role server_role = {
	.is_server = true,
	.window = WINDOW,
	.begin = begin,
	.bounds = bounds,
	.head = head_came,
	.start = start,
	.block = block,
	.moved = moved,
	.read = read_over,
	.wrote = nothing,
	.timer = body_timer,
	.send_head = send_head,
	.frame = frame_came,
	.said_goaway = said_goaway,
	.settled = settled,
	.ended = session_ended,
	.gone = CAUSE_CLIENT_GONE,
	.reset = CAUSE_CLIENT_RESET,
	.protocol = CAUSE_H2_PROTOCOL,
};

/* ---- from the link's owner */

void http2_server_data(struct http2_server *h, struct span bytes)
{
	http2_session_data(&h->session, bytes);
}

void http2_server_eof(struct http2_server *h)
{
	http2_session_eof(&h->session);
}

void http2_server_drained(struct http2_server *h)
{
	http2_session_drained(&h->session);
}

void http2_server_link_ended(struct http2_server *h, enum cause why, const char *detail)
{
	http2_session_link_ended(&h->session, why, detail);
}

void http2_server_drain(struct http2_server *h)
{
	CHECK(&h->session, HTTP2_SESSION_MAGIC);
	if (h->draining != DRAINING_NOT)
		return;
	h->draining = DRAINING_DUE;
	loop_queue(h->session.loop, &h->session.work, LOOP_TRAFFIC);
}

bool http2_server_is_idle(const struct http2_server *h)
{
	CHECK(&h->session, HTTP2_SESSION_MAGIC);
	return h->session.num_streams == 0 && !h->session.in_block;
}

static struct http2_server *from_codec(struct server_codec *c)
{
	return (struct http2_server *)((char *)c - offsetof(struct http2_server, codec));
}

static void codec_data(struct server_codec *c, struct span bytes)
{
	http2_server_data(from_codec(c), bytes);
}

static void codec_eof(struct server_codec *c)
{
	http2_server_eof(from_codec(c));
}

static void codec_drained(struct server_codec *c)
{
	http2_server_drained(from_codec(c));
}

static void codec_link_ended(struct server_codec *c, enum cause why, const char *detail)
{
	http2_server_link_ended(from_codec(c), why, detail);
}

static void codec_drain(struct server_codec *c)
{
	http2_server_drain(from_codec(c));
}

static bool codec_is_idle(const struct server_codec *c)
{
	return http2_server_is_idle(
		(const struct http2_server *)((const char *)c -
					      offsetof(struct http2_server, codec)));
}

static void codec_free(struct server_codec *c)
{
	http2_server_free(from_codec(c));
}

static const struct server_codec_ops codec_ops = {
	.data = codec_data,
	.eof = codec_eof,
	.drained = codec_drained,
	.link_ended = codec_link_ended,
	.drain = codec_drain,
	.is_idle = codec_is_idle,
	.free = codec_free,
};

struct server_codec *http2_server_codec(struct http2_server *h)
{
	return h == NULL ? NULL : &h->codec;
}

/* ---- making and giving up */

static void free_at_last(struct http2_session *x)
{
	free(x); /* it comes first */
}

struct http2_server *http2_server_new(struct loop *loop, struct link *link,
				      const struct http2_limits *limits,
				      const struct server_codec_events *events, void *owner)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits->max_concurrent_streams },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)limits->max_header_size },
		{ NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 },
		{ NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
	};
	struct http2_server *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	h->codec.ops = &codec_ops;
	h->limits = limits;
	h->events = events;
	h->timer.fire = timer_fired;
	h->shutdown.fire = shutdown_fired;
	h->session.owner = owner;
	h->session.free = free_at_last;
	h->session.write_ns = limits->response_write_ns;
	if (!http2_session_init(&h->session, &server_role, loop, link, settings,
				sizeof(settings) / sizeof(settings[0]))) {
		free(h);
		return NULL;
	}
	await_request(h);
	return h;
}

void http2_server_free(struct http2_server *h)
{
	if (h == NULL)
		return;
	cancel_timers(h);
	http2_session_free(&h->session);
}
