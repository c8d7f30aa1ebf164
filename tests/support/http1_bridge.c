#include "tests/support/http1_bridge.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/must.h"
#include "proxy/net/link.h"

#define A_MINUTE INT64_C(60000000000)

/* ---- records */

static void put(struct record_text *r, struct span s)
{
	if (s.n > sizeof(r->bytes) - r->len) {
		r->overflown = true;
		return;
	}
	if (s.n > 0)
		memcpy(r->bytes + r->len, s.p, s.n);
	r->len += s.n;
}

static void put_str(struct record_text *r, const char *s)
{
	put(r, span_str(s));
}

static void put_number(struct record_text *r, int64_t n)
{
	char text[32];

	(void)snprintf(text, sizeof(text), " %lld", (long long)n);
	put_str(r, text);
}

static void put_fields(struct record_text *r, const struct head *h)
{
	for (uint32_t i = 0; i < h->num; i++) {
		put_str(r, "\n");
		put(r, h->fields[i].name);
		put_str(r, "=");
		put(r, h->fields[i].value);
	}
	put_str(r, "\n\n");
}

static void put_request(struct record_text *r, const struct head *h)
{
	r->len = 0;
	r->whole = r->overflown = false;
	put(r, h->method_name);
	put_str(r, " ");
	put(r, h->authority);
	put_str(r, " ");
	put(r, h->path);
	put_number(r, h->length);
	put_str(r, h->expect_continue ? " expect" : "");
	put_str(r, h->te_trailers ? " te" : "");
	if (h->upgrade.n < 32) /* a longer one is not passed on */
		put(r, h->upgrade);
	put_fields(r, h);
}

static void put_response(struct record_text *r, const struct head *h)
{
	put_number(r, h->status);
	put_number(r, h->length);
	for (size_t i = 0; i < h->upgrade.n; i++)
		put(r, span_of(&h->upgrade.p[i], 1));
	put_fields(r, h);
}

/* ---- links that feed a codec */

static void opened(void *owner)
{
	(void)owner;
}

static void data(void *owner, struct span bytes)
{
	struct bridge_end *e = owner;

	MUST(bytes.n > 0);
	if (e->server != NULL)
		http1_server_data(e->server, bytes);
	else if (e->client != NULL)
		http1_client_data(e->client, bytes);
}

static void eof(void *owner)
{
	struct bridge_end *e = owner;

	if (e->server != NULL)
		http1_server_eof(e->server);
	else if (e->client != NULL)
		http1_client_eof(e->client);
}

static void link_drained(void *owner)
{
	struct bridge_end *e = owner;

	if (e->server != NULL)
		http1_server_drained(e->server);
	else if (e->client != NULL)
		http1_client_drained(e->client);
}

static void link_over(void *owner, enum link_end why)
{
	struct bridge_end *e = owner;
	enum cause cause = why == LINK_END_CLOSED ? CAUSE_CLOSED
			   : e->server != NULL	  ? CAUSE_CLIENT_RESET
						  : CAUSE_SERVER_RESET;

	if (e->server != NULL)
		http1_server_link_ended(e->server, cause, "");
	else if (e->client != NULL)
		http1_client_link_ended(e->client, cause, "");
}

static const struct link_events link_events = {
	.opened = opened,
	.data = data,
	.eof = eof,
	.drained = link_drained,
	.ended = link_over,
};

static struct link *make_link(struct bridge_end *e, struct loop *loop, int fd)
{
	struct link *l = link_accept(loop, fd, NULL, A_MINUTE, &link_events, e);

	MUST(l != NULL);
	return l;
}

static void end_fini(struct bridge_end *e)
{
	http1_server_free(e->server);
	http1_client_free(e->client);
	e->server = NULL;
	e->client = NULL;
}

/* ---- the bridge: front */

static void drop_back(struct bridge *b, enum cause why)
{
	struct stream *s = b->back_stream;

	b->back_stream = NULL;
	if (s != NULL)
		stream_abort(s, why);
}

static void answer(struct bridge *b, unsigned status)
{
	struct stream *s = b->front_stream;
	struct head *h = head_new(0);

	MUST(h != NULL);
	h->status = (uint16_t)status;
	b->front_stream = NULL;
	b->answered = true;
	stream_send_head(s, h, true);
	stream_release(s);
	head_free(h);
}

