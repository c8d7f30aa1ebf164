#include "proxy/http/front.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certs/server.h"
#include "conf/must.h"
#include "proxy/http/exchange.h"
#include "proxy/http/http1_server.h"
#include "proxy/http/http2_server.h"
#include "proxy/net/client_record.h"
#include "proxy/net/link.h"

enum {
	FRONT_MAGIC = 0x66726f6e,
	SPEAKS_HTTP1 = 1,
	SPEAKS_HTTP2 = 2,
	SPEAKS_BOTH = SPEAKS_HTTP1 | SPEAKS_HTTP2,
	PREFACE_TOLD = 3, /* bytes after which it can be told from a request of HTTP/1 */
};
#define MINIMUM_RATE_OVER_NS INT64_C(30000000000)

struct front {
	struct client client; /* first */
	unsigned magic;
	bool draining;
	bool opened;	/* the link; without TLS nothing is said before */
	bool *gone;	/* where somebody wants to know that it has been freed */
	uint8_t speaks; /* SPEAKS_*, what the client may choose from */
	uint8_t num_heard;
	char heard[PREFACE_TOLD]; /* while it is not known what is spoken */
	struct link *link;	  /* the codec's, once there is one */
	struct server_codec *codec;
	struct exchange_list exchanges; /* that are on their way */
	struct snapshot *snapshot;	/* until the handshake is over */
	uint64_t sent;			/* bytes that have been counted */
	struct timer timer; /* of retirement; before there is a codec, of the first bytes */
	int64_t first_bytes_ns;
	union {
		struct http1_limits http1;
		struct http2_limits http2;
	} limits; /* of the codec there is */
};

/* Of the handshake's snapshot, which is not needed from here on. False: the front is gone. */
static bool speak(struct front *f, unsigned version);

/* ---- the end */

static void count_sent(struct front *f)
{
	struct link_facts facts;

	link_facts(f->link, &facts);
	metrics_add(&f->client.cells->bytes_sent, facts.bytes_sent - f->sent);
	f->sent = facts.bytes_sent;
}

/* The exchange has been given up before. */
static void finish(struct front *f, enum cause cause)
{
	struct traffic *t = f->client.traffic;
	struct snapshot *snapshot = f->snapshot;

	MUST(LIST_EMPTY(&f->exchanges));
	count_sent(f);
	loop_cancel(t->loop, &f->timer);
	client_leave(&f->client, cause);
	if (f->codec != NULL)
		server_codec_free(f->codec);
	else
		link_abort(f->link);
	if (f->gone != NULL)
		*f->gone = true;
	f->magic = 0;
	free(f);
	snapshot_unref(snapshot);
	client_gone(t);
}

static void front_end(struct client *c, enum cause cause)
{
	struct front *f = (struct front *)c;

	CHECK(f, FRONT_MAGIC);
	exchanges_abandon(&f->exchanges, cause);
	finish(f, cause);
}

/* Until they say what is spoken. */
static void await_first_bytes(struct front *f)
{
	int64_t ns = f->first_bytes_ns;

	if (f->client.retire_ns == 0)
		loop_after(f->client.traffic->loop, &f->timer,
			   f->draining ? codec_drain_wait_ns(ns) : ns);
}

static void front_drain(struct client *c)
{
	struct front *f = (struct front *)c;

	CHECK(f, FRONT_MAGIC);
	f->draining = true;
	if (f->codec != NULL)
		server_codec_drain(f->codec);
	else if (f->opened && f->num_heard == 0)
		await_first_bytes(f);
}

static void front_retire(struct client *c)
{
	struct front *f = (struct front *)c;

	CHECK(f, FRONT_MAGIC);
	wheel_set(&c->traffic->loop->wheel, &f->timer, c->retire_ns);
}

static void timer_fired(struct timer *t)
{
	struct front *f = (struct front *)((char *)t - offsetof(struct front, timer));

	if (f->client.retire_ns != 0)
		front_end(&f->client, CAUSE_RETIRED);
	else if (f->draining && f->num_heard == 0)
		(void)speak(f, SPEAKS_HTTP1); /* which ends in good order */
	else
		front_end(&f->client, CAUSE_HEADER_TIMEOUT);
}

static const struct client_ops front_ops = {
	.drain = front_drain,
	.retire = front_retire,
	.end = front_end,
};

/* ---- what the codec tells */

static void exchange_over(void *owner)
{
	count_sent(owner);
}

/* NULL: out of memory, and the stream is gone. */
static struct exchange *begin(struct front *f, struct stream *s, struct head *h)
{
	struct exchange_place place = {
		.traffic = f->client.traffic,
		.client = &f->client,
		.link = f->link,
		.list = &f->exchanges,
		.over = exchange_over,
		.owner = f,
	};
	struct exchange *x;

	CHECK(f, FRONT_MAGIC);
	if ((x = exchange_new(&place, s, h)) == NULL) {
		head_free(h);
		stream_abort(s, CAUSE_MEMORY);
	}
	return x;
}

