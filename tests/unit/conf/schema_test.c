#include <criterion/criterion.h>
#include <jansson.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/keys.h"
#include "conf/values.h"

static json_t *schema(void)
{
	char *text = conf_schema();
	json_t *json;

	cr_assert_not_null(text);
	json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	cr_assert_not_null(json);
	free(text);
	return json;
}

/* The object schema in what describes one key, whatever stands around it. */
static json_t *object_in(json_t *s)
{
	json_t *inner;
	size_t i;

	if (json_object_get(s, "properties") != NULL)
		return s;
	json_array_foreach(json_object_get(s, "anyOf"), i, inner) {
		if (object_in(inner) != NULL)
			return object_in(inner);
	}
	if ((inner = json_object_get(s, "items")) != NULL)
		return object_in(inner);
	inner = json_object_get(json_object_get(s, "patternProperties"), "^[^$]");
	return inner == NULL ? NULL : object_in(inner);
}

static void expect_object(const struct object *o, json_t *s)
{
	json_t *required = json_object_get(s, "required"),
	       *members = json_object_get(s, "properties");
	size_t num_required = 0;

	cr_assert_not_null(members, "%s", o->name);
	cr_expect_str_eq(json_string_value(json_object_get(s, "type")), "object");
	cr_expect(json_is_false(json_object_get(s, "additionalProperties")), "%s", o->name);
	cr_expect_not_null(
		json_object_get(json_object_get(s, "patternProperties"), "^\\$(schema|comment)$"));
	cr_expect_eq(json_object_size(members), o->num_keys, "%s", o->name);
	for (size_t i = 0; i < o->num_keys; i++) {
		const struct key *k = &o->keys[i];
		json_t *member = json_object_get(members, k->name);

		cr_assert_not_null(member, "%s", k->name);
		cr_expect_eq(strncmp(json_string_value(json_object_get(member, "description")),
				     k->help, strlen(k->help)),
			     0);
		cr_expect_eq(json_object_get(member, "default") != NULL, k->fallback != NULL, "%s",
			     k->name);
		num_required += k->required ? 1 : 0;
		if (k->type == KEY_OBJECT && !k->object->only_shorthand)
			expect_object(k->object, object_in(member));
	}
	cr_expect_eq(json_array_size(required), num_required);
}

Test(schema, has_every_key_of_the_table_and_no_other)
{
	json_t *s = schema();

	cr_expect_str_eq(json_string_value(json_object_get(s, "$schema")),
			 "https://json-schema.org/draft/2020-12/schema");
	expect_object(conf_root(), s);
	json_decref(s);
}

static json_t *at(json_t *s, const char *first, const char *second)
{
	s = json_object_get(json_object_get(s, "properties"), first);
	return second == NULL
		       ? s
		       : json_object_get(json_object_get(object_in(s), "properties"), second);
}

Test(schema, has_ranges_choices_and_defaults)
{
	json_t *s = schema(), *k;

	k = at(s, "workers", NULL);
	cr_expect_eq(json_integer_value(json_object_get(k, "minimum")), 1);
	cr_expect_eq(json_integer_value(json_object_get(k, "maximum")), CONF_MAX_WORKERS);
	k = at(s, "drain_timeout", NULL);
	cr_expect_str_eq(json_string_value(json_object_get(k, "default")), "25s");
	cr_expect_str_eq(json_string_value(json_object_get(k, "pattern")),
			 "^[0-9]+(ms|s|m|h|d)$|\\$\\{");
	k = at(s, "listeners", NULL);
	cr_expect_eq(json_integer_value(json_object_get(k, "maxItems")), CONF_MAX_LISTENERS);
	k = json_array_get(json_object_get(at(s, "listeners", "mode"), "anyOf"), 0);
	cr_expect_str_eq(json_string_value(json_array_get(json_object_get(k, "enum"), 1)), "tcp");
	cr_expect_not_null(
		strstr(json_string_value(json_object_get(at(s, "user", NULL), "description")),
		       "Taken only at start."));
	json_decref(s);
}

/* POSIX reads the patterns tried here as JSON Schema does: no \u escapes are in them. */
static bool matches(enum key_type type, const char *text)
{
	char pattern[512];
	regex_t re;
	bool hit;

	(void)snprintf(pattern, sizeof(pattern), "^%s$", key_pattern(type));
	cr_assert_eq(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0, "%s", pattern);
	hit = regexec(&re, text, 0, NULL, 0) == 0;
	regfree(&re);
	return hit;
}

