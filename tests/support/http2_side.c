#include "tests/support/http2_side.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/must.h"

#define SECOND INT64_C(1000000000)
enum { ROOM = 256 << 10 };

#define tell(s, ...) h2_write_down((s)->story, &(s)->story_len, __VA_ARGS__)

static void tell_fields(struct h2_side *s, const struct head *h)
{
	for (uint32_t i = 0; i < h->num; i++)
		tell(s, "  %.*s=%.*s\n", (int)h->fields[i].name.n, h->fields[i].name.p,
		     (int)h->fields[i].value.n, h->fields[i].value.p);
}

static void then(struct h2_user *u, char event)
{
	if (u->side->then != NULL)
		u->side->then(u, event);
}

/* ---- streams */

static void tell_body(struct h2_user *u)
{
	if (u->num_bytes > 0)
		tell(u->side, "#%u body %zu %.*s\n", u->number, u->num_bytes, (int)u->body_len,
		     u->body);
}

static void informational(void *owner, struct head *h)
{
	struct h2_user *u = owner;

	tell(u->side, "#%u informational %u\n", u->number, h->status);
	tell_fields(u->side, h);
	head_free(h);
	then(u, 'i');
}

static void head(void *owner, struct head *h, bool end)
{
	struct h2_user *u = owner;

	tell(u->side, "#%u head %u length=%lld%s\n", u->number, h->status, (long long)h->length,
	     end ? " end" : "");
	tell_fields(u->side, h);
	head_free(h);
	u->whole = end;
	then(u, 'h');
}

void h2_consume(struct h2_user *u)
{
	size_t n = u->num_unconsumed;

	u->num_unconsumed = 0;
	if (u->is_open && n > 0)
		stream_consumed(u->stream, n);
}

static void data(void *owner, struct span bytes)
{
	struct h2_user *u = owner;

	MUST(bytes.n > 0 && u->is_open);
	for (size_t i = 0; i < bytes.n && u->body_len < sizeof(u->body); i++)
		u->body[u->body_len++] = bytes.p[i];
	u->num_bytes += bytes.n;
	u->num_unconsumed += bytes.n;
	then(u, 'd');
	if (u->is_open && !u->keeps)
		h2_consume(u);
}

static void maybe_answer(struct h2_user *u)
{
	if (u->is_open && u->side->server != NULL && u->whole && !u->sent &&
	    u->side->answer != NULL)
		h2_respond(u, 200, u->side->answer);
}

static void end(void *owner, struct head *trailers)
{
	struct h2_user *u = owner;

	MUST(u->is_open);
	tell_body(u);
	tell(u->side, "#%u end\n", u->number);
	if (trailers != NULL)
		tell_fields(u->side, trailers);
	head_free(trailers);
	u->whole = true;
	then(u, 'e');
	maybe_answer(u);
}

static void aborted(void *owner, enum cause why, const char *detail)
{
	struct h2_user *u = owner;

	MUST(u->is_open);
	tell_body(u);
	tell(u->side, "#%u aborted %s: %s\n", u->number, cause_name(why), detail);
	then(u, 'a');
	if (u->is_open && u->side->server != NULL && u->side->answer != NULL && !u->sent)
		h2_respond(u, 408, "late");
	else if (u->is_open)
		h2_release(u);
}

static void drained(void *owner)
{
	struct h2_user *u = owner;

	u->num_drained++;
	then(u, 'r');
}

static const struct stream_events stream_events = {
	.informational = informational,
	.head = head,
	.data = data,
	.end = end,
	.aborted = aborted,
	.drained = drained,
};

static struct h2_user *take_stream(struct h2_side *s, struct stream *stream)
{
	struct h2_user *u = &s->users[s->num_users++];

	MUST(s->num_users <= H2_STREAMS);
	*u = (struct h2_user){ .side = s,
			       .number = s->num_users,
			       .stream = stream,
			       .is_open = true,
			       .keeps = s->keeps };
	stream_attach(stream, &stream_events, u);
	return u;
}

