#include <openssl/base64.h>
#include <openssl/rand.h>

#include "conf/must.h"
#include "proxy/http/http1_client_private.h"

static struct http1_client *from_stream(struct stream *s)
{
	struct http1_client *h =
		(struct http1_client *)((char *)s - offsetof(struct http1_client, stream));

	CHECK(h, HTTP1_CLIENT_MAGIC);
	MUST(h->attached);
	return h;
}

static void begin_writing(struct http1_client *h, struct http1_writer *w)
{
	http1_writer_init(w, h->link);
	http1_unhold(w, &h->hold, h->loop);
}

/* Gives what is collected to the link. False: it said stop. */
static bool flush(struct http1_client *h, struct http1_writer *w)
{
	http1_client_touch(h);
	if (http1_flush(w))
		return !h->blocked;
	if (!h->blocked) {
		h->blocked = true;
		h->queued_seen = link_queued(h->link);
		loop_after(h->loop, &h->write_timer, h->limits.idle_ns);
	}
	return false;
}

void http1_client_flush(struct loop_task *t)
{
	struct http1_client *h =
		(struct http1_client *)((char *)t - offsetof(struct http1_client, flush));
	struct http1_writer w;

	CHECK(h, HTTP1_CLIENT_MAGIC);
	if (h->hold.chunk == NULL || http1_client_is_dead(h))
		return;
	begin_writing(h, &w);
	(void)flush(h, &w);
}

/* ---- heads */

/* Neither space nor control character: it is one word of its line. */
static bool is_word(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	}
	return true;
}

static bool wants_length(enum method m)
{
	return m == METHOD_POST || m == METHOD_PUT || m == METHOD_PATCH;
}

static void put_framing(struct http1_client *h, struct http1_writer *w, const struct head *head,
			bool end)
{
	h->left = end || head->length == HEAD_UNKNOWN ? 0 : (uint64_t)head->length;
	if (!end && head->length == HEAD_UNKNOWN) {
		http1_put_str(w, "Transfer-Encoding: chunked\r\n");
		h->sending = HTTP1_ASK_CHUNKED;
		return;
	}
	if (h->left > 0 || wants_length(head->method)) {
		http1_put_str(w, "Content-Length: ");
		http1_put_number(w, h->left);
		http1_put_str(w, "\r\n");
	}
	h->sending = end ? HTTP1_ASK_DONE : HTTP1_ASK_SIZED;
}

/* RFC 8441 5.1 has no challenge, RFC 6455 4.1 wants one. Nobody looks at its answer: the tunnel has
 * been agreed on by then. */
static void put_websocket_key(struct http1_writer *w, const struct head *head)
{
	enum { KEY_BYTES = 16, KEY_TEXT = 24 };
	struct span name = span_str("Sec-WebSocket-Key");
	uint8_t key[KEY_BYTES];
	uint8_t text[KEY_TEXT + 1];

	if (!head->extended_connect || head_find_name(head, name) != NULL ||
	    !span_eq_nocase(head->upgrade, span_str("websocket")))
		return;
	(void)RAND_bytes(key, sizeof(key)); /* never fails */
	(void)EVP_EncodeBlock(text, key, sizeof(key));
	http1_put_field(w, name, span_of(text, KEY_TEXT));
}

static void put_connection(struct http1_client *h, struct http1_writer *w, const struct head *head)
{
	bool upgrade = h->upgrade[0] != '\0';

	if (head->te_trailers)
		http1_put_str(w, "TE: trailers\r\n");
	if (upgrade) {
		http1_put_field(w, span_str("Upgrade"), head->upgrade);
		put_websocket_key(w, head);
	}
	if (head->te_trailers && upgrade)
		http1_put_str(w, "Connection: TE, upgrade\r\n");
	else if (head->te_trailers)
		http1_put_str(w, "Connection: TE\r\n");
	else if (upgrade)
		http1_put_str(w, "Connection: upgrade\r\n");
}

static void send_head(struct stream *s, const struct head *head, bool end)
{
	struct http1_client *h = from_stream(s);
	struct http1_writer w;

	MUST(h->sending == HTTP1_ASK_HEAD);
	if (http1_client_is_dead(h)) {
		h->sending = HTTP1_ASK_SIZED;
		return;
	}
	if (!http1_is_token(head->method_name) || head->path.n == 0 || !is_word(head->path) ||
	    !is_word(head->authority)) {
		http1_client_cut(h, CAUSE_BAD_REQUEST, "the request cannot be said in HTTP/1");
		return;
	}
	h->is_head = head->method == METHOD_HEAD;
	if (head->upgrade.n > 0 && head->upgrade.n < sizeof(h->upgrade) &&
	    (end || head->length == 0)) {
		memcpy(h->upgrade, head->upgrade.p, head->upgrade.n);
		h->upgrade[head->upgrade.n] = '\0';
	}
	h->reading = HTTP1_AWAIT_HEAD;
	begin_writing(h, &w);
	http1_put(&w, head->method_name);
	http1_put_str(&w, " ");
	http1_put(&w, head->path);
	http1_put_str(&w, " HTTP/1.1\r\n");
	http1_put_field(&w, span_str("Host"), head->authority);
	http1_put_fields(&w, head);
	put_connection(h, &w, head);
	put_framing(h, &w, head, end);
	if (head->expect_continue && !end)
		http1_put_str(&w, "Expect: 100-continue\r\n");
	http1_put_str(&w, "\r\n");
	if (!end && http1_hold(&w, &h->hold, h->loop))
		loop_queue(h->loop, &h->flush, LOOP_FLUSH);
	else
		(void)flush(h, &w);
	if (end)
		http1_client_asked(h);
}

