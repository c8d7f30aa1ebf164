#include <stdlib.h>
#include <string.h>

#include "conf/must.h"
#include "proxy/http/upstream_private.h"
#include "proxy/net/dial.h"
#include "proxy/net/pending.h"

enum {
	/* More than servers send that mean well; what a worker may have to keep of one head. */
	MAX_HEADER_SIZE = 64 << 10,
	MAX_HEADERS = 256,
};

/* Of a server that takes only so many connections: how long one is this worker's before it may go
 * to others who wait, and how often an idle one looks whether they do. */
#define TURN_NS INT64_C(100000000)
#define GIVE_WAY_NS INT64_C(20000000)

/* ---- the set */

struct upstreams *upstreams_new(struct traffic *t)
{
	struct upstreams *u = calloc(1, sizeof(*u));

	/* Zero is an empty list; pages of slots that nobody uses are never touched. */
	if (u != NULL)
		u->traffic = t;
	return u;
}

void upstream_leave_idle(struct upstream *c)
{
	struct traffic *t = c->all->traffic;

	if (!c->is_idle)
		return;
	c->is_idle = false;
	if (!client_codec_shares(c->codec)) {
		LIST_REMOVE(c, entry);
		LIST_INSERT_HEAD(&c->all->busy, c, entry);
	}
	loop_unorphan(t->loop, &c->orphan);
	loop_cancel(t->loop, &c->timer);
	c->all->num_idle[c->pool]--;
	metrics_sub(&t->page->metrics.idle_connections, 1);
}

static void count_sent(struct upstream *c)
{
	struct traffic *t = c->all->traffic;
	struct link_facts facts;

	link_facts(c->link, &facts);
	metrics_add(&t->page->metrics.servers[c->server].bytes_sent, facts.bytes_sent - c->sent);
	c->sent = facts.bytes_sent;
}

void upstream_drop(struct upstream *c)
{
	upstream_leave_idle(c);
	LIST_REMOVE(c, entry);
	if (c->codec != NULL) {
		count_sent(c);
		dial_left(c->all->traffic, c->server);
		client_codec_free(c->codec);
	}
	c->magic = 0;
	free(c);
}

void upstream_orphan(struct loop_orphan *o)
{
	upstream_drop((struct upstream *)((char *)o - offsetof(struct upstream, orphan)));
}

static bool gives_way(const struct upstream *c)
{
	const struct traffic *t = c->all->traffic;

	return c->is_limited && t->loop->now_ns - c->began_ns > TURN_NS &&
	       pending_elsewhere(t->pending, c->pool);
}

static void set_timer(struct upstream *c)
{
	struct loop *loop = c->all->traffic->loop;
	int64_t left_ns = c->idle_until_ns - loop->now_ns;

	loop_after(loop, &c->timer, c->is_limited && left_ns > GIVE_WAY_NS ? GIVE_WAY_NS : left_ns);
}

void upstream_timer(struct timer *t)
{
	struct upstream *c = (struct upstream *)((char *)t - offsetof(struct upstream, timer));

	if (c->all->traffic->loop->now_ns >= c->idle_until_ns || gives_way(c))
		upstream_drop(c);
	else
		set_timer(c);
}

bool upstream_same_address(const struct upstream *c, const struct plan_address *a)
{
	return c->address_len == a->len && memcmp(&c->address, &a->address, a->len) == 0;
}

static uint32_t place_of(const struct snapshot *s, const struct plan_server *server)
{
	return (uint32_t)(server - snapshot_server(s, 0)) -
	       snapshot_pool(s, server->pool)->first_server;
}

/* Whether the server of `s` is the one that this is connected to, in the same way. */
static bool fits(const struct upstream *c, const struct snapshot *s,
		 const struct plan_server *server)
{
	/* What TLS was agreed on depends on settings that may have changed. */
	if ((c->is_tls && c->generation != s->plan->generation) ||
	    c->protocol != s->conf->pools[server->pool].protocol)
		return false;
	return pool_has_address(site_of(s)->pools[server->pool], place_of(s, server), &c->address,
				c->address_len);
}

/* One of a server that is gone would hold up its slot. */
static bool is_wanted(const struct upstream *c)
{
	const struct snapshot *now = c->all->traffic->now;

	if (c->all->draining)
		return false;
	/* Of one that stays where it is that is all. */
	if (c->generation == now->plan->generation && !c->may_move)
		return true;
	for (uint32_t i = 0; i < now->plan->num_servers; i++)
		if (snapshot_server(now, i)->slot == c->server)
			return fits(c, now, snapshot_server(now, i));
	return false;
}

/* Drops the idle ones of a slot, or those of them that no longer fit `server`. What is closed
 * lingers, and may push out any other orphan: also the next one of a list. */
static void drop_idle(struct upstreams *u, uint32_t slot, const struct plan_server *server)
{
	struct upstream_list doomed = LIST_HEAD_INITIALIZER(doomed);
	struct upstream *c = LIST_FIRST(&u->servers[slot]);

	while (c != NULL) {
		struct upstream *next = LIST_NEXT(c, entry);

		if (c->is_idle && (server == NULL || !fits(c, u->traffic->now, server))) {
			LIST_REMOVE(c, entry);
			LIST_INSERT_HEAD(&doomed, c, entry);
		}
		c = next;
	}
	while ((c = LIST_FIRST(&doomed)) != NULL)
		upstream_drop(c);
}

