/* The walk of the JSON along the table of keys. Recursion follows the table, not the input, so
 * the input cannot deepen it. */
#include "conf/reader.h"

#include <stdio.h>
#include <string.h>

#include "conf/suggest.h"
#include "conf/values.h"

enum { READER_EXPECTS = 384 };

static void read_object(struct reader *r, const struct object *o, json_t *json, void *base);

static void *field_at(void *base, struct field f)
{
	return (char *)base + f.offset;
}

static void store_pointer(void *to, const void *p)
{
	memcpy(to, &p, sizeof(p));
}

static void store_flag(void *base, struct field f, bool value)
{
	if (f.size > 0)
		memcpy(field_at(base, f), &value, sizeof(value));
}

static void read_value(struct reader *r, const struct key *k, json_t *json, void *to)
{
	if (k->type == KEY_OBJECT)
		read_object(r, k->object, json, to);
	else
		reader_value(r, k, json, to);
}

/* ---- lists */

static const char *join(struct reader *r, const char *const *list, size_t num)
{
	size_t len = 0;
	char *out;

	for (size_t i = 0; i < num; i++)
		len += list[i] == NULL ? 0 : strlen(list[i]) + 1;
	if ((out = reader_alloc(r, len + 1, 1)) == NULL)
		return NULL;
	len = 0;
	for (size_t i = 0; i < num; i++) {
		size_t n = list[i] == NULL ? 0 : strlen(list[i]);

		if (n == 0)
			continue;
		if (len > 0)
			out[len++] = ':';
		memcpy(out + len, list[i], n);
		len += n;
	}
	return out;
}

/* Room for what is in an array or map; NULL: none, or memory. `*num` is cut to what is allowed. */
static void *list_room(struct reader *r, const struct key *k, size_t *num)
{
	if (*num > k->max_num) {
		reader_error(r, "has %zu entries: at most %zu are allowed", *num, k->max_num);
		*num = k->max_num;
	}
	return *num == 0 ? NULL : reader_alloc(r, *num, key_value_size(k));
}

static void read_list(struct reader *r, const struct key *k, json_t *json, void *base)
{
	bool is_array = json_is_array(json);
	size_t num = is_array ? json_array_size(json) : 1, back;
	void *list;

	if (!is_array && k->shape != KEY_ONE_OR_LIST) {
		reader_wrong_type(r, k, false, json);
		return;
	}
	if (num == 0 && !k->may_be_empty)
		reader_error(r, "is empty: give at least one");
	if ((list = list_room(r, k, &num)) == NULL)
		return;
	for (size_t i = 0; i < num; i++) {
		void *to = (char *)list + i * key_value_size(k);

		if (!is_array) {
			read_value(r, k, json, to);
			continue;
		}
		back = reader_enter_index(r, i);
		read_value(r, k, json_array_get(json, i), to);
		reader_leave(r, back);
	}
	if (key_is_set(k->type))
		reader_twice(r, list, num, false, k->type == KEY_EDITED);
	if (k->shape == KEY_JOINED) {
		store_pointer(field_at(base, k->at), join(r, list, num));
		return;
	}
	store_pointer(field_at(base, k->at), list);
	memcpy(field_at(base, k->num), &num, sizeof(num));
}

static void check_map_name(struct reader *r, enum key_type type, const char *name)
{
	size_t len = strlen(name);
	char text[VALUE_MAX];

	if (len == 0)
		reader_error(r, "the name is empty: give it one");
	else if (len > CONF_MAX_NAME)
		reader_error(r, "the name is %zu bytes long: at most %d are allowed", len,
			     CONF_MAX_NAME);
	else if (name[0] == '$')
		reader_error(r, "a name may not begin with \"$\": only \"$schema\" and "
				"\"$comment\" do");
	else if (!value_printable(span_str(name)))
		reader_error(r, "the name contains a control character: remove it");
	else
		(void)reader_web(r, type, memcpy(text, name, len + 1));
}

/* Removes "$schema" and "$comment" from `json`, after a look at them. */
static void drop_annotations(struct reader *r, json_t *json)
{
	const char *name;
	json_t *value;
	void *next;

	json_object_foreach_safe(json, next, name, value)
	{
		if (!key_is_annotation(name))
			continue;
		if (!json_is_string(value)) {
			size_t back = reader_enter(r, name);
			char got[VALUE_QUOTE + 16];

			reader_error(r, "expected a string, got %s",
				     reader_describe(value, got, sizeof(got)));
			reader_leave(r, back);
		}
		(void)json_object_del(json, name);
	}
}

/* Names of header fields differ by more than case. */
static void check_map_names(struct reader *r, const struct key *k, char *list, size_t num)
{
	const char **names;

	if (k->object->map_type == KEY_NAME || num < 2 ||
	    (names = reader_scratch(r, num, sizeof(*names))) == NULL)
		return;
	for (size_t i = 0; i < num; i++)
		memcpy(&names[i], field_at(list + i * key_value_size(k), k->object->map_name),
		       sizeof(names[i]));
	reader_twice(r, names, num, true, true);
	reader_scratch_free(r, names);
}

