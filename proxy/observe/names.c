#include "proxy/observe/names.h"

#include <stdlib.h>
#include <string.h>

static bool copy_all(struct name *to, const struct name *from, size_t num)
{
	for (size_t i = 0; i < num; i++) {
		if (from[i].text != NULL && (to[i].text = strdup(from[i].text)) == NULL)
			return false;
	}
	return true;
}

static void free_all(struct name *list, size_t num)
{
	for (size_t i = 0; i < num; i++)
		free(list[i].text);
}

struct names *names_new(const struct names *old)
{
	struct names *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->refs = 1;
	if (old == NULL)
		return t;
	if (!copy_all(t->listeners, old->listeners, METRICS_LISTENERS) ||
	    !copy_all(t->pools, old->pools, METRICS_POOLS) ||
	    !copy_all(t->servers, old->servers, METRICS_SERVERS)) {
		names_unref(t);
		return NULL;
	}
	memcpy(t->server_pools, old->server_pools, sizeof(t->server_pools));
	return t;
}

static bool set(struct name *list, size_t num, uint32_t slot, const char *text)
{
	char *copy;

	if (slot >= num || (copy = strdup(text)) == NULL)
		return false;
	free(list[slot].text);
	list[slot].text = copy;
	list[slot].current = true;
	return true;
}

bool names_set_listener(struct names *t, uint32_t slot, const char *name)
{
	return set(t->listeners, METRICS_LISTENERS, slot, name);
}

bool names_set_pool(struct names *t, uint32_t slot, const char *name)
{
	/* A slot gets another name when nobody uses it any more: then its servers are gone, too. */
	if (slot < METRICS_POOLS && t->pools[slot].text != NULL &&
	    strcmp(t->pools[slot].text, name) != 0) {
		for (size_t i = 0; i < METRICS_SERVERS; i++) {
			if (t->servers[i].text != NULL && t->server_pools[i] == slot) {
				free(t->servers[i].text);
				t->servers[i] = (struct name){ .text = NULL };
			}
		}
	}
	return set(t->pools, METRICS_POOLS, slot, name);
}

bool names_set_server(struct names *t, uint32_t slot, uint32_t pool, const char *name)
{
	if (pool >= METRICS_POOLS || !set(t->servers, METRICS_SERVERS, slot, name))
		return false;
	t->server_pools[slot] = pool;
	return true;
}

/* What is sorted, so that slots of the same name come to lie side by side, the current one
 * first. */
struct entry {
	const char *outer; /* the pool of a server; else "" */
	struct name *name;
};

static int compare(const void *a, const void *b)
{
	const struct entry *x = a;
	const struct entry *y = b;
	int d = strcmp(x->outer, y->outer);

	if (d == 0)
		d = strcmp(x->name->text, y->name->text);
	if (d == 0)
		d = (int)y->name->current - (int)x->name->current;
	if (d == 0)
		d = x->name < y->name ? -1 : x->name > y->name;
	return d;
}

static void show_first_of_each(struct entry *list, size_t num)
{
	if (num > 1)
		qsort(list, num, sizeof(*list), compare);
	for (size_t i = 0; i < num; i++) {
		list[i].name->shown = i == 0 || strcmp(list[i].outer, list[i - 1].outer) != 0 ||
				      strcmp(list[i].name->text, list[i - 1].name->text) != 0;
	}
}

bool names_seal(struct names *t)
{
	struct entry *list = calloc(METRICS_SERVERS, sizeof(*list));
	size_t num = 0;

	if (list == NULL)
		return false;
	for (size_t i = 0; i < METRICS_LISTENERS; i++) {
		if (t->listeners[i].text != NULL)
			list[num++] = (struct entry){ .outer = "", .name = &t->listeners[i] };
	}
	show_first_of_each(list, num);
	num = 0;
	for (size_t i = 0; i < METRICS_SERVERS; i++) {
		const char *pool = t->pools[t->server_pools[i]].text;

		if (t->servers[i].text != NULL && pool != NULL)
			list[num++] = (struct entry){ .outer = pool, .name = &t->servers[i] };
	}
	show_first_of_each(list, num);
	free(list);
	return true;
}

struct names *names_ref(struct names *t)
{
	(void)__atomic_add_fetch(&t->refs, 1, __ATOMIC_RELAXED);
	return t;
}

void names_unref(struct names *t)
{
	if (t == NULL || __atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	free_all(t->listeners, METRICS_LISTENERS);
	free_all(t->pools, METRICS_POOLS);
	free_all(t->servers, METRICS_SERVERS);
	free(t);
}

const char *names_listener(const struct names *t, uint32_t slot)
{
	return t == NULL || slot >= METRICS_LISTENERS ? NULL : t->listeners[slot].text;
}

const char *names_pool(const struct names *t, uint32_t slot)
{
	return t == NULL || slot >= METRICS_POOLS ? NULL : t->pools[slot].text;
}

const char *names_server(const struct names *t, uint32_t slot)
{
	return t == NULL || slot >= METRICS_SERVERS ? NULL : t->servers[slot].text;
}
