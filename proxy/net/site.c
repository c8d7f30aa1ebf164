#include "proxy/net/site.h"

#include <stdlib.h>

static void enter(struct site *site, struct sites *all)
{
	site->all = all;
	TAILQ_INSERT_TAIL(&all->list, site, entry);
}

static void leave(struct site *site)
{
	if (site->all == NULL)
		return;
	TAILQ_REMOVE(&site->all->list, site, entry);
	site->all->gone(site->all->gone_arg);
}

static void site_free(void *owned)
{
	struct site *site = owned;

	if (site == NULL)
		return;
	/* Also one that was not finished. */
	for (uint32_t i = 0; site->listeners != NULL && i < site->snapshot->plan->num_listeners;
	     i++) {
		server_tls_free(site->listeners[i].tls);
		routes_free(site->listeners[i].routes);
	}
	for (uint32_t i = 0; i < site->num_pools; i++)
		pool_free(site->pools[i]);
	free(site->listeners);
	free(site->pools);
	index_close(site->index);
	keys_retire(site->keys, site->snapshot->plan->generation);
	leave(site);
	free(site);
}

static bool open_listener(struct site *site, uint32_t i, const struct site_parts *parts,
			  struct problems *why)
{
	struct site_listener *l = &site->listeners[i];
	struct server_tls_parts tls = {
		.index = site->index,
		.load = site->snapshot->plan->generation,
		.keys = parts->keys,
		.tickets = parts->tickets,
	};

	l->conf = &site->snapshot->conf->listeners[i];
	l->plan = snapshot_listener(site->snapshot, i);
	site->by_slot[l->plan->slot] = (uint16_t)(i + 1);
	if (l->conf->mode == CONF_MODE_TCP && l->conf->pool != CONF_NO_POOL)
		l->pool = site->pools[l->conf->pool];
	else if (l->conf->mode == CONF_MODE_TCP)
		l->pool = NULL;
	else if ((l->routes = routes_new(l->conf->routes, l->conf->num_routes)) == NULL)
		return false;
	if (l->conf->tls == NULL)
		return true;
	tls.set = l->plan->set;
	return (l->tls = server_tls_new(l->conf, &tls, why)) != NULL;
}

struct site *site_new(struct snapshot *s, const struct site_parts *parts, struct problems *why)
{
	struct site *site = calloc(1, sizeof(*site));
	struct pool_parts pools = { .board = parts->board,
				    .worker = parts->worker,
				    .now_ns = parts->now_ns,
				    .shun = parts->shun,
				    .keys = parts->keys };

	if (site == NULL)
		goto fail;
	site->snapshot = s;
	site->keys = parts->keys;
	if ((site->index = index_open(snapshot_index(s))) == NULL)
		goto fail;
	pools.index = site->index;
	if (s->keys != NULL &&
	    !keys_adopt(parts->keys, s->plan->generation, span_of(s->keys, s->keys_len)))
		goto fail;
	site->pools = calloc(s->plan->num_pools + 1, sizeof(struct pool *));
	site->listeners = calloc(s->plan->num_listeners + 1, sizeof(*site->listeners));
	if (site->pools == NULL || site->listeners == NULL)
		goto fail;
	for (; site->num_pools < s->plan->num_pools; site->num_pools++) {
		site->pools[site->num_pools] = pool_new(s, site->num_pools, &pools, why);
		if (site->pools[site->num_pools] == NULL)
			goto fail;
	}
	for (; site->num_listeners < s->plan->num_listeners; site->num_listeners++)
		if (!open_listener(site, site->num_listeners, parts, why))
			goto fail;
	enter(site, parts->sites);
	s->owned = site;
	s->owned_free = site_free;
	return site;
fail:
	if (why->num_errors == 0)
		problems_add(why, PROBLEM_ERROR, "snapshot", "out of memory");
	site_free(site);
	return NULL;
}

const struct site_listener *site_find(const struct site *site, uint32_t slot)
{
	unsigned place = slot < METRICS_LISTENERS ? site->by_slot[slot] : 0;

	return place == 0 ? NULL : &site->listeners[place - 1];
}

struct site *site_of(const struct snapshot *s)
{
	return s->owned;
}
