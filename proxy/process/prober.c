#include "proxy/process/prober.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/client.h"
#include "proxy/http/probe.h"
#include "proxy/pool/addresses.h"
#include "proxy/pool/health.h"

enum { AT_A_TIME = 64 };

#define CROWDED_NS INT64_C(50000000) /* until one that found too many others tries again */

struct checked_pool {
	const struct conf_pool *conf;
	const char *name;
	struct client_tls *tls;
	struct addresses *addresses;
};

struct checked {
	struct prober *all;
	struct checked_pool *pool;
	const struct plan_server *server;
	uint32_t place; /* in the pool */
	struct probe_target target;
	struct probe *probe; /* NULL: none is on its way */
	struct timer timer;
	char authority[sizeof(((struct plan_server *)0)->host) + 16];
};

struct prober {
	struct loop *loop;
	const struct board *board;
	struct logwriter *log;
	struct snapshot *snapshot;
	struct checked_pool *pools; /* as many as the snapshot has */
	struct checked *servers;    /* of pools with `health` */
	uint32_t num_pools, num_servers;
	unsigned num_on;
	struct health states[METRICS_SERVERS]; /* by slot */
	int64_t due_ns[METRICS_SERVERS];       /* likewise: a reload does not put a check off */
};

/* ---- what is found */

static struct board_server *found_of(const struct prober *p, uint32_t slot)
{
	return &board_steward(p->board)->servers[slot];
}

static struct metrics_steward *metrics_of(const struct prober *p)
{
	return &board_steward(p->board)->metrics;
}

static void set_down(struct prober *p, uint32_t slot, bool down)
{
	struct board_server *to = found_of(p, slot);

	if (!down)
		__atomic_store_n(&to->up_ns, loop_clock_ns(), __ATOMIC_RELAXED);
	__atomic_store_n(&to->down, down, __ATOMIC_RELEASE);
}

static void count_down(struct prober *p)
{
	uint64_t num = 0;

	for (uint32_t i = 0; i < p->num_servers; i++)
		num += p->states[p->servers[i].server->slot].down;
	__atomic_store_n(&metrics_of(p)->down, num, __ATOMIC_RELAXED);
}

static void say_change(const struct checked *c, bool down, const char *words)
{
	const struct conf_health *h = c->pool->conf->health;

	if (down)
		logwriter_say(c->all->log, CONF_LOG_WARNING,
			      "pool %s: server %s is down and gets nothing: %s (%s)", c->pool->name,
			      c->server->name, words, h->tcp ? "connecting" : h->path);
	else
		logwriter_say(c->all->log, CONF_LOG_INFO, "pool %s: server %s is up", c->pool->name,
			      c->server->name);
}

static void next_check(struct checked *c, int64_t in_ns)
{
	c->all->due_ns[c->server->slot] = c->all->loop->now_ns + in_ns;
	loop_after(c->all->loop, &c->timer, in_ns);
}

/* A tenth more or less, or all that began together would go on together. */
static int64_t jittered(int64_t ns)
{
	uint16_t chance = 0;

	(void)RAND_bytes((uint8_t *)&chance, sizeof(chance));
	return ns - ns / 10 + ns / 5 * chance / UINT16_MAX;
}

static void done(void *owner, bool ok, const char *words)
{
	struct checked *c = owner;
	struct prober *p = c->all;
	const struct conf_health *h = c->pool->conf->health;
	enum health_change change;

	c->probe = NULL;
	p->num_on--;
	metrics_add(&metrics_of(p)->checks[ok ? 0 : 1], 1);
	change = health_note(&p->states[c->server->slot], ok, h->rise, h->fall);
	if (change != HEALTH_NONE) {
		set_down(p, c->server->slot, change == HEALTH_DOWN);
		say_change(c, change == HEALTH_DOWN, words);
		count_down(p);
	}
	next_check(c, jittered(h->interval_ns));
}

/* Without an address there is nobody to ask; and nobody is sent there. */
static void check(struct timer *t)
{
	struct checked *c = (struct checked *)((char *)t - offsetof(struct checked, timer));
	struct prober *p = c->all;
	struct addresses_choice at;

	if (p->num_on >= AT_A_TIME || !addresses_has_any(c->pool->addresses, c->place)) {
		next_check(c, CROWDED_NS);
		return;
	}
	addresses_choose(c->pool->addresses, c->place, p->loop->now_ns, &at);
	c->probe = probe_new(p->loop, &c->target, &at, done, c);
	if (c->probe == NULL) /* ours is the trouble, not the server's */
		next_check(c, jittered(c->pool->conf->health->interval_ns));
	else
		p->num_on++;
}

/* ---- what is looked after */

static void drop_lists(struct prober *p)
{
	for (uint32_t i = 0; i < p->num_servers; i++) {
		loop_cancel(p->loop, &p->servers[i].timer);
		probe_free(p->servers[i].probe);
	}
	for (uint32_t i = 0; i < p->num_pools; i++) {
		client_tls_free(p->pools[i].tls);
		addresses_free(p->pools[i].addresses);
	}
	free(p->servers);
	free(p->pools);
	p->servers = NULL;
	p->pools = NULL;
	p->num_servers = p->num_pools = 0;
	p->num_on = 0;
}

