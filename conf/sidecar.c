/* The configuration that `sallyport proxy` stands for. */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "conf/conf.h"
#include "conf/values.h"

/* Adds `value`, which is taken, to `to`. */
static bool put(json_t *to, const char *name, json_t *value)
{
	return json_object_set_new(to, name, value) == 0;
}

/* JSON is UTF-8: other bytes of a flag become U+FFFD, which no file or host is named after. */
static json_t *text(const char *s)
{
	static const char replacement[] = "\xef\xbf\xbd";
	size_t n = strlen(s), len = 0, room;
	json_t *json = NULL;
	char *copy;

	if (value_utf8(span_of(s, n)))
		return json_string(s);
	if (!size_mul(&room, n, sizeof(replacement)) || (copy = malloc(room)) == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		bool ascii = (unsigned char)s[i] < 0x80;

		memcpy(copy + len, ascii ? s + i : replacement, ascii ? 1 : 3);
		len += ascii ? 1 : 3;
	}
	json = json_stringn(copy, len);
	free(copy);
	return json;
}

static json_t *texts(const char *const *list, size_t num)
{
	json_t *array = json_array();

	for (size_t i = 0; array != NULL && i < num; i++) {
		if (json_array_append_new(array, text(list[i])) == 0)
			continue;
		json_decref(array);
		return NULL;
	}
	return array;
}

static json_t *sidecar_certificate(const struct conf_sidecar *flags)
{
	json_t *pair;

	if (flags->key == NULL)
		return text(flags->cert);
	pair = json_object();
	if (put(pair, "certificate", text(flags->cert)) && put(pair, "key", text(flags->key)))
		return pair;
	json_decref(pair);
	return NULL;
}

static json_t *sidecar_tls(const struct conf_sidecar *flags)
{
	json_t *tls = json_object(), *list = json_array();

	if (json_array_append_new(list, sidecar_certificate(flags)) == 0 &&
	    put(tls, "certificates", json_incref(list))) {
		json_decref(list);
		return tls;
	}
	json_decref(list);
	json_decref(tls);
	return NULL;
}

static json_t *sidecar_listener(const struct conf_sidecar *flags)
{
	json_t *listener = json_object(), *address;

	address = flags->num_listen == 1 ? text(flags->listen[0])
					 : texts(flags->listen, flags->num_listen);
	if (put(listener, "address", address) &&
	    (flags->mode == NULL || put(listener, "mode", text(flags->mode))) &&
	    (flags->cert == NULL || put(listener, "tls", sidecar_tls(flags))) &&
	    put(listener, "pool", json_string("backend")))
		return listener;
	json_decref(listener);
	return NULL;
}

/* The port of `address`, or 0 where none can be read: it is a unix one, or a variable. */
static json_int_t port_of(const char *address)
{
	const char *colon = strrchr(address, ':');
	json_int_t port = 0;

	if (colon == NULL || strncmp(address, "unix:", 5) == 0)
		return 0;
	for (const char *c = colon + 1; *c != '\0'; c++) {
		if (*c < '0' || *c > '9' || port > UINT16_MAX)
			return 0;
		port = port * 10 + (*c - '0');
	}
	return port > UINT16_MAX ? 0 : port;
}

static json_t *sidecar_redirect(const struct conf_sidecar *flags)
{
	json_int_t port = flags->num_listen == 0 ? 0 : port_of(flags->listen[0]);
	json_t *redirect;

	if (port == 0 || port == 443)
		return json_string("https");
	redirect = json_object();
	if (put(redirect, "location", json_string("https")) &&
	    put(redirect, "port", json_integer(port)))
		return redirect;
	json_decref(redirect);
	return NULL;
}

static json_t *sidecar_door(const struct conf_sidecar *flags)
{
	json_t *listener = json_object(), *route = json_object(), *routes = json_array(), *address;

	address = flags->num_redirect_from == 1
			  ? text(flags->redirect_from[0])
			  : texts(flags->redirect_from, flags->num_redirect_from);
	if (put(listener, "address", address) && put(listener, "name", json_string("redirect")) &&
	    put(listener, "mode", json_string("http")) &&
	    put(route, "redirect", sidecar_redirect(flags)) &&
	    json_array_append_new(routes, json_incref(route)) == 0 &&
	    put(listener, "routes", json_incref(routes))) {
		json_decref(route);
		json_decref(routes);
		return listener;
	}
	json_decref(route);
	json_decref(routes);
	json_decref(listener);
	return NULL;
}

static json_t *sidecar_pools(const struct conf_sidecar *flags)
{
	json_t *pools = json_object(), *pool = json_object();

	if (put(pool, "servers", texts(flags->backend, flags->num_backend)) &&
	    put(pools, "backend", json_incref(pool))) {
		json_decref(pool);
		return pools;
	}
	json_decref(pool);
	json_decref(pools);
	return NULL;
}

static json_t *sidecar_admin(const char *flag)
{
	json_t *admin;

	if (strcmp(flag, "false") == 0)
		return json_false();
	admin = json_object();
	if (put(admin, "address", text(flag)))
		return admin;
	json_decref(admin);
	return NULL;
}

char *conf_sidecar_json(const struct conf_sidecar *flags)
{
	json_t *root, *listeners;
	char *out = NULL;

	json_object_seed(1);
	root = json_object();
	listeners = json_array();
	if (json_array_append_new(listeners, sidecar_listener(flags)) == 0 &&
	    (flags->num_redirect_from == 0 ||
	     json_array_append_new(listeners, sidecar_door(flags)) == 0) &&
	    put(root, "listeners", json_incref(listeners)) &&
	    put(root, "pools", sidecar_pools(flags)) &&
	    (flags->admin == NULL || put(root, "admin", sidecar_admin(flags->admin))))
		out = json_dumps(root, JSON_INDENT(2));
	json_decref(listeners);
	json_decref(root);
	return out;
}