static void request(void *owner, struct stream *s, struct head *h, bool end)
{
	struct exchange *x = begin(owner, s, h);

	if (x != NULL)
		exchange_begin(x, end);
}

static void refused(void *owner, struct stream *s, struct head *h, unsigned status, enum cause why,
		    const char *detail)
{
	struct exchange *x = begin(owner, s, h);

	if (x != NULL)
		exchange_refuse(x, status, why, detail);
}

static void ended(void *owner, enum cause why, const char *detail)
{
	struct front *f = owner;

	(void)detail;
	CHECK(f, FRONT_MAGIC);
	finish(f, why);
}

static const struct server_codec_events codec_events = {
	.request = request,
	.refused = refused,
	.ended = ended,
};

/* ---- what the link tells */

static void set_http1(struct http1_limits *to, const struct conf_listener *l);
static void set_http2(struct http2_limits *to, const struct conf_listener *l);

static bool speak(struct front *f, unsigned version)
{
	struct loop *loop = f->client.traffic->loop;
	struct snapshot *snapshot = f->snapshot;
	const struct conf_listener *l = site_find(site_of(snapshot), f->client.listener)->conf;

	if (version == SPEAKS_HTTP2) {
		set_http2(&f->limits.http2, l);
		f->codec = http2_server_codec(
			http2_server_new(loop, f->link, &f->limits.http2, &codec_events, f));
	} else {
		set_http1(&f->limits.http1, l);
		f->codec = http1_server_codec(
			http1_server_new(loop, f->link, &f->limits.http1, &codec_events, f));
	}
	f->snapshot = NULL;
	snapshot_unref(snapshot);
	if (f->codec == NULL) {
		finish(f, CAUSE_MEMORY);
		return false;
	}
	if (f->client.retire_ns == 0)
		loop_cancel(loop, &f->timer);
	if (f->draining)
		server_codec_drain(f->codec);
	return true;
}

/* What was agreed on by ALPN, or is the only thing that is spoken here; 0: not known yet. */
static unsigned version_of(const struct front *f)
{
	const SSL *ssl = link_ssl(f->link);
	struct span agreed = ssl == NULL ? span_of("", 0) : server_tls_protocol(ssl);

	if (agreed.n > 0)
		return span_eq(agreed, span_str("h2")) ? SPEAKS_HTTP2 : SPEAKS_HTTP1;
	if (ssl != NULL && (f->speaks & SPEAKS_HTTP1))
		return SPEAKS_HTTP1;
	return f->speaks == SPEAKS_BOTH ? 0 : f->speaks;
}

static void link_opened(void *owner)
{
	struct front *f = owner;
	unsigned version;

	CHECK(f, FRONT_MAGIC);
	f->opened = true;
	client_count_handshake(&f->client, f->link);
	version = version_of(f);
	if (version != 0)
		(void)speak(f, version);
	else
		await_first_bytes(f);
}

/* Goes on with what has been heard. False: the front is gone. */
static bool speak_of_heard(struct front *f, unsigned version)
{
	bool gone = false;

	if (!speak(f, version))
		return false;
	f->gone = &gone;
	server_codec_data(f->codec, span_of(f->heard, f->num_heard));
	if (!gone)
		f->gone = NULL;
	return !gone;
}

/* Without TLS it is the first bytes that tell (RFC 9113 3.3): no method of HTTP/1 begins like the
 * preface of HTTP/2. False: the front is gone. */
static bool listen_in(struct front *f, struct span *bytes)
{
	static const char preface[] = "PRI";
	unsigned version;

	while (f->num_heard < PREFACE_TOLD && bytes->n > 0 &&
	       (f->num_heard == 0 || f->heard[f->num_heard - 1] == preface[f->num_heard - 1])) {
		f->heard[f->num_heard++] = *bytes->p;
		*bytes = span_of(bytes->p + 1, bytes->n - 1);
	}
	version = memcmp(f->heard, preface, f->num_heard) != 0 ? SPEAKS_HTTP1
		  : f->num_heard == PREFACE_TOLD	       ? SPEAKS_HTTP2
							       : 0;
	if (version == 0)
		return true;
	return speak_of_heard(f, version);
}

static void link_data(void *owner, struct span bytes)
{
	struct front *f = owner;

	CHECK(f, FRONT_MAGIC);
	metrics_add(&f->client.cells->bytes_received, bytes.n);
	if (f->codec == NULL && !listen_in(f, &bytes))
		return;
	if (f->codec != NULL && bytes.n > 0)
		server_codec_data(f->codec, bytes);
}

static void link_eof(void *owner)
{
	struct front *f = owner;

	CHECK(f, FRONT_MAGIC);
	if (f->codec == NULL && !speak_of_heard(f, SPEAKS_HTTP1))
		return;
	server_codec_eof(f->codec);
}

static void link_drained(void *owner)
{
	struct front *f = owner;

	CHECK(f, FRONT_MAGIC);
	if (f->codec != NULL)
		server_codec_drained(f->codec);
}

