/* What concerns more than one key. Values that could not be read are zero or NULL here, and have
 * had their error. */
#include "conf/reader.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/suggest.h"
#include "conf/values.h"

/* Something with a name, and its place in the order of the file. */
struct named {
	const char *name;
	size_t index;
};

static int named_order(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order != 0 ? order : x->index < y->index ? -1 : x->index > y->index;
}

static int named_find(const void *name, const void *element)
{
	const struct named *e = element;

	return strcmp(name, e->name);
}

/* ---- pools that listeners name */

static void pool_missing(struct reader *r, const struct reader_ref *ref)
{
	char quote[VALUE_QUOTE];
	struct suggest near;

	suggest_init(&near, span_str(ref->name));
	for (size_t i = 0; i < r->conf->num_pools; i++)
		suggest_offer(&near, r->conf->pools[i].name);
	(void)value_quote(span_str(ref->name), quote);
	if (near.best != NULL)
		reader_error_at(r, ref->pointer, "no pool is named \"%s\", did you mean \"%s\"?",
				quote, near.best);
	else
		reader_error_at(r, ref->pointer, "no pool is named \"%s\": add it to \"pools\"",
				quote);
}

static void check_pool_names(struct reader *r)
{
	size_t num = r->conf->num_pools;
	struct named *by_name = reader_alloc(r, num, sizeof(*by_name));
	struct reader_ref *ref, *in_order = NULL;

	if (by_name == NULL)
		return;
	for (size_t i = 0; i < num; i++)
		by_name[i] = (struct named){ .name = r->conf->pools[i].name, .index = i };
	qsort(by_name, num, sizeof(*by_name), named_order);
	while ((ref = r->refs) != NULL) {
		r->refs = ref->next;
		ref->next = in_order;
		in_order = ref;
	}
	for (ref = in_order; ref != NULL; ref = ref->next) {
		const struct named *hit =
			bsearch(ref->name, by_name, num, sizeof(*by_name), named_find);

		if (hit != NULL)
			*ref->slot = hit->index;
		else
			pool_missing(r, ref);
	}
}

/* ---- names */

/* The name of what has none: its address, which may be too long for one. */
static const char *name_of(struct reader *r, const char *name, const struct conf_address *a,
			   const char *pointer)
{
	if (name != NULL || a == NULL || a->text == NULL)
		return name;
	if (strlen(a->text) > CONF_MAX_NAME)
		reader_error_at(r, pointer,
				"its address is too long to be its name, too: give it a \"name\"");
	return a->text;
}

static void check_servers_of(struct reader *r, struct conf_pool *pool)
{
	size_t num = 0;
	struct named *names = reader_alloc(r, pool->num_servers, sizeof(*names));
	/* Made by this parse, and const only to its users. */
	struct conf_server *servers = (struct conf_server *)(uintptr_t)pool->servers;
	char pointer[READER_POINTER], quote[VALUE_QUOTE];

	if (names == NULL)
		return;
	for (size_t i = 0; i < pool->num_servers; i++) {
		(void)snprintf(pointer, sizeof(pointer), "%s/servers/%zu", pool->pointer, i);
		servers[i].name = name_of(r, servers[i].name, &servers[i].address, pointer);
		if (servers[i].name != NULL)
			names[num++] = (struct named){ .name = servers[i].name, .index = i };
	}
	qsort(names, num, sizeof(*names), named_order);
	for (size_t i = 1; i < num; i++) {
		if (strcmp(names[i].name, names[i - 1].name) != 0)
			continue;
		(void)snprintf(pointer, sizeof(pointer), "%s/servers/%zu", pool->pointer,
			       names[i].index);
		reader_error_at(r, pointer,
				"server \"%s\" is in this pool already: remove it, give it a "
				"\"weight\", or another \"name\"",
				value_quote(span_str(names[i].name), quote));
	}
}

