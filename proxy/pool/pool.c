#include "proxy/pool/pool.h"

#include <stdlib.h>

#include "proxy/pool/balance.h"

struct pool {
	const struct snapshot *snapshot;
	const struct board *board;
	const struct conf_pool *conf;
	const struct plan_pool *plan;
	const struct balance_policy *policy;
	struct balance *balance;
	struct client_tls *tls;
	struct retry_budget budget;
};

static const struct balance_policy *const policies[] = {
	[CONF_BALANCE_LEAST_REQUESTS] = &balance_least_requests,
	[CONF_BALANCE_ROUND_ROBIN] = &balance_round_robin,
};

static struct balance *make_balance(const struct conf_pool *conf, unsigned start)
{
	unsigned *weights = calloc(conf->num_servers, sizeof(*weights));
	struct balance *b;

	if (weights == NULL)
		return NULL;
	for (size_t i = 0; i < conf->num_servers; i++)
		weights[i] = conf->servers[i].weight;
	b = policies[conf->balance]->make(weights, conf->num_servers, start);
	free(weights);
	return b;
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
	       (t->certificate == NULL || client_tls_show(p->tls, &own));
}

struct pool *pool_new(const struct snapshot *s, uint32_t number, const struct pool_parts *parts,
		      struct problems *why)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->snapshot = s;
	p->board = parts->board;
	retry_budget_init(&p->budget, parts->now_ns);
	p->conf = &s->conf->pools[number];
	p->plan = snapshot_pool(s, number);
	p->policy = policies[p->conf->balance];
	if ((p->balance = make_balance(p->conf, parts->worker)) == NULL ||
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
	p->policy->drop(p->balance);
	free(p);
}

struct retry_budget *pool_budget(struct pool *p)
{
	return &p->budget;
}

void pool_skip(struct pool_tries *t)
{
	t->address = UINT32_MAX;
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

static uint64_t load(const void *pool, size_t i)
{
	const struct pool *p = pool;
	uint32_t slot = snapshot_server(p->snapshot, p->plan->first_server + (uint32_t)i)->slot;
	uint64_t sum = 0;

	for (unsigned w = 0; w < board_workers(p->board); w++)
		sum += metrics_read(
			&board_worker(p->board, w)->metrics.servers[slot].requests_active);
	return sum;
}

/* Moves `t` to the next server; the first one is the balance's choice. */
static bool next_server(struct pool *p, struct pool_tries *t)
{
	const struct balance_view view = { .pool = p, .load = load };

	if (t->servers >= p->plan->num_servers)
		return false;
	t->server = t->servers == 0 ? (uint32_t)p->policy->pick(p->balance, &view)
				    : (t->server + 1) % p->plan->num_servers;
	t->servers++;
	t->address = 0;
	return true;
}

enum pool_verdict pool_next(struct pool *p, struct pool_tries *t, struct pool_choice *out)
{
	while (t->num < POOL_MAX_TRIES) {
		const struct plan_server *server;
		bool full;

		if (t->servers == 0 && !next_server(p, t))
			break;
		server = snapshot_server(p->snapshot, p->plan->first_server + t->server);
		if (t->address >= server->num_addresses) {
			if (!next_server(p, t))
				break;
			continue;
		}
		full = t->address == 0 && !has_room(p, server);
		*out = (struct pool_choice){
			.server = server,
			.address =
				snapshot_address(p->snapshot, server->first_address + t->address),
			.tls = p->tls,
			.name = p->conf->tls != NULL && p->conf->tls->server_name != NULL
					? p->conf->tls->server_name
					: server->host,
			.connect_timeout_ns = p->conf->timeouts.connect_ns,
			.full = full,
		};
		if (full) {
			t->full = true;
			t->address = server->num_addresses;
		} else {
			t->address++;
			t->num++;
		}
		return POOL_FOUND;
	}
	return t->full && t->num == 0 ? POOL_FULL : POOL_NO_SERVER;
}
