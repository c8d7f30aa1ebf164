#include <stdlib.h>

#include "certs/server.h"
#include "conf/must.h"
#include "proxy/http/http1_client.h"
#include "proxy/http/http2_client.h"
#include "proxy/http/upstream_private.h"
#include "proxy/net/dial.h"

/* As many as wait for one connection that is being made: servers that mean well take a hundred
 * exchanges at a time (RFC 9113 6.5.2). */
enum { MAX_WAITING = 100 };

static struct upstream_wait *next_waiting(struct upstream *c)
{
	struct upstream_wait *w = TAILQ_FIRST(&c->waiting);

	if (w != NULL) {
		TAILQ_REMOVE(&c->waiting, w, entry);
		c->num_waiting--;
	}
	return w;
}

/* Who waits may at once try another server, or this one again. */
static void tell_failed(struct upstream_wait *w, enum cause why)
{
	const struct upstream_events *events = w->events;

	w->events = NULL;
	events->failed(w, why);
}

/* Nothing came of it; the count of its server has been seen to. */
static void failed(struct upstream *c, enum cause why)
{
	struct upstream_wait *w;

	c->over = true;
	/* Nobody shall begin to wait for it now. */
	LIST_REMOVE(c, entry);
	LIST_INSERT_HEAD(&c->all->busy, c, entry);
	link_close(c->link);
	c->link = NULL;
	while ((w = next_waiting(c)) != NULL)
		tell_failed(w, why);
	upstream_drop(c);
}

/* ---- open */

static bool speaks_http2(const struct upstream *c)
{
	struct span agreed;

	if (c->protocol == CONF_PROTOCOL_HTTP1 || !c->is_tls)
		return c->protocol == CONF_PROTOCOL_HTTP2;
	agreed = server_tls_protocol(link_ssl(c->link));
	return span_eq(agreed, span_str("h2"));
}

static const struct http2_client_events http2_events = {
	.room = upstream_codec_idle,
	.ended = upstream_codec_ended,
};

static const struct client_codec_events http1_events = {
	.idle = upstream_codec_idle,
	.ended = upstream_codec_ended,
};

static struct client_codec *make_codec(struct upstream *c)
{
	struct loop *loop = c->all->traffic->loop;

	if (speaks_http2(c))
		return http2_client_codec(http2_client_new(loop, c->link, &http2_events, c));
	return http1_client_codec(http1_client_new(loop, c->link, &http1_events, c));
}

static void link_has_opened(void *owner)
{
	struct upstream *c = owner;
	struct traffic *t = c->all->traffic;
	struct sockaddr_storage peer;
	struct upstream_wait *w;
	socklen_t len;

	CHECK(c, UPSTREAM_MAGIC);
	if ((len = link_peer(c->link, &peer)) > 0) {
		c->address_len = len;
		c->address = peer;
	}
	c->connect_ns = dial_opened(t, c->server, c->link, c->began_ns);
	if (c->protocol == CONF_PROTOCOL_HTTP2 && !speaks_http2(c)) {
		metrics_add(&t->page->metrics.servers[c->server].failures[CAUSE_CONNECT_TLS], 1);
		journal_event(&t->journal, CONF_LOG_WARNING,
			      "pool %s: server %s: it does not agree to HTTP/2 (ALPN); set "
			      "\"protocol\" to \"auto\" or \"http/1.1\"",
			      c->pool_name, c->target->name);
		dial_left(t, c->server);
		failed(c, CAUSE_CONNECT_TLS);
		return;
	}
	if ((c->codec = make_codec(c)) == NULL) {
		metrics_add(&t->page->metrics.servers[c->server].failures[CAUSE_MEMORY], 1);
		dial_left(t, c->server);
		failed(c, CAUSE_MEMORY);
		return;
	}
	LIST_REMOVE(c, entry);
	c->all->alone[c->server] = !client_codec_shares(c->codec);
	if (client_codec_shares(c->codec))
		LIST_INSERT_HEAD(&c->all->servers[c->server], c, entry);
	else
		LIST_INSERT_HEAD(&c->all->busy, c, entry);
	while ((w = next_waiting(c)) != NULL) {
		const struct upstream_events *events = w->events;
		struct stream *s = NULL;

		if (client_codec_shares(c->codec) || client_codec_num_streams(c->codec) == 0)
			s = client_codec_open(c->codec, &c->limits);
		if (s == NULL) {
			tell_failed(w, CAUSE_SERVER_REFUSED);
			continue;
		}
		w->events = NULL;
		events->opened(w, s);
	}
}

/* ---- what else the link tells */