void h2_release(struct h2_user *u)
{
	MUST(u->is_open);
	u->is_open = false;
	stream_release(u->stream);
}

void h2_send_head(struct h2_user *u, unsigned status, int64_t length, bool is_end)
{
	struct head *h = head_new(0);

	MUST(u->is_open);
	if (h == NULL) { /* a test that lets allocations fail */
		h2_release(u);
		return;
	}
	h->status = (uint16_t)status;
	h->length = length;
	u->sent = true;
	stream_send_head(u->stream, h, is_end);
	head_free(h);
}

void h2_respond(struct h2_user *u, unsigned status, const char *body)
{
	size_t n = strlen(body);

	h2_send_head(u, status, (int64_t)n, n == 0);
	if (!u->is_open)
		return;
	if (n > 0) {
		(void)stream_send_data(u->stream, span_of(body, n));
		stream_send_end(u->stream, NULL);
	}
	h2_release(u);
}

/* ---- the server's events */

static void request(void *owner, struct stream *stream, struct head *h, bool is_end)
{
	struct h2_side *s = owner;
	struct h2_user *u = take_stream(s, stream);

	u->whole = is_end;
	tell(s, "#%u request %.*s %s://%.*s %.*s %u length=%lld%s%s%s%s%.*s%s\n", u->number,
	     (int)h->method_name.n, h->method_name.p, h->is_https ? "https" : "http",
	     (int)h->authority.n, h->authority.p, (int)h->path.n, h->path.p, h->version,
	     (long long)h->length, is_end ? " end" : "", h->expect_continue ? " expect" : "",
	     h->te_trailers ? " te" : "", h->upgrade.n > 0 ? " upgrade=" : "", (int)h->upgrade.n,
	     h->upgrade.p, h->extended_connect ? " extended" : "");
	tell_fields(s, h);
	head_free(h);
	then(u, 'q');
	maybe_answer(u);
}

static void refused(void *owner, struct stream *stream, struct head *h, unsigned status,
		    enum cause why, const char *detail)
{
	struct h2_side *s = owner;
	struct h2_user *u = take_stream(s, stream);

	u->refused = true;
	tell(s, "#%u refused %u %s: %s\n", u->number, status, cause_name(why), detail);
	head_free(h);
	then(u, 'f');
	if (u->is_open && s->answer != NULL)
		h2_respond(u, status, "no");
}

static void server_ended(void *owner, enum cause why, const char *detail)
{
	struct h2_side *s = owner;

	MUST(!s->ended);
	tell(s, "ended %s: %s\n", cause_name(why), detail);
	s->ended = true;
	s->ended_why = why;
	http2_server_free(s->server);
	s->server = NULL;
}

static const struct server_codec_events server_events = {
	.request = request,
	.refused = refused,
	.ended = server_ended,
};

/* ---- the client's */

static void client_room(void *owner)
{
	struct h2_side *s = owner;

	tell(s, "room\n");
	s->num_room++;
}

static void client_ended(void *owner)
{
	struct h2_side *s = owner;

	MUST(!s->ended);
	tell(s, "ended\n");
	s->ended = true;
	http2_client_free(s->client);
	s->client = NULL;
}

static const struct http2_client_events client_events = { .room = client_room,
							  .ended = client_ended };

struct h2_user *h2_request(struct h2_side *s, const char *method, const char *path, int64_t length,
			   bool is_end)
{
	struct stream *stream = http2_client_open(s->client, &s->client_limits);
	struct h2_user *u;
	struct head *h;

	if (stream == NULL)
		return NULL;
	h = head_new(0);
	MUST(h != NULL);
	u = take_stream(s, stream);
	h->method = method_of(span_str(method));
	h->method_name = span_str(method);
	h->authority = span_str("a.example");
	h->path = span_str(path);
	h->length = length;
	stream_send_head(stream, h, is_end);
	head_free(h);
	return u;
}