static void front_data(void *owner, struct span bytes)
{
	struct bridge *b = owner;

	put(&b->request, bytes);
	stream_consumed(b->front_stream, bytes.n);
	(void)stream_send_data(b->back_stream, bytes);
}

static void front_end(void *owner, struct head *trailers)
{
	struct bridge *b = owner;

	if (trailers != NULL)
		put_fields(&b->request, trailers);
	b->request.whole = true;
	stream_send_end(b->back_stream, trailers);
	head_free(trailers);
}

static void front_aborted(void *owner, enum cause why, const char *detail)
{
	struct bridge *b = owner;

	MUST(detail != NULL && why != CAUSE_CLOSED);
	drop_back(b, why);
	if (!b->answered) {
		answer(b, 400);
	} else {
		stream_abort(b->front_stream, why);
		b->front_stream = NULL;
	}
}

static void nothing(void *owner)
{
	(void)owner;
}

static const struct stream_events front_events = {
	.data = front_data,
	.end = front_end,
	.aborted = front_aborted,
	.drained = nothing,
};

/* ---- the bridge: back */

static void back_informational(void *owner, struct head *h)
{
	struct bridge *b = owner;

	if (h->status != 100)
		put_response(&b->response, h);
	stream_send_informational(b->front_stream, h);
	head_free(h);
}

static void finish(struct bridge *b)
{
	struct stream *front = b->front_stream, *back = b->back_stream;

	b->response.whole = true;
	b->front_stream = b->back_stream = NULL;
	stream_release(back);
	stream_release(front);
}

static void back_head(void *owner, struct head *h, bool end)
{
	struct bridge *b = owner;

	put_response(&b->response, h);
	b->answered = b->response_begun = true;
	stream_send_head(b->front_stream, h, end);
	head_free(h);
	if (end)
		finish(b);
}

static void back_data(void *owner, struct span bytes)
{
	struct bridge *b = owner;

	put(&b->response, bytes);
	stream_consumed(b->back_stream, bytes.n);
	(void)stream_send_data(b->front_stream, bytes);
}

static void back_end(void *owner, struct head *trailers)
{
	struct bridge *b = owner;

	if (trailers != NULL)
		put_fields(&b->response, trailers);
	stream_send_end(b->front_stream, trailers);
	head_free(trailers);
	finish(b);
}

static void back_aborted(void *owner, enum cause why, const char *detail)
{
	struct bridge *b = owner;
	struct stream *s = b->back_stream;

	MUST(detail != NULL);
	b->num_broken++;
	b->back_stream = NULL;
	stream_release(s);
	if (!b->answered) {
		answer(b, 502);
	} else {
		stream_abort(b->front_stream, why);
		b->front_stream = NULL;
	}
}

static const struct stream_events back_events = {
	.informational = back_informational,
	.head = back_head,
	.data = back_data,
	.end = back_end,
	.aborted = back_aborted,
	.drained = nothing,
};

/* ---- the bridge: connections */

static void request(void *owner, struct stream *s, struct head *h, bool end)
{
	struct bridge *b = owner;

	MUST(b->front_stream == NULL && b->back_stream == NULL);
	put_request(&b->request, h);
	b->request.whole = end;
	b->response.len = 0;
	b->response.whole = b->response.overflown = false;
	b->num_requests++;
	b->answered = b->response_begun = false;
	b->front_stream = s;
	stream_attach(s, &front_events, b);
	if (b->back.client != NULL)
		b->back_stream = http1_client_open(b->back.client, &b->client_limits);
	if (b->back_stream == NULL) {
		b->request.whole = false;
		answer(b, 503);
	} else {
		stream_attach(b->back_stream, &back_events, b);
		stream_send_head(b->back_stream, h, end);
	}
	head_free(h);
}

static void refused(void *owner, struct stream *s, struct head *h, unsigned status, enum cause why,
		    const char *detail)
{
	struct bridge *b = owner;

	MUST(b->front_stream == NULL && b->back_stream == NULL);
	MUST(status >= 400 && status < 600 && why != CAUSE_CLOSED && detail != NULL);
	b->num_refused++;
	b->front_stream = s;
	stream_attach(s, &front_events, b);
	answer(b, status);
	head_free(h);
}

