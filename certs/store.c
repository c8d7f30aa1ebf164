#include "certs/store.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "certs/certfile.h"
#include "certs/folder.h"
#include "certs/map.h"
#include "certs/roots.h"

/* A file, or pair of files, that was read. */
struct entry {
	char *certificate;
	char *key; /* NULL: in the same file */
	bool loaded;
	bool in_date;
	uint32_t number;
	uint32_t key_number;
	char *names; /* as in struct certfile */
	size_t names_len;
};

/* Numbers of entries. */
struct list {
	uint32_t *at;
	size_t num, room;
};

struct store {
	void *index;
	size_t index_len;
	struct key_table *keys;
	struct roots roots;
	struct span *pool_roots;
	size_t num_pools;
	size_t num_certificates;
};

/* What only loading needs. */
struct loading {
	struct store *store;
	struct index_builder *index;
	struct entry *entries;
	size_t num_entries, room;
	struct map by_path;
	int64_t now_s;
	struct problems *why;
};

static bool list_add(struct list *l, uint32_t number)
{
	if (l->num == l->room) {
		size_t room = l->room == 0 ? 16 : l->room * 2;
		uint32_t *grown = realloc(l->at, room * sizeof(*grown));

		if (grown == NULL)
			return false;
		l->at = grown;
		l->room = room;
	}
	l->at[l->num++] = number;
	return true;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* by_path is filed under the path of the certificate; the path of the key, which tells pairs with
 * one certificate apart, is compared here. */
struct wanted {
	const struct loading *loading;
	const char *key;
};

static bool entry_equal(const void *owner, uint32_t value, struct span certificate)
{
	const struct wanted *w = owner;
	const struct entry *e = &w->loading->entries[value];

	return span_eq(span_str(e->certificate), certificate) && same_text(e->key, w->key);
}

static bool no_memory(struct loading *l)
{
	problems_add(l->why, PROBLEM_ERROR, "certificates", "out of memory");
	return false;
}

/* Puts a certificate that was read into index and key table. False: out of memory. */
static bool keep(struct loading *l, struct entry *e, struct certfile *c)
{
	struct index_certificate ic = {
		.chain = c->pem.chain.der,
		.chain_len = c->pem.chain.num,
		.type = c->type,
		.key_bits = c->key_bits,
		.not_before_s = c->not_before_s,
		.not_after_s = c->not_after_s,
		.file = span_str(e->certificate),
	};

	if (!key_table_add(l->store->keys, span_of(c->pem.key, c->pem.key_len), &ic.key) ||
	    !index_builder_add(l->index, &ic, &e->number))
		return no_memory(l);
	e->loaded = true;
	e->key_number = ic.key;
	e->in_date = l->now_s >= c->not_before_s && l->now_s <= c->not_after_s;
	e->names = c->names;
	e->names_len = c->names_len;
	c->names = NULL;
	l->store->num_certificates++;
	return true;
}

static bool entries_grow(struct loading *l)
{
	size_t room = l->room == 0 ? 64 : l->room * 2;
	struct entry *grown;

	if (l->num_entries < l->room)
		return true;
	if ((grown = realloc(l->entries, room * sizeof(*grown))) == NULL)
		return no_memory(l);
	l->entries = grown;
	l->room = room;
	return true;
}

/* Reads a file or pair, unless that was done before, and adds it to `list`. False: out of
 * memory; what is wrong with the file is told and makes the load fail at its end. */
static bool load_pair(struct loading *l, const struct certfile_path *path, struct list *list)
{
	struct wanted w = { .loading = l, .key = path->key };
	struct span name = span_str(path->certificate);
	struct certfile c = { 0 };
	struct entry *e;
	uint32_t number;
	bool ok = true;

	if (map_find(&l->by_path, name, entry_equal, &w, &number))
		return list_add(list, number) || no_memory(l);
	if (!entries_grow(l))
		return false;
	number = (uint32_t)l->num_entries;
	e = &l->entries[number];
	*e = (struct entry){ .certificate = strdup(path->certificate),
			     .key = path->key == NULL ? NULL : strdup(path->key) };
	l->num_entries++;
	if (e->certificate == NULL || (path->key != NULL && e->key == NULL) ||
	    !map_add(&l->by_path, name, number) || !list_add(list, number))
		return no_memory(l);
	if (certfile_load(path, l->now_s, &c, l->why) == CERTFILE_LOADED)
		ok = keep(l, e, &c);
	certfile_fini(&c);
	return ok;
}

/* Says so where everything in a folder was passed over. */
static void check_any_loaded(struct loading *l, const char *path, const struct list *list,
			     size_t from, size_t errors_before)
{
	if (l->why->num_errors > errors_before)
		return;
	for (size_t i = from; i < list->num; i++) {
		if (l->entries[list->at[i]].loaded)
			return;
	}
	problems_add(l->why, PROBLEM_ERROR, path, "holds no certificate that has its key");
}

static bool load_folder(struct loading *l, const char *path, struct list *list)
{
	size_t errors_before = l->why->num_errors;
	size_t from = list->num;
	struct folder f = { 0 };
	bool ok = true;

	if (!folder_list(path, &f, l->why))
		return true; /* told */
	for (size_t i = 0; ok && i < f.num; i++) {
		struct certfile_path p = { .certificate = f.pairs[i].certificate,
					   .key = f.pairs[i].key,
					   .from_folder = true };

		ok = load_pair(l, &p, list);
	}
	folder_fini(&f);
	if (ok)
		check_any_loaded(l, path, list, from, errors_before);
	return ok;
}

static bool load_source(struct loading *l, const struct conf_certificate *c, struct list *list)
{
	struct certfile_path p = { .certificate = c->certificate, .key = c->key };
	struct stat st;

	if (c->key == NULL && stat(c->certificate, &st) == 0 && S_ISDIR(st.st_mode))
		return load_folder(l, c->certificate, list);
	return load_pair(l, &p, list);
}

/* Loads default_certificate where it is not among what the listener has. */
static bool load_default(struct loading *l, const char *path, struct list *list)
{
	struct certfile_path p = { .certificate = path };
	char *key;
	bool ok;

	for (size_t i = 0; i < list->num; i++) {
		if (strcmp(l->entries[list->at[i]].certificate, path) == 0)
			return true;
	}
	p.key = key = folder_key_of(path);
	ok = load_pair(l, &p, list);
	free(key);
	return ok;
}

static bool add_names(struct loading *l, uint32_t set, const struct entry *e)
{
	for (size_t at = 0; at < e->names_len;) {
		struct span name = span_str(e->names + at);

		if (!index_builder_name(l->index, set, name, e->number))
			return no_memory(l);
		at += name.n + 1;
	}
	return true;
}

/* The first one wins a name: so those in date come before those that are not. */
static bool add_all_names(struct loading *l, uint32_t set, const struct list *list)
{
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < list->num; i++) {
			const struct entry *e = &l->entries[list->at[i]];

			if (e->loaded && e->in_date == (pass == 0) && !add_names(l, set, e))
				return false;
		}
	}
	return true;
}