/* ---- the link's events */

static void link_opened(void *owner)
{
	((struct h2_side *)owner)->is_up = true;
}

static void link_data(void *owner, struct span bytes)
{
	struct h2_side *s = owner;

	if (s->server != NULL)
		http2_server_data(s->server, bytes);
	else if (s->client != NULL)
		http2_client_data(s->client, bytes);
}

static void link_eof(void *owner)
{
	struct h2_side *s = owner;

	if (s->server != NULL)
		http2_server_eof(s->server);
	else if (s->client != NULL)
		http2_client_eof(s->client);
}

static void link_drained(void *owner)
{
	struct h2_side *s = owner;

	if (s->server != NULL)
		http2_server_drained(s->server);
	else if (s->client != NULL)
		http2_client_drained(s->client);
}

static void link_is_over(void *owner, enum link_end why)
{
	struct h2_side *s = owner;
	bool closed = why == LINK_END_CLOSED;

	if (s->server != NULL)
		http2_server_link_ended(s->server, closed ? CAUSE_CLOSED : CAUSE_CLIENT_RESET, "");
	else if (s->client != NULL)
		http2_client_link_ended(s->client, closed ? CAUSE_CLOSED : CAUSE_SERVER_RESET, "");
}

static const struct link_events link_events = {
	.opened = link_opened,
	.data = link_data,
	.eof = link_eof,
	.drained = link_drained,
	.ended = link_is_over,
};

/* ---- making */

void h2_limits(struct h2_side *s)
{
	s->limits = (struct http2_limits){
		.max_header_size = 4096,
		.max_headers = 32,
		.max_concurrent_streams = 100,
		.request_header_ns = 5 * SECOND,
		.request_body_ns = 5 * SECOND,
		.keepalive_ns = 5 * SECOND,
		.response_write_ns = 5 * SECOND,
		.tunnel_idle_ns = 5 * SECOND,
	};
	s->client_limits = (struct client_codec_limits){
		.max_header_size = 4096,
		.max_headers = 32,
		.response_head_ns = 5 * SECOND,
		.idle_ns = 5 * SECOND,
		.tunnel_idle_ns = 5 * SECOND,
	};
}

static bool is_up(void *arg)
{
	return ((const struct h2_side *)arg)->is_up;
}

static void join(struct h2_side *s, struct rig *r, bool small)
{
	int fds[2];

	rig_join(fds, small);
	s->rig = r;
	s->fd = fds[1];
	MUST(nghttp2_hd_inflate_new(&s->inflater) == 0);
	s->in_room = s->out_room = ROOM; /* so that no test that counts allocations meets ours */
	MUST((s->in = malloc(ROOM)) != NULL && (s->out = malloc(ROOM)) != NULL);
	if (s->limits.max_headers == 0)
		h2_limits(s);
	r->loop->now_ns = loop_clock_ns();
	s->link = link_accept(r->loop, fds[0], NULL, 5 * SECOND, &link_events, s);
	MUST(s->link != NULL && rig_until(r, is_up, s));
	r->loop->now_ns = loop_clock_ns();
}

void h2_serve(struct h2_side *s, struct rig *r, bool small)
{
	join(s, r, small);
	s->server = http2_server_new(r->loop, s->link, &s->limits, &server_events, s);
	MUST(s->server != NULL);
}

void h2_ask(struct h2_side *s, struct rig *r, bool small)
{
	join(s, r, small);
	s->client = http2_client_new(r->loop, s->link, &client_events, s);
	MUST(s->client != NULL);
}

void h2_fini(struct h2_side *s)
{
	http2_server_free(s->server);
	http2_client_free(s->client);
	s->server = NULL;
	s->client = NULL;
	if (s->fd >= 0)
		(void)close(s->fd);
	nghttp2_hd_inflate_del(s->inflater);
	free(s->out);
	free(s->in);
	loop_bury(s->rig->loop);
}
