#include "proxy/process/loader_addresses.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/process/loader_names.h"
#include "proxy/process/resolve.h"

#define LOADER_RESOLVE_NS INT64_C(10000000000)

/* The names in the order of the configuration: servers, listeners, admin. Filled in the same order
 * in which they were collected, so a cursor finds each again. */
struct names {
	struct resolve_name *list;
	size_t num;
	size_t at;
	const char *file;
	struct problems *why;
};

__attribute__((format(printf, 4, 5))) static void names_say(const struct names *n,
							    enum problem_level level,
							    const char *pointer, const char *what,
							    ...)
{
	char where[512], text[512];
	va_list args;

	(void)snprintf(where, sizeof(where), "%s: %s", n->file, pointer);
	va_start(args, what);
	(void)vsnprintf(text, sizeof(text), what, args);
	va_end(args);
	problems_add(n->why, level, where, "%s", text);
}

static void names_collect(struct names *n, const struct conf_address *a)
{
	if (!a->is_unix && a->host != NULL)
		n->list[n->num++].host = a->host;
}

static bool names_resolve(struct names *n, const struct conf *c)
{
	size_t most = 1;

	for (size_t i = 0; i < c->num_pools; i++)
		most += c->pools[i].num_servers;
	for (size_t i = 0; i < c->num_listeners; i++)
		most += c->listeners[i].num_addresses;
	if ((n->list = calloc(most, sizeof(*n->list))) == NULL)
		return false;
	for (size_t i = 0; i < c->num_pools; i++) {
		for (size_t k = 0;
		     !loader_names_wanted(c, &c->pools[i]) && k < c->pools[i].num_servers; k++)
			names_collect(n, &c->pools[i].servers[k].address);
	}
	for (size_t i = 0; i < c->num_listeners; i++) {
		for (size_t k = 0; k < c->listeners[i].num_addresses; k++)
			names_collect(n, &c->listeners[i].addresses[k]);
	}
	if (c->admin.on && c->admin.given)
		names_collect(n, &c->admin.address);
	return resolve_names(n->list, n->num, LOADER_RESOLVE_NS);
}

/* Takes the next address in the order of collection. `*error` is set where there is none. */
static void names_next(struct names *n, const struct conf_address *a, struct server_addresses *out,
		       const char **error)
{
	*out = (struct server_addresses){ .num = 0 };
	*error = NULL;
	if (a->is_unix) {
		out->num = resolve_unix(a->path, &out->list[0]) ? 1 : 0;
		*error = out->num == 0 ? "its path is too long" : NULL;
	} else if (a->host == NULL) {
		/* Both families, see listen.h. */
		out->num = resolve_literal("::", a->port, &out->list[0]) ? 1 : 0;
	} else {
		const struct resolve_name *found = &n->list[n->at++];

		memcpy(out->list, found->list, sizeof(out->list));
		out->num = found->num;
		*error = found->num == 0 ? found->error : NULL;
		for (uint32_t i = 0; i < out->num; i++)
			resolve_set_port(&out->list[i], a->port);
	}
}

/* Asks for what the system's resolver is not asked for; in the order of the configuration, too. */
static bool ask_names(struct loader_name **names, const struct conf *c, size_t total)
{
	struct loader_name *list = calloc(total + 1, sizeof(*list));
	size_t num = 0;

	if ((*names = list) == NULL)
		return false;
	for (size_t i = 0; i < c->num_pools; i++) {
		const struct conf_pool *p = &c->pools[i];

		for (size_t k = 0; loader_names_wanted(c, p) && k < p->num_servers; k++) {
			const struct conf_address *from = &p->servers[k].address;
			struct plan_server *to = &list[num].server;

			if (from->is_unix)
				continue;
			(void)snprintf(to->host, sizeof(to->host), "%s", from->host);
			to->port = from->port;
			to->discovery = (uint8_t)p->discovery;
			num++;
		}
	}
	return num == 0 || loader_names_find(list, num, c, LOADER_RESOLVE_NS);
}

static bool find_servers(struct loader_addresses *a, struct names *n, const struct conf *c)
{
	struct loader_name *asked = NULL, *next;
	size_t total = 0, at = 0;

	for (size_t i = 0; i < c->num_pools; i++)
		total += c->pools[i].num_servers;
	if ((a->servers = calloc(total + 1, sizeof(*a->servers))) == NULL ||
	    !ask_names(&asked, c, total)) {
		free(asked);
		return false;
	}
	next = asked;
	for (size_t i = 0; i < c->num_pools; i++) {
		const struct conf_pool *p = &c->pools[i];
		size_t usable = 0;

		for (size_t k = 0; k < p->num_servers; k++, at++) {
			const char *error;
			char pointer[320];

			if (loader_names_wanted(c, p) && !p->servers[k].address.is_unix) {
				a->servers[at] = next->found;
				error = (next++)->error;
			} else {
				names_next(n, &p->servers[k].address, &a->servers[at], &error);
			}
			usable += a->servers[at].num > 0;
			if (error == NULL)
				continue;
			(void)snprintf(pointer, sizeof(pointer), "%s/servers/%zu", p->pointer, k);
			names_say(n, PROBLEM_WARNING, pointer,
				  "\"%s\" does not resolve (%s): the server is not used until %s",
				  p->servers[k].address.host, error,
				  p->discovery == CONF_DISCOVERY_ONCE ? "a reload finds it"
								      : "it does");
		}
		if (usable == 0)
			names_say(n, PROBLEM_WARNING, p->pointer,
				  "none of its servers has an address: connections will fail until "
				  "%s finds one",
				  p->discovery == CONF_DISCOVERY_ONCE ? "a reload" : "a lookup");
	}
	free(asked);
	return true;
}

