#include "proxy/net/site.h"

#include <stdlib.h>

static struct tenure *tenure_new(struct tenures *all, uint32_t generation)
{
	struct tenure *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	*t = (struct tenure){ .all = all, .generation = generation, .users = 1 };
	TAILQ_INSERT_TAIL(&all->list, t, entry);
	return t;
}

struct tenure *tenure_keep(struct tenure *t)
{
	t->users++;
	return t;
}

void tenure_drop(struct tenure *t)
{
	struct tenures *all;

	if (t == NULL || --t->users > 0)
		return;
	all = t->all;
	TAILQ_REMOVE(&all->list, t, entry);
	free(t);
	all->gone(all->gone_arg);
}

static void site_free(void *owned)
{
	struct site *site = owned;

	if (site == NULL)
		return;
	for (uint32_t i = 0; i < site->num_listeners; i++)
		server_tls_free(site->listeners[i].tls);
	for (uint32_t i = 0; i < site->num_pools; i++)
		pool_free(site->pools[i]);
	free(site->listeners);
	free(site->pools);
	index_close(site->index);
	keys_retire(site->keys, site->snapshot->plan->generation);
	tenure_drop(site->tenure);
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
	l->pool = site->pools[l->conf->pool];
	if (l->conf->tls == NULL)
		return true;
	tls.set = l->plan->set;
	return (l->tls = server_tls_new(l->conf, &tls, why)) != NULL;
}

struct site *site_new(struct snapshot *s, const struct site_parts *parts, struct problems *why)
{
	struct site *site = calloc(1, sizeof(*site));

	if (site == NULL)
		goto fail;
	site->snapshot = s;
	site->keys = parts->keys;
	if ((site->index = index_open(snapshot_index(s))) == NULL)
		goto fail;
	if (s->keys != NULL &&
	    !keys_adopt(parts->keys, s->plan->generation, span_of(s->keys, s->keys_len)))
		goto fail;
	site->pools = calloc(s->plan->num_pools + 1, sizeof(struct pool *));
	site->listeners = calloc(s->plan->num_listeners + 1, sizeof(*site->listeners));
	if (site->pools == NULL || site->listeners == NULL)
		goto fail;
	for (; site->num_pools < s->plan->num_pools; site->num_pools++) {
		site->pools[site->num_pools] =
			pool_new(s, site->num_pools, parts->board, parts->worker, why);
		if (site->pools[site->num_pools] == NULL)
			goto fail;
	}
	for (; site->num_listeners < s->plan->num_listeners; site->num_listeners++)
		if (!open_listener(site, site->num_listeners, parts, why))
			goto fail;
	if ((site->tenure = tenure_new(parts->tenures, s->plan->generation)) == NULL)
		goto fail;
	s->owned = site;
	s->owned_free = site_free;
	return site;
fail:
	if (why->num_errors == 0)
		problems_add(why, PROBLEM_ERROR, "snapshot", "out of memory");
	site_free(site);
	return NULL;
}

struct site *site_of(const struct snapshot *s)
{
	return s->owned;
}
