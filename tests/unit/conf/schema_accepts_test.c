#include <criterion/criterion.h>
#include <jansson.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "tests/unit/conf/given.h"

/* As much of JSON Schema (draft 2020-12) as the schema speaks; an unknown word fails the test. */

static bool accepts(json_t *schema, json_t *value);

/* JSON Schema's regular expressions as POSIX has them: its \u escapes are the control characters
 * in a set. */
static void posix_pattern(const char *pattern, char *out, size_t len)
{
	static const struct {
		const char *from, *to;
	} sets[] = {
		{ "[^\\u0000-\\u001f\\u007f-\\u009f]", "[^[:cntrl:]]" },
		{ "[^\\u0000]", "(.|\n)" },
	};
	size_t n = 0;

	while (*pattern != '\0') {
		bool hit = false;

		for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]) && !hit; i++) {
			size_t from = strlen(sets[i].from);

			if (strncmp(pattern, sets[i].from, from) != 0)
				continue;
			n += (size_t)snprintf(out + n, len - n, "%s", sets[i].to);
			pattern += from;
			hit = true;
		}
		if (!hit)
			out[n++] = *pattern++;
		cr_assert_lt(n, len - 1);
	}
	out[n] = '\0';
}

static bool matches(const char *pattern, const char *text)
{
	char posix[1024];
	regex_t re;
	bool hit;

	posix_pattern(pattern, posix, sizeof(posix));
	cr_assert_eq(regcomp(&re, posix, REG_EXTENDED | REG_NOSUB), 0, "%s", posix);
	hit = regexec(&re, text, 0, NULL, 0) == 0;
	regfree(&re);
	return hit;
}

static bool is_type(const char *type, const json_t *value)
{
	if (strcmp(type, "object") == 0)
		return json_is_object(value);
	if (strcmp(type, "array") == 0)
		return json_is_array(value);
	if (strcmp(type, "string") == 0)
		return json_is_string(value);
	if (strcmp(type, "integer") == 0)
		return json_is_integer(value);
	cr_assert_str_eq(type, "boolean");
	return json_is_boolean(value);
}

static bool one_of_values(json_t *list, json_t *value)
{
	json_t *each;
	size_t i;

	json_array_foreach(list, i, each) {
		if (json_equal(each, value))
			return true;
	}
	return false;
}

static size_t count_accepting(json_t *list, json_t *value)
{
	size_t num = 0, i;
	json_t *each;

	json_array_foreach(list, i, each)
		num += accepts(each, value) ? 1 : 0;
	return num;
}

static bool all_items(json_t *items, json_t *value)
{
	json_t *each;
	size_t i;

	json_array_foreach(value, i, each) {
		if (!accepts(items, each))
			return false;
	}
	return true;
}

static bool unique(const json_t *value)
{
	for (size_t i = 0; i < json_array_size(value); i++) {
		for (size_t j = 0; j < i; j++) {
			if (json_equal(json_array_get(value, i), json_array_get(value, j)))
				return false;
		}
	}
	return true;
}

static bool accepts_members(json_t *schema, json_t *value)
{
	json_t *properties = json_object_get(schema, "properties"), *member, *other;
	const char *name, *pattern;

	json_object_foreach(value, name, member) {
		json_t *names = json_object_get(schema, "propertyNames"), *text = json_string(name);
		bool fits = names == NULL || accepts(names, text), known = false;

		json_decref(text);
		if ((other = json_object_get(properties, name)) != NULL) {
			known = true;
			fits = fits && accepts(other, member);
		}
		json_object_foreach(json_object_get(schema, "patternProperties"), pattern, other) {
			if (!matches(pattern, name))
				continue;
			known = true;
			fits = fits && accepts(other, member);
		}
		if (!fits || (!known && json_object_get(schema, "additionalProperties") != NULL))
			return false;
		other = json_object_get(json_object_get(schema, "dependentSchemas"), name);
		if (other != NULL && !accepts(other, value))
			return false;
	}
	return true;
}

static bool has_all(json_t *names, const json_t *value)
{
	json_t *name;
	size_t i;

	json_array_foreach(names, i, name) {
		if (json_is_object(value) &&
		    json_object_get(value, json_string_value(name)) == NULL)
			return false;
	}
	return true;
}

