#include "conf/must.h"
#include "proxy/http/http2_session.h"

enum {
	STREAM_OUT = 64 << 10, /* bytes of one stream's output that wait before its user stops */
	TOTAL_OUT = 1 << 20,   /* of all together, from where on each stops at less */
	STREAM_OUT_LESS = 16 << 10,
	WINDOW_CREDIT = 2, /* WINDOW_UPDATEs for a frame of data: its stream's, the connection's */
	WINDOW_CREDIT_MAX = 4096,
	DRIBBLE = 1024, /* a smaller frame than that, with more to send, was the peer's wish */
	DIRECT_FROM = 16 << 10, /* bytes that are worth a flush of their own: a frame's */
};

static struct http2_stream *from_stream(struct stream *stream)
{
	struct http2_stream *s =
		(struct http2_stream *)((char *)stream - offsetof(struct http2_stream, stream));

	CHECK(s, HTTP2_STREAM_MAGIC);
	MUST(s->attached);
	return s;
}

/* Whether what its user sends goes nowhere. */
static bool is_gone(const struct http2_stream *s)
{
	return http2_is_dead(s->session) || (s->id != 0 && !s->open) || s->reset;
}

void http2_output_due(struct http2_session *h)
{
	if (!h->collecting && !http2_is_dead(h))
		loop_queue(h->loop, &h->flush, LOOP_FLUSH);
}

/* ---- heads */

static void send_informational(struct stream *stream, const struct head *head)
{
	struct http2_stream *s = from_stream(stream);
	struct http2_session *h = s->session;
	struct http2_fields f;

	MUST(h->role->is_server && head->status >= 100 && head->status < 200 &&
	     head->status != 101);
	if (is_gone(s) || s->head_sent)
		return;
	if (head->status == 100) {
		if (!s->expecting) /* nobody waits for it */
			return;
		s->expecting = false;
		h->role->moved(s, 0);
	}
	http2_fields_response(&f, head, HEAD_UNKNOWN);
	if (f.list == NULL ||
	    nghttp2_submit_headers(h->ng, NGHTTP2_FLAG_NONE, s->id, NULL, f.list, f.num, NULL) != 0)
		http2_stream_break(s, NGHTTP2_INTERNAL_ERROR, CAUSE_MEMORY, "");
	http2_fields_fini(&f);
	http2_output_due(h);
}

static void send_head(struct stream *stream, const struct head *head, bool end)
{
	struct http2_stream *s = from_stream(stream);

	MUST(!s->head_sent);
	s->head_sent = true;
	if (is_gone(s))
		return;
	s->ended = end;
	if (!s->session->role->send_head(s, head, end))
		http2_stream_break(s, NGHTTP2_INTERNAL_ERROR, CAUSE_MEMORY, "");
	http2_stream_touch(s);
	http2_output_due(s->session);
}

/* ---- bodies */

static void resume(struct http2_stream *s)
{
	struct http2_session *h = s->session;

	if (s->deferred) {
		s->deferred = false;
		if (nghttp2_session_resume_data(h->ng, s->id) == NGHTTP2_ERR_NOMEM)
			http2_fail(h, NGHTTP2_INTERNAL_ERROR, CAUSE_MEMORY, "");
	}
	http2_output_due(h);
}

static void wrong_length(struct http2_stream *s, const char *detail)
{
	bool is_server = s->session->role->is_server;

	http2_stream_break(s, is_server ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_CANCEL,
			   is_server ? CAUSE_BAD_RESPONSE : CAUSE_BAD_REQUEST, detail);
}

static bool has_room(const struct http2_stream *s)
{
	return s->out.len < STREAM_OUT &&
	       (s->out.len < STREAM_OUT_LESS || s->session->buffered < TOTAL_OUT);
}

/* Sends what would only be copied to be sent when the turn ends, while it is in cache. What the
 * windows or the link do not take is left. */
static struct span send_direct(struct http2_stream *s, struct span bytes)
{
	struct http2_session *h = s->session;

	if (bytes.n < DIRECT_FROM || h->collecting || h->blocked || h->writer != NULL)
		return bytes;
	s->direct = bytes;
	resume(s);
	http2_flush_now(h);
	bytes = s->direct;
	s->direct = span_of("", 0);
	return bytes;
}