/* Finds the default: the file named, or the first. NULL: none was loaded. */
static const struct entry *find_default(const struct loading *l, const char *path,
					const struct list *list)
{
	for (size_t i = 0; i < list->num; i++) {
		const struct entry *e = &l->entries[list->at[i]];

		if (e->loaded && (path == NULL || strcmp(e->certificate, path) == 0))
			return e;
	}
	return NULL;
}

/* With the default come those of other key types for the same names. */
static bool add_defaults(struct loading *l, uint32_t set, const char *path, const struct list *list)
{
	const struct entry *first = find_default(l, path, list);

	if (first == NULL)
		return true;
	if (!index_builder_default(l->index, set, first->number))
		return no_memory(l);
	for (size_t i = 0; i < list->num; i++) {
		const struct entry *e = &l->entries[list->at[i]];

		if (!e->loaded || e->names_len != first->names_len || e->names_len == 0 ||
		    memcmp(e->names, first->names, e->names_len) != 0)
			continue;
		if (!index_builder_default(l->index, set, e->number))
			return no_memory(l);
	}
	return true;
}

/* Lets the keys of what was loaded sign as what `list` is for. */
static void allow(struct loading *l, const struct list *list, enum key_role role)
{
	for (size_t i = 0; i < list->num; i++) {
		const struct entry *e = &l->entries[list->at[i]];

		if (e->loaded)
			key_table_allow(l->store->keys, e->key_number, role);
	}
}

