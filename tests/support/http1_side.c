#include "tests/support/http1_side.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/must.h"

enum { GOT_ROOM = 64 << 10 };
#define SECOND INT64_C(1000000000)

__attribute__((format(printf, 2, 3))) static void tell(struct side *s, const char *format, ...)
{
	va_list args;
	int n;

	if (s->in_data && s->story_len < sizeof(s->story) - 1)
		s->story[s->story_len++] = '\n';
	s->in_data = false;
	va_start(args, format);
	n = vsnprintf(s->story + s->story_len, sizeof(s->story) - s->story_len, format, args);
	va_end(args);
	MUST(n >= 0);
	s->story_len += (size_t)n;
	if (s->story_len >= sizeof(s->story))
		s->story_len = sizeof(s->story) - 1;
}

static void tell_fields(struct side *s, const struct head *h)
{
	for (uint32_t i = 0; i < h->num; i++)
		tell(s, "  %.*s=%.*s\n", (int)h->fields[i].name.n, h->fields[i].name.p,
		     (int)h->fields[i].value.n, h->fields[i].value.p);
}

static void then(struct side *s, char event)
{
	if (s->then != NULL)
		s->then(s, event);
}

/* ---- streams */

static void informational(void *owner, struct head *h)
{
	struct side *s = owner;

	tell(s, "informational %u\n", h->status);
	tell_fields(s, h);
	head_free(h);
	then(s, 'i');
}

static void maybe_answer(struct side *s)
{
	if (s->server != NULL && s->whole && !s->sent && s->answer != NULL)
		side_respond(s, 200, s->answer);
}

static void head(void *owner, struct head *h, bool end)
{
	struct side *s = owner;

	tell(s, "head %u %.*s length=%lld%s%s%.*s\n", h->status, (int)h->reason.n, h->reason.p,
	     (long long)h->length, end ? " end" : "", h->upgrade.n > 0 ? " upgrade=" : "",
	     (int)h->upgrade.n, h->upgrade.p);
	tell_fields(s, h);
	head_free(h);
	s->whole = end;
	then(s, 'h');
}

static void data(void *owner, struct span bytes)
{
	struct side *s = owner;

	MUST(bytes.n > 0);
	if (!s->in_data)
		tell(s, "data ");
	s->in_data = true;
	for (size_t i = 0; i < bytes.n && s->story_len < sizeof(s->story) - 1; i++)
		s->story[s->story_len++] = bytes.p[i];
	s->story[s->story_len] = '\0';
	s->num_unconsumed += bytes.n;
	s->num_bytes += bytes.n;
	then(s, 'd');
	if (s->is_open && !s->keep_unconsumed) {
		size_t n = s->num_unconsumed;

		s->num_unconsumed = 0;
		stream_consumed(s->stream, n);
	}
}

static void end(void *owner, struct head *trailers)
{
	struct side *s = owner;

	tell(s, "end\n");
	if (trailers != NULL)
		tell_fields(s, trailers);
	head_free(trailers);
	s->whole = true;
	then(s, 'e');
	if (s->is_open)
		maybe_answer(s);
}

static void aborted(void *owner, enum cause why, const char *detail)
{
	struct side *s = owner;

	tell(s, "aborted %s: %s\n", cause_name(why), detail);
	then(s, 'a');
	if (s->is_open && s->server != NULL && s->answer != NULL && !s->sent)
		side_respond(s, 400, "");
	else if (s->is_open)
		side_release(s);
}

static void drained(void *owner)
{
	struct side *s = owner;

	s->num_drained++;
	then(s, 'r');
}

static const struct stream_events stream_events = {
	.informational = informational,
	.head = head,
	.data = data,
	.end = end,
	.aborted = aborted,
	.drained = drained,
};

static void take_stream(struct side *s, struct stream *stream)
{
	MUST(!s->is_open);
	s->stream = stream;
	s->is_open = true;
	s->whole = s->sent = s->refused = false;
	s->num_unconsumed = 0;
	stream_attach(stream, &stream_events, s);
}

void side_release(struct side *s)
{
	MUST(s->is_open);
	s->is_open = false;
	stream_release(s->stream);
}

void side_respond(struct side *s, unsigned status, const char *body)
{
	struct head *h = head_new(0);

	MUST(s->is_open);
	if (h == NULL) { /* a test that lets allocations fail */
		side_release(s);
		return;
	}
	h->status = (uint16_t)status;
	h->length = (int64_t)strlen(body);
	s->sent = true;
	stream_send_head(s->stream, h, s->head_to_answer || body[0] == '\0');
	if (!s->head_to_answer && body[0] != '\0') {
		(void)stream_send_data(s->stream, span_str(body));
		stream_send_end(s->stream, NULL);
	}
	head_free(h);
	side_release(s);
}

