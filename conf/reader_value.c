/* One value, of any type but an object. */
#include "conf/reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/address.h"
#include "conf/must.h"
#include "conf/network.h"
#include "conf/suggest.h"
#include "conf/values.h"

enum { READER_EXPECTS = 384 };

static void store_unsigned(void *to, size_t size, uint64_t value)
{
	uint32_t u32 = (uint32_t)value;
	uint16_t u16 = (uint16_t)value;

	MUST(size == sizeof(value) || size == sizeof(u32) || size == sizeof(u16));
	if (size == sizeof(value))
		memcpy(to, &value, size);
	else if (size == sizeof(u32))
		memcpy(to, &u32, size);
	else
		memcpy(to, &u16, size);
}

/* What `json` is, for "expected ..., got ...". */
const char *reader_describe(const json_t *json, char *out, size_t len)
{
	char quote[VALUE_QUOTE];

	switch (json_typeof(json)) {
	case JSON_STRING:
		(void)snprintf(
			out, len, "string \"%s\"",
			value_quote(span_of(json_string_value(json), json_string_length(json)),
				    quote));
		break;
	case JSON_INTEGER:
		(void)snprintf(out, len, "number %" JSON_INTEGER_FORMAT, json_integer_value(json));
		break;
	case JSON_REAL:
		(void)snprintf(out, len, "number %.15g", json_real_value(json));
		break;
	case JSON_OBJECT:
		(void)snprintf(out, len, "an object");
		break;
	case JSON_ARRAY:
		(void)snprintf(out, len, "an array");
		break;
	case JSON_TRUE:
		(void)snprintf(out, len, "true");
		break;
	case JSON_FALSE:
		(void)snprintf(out, len, "false");
		break;
	case JSON_NULL:
		(void)snprintf(out, len, "null");
		break;
	}
	return out;
}

void reader_wrong_type(struct reader *r, const struct key *k, bool one, const json_t *json)
{
	char expects[READER_EXPECTS], got[VALUE_QUOTE + 16];

	reader_error(r, "expected %s, got %s", key_expects(k, one, expects, sizeof(expects)),
		     reader_describe(json, got, sizeof(got)));
}

/* ---- strings */

static bool set_string(struct reader *r, json_t *json, struct span now)
{
	if (span_eq(now, span_of(json_string_value(json), json_string_length(json))))
		return true;
	if (json_string_setn(json, now.p, now.n) == 0)
		return true;
	r->failed = true;
	return false;
}

/* Numbers have an error of their own for an empty text. */
static bool may_be_empty(enum key_type type)
{
	return key_is_number(type) || type == KEY_FIELD_VALUE || type == KEY_BODY;
}

/* The text of `json` with variables expanded, in `out` (VALUE_MAX bytes). */
static bool read_text(struct reader *r, const struct key *k, json_t *json, char *out, size_t *len)
{
	struct span given;
	char why[256];

	if (!json_is_string(json)) {
		reader_wrong_type(r, k, true, json);
		return false;
	}
	given = span_of(json_string_value(json), json_string_length(json));
	if (!value_expand(given, r->from->getenv, out, len, why, sizeof(why))) {
		reader_error(r, "%s", why);
		return false;
	}
	if (!value_utf8(span_of(out, *len))) {
		reader_error(r, "a variable in it does not hold UTF-8 text: set it to UTF-8 text");
		return false;
	}
	if (*len == 0 && !may_be_empty(k->type)) {
		char expects[READER_EXPECTS];

		reader_error(r, "is empty: expected %s",
			     key_expects(k, true, expects, sizeof(expects)));
		return false;
	}
	if (*len > key_max_text(k)) {
		reader_error(r, "is %zu bytes long: at most %zu are allowed", *len,
			     key_max_text(k));
		return false;
	}
	if (k->type == KEY_BODY ? memchr(out, '\0', *len) != NULL
				: !value_printable(span_of(out, *len))) {
		reader_error(r, "contains a control character: remove it");
		return false;
	}
	return true;
}

static bool only_of(const char *s, const char *allowed)
{
	return s[strspn(s, allowed)] == '\0';
}

#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGIT "0123456789"