Test(schema, patterns_take_what_the_parser_takes)
{
	static const struct {
		enum key_type type;
		const char *text;
		bool hit;
	} cases[] = {
		{ KEY_DURATION, "250ms", true },
		{ KEY_DURATION, "30", false },
		{ KEY_LISTEN, ":443", true },
		{ KEY_LISTEN, "[::1]:443", true },
		{ KEY_LISTEN, "unix:/run/a", true },
		{ KEY_LISTEN, "a", false },
		{ KEY_LISTEN, "a:0", false },
		{ KEY_CONNECT, "a.b_c-d:1", true },
		{ KEY_CONNECT, ":443", false },
		{ KEY_CONNECT, "unix:@x", false },
		{ KEY_CIPHER, "ECDHE-RSA", true },
		{ KEY_CIPHER, "a:b", false },
		{ KEY_GROUP, "X25519Kyber", true },
		{ KEY_GROUP, "", false },
		{ KEY_LOGIN, "www-data", true },
		{ KEY_LOGIN, "-x", false },
		{ KEY_HOST, "app.internal", true },
		{ KEY_HOST, "a b", false },
		{ KEY_SIZE, "64KiB", true },
		{ KEY_SIZE, "512", true },
		{ KEY_SIZE, "64kb", false },
		{ KEY_NETWORK, "10.0.0.0/8", true },
		{ KEY_NETWORK, "::1", true },
		{ KEY_NETWORK, "10.0.0.0/", false },
		{ KEY_VHOST, "*.a-b.example", true },
		{ KEY_VHOST, "[::1]", true },
		{ KEY_VHOST, "a.example:1", false },
		{ KEY_VHOST, "*", false },
		{ KEY_URL_PATH, "/a/%2F~[x]^", true },
		{ KEY_URL_PATH, "/a?b", false },
		{ KEY_URL_PATH, "/a#b", false },
		{ KEY_URL_PATH, "/a\\b", false },
		{ KEY_URL_PATH, "/a b", false },
		{ KEY_URL_PATH, "a", false },
		{ KEY_METHOD, "GET", true },
		{ KEY_METHOD, "get", false },
		{ KEY_FIELD, "X-a", true },
		{ KEY_FIELD, "X a", false },
		{ KEY_EDITED, "X:a", false },
		{ KEY_HASH, "client_address", true },
		{ KEY_HASH, "path", true },
		{ KEY_HASH, "header:X-User", true },
		{ KEY_HASH, "cookie:", false },
		{ KEY_HASH, "cookie:a b", false },
		{ KEY_HASH, "query:a", false },
		{ KEY_STATUSES, "200", true },
		{ KEY_STATUSES, "200-399", true },
		{ KEY_STATUSES, "100", false },
		{ KEY_STATUSES, "20", false },
		{ KEY_STATUSES, "200-", false },
		{ KEY_CONNECT, "_http._tcp.example.com", true },
		{ KEY_URI, "spiffe://example.org/web", true },
		{ KEY_URI, "a+b://x", true },
		{ KEY_URI, "spiffe:/example.org", false },
		{ KEY_URI, "://example.org", false },
		{ KEY_URI, "1a://example.org", false },
		{ KEY_URI, "a://", false },
		{ KEY_URI, "a://b c", false },
		{ KEY_LOCATION, "https", true },
		{ KEY_LOCATION, "/a?b", true },
		{ KEY_LOCATION, "http://a/b", true },
		{ KEY_LOCATION, "a", false },
		{ KEY_LOCATION, "http://", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(matches(cases[i].type, cases[i].text), cases[i].hit, "%s",
			     cases[i].text);
}

/* ---- the table itself */

/* A group of keys that stand beside each other, or not. */
static void expect_group(const struct object *o, const char *const *names)
{
	for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
		cr_assert_not_null(key_find(o, names[i]), "%s", names[i]);
		cr_expect_not(key_find(o, names[i])->required, "%s", names[i]);
	}
}

static void expect_table(const struct object *o)
{
	cr_expect_gt(o->num_keys, 0);
	expect_group(o, o->one_of);
	expect_group(o, o->at_most_one);
	cr_expect_not(o->only_shorthand && o->shorthand == NULL, "%s", o->name);
	cr_expect_eq(o->map_name.size > 0, o->map_type != KEY_BOOL, "%s", o->name);
	if (o->shorthand != NULL)
		cr_expect_not_null(key_find(o, o->shorthand));
	for (size_t i = 0; i < o->num_keys; i++) {
		const struct key *k = &o->keys[i];
		bool is_list = k->shape == KEY_LIST || k->shape == KEY_ONE_OR_LIST ||
			       k->shape == KEY_JOINED || k->shape == KEY_MAP;

		for (size_t j = 0; j < i; j++)
			cr_expect_str_neq(o->keys[j].name, k->name);
		cr_expect_gt(strlen(k->help), 10, "%s", k->name);
		cr_expect_neq(k->help[strlen(k->help) - 1], '.', "%s", k->name);
		cr_expect_null(strchr(k->help, '|'), "%s breaks the page's tables", k->name);
		cr_expect_eq(is_list, k->max_num > 0, "%s", k->name);
		cr_expect_eq(k->type == KEY_OBJECT, k->object != NULL, "%s", k->name);
		cr_expect_eq(k->type == KEY_CHOICE || k->type == KEY_CODE, k->choices != NULL, "%s",
			     k->name);
		cr_expect_not(k->may_be_empty && !is_list, "%s", k->name);
		for (size_t j = 0; k->with != NULL && k->with[j] != NULL; j++)
			cr_expect_not_null(key_find(o, k->with[j]), "%s", k->name);
		if (k->in_mode != NULL)
			cr_expect_not_null(key_find(o, "mode")->fallback, "%s", k->name);
		cr_expect_not(k->required && (k->fallback != NULL || k->fallback_doc != NULL));
		cr_expect_not(k->fallback != NULL && k->fallback_doc != NULL, "%s", k->name);
		if (k->type == KEY_COUNT || k->type == KEY_DURATION || k->type == KEY_SIZE)
			cr_expect_lt(k->min, k->max, "%s", k->name);
		if (k->fallback != NULL) {
			json_t *json = json_loads(k->fallback, JSON_DECODE_ANY, NULL);

			cr_expect_not_null(json, "default of %s", k->name);
			json_decref(json);
		}
		/* conf_same_start knows single values only. */
		cr_expect_not(k->at_start && k->shape != KEY_ONE, "%s", k->name);
		if (k->type == KEY_OBJECT)
			expect_table(k->object);
	}
}

Test(keys, table_is_sound)
{
	expect_table(conf_root());
}

static void expect_section(const struct object *o, const char *page)
{
	for (size_t i = 0; i < o->num_keys; i++) {
		char row[64];

		(void)snprintf(row, sizeof(row), "\n| `%s` | ", o->keys[i].name);
		cr_expect_not_null(strstr(page, row), "%s", o->keys[i].name);
		cr_expect_not_null(strstr(page, o->keys[i].help), "%s", o->keys[i].name);
		if (o->keys[i].type == KEY_OBJECT && !o->keys[i].object->only_shorthand)
			expect_section(o->keys[i].object, page);
	}
}

Test(reference, has_every_key)
{
	char *page = conf_reference();

	cr_assert_not_null(page);
	expect_section(conf_root(), page);
	cr_expect_not_null(strstr(page, "\n## listeners[].tls.certificates[]\n"));
	cr_expect_not_null(strstr(page, "\n## pools.NAME.servers[]\n"));
	cr_expect_not_null(strstr(page, "\n## listeners[].routes[].request_headers\n"));
	cr_expect_not_null(strstr(page, " There must be exactly one of `pool`, `redirect` or "
					"`respond`. There may be at most one of `path` or "
					"`path_prefix`.\n"));
	cr_expect_not_null(strstr(page, " Only with `path` or `path_prefix`. |\n"));
	cr_expect_not_null(strstr(page, " Only in mode `http`. |\n"));
	cr_expect_not_null(strstr(page, "| `status` | 301, 302, 303, 307 or 308 | `308` |"));
	cr_expect_not_null(strstr(page,
				  "\n| `workers` | a whole number from 1 to 256 | the CPUs "
				  "that the process may use | at start | Worker processes. |\n"));
	cr_expect_not_null(strstr(page,
				  "| `drain_timeout` | a duration such as \"30s\" | `\"25s\"` "
				  "| by reload |"));
	for (const char *line = page; (line = strstr(line, "\n|")) != NULL; line++) {
		size_t bars = 0;

		for (const char *c = line + 1; *c != '\n'; c++)
			bars += *c == '|' ? 1 : 0;
		cr_expect_eq(bars, 6, "%.60s", line + 1);
	}
	free(page);
}
