/* JSON Schema (draft 2020-12) from the table of keys. A set or append of NULL fails in jansson,
 * so that a lack of memory anywhere below shows here as a NULL. Recursion follows the table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "conf/conf.h"
#include "conf/keys.h"

enum { SCHEMA_TEXT = 512 };

static json_t *schema_object(json_t *schema, const struct object *o);

/* Adds `value`, which is taken, to `to`. NULL, with `to` freed, where that fails. */
static json_t *with(json_t *to, const char *name, json_t *value)
{
	if (to == NULL)
		json_decref(value);
	else if (json_object_set_new(to, name, value) == 0)
		return to;
	json_decref(to);
	return NULL;
}

static json_t *append(json_t *to, json_t *value)
{
	if (to == NULL)
		json_decref(value);
	else if (json_array_append_new(to, value) == 0)
		return to;
	json_decref(to);
	return NULL;
}

static json_t *typed(const char *type)
{
	return with(json_object(), "type", json_string(type));
}

static json_t *any_of(json_t *a, json_t *b)
{
	return with(json_object(), "anyOf", append(append(json_array(), a), b));
}

/* A text with a variable in it: what it expands to is checked when it is. */
static json_t *schema_variable(void)
{
	return with(typed("string"), "pattern", json_string("\\$\\{"));
}

static json_t *schema_text(const struct key *k)
{
	char pattern[SCHEMA_TEXT];

	(void)snprintf(pattern, sizeof(pattern), "^%s$|\\$\\{", key_pattern(k->type));
	return with(typed("string"), "pattern", json_string(pattern));
}

static json_t *schema_choice(const struct key *k)
{
	json_t *names = json_array();

	for (const struct key_choice *c = k->choices; c->name != NULL; c++)
		names = append(names, json_string(c->name));
	return any_of(with(json_object(), "enum", names), schema_variable());
}

static json_t *schema_code(const struct key *k)
{
	json_t *numbers = json_array();

	for (const struct key_choice *c = k->choices; c->name != NULL; c++)
		numbers = append(numbers, json_loads(c->name, JSON_DECODE_ANY, NULL));
	return with(json_object(), "enum", numbers);
}

/* One value of `k`. */
static json_t *schema_value(const struct key *k)
{
	json_t *object;

	if (k->type == KEY_BOOL)
		return typed("boolean");
	if (k->type == KEY_TRUE)
		return with(json_object(), "const", json_true());
	if (k->type == KEY_CODE)
		return schema_code(k);
	if (k->type == KEY_COUNT)
		return with(with(typed("integer"), "minimum", json_integer(k->min)), "maximum",
			    json_integer(k->max));
	if (k->type == KEY_CHOICE)
		return schema_choice(k);
	if (k->type != KEY_OBJECT)
		return schema_text(k);
	if (k->object->only_shorthand)
		return schema_text(key_find(k->object, k->object->shorthand));
	object = schema_object(json_object(), k->object);
	if (k->object->shorthand != NULL)
		return any_of(schema_text(key_find(k->object, k->object->shorthand)), object);
	if (k->or_false)
		return any_of(with(json_object(), "const", json_false()), object);
	return object;
}

static json_t *schema_list(const struct key *k)
{
	json_t *list = with(typed("array"), "items", schema_value(k));

	list = with(list, "minItems", json_integer(k->may_be_empty ? 0 : 1));
	list = with(list, "maxItems", json_integer((json_int_t)k->max_num));
	if (key_is_set(k->type))
		list = with(list, "uniqueItems", json_true());
	return list;
}

/* Members that every object may have. */
static json_t *schema_annotations(void)
{
	return with(json_object(), "^\\$(schema|comment)$", typed("string"));
}

static json_t *schema_map(const struct key *k)
{
	json_t *map = typed("object"), *names;
	char pattern[SCHEMA_TEXT];

	(void)snprintf(pattern, sizeof(pattern), "^%s$", key_pattern(k->object->map_type));
	names = with(json_object(), "maxLength", json_integer(CONF_MAX_NAME));
	names = with(names, "pattern", json_string(pattern));
	map = with(map, "propertyNames", names);
	map = with(map, "patternProperties", with(schema_annotations(), "^[^$]", schema_value(k)));
	return with(map, "additionalProperties", json_false());
}

static json_t *schema_shape(const struct key *k)
{
	switch (k->shape) {
	case KEY_LIST:
	case KEY_JOINED:
		return schema_list(k);
	case KEY_ONE_OR_LIST:
		return any_of(schema_value(k), schema_list(k));
	case KEY_MAP:
		return schema_map(k);
	default:
		return schema_value(k);
	}
}