static bool send_data(struct stream *stream, struct span bytes)
{
	struct http2_stream *s = from_stream(stream);
	struct http2_session *h = s->session;
	size_t before;
	bool kept;

	if (is_gone(s) || s->bodiless)
		return true;
	MUST(s->head_sent && !s->ended);
	if (s->left_out >= 0 && bytes.n > (uint64_t)s->left_out) {
		wrong_length(s, "a body longer than announced");
		return true;
	}
	if (s->left_out >= 0)
		s->left_out -= (int64_t)bytes.n;
	http2_stream_touch(s);
	bytes = send_direct(s, bytes);
	if (is_gone(s))
		return true;
	before = s->out.len;
	kept = buffer_append(&s->out, h->loop, bytes);
	h->buffered += s->out.len - before;
	if (!kept) {
		http2_stream_break(s, NGHTTP2_INTERNAL_ERROR, CAUSE_MEMORY, "");
		return true;
	}
	if (s->out.len > 0 && s->write_timer.deadline_ns == 0) {
		s->bytes_out_seen = s->bytes_out;
		loop_after(h->loop, &s->write_timer, s->stall_ns);
	}
	resume(s);
	s->owed = s->owed || !has_room(s);
	return has_room(s);
}

/* They are borrowed, and sent only once the body is. */
static bool copy_trailers(struct http2_stream *s, const struct head *trailers)
{
	struct head *h = head_new(0);

	if (h == NULL)
		return false;
	for (uint32_t i = 0; i < trailers->num; i++)
		head_add(h, head_copy(h, trailers->fields[i].name),
			 head_copy(h, trailers->fields[i].value));
	s->trailers = h;
	return !h->failed;
}

static void send_end(struct stream *stream, const struct head *trailers)
{
	struct http2_stream *s = from_stream(stream);

	MUST(s->head_sent || is_gone(s));
	if (s->ended)
		return;
	s->ended = true;
	if (is_gone(s) || s->bodiless)
		return;
	if (s->left_out > 0)
		wrong_length(s, "a body shorter than announced");
	else if (trailers != NULL && trailers->num > 0 && !s->tunnel && !copy_trailers(s, trailers))
		http2_stream_break(s, NGHTTP2_INTERNAL_ERROR, CAUSE_MEMORY, "");
	else
		resume(s);
	if (!is_gone(s))
		s->session->role->wrote(s);
}

/* ---- the other direction */

static void disposed(struct http2_stream *s, size_t n)
{
	struct http2_session *h = s->session;
	int rv;

	s->unconsumed -= n;
	h->unconsumed -= n;
	if (http2_is_dead(h) || n == 0)
		return;
	if (s->open && s->attached && !s->whole && !s->discard && !s->reset)
		rv = nghttp2_session_consume(h->ng, s->id, n);
	else
		rv = nghttp2_session_consume_connection(h->ng, n);
	if (rv == NGHTTP2_ERR_NOMEM)
		http2_fail(h, NGHTTP2_INTERNAL_ERROR, CAUSE_MEMORY, "");
	http2_output_due(h);
}

static void consumed(struct stream *stream, size_t n)
{
	struct http2_stream *s = from_stream(stream);

	MUST(n <= s->unconsumed);
	disposed(s, n);
	if (!is_gone(s))
		s->session->role->moved(s, 0);
}

static void stop_reading(struct stream *stream)
{
	struct http2_stream *s = from_stream(stream);

	s->discard = true;
	if (!s->tunnel)
		s->session->role->read(s);
}

/* ---- the end */

static void detach(struct http2_stream *s)
{
	s->attached = false;
	s->owed = false;
	s->discard = true;
	s->session->num_attached--;
	disposed(s, s->unconsumed);
	loop_cancel(s->session->loop, &s->timer);
	loop_queue(s->session->loop, &s->session->work, LOOP_TRAFFIC);
}

static void release(struct stream *stream)
{
	struct http2_stream *s = from_stream(stream);
	bool is_server = s->session->role->is_server;

	detach(s);
	if (!is_gone(s) && s->open) {
		if (!s->ended || !s->head_sent) {
			http2_stream_reset(s, is_server ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_CANCEL);
		} else if (!s->whole && !is_server) {
			http2_stream_reset(s, NGHTTP2_CANCEL);
		} else if (!s->whole) {
			s->rest_unwanted = true;
			if (s->sent)
				http2_stream_reset(s, NGHTTP2_NO_ERROR);
		}
	}
	http2_stream_let_go(s);
}