static void check_listener_names(struct reader *r, struct conf_listener *listeners)
{
	size_t num = 0, count = r->conf->num_listeners;
	struct named *names = reader_alloc(r, count, sizeof(*names));
	char quote[VALUE_QUOTE];

	if (names == NULL)
		return;
	for (size_t i = 0; i < count; i++) {
		struct conf_listener *l = &listeners[i];

		l->name = name_of(r, l->name, l->addresses, l->pointer);
		if (l->name != NULL)
			names[num++] = (struct named){ .name = l->name, .index = i };
	}
	qsort(names, num, sizeof(*names), named_order);
	for (size_t i = 1; i < num; i++) {
		/* The same address twice is told of elsewhere. */
		if (strcmp(names[i].name, names[i - 1].name) != 0 ||
		    (listeners[names[i].index].addresses != NULL &&
		     listeners[names[i].index].addresses[0].text == names[i].name))
			continue;
		reader_error_at(r, listeners[names[i].index].pointer,
				"the listener at /listeners/%zu is named \"%s\", too: names are "
				"unique, give it another",
				names[i - 1].index, value_quote(span_str(names[i].name), quote));
	}
}

/* ---- addresses that exclude each other */

enum host_class { HOST_ANY, HOST_ANY4, HOST_ANY6, HOST_ONE };

struct bound {
	const struct conf_address *address;
	const char *owner; /* JSON pointer */
	size_t order;
	enum host_class class;
};

static enum host_class bound_class(const struct conf_address *a)
{
	if (a->is_unix)
		return HOST_ONE;
	if (a->host == NULL)
		return HOST_ANY;
	if (strcmp(a->host, "0.0.0.0") == 0)
		return HOST_ANY4;
	return strcmp(a->host, "::") == 0 ? HOST_ANY6 : HOST_ONE;
}

static int bound_order(const void *a, const void *b)
{
	const struct bound *x = a, *y = b;
	int order;

	/* A unix address has port 0. */
	if (x->address->port != y->address->port)
		return x->address->port < y->address->port ? -1 : 1;
	if (x->class != y->class)
		return x->class < y->class ? -1 : 1;
	if ((order = strcmp(x->address->text, y->address->text)) != 0)
		return order;
	return x->order < y->order ? -1 : x->order > y->order;
}

static void bound_twice(struct reader *r, const struct bound *a, const struct bound *b)
{
	const struct bound *first = a->order < b->order ? a : b, *second = first == a ? b : a;
	char pointer[READER_POINTER];

	(void)snprintf(pointer, sizeof(pointer), "%s/address", second->owner);
	reader_error_at(r, pointer,
			"\"%.120s\" is the same place as \"%.120s\" of %s: give one of them "
			"another address",
			second->address->text, first->address->text, first->owner);
}

static void bound_add(struct bound *list, size_t *num, const struct conf_address *a,
		      const char *owner)
{
	if (a->text == NULL || owner == NULL)
		return;
	list[*num] = (struct bound){
		.address = a, .owner = owner, .order = *num, .class = bound_class(a)
	};
	++*num;
}

static void check_addresses(struct reader *r)
{
	const struct conf *c = r->conf;
	const struct bound *any = NULL;
	size_t num = 0, room = 1;
	struct bound *list;

	for (size_t i = 0; i < c->num_listeners; i++)
		room += c->listeners[i].num_addresses;
	if ((list = reader_alloc(r, room, sizeof(*list))) == NULL)
		return;
	for (size_t i = 0; i < c->num_listeners; i++) {
		const struct conf_listener *l = &c->listeners[i];

		for (size_t j = 0; j < l->num_addresses; j++)
			bound_add(list, &num, &l->addresses[j], l->pointer);
	}
	if (c->admin.on && c->admin.given)
		bound_add(list, &num, &c->admin.address, "/admin");
	qsort(list, num, sizeof(*list), bound_order);
	for (size_t i = 0; i < num; i++) {
		const struct bound *b = &list[i];

		if (i > 0 && strcmp(b->address->text, list[i - 1].address->text) == 0)
			bound_twice(r, &list[i - 1], b);
		else if (b->class == HOST_ANY)
			any = b;
		else if (b->class != HOST_ONE && any != NULL &&
			 any->address->port == b->address->port)
			bound_twice(r, any, b);
	}
}

/* ---- the rest */

static void check_tls(struct reader *r, const struct conf_tls *tls)
{
	if (tls == NULL || tls->min_version == 0 || tls->max_version == 0 || tls->pointer == NULL)
		return;
	if (tls->min_version > tls->max_version)
		reader_error_at(r, tls->pointer,
				"\"min_version\" is above \"max_version\": no version is left");
}

