#include "proxy/http/http2_session.h"

#include <stdio.h>
#include <stdlib.h>

#include "conf/must.h"

enum {
	RESETS_MAX = 400, /* a browser that gives up a page resets all of its streams at once */
	RESETS_PER_SECOND = 40,
	CONTROL_MAX = 1000,
	CONTROL_PER_SECOND = 100,
	EMPTIES_MAX = 200,
	EMPTIES_PER_SECOND = 50,
	GOAWAY_BYTES = 17,
	SEND_HEADER_MAX = 512 << 10, /* what HTTP/1 let in shall find its way out */
	STARTS_IN_A_ROW = 16,	     /* requests of one connection */
};
#define CLOSING_TICK_NS INT64_C(20000000)

static struct http2_session *from_work(struct loop_task *t)
{
	return (struct http2_session *)((char *)t - offsetof(struct http2_session, work));
}

static struct http2_session *from_grave(struct loop_task *t)
{
	return (struct http2_session *)((char *)t - offsetof(struct http2_session, grave));
}

bool http2_is_dead(const struct http2_session *h)
{
	return h->over || h->freed || h->link == NULL || h->link_over;
}

static bool can_write(const struct http2_session *h)
{
	return h->link != NULL && !h->link_over && !h->freed && !h->closing && !h->broken;
}

/* ---- streams */

static void stream_timer(struct timer *t)
{
	struct http2_stream *s =
		(struct http2_stream *)((char *)t - offsetof(struct http2_stream, timer));

	CHECK(s, HTTP2_STREAM_MAGIC);
	if (!s->tunnel)
		s->session->role->timer(s);
	else if (s->attached && !s->aborted)
		http2_stream_break(s, NGHTTP2_CANCEL, CAUSE_IDLE_TIMEOUT,
				   "nothing came through the tunnel");
}

struct http2_stream *http2_stream_new(struct http2_session *h)
{
	struct http2_stream *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	*s = (struct http2_stream){
		.magic = HTTP2_STREAM_MAGIC,
		.session = h,
		.left_in = HEAD_UNKNOWN,
		.left_out = HEAD_UNKNOWN,
		.stream = { .ops = &http2_stream_ops },
		.timer = { .fire = stream_timer },
		.write_timer = { .fire = http2_write_timer },
	};
	buffer_init(&s->early);
	buffer_init(&s->out);
	TAILQ_INSERT_TAIL(&h->streams, s, entry);
	h->num_streams++;
	return s;
}

void http2_stream_give(struct http2_stream *s)
{
	s->attached = true;
	s->session->num_attached++;
}

void http2_stream_list(struct http2_stream *s)
{
	struct http2_session *h = s->session;

	if (!s->listed && !h->freed) {
		s->listed = true;
		TAILQ_INSERT_TAIL(&h->told, s, told);
	}
	loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
}

void http2_stream_wait(struct http2_stream *s)
{
	s->waiting = true;
	http2_stream_list(s);
}

static void unlist(struct http2_stream *s)
{
	if (s->listed)
		TAILQ_REMOVE(&s->session->told, s, told);
	s->listed = false;
}

void http2_stream_start(struct http2_stream *s)
{
	if (!s->waiting)
		return;
	unlist(s);
	s->waiting = false;
	s->session->role->start(s);
}

/* It has been taken back, or is no request after all: nobody hears of it. */
static void forget(struct http2_stream *s)
{
	struct http2_session *h = s->session;

	if (!s->waiting)
		return;
	unlist(s);
	s->waiting = false;
	head_free(s->asked);
	s->asked = NULL;
	h->unconsumed -= s->unconsumed;
	if (!http2_is_dead(h) && nghttp2_session_consume_connection(h->ng, s->unconsumed) != 0)
		http2_fail(h, NGHTTP2_INTERNAL_ERROR, CAUSE_MEMORY, "");
	s->unconsumed = 0;
}

