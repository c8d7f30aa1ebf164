#include "proxy/http/route.h"

#include <stdlib.h>
#include <string.h>

#include "conf/must.h"
#include "proxy/http/uri.h"
#include "proxy/net/network.h"

enum { ROUTES_MAGIC = 0x726f7574, ANY_HOST = 0, WILDCARD_MAX = 255 };

/* A route at a place; one of several hosts has as many. */
struct node {
	const struct conf_route *route;
	struct node *next;
};

/* A path or prefix of one host, with its routes in their order. */
struct place {
	uint32_t host;
	bool is_prefix;
	struct span path;
	struct node *first, **last;
	const struct place *parent; /* a prefix: the next shorter one that matches it */
};

struct host {
	struct span name; /* ".example" is "*.example", "" is any */
	size_t longest_exact;
	const size_t *lengths; /* of its prefixes: each once, rising */
	size_t num_lengths;
};

/* Open addressing, at most half full. Keys are the operator's; a client can only look up, so it
 * meets clusters that are there and makes none. */
struct slot {
	uint64_t hash;
	uint32_t entry; /* and one; 0: empty */
};

struct table {
	struct slot *slots;
	size_t mask;
};

struct routes {
	unsigned magic;
	struct host *hosts;
	struct place *places;
	struct node *nodes;
	size_t num_hosts, num_places, num_nodes;
	struct table by_name, by_path;
	size_t longest_host;
	uint64_t wildcards[WILDCARD_MAX / 64 + 1]; /* which lengths of ".example" there are */
	size_t *lengths;			   /* of all hosts */
	char *text;
	size_t text_used;
};

/* ---- hashing: FNV-1a, since it goes on where it stopped */

#define HASH_START UINT64_C(0xcbf29ce484222325)

static uint64_t hash_on(uint64_t h, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint8_t)p[i]) * UINT64_C(0x100000001b3);
	return h;
}

static uint64_t hash_place(uint64_t path, uint32_t host, bool is_prefix)
{
	uint64_t h = path ^ ((uint64_t)host * 2 + is_prefix) * UINT64_C(0x9e3779b97f4a7c15);

	h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return h ^ h >> 32;
}

static uint64_t hash_name(struct span name)
{
	return hash_place(hash_on(HASH_START, name.p, name.n), 0, false);
}

static bool table_init(struct table *t, size_t num)
{
	size_t room = 16;

	while (room < num * 2)
		room *= 2;
	t->slots = calloc(room, sizeof(*t->slots));
	t->mask = room - 1;
	return t->slots != NULL;
}

static void table_add(struct table *t, uint64_t hash, uint32_t entry)
{
	size_t i = hash & t->mask;

	while (t->slots[i].entry != 0)
		i = (i + 1) & t->mask;
	t->slots[i] = (struct slot){ .hash = hash, .entry = entry + 1 };
}

/* ---- looking up */

static const struct host *find_host(const struct routes *r, struct span name)
{
	uint64_t hash = hash_name(name);

	for (size_t i = hash & r->by_name.mask;; i = (i + 1) & r->by_name.mask) {
		const struct slot *s = &r->by_name.slots[i];

		if (s->entry == 0)
			return NULL;
		if (s->hash == hash && span_eq(r->hosts[s->entry - 1].name, name))
			return &r->hosts[s->entry - 1];
	}
}

/* `path_hash` is that of `path`. */
static struct place *find_place(const struct routes *r, uint32_t host, bool is_prefix,
				struct span path, uint64_t path_hash)
{
	uint64_t hash = hash_place(path_hash, host, is_prefix);

	for (size_t i = hash & r->by_path.mask;; i = (i + 1) & r->by_path.mask) {
		const struct slot *s = &r->by_path.slots[i];
		struct place *p;

		if (s->entry == 0)
			return NULL;
		if (s->hash != hash)
			continue;
		p = &r->places[s->entry - 1];
		if (p->host == host && p->is_prefix == is_prefix && span_eq(p->path, path))
			return p;
	}
}

static bool is_boundary(struct span path, size_t n)
{
	return n == 0 || n == path.n || path.p[n] == '/' || path.p[n - 1] == '/';
}

/* How far a path has been hashed. */
struct progress {
	uint64_t hash;
	size_t n;
};

static void hash_to(struct progress *at, struct span path, size_t n)
{
	at->hash = hash_on(at->hash, path.p + at->n, n - at->n);
	at->n = n;
}

/* The longest prefix of `path` that is shorter than `below`. Looks only where a prefix of this
 * host could end, so a path of nothing but slashes costs no more than another. */
static const struct place *longest_prefix(const struct routes *r, uint32_t host, struct span path,
					  size_t below, struct progress *at)
{
	const struct host *h = &r->hosts[host];
	const struct place *best = NULL, *found;

	for (size_t i = 0; i < h->num_lengths; i++) {
		size_t n = h->lengths[i];

		if (n > path.n || n >= below)
			break;
		if (!is_boundary(path, n))
			continue;
		hash_to(at, path, n);
		found = find_place(r, host, true, span_of(path.p, n), at->hash);
		if (found != NULL)
			best = found;
	}
	return best;
}

