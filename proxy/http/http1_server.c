#include "proxy/http/http1_server.h"

#include <stdio.h>
#include <stdlib.h>

#include "conf/must.h"
#include "proxy/http/http1_server_private.h"

enum {
	WINDOW = 64 << 10, /* bytes of a body that the user has not consumed */
	DISCARD_MAX = 256 << 10,
};

static struct http1_server *from_work(struct loop_task *t)
{
	return (struct http1_server *)((char *)t - offsetof(struct http1_server, work));
}

static struct http1_server *from_grave(struct loop_task *t)
{
	return (struct http1_server *)((char *)t - offsetof(struct http1_server, grave));
}

static void set_timer(struct http1_server *h, int64_t ns)
{
	loop_after(h->loop, &h->timer, ns);
}

static struct http1_bounds bounds(const struct http1_server *h)
{
	return (struct http1_bounds){ .max_size = h->limits->max_header_size,
				      .max_fields = h->limits->max_headers };
}

bool http1_server_is_dead(const struct http1_server *h)
{
	return h->link == NULL || h->broken || h->link_over;
}

/* ---- the end */

static void note_end(struct http1_server *h, enum cause why, const char *detail)
{
	if (h->end_cause != CAUSE_NONE)
		return;
	h->end_cause = why;
	(void)snprintf(h->end_detail, sizeof(h->end_detail), "%s", detail);
}

/* Tells the owner, from the loop only. Nothing of the connection may be used afterwards. */
static void tell_ended(struct http1_server *h)
{
	if (h->told_ended || h->freed)
		return;
	MUST(!h->attached);
	h->told_ended = true;
	note_end(h, CAUSE_CLOSED, "");
	if (h->end_cause == CAUSE_CLOSED)
		h->orderly = true;
	loop_cancel(h->loop, &h->timer);
	loop_cancel(h->loop, &h->write_timer);
	h->events->ended(h->owner, h->end_cause, h->end_detail);
}

void http1_server_end(struct http1_server *h, enum cause why, const char *detail)
{
	note_end(h, why, detail);
	tell_ended(h);
}

void http1_server_tell_aborted(struct http1_server *h, enum cause why, const char *detail)
{
	h->reading = HTTP1_READ_DISCARD;
	h->keep = false;
	h->aborted = true;
	loop_cancel(h->loop, &h->timer);
	h->stream.events->aborted(h->stream.owner, why, detail);
}

/* Whether the user has all of the request and given all of the response. */
static bool is_whole(const struct http1_server *h)
{
	return h->reading == HTTP1_READ_NOTHING && h->sending == HTTP1_SEND_DONE;
}

/* What follows from a link that is no more. */
static void after_link(struct http1_server *h)
{
	loop_cancel(h->loop, &h->timer);
	loop_cancel(h->loop, &h->write_timer);
	if (!h->attached)
		tell_ended(h);
	else if (!h->aborted && (h->cut_off || !is_whole(h)))
		http1_server_tell_aborted(
			h, h->end_cause == CAUSE_CLOSED ? CAUSE_CLIENT_GONE : h->end_cause,
			h->end_detail);
}

/* The link is given up with the codec only: until then its owner, and who has a request on it, may
 * want to know what went through it. */
static void break_link(struct http1_server *h, enum cause why, const char *detail)
{
	note_end(h, why, detail);
	link_pause(h->link);
	h->broken = true;
	h->in.view.n = 0;
	http1_hold_drop(&h->hold, h->loop);
	loop_cancel(h->loop, &h->timer);
	loop_cancel(h->loop, &h->write_timer);
}

void http1_server_break_off(struct http1_server *h, enum cause why, const char *detail)
{
	break_link(h, why, detail);
	after_link(h);
}

void http1_server_cut(struct http1_server *h, enum cause why, const char *detail)
{
	break_link(h, why, detail);
	h->cut_off = true;
	loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
}

void http1_server_close(struct http1_server *h)
{
	h->reading = HTTP1_READ_CLOSING;
	h->in.view.n = 0;
	h->discarded = 0;
	http1_server_await_progress(h);
	link_end(h->link);
	set_timer(h, HTTP1_CLOSING_TICK_NS);
	loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
}

/* ---- requests */