/* ---- the server's events */

static void request(void *owner, struct stream *stream, struct head *h, bool is_end)
{
	struct side *s = owner;

	take_stream(s, stream);
	s->num_requests++;
	s->whole = is_end;
	tell(s, "request %.*s %s%.*s %.*s %u length=%lld%s%s%s%s%.*s\n", (int)h->method_name.n,
	     h->method_name.p, h->is_https ? "https:" : "", (int)h->authority.n, h->authority.p,
	     (int)h->path.n, h->path.p, h->version, (long long)h->length, is_end ? " end" : "",
	     h->expect_continue ? " expect" : "", h->te_trailers ? " te" : "",
	     h->upgrade.n > 0 ? " upgrade=" : "", (int)h->upgrade.n, h->upgrade.p);
	tell_fields(s, h);
	head_free(h);
	then(s, 'q');
	if (s->is_open)
		maybe_answer(s);
}

static void refused(void *owner, struct stream *stream, struct head *h, unsigned status,
		    enum cause why, const char *detail)
{
	struct side *s = owner;

	take_stream(s, stream);
	s->refused = true;
	tell(s, "refused %u %s: %s\n", status, cause_name(why), detail);
	head_free(h);
	then(s, 'f');
	if (s->is_open && s->answer != NULL)
		side_respond(s, status, "no\n");
}

static void server_ended(void *owner, enum cause why, const char *detail)
{
	struct side *s = owner;

	MUST(!s->ended);
	tell(s, "ended %s: %s\n", cause_name(why), detail);
	s->ended = true;
	s->ended_why = why;
	then(s, 'x');
	http1_server_free(s->server);
	s->server = NULL;
}

static const struct server_codec_events server_events = {
	.request = request,
	.refused = refused,
	.ended = server_ended,
};

/* ---- the client's */

static void client_idle(void *owner)
{
	struct side *s = owner;

	tell(s, "idle\n");
	s->num_idle++;
	then(s, 'n');
}

static void client_ended(void *owner)
{
	struct side *s = owner;

	MUST(!s->ended);
	tell(s, "ended\n");
	s->ended = true;
	then(s, 'x');
	http1_client_free(s->client);
	s->client = NULL;
}

static const struct client_codec_events client_events = {
	.idle = client_idle,
	.ended = client_ended,
};

bool side_request(struct side *s, const char *method, const char *path, int64_t length, bool is_end)
{
	struct stream *stream = http1_client_open(s->client, &s->client_limits);
	struct head *h;

	if (stream == NULL)
		return false;
	h = head_new(0);
	MUST(h != NULL);
	take_stream(s, stream);
	h->method = method_of(span_str(method));
	h->method_name = span_str(method);
	h->authority = span_str("a.example");
	h->path = span_str(path);
	h->length = length;
	h->upgrade = span_str(s->upgrade);
	stream_send_head(stream, h, is_end);
	head_free(h);
	return true;
}

/* ---- the link's events */

static void link_opened(void *owner)
{
	struct side *s = owner;

	s->is_up = true;
}

static void link_data(void *owner, struct span bytes)
{
	struct side *s = owner;

	if (s->server != NULL)
		http1_server_data(s->server, bytes);
	else if (s->client != NULL)
		http1_client_data(s->client, bytes);
}

static void link_eof(void *owner)
{
	struct side *s = owner;

	if (s->server != NULL)
		http1_server_eof(s->server);
	else if (s->client != NULL)
		http1_client_eof(s->client);
}

static void link_drained(void *owner)
{
	struct side *s = owner;

	if (s->server != NULL)
		http1_server_drained(s->server);
	else if (s->client != NULL)
		http1_client_drained(s->client);
}

static void link_is_over(void *owner, enum link_end why)
{
	struct side *s = owner;
	bool closed = why == LINK_END_CLOSED, cut = why == LINK_END_TRUNCATED;

	if (s->server != NULL)
		http1_server_link_ended(s->server,
					closed ? CAUSE_CLOSED
					: cut  ? CAUSE_CLIENT_TRUNCATED
					       : CAUSE_CLIENT_RESET,
					"");
	else if (s->client != NULL)
		http1_client_link_ended(s->client,
					closed ? CAUSE_CLOSED
					: cut  ? CAUSE_SERVER_TRUNCATED
					       : CAUSE_SERVER_RESET,
					"");
}

static const struct link_events link_events = {
	.opened = link_opened,
	.data = link_data,
	.eof = link_eof,
	.drained = link_drained,
	.ended = link_is_over,
};

/* ---- making */