static void abort_stream(struct stream *stream, enum cause why)
{
	struct http2_stream *s = from_stream(stream);

	(void)why;
	detach(s);
	if (!is_gone(s) && !(s->whole && s->sent))
		http2_stream_reset(s, s->session->role->is_server ? NGHTTP2_INTERNAL_ERROR
								  : NGHTTP2_CANCEL);
	http2_stream_let_go(s);
}

static bool answered(const struct stream *stream)
{
	const struct http2_stream *s =
		(const struct http2_stream *)(const void *)((const char *)stream -
							    offsetof(struct http2_stream, stream));

	return s->answered;
}

const struct stream_ops http2_stream_ops = {
	.send_informational = send_informational,
	.send_head = send_head,
	.send_data = send_data,
	.send_end = send_end,
	.consumed = consumed,
	.stop_reading = stop_reading,
	.release = release,
	.abort = abort_stream,
	.answered = answered,
};

void http2_write_timer(struct timer *t)
{
	struct http2_stream *s =
		(struct http2_stream *)((char *)t - offsetof(struct http2_stream, write_timer));
	struct http2_session *h = s->session;

	CHECK(s, HTTP2_STREAM_MAGIC);
	if (is_gone(s) || s->out.len == 0)
		return;
	if (s->bytes_out != s->bytes_out_seen || h->blocked) { /* the connection has its own */
		s->bytes_out_seen = s->bytes_out;
		loop_after(h->loop, t, s->stall_ns);
		return;
	}
	http2_stream_break(s, NGHTTP2_CANCEL,
			   h->role->is_server ? CAUSE_H2_STALL : CAUSE_SERVER_IDLE,
			   "the window stayed shut");
}

/* ---- what nghttp2 asks for */

static size_t waiting(const struct http2_stream *s)
{
	return s->out.len + s->direct.n;
}

static void submit_trailers(struct http2_session *h, struct http2_stream *s)
{
	struct http2_fields f;

	http2_fields_trailers(&f, s->trailers);
	if (f.list == NULL || nghttp2_submit_trailer(h->ng, s->id, f.list, f.num) != 0)
		http2_stream_break(s, NGHTTP2_INTERNAL_ERROR, CAUSE_MEMORY, "");
	http2_fields_fini(&f);
}

static ssize_t read_body(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t room,
			 uint32_t *flags, nghttp2_data_source *source, void *owner)
{
	struct http2_session *h = owner;
	struct http2_stream *s = source->ptr;
	size_t n;

	CHECK(s, HTTP2_STREAM_MAGIC);
	(void)ng;
	(void)id;
	(void)buf;
	n = waiting(s) < room ? waiting(s) : room;
	if (n == 0 && !s->ended) {
		s->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (n == waiting(s) && s->ended) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (s->trailers != NULL) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			submit_trailers(h, s);
		}
	}
	return (ssize_t)n;
}

nghttp2_data_provider http2_data_source(struct http2_stream *s)
{
	return (nghttp2_data_provider){ .source = { .ptr = s }, .read_callback = read_body };
}

static void earn_credit(struct http2_session *h, const struct http2_stream *s, size_t n)
{
	if ((n >= DRIBBLE || waiting(s) == 0) && h->window_credit < WINDOW_CREDIT_MAX)
		h->window_credit += WINDOW_CREDIT;
}

static int write_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t n,
		      nghttp2_data_source *source, void *owner)
{
	enum { HEAD_BYTES = 9 };
	struct http2_session *h = owner;
	struct http2_stream *s = source->ptr;
	struct http1_writer *w = h->writer;

	CHECK(s, HTTP2_STREAM_MAGIC);
	(void)ng;
	MUST(w != NULL && frame->data.padlen == 0 && n <= waiting(s));
	if (!w->room)
		return NGHTTP2_ERR_WOULDBLOCK;
	http1_put(w, span_of(head, HEAD_BYTES));
	s->bytes_out += n;
	while (n > 0 && s->out.len > 0) {
		struct span bytes = buffer_at(&s->out, 0);

		if (bytes.n > n)
			bytes.n = n;
		http1_put(w, bytes);
		buffer_drop(&s->out, h->loop, bytes.n);
		h->buffered -= bytes.n;
		n -= bytes.n;
	}
	if (n > 0) {
		http1_put(w, span_of(s->direct.p, n));
		s->direct = span_of(s->direct.p + n, s->direct.n - n);
	}
	earn_credit(h, s, frame->hd.length);
	if (s->owed)
		http2_stream_list(s);
	return 0;
}