static enum cause cause_of(enum link_end why)
{
	switch (why) {
	case LINK_END_CLOSED:
		return CAUSE_CLOSED;
	case LINK_END_TRUNCATED:
		return CAUSE_SERVER_TRUNCATED;
	case LINK_END_TLS:
		return CAUSE_SERVER_TLS;
	case LINK_END_MEMORY:
		return CAUSE_MEMORY;
	default:
		return CAUSE_SERVER_RESET;
	}
}

static void link_data(void *owner, struct span bytes)
{
	struct upstream *c = owner;

	CHECK(c, UPSTREAM_MAGIC);
	metrics_add(&c->all->traffic->page->metrics.servers[c->server].bytes_received, bytes.n);
	client_codec_data(c->codec, bytes);
}

static void link_eof(void *owner)
{
	struct upstream *c = owner;

	CHECK(c, UPSTREAM_MAGIC);
	client_codec_eof(c->codec);
}

static void link_drained(void *owner)
{
	struct upstream *c = owner;

	CHECK(c, UPSTREAM_MAGIC);
	client_codec_drained(c->codec);
}

static void link_has_ended(void *owner, enum link_end why)
{
	struct upstream *c = owner;
	const char *words = "";

	CHECK(c, UPSTREAM_MAGIC);
	if (c->codec == NULL) {
		failed(c, dial_failed(c->all->traffic, c->pool_name, c->target, c->link, why));
		return;
	}
	if (why == LINK_END_TLS)
		(void)link_reason(c->link, &words);
	client_codec_link_ended(c->codec, cause_of(why), words);
}

static const struct link_events link_events = {
	.opened = link_has_opened,
	.data = link_data,
	.eof = link_eof,
	.drained = link_drained,
	.ended = link_has_ended,
};

/* ---- beginning and giving up */

static void wait_for(struct upstream *c, struct upstream_wait *w, const struct upstream_events *ev)
{
	w->events = ev;
	TAILQ_INSERT_TAIL(&c->waiting, w, entry);
	c->num_waiting++;
}

/* One that is being made to the same address, in the same way, and will take another exchange. */
static struct upstream *find_making(struct upstreams *u, const struct pool *pool,
				    const struct pool_choice *to)
{
	struct upstream *c;

	enum conf_protocol protocol = pool_conf(pool)->protocol;

	if (protocol == CONF_PROTOCOL_HTTP1 ||
	    (protocol == CONF_PROTOCOL_AUTO && u->alone[to->server->slot]))
		return NULL;
	LIST_FOREACH(c, &u->making, entry)
		if (c->server == to->server->slot && c->num_waiting < MAX_WAITING &&
		    c->generation == pool_snapshot(pool)->plan->generation &&
		    upstream_same_address(c, to->at.list[0]))
			return c;
	return NULL;
}

struct upstream *upstream_connect(struct upstreams *u, struct pool *pool,
				  const struct pool_choice *to, const struct upstream_events *ev,
				  struct upstream_wait *w)
{
	struct upstream *c = find_making(u, pool, to);

	if (c != NULL) {
		wait_for(c, w, ev);
		return c;
	}
	if (to->full || (c = calloc(1, sizeof(*c))) == NULL)
		return NULL;
	*c = (struct upstream){
		.magic = UPSTREAM_MAGIC,
		.is_tls = to->tls != NULL,
		.all = u,
		.protocol = pool_conf(pool)->protocol,
		.server = to->server->slot,
		.address_len = to->at.list[0]->len,
		.address = to->at.list[0]->address,
		.began_ns = loop_clock_ns(),
		.target = to->server,
		.pool_name = pool_plan(pool)->name,
		.orphan = { .drop = upstream_orphan },
		.timer = { .fire = upstream_timer },
	};
	TAILQ_INIT(&c->waiting);
	upstream_use(c, pool);
	c->may_move = pool_may_move(pool, to->place);
	if ((c->link = dial(u->traffic, to, &link_events, c)) == NULL) {
		free(c);
		return NULL;
	}
	LIST_INSERT_HEAD(&u->making, c, entry);
	wait_for(c, w, ev);
	return c;
}

void upstream_cancel(struct upstream *c, struct upstream_wait *w)
{
	if (w->events == NULL)
		return;
	CHECK(c, UPSTREAM_MAGIC);
	w->events = NULL;
	TAILQ_REMOVE(&c->waiting, w, entry);
	c->num_waiting--;
	if (c->num_waiting > 0 || c->codec != NULL || c->over)
		return;
	dial_left(c->all->traffic, c->server);
	link_close(c->link);
	upstream_drop(c);
}
