#include "conf/must.h"
#include "proxy/http/http1_server_private.h"

static struct http1_server *from_stream(struct stream *s)
{
	struct http1_server *h =
		(struct http1_server *)((char *)s - offsetof(struct http1_server, stream));

	CHECK(h, HTTP1_SERVER_MAGIC);
	MUST(h->attached);
	return h;
}

static void begin_writing(struct http1_server *h, struct http1_writer *w)
{
	http1_writer_init(w, h->link);
	http1_unhold(w, &h->hold, h->loop);
}

/* Gives what is collected to the link. False: it said stop. */
static bool flush(struct http1_server *h, struct http1_writer *w)
{
	http1_server_touch(h);
	if (http1_flush(w))
		return !h->blocked;
	if (!h->blocked) {
		h->blocked = true;
		http1_server_await_progress(h);
		loop_after(h->loop, &h->write_timer, h->limits->response_write_ns);
	}
	return false;
}

void http1_server_flush(struct loop_task *t)
{
	struct http1_server *h =
		(struct http1_server *)((char *)t - offsetof(struct http1_server, flush));
	struct http1_writer w;

	CHECK(h, HTTP1_SERVER_MAGIC);
	if (h->hold.chunk == NULL || http1_server_is_dead(h))
		return;
	begin_writing(h, &w);
	(void)flush(h, &w);
}

/* ---- heads */

static void put_status_line(struct http1_writer *w, const struct head *head)
{
	http1_put_str(w, "HTTP/1.1 ");
	http1_put_number(w, head->status);
	http1_put_str(w, " ");
	if (head->reason.n > 0 && http1_is_value(head->reason))
		http1_put(w, head->reason);
	else
		http1_put_str(w, http1_reason(head->status));
	http1_put_str(w, "\r\n");
}

static void send_informational(struct stream *s, const struct head *head)
{
	struct http1_server *h = from_stream(s);
	struct http1_writer w;

	MUST(head->status >= 100 && head->status < 200 && head->status != 101);
	if (http1_server_is_dead(h) || h->is_old || h->sending != HTTP1_SEND_HEAD)
		return;
	if (head->status == 100) {
		if (!h->expecting) /* nobody waits for it */
			return;
		h->expecting = false;
		if (h->reading == HTTP1_READ_BODY && !h->paused)
			http1_server_await_body(h);
	}
	begin_writing(h, &w);
	put_status_line(&w, head);
	http1_put_fields(&w, head);
	http1_put_str(&w, "\r\n");
	(void)flush(h, &w);
}

static void send_upgrade(struct http1_server *h, const struct head *head)
{
	struct http1_writer w;

	h->keep = false;
	h->tunnel = true;
	h->sending = HTTP1_SEND_TUNNEL;
	h->reading = HTTP1_READ_TUNNEL;
	begin_writing(h, &w);
	put_status_line(&w, head);
	http1_put_fields(&w, head);
	http1_put_str(&w, "Connection: upgrade\r\n");
	http1_put_field(&w, span_str("Upgrade"), head->upgrade);
	http1_put_str(&w, "\r\n");
	(void)flush(h, &w);
	/* What came early is the tunnel's. */
	loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
}

static bool has_body(const struct http1_server *h, unsigned status)
{
	return !h->is_head && status != 204 && status != 304;
}

/* How the body will be told from what follows; writes the fields that say so. */
static enum http1_sending put_framing(struct http1_server *h, struct http1_writer *w,
				      const struct head *head, bool end)
{
	if (!has_body(h, head->status)) {
		if (head->length >= 0 && head->status != 204) {
			http1_put_str(w, "Content-Length: ");
			http1_put_number(w, (uint64_t)head->length);
			http1_put_str(w, "\r\n");
		}
		return end ? HTTP1_SEND_DONE : HTTP1_SEND_BODILESS;
	}
	if (end || head->length >= 0) {
		h->left = end ? 0 : (uint64_t)head->length;
		http1_put_str(w, "Content-Length: ");
		http1_put_number(w, h->left);
		http1_put_str(w, "\r\n");
		return end ? HTTP1_SEND_DONE : HTTP1_SEND_SIZED;
	}
	if (h->is_old) {
		h->keep = false;
		return HTTP1_SEND_OPEN;
	}
	http1_put_str(w, "Transfer-Encoding: chunked\r\n");
	return HTTP1_SEND_CHUNKED;
}

