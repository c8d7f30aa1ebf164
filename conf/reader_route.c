/* What concerns more than one key of a route, and more than one route of a listener. */
#include "conf/reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/values.h"

/* ---- one route */

__attribute__((format(printf, 4, 5))) static void route_error(struct reader *r,
							      const struct conf_route *route,
							      const char *key, const char *what,
							      ...)
{
	char pointer[READER_POINTER], text[READER_POINTER];
	va_list args;

	va_start(args, what);
	(void)vsnprintf(text, sizeof(text), what, args);
	va_end(args);
	(void)snprintf(pointer, sizeof(pointer), "%s/%s", route->pointer, key);
	reader_error_at(r, pointer, "%s", text);
}

static void check_redirect(struct reader *r, const struct conf_route *route)
{
	/* Made by this parse, and const only to its users. */
	struct conf_redirect *to = (struct conf_redirect *)(uintptr_t)route->redirect;

	if (to == NULL || to->location == NULL)
		return;
	if (strcmp(to->location, "https") != 0) {
		if (to->port != 0)
			route_error(r, route, "redirect/port",
				    "is only for the location \"https\": write the port into the "
				    "location");
	} else if (to->port == 0) {
		to->port = 443;
	}
}

static void check_respond(struct reader *r, const struct conf_route *route)
{
	const struct conf_respond *answer = route->respond;

	if (answer == NULL || answer->body == NULL || answer->body[0] == '\0')
		return;
	/* RFC 9110 15.3.5, 15.3.6, 15.4.5. */
	if (answer->status == 204 || answer->status == 205 || answer->status == 304)
		route_error(r, route, "respond/body",
			    "a response of status %u has no body: remove it, or change the status",
			    answer->status);
}

/* Whether `prefix` ends where a segment of `path` does. */
static bool on_boundary(const char *prefix, const char *path)
{
	size_t n = strlen(prefix);

	return strncmp(path, prefix, n) == 0 &&
	       (prefix[n - 1] == '/' || path[n] == '/' || path[n] == '\0');
}

static void check_strip(struct reader *r, const struct conf_route *route)
{
	const char *path = route->path != NULL ? route->path : route->path_prefix;
	char quote[VALUE_QUOTE], path_quote[VALUE_QUOTE];

	if (route->strip_prefix == NULL)
		return;
	if (route->redirect != NULL || route->respond != NULL)
		route_error(r, route, "strip_prefix",
			    "is only for a route with \"pool\": remove it");
	else if (path != NULL && !on_boundary(route->strip_prefix, path))
		route_error(r, route, "strip_prefix",
			    "\"%s\" is not the beginning of \"%s\", by whole segments, which this "
			    "route matches",
			    value_quote(span_str(route->strip_prefix), quote),
			    value_quote(span_str(path), path_quote));
}

static void check_route(struct reader *r, const struct conf_listener *l,
			const struct conf_route *route)
{
	check_redirect(r, route);
	check_respond(r, route);
	check_strip(r, route);
	if (route->hsts != NULL && l->tls == NULL)
		route_error(r, route, "hsts",
			    "is only for a listener with \"tls\": clients heed it by HTTPS only");
}

/* ---- routes that hide each other */

/* One host and path that a route matches. */
struct match {
	const char *host, *path; /* "": any */
	size_t route;
	bool prefix;
	bool always; /* without other conditions */
};

static int match_same(const struct match *x, const struct match *y)
{
	int order = strcmp(x->host, y->host);

	if (order == 0)
		order = strcmp(x->path, y->path);
	return order != 0 ? order : (int)x->prefix - (int)y->prefix;
}

static int match_order(const void *a, const void *b)
{
	const struct match *x = a, *y = b;
	int order = match_same(x, y);

	return order != 0 ? order : x->route < y->route ? -1 : x->route > y->route;
}

static size_t match_add(struct match *list, const struct conf_route *route, size_t index)
{
	struct match m = {
		.host = "",
		.path = route->path_prefix != NULL ? route->path_prefix : "",
		.route = index,
		.prefix = route->path == NULL,
		.always = route->num_methods + route->num_headers + route->num_source == 0,
	};

	if (route->path != NULL)
		m.path = route->path;
	/* Every path begins so. */
	if (m.prefix && strcmp(m.path, "/") == 0)
		m.path = "";
	for (size_t i = 0; i < route->num_hosts; i++) {
		m.host = route->hosts[i];
		list[i] = m;
	}
	if (route->num_hosts > 0)
		return route->num_hosts;
	list[0] = m;
	return 1;
}

static void match_hidden(struct reader *r, const struct conf_listener *l, const struct match *m,
			 const struct match *first)
{
	char quote[VALUE_QUOTE];
	bool any = m->host[0] == '\0';

	reader_warn_at(r, l->routes[m->route].pointer,
		       "is never reached%s%s%s: %.200s comes before it and takes the same requests",
		       any ? "" : " for host \"", any ? "" : value_quote(span_str(m->host), quote),
		       any ? "" : "\"", l->routes[first->route].pointer);
}

static void check_hidden(struct reader *r, const struct conf_listener *l)
{
	const struct match *first = NULL;
	size_t num = 0, room = 0;
	struct match *list;

	for (size_t i = 0; i < l->num_routes; i++)
		room += l->routes[i].num_hosts + 1;
	if ((list = reader_scratch(r, room, sizeof(*list))) == NULL)
		return;
	for (size_t i = 0; i < l->num_routes; i++)
		num += match_add(list + num, &l->routes[i], i);
	qsort(list, num, sizeof(*list), match_order);
	for (size_t i = 0; i < num; i++) {
		if (first != NULL && match_same(first, &list[i]) == 0)
			match_hidden(r, l, &list[i], first);
		else
			first = list[i].always ? &list[i] : NULL;
	}
	reader_scratch_free(r, list);
}

/* The one route of a listener with a pool. */
static void make_route(struct reader *r, struct conf_listener *l)
{
	struct conf_route *route = reader_alloc(r, 1, sizeof(*route));

	if (route == NULL)
		return;
	*route = (struct conf_route){ .pool = l->pool, .pointer = l->pointer };
	l->routes = route;
	l->num_routes = 1;
}

void reader_check_routes(struct reader *r, struct conf_listener *l)
{
	for (size_t i = 0; i < l->num_routes; i++)
		check_route(r, l, &l->routes[i]);
	/* What has errors is not what was meant: no warnings of its routes then. */
	if (r->why->num_errors == r->errors)
		check_hidden(r, l);
	if (l->mode == CONF_MODE_HTTP && l->num_routes == 0)
		make_route(r, l);
}
