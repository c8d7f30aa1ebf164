#include "proxy/http/http1_client.h"

#include <stdio.h>
#include <stdlib.h>

#include "conf/must.h"
#include "proxy/http/http1_client_private.h"

enum {
	WINDOW = 64 << 10, /* bytes of a body that the user has not consumed */
	INTERIM_MAX = 32,  /* 1xx responses to one request */
};

static struct http1_client *from_work(struct loop_task *t)
{
	return (struct http1_client *)((char *)t - offsetof(struct http1_client, work));
}

static struct http1_client *from_grave(struct loop_task *t)
{
	return (struct http1_client *)((char *)t - offsetof(struct http1_client, grave));
}

static void set_timer(struct http1_client *h, int64_t ns)
{
	loop_after(h->loop, &h->timer, ns);
}

static struct http1_bounds bounds(const struct http1_client *h)
{
	return (struct http1_bounds){ .max_size = h->limits.max_header_size,
				      .max_fields = h->limits.max_headers };
}

bool http1_client_is_dead(const struct http1_client *h)
{
	return h->link == NULL || h->broken || h->link_over;
}

/* ---- the end */

static void note_cause(struct http1_client *h, enum cause why, const char *detail)
{
	if (h->cause != CAUSE_NONE)
		return;
	h->cause = why;
	(void)snprintf(h->detail, sizeof(h->detail), "%s", detail);
}

/* Tells the owner, from the loop only. */
static void tell_ended(struct http1_client *h)
{
	if (h->told_ended || h->freed)
		return;
	MUST(!h->attached);
	h->told_ended = true;
	h->dirty = true;
	loop_cancel(h->loop, &h->timer);
	loop_cancel(h->loop, &h->write_timer);
	h->events->ended(h->owner);
}

static void tell_aborted(struct http1_client *h, enum cause why, const char *detail)
{
	h->reading = HTTP1_IGNORE;
	h->dirty = true;
	h->aborted = true;
	loop_cancel(h->loop, &h->timer);
	loop_cancel(h->loop, &h->write_timer);
	h->stream.events->aborted(h->stream.owner, why, detail);
}

/* Whether the user has all of the response and given all of the request. */
static bool is_whole(const struct http1_client *h)
{
	return h->reading == HTTP1_AWAIT_END && h->sending == HTTP1_ASK_DONE;
}

static void after_link(struct http1_client *h)
{
	loop_cancel(h->loop, &h->timer);
	loop_cancel(h->loop, &h->write_timer);
	if (!h->attached)
		tell_ended(h);
	else if (!h->aborted && (h->cut_off || !is_whole(h)))
		tell_aborted(h, h->cause == CAUSE_CLOSED ? CAUSE_SERVER_CLOSED : h->cause,
			     h->detail);
}

/* The link is given up with the codec only: until then its owner may want to know what went through
 * it. */
void http1_client_cut(struct http1_client *h, enum cause why, const char *detail)
{
	note_cause(h, why, detail);
	link_pause(h->link);
	h->broken = true;
	h->in.view.n = 0;
	h->dirty = true;
	h->cut_off = true;
	http1_hold_drop(&h->hold, h->loop);
	loop_cancel(h->loop, &h->timer);
	loop_cancel(h->loop, &h->write_timer);
	loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
}

/* From the loop only. */
static void break_off(struct http1_client *h, enum cause why, const char *detail)
{
	http1_client_cut(h, why, detail);
	loop_unqueue(h->loop, &h->work);
	after_link(h);
}

static void bad_response(struct http1_client *h, const char *detail)
{
	break_off(h, CAUSE_BAD_RESPONSE, detail);
}

/* What would be a client's fault in a request. */
static void at_fault(struct http1_client *h, const struct http1_fault *f)
{
	break_off(h, f->why == CAUSE_MEMORY ? CAUSE_MEMORY : CAUSE_BAD_RESPONSE, f->detail);
}

/* ---- times */

