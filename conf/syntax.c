#include "conf/syntax.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/reader.h"
#include "conf/values.h"

/* jansson's own bound on nesting is the same or lower; text that it refused is never scanned. */
enum { SYNTAX_MAX_DEPTH = 4096 };

/* ---- messages */

static void syntax_error(const char *file, size_t line, size_t column, struct problems *why,
			 const char *what, const char *hint)
{
	char name[256], where[sizeof(name) + 48];

	reader_where(file, "", name, sizeof(name));
	(void)snprintf(where, sizeof(where), "%s:%zu:%zu", name, line, column);
	problems_add(why, PROBLEM_ERROR, where, "%s%s", what, hint);
}

/* What commonly leads to a fault that was noticed before `at`. */
static const char *syntax_hint(struct span text, size_t at)
{
	static const char blank[] = " \t\r\n";
	size_t before;

	if (at == 0 || at > text.n)
		return "";
	before = at - 1;
	while (before > 0 && memchr(blank, text.p[before - 1], sizeof(blank) - 1) != NULL)
		before--;
	switch (text.p[at - 1]) {
	case '}':
	case ']':
		if (before > 0 && text.p[before - 1] == ',')
			return ": remove the comma before it";
		return "";
	case '"':
		return ": is a comma or a colon missing before it?";
	case '/':
	case '#':
		return ": JSON has no comments; write them as \"$comment\": \"text\"";
	case '\'':
		return ": strings need double quotes";
	default:
		return "";
	}
}

/* jansson reports a string that it had no memory for as a bad token. */
static bool syntax_was_memory(const json_error_t *e, struct span text)
{
	size_t at = (size_t)(e->position < 0 ? 0 : e->position);

	if (e->text[0] == '\0' || json_error_code(e) == json_error_out_of_memory)
		return true;
	return json_error_code(e) == json_error_invalid_syntax && at > 0 && at <= text.n &&
	       text.p[at - 1] == '"' &&
	       (strncmp(e->text, "invalid token", 13) == 0 ||
		strncmp(e->text, "string or '}' expected", 22) == 0);
}

static void syntax_explain(const json_error_t *e, struct span text, const char *file,
			   struct problems *why)
{
	size_t line = e->line > 0 ? (size_t)e->line : 1;
	size_t column = e->column > 0 ? (size_t)e->column : 1;
	const char *what = e->text, *hint = "";

	if (syntax_was_memory(e, text)) {
		problems_add(why, PROBLEM_ERROR, file, "out of memory");
		return;
	}
	switch (json_error_code(e)) {
	case json_error_premature_end_of_input:
		what = "the text ends too early: a quote or bracket is not closed";
		break;
	case json_error_end_of_input_expected:
		what = "something follows the end of the configuration: remove it";
		break;
	case json_error_invalid_utf8:
		what = "not UTF-8: save the file as UTF-8";
		break;
	case json_error_null_character:
	case json_error_null_byte_in_key:
		what = "\\u0000 is not allowed: remove it";
		break;
	case json_error_numeric_overflow:
		what = "the number is too large";
		break;
	case json_error_stack_overflow:
		what = "nested too deeply";
		break;
	case json_error_invalid_syntax:
		hint = syntax_hint(text, (size_t)(e->position < 0 ? 0 : e->position));
		break;
	default:
		break;
	}
	syntax_error(file, line, column, why, what, hint);
}

/* ---- keys written twice */

struct syntax_key {
	size_t object; /* number of the object it is in */
	size_t at;     /* offset of its quote */
	struct span raw;
};

struct syntax_scan {
	struct span text;
	struct syntax_key *keys; /* NULL: only count */
	size_t num_keys;
	size_t num_objects;
	size_t depth;
	size_t open[SYNTAX_MAX_DEPTH]; /* number of the object, 0: an array */
	bool key_next;
};

/* Passes the string at `i`, the offset of its opening quote; returns that of the closing one. */
static size_t syntax_string(struct span text, size_t i)
{
	for (i++; i < text.n && text.p[i] != '"'; i++) {
		if (text.p[i] == '\\')
			i++;
	}
	return i;
}

static bool syntax_open(struct syntax_scan *s, bool is_object)
{
	if (s->depth == SYNTAX_MAX_DEPTH)
		return false;
	s->open[s->depth++] = is_object ? ++s->num_objects : 0;
	s->key_next = is_object;
	return true;
}

/* Collects the keys of well-formed text. */
static void syntax_keys(struct syntax_scan *s)
{
	size_t end;

	s->num_keys = s->num_objects = s->depth = 0;
	s->key_next = false;
	for (size_t i = 0; i < s->text.n; i++) {
		char c = s->text.p[i];

		if (c == '{' || c == '[') {
			if (!syntax_open(s, c == '{'))
				return;
		} else if (c == '}' || c == ']') {
			s->depth -= s->depth > 0 ? 1 : 0;
			s->key_next = false;
		} else if (c == ',') {
			s->key_next = s->depth > 0 && s->open[s->depth - 1] != 0;
		} else if (c == '"') {
			if ((end = syntax_string(s->text, i)) >= s->text.n)
				return;
			if (s->key_next && s->keys != NULL)
				s->keys[s->num_keys] = (struct syntax_key){
					.object = s->open[s->depth - 1],
					.at = i,
					.raw = span_of(s->text.p + i + 1, end - i - 1),
				};
			s->num_keys += s->key_next ? 1 : 0;
			s->key_next = false;
			i = end;
		}
	}
}