static void front_ended(void *owner, enum cause why, const char *detail)
{
	struct bridge *b = owner;

	MUST(b->front_stream == NULL && !b->front.is_over && detail != NULL);
	MUST(why != CAUSE_NONE);
	b->front.is_over = true;
	http1_server_free(b->front.server);
	b->front.server = NULL;
}

static void back_idle(void *owner)
{
	struct bridge *b = owner;

	MUST(b->back_stream == NULL);
}

static void back_ended(void *owner)
{
	struct bridge *b = owner;

	MUST(b->back_stream == NULL && !b->back.is_over);
	b->back.is_over = true;
	http1_client_free(b->back.client);
	b->back.client = NULL;
}

static const struct server_codec_events front_connection = {
	.request = request,
	.refused = refused,
	.ended = front_ended,
};

static const struct client_codec_events back_connection = {
	.idle = back_idle,
	.ended = back_ended,
};

static struct http1_limits server_limits(size_t size, unsigned fields)
{
	return (struct http1_limits){ .max_header_size = size,
				      .max_headers = fields,
				      .request_header_ns = A_MINUTE,
				      .request_body_ns = A_MINUTE,
				      .keepalive_ns = A_MINUTE,
				      .response_write_ns = A_MINUTE,
				      .tunnel_idle_ns = A_MINUTE };
}

static struct client_codec_limits client_limits(size_t size, unsigned fields)
{
	return (struct client_codec_limits){ .max_header_size = size,
					     .max_headers = fields,
					     .response_head_ns = A_MINUTE,
					     .idle_ns = A_MINUTE,
					     .tunnel_idle_ns = A_MINUTE };
}

void bridge_init(struct bridge *b, struct loop *loop, int front, int back)
{
	memset(&b->front, 0, sizeof(b->front));
	memset(&b->back, 0, sizeof(b->back));
	b->loop = loop;
	b->front_stream = b->back_stream = NULL;
	b->answered = b->response_begun = false;
	b->request.len = b->response.len = 0;
	b->request.whole = b->response.whole = false;
	b->num_requests = b->num_refused = b->num_broken = 0;
	b->limits = server_limits(1024, 12);
	b->client_limits = client_limits(1024, 12);
	b->front.server = http1_server_new(loop, make_link(&b->front, loop, front), &b->limits,
					   &front_connection, b);
	b->back.client =
		http1_client_new(loop, make_link(&b->back, loop, back), &back_connection, b);
	MUST(b->front.server != NULL && b->back.client != NULL);
}

void bridge_fini(struct bridge *b)
{
	end_fini(&b->front);
	end_fini(&b->back);
}

/* ---- the origin */

static void origin_respond(struct bridge_origin *o)
{
	struct stream *s = o->stream;
	struct head *h = head_new(0);

	MUST(h != NULL);
	h->status = 200;
	o->request.whole = true;
	o->stream = NULL;
	stream_send_head(s, h, true);
	stream_release(s);
	head_free(h);
}

static void origin_data(void *owner, struct span bytes)
{
	struct bridge_origin *o = owner;

	put(&o->request, bytes);
	stream_consumed(o->stream, bytes.n);
}

static void origin_end(void *owner, struct head *trailers)
{
	struct bridge_origin *o = owner;

	if (trailers != NULL)
		put_fields(&o->request, trailers);
	head_free(trailers);
	origin_respond(o);
}

static void origin_aborted(void *owner, enum cause why, const char *detail)
{
	struct bridge_origin *o = owner;
	struct stream *s = o->stream;

	(void)detail;
	MUST(why != CAUSE_BAD_FRAMING); /* what the bridge sent is well-formed */
	o->broken = true;
	o->stream = NULL;
	stream_release(s);
}

static const struct stream_events origin_stream = {
	.data = origin_data,
	.end = origin_end,
	.aborted = origin_aborted,
	.drained = nothing,
};

static void origin_request(void *owner, struct stream *s, struct head *h, bool end)
{
	struct bridge_origin *o = owner;

	MUST(o->stream == NULL);
	put_request(&o->request, h);
	o->broken = false;
	o->stream = s;
	stream_attach(s, &origin_stream, o);
	if (h->expect_continue) {
		struct head *go_on = head_new(0);

		MUST(go_on != NULL);
		go_on->status = 100;
		stream_send_informational(s, go_on);
		head_free(go_on);
	}
	head_free(h);
	if (end)
		origin_respond(o);
}