void http1_client_asked(struct http1_client *h)
{
	if (h->reading == HTTP1_AWAIT_HEAD)
		set_timer(h, h->limits.response_head_ns);
}

void http1_client_touch(struct http1_client *h)
{
	if (h->tunnel && !http1_client_is_dead(h))
		set_timer(h, h->limits.tunnel_idle_ns);
}

static void timer_fired(struct timer *t)
{
	struct http1_client *h =
		(struct http1_client *)((char *)t - offsetof(struct http1_client, timer));

	CHECK(h, HTTP1_CLIENT_MAGIC);
	if (h->tunnel)
		break_off(h, CAUSE_IDLE_TIMEOUT, "nothing came through the tunnel");
	else if (h->reading == HTTP1_AWAIT_HEAD)
		break_off(h, CAUSE_RESPONSE_TIMEOUT, "no response came");
	else if (h->reading == HTTP1_AWAIT_BODY)
		break_off(h, CAUSE_SERVER_IDLE, "the response's body stopped");
}

static void write_timer_fired(struct timer *t)
{
	struct http1_client *h =
		(struct http1_client *)((char *)t - offsetof(struct http1_client, write_timer));
	size_t queued;

	CHECK(h, HTTP1_CLIENT_MAGIC);
	queued = link_queued(h->link);
	if (queued >= h->queued_seen) {
		break_off(h, CAUSE_SERVER_IDLE, "the request was not taken");
		return;
	}
	h->queued_seen = queued;
	loop_after(h->loop, t, h->limits.idle_ns);
}

/* ---- responses */

static void response_whole(struct http1_client *h, struct head *trailers)
{
	h->reading = HTTP1_AWAIT_END;
	loop_cancel(h->loop, &h->timer);
	/* What comes behind a response belongs to nothing. */
	if (h->in.view.n > 0)
		h->dirty = true;
	h->stream.events->end(h->stream.owner, trailers);
}

/* False: the exchange is over. */
static bool informational(struct http1_client *h, struct head *head, size_t len)
{
	h->interim_bytes += len;
	if (++h->num_interim > INTERIM_MAX || h->interim_bytes > h->limits.max_header_size) {
		head_free(head);
		bad_response(h, "too many interim responses");
		return false;
	}
	head->length = HEAD_UNKNOWN; /* RFC 9110 8.6: it may not say one */
	h->stream.events->informational(h->stream.owner, head);
	return true;
}

static void upgraded(struct http1_client *h, struct head *head)
{
	if (h->upgrade[0] == '\0' || h->sending != HTTP1_ASK_DONE ||
	    !span_eq_nocase(head->upgrade, span_str(h->upgrade))) {
		head_free(head);
		bad_response(h, "an upgrade that nobody asked for");
		return;
	}
	h->tunnel = true;
	h->dirty = true;
	h->reading = HTTP1_AWAIT_TUNNEL;
	h->sending = HTTP1_ASK_TUNNEL;
	http1_client_touch(h);
	h->stream.events->head(h->stream.owner, head, false);
}

/* RFC 9112 6.3. */
static void begin_response(struct http1_client *h, const struct http1_message *m)
{
	struct head *head = m->head;
	bool bodiless = h->is_head || head->status == 204 || head->status == 304;
	bool whole = bodiless || (m->sized && head->length == 0);

	if (head->status == 204)
		head->length = HEAD_UNKNOWN;
	if (!m->keep)
		h->dirty = true;
	if (whole) {
		h->reading = HTTP1_AWAIT_END;
		loop_cancel(h->loop, &h->timer);
		if (h->in.view.n > 0)
			h->dirty = true;
	} else {
		enum http1_body_kind kind = m->chunked ? HTTP1_BODY_CHUNKED
					    : m->sized ? HTTP1_BODY_SIZED
						       : HTTP1_BODY_OPEN;

		h->open_ended = kind == HTTP1_BODY_OPEN;
		h->dirty = h->dirty || h->open_ended;
		h->reading = HTTP1_AWAIT_BODY;
		http1_body_begin(&h->body, kind, head->length);
		set_timer(h, h->limits.idle_ns);
	}
	h->stream.events->head(h->stream.owner, head, whole);
}