static void drop_buffers(struct http2_stream *s)
{
	struct http2_session *h = s->session;

	h->buffered -= s->out.len;
	buffer_drop(&s->out, h->loop, s->out.len);
	buffer_drop(&s->early, h->loop, s->early.len);
	head_free(s->early_trailers);
	head_free(s->trailers);
	s->early_trailers = s->trailers = NULL;
}

void http2_stream_let_go(struct http2_stream *s)
{
	struct http2_session *h = s->session;

	if (s->attached || s->open || s->dead)
		return;
	s->dead = true;
	loop_cancel(h->loop, &s->timer);
	loop_cancel(h->loop, &s->write_timer);
	forget(s);
	unlist(s);
	drop_buffers(s);
	TAILQ_REMOVE(&h->streams, s, entry);
	TAILQ_INSERT_TAIL(&h->dead, s, entry);
	h->num_streams--;
	loop_queue(h->loop, &h->grave, LOOP_GRAVE);
	loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
}

void http2_stream_cut(struct http2_stream *s, enum cause why, const char *detail)
{
	if (!s->attached || s->cut || s->aborted)
		return;
	s->cut = true;
	s->cause = why;
	(void)snprintf(s->detail, sizeof(s->detail), "%s", detail);
	http2_stream_list(s);
}

void http2_stream_reset(struct http2_stream *s, uint32_t code)
{
	struct http2_session *h = s->session;

	if (s->reset || !s->open || http2_is_dead(h))
		return;
	s->reset = true;
	forget(s);
	if (nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, s->id, code) != 0)
		http2_fail(h, NGHTTP2_INTERNAL_ERROR, CAUSE_MEMORY, "");
	http2_output_due(h);
}

void http2_stream_break(struct http2_stream *s, uint32_t code, enum cause why, const char *detail)
{
	http2_stream_reset(s, code);
	http2_stream_cut(s, why, detail);
}

void http2_stream_touch(struct http2_stream *s)
{
	if (s->tunnel && s->open && !s->aborted)
		loop_after(s->session->loop, &s->timer, s->tunnel_ns);
}

bool http2_spend(struct http2_session *h, struct http2_budget *b, enum cause why)
{
	if (http2_budget_spend(b, 1, h->loop->now_ns))
		return true;
	http2_fail(h, NGHTTP2_ENHANCE_YOUR_CALM, why, "too many frames of a kind");
	return false;
}

/* ---- the end */

static void note_end(struct http2_session *h, enum cause why, const char *detail)
{
	if (h->cause != CAUSE_NONE)
		return;
	h->cause = why;
	(void)snprintf(h->detail, sizeof(h->detail), "%s", detail);
}

void http2_fail(struct http2_session *h, uint32_t code, enum cause why, const char *detail)
{
	if (h->over)
		return;
	note_end(h, why, detail);
	h->over = true;
	h->goaway_due = !h->goaway_said;
	h->goaway_code = code;
	loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
}

static void put_u32(uint8_t *p, uint32_t n)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(n >> (24 - 8 * i));
}

/* nghttp2 may be in the middle of something: the last frame is made by hand. */
static void say_goaway(struct http2_session *h)
{
	uint8_t frame[GOAWAY_BYTES] = { 0, 0, 8, NGHTTP2_GOAWAY };

	h->goaway_due = false;
	if (!can_write(h))
		return;
	h->orderly = true;
	put_u32(frame + 9, (uint32_t)h->last_id);
	put_u32(frame + 13, h->goaway_code);
	(void)link_write(h->link, span_of(frame, sizeof(frame)));
}

static void close_streams(struct http2_session *h)
{
	struct http2_stream *s, *next;

	for (s = TAILQ_FIRST(&h->streams); s != NULL; s = next) {
		enum cause why = h->cause == CAUSE_CLOSED ? h->role->gone : h->cause;

		next = TAILQ_NEXT(s, entry);
		s->open = false;
		loop_cancel(h->loop, &s->timer);
		loop_cancel(h->loop, &s->write_timer);
		if (!(s->whole && s->sent))
			http2_stream_cut(s, why, h->detail);
		http2_stream_let_go(s);
	}
}