static void check_pool_tls(struct reader *r, const struct conf_pool *pool)
{
	const struct conf_pool_tls *tls = pool->tls;
	char pointer[READER_POINTER];

	if (tls == NULL)
		return;
	(void)snprintf(pointer, sizeof(pointer), "%s/tls", pool->pointer);
	if (!tls->verify && tls->ca != NULL)
		reader_warn_at(r, pointer, "\"ca\" is not used while \"verify\" is false");
	if (!tls->verify && tls->server_uri != NULL)
		reader_warn_at(r, pointer,
			       "\"server_uri\" is not looked for while \"verify\" is false");
	if (tls->key != NULL && tls->certificate == NULL)
		reader_error_at(r, pointer,
				"\"key\" needs the \"certificate\" that it belongs to: add it");
	for (size_t i = 0; tls->verify && tls->server_name == NULL && i < pool->num_servers; i++) {
		if (!pool->servers[i].address.is_unix)
			continue;
		reader_error_at(r, pointer,
				"a server behind a unix socket has no host name to verify: add "
				"\"server_name\"");
		return;
	}
}

static void check_protocol(struct reader *r, const struct conf_pool *pool)
{
	char pointer[READER_POINTER];

	if (pool->protocol != CONF_PROTOCOL_AUTO || pool->tls != NULL || pool->pointer == NULL)
		return;
	(void)snprintf(pointer, sizeof(pointer), "%s/protocol", pool->pointer);
	reader_error_at(
		r, pointer,
		"\"auto\" is for pools with \"tls\", where servers choose: say \"http/1.1\" "
		"or \"http/2\"");
}

/* Takes apart what web_hash has passed. */
static void check_hash(struct reader *r, struct conf_pool *pool)
{
	char pointer[READER_POINTER];
	const char *text = pool->hash_text;

	if (text == NULL || pool->pointer == NULL)
		return;
	if (strncmp(text, "header:", 7) == 0)
		pool->hash = CONF_HASH_HEADER;
	else if (strncmp(text, "cookie:", 7) == 0)
		pool->hash = CONF_HASH_COOKIE;
	else
		pool->hash = strcmp(text, "path") == 0 ? CONF_HASH_PATH : CONF_HASH_CLIENT_ADDRESS;
	if (pool->hash == CONF_HASH_HEADER || pool->hash == CONF_HASH_COOKIE)
		pool->hash_name = text + 7;
	if (!pool->hash_given || pool->balance == CONF_BALANCE_HASH)
		return;
	(void)snprintf(pointer, sizeof(pointer), "%s/hash", pool->pointer);
	reader_warn_at(r, pointer, "is not used unless \"balance\" is \"hash\"");
}

static void check_backups(struct reader *r, const struct conf_pool *pool)
{
	char pointer[READER_POINTER];

	for (size_t i = 0; i < pool->num_servers; i++) {
		if (!pool->servers[i].backup)
			return;
	}
	if (pool->num_servers == 0 || pool->pointer == NULL)
		return;
	(void)snprintf(pointer, sizeof(pointer), "%s/servers", pool->pointer);
	reader_error_at(r, pointer,
			"every server is a \"backup\", with none to stand in for: take it off "
			"one of them");
}

/* Services and hosts are asked for in different ways. */
static void check_discovery(struct reader *r, const struct conf_pool *pool)
{
	char pointer[READER_POINTER];
	bool named = false;

	for (size_t i = 0; i < pool->num_servers && pool->pointer != NULL; i++) {
		const struct conf_address *a = &pool->servers[i].address;
		bool service = a->host != NULL && a->port == 0;

		(void)snprintf(pointer, sizeof(pointer), "%s/servers/%zu", pool->pointer, i);
		if (service && pool->discovery != CONF_DISCOVERY_SRV)
			reader_error_at(r, pointer,
					"has no port: give it one, or set \"discovery\" to \"srv\" "
					"where it is a service");
		else if (a->text != NULL && !service && pool->discovery == CONF_DISCOVERY_SRV)
			reader_error_at(
				r, pointer,
				"is no service: with \"discovery\" \"srv\" write a name like "
				"\"_http._tcp.example.com\", without a port");
		named = named || service;
	}
	if (!named || pool->discovery != CONF_DISCOVERY_SRV || pool->tls == NULL ||
	    pool->tls->server_name != NULL || !pool->tls->verify)
		return;
	(void)snprintf(pointer, sizeof(pointer), "%s/tls", pool->pointer);
	reader_error_at(r, pointer,
			"the name of a service is in no certificate: add the \"server_name\" to "
			"verify");
}

