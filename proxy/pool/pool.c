#include "proxy/pool/pool.h"

#include <openssl/siphash.h>
#include <stdlib.h>

#include "proxy/pool/balance.h"

/* Servers that are chosen from together. */
struct pool_group {
	struct balance *balance; /* NULL: there are none */
	const uint16_t *numbers; /* in the pool, by their numbers in the balance */
};

struct pool {
	const struct snapshot *snapshot;
	const struct board *board;
	const struct conf_pool *conf;
	const struct plan_pool *plan;
	const struct balance_policy *policy;
	struct pool_group groups[2]; /* backups are the second, asked where the first has none */
	uint16_t *numbers;	     /* of all servers, backups last */
	struct addresses *addresses;
	struct sticky *sticky;
	struct client_tls *tls;
	struct retry_budget budget;
	const int64_t *now_ns;
};

static const struct balance_policy *const policies[] = {
	[CONF_BALANCE_LEAST_REQUESTS] = &balance_least_requests,
	[CONF_BALANCE_ROUND_ROBIN] = &balance_round_robin,
	[CONF_BALANCE_RANDOM] = &balance_random,
	[CONF_BALANCE_HASH] = &balance_hash,
	[CONF_BALANCE_FIRST] = &balance_first,
};

uint64_t pool_key(struct span what)
{
	/* Anybody may know it, as long as all workers agree, and the next start with this one. */
	static const uint64_t fixed[2] = { UINT64_C(0x73616c6c79706f72),
					   UINT64_C(0x742f706f6f6c2f31) };

	return SIPHASH_24(fixed, (const uint8_t *)what.p, what.n);
}

static bool make_balances(struct pool *p, unsigned start)
{
	size_t num = p->conf->num_servers, at = 0;
	struct balance_server *servers = calloc(num, sizeof(*servers));
	bool ok = true;

	p->numbers = calloc(num, sizeof(*p->numbers));
	if (servers == NULL || p->numbers == NULL)
		ok = false;
	for (unsigned backup = 0; ok && backup < 2; backup++) {
		struct pool_group *g = &p->groups[backup];
		size_t from = at;

		g->numbers = p->numbers + from;
		for (size_t i = 0; i < num; i++) {
			const struct conf_server *s = &p->conf->servers[i];

			if (s->backup != (backup == 1))
				continue;
			p->numbers[at] = (uint16_t)i;
			servers[at++] = (struct balance_server){
				.weight = s->weight,
				.id = pool_key(span_str(s->name)),
			};
		}
		if (at > from)
			ok = (g->balance = p->policy->make(servers + from, at - from, start)) !=
			     NULL;
	}
	free(servers);
	return ok;
}

/* False, as pool_new says. */
static bool make_tls(struct pool *p, uint32_t number, const struct pool_parts *parts,
		     struct problems *why)
{
	const struct conf_pool_tls *t = p->conf->tls;
	const struct client_tls_certificate own = { .index = parts->index,
						    .set = p->plan->set,
						    .load = p->snapshot->plan->generation,
						    .keys = parts->keys };

	if (t == NULL)
		return true;
	p->tls = client_tls_new(t, snapshot_roots(p->snapshot, number), p->conf->pointer, why);
	return p->tls != NULL && client_tls_offer(p->tls, p->conf->protocol) &&
	       client_tls_resume(p->tls, p->plan->num_servers) &&
	       (t->certificate == NULL || client_tls_show(p->tls, &own));
}

static bool make_sticky(struct pool *p)
{
	const struct board_supervisor *page = board_supervisor(p->board);
	const struct conf_sticky *conf = p->conf->sticky;
	struct span own = span_of((const char *)page->address_key, sizeof(page->address_key));

	if (conf == NULL)
		return true;
	p->sticky = sticky_new(p->conf, conf->secret != NULL ? span_str(conf->secret) : own);
	return p->sticky != NULL;
}

struct pool *pool_new(const struct snapshot *s, uint32_t number, const struct pool_parts *parts,
		      struct problems *why)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->snapshot = s;
	p->board = parts->board;
	p->now_ns = parts->now_ns;
	retry_budget_init(&p->budget, *p->now_ns);
	p->conf = &s->conf->pools[number];
	p->plan = snapshot_pool(s, number);
	p->policy = policies[p->conf->balance];
	p->addresses = addresses_new(s, p->plan, p->board, parts->shun);
	if (p->addresses == NULL || !make_sticky(p) || !make_balances(p, parts->worker) ||
	    !make_tls(p, number, parts, why))
		goto fail;
	return p;