static void begin_exchange(struct http1_server *h, const struct head *head)
{
	h->num_requests++;
	h->attached = true;
	h->aborted = false;
	h->stream = (struct stream){ .ops = &http1_server_ops };
	h->sending = HTTP1_SEND_HEAD;
	h->unconsumed = 0;
	h->discarded = 0;
	h->is_head = head != NULL && head->method == METHOD_HEAD;
	h->is_old = head != NULL && head->version == 10;
	h->te_trailers = head != NULL && head->te_trailers;
	h->upgrade_asked = head != NULL && head->upgrade.n > 0;
	h->expecting = head != NULL && head->expect_continue;
	loop_cancel(h->loop, &h->timer);
}

void http1_server_refuse(struct http1_server *h, struct head *head, const struct http1_fault *f)
{
	begin_exchange(h, head);
	h->in.view.n = 0;
	h->reading = HTTP1_READ_DISCARD;
	h->keep = false;
	h->events->refused(h->owner, &h->stream, head, f->status, f->why, f->detail);
	MUST(!h->attached || h->stream.events != NULL);
}

static void deliver(struct http1_server *h, const struct http1_message *m)
{
	struct head *head = m->head;
	bool whole = head->length == 0;

	begin_exchange(h, head);
	h->keep = m->keep &&
		  (h->limits->max_requests == 0 || h->num_requests < h->limits->max_requests);
	if (whole) {
		h->reading = HTTP1_READ_NOTHING;
	} else {
		h->reading = HTTP1_READ_BODY;
		http1_body_begin(&h->body, m->chunked ? HTTP1_BODY_CHUNKED : HTTP1_BODY_SIZED,
				 head->length);
		if (!h->expecting) /* else it waits for us */
			http1_server_await_body(h);
	}
	h->events->request(h->owner, &h->stream, head, whole);
	MUST(!h->attached || h->stream.events != NULL);
}

/* RFC 9112 2.2: one empty line before the request line is passed over. */
static void skip_empty_line(struct http1_server *h)
{
	struct span *v = &h->in.view;

	if (h->skipped || v->n < 2 || v->p[0] != '\r' || v->p[1] != '\n')
		return;
	*v = span_of(v->p + 2, v->n - 2);
	h->skipped = true;
	if (h->began && v->n == 0) { /* no request has begun, after all */
		h->began = false;
		if (h->num_requests > 0)
			set_timer(h, h->limits->keepalive_ns);
	}
}

/* Each step answers whether more of the input may be used in this turn. */

static bool read_head(struct http1_server *h)
{
	struct http1_message m;
	struct http1_fault fault;
	size_t len = 0;

	/* Who does not read its responses gets no more of them. */
	if (h->blocked)
		return false;
	skip_empty_line(h);
	if (h->in.view.n == 0)
		return false;
	if (!h->began) {
		h->began = true;
		/* The first request's time began with the connection. */
		if (h->num_requests > 0 || h->draining)
			set_timer(h, h->limits->request_header_ns);
	}
	if (!h->skipped && h->in.view.n == 1 && h->in.view.p[0] == '\r')
		return false;
	switch (http1_scan(&h->scan, HTTP1_REQUEST, bounds(h), h->in.view, &len, &fault)) {
	case HTTP1_MORE:
		return false;
	case HTTP1_BAD:
		http1_server_refuse(h, NULL, &fault);
		return false;
	case HTTP1_WHOLE:
		break;
	}
	if (!http1_head_parse(HTTP1_REQUEST, span_of(h->in.view.p, len), &m, &fault)) {
		http1_server_refuse(h, m.head, &fault);
		return false;
	}
	h->in.view = span_of(h->in.view.p + len, h->in.view.n - len);
	deliver(h, &m);
	return h->reading == HTTP1_READ_BODY;
}

static void give_data(struct http1_server *h, struct span data)
{
	h->unconsumed += data.n;
	h->rate_bytes += data.n;
	h->last_byte_ns = h->loop->now_ns;
	h->stream.events->data(h->stream.owner, data);
}

static bool read_body(struct http1_server *h)
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
		if (h->expecting) { /* did not wait for us */
			h->expecting = false;
			http1_server_await_body(h);
		}
		give_data(h, data);
		return true;
	case HTTP1_BODY_END:
		h->reading = HTTP1_READ_NOTHING;
		loop_cancel(h->loop, &h->timer);
		h->stream.events->end(h->stream.owner, trailers);
		return false;
	case HTTP1_BODY_BROKEN:
		h->in.view.n = 0;
		http1_server_tell_aborted(h, fault.why, fault.detail);
		return false;
	}
	return false;
}