static void send_head(struct stream *s, const struct head *head, bool end)
{
	struct http1_server *h = from_stream(s);
	struct http1_writer w;

	MUST(h->sending == HTTP1_SEND_HEAD);
	if (http1_server_is_dead(h)) {
		h->sending = HTTP1_SEND_BODILESS;
		return;
	}
	if (head->status == 101 && h->upgrade_asked && h->reading == HTTP1_READ_NOTHING) {
		send_upgrade(h, head);
		return;
	}
	if (head->status < 200) {
		http1_server_cut(h, CAUSE_BAD_RESPONSE, "an upgrade that nobody asked for");
		return;
	}
	/* A request that is not whole by now may never be: nobody shall look for another one
	 * behind it. */
	h->keep = h->keep && !head->last && !h->draining && h->reading == HTTP1_READ_NOTHING &&
		  !(h->eof && h->in.view.n == 0);
	begin_writing(h, &w);
	put_status_line(&w, head);
	http1_put_fields(&w, head);
	h->sending = (uint8_t)put_framing(h, &w, head, end);
	if (!h->keep)
		http1_put_str(&w, "Connection: close\r\n");
	else if (h->is_old)
		http1_put_str(&w, "Connection: keep-alive\r\n");
	http1_put_str(&w, "\r\n");
	if (h->sending != HTTP1_SEND_DONE && http1_hold(&w, &h->hold, h->loop))
		loop_queue(h->loop, &h->flush, LOOP_FLUSH);
	else
		(void)flush(h, &w);
}

/* ---- bodies */

static bool send_data(struct stream *s, struct span bytes)
{
	struct http1_server *h = from_stream(s);
	struct http1_writer w;
	bool room;

	if (http1_server_is_dead(h) || h->sending == HTTP1_SEND_BODILESS)
		return true;
	MUST(h->sending != HTTP1_SEND_HEAD && h->sending != HTTP1_SEND_DONE);
	begin_writing(h, &w);
	switch ((enum http1_sending)h->sending) {
	case HTTP1_SEND_SIZED:
		if (bytes.n > h->left) {
			http1_server_cut(h, CAUSE_BAD_RESPONSE,
					 "the response is longer than announced");
			return true;
		}
		h->left -= bytes.n;
		http1_put_last(&w, bytes);
		break;
	case HTTP1_SEND_CHUNKED:
		http1_put_chunk(&w, bytes);
		break;
	case HTTP1_SEND_OPEN:
	case HTTP1_SEND_TUNNEL:
		http1_put_last(&w, bytes);
		break;
	case HTTP1_SEND_BODILESS:
	case HTTP1_SEND_HEAD:
	case HTTP1_SEND_DONE:
		break;
	}
	room = flush(h, &w);
	h->owed = h->owed || !room;
	return room;
}

static void send_end(struct stream *s, const struct head *trailers)
{
	struct http1_server *h = from_stream(s);
	enum http1_sending was = (enum http1_sending)h->sending;
	struct http1_writer w;

	MUST(was != HTTP1_SEND_HEAD || http1_server_is_dead(h));
	if (http1_server_is_dead(h) || was == HTTP1_SEND_DONE)
		return;
	h->sending = HTTP1_SEND_DONE;
	if (was == HTTP1_SEND_SIZED && h->left > 0) {
		http1_server_cut(h, CAUSE_BAD_RESPONSE, "the response is shorter than announced");
		return;
	}
	begin_writing(h, &w);
	if (was == HTTP1_SEND_CHUNKED)
		http1_put_last_chunk(&w, h->te_trailers ? trailers : NULL);
	(void)flush(h, &w);
	if (was == HTTP1_SEND_TUNNEL)
		link_end(h->link);
}

/* ---- the other direction */

static void consumed(struct stream *s, size_t n)
{
	struct http1_server *h = from_stream(s);

	MUST(n <= h->unconsumed);
	h->unconsumed -= n;
	if (h->paused)
		loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
}

static void stop_reading(struct stream *s)
{
	struct http1_server *h = from_stream(s);

	if (h->reading != HTTP1_READ_BODY && h->reading != HTTP1_READ_TUNNEL)
		return;
	h->reading = HTTP1_READ_DISCARD;
	h->keep = false;
	if (!h->tunnel)
		loop_cancel(h->loop, &h->timer);
	loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
}

/* ---- the end */

static void detach(struct http1_server *h)
{
	h->attached = false;
	h->owed = false;
	loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
}

static void release(struct stream *s)
{
	struct http1_server *h = from_stream(s);

	detach(h);
	if (http1_server_is_dead(h))
		return;
	if (h->sending != HTTP1_SEND_DONE)
		http1_server_cut(h, CAUSE_CLOSED, "");
	else if (h->keep && h->reading == HTTP1_READ_NOTHING)
		http1_server_next(h);
	else
		http1_server_close(h);
}

static void abort_stream(struct stream *s, enum cause why)
{
	struct http1_server *h = from_stream(s);

	detach(h);
	if (!http1_server_is_dead(h))
		http1_server_cut(h, why, "");
}

const struct stream_ops http1_server_ops = {
	.send_informational = send_informational,
	.send_head = send_head,
	.send_data = send_data,
	.send_end = send_end,
	.consumed = consumed,
	.stop_reading = stop_reading,
	.release = release,
	.abort = abort_stream,
};