/* From the loop only. */
static void tell_ended(struct http2_session *h)
{
	if (h->told_ended || h->freed || h->num_attached > 0)
		return;
	h->told_ended = true;
	h->over = true;
	note_end(h, CAUSE_CLOSED, "");
	if (h->cause == CAUSE_CLOSED)
		h->orderly = true;
	loop_cancel(h->loop, &h->write_timer);
	loop_cancel(h->loop, &h->closing_timer);
	h->role->ended(h);
}

void http2_close(struct http2_session *h)
{
	if (h->closing || !can_write(h))
		return;
	http2_flush_now(h);
	if (h->over)
		return;
	h->closing = true;
	h->over = true;
	note_end(h, CAUSE_CLOSED, "");
	http2_await_progress(h);
	link_end(h->link);
	loop_after(h->loop, &h->closing_timer, CLOSING_TICK_NS);
}

/* The link is given up with the codec only: until then its owner, and who has a request on it, may
 * want to know what went through it. */
static void break_off(struct http2_session *h, enum cause why, const char *detail)
{
	note_end(h, why, detail);
	h->over = h->broken = true;
	link_pause(h->link);
	loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
}

void http2_await_progress(struct http2_session *h)
{
	h->queued_seen = SIZE_MAX;
	h->progress_ns = h->loop->now_ns;
}

/* Whether output has moved within the time that it has. */
static bool is_moving(struct http2_session *h)
{
	size_t queued = link_queued(h->link);

	if (queued < h->queued_seen)
		h->progress_ns = h->loop->now_ns;
	h->queued_seen = queued;
	return h->loop->now_ns - h->progress_ns < h->write_ns;
}

static void closing_timer(struct timer *t)
{
	struct http2_session *h =
		(struct http2_session *)((char *)t - offsetof(struct http2_session, closing_timer));

	CHECK(h, HTTP2_SESSION_MAGIC);
	if (link_queued(h->link) == 0) {
		h->closing = false;
		tell_ended(h);
	} else if (is_moving(h)) {
		loop_after(h->loop, t, CLOSING_TICK_NS);
	} else {
		break_off(h, CAUSE_WRITE_TIMEOUT, "the response was not taken");
	}
}

static void write_timer(struct timer *t)
{
	struct http2_session *h =
		(struct http2_session *)((char *)t - offsetof(struct http2_session, write_timer));

	CHECK(h, HTTP2_SESSION_MAGIC);
	if (http2_is_dead(h))
		return;
	if (is_moving(h))
		loop_after(h->loop, t, h->write_ns);
	else
		break_off(h, CAUSE_WRITE_TIMEOUT, "output was not taken");
}

/* ---- events by the loop */

static void tell(struct http2_stream *s)
{
	http2_stream_start(s);
	if (!s->attached || s->aborted)
		return;
	if (s->cut) {
		s->aborted = true;
		s->discard = true;
		loop_cancel(s->session->loop, &s->timer);
		s->stream.events->aborted(s->stream.owner, s->cause, s->detail);
		return;
	}
	if (s->tunnel && s->early.len > 0)
		http2_give_early(s);
	if (s->attached && !s->aborted && s->owed && s->out.len <= LINK_LOW_WATER) {
		s->owed = false;
		s->stream.events->drained(s->stream.owner);
	}
}

static void work_run(struct loop_task *t)
{
	struct http2_session *h = from_work(t);
	unsigned num_started = 0;
	struct http2_stream *s;

	CHECK(h, HTTP2_SESSION_MAGIC);
	if (h->freed || h->told_ended)
		return;
	if (h->goaway_due)
		say_goaway(h);
	if (http2_is_dead(h))
		close_streams(h);
	h->collecting = true;
	for (unsigned n = h->num_streams; n > 0 && !h->freed; n--) {
		if ((s = TAILQ_FIRST(&h->told)) == NULL)
			break;
		if (s->waiting && ++num_started > STARTS_IN_A_ROW)
			break;
		unlist(s);
		tell(s);
	}
	h->collecting = false;
	if (h->freed)
		return;
	http2_output_due(h);
	if (!TAILQ_EMPTY(&h->told))
		loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
	if (!http2_is_dead(h))
		h->role->settled(h);
	else if (!h->closing || h->link_over || h->broken)
		tell_ended(h);
}