static bool read_tunnel(struct http1_server *h)
{
	struct span data = h->in.view;

	if (h->unconsumed >= WINDOW || data.n == 0)
		return false;
	h->in.view.n = 0;
	http1_server_touch(h);
	give_data(h, data);
	return false;
}

static void discard(struct http1_server *h)
{
	h->discarded += h->in.view.n;
	h->in.view.n = 0;
}

/* The client has said all, and all of it has been used. */
static void at_eof(struct http1_server *h)
{
	switch ((enum http1_reading)h->reading) {
	case HTTP1_READ_HEAD:
		h->eof_used = true;
		if (h->began)
			http1_server_end(h, CAUSE_CLIENT_TRUNCATED,
					 "the request's head ended early");
		else
			http1_server_close(h);
		break;
	case HTTP1_READ_BODY:
		h->eof_used = true;
		http1_server_tell_aborted(h, CAUSE_CLIENT_TRUNCATED,
					  "the request's body ended early");
		break;
	case HTTP1_READ_TUNNEL:
		h->eof_used = true;
		h->reading = HTTP1_READ_NOTHING;
		h->stream.events->end(h->stream.owner, NULL);
		break;
	default:
		break;
	}
}

/* ---- the flow of input */

static bool must_pause(const struct http1_server *h)
{
	switch ((enum http1_reading)h->reading) {
	case HTTP1_READ_NOTHING:
		return h->in.view.n > 0;
	case HTTP1_READ_BODY:
	case HTTP1_READ_TUNNEL:
		return h->unconsumed >= WINDOW;
	case HTTP1_READ_DISCARD:
	case HTTP1_READ_CLOSING:
		return h->discarded >= DISCARD_MAX;
	case HTTP1_READ_HEAD: /* one request a task: what follows it waits for the next */
		return (h->work.queued != 0 || h->blocked) && h->in.view.n > 0;
	}
	return false;
}

static void pause(struct http1_server *h, bool stop)
{
	if (stop == h->paused)
		return;
	h->paused = stop;
	if (stop)
		link_pause(h->link);
	else
		link_resume(h->link);
	if (h->reading != HTTP1_READ_BODY)
		return;
	/* While it is we who do not read, nobody is slow. */
	if (stop)
		loop_cancel(h->loop, &h->timer);
	else
		http1_server_await_body(h);
}

static void run(struct http1_server *h)
{
	bool more = true;

	while (more && !h->freed && !h->told_ended && !http1_server_is_dead(h)) {
		switch ((enum http1_reading)h->reading) {
		case HTTP1_READ_HEAD:
			more = read_head(h);
			break;
		case HTTP1_READ_BODY:
			more = read_body(h);
			break;
		case HTTP1_READ_TUNNEL:
			more = read_tunnel(h);
			break;
		case HTTP1_READ_NOTHING:
			more = false;
			break;
		case HTTP1_READ_DISCARD:
		case HTTP1_READ_CLOSING:
			discard(h);
			more = false;
			break;
		}
	}
	if (h->freed || h->told_ended || http1_server_is_dead(h))
		return;
	if (!http1_input_keep(&h->in)) {
		http1_server_break_off(h, CAUSE_MEMORY, "");
		return;
	}
	pause(h, must_pause(h));
	if (h->eof && !h->eof_used && !h->paused && h->work.queued == 0)
		at_eof(h);
}

static void work_run(struct loop_task *t)
{
	struct http1_server *h = from_work(t);

	CHECK(h, HTTP1_SERVER_MAGIC);
	if (h->told_ended)
		return;
	if (http1_server_is_dead(h)) {
		if (!h->attached || h->cut_off)
			after_link(h);
		return;
	}
	/* One that was just made gets the time to ask that it was made for. */
	if (h->draining && h->num_requests > 0 && http1_server_is_idle(h))
		http1_server_close(h);
	run(h);
}

static void grave_run(struct loop_task *t)
{
	struct http1_server *h = from_grave(t);

	CHECK(h, HTTP1_SERVER_MAGIC);
	http1_input_fini(&h->in);
	h->magic = 0;
	free(h);
}

/* ---- from the link's owner */

void http1_server_data(struct http1_server *h, struct span bytes)
{
	CHECK(h, HTTP1_SERVER_MAGIC);
	if (h->told_ended || http1_server_is_dead(h))
		return;
	if (!http1_input_add(&h->in, bytes)) {
		http1_server_break_off(h, CAUSE_MEMORY, "");
		return;
	}
	run(h);
}

