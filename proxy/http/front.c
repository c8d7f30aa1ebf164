#include "proxy/http/front.h"

#include <stdlib.h>
#include <unistd.h>

#include "conf/must.h"
#include "proxy/http/exchange.h"
#include "proxy/http/http1_server.h"
#include "proxy/net/client_record.h"
#include "proxy/net/link.h"

enum { FRONT_MAGIC = 0x66726f6e };
#define MINIMUM_RATE_OVER_NS INT64_C(30000000000)

struct front {
	struct client client; /* first */
	unsigned magic;
	bool draining;
	struct link *link; /* the codec's, once there is one */
	struct http1_server *codec;
	struct exchange *exchange; /* NULL: none is on its way */
	struct snapshot *snapshot; /* until the handshake is over */
	uint64_t sent;		   /* bytes that have been counted */
	struct timer timer;	   /* of retirement */
	struct http1_limits limits;
};

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

	MUST(f->exchange == NULL);
	count_sent(f);
	loop_cancel(t->loop, &f->timer);
	client_leave(&f->client, cause);
	if (f->codec != NULL)
		http1_server_free(f->codec);
	else
		link_abort(f->link);
	f->magic = 0;
	free(f);
	snapshot_unref(snapshot);
	client_gone(t);
}

static void front_end(struct client *c, enum cause cause)
{
	struct front *f = (struct front *)c;

	CHECK(f, FRONT_MAGIC);
	if (f->exchange != NULL) {
		struct exchange *x = f->exchange;

		f->exchange = NULL;
		exchange_abandon(x, cause);
	}
	finish(f, cause);
}

static void front_drain(struct client *c)
{
	struct front *f = (struct front *)c;

	CHECK(f, FRONT_MAGIC);
	f->draining = true;
	if (f->codec != NULL)
		http1_server_drain(f->codec);
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

	front_end(&f->client, CAUSE_RETIRED);
}

static const struct client_ops front_ops = {
	.drain = front_drain,
	.retire = front_retire,
	.end = front_end,
};

/* ---- what the codec tells */

static void exchange_over(void *owner)
{
	struct front *f = owner;

	CHECK(f, FRONT_MAGIC);
	f->exchange = NULL;
	count_sent(f);
}

static void request(void *owner, struct stream *s, struct head *h, bool end)
{
	struct front *f = owner;
	struct exchange_place place = {
		.traffic = f->client.traffic,
		.client = &f->client,
		.link = f->link,
		.over = exchange_over,
		.owner = f,
	};

	CHECK(f, FRONT_MAGIC);
	f->exchange = exchange_new(&place, s, h);
	if (f->exchange == NULL) {
		head_free(h);
		stream_abort(s, CAUSE_MEMORY);
		return;
	}
	exchange_begin(f->exchange, end);
}

static void refused(void *owner, struct stream *s, struct head *h, unsigned status, enum cause why,
		    const char *detail)
{
	struct front *f = owner;
	struct exchange_place place = {
		.traffic = f->client.traffic,
		.client = &f->client,
		.link = f->link,
		.over = exchange_over,
		.owner = f,
	};

	CHECK(f, FRONT_MAGIC);
	f->exchange = exchange_new(&place, s, h);
	if (f->exchange == NULL) {
		head_free(h);
		stream_abort(s, CAUSE_MEMORY);
		return;
	}
	exchange_refuse(f->exchange, status, why, detail);
}

static void ended(void *owner, enum cause why, const char *detail)
{
	struct front *f = owner;

	(void)detail;
	CHECK(f, FRONT_MAGIC);
	finish(f, why);
}

static const struct http1_server_events codec_events = {
	.request = request,
	.refused = refused,
	.ended = ended,
};

/* ---- what the link tells */

static void link_opened(void *owner)
{
	struct front *f = owner;
	struct traffic *t = f->client.traffic;
	struct snapshot *snapshot = f->snapshot;

	CHECK(f, FRONT_MAGIC);
	client_count_handshake(&f->client, f->link);
	f->snapshot = NULL;
	snapshot_unref(snapshot);
	f->codec = http1_server_new(t->loop, f->link, &f->limits, &codec_events, f);
	if (f->codec == NULL)
		finish(f, CAUSE_MEMORY);
	else if (f->draining)
		http1_server_drain(f->codec);
}

static void link_data(void *owner, struct span bytes)
{
	struct front *f = owner;

	CHECK(f, FRONT_MAGIC);
	metrics_add(&f->client.cells->bytes_received, bytes.n);
	http1_server_data(f->codec, bytes);
}

static void link_eof(void *owner)
{
	struct front *f = owner;

	CHECK(f, FRONT_MAGIC);
	http1_server_eof(f->codec);
}

static void link_drained(void *owner)
{
	struct front *f = owner;

	CHECK(f, FRONT_MAGIC);
	http1_server_drained(f->codec);
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
		cause = f->codec != NULL ? CAUSE_CLIENT_TLS : (enum cause)(CAUSE_TLS + reason);
		break;
	case LINK_END_MEMORY:
		cause = CAUSE_MEMORY;
		break;
	default:
		cause = CAUSE_CLIENT_RESET;
		break;
	}
	if (f->codec == NULL)
		handshake_failed(f, cause, words);
	else
		http1_server_link_ended(f->codec, cause, words);
}

static const struct link_events link_events = {
	.opened = link_opened,
	.data = link_data,
	.eof = link_eof,
	.drained = link_drained,
	.ended = link_has_ended,
};

/* ---- making one */

static void set_limits(struct http1_limits *to, const struct conf_listener *l)
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
	set_limits(&f->limits, l->conf);
	f->link = link_accept(t->loop, fd, l->tls, l->conf->timeouts.handshake_ns, &link_events, f);
	if (f->link == NULL) {
		free(f);
		return false;
	}
	f->snapshot = snapshot_ref(s);
	client_enter(&f->client, t, &front_ops, l->plan->slot, arrival);
	return true;
}