/* Names a socket: as configured where the configuration names no host to look up. */
static void name_socket(struct plan_socket *s, const struct conf_address *from,
			const struct plan_address *address)
{
	s->len = address->len;
	s->address = address->address;
	if (from->is_unix || from->host == NULL)
		(void)snprintf(s->text, sizeof(s->text), "%s", from->text);
	else
		resolve_text(address, s->text, sizeof(s->text));
}

static bool add_socket(struct loader_addresses *a, const struct conf_address *from,
		       const struct plan_address *address, uint32_t listener, struct names *n,
		       const struct conf *c)
{
	struct plan_socket *s = &a->sockets[a->num_sockets];

	*s = (struct plan_socket){ .listener = listener };
	name_socket(s, from, address);
	for (uint32_t i = 0; i < a->num_sockets; i++) {
		if (strcmp(a->sockets[i].text, s->text) != 0)
			continue;
		names_say(n, PROBLEM_ERROR, c->listeners[listener].pointer,
			  "\"%s\" is %s, where listener \"%s\" listens already", from->text,
			  s->text, c->listeners[a->sockets[i].listener].name);
		return false;
	}
	a->num_sockets++;
	return true;
}

static bool find_sockets(struct loader_addresses *a, struct names *n, const struct conf *c)
{
	bool ok = true;

	a->sockets = calloc(PLAN_MAX_SOCKETS + 1, sizeof(*a->sockets));
	if (a->sockets == NULL)
		return false;
	for (size_t i = 0; i < c->num_listeners; i++) {
		const struct conf_listener *l = &c->listeners[i];

		for (size_t k = 0; k < l->num_addresses; k++) {
			struct server_addresses found;
			const char *error;

			names_next(n, &l->addresses[k], &found, &error);
			if (error != NULL) {
				names_say(n, PROBLEM_ERROR, l->pointer,
					  "\"%s\" does not resolve (%s): there is nothing to "
					  "listen on",
					  l->addresses[k].text, error);
				ok = false;
			}
			for (uint32_t f = 0; f < found.num; f++) {
				if (a->num_sockets == PLAN_MAX_SOCKETS) {
					names_say(n, PROBLEM_ERROR, l->pointer,
						  "more than %d addresses to listen on",
						  PLAN_MAX_SOCKETS);
					return false;
				}
				ok = add_socket(a, &l->addresses[k], &found.list[f], (uint32_t)i, n,
						c) &&
				     ok;
			}
		}
	}
	return ok;
}

bool loader_default_admin(bool is_root, const char *runtime_dir, char *path, size_t len)
{
	int n;

	if (is_root)
		n = snprintf(path, len, "/run/sallyport/admin.sock");
	else if (runtime_dir != NULL && runtime_dir[0] == '/')
		n = snprintf(path, len, "%s/sallyport/admin.sock", runtime_dir);
	else
		return false;
	return n > 0 && (size_t)n < len;
}

static bool find_admin(struct loader_addresses *a, struct names *n, const struct conf *c)
{
	char path[108], text[128];
	struct conf_address standard = { .is_unix = true, .path = path, .text = text };
	const struct conf_address *from = &c->admin.address;
	struct server_addresses found;
	const char *error;

	if (!c->admin.on)
		return true;
	a->admin_default = !c->admin.given;
	if (a->admin_default) {
		if (!loader_default_admin(geteuid() == 0, getenv("XDG_RUNTIME_DIR"), path,
					  sizeof(path))) {
			names_say(n, PROBLEM_WARNING, "/admin",
				  "there is no admin endpoint, for XDG_RUNTIME_DIR is not set: "
				  "give it an address, or set it to false");
			return true;
		}
		(void)snprintf(text, sizeof(text), "unix:%s", path);
		from = &standard;
	}
	names_next(n, from, &found, &error);
	if (error != NULL) {
		names_say(n, PROBLEM_ERROR, "/admin/address",
			  "\"%s\" does not resolve (%s): there is nothing to listen on", from->text,
			  error);
		return false;
	}
	a->admin_on = true;
	name_socket(&a->admin, from, &found.list[0]);
	return true;
}

bool loader_addresses_find(struct loader_addresses *a, const struct conf *c, const char *file,
			   struct problems *why)
{
	struct names n = { .file = file, .why = why };
	size_t errors = why->num_errors;
	bool ok = names_resolve(&n, c) && find_servers(a, &n, c);

	/* All of them, for all that they find. */
	if (ok) {
		ok = find_sockets(a, &n, c);
		ok = find_admin(a, &n, c) && ok;
	}
	if (!ok && why->num_errors == errors)
		problems_add(why, PROBLEM_ERROR, file, "out of memory");
	free(n.list);
	return ok;
}

void loader_addresses_give(const struct loader_addresses *a, struct snapshot_source *s)
{
	s->sockets = a->sockets;
	s->num_sockets = a->num_sockets;
	s->servers = a->servers;
	s->admin_on = a->admin_on;
	s->admin_default = a->admin_default;
	s->admin = a->admin;
}

void loader_addresses_fini(struct loader_addresses *a)
{
	free(a->sockets);
	free(a->servers);
	a->sockets = NULL;
	a->servers = NULL;
}