static int syntax_key_order(const void *a, const void *b)
{
	const struct syntax_key *x = a, *y = b;
	size_t n = x->raw.n < y->raw.n ? x->raw.n : y->raw.n;
	int order;

	if (x->object != y->object)
		return x->object < y->object ? -1 : 1;
	if ((order = memcmp(x->raw.p, y->raw.p, n)) != 0)
		return order;
	if (x->raw.n != y->raw.n)
		return x->raw.n < y->raw.n ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

static void syntax_place(struct span text, size_t at, size_t *line, size_t *column)
{
	*line = *column = 1;
	for (size_t i = 0; i < at; i++) {
		if (text.p[i] == '\n') {
			++*line;
			*column = 1;
		} else if (((unsigned char)text.p[i] & 0xc0) != 0x80) {
			++*column;
		}
	}
}

static void syntax_twice(struct span text, const struct syntax_key *first,
			 const struct syntax_key *again, const char *file, struct problems *why)
{
	size_t line, column, first_line;
	char quote[VALUE_QUOTE], what[VALUE_QUOTE + 96];

	syntax_place(text, first->at, &first_line, &column);
	syntax_place(text, again->at, &line, &column);
	(void)snprintf(what, sizeof(what), "duplicate key \"%s\": it is on line %zu already; ",
		       value_quote(again->raw, quote), first_line);
	syntax_error(file, line, column, why, what, "remove one");
}

/* Replaces what is written with escapes by what it says, kept in `decoded`. */
static bool syntax_unescape(struct syntax_scan *s, json_t *decoded)
{
	for (size_t i = 0; i < s->num_keys; i++) {
		struct span *raw = &s->keys[i].raw;
		json_t *one;

		if (memchr(raw->p, '\\', raw->n) == NULL)
			continue;
		if ((one = json_loadb(raw->p - 1, raw->n + 2, JSON_DECODE_ANY, NULL)) == NULL ||
		    json_array_append_new(decoded, one) != 0)
			return false;
		*raw = span_of(json_string_value(one), json_string_length(one));
	}
	return true;
}

/* Adds an error for each key that its object has before. True if any was. */
static bool syntax_duplicates(struct span text, const char *file, struct problems *why)
{
	struct syntax_scan *s = calloc(1, sizeof(*s));
	json_t *decoded = json_array();
	bool found = false;
	size_t first = 0;

	if (s == NULL || decoded == NULL)
		goto out;
	s->text = text;
	syntax_keys(s);
	if ((s->keys = calloc(s->num_keys + 1, sizeof(*s->keys))) == NULL)
		goto out;
	syntax_keys(s);
	if (!syntax_unescape(s, decoded))
		goto out;
	qsort(s->keys, s->num_keys, sizeof(*s->keys), syntax_key_order);
	for (size_t i = 1; i < s->num_keys; i++) {
		if (s->keys[i].object != s->keys[first].object ||
		    !span_eq(s->keys[i].raw, s->keys[first].raw)) {
			first = i;
			continue;
		}
		found = true;
		if (why->num_errors < PROBLEMS_MAX)
			syntax_twice(text, &s->keys[first], &s->keys[i], file, why);
	}
out:
	json_decref(decoded);
	if (s != NULL)
		free(s->keys);
	free(s);
	return found;
}

json_t *syntax_load(struct span text, const char *file, struct problems *why)
{
	json_error_t e = { .text = "" };
	json_t *json;

	if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0) {
		syntax_error(file, 1, 1, why,
			     "begins with a byte order mark: ", "save the file without it");
		return NULL;
	}
	if (text.n == 0) {
		problems_add(why, PROBLEM_ERROR, file, "is empty: expected a JSON object");
		return NULL;
	}
	if (text.n > CONF_MAX_TEXT) {
		problems_add(why, PROBLEM_ERROR, file, "is longer than the %d MiB allowed",
			     CONF_MAX_TEXT >> 20);
		return NULL;
	}
	json = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	if (json != NULL)
		return json;
	if (json_error_code(&e) == json_error_duplicate_key) {
		e = (json_error_t){ .text = "" };
		json = json_loadb(text.p, text.n, JSON_DECODE_ANY, &e);
		if (json != NULL && !syntax_duplicates(text, file, why)) {
			/* There is one, so memory was short for finding it. */
			problems_add(why, PROBLEM_ERROR, file, "out of memory");
			json_decref(json);
			return NULL;
		}
	}
	if (json == NULL)
		syntax_explain(&e, text, file, why);
	return json;
}
