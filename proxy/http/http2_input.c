#include "conf/must.h"
#include "proxy/http/http2_session.h"

enum {
	FRAME_BYTES = 16384,
	SMALL = 1024,
	CONTINUATIONS = 8, /* and as many as the bounds of a head need, twice */
};

static struct http2_stream *stream_of(struct http2_session *h, int32_t id)
{
	struct http2_stream *s = nghttp2_session_get_stream_user_data(h->ng, id);

	if (s != NULL)
		CHECK(s, HTTP2_STREAM_MAGIC);
	return s;
}

/* For a callback to return: whether nghttp2 is to go on. */
static int go_on(const struct http2_session *h)
{
	return http2_is_dead(h) ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* ---- streams that have ended */

static void remember(struct http2_session *h, int32_t id, enum http2_closed how)
{
	h->closed[h->num_closed++ % HTTP2_CLOSED_KEPT] =
		(struct http2_closed_stream){ .id = id, .how = (uint8_t)how };
	if (h->num_closed == 2 * HTTP2_CLOSED_KEPT) /* stays past one round */
		h->num_closed = HTTP2_CLOSED_KEPT;
}

static enum http2_closed how_closed(const struct http2_session *h, int32_t id)
{
	for (unsigned i = 0; i < HTTP2_CLOSED_KEPT && i < h->num_closed; i++) {
		if (h->closed[i].id == id)
			return (enum http2_closed)h->closed[i].how;
	}
	return HTTP2_CLOSED_UNKNOWN;
}

/* Whether `id` has been a stream that requests come on, or was passed over. */
static bool is_past(const struct http2_session *h, int32_t id)
{
	return (id & 1) != 0 &&
	       (h->role->is_server ? id <= h->last_id
				   : (uint32_t)id < nghttp2_session_get_next_stream_id(h->ng));
}

/* ---- frames begin: what they cost */

/* nghttp2 may have found something wrong before: that is said first. */
static void fail(struct http2_session *h, uint32_t code, enum cause why, const char *detail)
{
	http2_flush_now(h);
	http2_fail(h, code, why, detail);
}

static bool spend(struct http2_session *h, struct http2_budget *b, enum cause why)
{
	if (http2_budget_spend(b, 1, h->loop->now_ns))
		return true;
	fail(h, NGHTTP2_ENHANCE_YOUR_CALM, why, "too many frames of a kind");
	return false;
}

static void spend_control(struct http2_session *h)
{
	(void)spend(h, &h->control, CAUSE_H2_CONTROL_FLOOD);
}

/* Long ones are bounded by the connection's window. */
static void late_frame(struct http2_session *h, const nghttp2_frame_hd *hd)
{
	if (hd->type != NGHTTP2_DATA || hd->length < SMALL)
		spend_control(h);
}

/* RFC 9113 5.1, 5.1.1: nghttp2 would ignore it. */
static void check_closed(struct http2_session *h, const nghttp2_frame_hd *hd)
{
	if (!is_past(h, hd->stream_id) ||
	    nghttp2_session_get_stream_remote_close(h->ng, hd->stream_id) != -1)
		return;
	switch (how_closed(h, hd->stream_id)) {
	case HTTP2_CLOSED_BY_US: /* the peer may not know yet */
		late_frame(h, hd);
		break;
	case HTTP2_CLOSED_BY_PEER:
		fail(h, NGHTTP2_STREAM_CLOSED, h->role->protocol,
		     "a frame on a stream that has ended");
		break;
	case HTTP2_CLOSED_UNKNOWN:
		if (h->num_closed >= HTTP2_CLOSED_KEPT) /* it was long ago */
			late_frame(h, hd);
		else if (hd->type == NGHTTP2_HEADERS && h->role->is_server)
			fail(h, NGHTTP2_PROTOCOL_ERROR, h->role->protocol,
			     "a stream's number that is not new");
		else
			fail(h, NGHTTP2_STREAM_CLOSED, h->role->protocol,
			     "a frame on a stream that was passed over");
		break;
	}
}

static void begin_headers_frame(struct http2_session *h, const nghttp2_frame_hd *hd)
{
	h->num_continuations = 0;
	if (hd->length == 0 && (hd->flags & NGHTTP2_FLAG_END_HEADERS) == 0 &&
	    !spend(h, &h->empties, CAUSE_H2_EMPTY_FLOOD))
		return;
	check_closed(h, hd);
	h->in_block = true;
	h->role->block(h, true);
}

static void begin_continuation(struct http2_session *h, const nghttp2_frame_hd *hd)
{
	size_t max = CONTINUATIONS + 2 * h->block.bounds.max_size / FRAME_BYTES;

	if (++h->num_continuations > max)
		fail(h, NGHTTP2_ENHANCE_YOUR_CALM, CAUSE_H2_CONTINUATION_FLOOD,
		     "a head in too many frames");
	else if (hd->length == 0)
		(void)spend(h, &h->empties, CAUSE_H2_EMPTY_FLOOD);
}

static void begin_data(struct http2_session *h, const nghttp2_frame_hd *hd)
{
	if (hd->length == 0 && (hd->flags & NGHTTP2_FLAG_END_STREAM) == 0 &&
	    !spend(h, &h->empties, CAUSE_H2_EMPTY_FLOOD))
		return;
	check_closed(h, hd);
}

static void begin_reset(struct http2_session *h, const nghttp2_frame_hd *hd)
{
	if (!h->role->is_server) /* requests are ours: there are no more than we made */
		return;
	if (nghttp2_session_get_stream_remote_close(h->ng, hd->stream_id) == -1)
		spend_control(h);
	else
		(void)spend(h, &h->resets, CAUSE_H2_RESET_FLOOD);
}

static void begin_frame(struct http2_session *h, const nghttp2_frame_hd *hd)
{
	if (hd->length > FRAME_BYTES) { /* RFC 9113 4.2; we have never allowed more */
		fail(h, NGHTTP2_FRAME_SIZE_ERROR, h->role->protocol, "a frame longer than allowed");
		return;
	}
	switch (hd->type) {
	case NGHTTP2_DATA:
		begin_data(h, hd);
		break;
	case NGHTTP2_PRIORITY: /* RFC 9113 6.3 */
		if (hd->stream_id == 0)
			fail(h, NGHTTP2_PROTOCOL_ERROR, h->role->protocol,
			     "a PRIORITY of no stream");
		else
			spend_control(h);
		break;
	case NGHTTP2_HEADERS:
		begin_headers_frame(h, hd);
		break;
	case NGHTTP2_CONTINUATION:
		begin_continuation(h, hd);
		break;
	case NGHTTP2_RST_STREAM:
		begin_reset(h, hd);
		break;
	case NGHTTP2_WINDOW_UPDATE:
		if (h->window_credit > 0)
			h->window_credit--;
		else
			spend_control(h);
		break;
	default:
		spend_control(h);
		break;
	}
}

/* RFC 9113 4.1. */
static void read_frame_head(struct http2_session *h)
{
	const uint8_t *p = h->head;
	nghttp2_frame_hd hd = {
		.length = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2],
		.type = p[3],
		.flags = p[4],
		.stream_id = (int32_t)((uint32_t)(p[5] & 0x7f) << 24 | (uint32_t)p[6] << 16 |
				       (uint32_t)p[7] << 8 | p[8]),
	};

	h->head_len = 0;
	h->payload_left = (uint32_t)hd.length;
	h->ends_block = (hd.type == NGHTTP2_HEADERS || hd.type == NGHTTP2_CONTINUATION) &&
			(hd.flags & NGHTTP2_FLAG_END_HEADERS) != 0;
	begin_frame(h, &hd);
}

