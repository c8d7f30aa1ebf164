#include "proxy/http/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/server.h"
#include "conf/must.h"
#include "conf/web.h"
#include "proxy/http/http1_client.h"
#include "proxy/http/http2_client.h"
#include "proxy/net/dial.h"
#include "proxy/net/link.h"
#include "proxy/observe/cause.h"
#include "version.h"

enum {
	PROBE_MAGIC = 0x70726f62,
	MAX_HEADER_SIZE = 32 << 10,
	MAX_HEADERS = 128,
	MAX_BODY = 64 << 10, /* what is more is not waited for */
};

struct probe {
	unsigned magic;
	bool over;
	bool ok;
	struct loop *loop;
	const struct probe_target *target;
	struct link *link; /* the codec's, once there is one */
	struct client_codec *codec;
	struct stream *stream;
	struct timer timer;
	struct loop_task task; /* tells */
	void (*done)(void *owner, bool ok, const char *words);
	void *owner;
	unsigned status; /* of the response; 0: none yet */
	size_t body;
	char words[400];
};

/* ---- the end */

/* Told by a task of its own: this may be within an event of what is to be freed. */
static void finish(struct probe *p, bool ok, const char *what, const char *detail)
{
	if (p->over)
		return;
	p->over = true;
	p->ok = ok;
	(void)snprintf(p->words, sizeof(p->words), "%s%s%s", what, detail[0] == '\0' ? "" : ": ",
		       detail);
	loop_cancel(p->loop, &p->timer);
	loop_queue(p->loop, &p->task, LOOP_TRAFFIC);
}

void probe_free(struct probe *p)
{
	if (p == NULL)
		return;
	CHECK(p, PROBE_MAGIC);
	loop_cancel(p->loop, &p->timer);
	loop_unqueue(p->loop, &p->task);
	if (p->codec != NULL)
		client_codec_free(p->codec);
	else
		link_close(p->link);
	p->magic = 0;
	free(p);
}

static void tell(struct loop_task *t)
{
	struct probe *p = (struct probe *)((char *)t - offsetof(struct probe, task));
	void (*done)(void *owner, bool ok, const char *words) = p->done;
	void *owner = p->owner;
	bool ok = p->ok;
	char words[sizeof(p->words)];

	memcpy(words, p->words, sizeof(words));
	probe_free(p);
	done(owner, ok, words);
}

static void timer_fired(struct timer *t)
{
	struct probe *p = (struct probe *)((char *)t - offsetof(struct probe, timer));

	finish(p, false, "no answer in time", p->status == 0 ? "" : "the response did not end");
}

/* ---- the response */

static void informational(void *owner, struct head *h)
{
	(void)owner;
	head_free(h);
}

/* What has been read of it decides. */
static void judge(struct probe *p)
{
	const struct conf_health *h = p->target->health;
	char words[64];

	for (size_t i = 0; i < h->num_expect; i++) {
		if (web_status_is_in(h->expect[i], p->status)) {
			finish(p, true, "", "");
			return;
		}
	}
	(void)snprintf(words, sizeof(words), "status %u", p->status);
	finish(p, false, words, "");
}

static void response_head(void *owner, struct head *h, bool end)
{
	struct probe *p = owner;

	CHECK(p, PROBE_MAGIC);
	p->status = h->status;
	head_free(h);
	if (end)
		judge(p);
}

static void response_data(void *owner, struct span bytes)
{
	struct probe *p = owner;

	CHECK(p, PROBE_MAGIC);
	stream_consumed(p->stream, bytes.n);
	if ((p->body += bytes.n) > MAX_BODY)
		judge(p);
}

static void response_end(void *owner, struct head *trailers)
{
	head_free(trailers);
	judge(owner);
}

static void response_aborted(void *owner, enum cause why, const char *detail)
{
	struct probe *p = owner;

	CHECK(p, PROBE_MAGIC);
	finish(p, false, cause_name(why), detail);
}

static void request_drained(void *owner)
{
	(void)owner;
}

static const struct stream_events stream_events = {
	.informational = informational,
	.head = response_head,
	.data = response_data,
	.end = response_end,
	.aborted = response_aborted,
	.drained = request_drained,
};

/* ---- the request */

static void codec_idle(void *owner)
{
	(void)owner;
}

static void codec_ended(void *owner)
{
	finish(owner, false, "the connection ended", "");
}

static bool speaks_http2(const struct probe *p)
{
	if (p->target->protocol == CONF_PROTOCOL_HTTP1 || p->target->tls == NULL)
		return p->target->protocol == CONF_PROTOCOL_HTTP2;
	return span_eq(server_tls_protocol(link_ssl(p->link)), span_str("h2"));
}