static bool load_listener(struct loading *l, const struct conf_tls *t, uint32_t set)
{
	struct list list = { 0 };
	bool ok = true;

	for (size_t i = 0; ok && i < t->num_certificates; i++)
		ok = load_source(l, &t->certificates[i], &list);
	if (ok && t->default_certificate != NULL)
		ok = load_default(l, t->default_certificate, &list);
	allow(l, &list, KEY_ROLE_SERVER);
	ok = ok && add_all_names(l, set, &list) &&
	     add_defaults(l, set, t->default_certificate, &list);
	free(list.at);
	return ok;
}

/* The certificate that a pool shows to its servers is the default of a set of its own. */
static bool load_client(struct loading *l, const struct conf_pool_tls *t, uint32_t set)
{
	struct certfile_path p = { .certificate = t->certificate,
				   .key = t->key,
				   .for_client = true };
	struct list list = { 0 };
	bool ok = load_pair(l, &p, &list);

	allow(l, &list, KEY_ROLE_CLIENT);
	ok = ok && add_defaults(l, set, NULL, &list);
	free(list.at);
	return ok;
}

static void load_roots(struct loading *l, const struct conf *c)
{
	for (size_t i = 0; i < c->num_pools; i++) {
		const struct conf_pool *p = &c->pools[i];

		if (p->tls != NULL && p->tls->verify)
			(void)roots_get(&l->store->roots, p->tls->ca, p->pointer,
					&l->store->pool_roots[i], l->why); /* told */
	}
}

static bool load_all(struct loading *l, const struct conf *c)
{
	struct store *s = l->store;
	size_t errors_before = l->why->num_errors;

	s->num_pools = c->num_pools;
	s->pool_roots = calloc(c->num_pools + 1, sizeof(*s->pool_roots));
	s->keys = key_table_new();
	l->index = index_builder_new((uint32_t)(c->num_listeners + c->num_pools));
	if (s->pool_roots == NULL || s->keys == NULL || l->index == NULL)
		return no_memory(l);
	for (size_t i = 0; i < c->num_listeners; i++) {
		if (c->listeners[i].tls != NULL &&
		    !load_listener(l, c->listeners[i].tls, (uint32_t)i))
			return false;
	}
	for (size_t i = 0; i < c->num_pools; i++) {
		const struct conf_pool_tls *t = c->pools[i].tls;

		if (t != NULL && t->certificate != NULL &&
		    !load_client(l, t, (uint32_t)(c->num_listeners + i)))
			return false;
	}
	load_roots(l, c);
	if (l->why->num_errors > errors_before)
		return false;
	return index_builder_finish(l->index, &s->index, &s->index_len) || no_memory(l);
}

static void loading_fini(struct loading *l)
{
	for (size_t i = 0; i < l->num_entries; i++) {
		free(l->entries[i].certificate);
		free(l->entries[i].key);
		free(l->entries[i].names);
	}
	free(l->entries);
	map_fini(&l->by_path);
	index_builder_free(l->index);
}

struct store *store_load(const struct conf *c, int64_t now_s, struct problems *why)
{
	struct loading l = { .store = calloc(1, sizeof(*l.store)), .now_s = now_s, .why = why };

	map_init(&l.by_path);
	if (l.store == NULL) {
		(void)no_memory(&l);
	} else if (!load_all(&l, c)) {
		store_free(l.store);
		l.store = NULL;
	}
	loading_fini(&l);
	return l.store;
}

void store_free(struct store *s)
{
	if (s == NULL)
		return;
	free(s->index);
	key_table_free(s->keys);
	roots_fini(&s->roots);
	free(s->pool_roots);
	free(s);
}

struct span store_index(const struct store *s)
{
	return span_of(s->index, s->index_len);
}

const struct key_table *store_keys(const struct store *s)
{
	return s->keys;
}

struct span store_roots(const struct store *s, size_t pool)
{
	return pool < s->num_pools ? s->pool_roots[pool] : span_of(NULL, 0);
}

size_t store_count(const struct store *s)
{
	return s->num_certificates;
}