/* Each step answers whether more of the input may be used. */

static bool read_head(struct http1_client *h)
{
	struct http1_message m;
	struct http1_fault fault;
	size_t len = 0;
	bool parsed;

	if (h->in.view.n == 0)
		return false;
	h->answered = true;
	switch (http1_scan(&h->scan, HTTP1_RESPONSE, bounds(h), h->in.view, &len, &fault)) {
	case HTTP1_MORE:
		return false;
	case HTTP1_BAD:
		at_fault(h, &fault);
		return false;
	case HTTP1_WHOLE:
		break;
	}
	parsed = http1_head_parse(HTTP1_RESPONSE, span_of(h->in.view.p, len), &m, &fault);
	h->in.view = span_of(h->in.view.p + len, h->in.view.n - len);
	h->scan = (struct http1_scan){ 0 };
	if (!parsed) {
		head_free(m.head);
		at_fault(h, &fault);
		return false;
	}
	if (m.head->status == 101)
		upgraded(h, m.head);
	else if (m.head->status < 200)
		return informational(h, m.head, len);
	else
		begin_response(h, &m);
	return true;
}

static void give_data(struct http1_client *h, struct span data)
{
	h->unconsumed += data.n;
	h->stream.events->data(h->stream.owner, data);
}

static bool read_body(struct http1_client *h)
{
	struct http1_fault fault;
	struct head *trailers = NULL;
	struct span data;

	if (h->unconsumed >= WINDOW)
		return false;
	switch (http1_body_next(&h->body, bounds(h), &h->in.view, &data, &trailers, &fault)) {
	case HTTP1_BODY_MORE:
		return false;
	case HTTP1_BODY_DATA:
		set_timer(h, h->limits.idle_ns);
		give_data(h, data);
		return true;
	case HTTP1_BODY_END:
		response_whole(h, trailers);
		return false;
	case HTTP1_BODY_BROKEN:
		at_fault(h, &fault);
		return false;
	}
	return false;
}

static bool read_tunnel(struct http1_client *h)
{
	struct span data = h->in.view;

	if (h->unconsumed >= WINDOW || data.n == 0)
		return false;
	h->in.view.n = 0;
	http1_client_touch(h);
	give_data(h, data);
	return false;
}

/* Bytes that belong to no response. */
static void dirt(struct http1_client *h)
{
	if (h->in.view.n == 0)
		return;
	h->in.view.n = 0;
	h->dirty = true;
	if (!h->attached)
		tell_ended(h);
	else if (h->reading == HTTP1_AWAIT_NOTHING)
		bad_response(h, "bytes before the request was sent");
}

/* The server has said all, and all of it has been used. */
static void at_eof(struct http1_client *h)
{
	h->eof_used = true;
	h->dirty = true;
	if (!h->attached) {
		tell_ended(h);
		return;
	}
	switch ((enum http1_client_reading)h->reading) {
	case HTTP1_AWAIT_BODY:
		if (h->open_ended)
			response_whole(h, NULL);
		else
			break_off(h, CAUSE_SERVER_CLOSED, "the response's body ended early");
		break;
	case HTTP1_AWAIT_NOTHING:
	case HTTP1_AWAIT_HEAD:
		break_off(h, CAUSE_SERVER_CLOSED,
			  h->in.view.n > 0 ? "the response's head ended early"
					   : "closed before a response");
		break;
	case HTTP1_AWAIT_TUNNEL:
		h->reading = HTTP1_AWAIT_END;
		h->stream.events->end(h->stream.owner, NULL);
		break;
	case HTTP1_AWAIT_END:
	case HTTP1_IGNORE:
		break;
	}
}

/* ---- the flow of input */