static struct client_codec *make_codec(struct probe *p)
{
	static const struct http2_client_events http2 = { .room = codec_idle,
							  .ended = codec_ended };
	static const struct client_codec_events http1 = { .idle = codec_idle,
							  .ended = codec_ended };

	if (speaks_http2(p))
		return http2_client_codec(http2_client_new(p->loop, p->link, &http2, p));
	return http1_client_codec(http1_client_new(p->loop, p->link, &http1, p));
}

/* NULL: out of memory. */
static struct head *make_request(const struct probe_target *t)
{
	struct head *h = head_new(512);

	if (h == NULL)
		return NULL;
	h->method = METHOD_GET;
	h->method_name = span_str("GET");
	h->authority = span_str(t->authority);
	h->path = span_str(t->health->path);
	h->is_https = t->tls != NULL;
	h->length = 0;
	head_add_id(h, HEADER_USER_AGENT,
		    span_str("sallyport/" SALLYPORT_VERSION " (health check)"));
	head_add_id(h, HEADER_ACCEPT, span_str("*/*"));
	if (!h->failed)
		return h;
	head_free(h);
	return NULL;
}

static void ask(struct probe *p)
{
	const struct conf_health *health = p->target->health;
	const struct client_codec_limits limits = {
		.max_header_size = MAX_HEADER_SIZE,
		.max_headers = MAX_HEADERS,
		.response_head_ns = health->timeout_ns,
		.idle_ns = health->timeout_ns,
		.tunnel_idle_ns = health->timeout_ns,
	};
	struct head *request;

	if (p->target->protocol == CONF_PROTOCOL_HTTP2 && !speaks_http2(p)) {
		finish(p, false, "it does not agree to HTTP/2 (ALPN)", "");
		return;
	}
	if ((p->codec = make_codec(p)) == NULL || (request = make_request(p->target)) == NULL) {
		finish(p, false, "out of memory", "");
		return;
	}
	if ((p->stream = client_codec_open(p->codec, &limits)) == NULL) {
		finish(p, false, "the connection takes no request", "");
	} else {
		stream_attach(p->stream, &stream_events, p);
		stream_send_head(p->stream, request, true);
	}
	head_free(request);
}

/* ---- the link */

static void link_has_opened(void *owner)
{
	struct probe *p = owner;

	CHECK(p, PROBE_MAGIC);
	if (p->target->health->tcp)
		finish(p, true, "", "");
	else
		ask(p);
}

static void link_data(void *owner, struct span bytes)
{
	struct probe *p = owner;

	CHECK(p, PROBE_MAGIC);
	if (p->codec != NULL)
		client_codec_data(p->codec, bytes);
}

static void link_eof(void *owner)
{
	struct probe *p = owner;

	if (p->codec != NULL)
		client_codec_eof(p->codec);
}

static void link_drained(void *owner)
{
	struct probe *p = owner;

	if (p->codec != NULL)
		client_codec_drained(p->codec);
}

static void link_has_ended(void *owner, enum link_end why)
{
	struct probe *p = owner;
	CHECK(p, PROBE_MAGIC);
	if (p->codec != NULL) {
		client_codec_link_ended(
			p->codec, why == LINK_END_CLOSED ? CAUSE_CLOSED : CAUSE_SERVER_RESET, "");
		return;
	}
	finish(p, false, cause_name(dial_cause(why)), dial_reason(p->link, why));
}

static const struct link_events link_events = {
	.opened = link_has_opened,
	.data = link_data,
	.eof = link_eof,
	.drained = link_drained,
	.ended = link_has_ended,
};

struct probe *probe_new(struct loop *loop, const struct probe_target *target,
			const struct addresses_choice *at,
			void (*done)(void *owner, bool ok, const char *words), void *owner)
{
	struct probe *p = calloc(1, sizeof(*p));
	struct link_target to = {
		.tls = target->tls,
		.name = target->name,
		.timeout_ns = target->health->timeout_ns,
	};

	if (p == NULL)
		return NULL;
	*p = (struct probe){
		.magic = PROBE_MAGIC,
		.loop = loop,
		.target = target,
		.timer = { .fire = timer_fired },
		.task = { .run = tell },
		.done = done,
		.owner = owner,
	};
	dial_addresses(at, &to);
	if ((p->link = link_connect(loop, &to, &link_events, p)) == NULL) {
		free(p);
		return NULL;
	}
	loop_after(loop, &p->timer, target->health->timeout_ns);
	return p;
}