static void check_resolver(struct reader *r)
{
	const struct conf *c = r->conf;
	unsigned char bytes[sizeof(struct in6_addr)];
	char pointer[READER_POINTER];

	for (size_t i = 0; i < c->resolver.num_servers; i++) {
		const struct conf_address *a = &c->resolver.servers[i];

		if (a->text == NULL ||
		    (a->host != NULL && (inet_pton(AF_INET, a->host, bytes) == 1 ||
					 inet_pton(AF_INET6, a->host, bytes) == 1)))
			continue;
		(void)snprintf(pointer, sizeof(pointer), "/resolver/servers/%zu", i);
		reader_error_at(r, pointer,
				"is no IP address: a name server's name could not be asked for");
	}
	if (c->resolver.max_ttl_ns != 0 && c->resolver.min_ttl_ns > c->resolver.max_ttl_ns)
		reader_error_at(r, "/resolver", "\"min_ttl\" is above \"max_ttl\"");
}

static void check_sni_routes(struct reader *r, const struct conf_listener *l)
{
	bool any = false;

	for (size_t i = 0; i < l->num_sni_routes; i++) {
		const struct conf_sni_route *route = &l->sni_routes[i];

		if (route->pointer == NULL)
			continue;
		if (l->tls == NULL && !route->passthrough)
			reader_error_at(r, route->pointer,
					"the listener has no \"tls\" that could be ended: set "
					"\"passthrough\" to true, or add \"tls\" to the listener");
		if (route->num_hosts == 0 && any)
			reader_error_at(r, route->pointer,
					"is for any name, as one before it is: give it a \"host\"");
		any = any || route->num_hosts == 0;
	}
}

static void check_versions(struct reader *r, const struct conf_listener *l)
{
	char pointer[READER_POINTER];

	if (l->http.num_versions < 2 || l->http.versions[0] != l->http.versions[1] ||
	    l->http.versions[0] == 0 || l->pointer == NULL)
		return;
	(void)snprintf(pointer, sizeof(pointer), "%s/http/versions", l->pointer);
	reader_error_at(r, pointer, "names the same version twice: remove one");
}

static void check_pools(struct reader *r, struct conf_pool *pools)
{
	size_t servers = 0;

	for (size_t i = 0; i < r->conf->num_pools; i++) {
		servers += pools[i].num_servers;
		check_servers_of(r, &pools[i]);
		check_pool_tls(r, &pools[i]);
		check_protocol(r, &pools[i]);
		check_hash(r, &pools[i]);
		check_backups(r, &pools[i]);
		check_discovery(r, &pools[i]);
	}
	if (servers > CONF_MAX_SERVERS)
		reader_error_at(r, "/pools",
				"has %zu servers in all pools together: at most %d are allowed",
				servers, CONF_MAX_SERVERS);
}

void reader_check(struct reader *r)
{
	/* Made by this parse, and const only to its users. */
	struct conf_listener *listeners = (struct conf_listener *)(uintptr_t)r->conf->listeners;
	struct conf_pool *pools = (struct conf_pool *)(uintptr_t)r->conf->pools;

	check_listener_names(r, listeners);
	check_addresses(r);
	for (size_t i = 0; i < r->conf->num_listeners; i++)
		check_tls(r, listeners[i].tls);
	for (size_t i = 0; i < r->conf->num_listeners; i++)
		check_versions(r, &listeners[i]);
	for (size_t i = 0; i < r->conf->num_listeners; i++)
		check_sni_routes(r, &listeners[i]);
	check_pool_names(r);
	check_pools(r, pools);
	check_resolver(r);
	for (size_t i = 0; i < r->conf->num_listeners; i++)
		reader_check_routes(r, &listeners[i]);
}