static bool shape_token(struct reader *r, const struct key *k, const char *s, const char *allowed)
{
	char expects[READER_EXPECTS], quote[VALUE_QUOTE];

	/* A login that begins with '-' would look like an option to every tool. */
	if (only_of(s, allowed) && (k->type != KEY_LOGIN || s[0] != '-'))
		return true;
	reader_error(r, "\"%s\" has a character that does not belong there: expected %s",
		     value_quote(span_str(s), quote),
		     key_expects(k, true, expects, sizeof(expects)));
	return false;
}

/* Whether `s` is spelled as its type wants; makes it canonical, in place of `s`. */
static bool shape_string(struct reader *r, const struct key *k, char s[VALUE_MAX])
{
	char out[VALUE_MAX];

	switch (k->type) {
	case KEY_OUTPUT:
		if (strcmp(s, "stderr") == 0 || strcmp(s, "stdout") == 0)
			return true;
		__attribute__((fallthrough));
	case KEY_PATH:
		if (!value_path(r->from->folder, span_str(s), out)) {
			reader_error(r, "as an absolute path this is longer than %d bytes",
				     VALUE_MAX - 1);
			return false;
		}
		memcpy(s, out, strlen(out) + 1);
		return true;
	case KEY_HOST:
		if (!address_host(span_str(s), out)) {
			reader_error(r, "\"%s\" is neither a host name nor an IP address",
				     value_quote(span_str(s), out));
			return false;
		}
		memcpy(s, out, strlen(out) + 1);
		return true;
	case KEY_LOGIN:
		return shape_token(r, k, s, UPPER LOWER DIGIT "_.-");
	case KEY_CIPHER:
		return shape_token(r, k, s, UPPER DIGIT "-");
	case KEY_GROUP:
		return shape_token(r, k, s, UPPER LOWER DIGIT "-");
	default:
		return reader_web(r, k->type, s);
	}
}

static const char *read_string(struct reader *r, const struct key *k, json_t *json)
{
	char text[VALUE_MAX];
	size_t len;

	if (!read_text(r, k, json, text, &len) || !shape_string(r, k, text) ||
	    !set_string(r, json, span_str(text)))
		return NULL;
	return reader_copy(r, span_str(text));
}

static void read_choice(struct reader *r, const struct key *k, json_t *json, void *to)
{
	char text[VALUE_MAX], expects[READER_EXPECTS], quote[VALUE_QUOTE];
	struct suggest near;
	size_t len;

	if (!read_text(r, k, json, text, &len))
		return;
	suggest_init(&near, span_of(text, len));
	for (const struct key_choice *c = k->choices; c->name != NULL; c++) {
		if (strcmp(text, c->name) == 0) {
			(void)set_string(r, json, span_of(text, len));
			store_unsigned(to, k->at.size, c->value);
			return;
		}
		suggest_offer(&near, c->name);
	}
	reader_error(r, "unknown value \"%s\"%s%s%s: expected %s",
		     value_quote(span_of(text, len), quote),
		     near.best == NULL ? "" : ", did you mean \"",
		     near.best == NULL ? "" : near.best, near.best == NULL ? "" : "\"?",
		     key_expects(k, true, expects, sizeof(expects)));
}

/* A number with a unit. */
static void read_measure(struct reader *r, const struct key *k, json_t *json, void *to)
{
	bool time = k->type == KEY_DURATION;
	void (*say)(int64_t, char *, size_t) = time ? value_duration_text : value_size_text;
	char text[VALUE_MAX], quote[VALUE_QUOTE], low[32], high[32], expects[READER_EXPECTS];
	size_t len;
	int64_t number;

	if (!read_text(r, k, json, text, &len))
		return;
	if (!(time ? value_duration : value_size)(span_of(text, len), &number)) {
		reader_error(r, "\"%s\" is not %s; units are %s",
			     value_quote(span_of(text, len), quote),
			     key_expects(k, true, expects, sizeof(expects)),
			     time ? "ms, s, m, h, d" : "KiB, MiB, GiB or none for bytes");
		return;
	}
	if (number < k->min || number > k->max) {
		say(k->min, low, sizeof(low));
		say(k->max, high, sizeof(high));
		reader_error(r, "\"%s\" is out of range: expected \"%s\" to \"%s\"",
			     value_quote(span_of(text, len), quote), low, high);
		return;
	}
	if (set_string(r, json, span_of(text, len)))
		store_unsigned(to, k->at.size, (uint64_t)number);
}

