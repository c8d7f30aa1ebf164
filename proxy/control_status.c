#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proxy/control.h"

static long long number(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

/* Names may hold what a terminal would take for orders. */
static const char *text(const json_t *o, const char *key, char *out, size_t len)
{
	const char *s = json_string_value(json_object_get(o, key));
	size_t n = 0;

	for (; s != NULL && s[n] != '\0' && n + 1 < len; n++) {
		unsigned char c = (unsigned char)s[n];

		out[n] = (char)((c < 0x20 && c != '\n') || c == 0x7f ? '?' : c);
	}
	out[n] = '\0';
	return out;
}

static const char *span_of_time(long long s, char out[32])
{
	if (s >= 86400)
		(void)snprintf(out, 32, "%lld d %lld h", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		(void)snprintf(out, 32, "%lld h %lld min", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		(void)snprintf(out, 32, "%lld min %lld s", s / 60, s % 60);
	else
		(void)snprintf(out, 32, "%lld s", s);
	return out;
}

static const char *moment(long long s, char out[32])
{
	time_t t = (time_t)s;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL || strftime(out, 32, "%Y-%m-%d %H:%M:%SZ", &tm) == 0)
		(void)snprintf(out, 32, "%lld", s);
	return out;
}

static void say_configuration(const json_t *c, FILE *out)
{
	const json_t *last = json_object_get(c, "last_reload");
	long long expiry = number(c, "first_expiry_time");
	char when[32], words[1024];

	(void)fprintf(out, "configuration  generation %lld, %lld certificates",
		      number(c, "generation"), number(c, "certificates"));
	if (expiry != 0)
		(void)fprintf(out, ", the first expires %s", moment(expiry, when));
	if (!json_is_object(last)) {
		(void)fprintf(out, "\nlast reload    none\n");
		return;
	}
	(void)fprintf(out, "\nlast reload    %s, %s\n", moment(number(last, "time"), when),
		      text(last, "outcome", words, sizeof(words)));
	if (text(last, "reason", words, sizeof(words))[0] != '\0')
		(void)fprintf(out, "               %s\n", words);
}

static void say_process(const json_t *p, FILE *out)
{
	const json_t *protection = json_object_get(p, "protection");
	char title[40], up[32], role[20], part[20], parts[80] = "";
	size_t n = 0;

	(void)text(p, "role", role, sizeof(role));
	if (json_object_get(p, "number") != NULL)
		(void)snprintf(title, sizeof(title), "%s %lld", role, number(p, "number"));
	else
		(void)snprintf(title, sizeof(title), "%s", role);
	if (json_is_null(json_object_get(p, "pid"))) {
		(void)fprintf(out, "  %-14s is down\n", title);
		return;
	}
	for (size_t i = 0; i < json_array_size(protection) && n < sizeof(parts); i++) {
		(void)snprintf(part, sizeof(part), "%s",
			       json_string_value(json_array_get(protection, i)));
		n += (size_t)snprintf(parts + n, sizeof(parts) - n, "%s%s", n == 0 ? "" : ", ",
				      part);
	}
	(void)fprintf(out, "  %-14s %8lld  %-14s", title, number(p, "pid"),
		      span_of_time(number(p, "uptime_seconds"), up));
	if (json_object_get(p, "connections") != NULL)
		(void)fprintf(out, "%6lld connections, ", number(p, "connections"));
	(void)fprintf(out, "%s%s\n", parts[0] == '\0' ? "not confined" : "confined by ", parts);
}

static void say_pool(const json_t *pool, FILE *out)
{
	const json_t *servers = json_object_get(pool, "servers"), *s;
	char name[300], state[20];
	size_t i;

	(void)fprintf(out, "  %s: %lld connections\n", text(pool, "name", name, sizeof(name)),
		      number(pool, "connections"));
	json_array_foreach(servers, i, s)
		(void)fprintf(out, "    %s: %s, %lld connections, %lld requests, %lld failures\n",
			      text(s, "address", name, sizeof(name)),
			      text(s, "state", state, sizeof(state)), number(s, "connections"),
			      number(s, "requests_active"), number(s, "failures"));
}

bool control_say_status(const char *json, FILE *out)
{
	json_t *all = json_loads(json, 0, NULL), *one;
	const json_t *connections;
	char words[300], up[32];
	size_t i;

	if (!json_is_object(json_object_get(all, "configuration"))) {
		json_decref(all);
		return false;
	}
	(void)fprintf(out, "sallyport %s, ", text(all, "version", words, sizeof(words)));
	(void)fprintf(out, "%s, for %s\n", text(all, "state", words, sizeof(words)),
		      span_of_time(number(all, "uptime_seconds"), up));
	say_configuration(json_object_get(all, "configuration"), out);
	connections = json_object_get(all, "connections");
	(void)fprintf(out, "connections    %lld from clients, %lld kept to servers\n\nprocesses\n",
		      number(connections, "clients"), number(connections, "idle_to_servers"));
	json_array_foreach(json_object_get(all, "processes"), i, one)
		say_process(one, out);
	(void)fprintf(out, "\nlisteners\n");
	json_array_foreach(json_object_get(all, "listeners"), i, one)
		(void)fprintf(out, "  %s: %lld connections, %lld accepted\n",
			      text(one, "name", words, sizeof(words)), number(one, "connections"),
			      number(one, "accepted"));
	(void)fprintf(out, "\npools\n");
	json_array_foreach(json_object_get(all, "pools"), i, one)
		say_pool(one, out);
	json_decref(all);
	return true;
}