/* Not when nghttp2 says so: it says nothing of heads that it ignores. */
void http2_input_taken(struct http2_session *h)
{
	if (!h->in_block || !h->ends_block || h->payload_left > 0 || h->head_len > 0)
		return;
	h->in_block = h->ends_block = false;
	h->role->block(h, false);
}

size_t http2_input_next(struct http2_session *h, struct span bytes)
{
	size_t n = 0;

	if (h->preface_left > 0) {
		n = bytes.n < h->preface_left ? bytes.n : h->preface_left;
		h->preface_left -= (unsigned)n;
		return n;
	}
	if (h->payload_left == 0) {
		while (n < bytes.n && h->head_len < HTTP2_FRAME_HEAD)
			h->head[h->head_len++] = (uint8_t)bytes.p[n++];
		if (h->head_len < HTTP2_FRAME_HEAD)
			return n;
		read_frame_head(h);
	}
	if (bytes.n - n < h->payload_left) {
		h->payload_left -= (uint32_t)(bytes.n - n);
		return bytes.n;
	}
	n += h->payload_left;
	h->payload_left = 0;
	return n;
}

/* ---- header blocks */

static int begin_stream(struct http2_session *h, int32_t id)
{
	struct http2_stream *s = NULL;

	h->last_id = id;
	if (h->role->begin(h, id))
		s = http2_stream_new(h);
	if (s == NULL) {
		if (nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, id,
					      NGHTTP2_REFUSED_STREAM) != 0)
			http2_fail(h, NGHTTP2_INTERNAL_ERROR, CAUSE_MEMORY, "");
		else
			(void)http2_spend(h, &h->resets, CAUSE_H2_RESET_FLOOD);
		return go_on(h);
	}
	s->id = id;
	s->open = true;
	(void)nghttp2_session_set_stream_user_data(h->ng, id, s);
	return 0;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *owner)
{
	struct http2_session *h = owner;
	enum http2_kind kind = HTTP2_TRAILERS;
	struct http2_stream *s;

	CHECK(h, HTTP2_SESSION_MAGIC);
	(void)ng;
	if (frame->headers.cat == NGHTTP2_HCAT_REQUEST && begin_stream(h, frame->hd.stream_id) != 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	s = stream_of(h, frame->hd.stream_id);
	if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		kind = HTTP2_REQUEST;
	else if (!h->role->is_server && s != NULL && !s->head_came)
		kind = HTTP2_RESPONSE;
	http2_block_drop(&h->block);
	http2_block_begin(&h->block, kind, h->role->bounds(h, s));
	h->block_id = s == NULL || s->reset ? 0 : s->id;
	if (h->block_id == 0) /* still to be decoded, and counted */
		http2_block_drop(&h->block);
	return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *owner)
{
	struct http2_session *h = owner;

	CHECK(h, HTTP2_SESSION_MAGIC);
	(void)ng;
	(void)frame;
	(void)flags;
	http2_block_add(&h->block, span_of(name, name_len), span_of(value, value_len));
	if (h->block.fault.harm == HTTP2_BOMB)
		http2_fail(h, NGHTTP2_ENHANCE_YOUR_CALM, CAUSE_H2_HEADER_FLOOD,
			   h->block.fault.detail);
	return go_on(h);
}

/* RFC 9113 8.1.1. */
static void malformed(struct http2_stream *s, const char *detail)
{
	struct http2_session *h = s->session;
	enum cause why = h->role->is_server ? CAUSE_BAD_REQUEST : CAUSE_BAD_RESPONSE;

	if (h->role->is_server && !http2_spend(h, &h->resets, CAUSE_H2_RESET_FLOOD))
		return;
	s->discard = true;
	http2_stream_break(s, NGHTTP2_PROTOCOL_ERROR, why, detail);
}

/* Whether the user still is to be told of what comes. */
static bool is_listening(const struct http2_stream *s)
{
	return (s->attached || s->waiting) && !s->discard && !s->aborted && !s->cut;
}

static void message_whole(struct http2_stream *s, struct head *trailers)
{
	if (s->left_in > 0) {
		head_free(trailers);
		malformed(s, "a body shorter than announced");
		return;
	}
	s->whole = true;
	if (s->waiting && !s->upgrade_asked) {
		s->early_trailers = trailers;
		return;
	}
	s->session->role->read(s);
	if (!is_listening(s) || (s->upgrade_asked && (!s->tunnel || s->early.len > 0)))
		head_free(trailers);
	else
		s->stream.events->end(s->stream.owner, trailers);
}

static void trailers_came(struct http2_session *h, struct http2_stream *s)
{
	struct head *trailers;

	if (h->block.fault.harm == HTTP2_REFUSED) {
		http2_stream_start(s);
		s->discard = true;
		if (!h->role->is_server)
			http2_stream_reset(s, NGHTTP2_CANCEL);
		http2_stream_cut(s, h->block.fault.why, h->block.fault.detail);
		return;
	}
	trailers = http2_block_take(&h->block);
	if (trailers != NULL && trailers->num == 0) {
		head_free(trailers);
		trailers = NULL;
	}
	message_whole(s, trailers);
}

static void block_came(struct http2_session *h, const nghttp2_frame *frame)
{
	bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
	struct http2_stream *s = stream_of(h, frame->hd.stream_id);

	if (s == NULL || h->block_id != s->id || s->reset)
		return;
	http2_block_end(&h->block, end);
	if (h->block.fault.harm >= HTTP2_MALFORMED)
		malformed(s, h->block.fault.detail);
	else if (h->block.kind == HTTP2_TRAILERS && s->tunnel)
		malformed(s, "fields in a tunnel");
	else if (h->block.kind == HTTP2_TRAILERS)
		trailers_came(h, s);
	else
		h->role->head(h, s, end);
	http2_block_drop(&h->block);
}

/* ---- bodies */

static void disposed(struct http2_session *h, size_t n)
{
	/* Not the stream's: nothing more shall come on it. */
	if (nghttp2_session_consume_connection(h->ng, n) != 0)
		http2_fail(h, NGHTTP2_INTERNAL_ERROR, CAUSE_MEMORY, "");
}

static void take_data(struct http2_session *h, struct http2_stream *s, struct span bytes)
{
	s->unconsumed += bytes.n;
	h->unconsumed += bytes.n;
	if (!s->waiting)
		h->role->moved(s, bytes.n);
	http2_stream_touch(s);
	if (!s->waiting && (!s->upgrade_asked || (s->tunnel && s->early.len == 0)))
		s->stream.events->data(s->stream.owner, bytes);
	else if (!buffer_append(&s->early, h->loop, bytes))
		http2_stream_break(s, NGHTTP2_INTERNAL_ERROR, CAUSE_MEMORY, "");
}

void http2_give_early(struct http2_stream *s)
{
	struct http2_session *h = s->session;

	while (s->early.len > 0 && is_listening(s)) {
		struct span bytes = buffer_at(&s->early, 0);

		s->stream.events->data(s->stream.owner, bytes);
		if (s->early.len > 0)
			buffer_drop(&s->early, h->loop, bytes.n);
	}
	if (s->whole && is_listening(s)) {
		struct head *trailers = s->early_trailers;

		s->early_trailers = NULL;
		s->stream.events->end(s->stream.owner, trailers);
	}
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data,
			 size_t len, void *owner)
{
	struct http2_session *h = owner;
	struct http2_stream *s = stream_of(h, id);

	CHECK(h, HTTP2_SESSION_MAGIC);
	(void)ng;
	(void)flags;
	if (s == NULL || s->reset) {
		disposed(h, len);
	} else if (!h->role->is_server && !s->head_came) {
		disposed(h, len);
		malformed(s, "a body without a head");
	} else if (s->left_in >= 0 && len > (uint64_t)s->left_in) {
		disposed(h, len);
		malformed(s, "a body longer than announced");
	} else {
		if (s->left_in >= 0)
			s->left_in -= (int64_t)len;
		if (is_listening(s))
			take_data(h, s, span_of(data, len));
		else
			disposed(h, len);
	}
	return go_on(h);
}

static void data_came(struct http2_session *h, const nghttp2_frame *frame)
{
	bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
	struct http2_stream *s = stream_of(h, frame->hd.stream_id);

	if (!end && frame->hd.length > 0 && frame->hd.length <= frame->data.padlen &&
	    !http2_spend(h, &h->empties, CAUSE_H2_EMPTY_FLOOD))
		return;
	if (!end || s == NULL || s->reset)
		return;
	if (!h->role->is_server && !s->head_came)
		malformed(s, "an end without a head");
	else
		message_whole(s, NULL);
}

/* ---- whole frames */

static void note_settings(struct http2_session *h, const nghttp2_settings *settings)
{
	for (size_t i = 0; i < settings->niv; i++) {
		if (settings->iv[i].settings_id == NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE)
			h->window_set = true;
	}
}

/* RFC 9218 7.1. */
static void check_priority_update(struct http2_session *h, const nghttp2_frame *frame)
{
	const nghttp2_ext_priority_update *update = frame->ext.payload;

	if (update->stream_id == 0)
		http2_fail(h, NGHTTP2_PROTOCOL_ERROR, h->role->protocol,
			   "a PRIORITY_UPDATE of no stream");
	else
		h->role->frame(h, frame);
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *owner)
{
	struct http2_session *h = owner;

	CHECK(h, HTTP2_SESSION_MAGIC);
	(void)ng;
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		block_came(h, frame);
		break;
	case NGHTTP2_DATA:
		data_came(h, frame);
		break;
	case NGHTTP2_SETTINGS:
		note_settings(h, &frame->settings);
		h->role->frame(h, frame);
		break;
	case NGHTTP2_PRIORITY_UPDATE:
		check_priority_update(h, frame);
		break;
	default:
		h->role->frame(h, frame);
		break;
	}
	return go_on(h);
}