static void origin_refused(void *owner, struct stream *s, struct head *h, unsigned status,
			   enum cause why, const char *detail)
{
	(void)owner;
	(void)h;
	(void)status;
	(void)why;
	(void)detail;
	MUST(s == NULL); /* the bridge passes nothing on that is refused */
}

static void origin_ended(void *owner, enum cause why, const char *detail)
{
	struct bridge_origin *o = owner;

	(void)why;
	(void)detail;
	o->end.is_over = true;
	http1_server_free(o->end.server);
	o->end.server = NULL;
}

static const struct server_codec_events origin_connection = {
	.request = origin_request,
	.refused = origin_refused,
	.ended = origin_ended,
};

void bridge_origin_init(struct bridge_origin *o, struct loop *loop, int fd)
{
	memset(&o->end, 0, sizeof(o->end));
	o->stream = NULL;
	o->request.len = 0;
	o->request.whole = false;
	o->broken = false;
	/* Roomy: what is said afresh may be longer than what came. */
	o->limits = server_limits(8192, 64);
	o->end.server = http1_server_new(loop, make_link(&o->end, loop, fd), &o->limits,
					 &origin_connection, o);
	MUST(o->end.server != NULL);
}

void bridge_origin_fini(struct bridge_origin *o)
{
	end_fini(&o->end);
}

/* ---- the asker */

static void asker_release(struct bridge_asker *a)
{
	struct stream *s = a->stream;

	a->stream = NULL;
	stream_release(s);
}

static void asker_informational(void *owner, struct head *h)
{
	struct bridge_asker *a = owner;

	put_response(&a->response, h);
	head_free(h);
}

static void asker_head(void *owner, struct head *h, bool end)
{
	struct bridge_asker *a = owner;

	put_response(&a->response, h);
	head_free(h);
	a->response.whole = end;
	if (end)
		asker_release(a);
}

static void asker_data(void *owner, struct span bytes)
{
	struct bridge_asker *a = owner;

	put(&a->response, bytes);
	stream_consumed(a->stream, bytes.n);
}

static void asker_end(void *owner, struct head *trailers)
{
	struct bridge_asker *a = owner;

	if (trailers != NULL)
		put_fields(&a->response, trailers);
	head_free(trailers);
	a->response.whole = true;
	asker_release(a);
}

static void asker_aborted(void *owner, enum cause why, const char *detail)
{
	struct bridge_asker *a = owner;

	(void)detail;
	MUST(why != CAUSE_BAD_RESPONSE); /* what the bridge sent is well-formed */
	a->broken = true;
	asker_release(a);
}

static const struct stream_events asker_stream = {
	.informational = asker_informational,
	.head = asker_head,
	.data = asker_data,
	.end = asker_end,
	.aborted = asker_aborted,
	.drained = nothing,
};

static void asker_idle(void *owner)
{
	(void)owner;
}

static void asker_ended(void *owner)
{
	struct bridge_asker *a = owner;

	a->end.is_over = true;
	http1_client_free(a->end.client);
	a->end.client = NULL;
}

static const struct client_codec_events asker_connection = {
	.idle = asker_idle,
	.ended = asker_ended,
};

void bridge_asker_init(struct bridge_asker *a, struct loop *loop, int fd)
{
	memset(&a->end, 0, sizeof(a->end));
	a->stream = NULL;
	a->response.len = 0;
	a->response.whole = a->response.overflown = false;
	a->broken = false;
	a->limits = client_limits(64 << 10, 64);
	a->end.client = http1_client_new(loop, make_link(&a->end, loop, fd), &asker_connection, a);
	MUST(a->end.client != NULL);
}

void bridge_ask(struct bridge_asker *a, const char *method, bool upgrade)
{
	struct head *h = head_new(0);

	MUST(h != NULL);
	h->method = method_of(span_str(method));
	h->method_name = span_str(method);
	h->authority = span_str("a");
	h->path = span_str("/");
	h->te_trailers = true;
	if (upgrade)
		h->upgrade = span_str("ws");
	a->stream = http1_client_open(a->end.client, &a->limits);
	MUST(a->stream != NULL);
	stream_attach(a->stream, &asker_stream, a);
	stream_send_head(a->stream, h, true);
	head_free(h);
}

void bridge_asker_fini(struct bridge_asker *a)
{
	end_fini(&a->end);
}