static void free_dead(struct http2_session *h)
{
	struct http2_stream *s;

	while ((s = TAILQ_FIRST(&h->dead)) != NULL) {
		TAILQ_REMOVE(&h->dead, s, entry);
		s->magic = 0;
		free(s);
	}
}

static void grave_run(struct loop_task *t)
{
	struct http2_session *h = from_grave(t);

	CHECK(h, HTTP2_SESSION_MAGIC);
	free_dead(h);
	if (!h->freed)
		return;
	nghttp2_session_del(h->ng);
	http2_block_drop(&h->block);
	h->magic = 0;
	h->free(h);
}

/* ---- from the link's owner */

static void input_failed(struct http2_session *h, ssize_t rv)
{
	switch (rv) {
	case NGHTTP2_ERR_NOMEM:
		http2_fail(h, NGHTTP2_INTERNAL_ERROR, CAUSE_MEMORY, "");
		break;
	case NGHTTP2_ERR_FLOODED:
		http2_fail(h, NGHTTP2_ENHANCE_YOUR_CALM, CAUSE_H2_CONTROL_FLOOD,
			   "too many frames of a kind");
		break;
	case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
		http2_flush_now(h); /* SETTINGS come first, whatever follows (RFC 9113 3.4) */
		http2_fail(h, NGHTTP2_PROTOCOL_ERROR, h->role->protocol, "no preface of HTTP/2");
		break;
	default: /* one that a callback made has been noted */
		http2_fail(h, NGHTTP2_PROTOCOL_ERROR, h->role->protocol, nghttp2_strerror((int)rv));
		break;
	}
}

void http2_session_data(struct http2_session *h, struct span bytes)
{
	CHECK(h, HTTP2_SESSION_MAGIC);
	while (bytes.n > 0 && !http2_is_dead(h)) {
		size_t n = http2_input_next(h, bytes);
		ssize_t rv;

		if (http2_is_dead(h))
			break;
		h->collecting = true;
		rv = nghttp2_session_mem_recv(h->ng, (const uint8_t *)bytes.p, n);
		h->collecting = false;
		if (rv < 0 && !h->freed)
			input_failed(h, rv);
		if (!http2_is_dead(h))
			http2_input_taken(h);
		bytes = span_of(bytes.p + n, bytes.n - n);
	}
	if (h->freed)
		return;
	http2_flush_now(h);
	loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
}

void http2_session_eof(struct http2_session *h)
{
	struct http2_stream *s;

	CHECK(h, HTTP2_SESSION_MAGIC);
	if (http2_is_dead(h))
		return;
	h->eof = true;
	TAILQ_FOREACH(s, &h->streams, entry) {
		if (!s->whole)
			http2_stream_break(s, NGHTTP2_CANCEL, h->role->gone,
					   "the connection ended early");
	}
	loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
}

void http2_session_drained(struct http2_session *h)
{
	CHECK(h, HTTP2_SESSION_MAGIC);
	h->blocked = false;
	loop_cancel(h->loop, &h->write_timer);
	http2_flush_now(h);
}

void http2_session_link_ended(struct http2_session *h, enum cause why, const char *detail)
{
	CHECK(h, HTTP2_SESSION_MAGIC);
	if (h->told_ended || h->freed || h->link == NULL)
		return;
	/* Between requests it is no failure, however a peer goes. */
	if (h->num_streams == 0 && why != CAUSE_MEMORY && h->last_id > 0 && !h->in_block)
		why = CAUSE_CLOSED;
	note_end(h, why, detail);
	h->link_over = true;
	loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
}

/* ---- making and giving up */