fail:
	pool_free(p);
	return NULL;
}

void pool_free(struct pool *p)
{
	if (p == NULL)
		return;
	client_tls_free(p->tls);
	addresses_free(p->addresses);
	sticky_free(p->sticky);
	p->policy->drop(p->groups[0].balance);
	p->policy->drop(p->groups[1].balance);
	free(p->numbers);
	free(p);
}

struct retry_budget *pool_budget(struct pool *p)
{
	return &p->budget;
}

unsigned pool_max_pending(const struct pool *p)
{
	unsigned workers = board_workers(p->board);

	return (unsigned)((p->conf->max_pending + workers - 1) / workers);
}

void pool_tries_anew(struct pool_tries *t)
{
	*t = (struct pool_tries){ .key = t->key, .wanted = t->wanted };
}

bool pool_has_address(struct pool *p, uint32_t place, const struct sockaddr_storage *address,
		      socklen_t len)
{
	return addresses_has(p->addresses, place, address, len);
}

bool pool_may_move(const struct pool *p, uint32_t place)
{
	return addresses_may_change(p->addresses, place);
}

const struct sticky *pool_sticky(const struct pool *p)
{
	return p->sticky;
}

const struct snapshot *pool_snapshot(const struct pool *p)
{
	return p->snapshot;
}

const struct conf_pool *pool_conf(const struct pool *p)
{
	return p->conf;
}

const struct plan_pool *pool_plan(const struct pool *p)
{
	return p->plan;
}

static bool has_room(const struct pool *p, const struct plan_server *server)
{
	uint64_t sum = 0;

	if (p->conf->max_connections == 0)
		return true;
	for (unsigned i = 0; i < board_workers(p->board); i++) {
		const struct metrics_worker *m = &board_worker(p->board, i)->metrics;

		sum += metrics_read(&m->servers[server->slot].active);
	}
	return sum < p->conf->max_connections;
}

/* ---- choosing a server */

/* What a balance asks about. */
struct asked {
	const struct pool *pool;
	const struct pool_group *group;
	const struct pool_tries *tries;
	bool any; /* also servers that are out: there is no other */
};

static bool was_tried(const struct pool_tries *t, uint32_t i)
{
	for (uint32_t n = 0; n < t->servers && n < POOL_MAX_TRIES; n++) {
		if (t->tried[n] == i)
			return true;
	}
	return false;
}

static const struct plan_server *server_at(const struct pool *p, uint32_t i)
{
	return snapshot_server(p->snapshot, p->plan->first_server + i);
}

static const struct board_server *found_of(const struct pool *p, uint32_t i)
{
	return &board_steward(p->board)->servers[server_at(p, i)->slot];
}

/* Whether the server is in a state to get requests. */
static bool pool_is_usable(const struct pool *p, uint32_t i)
{
	const struct board_server *found = found_of(p, i);

	return __atomic_load_n(&found->out, __ATOMIC_ACQUIRE) == 0 &&
	       __atomic_load_n(&found->down, __ATOMIC_ACQUIRE) == 0;
}

/* How much of its weight it gets now. */
static unsigned pool_share(const struct pool *p, uint32_t i)
{
	int64_t slow_ns = p->conf->slow_start_ns, back_ns, up_ns, since_ns;

	if (slow_ns == 0)
		return BALANCE_WHOLE;
	back_ns = __atomic_load_n(&found_of(p, i)->back_ns, __ATOMIC_RELAXED);
	up_ns = __atomic_load_n(&found_of(p, i)->up_ns, __ATOMIC_RELAXED);
	back_ns = up_ns > back_ns ? up_ns : back_ns;
	since_ns = *p->now_ns - back_ns;
	if (back_ns == 0 || since_ns >= slow_ns)
		return BALANCE_WHOLE;
	/* Something at once, or nobody would find out how it does. */
	return since_ns <= 0 ? 1 : (unsigned)(since_ns * (BALANCE_WHOLE - 1) / slow_ns) + 1;
}

static bool may_try(const struct pool *p, const struct pool_tries *t, uint32_t i, bool any)
{
	return !was_tried(t, i) && (any || pool_is_usable(p, i)) &&
	       addresses_has_any(p->addresses, i);
}

static bool usable(const void *pool, size_t i)
{
	const struct asked *a = pool;

	return may_try(a->pool, a->tries, a->group->numbers[i], a->any);
}

