#include "tests/unit/conf/given.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/keys.h"

const char *given_env(const char *name)
{
	static char big[3001];

	if (strcmp(name, "HOST") == 0)
		return "10.0.0.1";
	if (strcmp(name, "EMPTY") == 0)
		return "";
	if (strcmp(name, "BAD") == 0)
		return "a\xff";
	if (strcmp(name, "LINE") == 0)
		return "a\nb";
	if (strcmp(name, "DOLLAR") == 0)
		return "${HOST}";
	if (strcmp(name, "BIG") != 0)
		return NULL;
	memset(big, 'b', sizeof(big) - 1);
	return big;
}

struct conf_source given_source(void)
{
	return (struct conf_source){ .file = "t.json",
				     .folder = "/etc/sallyport",
				     .getenv = given_env };
}

struct conf *given_parse(const char *json)
{
	struct conf_source from = given_source();
	struct problems why;
	struct conf *c;

	problems_init(&why);
	c = conf_parse(span_str(json), &from, &why);
	problems_print(&why, stderr);
	cr_assert_not_null(c, "refused: %s", json);
	cr_assert_eq(why.num_errors, 0);
	cr_assert_eq(why.num_warnings, 0);
	problems_fini(&why);
	return c;
}

void given_refused(const char *json, const char *where, const char *what)
{
	struct conf_source from = given_source();
	struct problems why;
	char place[512];
	struct conf *c;

	problems_init(&why);
	c = conf_parse(span_str(json), &from, &why);
	cr_assert_null(c, "accepted: %s", json);
	if (why.num_errors != 1)
		problems_print(&why, stderr);
	cr_assert_eq(why.num_errors, 1, "%zu errors: %s", why.num_errors, json);
	(void)snprintf(place, sizeof(place), "t.json%s%s",
		       where[0] == '\0'	 ? ""
		       : where[0] == '/' ? ": "
					 : ":",
		       where);
	cr_expect_str_eq(why.list[0].where, place);
	cr_expect_not_null(strstr(why.list[0].what, what), "%s: \"%s\" lacks \"%s\"",
			   why.list[0].where, why.list[0].what, what);
	problems_fini(&why);
}

size_t given_errors(const char *json)
{
	struct conf_source from = given_source();
	struct problems why;
	size_t num;

	problems_init(&why);
	cr_assert_null(conf_parse(span_str(json), &from, &why), "accepted: %s", json);
	num = why.num_errors;
	cr_assert_gt(num, 0);
	problems_fini(&why);
	return num;
}

/* ---- equality by the table */

static bool equal_object(const struct object *o, const char *a, const char *b);

static bool equal_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool equal_pointed(const char *a, const char *b)
{
	const char *x, *y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return equal_text(x, y);
}

static bool equal_field(struct field f, const char *a, const char *b)
{
	return memcmp(a + f.offset, b + f.offset, f.size) == 0;
}

static bool equal_value(const struct key *k, size_t size, const char *a, const char *b)
{
	struct conf_address x, y;

	switch (k->type) {
	case KEY_OBJECT:
		return equal_object(k->object, a, b);
	case KEY_LISTEN:
	case KEY_CONNECT:
		memcpy(&x, a, sizeof(x));
		memcpy(&y, b, sizeof(y));
		return x.is_unix == y.is_unix && x.port == y.port && equal_text(x.host, y.host) &&
		       equal_text(x.path, y.path) && equal_text(x.text, y.text);
	case KEY_BOOL:
	case KEY_TRUE:
	case KEY_SIZE:
	case KEY_CODE:
	case KEY_NETWORK:
	case KEY_COUNT:
	case KEY_DURATION:
	case KEY_CHOICE:
	case KEY_POOL:
		return memcmp(a, b, size) == 0;
	default:
		return equal_pointed(a, b);
	}
}

static bool equal_list(const struct key *k, const char *a, const char *b)
{
	const char *x, *y;
	size_t num, size;

	if (!equal_field(k->num, a, b))
		return false;
	memcpy(&num, a + k->num.offset, sizeof(num));
	memcpy(&x, a + k->at.offset, sizeof(x));
	memcpy(&y, b + k->at.offset, sizeof(y));
	size = key_value_size(k);
	for (size_t i = 0; i < num; i++) {
		if (!equal_value(k, size, x + i * size, y + i * size))
			return false;
	}
	return true;
}

static bool equal_key(const struct key *k, const char *a, const char *b)
{
	const char *x, *y;

	if (!equal_field(k->on, a, b) || !equal_field(k->given, a, b))
		return false;
	if (k->shape == KEY_LIST || k->shape == KEY_ONE_OR_LIST || k->shape == KEY_MAP)
		return equal_list(k, a, b);
	if (k->shape == KEY_OPTIONAL) {
		memcpy(&x, a + k->at.offset, sizeof(x));
		memcpy(&y, b + k->at.offset, sizeof(y));
		return x == NULL || y == NULL ? x == y : equal_object(k->object, x, y);
	}
	if (k->shape == KEY_JOINED)
		return equal_pointed(a + k->at.offset, b + k->at.offset);
	return equal_value(k, k->at.size, a + k->at.offset, b + k->at.offset);
}

static bool equal_object(const struct object *o, const char *a, const char *b)
{
	if (o->pointer.size > 0 && !equal_pointed(a + o->pointer.offset, b + o->pointer.offset))
		return false;
	if (o->map_name.size > 0 && !equal_pointed(a + o->map_name.offset, b + o->map_name.offset))
		return false;
	for (size_t i = 0; i < o->num_keys; i++) {
		if (!equal_key(&o->keys[i], a, b))
			return false;
	}
	return true;
}

bool given_equal(const struct conf *a, const struct conf *b)
{
	return equal_object(conf_root(), (const char *)a, (const char *)b);
}

char *given_file(const char *path)
{
	FILE *in = fopen(path, "r");
	char *text = NULL;
	size_t room = 0;

	cr_assert_not_null(in, "%s: not there; run from the root of the sources", path);
	cr_assert_geq(getdelim(&text, &room, '\0', in), 1, "%s: empty", path);
	cr_assert_eq(fclose(in), 0);
	return text;
}