/* The one that a client of the server would ask for. */
static void name_host(struct checked *c)
{
	const struct conf_pool *conf = c->pool->conf;
	const char *host = conf->health->host;

	if (host == NULL)
		host = c->target.name;
	if (host[0] == '\0')
		host = "localhost"; /* behind a unix socket */
	(void)snprintf(c->authority, sizeof(c->authority),
		       strchr(host, ':') != NULL ? "[%s]" : "%s", host);
	c->target.authority = c->authority;
}

static void add_server(struct prober *p, struct checked_pool *pool, uint32_t place,
		       const struct plan_server *server)
{
	struct checked *c = &p->servers[p->num_servers++];
	const struct conf_pool *conf = pool->conf;

	*c = (struct checked){
		.all = p,
		.pool = pool,
		.server = server,
		.place = place,
		.target = { .health = conf->health,
			    .protocol = conf->protocol,
			    .tls = pool->tls,
			    .name = conf->tls != NULL && conf->tls->server_name != NULL
					    ? conf->tls->server_name
					    : server->host },
		.timer = { .fire = check },
	};
	name_host(c);
}

/* False: out of memory, or what workers would not take either. */
static bool add_pool(struct prober *p, const struct snapshot *s, uint32_t i)
{
	const struct plan_pool *plan = snapshot_pool(s, i);
	struct checked_pool *pool = &p->pools[p->num_pools++];
	struct problems why;
	bool ok = true;

	*pool = (struct checked_pool){ .conf = &s->conf->pools[i], .name = plan->name };
	if (pool->conf->health == NULL)
		return true;
	problems_init(&why);
	pool->addresses = addresses_new(s, plan, p->board, NULL);
	if (pool->conf->tls != NULL) {
		pool->tls = client_tls_new(pool->conf->tls, snapshot_roots(s, i),
					   pool->conf->pointer, &why);
		ok = pool->tls != NULL && client_tls_offer(pool->tls, pool->conf->protocol);
	}
	problems_fini(&why);
	if (!ok || pool->addresses == NULL)
		return false;
	for (uint32_t k = 0; k < plan->num_servers; k++)
		add_server(p, pool, k, snapshot_server(s, plan->first_server + k));
	return true;
}

/* Of those that are not looked after any more nothing is known, whoever gets the slot. */
static void forget_others(struct prober *p)
{
	bool *stays = calloc(METRICS_SERVERS, sizeof(*stays));

	for (uint32_t i = 0; stays != NULL && i < p->num_servers; i++)
		stays[p->servers[i].server->slot] = true;
	for (uint32_t slot = 0; stays != NULL && slot < METRICS_SERVERS; slot++) {
		if (stays[slot] || (!p->states[slot].known && found_of(p, slot)->down == 0))
			continue;
		p->states[slot] = (struct health){ .known = false };
		p->due_ns[slot] = 0;
		__atomic_store_n(&found_of(p, slot)->up_ns, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&found_of(p, slot)->down, 0, __ATOMIC_RELEASE);
	}
	free(stays);
}

/* The one before us may have died with something found. */
static void take_from_board(struct prober *p, uint32_t slot)
{
	struct health *h = &p->states[slot];

	if (!h->known && found_of(p, slot)->down != 0)
		*h = (struct health){ .known = true, .down = true };
}

bool prober_adopt(struct prober *p, struct snapshot *s)
{
	struct prober fresh = { .loop = p->loop, .board = p->board };
	bool ok;

	fresh.pools = calloc(s->plan->num_pools + (size_t)1, sizeof(*fresh.pools));
	fresh.servers = calloc(s->plan->num_servers + (size_t)1, sizeof(*fresh.servers));
	ok = fresh.pools != NULL && fresh.servers != NULL;
	for (uint32_t i = 0; ok && i < s->plan->num_pools; i++)
		ok = add_pool(&fresh, s, i);
	if (!ok) {
		drop_lists(&fresh);
		return false;
	}
	drop_lists(p);
	snapshot_unref(p->snapshot);
	p->snapshot = snapshot_ref(s);
	p->pools = fresh.pools;
	p->servers = fresh.servers;
	p->num_pools = fresh.num_pools;
	p->num_servers = fresh.num_servers;
	forget_others(p);
	for (uint32_t i = 0; i < p->num_servers; i++) {
		struct checked *c = &p->servers[i];
		int64_t in_ns = p->due_ns[c->server->slot] - p->loop->now_ns;

		c->all = p;
		take_from_board(p, c->server->slot);
		/* Of a new one something is soon known; the others go on as they were. */
		next_check(c, in_ns > 0 ? in_ns : jittered(CROWDED_NS));
	}
	count_down(p);
	return true;
}

/* ---- the whole */

struct prober *prober_new(struct loop *loop, const struct board *board, struct logwriter *log)
{
	struct prober *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->loop = loop;
	p->board = board;
	p->log = log;
	return p;
}

void prober_free(struct prober *p)
{
	if (p == NULL)
		return;
	drop_lists(p);
	snapshot_unref(p->snapshot);
	free(p);
}
