/* Which keys of one object may stand beside each other, by the table; and what is twice. */
#include "conf/reader.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/values.h"
#include "conf/web.h"

enum { READER_NAMES = 256 };

/* ---- keys beside each other */

static size_t count_of(const char *const *names, const json_t *json, const char *first[2])
{
	size_t num = 0;

	for (size_t i = 0; names[i] != NULL; i++) {
		if (json_object_get(json, names[i]) == NULL)
			continue;
		if (num < 2)
			first[num] = names[i];
		num++;
	}
	return num;
}

static void check_group(struct reader *r, const char *const *group, bool required,
			const json_t *json)
{
	const char *first[2] = { NULL, NULL };
	char names[READER_NAMES];
	size_t num = count_of(group, json, first);

	(void)key_names(group, names, sizeof(names));
	if (num == 0 && required)
		reader_error(r, "has no %s: give it one of them", names);
	if (num > 1)
		reader_error(r, "has both \"%s\" and \"%s\": only one of %s may be there", first[0],
			     first[1], names);
}

/* The mode of `json`, where that is one that `o` knows and not `wanted`. */
static const char *other_mode(const struct object *o, const json_t *json, const char *wanted)
{
	/* It was read before, and so has its canonical text. */
	const char *mode = json_string_value(json_object_get(json, "mode"));
	const struct key *k = key_find(o, "mode");

	if (mode != NULL && strcmp(mode, wanted) == 0)
		return NULL;
	for (const struct key_choice *c = k->choices; c->name != NULL; c++) {
		if (mode == NULL ? key_is_fallback(k, c->name) && !key_is_fallback(k, wanted)
				 : strcmp(c->name, mode) == 0)
			return c->name;
	}
	return NULL;
}

void reader_members(struct reader *r, const struct object *o, json_t *json)
{
	if (o->one_of != NULL)
		check_group(r, o->one_of, true, json);
	if (o->at_most_one != NULL)
		check_group(r, o->at_most_one, false, json);
	for (size_t i = 0; i < o->num_keys; i++) {
		const struct key *k = &o->keys[i];
		const char *first[2], *mode;
		char names[READER_NAMES];
		size_t back;

		if ((k->with == NULL && k->in_mode == NULL) ||
		    json_object_get(json, k->name) == NULL)
			continue;
		back = reader_enter(r, k->name);
		if (k->with != NULL && count_of(k->with, json, first) == 0)
			reader_error(r, "is only for a %s with %s: remove it", o->name,
				     key_names(k->with, names, sizeof(names)));
		if (k->in_mode != NULL && (mode = other_mode(o, json, k->in_mode)) != NULL)
			reader_error(r,
				     "is only for mode \"%s\", and this %s has mode \"%s\": remove "
				     "it, or change \"mode\"",
				     k->in_mode, o->name, mode);
		reader_leave(r, back);
	}
}

/* ---- texts that are twice */

/* A text, and its place in the list. */
struct word {
	const char *text;
	size_t index;
};

static int word_place(const struct word *x, const struct word *y)
{
	return x->index < y->index ? -1 : x->index > y->index;
}

static int word_order(const void *a, const void *b)
{
	const struct word *x = a, *y = b;
	int order = strcmp(x->text, y->text);

	return order != 0 ? order : word_place(x, y);
}

static int word_order_nocase(const void *a, const void *b)
{
	const struct word *x = a, *y = b;
	int order = strcasecmp(x->text, y->text);

	return order != 0 ? order : word_place(x, y);
}

void reader_twice(struct reader *r, const char *const *list, size_t num, bool in_map, bool nocase)
{
	struct word *words;
	size_t count = 0;

	if (num < 2 || (words = reader_scratch(r, num, sizeof(*words))) == NULL)
		return;
	for (size_t i = 0; i < num; i++) {
		if (list[i] != NULL)
			words[count++] = (struct word){ .text = list[i], .index = i };
	}
	qsort(words, count, sizeof(*words), nocase ? word_order_nocase : word_order);
	for (size_t i = 1; i < count; i++) {
		const char *text = words[i].text;
		char quote[VALUE_QUOTE];
		size_t back;

		if ((nocase ? strcasecmp : strcmp)(text, words[i - 1].text) != 0)
			continue;
		back = in_map ? reader_enter(r, text) : reader_enter_index(r, words[i].index);
		reader_error(r, "\"%s\" is there twice: remove one",
			     value_quote(span_str(text), quote));
		reader_leave(r, back);
	}
	reader_scratch_free(r, words);
}

/* ---- texts of HTTP */

bool reader_web(struct reader *r, enum key_type type, char *s)
{
	char quote[VALUE_QUOTE], host[CONF_MAX_VHOST + 1];
	const char *why = NULL;

	if (type == KEY_METHOD)
		why = web_method(s);
	else if (type == KEY_FIELD)
		why = web_token(s);
	else if (type == KEY_EDITED)
		why = web_edited(s);
	else if (type == KEY_FIELD_VALUE)
		why = web_value(s);
	else if (type == KEY_URL_PATH)
		why = web_path(s);
	else if (type == KEY_HASH)
		why = web_hash(s);
	else if (type == KEY_STATUSES)
		why = web_statuses(s);
	else if (type == KEY_URI)
		why = web_uri(s);
	else if (type == KEY_LOCATION)
		why = web_location(s);
	else if (type == KEY_VHOST && (why = web_host(s, host)) == NULL)
		memcpy(s, host, strlen(host) + 1);
	if (why != NULL)
		reader_error(r, "\"%s\" %s", value_quote(span_str(s), quote), why);
	return why == NULL;
}