void upstreams_free(struct upstreams *u)
{
	struct upstream *c;

	if (u == NULL)
		return;
	/* Also what exchanges have given up, and the loop has not seen to yet. */
	while ((c = LIST_FIRST(&u->busy)) != NULL)
		upstream_drop(c);
	for (uint32_t i = 0; i < METRICS_SERVERS; i++)
		while ((c = LIST_FIRST(&u->servers[i])) != NULL)
			upstream_drop(c);
	MUST(LIST_EMPTY(&u->making));
	free(u);
}

void upstreams_drain(struct upstreams *u)
{
	u->draining = true;
	for (uint32_t i = 0; i < METRICS_SERVERS; i++)
		drop_idle(u, i, NULL);
}

void upstreams_adopt(struct upstreams *u)
{
	const struct snapshot *now = u->traffic->now;
	/* Index + 1 of the server that has a slot. */
	uint32_t *by_slot = calloc(METRICS_SERVERS, sizeof(*by_slot));

	for (uint32_t i = 0; by_slot != NULL && i < now->plan->num_servers; i++)
		by_slot[snapshot_server(now, i)->slot] = i + 1;
	for (uint32_t slot = 0; slot < METRICS_SERVERS; slot++) {
		uint32_t number = by_slot == NULL ? 0 : by_slot[slot];

		drop_idle(u, slot, number == 0 ? NULL : snapshot_server(now, number - 1));
	}
	free(by_slot);
}

/* ---- a connection in use */

void upstream_codec_idle(void *owner)
{
	struct upstream *c = owner;
	struct traffic *t = c->all->traffic;

	CHECK(c, UPSTREAM_MAGIC);
	count_sent(c);
	if (client_codec_num_streams(c->codec) > 0 || c->is_idle)
		return;
	if (c->all->num_idle[c->pool] >= c->max_idle || !is_wanted(c) || gives_way(c)) {
		upstream_drop(c);
		return;
	}
	c->is_idle = true;
	LIST_REMOVE(c, entry);
	LIST_INSERT_HEAD(&c->all->servers[c->server], c, entry);
	c->all->num_idle[c->pool]++;
	metrics_add(&t->page->metrics.idle_connections, 1);
	c->idle_until_ns = t->loop->now_ns + c->idle_ns;
	set_timer(c);
	loop_orphan(t->loop, &c->orphan);
	pending_look(t->pending);
}

void upstream_codec_ended(void *owner)
{
	struct upstream *c = owner;

	CHECK(c, UPSTREAM_MAGIC);
	upstream_drop(c);
}

static void set_limits(struct client_codec_limits *to, const struct conf_pool *conf)
{
	*to = (struct client_codec_limits){
		.max_header_size = MAX_HEADER_SIZE,
		.max_headers = MAX_HEADERS,
		.response_head_ns = conf->timeouts.response_header_ns,
		.idle_ns = conf->timeouts.idle_ns,
		.tunnel_idle_ns = conf->timeouts.idle_ns,
	};
}

void upstream_use(struct upstream *c, const struct pool *pool)
{
	const struct conf_pool *conf = pool_conf(pool);

	c->generation = pool_snapshot(pool)->plan->generation;
	c->pool = pool_plan(pool)->slot;
	c->max_idle = conf->idle_connections;
	c->is_limited = conf->max_connections > 0;
	c->idle_ns = conf->idle_connection_ns;
	set_limits(&c->limits, conf);
}

struct stream *upstream_reuse(struct upstreams *u, struct pool *pool, const struct pool_choice *to,
			      struct upstream **conn)
{
	struct upstream *c = LIST_FIRST(&u->servers[to->server->slot]);
	struct client_codec_limits limits;

	set_limits(&limits, pool_conf(pool));
	while (c != NULL) {
		struct upstream *next = LIST_NEXT(c, entry);
		struct stream *stream;

		/* What has come unasked on one that is not shared will end it in this turn. */
		if ((client_codec_shares(c->codec) || link_is_quiet(c->link)) &&
		    c->is_tls == (to->tls != NULL) && fits(c, pool_snapshot(pool), to->server) &&
		    (to->at.num == 1 || upstream_same_address(c, to->at.list[0]))) {
			if ((stream = client_codec_open(c->codec, &limits)) != NULL) {
				upstream_leave_idle(c);
				upstream_use(c, pool);
				*conn = c;
				return stream;
			}
		}
		c = next;
	}
	return NULL;
}

void upstream_discard(struct upstream *c, struct stream *s)
{
	CHECK(c, UPSTREAM_MAGIC);
	if (client_codec_shares(c->codec))
		stream_release(s);
	else
		upstream_drop(c);
}

int64_t upstream_connect_ns(const struct upstream *c)
{
	CHECK(c, UPSTREAM_MAGIC);
	return c->connect_ns;
}

bool upstream_shares(const struct upstream *c)
{
	CHECK(c, UPSTREAM_MAGIC);
	return client_codec_shares(c->codec);
}