static bool accepts_word(json_t *schema, const char *word, json_t *arg, json_t *value)
{
	json_int_t number = json_integer_value(arg);

	if (strcmp(word, "type") == 0)
		return is_type(json_string_value(arg), value);
	if (strcmp(word, "const") == 0)
		return json_equal(arg, value) != 0;
	if (strcmp(word, "enum") == 0)
		return one_of_values(arg, value);
	if (strcmp(word, "pattern") == 0)
		return !json_is_string(value) ||
		       matches(json_string_value(arg), json_string_value(value));
	if (strcmp(word, "maxLength") == 0)
		return (json_int_t)json_string_length(value) <= number;
	if (strcmp(word, "minimum") == 0)
		return !json_is_integer(value) || json_integer_value(value) >= number;
	if (strcmp(word, "maximum") == 0)
		return !json_is_integer(value) || json_integer_value(value) <= number;
	if (strcmp(word, "items") == 0)
		return all_items(arg, value);
	if (strcmp(word, "minItems") == 0)
		return !json_is_array(value) || (json_int_t)json_array_size(value) >= number;
	if (strcmp(word, "maxItems") == 0)
		return (json_int_t)json_array_size(value) <= number;
	if (strcmp(word, "uniqueItems") == 0)
		return unique(value);
	if (strcmp(word, "required") == 0)
		return has_all(arg, value);
	if (strcmp(word, "anyOf") == 0)
		return count_accepting(arg, value) > 0;
	if (strcmp(word, "oneOf") == 0)
		return count_accepting(arg, value) == 1;
	if (strcmp(word, "allOf") == 0)
		return count_accepting(arg, value) == json_array_size(arg);
	if (strcmp(word, "not") == 0)
		return !accepts(arg, value);
	if (strcmp(word, "if") == 0)
		return !accepts(arg, value) || accepts(json_object_get(schema, "then"), value);
	return true;
}

static bool accepts(json_t *schema, json_t *value)
{
	static const char *const known[] = {
		"type",
		"const",
		"enum",
		"pattern",
		"maxLength",
		"minimum",
		"maximum",
		"items",
		"minItems",
		"maxItems",
		"required",
		"uniqueItems",
		"anyOf",
		"oneOf",
		"allOf",
		"not",
		"if",
		"then",
		"properties",
		"patternProperties",
		"default",
		"description",
		"$schema",
		"dependentSchemas",
		"propertyNames",
		"additionalProperties",
	};
	const char *word;
	json_t *arg;

	json_object_foreach(schema, word, arg) {
		bool is_known = false;

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			is_known = is_known || strcmp(word, known[i]) == 0;
		cr_assert(is_known, "%s", word);
		if (!accepts_word(schema, word, arg, value))
			return false;
	}
	return accepts_members(schema, value);
}

static json_t *parsed(const char *text)
{
	json_error_t error;
	json_t *json = json_loads(text, 0, &error);

	cr_assert_not_null(json, "%s: %s", error.text, text);
	return json;
}

static bool schema_takes(const char *text)
{
	char *schema_text = conf_schema();
	json_t *schema, *value = parsed(text);
	bool taken;

	cr_assert_not_null(schema_text);
	schema = parsed(schema_text);
	taken = accepts(schema, value);
	json_decref(value);
	json_decref(schema);
	free(schema_text);
	return taken;
}

Test(schema, accepts_the_examples)
{
	static const char *const files[] = { "conf/examples/minimal.json", "conf/examples/tcp.json",
					     "conf/examples/sidecar.json",
					     "conf/examples/http.json" };

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char *text = given_file(files[i]);

		cr_expect(schema_takes(text), "%s", files[i]);
		free(text);
	}
}

#define LISTENER(json) "{\"listeners\":[{\"address\":\":1\"," json "}]," GIVEN_POOLS "}"
#define ROUTE(json) LISTENER("\"routes\":[{" json "}]")
#define POOL(json) \
	"{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":[\"127.0.0.1:8080\"]," json "}}}"

Test(schema, accepts_what_the_parser_does)
{
	static const char *const right[] = {
		LISTENER("\"pool\":\"web\",\"mode\":\"tcp\""),
		LISTENER("\"pool\":\"web\",\"mode\":\"${NO:-http}\",\"http\":{}"),
		LISTENER("\"pool\":\"web\",\"http\":{\"max_body_size\":\"${NO:-1MiB}\"}"),
		LISTENER("\"pool\":\"web\",\"trusted_proxies\":[]"),
		LISTENER("\"pool\":\"web\",\"http\":{\"versions\":[1.1,2]}"),
		LISTENER("\"pool\":\"web\",\"http\":{\"versions\":[2]}"),
		LISTENER("\"pool\":\"web\",\"http\":{\"max_concurrent_streams\":10000}"),
		POOL("\"protocol\":\"http/2\""),
		POOL("\"protocol\":\"auto\",\"tls\":{}"),
		ROUTE("\"redirect\":\"https\""),
		ROUTE("\"redirect\":{\"location\":\"/a\",\"status\":303}"),
		ROUTE("\"respond\":{\"status\":200,\"body\":\"a\\nb\"}"),
		ROUTE("\"pool\":\"web\",\"host\":\"*.a\",\"methods\":\"GET\""),
		ROUTE("\"pool\":\"web\",\"headers\":{\"$comment\":\"c\",\"a\":\"\",\"b\":{\"present\":"
		      "true}}"),
		ROUTE("\"pool\":\"web\",\"path\":\"/a\",\"strip_prefix\":\"/a\""),
		ROUTE("\"pool\":\"web\",\"request_headers\":{\"set\":{\"a\":\"\xc3\xa9 b\"}}"),
	};

	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		cr_expect(schema_takes(right[i]), "%s", right[i]);
		conf_free(given_parse(right[i]));
	}
}