static bool has_method(const struct conf_route *route, struct span method)
{
	for (size_t i = 0; i < route->num_methods; i++) {
		if (span_eq(span_str(route->methods[i]), method))
			return true;
	}
	return route->num_methods == 0;
}

static bool has_header(const struct conf_field_match *m, const struct head *h)
{
	struct span name = span_str(m->name), value = span_str(m->value);

	for (uint32_t i = 0; i < h->num; i++) {
		if (span_eq_nocase(h->fields[i].name, name) &&
		    (m->value == NULL || span_eq(h->fields[i].value, value)))
			return true;
	}
	return false;
}

static bool holds(const struct conf_route *route, const struct route_query *q)
{
	if (!has_method(route, q->method_name))
		return false;
	for (size_t i = 0; i < route->num_headers; i++) {
		if (!has_header(&route->headers[i], q->head))
			return false;
	}
	return route->num_source == 0 ||
	       network_contains(route->source, route->num_source, q->family, q->address);
}

static const struct conf_route *find_at(const struct place *p, const struct route_query *q)
{
	for (const struct node *n = p->first; n != NULL; n = n->next) {
		if (holds(n->route, q))
			return n->route;
	}
	return NULL;
}

static const struct conf_route *find_in(const struct routes *r, const struct host *h,
					const struct route_query *q)
{
	uint32_t host = (uint32_t)(h - r->hosts);
	struct progress at = { .hash = HASH_START };
	const struct place *prefix = longest_prefix(r, host, q->path, SIZE_MAX, &at), *exact;
	const struct conf_route *found;

	if (q->path.n <= h->longest_exact) {
		hash_to(&at, q->path, q->path.n);
		exact = find_place(r, host, false, q->path, at.hash);
		if (exact != NULL && (found = find_at(exact, q)) != NULL)
			return found;
	}
	for (; prefix != NULL; prefix = prefix->parent) {
		if ((found = find_at(prefix, q)) != NULL)
			return found;
	}
	return NULL;
}

static bool is_wildcard_length(const struct routes *r, size_t n)
{
	return n <= WILDCARD_MAX && (r->wildcards[n / 64] >> (n % 64) & 1) != 0;
}

const struct conf_route *routes_find(const struct routes *r, const struct route_query *q)
{
	const struct conf_route *found;
	struct span host = q->host;
	const struct host *h;

	CHECK(r, ROUTES_MAGIC);
	if (host.n > 0 && host.n <= r->longest_host && (h = find_host(r, host)) != NULL &&
	    (found = find_in(r, h, q)) != NULL)
		return found;
	for (size_t i = host.n > WILDCARD_MAX ? host.n - WILDCARD_MAX : 1; i < host.n; i++) {
		struct span suffix = span_of(host.p + i, host.n - i);

		if (suffix.p[0] == '.' && is_wildcard_length(r, suffix.n) &&
		    (h = find_host(r, suffix)) != NULL && (found = find_in(r, h, q)) != NULL)
			return found;
	}
	return find_in(r, &r->hosts[ANY_HOST], q);
}

/* ---- making the index */

/* What there is at most of hosts, places and nodes, and of their text. */
static void measure(const struct conf_route *list, size_t num, size_t *most, size_t *text)
{
	*most = 1;
	*text = 1;
	for (size_t i = 0; i < num; i++) {
		*most += list[i].num_hosts == 0 ? 1 : list[i].num_hosts;
		*text += span_str(list[i].path).n + span_str(list[i].path_prefix).n;
		for (size_t k = 0; k < list[i].num_hosts; k++)
			*text += strlen(list[i].hosts[k]);
	}
}

static uint32_t add_host(struct routes *r, struct span name)
{
	const struct host *h = find_host(r, name);
	uint32_t entry = (uint32_t)r->num_hosts;

	if (h != NULL)
		return (uint32_t)(h - r->hosts);
	r->hosts[r->num_hosts++] = (struct host){ .name = name };
	table_add(&r->by_name, hash_name(name), entry);
	if (name.n > r->longest_host)
		r->longest_host = name.n;
	if (name.n > 0 && name.p[0] == '.' && name.n <= WILDCARD_MAX)
		r->wildcards[name.n / 64] |= UINT64_C(1) << (name.n % 64);
	return entry;
}

/* The form never is longer than what it is made of, so the text has room. A word that has no form
 * is kept as it is, and matches nothing. */
static struct span normal_host(struct routes *r, struct span word)
{
	bool is_wildcard = word.n > 2 && word.p[0] == '*' && word.p[1] == '.';
	struct span name = is_wildcard ? span_of(word.p + 2, word.n - 2) : word, host;
	char *to = r->text + r->text_used;
	uint16_t port;