void http1_server_eof(struct http1_server *h)
{
	CHECK(h, HTTP1_SERVER_MAGIC);
	if (h->told_ended || http1_server_is_dead(h))
		return;
	h->eof = true;
	run(h);
}

void http1_server_drained(struct http1_server *h)
{
	CHECK(h, HTTP1_SERVER_MAGIC);
	h->blocked = false;
	loop_cancel(h->loop, &h->write_timer);
	if (h->paused && h->reading == HTTP1_READ_HEAD)
		loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
	if (!h->owed || !h->attached || h->aborted || h->broken)
		return;
	h->owed = false;
	h->stream.events->drained(h->stream.owner);
}

/* Between requests it is none, however a client goes; nor is it one if a client that has seen our
 * end does without close_notify. */
static bool is_no_failure(const struct http1_server *h, enum cause why)
{
	if (why == CAUSE_MEMORY || h->attached || h->began || h->num_requests == 0)
		return h->reading == HTTP1_READ_CLOSING && why == CAUSE_CLIENT_TRUNCATED;
	return h->sending == HTTP1_SEND_HEAD;
}

void http1_server_link_ended(struct http1_server *h, enum cause why, const char *detail)
{
	CHECK(h, HTTP1_SERVER_MAGIC);
	if (h->told_ended || http1_server_is_dead(h))
		return;
	note_end(h, is_no_failure(h, why) ? CAUSE_CLOSED : why, detail);
	h->link_over = true;
	h->in.view.n = 0;
	http1_hold_drop(&h->hold, h->loop);
	after_link(h);
}

/* ---- making and giving up */

void http1_server_next(struct http1_server *h)
{
	h->reading = HTTP1_READ_HEAD;
	h->sending = HTTP1_SEND_HEAD;
	h->scan = (struct http1_scan){ 0 };
	h->began = h->skipped = false;
	http1_server_await_progress(h);
	set_timer(h, h->limits->keepalive_ns);
	loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
}

void http1_server_drain(struct http1_server *h)
{
	CHECK(h, HTTP1_SERVER_MAGIC);
	h->draining = true;
	if (h->num_requests == 0 && http1_server_is_idle(h))
		set_timer(h, codec_drain_wait_ns(h->limits->request_header_ns));
	loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
}

bool http1_server_is_idle(const struct http1_server *h)
{
	CHECK(h, HTTP1_SERVER_MAGIC);
	return !h->attached && h->reading == HTTP1_READ_HEAD && !h->began && h->in.view.n == 0;
}

struct http1_server *http1_server_new(struct loop *loop, struct link *link,
				      const struct http1_limits *limits,
				      const struct server_codec_events *events, void *owner)
{
	struct http1_server *h = malloc(sizeof(*h));

	if (h == NULL)
		return NULL;
	*h = (struct http1_server){
		.magic = HTTP1_SERVER_MAGIC,
		.keep = true,
		.codec = { .ops = &http1_server_codec_ops },
		.loop = loop,
		.link = link,
		.limits = limits,
		.events = events,
		.owner = owner,
		.end_cause = CAUSE_NONE,
		.timer = { .fire = http1_server_timer },
		.write_timer = { .fire = http1_server_write_timer },
		.work = { .run = work_run },
		.flush = { .run = http1_server_flush },
		.grave = { .run = grave_run },
	};
	set_timer(h, limits->request_header_ns);
	return h;
}

void http1_server_free(struct http1_server *h)
{
	if (h == NULL)
		return;
	CHECK(h, HTTP1_SERVER_MAGIC);
	MUST(!h->freed);
	h->freed = true;
	h->attached = false;
	if (h->told_ended && h->orderly && !h->broken) {
		if (h->link != NULL && !h->link_over)
			link_end(h->link); /* with TLS: close_notify */
		link_close(h->link);
	} else {
		link_abort(h->link);
	}
	h->link = NULL;
	h->in.view.n = 0;
	http1_hold_drop(&h->hold, h->loop);
	loop_cancel(h->loop, &h->timer);
	loop_cancel(h->loop, &h->write_timer);
	http1_hold_drop(&h->hold, h->loop);
	loop_unqueue(h->loop, &h->work);
	loop_unqueue(h->loop, &h->flush);
	loop_queue(h->loop, &h->grave, LOOP_GRAVE);
}