static void read_map(struct reader *r, const struct key *k, json_t *json, void *base)
{
	size_t num, i = 0, back;
	const char *name;
	json_t *value;
	char *list;

	if (!json_is_object(json)) {
		reader_wrong_type(r, k, false, json);
		return;
	}
	drop_annotations(r, json);
	num = json_object_size(json);
	if ((list = list_room(r, k, &num)) == NULL)
		return;
	json_object_foreach(json, name, value) {
		void *to = list + i * key_value_size(k);

		if (i++ == num)
			break;
		back = reader_enter(r, name);
		check_map_name(r, k->object->map_type, name);
		store_pointer(field_at(to, k->object->map_name), reader_copy(r, span_str(name)));
		read_object(r, k->object, value, to);
		reader_leave(r, back);
	}
	check_map_names(r, k, list, num);
	store_pointer(field_at(base, k->at), list);
	memcpy(field_at(base, k->num), &num, sizeof(num));
}

/* ---- objects */

/* `base` is the struct that the key's offsets are in. */
static void read_present(struct reader *r, const struct key *k, json_t *json, void *base)
{
	void *to = field_at(base, k->at);

	store_flag(base, k->on, true);
	switch (k->shape) {
	case KEY_ONE:
		if (k->type != KEY_OBJECT)
			read_value(r, k, json, to);
		else if (k->or_false && json_is_boolean(json) && !json_is_true(json))
			store_flag(base, k->on, false);
		else if (k->or_false && !json_is_object(json))
			reader_wrong_type(r, k, true, json);
		else
			read_object(r, k->object, json, to);
		break;
	case KEY_OPTIONAL: {
		void *object = reader_alloc(r, 1, k->object->size);

		if (object != NULL)
			read_object(r, k->object, json, object);
		store_pointer(to, object);
		break;
	}
	case KEY_MAP:
		read_map(r, k, json, base);
		break;
	default:
		read_list(r, k, json, base);
		break;
	}
}

static void read_absent(struct reader *r, const struct key *k, void *base)
{
	static const size_t none = CONF_NO_POOL;
	char expects[READER_EXPECTS];
	json_t *json;

	store_flag(base, k->on, true);
	if (k->required) {
		reader_error(r, "required key \"%s\" is missing: expected %s", k->name,
			     key_expects(k, false, expects, sizeof(expects)));
		return;
	}
	if (k->type == KEY_OBJECT && k->shape == KEY_ONE) {
		for (size_t i = 0; i < k->object->num_keys; i++)
			read_absent(r, &k->object->keys[i], field_at(base, k->at));
		return;
	}
	if (k->type == KEY_POOL)
		memcpy(field_at(base, k->at), &none, sizeof(none));
	if (k->fallback == NULL)
		return;
	if ((json = json_loads(k->fallback, JSON_DECODE_ANY, NULL)) == NULL) {
		r->failed = true;
		return;
	}
	read_present(r, k, json, base);
	json_decref(json);
}

static void unknown_key(struct reader *r, const struct object *o, const char *name)
{
	char quote[VALUE_QUOTE], known[READER_EXPECTS] = "";
	struct suggest near;
	size_t n = 0, back;

	suggest_init(&near, span_str(name));
	for (size_t i = 0; i < o->num_keys; i++) {
		suggest_offer(&near, o->keys[i].name);
		if (n < sizeof(known))
			n += (size_t)snprintf(known + n, sizeof(known) - n, "%s\"%s\"",
					      i == 0 ? "" : ", ", o->keys[i].name);
	}
	back = reader_enter(r, name);
	(void)value_quote(span_str(name), quote);
	if (near.best != NULL)
		reader_error(r, "unknown key \"%s\", did you mean \"%s\"?", quote, near.best);
	else
		reader_error(r, "unknown key \"%s\": known here are %s", quote, known);
	reader_leave(r, back);
}

/* A string where an object has a shorthand: that one key, and the rest by default. */
static void read_shorthand(struct reader *r, const struct object *o, json_t *json, void *base)
{
	for (size_t i = 0; i < o->num_keys; i++) {
		if (strcmp(o->keys[i].name, o->shorthand) == 0)
			read_present(r, &o->keys[i], json, base);
		else
			read_absent(r, &o->keys[i], base);
	}
}

static void read_members(struct reader *r, const struct object *o, json_t *json, void *base)
{
	const char *name;
	json_t *value;

	drop_annotations(r, json);
	json_object_foreach(json, name, value) {
		if (key_find(o, name) == NULL)
			unknown_key(r, o, name);
	}
	for (size_t i = 0; i < o->num_keys; i++) {
		const struct key *k = &o->keys[i];
		size_t back;

		if ((value = json_object_get(json, k->name)) == NULL) {
			read_absent(r, k, base);
			continue;
		}
		store_flag(base, k->given, true);
		back = reader_enter(r, k->name);
		read_present(r, k, value, base);
		reader_leave(r, back);
	}
	reader_members(r, o, json);
}

static void read_object(struct reader *r, const struct object *o, json_t *json, void *base)
{
	char got[VALUE_QUOTE + 16];

	if (o->pointer.size > 0)
		store_pointer(field_at(base, o->pointer), reader_copy(r, span_str(r->pointer)));
	if (json_is_object(json) && !o->only_shorthand)
		read_members(r, o, json, base);
	else if (o->shorthand != NULL && json_is_string(json))
		read_shorthand(r, o, json, base);
	else if (o->only_shorthand)
		reader_wrong_type(r, key_find(o, o->shorthand), true, json);
	else
		reader_error(r, "expected %s, got %s",
			     o->shorthand == NULL ? "an object" : "a string or an object",
			     reader_describe(json, got, sizeof(got)));
}

void reader_tree(struct reader *r, json_t *root)
{
	read_object(r, conf_root(), root, r->conf);
}