	if (is_wildcard)
		*to = '.';
	if (!uri_host(name, to + is_wildcard, &host, &port)) {
		memcpy(to + is_wildcard, name.p, name.n);
		host.n = name.n;
	}
	r->text_used += host.n + is_wildcard;
	return span_of(to, host.n + is_wildcard);
}

static struct span normal_path(struct routes *r, struct span word)
{
	char *to = r->text + r->text_used;
	struct uri uri;
	const char *why;

	if (word.n == 0)
		return span_of("", 0);
	if (!uri_normalise(word, false, to, &uri, &why) || uri.query.n > 0) {
		memcpy(to, word.p, word.n);
		uri.path.n = word.n;
	}
	r->text_used += uri.path.n;
	return span_of(to, uri.path.n);
}

static void add_route(struct routes *r, uint32_t host, bool is_prefix, struct span path,
		      const struct conf_route *route)
{
	uint64_t path_hash = hash_on(HASH_START, path.p, path.n);
	struct place *p = find_place(r, host, is_prefix, path, path_hash);
	struct node *n = &r->nodes[r->num_nodes++];

	if (p == NULL) {
		uint32_t entry = (uint32_t)r->num_places++;

		p = &r->places[entry];
		*p = (struct place){ .host = host, .is_prefix = is_prefix, .path = path };
		p->last = &p->first;
		table_add(&r->by_path, hash_place(path_hash, host, is_prefix), entry);
		if (!is_prefix && path.n > r->hosts[host].longest_exact)
			r->hosts[host].longest_exact = path.n;
	}
	*n = (struct node){ .route = route };
	*p->last = n;
	p->last = &n->next;
}

static void add_routes(struct routes *r, const struct conf_route *list, size_t num)
{
	for (size_t i = 0; i < num; i++) {
		const struct conf_route *route = &list[i];
		bool is_prefix = route->path == NULL;
		const char *word = is_prefix ? route->path_prefix : route->path;
		struct span path = normal_path(r, span_str(word));

		for (size_t k = 0; k < route->num_hosts; k++) {
			struct span name = normal_host(r, span_str(route->hosts[k]));

			add_route(r, add_host(r, name), is_prefix, path, route);
		}
		if (route->num_hosts == 0)
			add_route(r, ANY_HOST, is_prefix, path, route);
	}
}

static int by_host_and_length(const void *a, const void *b)
{
	const struct place *x = *(const struct place *const *)a;
	const struct place *y = *(const struct place *const *)b;

	if (x->host != y->host)
		return x->host < y->host ? -1 : 1;
	return (x->path.n > y->path.n) - (x->path.n < y->path.n);
}

/* Gives each host the lengths of its prefixes, and each prefix the next shorter one. */
static bool join_prefixes(struct routes *r)
{
	struct place **prefixes = calloc(r->num_places + 1, sizeof(struct place *));
	size_t num = 0, used = 0;

	if (prefixes == NULL)
		return false;
	for (size_t i = 0; i < r->num_places; i++) {
		if (r->places[i].is_prefix)
			prefixes[num++] = &r->places[i];
	}
	qsort(prefixes, num, sizeof(struct place *), by_host_and_length);
	for (size_t i = 0; i < num; i++) {
		struct place *p = prefixes[i];
		struct host *h = &r->hosts[p->host];
		struct progress at = { .hash = HASH_START };

		if (h->num_lengths == 0)
			h->lengths = r->lengths + used;
		if (h->num_lengths == 0 || h->lengths[h->num_lengths - 1] != p->path.n) {
			r->lengths[used++] = p->path.n;
			h->num_lengths++;
		}
		p->parent = longest_prefix(r, p->host, p->path, p->path.n, &at);
	}
	free(prefixes);
	return true;
}

struct routes *routes_new(const struct conf_route *list, size_t num)
{
	struct routes *r = calloc(1, sizeof(*r));
	size_t most, text;

	if (r == NULL)
		return NULL;
	r->magic = ROUTES_MAGIC;
	measure(list, num, &most, &text);
	MUST(most < UINT32_MAX / 4);
	if ((r->hosts = calloc(most, sizeof(*r->hosts))) == NULL ||
	    (r->places = calloc(most, sizeof(*r->places))) == NULL ||
	    (r->nodes = calloc(most, sizeof(*r->nodes))) == NULL ||
	    (r->lengths = calloc(most, sizeof(*r->lengths))) == NULL ||
	    (r->text = malloc(text)) == NULL || !table_init(&r->by_name, most) ||
	    !table_init(&r->by_path, most))
		goto fail;
	(void)add_host(r, span_of("", 0));
	add_routes(r, list, num);
	if (!join_prefixes(r))
		goto fail;
	return r;
fail:
	routes_free(r);
	return NULL;
}

void routes_free(struct routes *r)
{
	if (r == NULL)
		return;
	CHECK(r, ROUTES_MAGIC);
	r->magic = 0;
	free(r->hosts);
	free(r->places);
	free(r->nodes);
	free(r->lengths);
	free(r->by_name.slots);
	free(r->by_path.slots);
	free(r->text);
	free(r);
}