static bool must_pause(const struct http1_client *h)
{
	switch ((enum http1_client_reading)h->reading) {
	case HTTP1_AWAIT_BODY:
	case HTTP1_AWAIT_TUNNEL:
		return h->unconsumed >= WINDOW;
	case HTTP1_AWAIT_END:
		return h->dirty && h->attached && !h->eof;
	case HTTP1_IGNORE:
		return true;
	default:
		return false;
	}
}

static void pause(struct http1_client *h, bool stop)
{
	if (stop == h->paused)
		return;
	h->paused = stop;
	if (stop)
		link_pause(h->link);
	else
		link_resume(h->link);
	if (h->reading != HTTP1_AWAIT_BODY)
		return;
	/* While it is we who do not read, the server is not slow. */
	if (stop)
		loop_cancel(h->loop, &h->timer);
	else
		set_timer(h, h->limits.idle_ns);
}

static bool is_over(const struct http1_client *h)
{
	return h->freed || h->told_ended || http1_client_is_dead(h);
}

static void run(struct http1_client *h)
{
	bool more = true;

	while (more && !is_over(h)) {
		switch ((enum http1_client_reading)h->reading) {
		case HTTP1_AWAIT_HEAD:
			more = read_head(h);
			break;
		case HTTP1_AWAIT_BODY:
			more = read_body(h);
			break;
		case HTTP1_AWAIT_TUNNEL:
			more = read_tunnel(h);
			break;
		case HTTP1_AWAIT_NOTHING:
		case HTTP1_AWAIT_END:
			dirt(h);
			more = false;
			break;
		case HTTP1_IGNORE:
			h->in.view.n = 0;
			more = false;
			break;
		}
	}
	if (is_over(h))
		return;
	if (!http1_input_keep(&h->in)) {
		break_off(h, CAUSE_MEMORY, "");
		return;
	}
	pause(h, must_pause(h));
	if (h->eof && !h->eof_used && !h->paused)
		at_eof(h);
}

static void work_run(struct loop_task *t)
{
	struct http1_client *h = from_work(t);

	CHECK(h, HTTP1_CLIENT_MAGIC);
	if (h->told_ended)
		return;
	if (http1_client_is_dead(h)) {
		if (!h->attached || h->cut_off)
			after_link(h);
		return;
	}
	if (!h->attached && h->dirty) {
		tell_ended(h);
		return;
	}
	run(h);
	if (is_over(h) || !h->idle_due)
		return;
	h->idle_due = false;
	h->events->idle(h->owner);
}

static void grave_run(struct loop_task *t)
{
	struct http1_client *h = from_grave(t);

	CHECK(h, HTTP1_CLIENT_MAGIC);
	http1_input_fini(&h->in);
	h->magic = 0;
	free(h);
}

/* ---- from the link's owner */

void http1_client_data(struct http1_client *h, struct span bytes)
{
	CHECK(h, HTTP1_CLIENT_MAGIC);
	if (is_over(h))
		return;
	if (!http1_input_add(&h->in, bytes)) {
		break_off(h, CAUSE_MEMORY, "");
		return;
	}
	run(h);
}

void http1_client_eof(struct http1_client *h)
{
	CHECK(h, HTTP1_CLIENT_MAGIC);
	if (is_over(h))
		return;
	h->eof = true;
	run(h);
}

void http1_client_drained(struct http1_client *h)
{
	CHECK(h, HTTP1_CLIENT_MAGIC);
	h->blocked = false;
	loop_cancel(h->loop, &h->write_timer);
	if (!h->owed || !h->attached || h->aborted || h->broken)
		return;
	h->owed = false;
	h->stream.events->drained(h->stream.owner);
}

void http1_client_link_ended(struct http1_client *h, enum cause why, const char *detail)
{
	CHECK(h, HTTP1_CLIENT_MAGIC);
	if (is_over(h))
		return;
	note_cause(h, why, detail);
	h->link_over = true;
	h->dirty = true;
	h->in.view.n = 0;
	http1_hold_drop(&h->hold, h->loop);
	after_link(h);
}

/* ---- making, using and giving up */

/* ---- as one of the codecs */