static json_t *schema_key(const struct key *k)
{
	json_t *schema = schema_shape(k);
	char text[SCHEMA_TEXT];

	(void)snprintf(text, sizeof(text), "%s.%s%s%s%s", k->help,
		       k->fallback_doc == NULL ? "" : " Default: ",
		       k->fallback_doc == NULL ? "" : k->fallback_doc,
		       k->fallback_doc == NULL ? "" : ".",
		       k->at_start ? " Taken only at start." : "");
	schema = with(schema, "description", json_string(text));
	if (k->fallback != NULL)
		schema = with(schema, "default", json_loads(k->fallback, JSON_DECODE_ANY, NULL));
	return schema;
}

/* An object that has the key `name`. */
static json_t *has(const char *name)
{
	return with(json_object(), "required", append(json_array(), json_string(name)));
}

static json_t *has_each(const char *const *names)
{
	json_t *list = json_array();

	for (size_t i = 0; names[i] != NULL; i++)
		list = append(list, has(names[i]));
	return list;
}

/* At most one of `names` (each pair of them is refused). */
static json_t *schema_at_most_one(const char *const *names)
{
	json_t *pairs = json_array();

	for (size_t i = 0; names[i] != NULL; i++) {
		for (size_t j = 0; j < i; j++) {
			json_t *both = append(json_array(), json_string(names[j]));

			both = append(both, json_string(names[i]));
			pairs = append(pairs, with(json_object(), "required", both));
		}
	}
	return with(json_object(), "anyOf", pairs);
}

/* Where "mode" is another: keys that are only for `k->in_mode` are refused. */
static json_t *schema_in_mode(const struct object *o, const struct key *k)
{
	json_t *others = json_array(), *when;

	for (const struct key_choice *c = key_find(o, "mode")->choices; c->name != NULL; c++) {
		if (strcmp(c->name, k->in_mode) != 0)
			others = append(others, json_string(c->name));
	}
	when = with(json_object(), "mode", with(json_object(), "enum", others));
	/* Without one it is the default. */
	when = with(key_is_fallback(key_find(o, "mode"), k->in_mode) ? has("mode") : json_object(),
		    "properties", when);
	when = with(with(json_object(), "if", when), "then",
		    with(json_object(), "not", has(k->name)));
	return when;
}

/* Adds what `o` says of keys beside each other. */
static json_t *schema_members(json_t *schema, const struct object *o)
{
	json_t *beside = json_object(), *modes = json_array();

	for (size_t i = 0; i < o->num_keys; i++) {
		const struct key *k = &o->keys[i];

		if (k->with != NULL)
			beside = with(beside, k->name,
				      with(json_object(), "anyOf", has_each(k->with)));
		if (k->in_mode != NULL)
			modes = append(modes, schema_in_mode(o, k));
	}
	if (beside == NULL || json_object_size(beside) > 0)
		schema = with(schema, "dependentSchemas", json_incref(beside));
	if (modes == NULL || json_array_size(modes) > 0)
		schema = with(schema, "allOf", json_incref(modes));
	json_decref(beside);
	json_decref(modes);
	if (o->one_of != NULL)
		schema = with(schema, "oneOf", has_each(o->one_of));
	if (o->at_most_one != NULL)
		schema = with(schema, "not", schema_at_most_one(o->at_most_one));
	return schema;
}

/* Adds what describes `o` to `schema`. */
static json_t *schema_object(json_t *schema, const struct object *o)
{
	json_t *members = json_object(), *required = json_array();

	for (size_t i = 0; i < o->num_keys; i++) {
		members = with(members, o->keys[i].name, schema_key(&o->keys[i]));
		if (o->keys[i].required)
			required = append(required, json_string(o->keys[i].name));
	}
	schema = with(schema, "description", json_string(o->help));
	schema = with(schema, "type", json_string("object"));
	schema = with(schema, "properties", members);
	schema = with(schema, "required", required);
	schema = with(schema, "patternProperties", schema_annotations());
	schema = schema_members(schema, o);
	return with(schema, "additionalProperties", json_false());
}

char *conf_schema(void)
{
	json_t *schema;
	char *text;

	json_object_seed(1);
	schema = with(json_object(), "$schema",
		      json_string("https://json-schema.org/draft/2020-12/schema"));
	schema = schema_object(schema, conf_root());
	text = schema == NULL ? NULL : json_dumps(schema, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
	json_decref(schema);
	return text;
}