static void tell_closed(struct http2_stream *s, uint32_t code)
{
	const struct http2_role *role = s->session->role;

	if (s->whole && (s->sent || !role->is_server)) /* RFC 9113 8.1: it needs no more of us */
		return;
	if (!role->is_server && code == NGHTTP2_REFUSED_STREAM)
		http2_stream_cut(s, CAUSE_SERVER_REFUSED, "the server did not take the request");
	else if (s->reset)
		http2_stream_cut(s, role->protocol, "a stream error");
	else
		http2_stream_cut(s, role->reset, "the stream was reset");
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *owner)
{
	struct http2_session *h = owner;
	struct http2_stream *s = stream_of(h, id);

	CHECK(h, HTTP2_SESSION_MAGIC);
	(void)ng;
	remember(h, id, s == NULL || s->reset ? HTTP2_CLOSED_BY_US : HTTP2_CLOSED_BY_PEER);
	if (s == NULL)
		return 0;
	s->open = false;
	loop_cancel(h->loop, &s->timer);
	loop_cancel(h->loop, &s->write_timer);
	if (s->attached)
		tell_closed(s, code);
	http2_stream_let_go(s);
	return 0;
}

static int on_error(nghttp2_session *ng, int code, const char *text, size_t len, void *owner)
{
	struct http2_session *h = owner;

	CHECK(h, HTTP2_SESSION_MAGIC);
	(void)ng;
	(void)code;
	if (len >= sizeof(h->words))
		len = sizeof(h->words) - 1;
	memcpy(h->words, text, len);
	h->words[len] = '\0';
	return 0;
}

void http2_input_callbacks(nghttp2_session_callbacks *c)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(c, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data_chunk);
	nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
	nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
	nghttp2_session_callbacks_set_error_callback2(c, on_error);
}