static unsigned share(const void *pool, size_t i)
{
	const struct asked *a = pool;

	return pool_share(a->pool, a->group->numbers[i]);
}

static uint64_t load(const void *pool, size_t i)
{
	const struct asked *a = pool;
	const struct board *board = a->pool->board;
	uint32_t slot = server_at(a->pool, a->group->numbers[i])->slot;
	uint64_t sum = 0;

	for (unsigned w = 0; w < board_workers(board); w++)
		sum += metrics_read(&board_worker(board, w)->metrics.servers[slot].requests_active);
	return sum;
}

/* What has chosen the pool is on its way to one of its servers, or about to be. */
static uint64_t total(const void *pool)
{
	const struct asked *a = pool;
	const struct board *board = a->pool->board;
	uint64_t sum = 0;

	for (unsigned w = 0; w < board_workers(board); w++)
		sum += metrics_read(
			&board_worker(board, w)->metrics.pools_active[a->pool->plan->slot]);
	return sum;
}

/* Asks the policy, of the backups where there is nothing else. */
static bool choose_of(const struct pool *p, struct pool_tries *t, bool any)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct pool_group *g = &p->groups[i];
		const struct asked asked = { .pool = p, .group = g, .tries = t, .any = any };
		const struct balance_view view = {
			.pool = &asked,
			.usable = usable,
			.load = load,
			.total = total,
			.share = share,
			.key = t->key,
			.again = t->servers > 0,
		};
		size_t pick;

		if (g->balance == NULL)
			continue;
		if ((pick = p->policy->pick(g->balance, &view)) != BALANCE_NONE) {
			t->server = g->numbers[pick];
			t->tried[t->servers++] = (uint16_t)t->server;
			return true;
		}
	}
	return false;
}

static bool panics(const struct pool *p)
{
	return __atomic_load_n(&board_steward(p->board)->panics[p->plan->slot], __ATOMIC_RELAXED) !=
	       0;
}

/* Where all that is left is out, what they have may still be better than nothing; but not better
 * than to wait for one that is in use, and full. */
static bool choose(const struct pool *p, struct pool_tries *t)
{
	if (!panics(p)) {
		if (choose_of(p, t, false))
			return true;
		if (t->full && !t->desperate)
			return false;
		t->desperate = true;
	}
	return choose_of(p, t, true);
}

/* So many were full that they are no longer remembered: the rest, each once, in order, those that
 * are out after the others. */
static bool choose_rest(const struct pool *p, struct pool_tries *t)
{
	for (;;) {
		while (t->rest < p->plan->num_servers) {
			uint32_t i = p->numbers[t->rest++];

			if (!may_try(p, t, i, true) ||
			    (pool_is_usable(p, i) == t->desperate && !panics(p)))
				continue;
			t->server = i;
			return true;
		}
		if (t->desperate || t->full || panics(p))
			return false;
		t->desperate = true;
		t->rest = 0;
	}
}

static bool take_preferred(const struct pool *p, struct pool_tries *t)
{
	uint32_t i = t->wanted;

	if (i == 0 || i > p->plan->num_servers || !may_try(p, t, i - 1, false))
		return false;
	t->server = i - 1;
	t->tried[t->servers++] = (uint16_t)t->server;
	return true;
}

/* Moves `t` to the next server. */
static bool next_server(const struct pool *p, struct pool_tries *t)
{
	if (t->servers == 0 && take_preferred(p, t))
		return true;
	return t->servers < POOL_MAX_TRIES ? choose(p, t) : choose_rest(p, t);
}

enum pool_verdict pool_next(struct pool *p, struct pool_tries *t, struct pool_choice *out)
{
	const struct plan_server *server;

	if (t->num >= POOL_MAX_TRIES || !next_server(p, t))
		return t->full && t->num == 0 ? POOL_FULL : POOL_NO_SERVER;
	server = server_at(p, t->server);
	*out = (struct pool_choice){
		.server = server,
		.tls = p->tls,
		.place = t->server,
		.name = p->conf->tls != NULL && p->conf->tls->server_name != NULL
				? p->conf->tls->server_name
				: server->host,
		.connect_timeout_ns = p->conf->timeouts.connect_ns,
		.full = !has_room(p, server),
	};
	addresses_choose(p->addresses, t->server, *p->now_ns, &out->at);
	if (out->full)
		t->full = true;
	else
		t->num++;
	return POOL_FOUND;
}