/* An interim response goes to clients, never to a server. */
static void send_informational(struct stream *s, const struct head *head)
{
	(void)head;
	MUST(s == NULL); /* nobody calls it */
}

/* ---- bodies */

static bool send_data(struct stream *s, struct span bytes)
{
	struct http1_client *h = from_stream(s);
	struct http1_writer w;
	bool room;

	if (http1_client_is_dead(h))
		return true;
	MUST(h->sending != HTTP1_ASK_HEAD && h->sending != HTTP1_ASK_DONE);
	begin_writing(h, &w);
	switch ((enum http1_client_sending)h->sending) {
	case HTTP1_ASK_SIZED:
		if (bytes.n > h->left) {
			http1_client_cut(h, CAUSE_BAD_REQUEST,
					 "the request is longer than announced");
			return true;
		}
		h->left -= bytes.n;
		http1_put_last(&w, bytes);
		break;
	case HTTP1_ASK_CHUNKED:
		http1_put_chunk(&w, bytes);
		break;
	case HTTP1_ASK_TUNNEL:
		http1_put_last(&w, bytes);
		break;
	case HTTP1_ASK_HEAD:
	case HTTP1_ASK_DONE:
		break;
	}
	room = flush(h, &w);
	h->owed = h->owed || !room;
	return room;
}

static void send_end(struct stream *s, const struct head *trailers)
{
	struct http1_client *h = from_stream(s);
	enum http1_client_sending was = (enum http1_client_sending)h->sending;
	struct http1_writer w;

	MUST(was != HTTP1_ASK_HEAD || http1_client_is_dead(h));
	if (http1_client_is_dead(h) || was == HTTP1_ASK_DONE)
		return;
	h->sending = HTTP1_ASK_DONE;
	if (was == HTTP1_ASK_TUNNEL) {
		link_end(h->link);
		return;
	}
	if (was == HTTP1_ASK_SIZED && h->left > 0) {
		http1_client_cut(h, CAUSE_BAD_REQUEST, "the request is shorter than announced");
		return;
	}
	begin_writing(h, &w);
	if (was == HTTP1_ASK_CHUNKED)
		http1_put_last_chunk(&w, trailers);
	(void)flush(h, &w);
	http1_client_asked(h);
}

/* ---- the other direction */

static void consumed(struct stream *s, size_t n)
{
	struct http1_client *h = from_stream(s);

	MUST(n <= h->unconsumed);
	h->unconsumed -= n;
	if (h->paused)
		loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
}

static void stop_reading(struct stream *s)
{
	struct http1_client *h = from_stream(s);

	if (h->reading == HTTP1_AWAIT_END)
		return;
	h->reading = HTTP1_IGNORE;
	h->dirty = true;
	if (!h->tunnel)
		loop_cancel(h->loop, &h->timer);
	loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
}

/* ---- the end */

static void detach(struct http1_client *h)
{
	h->attached = false;
	h->owed = false;
	loop_cancel(h->loop, &h->timer);
	loop_queue(h->loop, &h->work, LOOP_TRAFFIC);
}

static void release(struct stream *s)
{
	struct http1_client *h = from_stream(s);
	bool untouched = h->sending == HTTP1_ASK_HEAD && h->reading == HTTP1_AWAIT_NOTHING;

	detach(h);
	if (http1_client_is_dead(h))
		return;
	if (!untouched && (h->sending != HTTP1_ASK_DONE || h->reading != HTTP1_AWAIT_END)) {
		http1_client_cut(h, CAUSE_CLOSED, "");
		return;
	}
	h->reading = HTTP1_AWAIT_NOTHING;
	h->idle_due = !h->dirty;
}

static void abort_stream(struct stream *s, enum cause why)
{
	struct http1_client *h = from_stream(s);

	detach(h);
	if (!http1_client_is_dead(h))
		http1_client_cut(h, why, "");
}

static bool answered(const struct stream *s)
{
	const struct http1_client *h =
		(const struct http1_client *)(const void *)((const char *)s -
							    offsetof(struct http1_client, stream));

	return h->answered;
}

const struct stream_ops http1_client_ops = {
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
