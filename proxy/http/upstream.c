#include "proxy/http/upstream.h"

#include <stdlib.h>
#include <string.h>

#include "conf/must.h"
#include "proxy/net/dial.h"

enum {
	UPSTREAM_MAGIC = 0x75707374,
	/* More than servers send that mean well; what a worker may have to keep of one head. */
	MAX_HEADER_SIZE = 64 << 10,
	MAX_HEADERS = 256,
};

struct upstream {
	unsigned magic;
	bool is_idle;
	bool is_tls;
	struct upstreams *all;
	struct link *link; /* the codec's, once there is one */
	struct http1_client *codec;
	uint32_t server, pool; /* slots */
	uint32_t generation;   /* of the snapshot that it was last used for */
	uint32_t max_idle;     /* of its pool then */
	int64_t idle_ns;
	socklen_t address_len;
	struct sockaddr_storage address;
	int64_t began_ns, connect_ns;
	uint64_t sent; /* bytes that have been counted */
	/* While it is being made. */
	const struct upstream_events *events;
	void *owner;
	const struct plan_server *target;
	const char *pool_name;
	struct http1_client_limits limits;
	LIST_ENTRY(upstream) entry; /* idle: of its server; else of those in use */
	/* While it is idle. */
	struct loop_orphan orphan;
	struct timer timer;
};
LIST_HEAD(upstream_list, upstream);

struct upstreams {
	struct traffic *traffic;
	bool draining;
	struct upstream_list busy;		       /* in use, or being made */
	struct upstream_list servers[METRICS_SERVERS]; /* idle, the last used first */
	uint32_t num_idle[METRICS_POOLS];
};

/* ---- the set */

struct upstreams *upstreams_new(struct traffic *t)
{
	struct upstreams *u = calloc(1, sizeof(*u));

	/* Zero is an empty list; pages of slots that nobody uses are never touched. */
	if (u != NULL)
		u->traffic = t;
	return u;
}