static bool make_options(nghttp2_option **options)
{
	nghttp2_option *o;

	if (nghttp2_option_new(&o) != 0)
		return false;
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_http_messaging(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	nghttp2_option_set_builtin_recv_extension_type(o, NGHTTP2_PRIORITY_UPDATE);
	nghttp2_option_set_max_send_header_block_length(o, SEND_HEADER_MAX);
	/* Our own bounds come first, and say why. */
	nghttp2_option_set_stream_reset_rate_limit(o, UINT32_MAX, UINT32_MAX);
	nghttp2_option_set_max_continuations(o, UINT32_MAX);
	*options = o;
	return true;
}

static bool make_session(struct http2_session *h)
{
	nghttp2_session_callbacks *c = NULL;
	nghttp2_option *o = NULL;
	int rv;

	if (nghttp2_session_callbacks_new(&c) != 0 || !make_options(&o)) {
		nghttp2_session_callbacks_del(c);
		return false;
	}
	http2_input_callbacks(c);
	http2_output_callbacks(c);
	rv = h->role->is_server ? nghttp2_session_server_new2(&h->ng, c, h, o)
				: nghttp2_session_client_new2(&h->ng, c, h, o);
	nghttp2_session_callbacks_del(c);
	nghttp2_option_del(o);
	return rv == 0;
}

bool http2_session_init(struct http2_session *h, const struct http2_role *role, struct loop *loop,
			struct link *link, const nghttp2_settings_entry *settings,
			size_t num_settings)
{
	h->magic = HTTP2_SESSION_MAGIC;
	h->role = role;
	h->loop = loop;
	h->link = link;
	h->cause = CAUSE_NONE;
	h->preface_left = role->is_server ? NGHTTP2_CLIENT_MAGIC_LEN : 0;
	h->write_timer = (struct timer){ .fire = write_timer };
	h->closing_timer = (struct timer){ .fire = closing_timer };
	h->work = (struct loop_task){ .run = work_run };
	h->flush = (struct loop_task){ .run = http2_flush };
	h->grave = (struct loop_task){ .run = grave_run };
	TAILQ_INIT(&h->streams);
	TAILQ_INIT(&h->told);
	TAILQ_INIT(&h->dead);
	http2_budget_init(&h->resets, RESETS_MAX, RESETS_PER_SECOND, loop->now_ns);
	http2_budget_init(&h->control, CONTROL_MAX, CONTROL_PER_SECOND, loop->now_ns);
	http2_budget_init(&h->empties, EMPTIES_MAX, EMPTIES_PER_SECOND, loop->now_ns);
	if (!make_session(h))
		return false;
	if (nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, settings, num_settings) != 0 ||
	    nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0,
						  (int32_t)role->window) != 0) {
		nghttp2_session_del(h->ng);
		return false;
	}
	http2_output_due(h);
	return true;
}

void http2_session_free(struct http2_session *h)
{
	struct http2_stream *s;

	CHECK(h, HTTP2_SESSION_MAGIC);
	MUST(!h->freed);
	if (!h->role->is_server && h->num_streams == 0 && !http2_is_dead(h)) {
		/* An idle connection ends in good order. */
		h->goaway_code = NGHTTP2_NO_ERROR;
		say_goaway(h);
		h->told_ended = true;
	}
	if (h->told_ended && h->orderly && !h->broken) {
		if (h->link != NULL && !h->link_over)
			link_end(h->link); /* with TLS: close_notify */
		link_close(h->link);
	} else {
		link_abort(h->link);
	}
	h->link = NULL;
	while ((s = TAILQ_FIRST(&h->streams)) != NULL) {
		s->attached = s->open = false;
		http2_stream_let_go(s);
	}
	h->freed = true;
	h->num_attached = 0;
	loop_cancel(h->loop, &h->write_timer);
	loop_cancel(h->loop, &h->closing_timer);
	loop_unqueue(h->loop, &h->work);
	loop_unqueue(h->loop, &h->flush);
	loop_queue(h->loop, &h->grave, LOOP_GRAVE);
}