static void ours_is_out(struct http2_stream *s)
{
	s->sent = true;
	loop_cancel(s->session->loop, &s->write_timer);
	if (s->rest_unwanted && !s->whole)
		http2_stream_reset(s, NGHTTP2_NO_ERROR);
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *owner)
{
	struct http2_session *h = owner;
	struct http2_stream *s = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);

	CHECK(h, HTTP2_SESSION_MAGIC);
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA:
		if (s != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
			ours_is_out(s);
		break;
	case NGHTTP2_RST_STREAM:
		if (s == NULL || s->reset)
			break;
		s->reset = true; /* nghttp2's own: the peer made it */
		/* By SETTINGS it takes the connection (RFC 9113 6.9.2), by WINDOW_UPDATE it may. */
		if (frame->rst_stream.error_code == NGHTTP2_FLOW_CONTROL_ERROR && h->window_set) {
			http2_fail(h, NGHTTP2_FLOW_CONTROL_ERROR, h->role->protocol,
				   "a window past the greatest");
			break;
		}
		(void)http2_spend(h, &h->resets, CAUSE_H2_RESET_FLOOD);
		break;
	case NGHTTP2_GOAWAY:
		if (frame->goaway.error_code == NGHTTP2_NO_ERROR) {
			h->role->said_goaway(h);
			break;
		}
		h->goaway_said = h->orderly = true;
		http2_fail(h, frame->goaway.error_code, h->role->protocol,
			   h->words[0] != '\0' ? h->words
					       : nghttp2_http2_strerror(frame->goaway.error_code));
		break;
	default:
		break;
	}
	return 0;
}

/* A request that can no more be sent: its stream never was. */
static void request_not_sent(struct http2_session *h, int32_t id, int code)
{
	bool large = code == NGHTTP2_ERR_FRAME_SIZE_ERROR;
	struct http2_stream *s;

	TAILQ_FOREACH(s, &h->streams, entry) {
		if (s->id == id)
			break;
	}
	if (s == NULL)
		return;
	s->open = false;
	http2_stream_cut(s, large ? CAUSE_HEADER_TOO_LARGE : CAUSE_SERVER_REFUSED,
			 large ? "the request's head is too large to be sent"
			       : "the request could not be sent any more");
	http2_stream_let_go(s);
}

static int on_frame_not_send(nghttp2_session *ng, const nghttp2_frame *frame, int code, void *owner)
{
	struct http2_session *h = owner;
	struct http2_stream *s = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);

	CHECK(h, HTTP2_SESSION_MAGIC);
	if (frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	if (!h->role->is_server && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		request_not_sent(h, frame->hd.stream_id, code);
	else if (s != NULL && s->open)
		http2_stream_break(s, NGHTTP2_INTERNAL_ERROR, CAUSE_BAD_RESPONSE,
				   "a head that cannot be sent");
	return 0;
}

void http2_output_callbacks(nghttp2_session_callbacks *c)
{
	nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_frame_not_send);
	nghttp2_session_callbacks_set_send_data_callback(c, write_data);
}

/* ---- flushing */

void http2_flush_now(struct http2_session *h)
{
	struct http1_writer w;

	if (http2_is_dead(h) || h->blocked || h->collecting)
		return;
	MUST(h->writer == NULL);
	http1_writer_init(&w, h->link);
	h->writer = &w;
	while (w.room && !h->over) {
		const uint8_t *bytes;
		ssize_t n = nghttp2_session_mem_send(h->ng, &bytes);

		if (n < 0)
			http2_fail(h, NGHTTP2_INTERNAL_ERROR, CAUSE_MEMORY, "");
		if (n <= 0)
			break;
		http1_put(&w, span_of(bytes, (size_t)n));
	}
	h->writer = NULL;
	if (http1_flush(&w) || h->blocked)
		return;
	h->blocked = true;
	http2_await_progress(h);
	loop_after(h->loop, &h->write_timer, h->write_ns);
}

void http2_flush(struct loop_task *t)
{
	struct http2_session *h =
		(struct http2_session *)((char *)t - offsetof(struct http2_session, flush));

	CHECK(h, HTTP2_SESSION_MAGIC);
	http2_flush_now(h);
}