static void handshake_failed(struct front *f, enum cause cause, const char *detail)
{
	struct client_story story = {
		.client = f->link,
		.from = &f->client.from,
		.listener = f->client.listener,
		.pool = RECORD_NONE,
		.server = RECORD_NONE,
		.cause = cause,
		.detail = detail,
		.duration_ns = loop_clock_ns() - f->client.began_ns,
	};

	client_record(&f->client.traffic->journal, &story);
	metrics_add(&f->client.cells->handshake_failures[cause], 1);
	finish(f, cause);
}

static void link_has_ended(void *owner, enum link_end why)
{
	struct front *f = owner;
	enum tls_reason reason;
	const char *words = "";
	enum cause cause;

	CHECK(f, FRONT_MAGIC);
	switch (why) {
	case LINK_END_CLOSED:
		cause = CAUSE_CLOSED;
		break;
	case LINK_END_GONE:
		cause = CAUSE_CLIENT_GONE;
		break;
	case LINK_END_TIMEOUT:
		cause = CAUSE_HANDSHAKE_TIMEOUT;
		break;
	case LINK_END_TRUNCATED:
		cause = CAUSE_CLIENT_TRUNCATED;
		break;
	case LINK_END_TLS:
		reason = link_reason(f->link, &words);
		cause = f->opened ? CAUSE_CLIENT_TLS : (enum cause)(CAUSE_TLS + reason);
		break;
	case LINK_END_MEMORY:
		cause = CAUSE_MEMORY;
		break;
	default:
		cause = CAUSE_CLIENT_RESET;
		break;
	}
	if (!f->opened)
		handshake_failed(f, cause, words);
	else if (f->codec == NULL)
		finish(f, cause);
	else
		server_codec_link_ended(f->codec, cause, words);
}

static const struct link_events link_events = {
	.opened = link_opened,
	.data = link_data,
	.eof = link_eof,
	.drained = link_drained,
	.ended = link_has_ended,
};

/* ---- making one */

static void set_http1(struct http1_limits *to, const struct conf_listener *l)
{
	*to = (struct http1_limits){
		.max_header_size = l->http.max_header_size,
		.max_headers = l->http.max_headers,
		.max_requests = l->http.max_requests_per_connection,
		.minimum_rate = l->timeouts.minimum_rate,
		.minimum_rate_over_ns = MINIMUM_RATE_OVER_NS,
		.request_header_ns = l->timeouts.request_header_ns,
		.request_body_ns = l->timeouts.request_body_ns,
		.keepalive_ns = l->timeouts.keepalive_ns,
		.response_write_ns = l->timeouts.response_write_ns,
		.tunnel_idle_ns = l->timeouts.idle_ns,
	};
}

static void set_http2(struct http2_limits *to, const struct conf_listener *l)
{
	*to = (struct http2_limits){
		.max_header_size = l->http.max_header_size,
		.max_headers = l->http.max_headers,
		.max_concurrent_streams = l->http.max_concurrent_streams,
		.max_requests = l->http.max_requests_per_connection,
		.minimum_rate = l->timeouts.minimum_rate,
		.minimum_rate_over_ns = MINIMUM_RATE_OVER_NS,
		.request_header_ns = l->timeouts.request_header_ns,
		.request_body_ns = l->timeouts.request_body_ns,
		.keepalive_ns = l->timeouts.keepalive_ns,
		.response_write_ns = l->timeouts.response_write_ns,
		.tunnel_idle_ns = l->timeouts.idle_ns,
	};
}

static uint8_t what_is_spoken(const struct conf_listener *l)
{
	uint8_t speaks = 0;

	/* Without TLS, HTTP/2 is only for those who have asked for it. */
	for (size_t i = 0; i < l->http.num_versions; i++) {
		if (l->http.versions[i] == CONF_HTTP1)
			speaks |= SPEAKS_HTTP1;
		else if (l->tls != NULL || l->http.versions_given)
			speaks |= SPEAKS_HTTP2;
	}
	return speaks;
}

bool front_open(struct traffic *t, struct snapshot *s, uint32_t place, int fd,
		const struct client_arrival *arrival)
{
	const struct site_listener *l = &site_of(s)->listeners[place];
	struct front *f = calloc(1, sizeof(*f));

	if (f == NULL) {
		(void)close(fd);
		return false;
	}
	*f = (struct front){ .magic = FRONT_MAGIC, .timer = { .fire = timer_fired } };
	f->speaks = what_is_spoken(l->conf);
	f->first_bytes_ns = l->conf->timeouts.request_header_ns;
	f->link = link_accept(t->loop, fd, l->tls, l->conf->timeouts.handshake_ns, &link_events, f);
	if (f->link == NULL) {
		free(f);
		return false;
	}
	f->snapshot = snapshot_ref(s);
	client_enter(&f->client, t, &front_ops, l->plan->slot, arrival);
	return true;
}