Test(schema, refuses_what_the_parser_does)
{
	static const char *const wrong[] = {
		"{}",
		LISTENER("\"mode\":\"tcp\""),
		LISTENER("\"pool\":\"web\",\"routes\":[{\"pool\":\"web\"}]"),
		LISTENER("\"pool\":\"web\",\"mode\":\"tcp\",\"http\":{}"),
		LISTENER("\"mode\":\"tcp\",\"routes\":[{\"pool\":\"web\"}]"),
		LISTENER("\"pool\":\"web\",\"mode\":\"tcp\",\"trusted_proxies\":[\"::1\"]"),
		LISTENER("\"routes\":[]"),
		LISTENER("\"pool\":\"web\",\"http\":{\"max_header_size\":\"1KB\"}"),
		LISTENER("\"pool\":\"web\",\"http\":{\"max_headers\":1001}"),
		LISTENER("\"pool\":\"web\",\"http\":{\"forwarded\":\"all\"}"),
		LISTENER("\"pool\":\"web\",\"http\":{\"versions\":[3]}"),
		LISTENER("\"pool\":\"web\",\"http\":{\"versions\":[2,1.1,2]}"),
		LISTENER("\"pool\":\"web\",\"http\":{\"versions\":[]}"),
		LISTENER("\"pool\":\"web\",\"http\":{\"versions\":2}"),
		LISTENER("\"pool\":\"web\",\"http\":{\"max_concurrent_streams\":0}"),
		LISTENER("\"pool\":\"web\",\"mode\":\"tcp\",\"http\":{\"versions\":[2]}"),
		POOL("\"protocol\":\"h2\""),
		POOL("\"protocol\":true"),
		LISTENER("\"pool\":\"web\",\"trusted_proxies\":\"proxy\""),
		ROUTE("\"path\":\"/\""),
		ROUTE("\"pool\":\"web\",\"redirect\":\"https\""),
		ROUTE("\"pool\":\"web\",\"path\":\"/\",\"path_prefix\":\"/\""),
		ROUTE("\"pool\":\"web\",\"path\":\"a\""),
		ROUTE("\"pool\":\"web\",\"host\":\"a:1\""),
		ROUTE("\"pool\":\"web\",\"host\":[\"a\",\"a\"]"),
		ROUTE("\"pool\":\"web\",\"methods\":[\"get\"]"),
		ROUTE("\"pool\":\"web\",\"headers\":{\"a b\":\"\"}"),
		ROUTE("\"pool\":\"web\",\"headers\":{\"a\":{}}"),
		ROUTE("\"pool\":\"web\",\"headers\":{\"a\":{\"present\":false}}"),
		ROUTE("\"pool\":\"web\",\"strip_prefix\":\"/a\""),
		ROUTE("\"pool\":\"web\",\"request_headers\":{\"set\":{\"a\":{\"value\":\"b\"}}}"),
		ROUTE("\"pool\":\"web\",\"request_headers\":{\"set\":{\"a\":\"b\\nc\"}}"),
		ROUTE("\"pool\":\"web\",\"request_headers\":{\"remove\":[]}"),
		ROUTE("\"redirect\":\"a\""),
		ROUTE("\"redirect\":\"/\",\"request_headers\":{}"),
		ROUTE("\"redirect\":{\"location\":\"/\",\"status\":304}"),
		ROUTE("\"redirect\":{\"location\":\"https\",\"port\":0}"),
		ROUTE("\"respond\":{}"),
		ROUTE("\"respond\":{\"status\":199}"),
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		cr_expect_not(schema_takes(wrong[i]), "%s", wrong[i]);
		cr_expect_gt(given_errors(wrong[i]), 0);
	}
}