void side_limits(struct side *s)
{
	s->limits = (struct http1_limits){
		.max_header_size = 4096,
		.max_headers = 32,
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
	return ((const struct side *)arg)->is_up;
}

static void join(struct side *s, struct rig *r, bool small)
{
	int fds[2];

	rig_join(fds, small);
	s->rig = r;
	s->fd = fds[1];
	s->got_room = GOT_ROOM;
	MUST((s->got = calloc(1, GOT_ROOM)) != NULL);
	if (s->limits.max_headers == 0)
		side_limits(s);
	r->loop->now_ns = loop_clock_ns();
	s->link = link_accept(r->loop, fds[0], NULL, 5 * SECOND, &link_events, s);
	MUST(s->link != NULL && rig_until(r, is_up, s));
	r->loop->now_ns = loop_clock_ns();
}

void side_serve(struct side *s, struct rig *r, bool small)
{
	join(s, r, small);
	s->server = http1_server_new(r->loop, s->link, &s->limits, &server_events, s);
	MUST(s->server != NULL);
}

void side_ask(struct side *s, struct rig *r, bool small)
{
	join(s, r, small);
	s->client = http1_client_new(r->loop, s->link, &client_events, s);
	MUST(s->client != NULL);
}

void side_pair(struct side *server, struct side *client, struct rig *r)
{
	struct sockaddr_in at;
	int listener = rig_listen(&at);
	struct link_target to = { .addresses = { (struct sockaddr *)&at },
				  .lens = { sizeof(at) },
				  .num = 1,
				  .tls = r->tls ? r->client : NULL,
				  .name = "rig.example",
				  .timeout_ns = 5 * SECOND };
	int fd;

	server->rig = client->rig = r;
	server->fd = client->fd = -1;
	r->loop->now_ns = loop_clock_ns();
	client->link = link_connect(r->loop, &to, &link_events, client);
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	server->link = link_accept(r->loop, fd, r->tls ? r->side.server : NULL, 5 * SECOND,
				   &link_events, server);
	MUST(close(listener) == 0 && client->link != NULL && server->link != NULL);
	MUST(rig_until(r, is_up, server) && rig_until(r, is_up, client));
	server->server =
		http1_server_new(r->loop, server->link, &server->limits, &server_events, server);
	client->client = http1_client_new(r->loop, client->link, &client_events, client);
	MUST(server->server != NULL && client->client != NULL);
}

/* ---- the peer */

bool side_hear(struct side *s)
{
	char buf[16384];
	ssize_t n;

	while (s->fd >= 0 && (n = recv(s->fd, buf, sizeof(buf), MSG_DONTWAIT)) >= 0) {
		if (n == 0) {
			s->got_eof = true;
			break;
		}
		if (s->got_len + (size_t)n + 1 > s->got_room) {
			s->got_room = (s->got_len + (size_t)n + 1) * 2;
			MUST((s->got = realloc(s->got, s->got_room)) != NULL);
		}
		memcpy(s->got + s->got_len, buf, (size_t)n);
		s->got_len += (size_t)n;
		s->got[s->got_len] = '\0';
	}
	if (s->fd >= 0 && !s->got_eof && errno == ECONNRESET)
		s->got_reset = true;
	return s->got_eof || s->got_reset || s->fd < 0;
}

static bool heard_end(void *arg)
{
	return side_hear(arg);
}

bool side_until_ended(struct side *s)
{
	return rig_until(s->rig, heard_end, s);
}

struct sought {
	struct side *s;
	const char *text;
};

static bool is_got(void *arg)
{
	struct sought *x = arg;

	(void)side_hear(x->s);
	return x->s->got != NULL && strstr(x->s->got, x->text) != NULL;
}

bool side_until_got(struct side *s, const char *text)
{
	struct sought x = { s, text };

	return rig_until(s->rig, is_got, &x);
}

static bool is_told(void *arg)
{
	struct sought *x = arg;

	return strstr(x->s->story, x->text) != NULL;
}

bool side_until_story(struct side *s, const char *text)
{
	struct sought x = { s, text };

	return rig_until(s->rig, is_told, &x);
}

struct saying {
	struct side *s;
	struct span left;
};

static bool is_said(void *arg)
{
	struct saying *x = arg;

	while (x->left.n > 0) {
		ssize_t n = send(x->s->fd, x->left.p, x->left.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return errno != EAGAIN; /* the other end is gone: that is all */
		x->left = span_of(x->left.p + n, x->left.n - (size_t)n);
	}
	return true;
}

void side_say(struct side *s, struct span bytes)
{
	struct saying x = { s, bytes };

	MUST(rig_until(s->rig, is_said, &x));
}

void side_fini(struct side *s)
{
	http1_server_free(s->server);
	http1_client_free(s->client);
	s->server = NULL;
	s->client = NULL;
	if (s->fd >= 0)
		(void)close(s->fd);
	free(s->got);
	loop_bury(s->rig->loop);
}