static void read_network(struct reader *r, const struct key *k, json_t *json, void *to)
{
	char text[VALUE_MAX], canonical[NETWORK_MAX_TEXT], why[256];
	struct conf_network n;
	size_t len;

	if (!read_text(r, k, json, text, &len))
		return;
	if (!network_read(span_of(text, len), &n, why, sizeof(why))) {
		reader_error(r, "%s", why);
		return;
	}
	network_text(&n, canonical);
	if (set_string(r, json, span_str(canonical)))
		memcpy(to, &n, sizeof(n));
}

static void read_address(struct reader *r, const struct key *k, json_t *json, void *to)
{
	static const char prefix[] = "unix:";
	char text[VALUE_MAX + sizeof(prefix)], path[VALUE_MAX], why[256];
	size_t skip = sizeof(prefix) - 1, len;
	struct address a;
	char *room;

	if (!read_text(r, k, json, text, &len))
		return;
	/* What is not the path of a file is left for address_read to refuse. */
	if (strncmp(text, prefix, skip) == 0 && len > skip && text[skip] != '@' &&
	    text[len - 1] != '/') {
		if (!value_path(r->from->folder, span_str(text + skip), path)) {
			reader_error(r, "as an absolute path this is longer than %d bytes",
				     VALUE_MAX - 1);
			return;
		}
		memcpy(text + skip, path, strlen(path) + 1);
	}
	if (!address_read(span_str(text), k->type == KEY_CONNECT, &a, why, sizeof(why))) {
		reader_error(r, "%s", why);
		return;
	}
	if (!set_string(r, json, span_str(a.text)) ||
	    (room = reader_alloc(r, address_room(&a), 1)) == NULL)
		return;
	address_store(&a, room, to);
}

static void read_pool_name(struct reader *r, const struct key *k, json_t *json, size_t *to)
{
	struct reader_ref *ref;
	const char *name;

	if ((name = read_string(r, k, json)) == NULL ||
	    (ref = reader_alloc(r, 1, sizeof(*ref))) == NULL)
		return;
	*ref = (struct reader_ref){ .next = r->refs, .slot = to, .name = name };
	ref->pointer = reader_copy(r, span_str(r->pointer));
	if (ref->pointer != NULL)
		r->refs = ref;
}

/* ---- one value, of any type but object */

static void read_count(struct reader *r, const struct key *k, const json_t *json, void *to)
{
	json_int_t value = json_integer_value(json);

	if (!json_is_integer(json) || value < k->min || value > k->max)
		reader_wrong_type(r, k, true, json);
	else
		store_unsigned(to, k->at.size, (uint64_t)value);
}

static void read_code(struct reader *r, const struct key *k, const json_t *json, void *to)
{
	char number[32];

	(void)snprintf(number, sizeof(number), "%.15g", json_number_value(json));
	for (const struct key_choice *c = k->choices; c->name != NULL; c++) {
		if (!json_is_number(json) || strcmp(number, c->name) != 0)
			continue;
		store_unsigned(to, k->at.size, c->value);
		return;
	}
	reader_wrong_type(r, k, true, json);
}

static void read_bool(struct reader *r, const struct key *k, const json_t *json, void *to)
{
	bool value = json_is_true(json);

	if (k->type == KEY_BOOL ? json_is_boolean(json) : value)
		memcpy(to, &value, sizeof(value));
	else
		reader_wrong_type(r, k, true, json);
}

void reader_value(struct reader *r, const struct key *k, json_t *json, void *to)
{
	const char *s;

	switch (k->type) {
	case KEY_BOOL:
	case KEY_TRUE:
		read_bool(r, k, json, to);
		break;
	case KEY_COUNT:
		read_count(r, k, json, to);
		break;
	case KEY_DURATION:
	case KEY_SIZE:
		read_measure(r, k, json, to);
		break;
	case KEY_CODE:
		read_code(r, k, json, to);
		break;
	case KEY_NETWORK:
		read_network(r, k, json, to);
		break;
	case KEY_CHOICE:
		read_choice(r, k, json, to);
		break;
	case KEY_LISTEN:
	case KEY_CONNECT:
		read_address(r, k, json, to);
		break;
	case KEY_POOL:
		read_pool_name(r, k, json, to);
		break;
	default:
		MUST(key_is_text(k->type));
		s = read_string(r, k, json);
		memcpy(to, &s, sizeof(s));
		break;
	}
}