static void leave_idle(struct upstream *c)
{
	struct traffic *t = c->all->traffic;

	if (!c->is_idle)
		return;
	c->is_idle = false;
	LIST_REMOVE(c, entry);
	LIST_INSERT_HEAD(&c->all->busy, c, entry);
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

/* Closes the connection and frees it. */
static void drop(struct upstream *c)
{
	leave_idle(c);
	LIST_REMOVE(c, entry);
	if (c->codec != NULL) {
		count_sent(c);
		dial_left(c->all->traffic, c->server);
		http1_client_free(c->codec);
	}
	c->magic = 0;
	free(c);
}

static void drop_orphan(struct loop_orphan *o)
{
	drop((struct upstream *)((char *)o - offsetof(struct upstream, orphan)));
}

static void timer_fired(struct timer *t)
{
	drop((struct upstream *)((char *)t - offsetof(struct upstream, timer)));
}

static void drop_all_idle(struct upstreams *u)
{
	struct upstream *c;

	for (size_t i = 0; i < METRICS_SERVERS; i++)
		while ((c = LIST_FIRST(&u->servers[i])) != NULL)
			drop(c);
}

void upstreams_free(struct upstreams *u)
{
	struct upstream *c;

	if (u == NULL)
		return;
	drop_all_idle(u);
	/* What exchanges have given up, and the loop has not seen to yet. */
	while ((c = LIST_FIRST(&u->busy)) != NULL)
		drop(c);
	free(u);
}

void upstreams_drain(struct upstreams *u)
{
	u->draining = true;
	drop_all_idle(u);
}

static bool same_address(const struct upstream *c, const struct plan_address *a)
{
	return c->address_len == a->len && memcmp(&c->address, &a->address, a->len) == 0;
}

static bool fits(const struct upstream *c, const struct snapshot *s,
		 const struct plan_server *server)
{
	/* What TLS was agreed on depends on settings that may have changed. */
	if (c->is_tls && c->generation != s->plan->generation)
		return false;
	for (uint32_t i = 0; i < server->num_addresses; i++)
		if (same_address(c, snapshot_address(s, server->first_address + i)))
			return true;
	return false;
}

void upstreams_adopt(struct upstreams *u)
{
	const struct snapshot *now = u->traffic->now;
	/* Index + 1 of the server that has a slot. */
	uint32_t *by_slot = calloc(METRICS_SERVERS, sizeof(*by_slot));
	/* What is closed lingers, and may push out any other orphan, the next one of a list, too.
	 */
	struct upstream_list doomed = LIST_HEAD_INITIALIZER(doomed);
	struct upstream *c;

	if (by_slot == NULL) {
		drop_all_idle(u);
		return;
	}
	for (uint32_t i = 0; i < now->plan->num_servers; i++)
		by_slot[snapshot_server(now, i)->slot] = i + 1;
	for (uint32_t slot = 0; slot < METRICS_SERVERS; slot++) {
		c = LIST_FIRST(&u->servers[slot]);
		while (c != NULL) {
			struct upstream *next = LIST_NEXT(c, entry);

			if (by_slot[slot] == 0 ||
			    !fits(c, now, snapshot_server(now, by_slot[slot] - 1))) {
				LIST_REMOVE(c, entry);
				LIST_INSERT_HEAD(&doomed, c, entry);
			}
			c = next;
		}
	}
	while ((c = LIST_FIRST(&doomed)) != NULL)
		drop(c);
	free(by_slot);
}

/* ---- a connection in use */

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

/* One of a server that is gone would hold up its slot. */
static bool is_wanted(const struct upstream *c)
{
	const struct snapshot *now = c->all->traffic->now;

	if (c->generation == now->plan->generation)
		return true;
	for (uint32_t i = 0; i < now->plan->num_servers; i++)
		if (snapshot_server(now, i)->slot == c->server)
			return fits(c, now, snapshot_server(now, i));
	return false;
}

static void codec_idle(void *owner)
{
	struct upstream *c = owner;
	struct traffic *t = c->all->traffic;

	CHECK(c, UPSTREAM_MAGIC);
	count_sent(c);
	if (c->all->draining || c->all->num_idle[c->pool] >= c->max_idle || !is_wanted(c)) {
		drop(c);
		return;
	}
	c->is_idle = true;
	LIST_REMOVE(c, entry);
	LIST_INSERT_HEAD(&c->all->servers[c->server], c, entry);
	c->all->num_idle[c->pool]++;
	metrics_add(&t->page->metrics.idle_connections, 1);
	loop_after(t->loop, &c->timer, c->idle_ns);
	loop_orphan(t->loop, &c->orphan);
}

static void codec_ended(void *owner)
{
	struct upstream *c = owner;

	CHECK(c, UPSTREAM_MAGIC);
	drop(c);
}

static const struct http1_client_events codec_events = { .idle = codec_idle, .ended = codec_ended };

static void use(struct upstream *c, const struct pool *pool, const struct snapshot *s)
{
	const struct conf_pool *conf = pool_conf(pool);

	c->generation = s->plan->generation;
	c->pool = pool_plan(pool)->slot;
	c->max_idle = conf->idle_connections;
	c->idle_ns = conf->idle_connection_ns;
	c->limits = (struct http1_client_limits){
		.max_header_size = MAX_HEADER_SIZE,
		.max_headers = MAX_HEADERS,
		.response_head_ns = conf->timeouts.response_header_ns,
		.idle_ns = conf->timeouts.idle_ns,
		.tunnel_idle_ns = conf->timeouts.idle_ns,
	};
}

struct stream *upstream_reuse(struct upstreams *u, struct pool *pool, const struct pool_choice *to,
			      struct upstream **conn)
{
	struct upstream *c = LIST_FIRST(&u->servers[to->server->slot]);
	const struct snapshot *s = pool_snapshot(pool);

	while (c != NULL) {
		struct upstream *next = LIST_NEXT(c, entry);
		struct stream *stream;

		/* What has come on one unasked will end it in this turn. */
		if (link_is_quiet(c->link) && c->is_tls == (to->tls != NULL) &&
		    fits(c, s, to->server)) {
			leave_idle(c);
			use(c, pool, s);
			if ((stream = http1_client_open(c->codec, &c->limits)) != NULL) {
				*conn = c;
				return stream;
			}
		}
		c = next;
	}
	return NULL;
}

void upstream_discard(struct upstream *c)
{
	CHECK(c, UPSTREAM_MAGIC);
	drop(c);
}

int64_t upstream_connect_ns(const struct upstream *c)
{
	CHECK(c, UPSTREAM_MAGIC);
	return c->connect_ns;
}

bool upstream_answered(const struct upstream *c)
{
	CHECK(c, UPSTREAM_MAGIC);
	return http1_client_answered(c->codec);
}

/* ---- making one */

static void failed(struct upstream *c, enum cause why)
{
	const struct upstream_events *events = c->events;
	void *owner = c->owner;

	if (c->codec == NULL)
		link_close(c->link);
	drop(c);
	events->failed(owner, why);
}

static void link_has_opened(void *owner)
{
	struct upstream *c = owner;
	struct traffic *t = c->all->traffic;
	struct stream *s;

	CHECK(c, UPSTREAM_MAGIC);
	c->connect_ns = dial_opened(t, c->server, c->began_ns);
	c->codec = http1_client_new(t->loop, c->link, &codec_events, c);
	if (c->codec == NULL) {
		metrics_add(&t->page->metrics.servers[c->server].failures[CAUSE_MEMORY], 1);
		dial_left(t, c->server);
		failed(c, CAUSE_MEMORY);
	} else if ((s = http1_client_open(c->codec, &c->limits)) == NULL) {
		failed(c, CAUSE_SERVER_CLOSED);
	} else {
		c->events->opened(c->owner, s);
	}
}

static void link_data(void *owner, struct span bytes)
{
	struct upstream *c = owner;

	CHECK(c, UPSTREAM_MAGIC);
	metrics_add(&c->all->traffic->page->metrics.servers[c->server].bytes_received, bytes.n);
	http1_client_data(c->codec, bytes);
}

static void link_eof(void *owner)
{
	struct upstream *c = owner;

	CHECK(c, UPSTREAM_MAGIC);
	http1_client_eof(c->codec);
}

static void link_drained(void *owner)
{
	struct upstream *c = owner;

	CHECK(c, UPSTREAM_MAGIC);
	http1_client_drained(c->codec);
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
	http1_client_link_ended(c->codec, cause_of(why), words);
}

static const struct link_events link_events = {
	.opened = link_has_opened,
	.data = link_data,
	.eof = link_eof,
	.drained = link_drained,
	.ended = link_has_ended,
};

struct upstream *upstream_connect(struct upstreams *u, struct pool *pool,
				  const struct pool_choice *to, const struct upstream_events *ev,
				  void *owner)
{
	struct upstream *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	*c = (struct upstream){
		.magic = UPSTREAM_MAGIC,
		.is_tls = to->tls != NULL,
		.all = u,
		.server = to->server->slot,
		.address_len = to->address->len,
		.address = to->address->address,
		.began_ns = loop_clock_ns(),
		.events = ev,
		.owner = owner,
		.target = to->server,
		.pool_name = pool_plan(pool)->name,
		.orphan = { .drop = drop_orphan },
		.timer = { .fire = timer_fired },
	};
	use(c, pool, pool_snapshot(pool));
	LIST_INSERT_HEAD(&u->busy, c, entry);
	if ((c->link = dial(u->traffic, to, &link_events, c)) == NULL) {
		LIST_REMOVE(c, entry);
		free(c);
		return NULL;
	}
	return c;
}

void upstream_cancel(struct upstream *c)
{
	CHECK(c, UPSTREAM_MAGIC);
	MUST(c->codec == NULL);
	dial_left(c->all->traffic, c->server);
	link_close(c->link);
	drop(c);
}