static struct http1_client *from_codec(struct client_codec *c)
{
	return (struct http1_client *)((char *)c - offsetof(struct http1_client, codec));
}

static struct stream *codec_open(struct client_codec *c, const struct client_codec_limits *limits)
{
	return http1_client_open(from_codec(c), limits);
}

static unsigned codec_num_streams(const struct client_codec *c)
{
	const struct http1_client *h =
		(const struct http1_client *)(const void *)((const char *)c -
							    offsetof(struct http1_client, codec));

	return h->attached ? 1 : 0;
}

static void codec_data(struct client_codec *c, struct span bytes)
{
	http1_client_data(from_codec(c), bytes);
}

static void codec_eof(struct client_codec *c)
{
	http1_client_eof(from_codec(c));
}

static void codec_drained(struct client_codec *c)
{
	http1_client_drained(from_codec(c));
}

static void codec_link_ended(struct client_codec *c, enum cause why, const char *detail)
{
	http1_client_link_ended(from_codec(c), why, detail);
}

static void codec_free(struct client_codec *c)
{
	http1_client_free(from_codec(c));
}

static const struct client_codec_ops codec_ops = {
	.open = codec_open,
	.num_streams = codec_num_streams,
	.data = codec_data,
	.eof = codec_eof,
	.drained = codec_drained,
	.link_ended = codec_link_ended,
	.free = codec_free,
};

struct client_codec *http1_client_codec(struct http1_client *h)
{
	return h == NULL ? NULL : &h->codec;
}

/* ---- making one */

struct http1_client *http1_client_new(struct loop *loop, struct link *link,
				      const struct client_codec_events *events, void *owner)
{
	struct http1_client *h = malloc(sizeof(*h));

	if (h == NULL)
		return NULL;
	*h = (struct http1_client){
		.magic = HTTP1_CLIENT_MAGIC,
		.codec = { .ops = &codec_ops },
		.loop = loop,
		.link = link,
		.events = events,
		.owner = owner,
		.cause = CAUSE_NONE,
		.timer = { .fire = timer_fired },
		.write_timer = { .fire = write_timer_fired },
		.work = { .run = work_run },
		.flush = { .run = http1_client_flush },
		.grave = { .run = grave_run },
	};
	return h;
}

struct stream *http1_client_open(struct http1_client *h, const struct client_codec_limits *limits)
{
	CHECK(h, HTTP1_CLIENT_MAGIC);
	MUST(!h->attached);
	h->idle_due = false;
	if (is_over(h) || h->dirty || h->eof) {
		h->dirty = true;
		loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
		return NULL;
	}
	h->limits = *limits;
	h->stream = (struct stream){ .ops = &http1_client_ops };
	h->reading = HTTP1_AWAIT_NOTHING;
	h->sending = HTTP1_ASK_HEAD;
	h->scan = (struct http1_scan){ 0 };
	h->attached = true;
	h->aborted = h->cut_off = h->owed = h->answered = h->is_head = false;
	h->open_ended = false;
	h->unconsumed = h->interim_bytes = 0;
	h->num_interim = 0;
	h->upgrade[0] = '\0';
	return &h->stream;
}

void http1_client_free(struct http1_client *h)
{
	if (h == NULL)
		return;
	CHECK(h, HTTP1_CLIENT_MAGIC);
	MUST(!h->freed);
	h->freed = true;
	if (h->attached || h->broken) {
		link_abort(h->link);
	} else {
		if (h->link != NULL && !h->link_over)
			link_end(h->link); /* with TLS: close_notify */
		link_close(h->link);
	}
	h->attached = false;
	h->link = NULL;
	h->in.view.n = 0;
	loop_cancel(h->loop, &h->timer);
	loop_cancel(h->loop, &h->write_timer);
	http1_hold_drop(&h->hold, h->loop);
	loop_unqueue(h->loop, &h->work);
	loop_unqueue(h->loop, &h->flush);
	loop_queue(h->loop, &h->grave, LOOP_GRAVE);
}
