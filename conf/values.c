#include "conf/values.h"

#include <stdio.h>
#include <string.h>

#include "conf/must.h"

struct value_unit {
	const char *name;
	int64_t each;
};

/* The order is that of value_text: the largest first. */
static const struct value_unit value_times[] = {
	{ "d", VALUE_DAY },    { "h", VALUE_HOUR }, { "m", VALUE_MINUTE },
	{ "s", VALUE_SECOND }, { "ms", VALUE_MS },  { NULL, 0 },
};
static const struct value_unit value_sizes[] = {
	{ "GiB", INT64_C(1) << 30 },
	{ "MiB", INT64_C(1) << 20 },
	{ "KiB", INT64_C(1) << 10 },
	{ "", 1 },
	{ NULL, 0 },
};

static bool value_number(struct span text, const struct value_unit *units, int64_t *out)
{
	int64_t number = 0;
	size_t i = 0;

	for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++) {
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, text.p[i] - '0', &number))
			return false;
	}
	if (i == 0)
		return false;
	for (const struct value_unit *u = units; u->name != NULL; u++) {
		if (!span_eq(span_of(text.p + i, text.n - i), span_str(u->name)))
			continue;
		if (__builtin_mul_overflow(number, u->each, &number))
			return false;
		*out = number;
		return true;
	}
	return false;
}

static void value_text(int64_t number, const struct value_unit *units, char *out, size_t len)
{
	while (units[1].name != NULL && number % units->each != 0)
		units++;
	(void)snprintf(out, len, "%lld%s", (long long)(number / units->each), units->name);
}

bool value_duration(struct span text, int64_t *ns)
{
	return value_number(text, value_times, ns);
}

void value_duration_text(int64_t ns, char *out, size_t len)
{
	if (ns == 0)
		(void)snprintf(out, len, "0s");
	else
		value_text(ns, value_times, out, len);
}

bool value_size(struct span text, int64_t *bytes)
{
	return value_number(text, value_sizes, bytes);
}

void value_size_text(int64_t bytes, char *out, size_t len)
{
	if (bytes == 0)
		(void)snprintf(out, len, "0");
	else
		value_text(bytes, value_sizes, out, len);
}

/* Length of the UTF-8 sequence at `p`, of at most `n` bytes; 0: malformed (RFC 3629 4). */
static size_t value_sequence(const unsigned char *p, size_t n)
{
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	unsigned char low = 0x80, high = 0xbf;

	if (len == 0 || len > n || p[0] > 0xf4)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	for (size_t i = 1; i < len; i++) {
		if (p[i] < low || p[i] > high)
			return 0;
		low = 0x80;
		high = 0xbf;
	}
	return len;
}

bool value_utf8(struct span text)
{
	const unsigned char *p = (const unsigned char *)text.p;
	size_t len;

	for (size_t i = 0; i < text.n; i += len) {
		if ((len = value_sequence(p + i, text.n - i)) == 0)
			return false;
	}
	return true;
}

bool value_printable(struct span text)
{
	const unsigned char *p = (const unsigned char *)text.p;

	for (size_t i = 0; i < text.n; i++) {
		if (p[i] < 0x20 || p[i] == 0x7f)
			return false;
		if (p[i] == 0xc2 && i + 1 < text.n && p[i + 1] < 0xa0)
			return false;
	}
	return true;
}

const char *value_quote(struct span text, char out[VALUE_QUOTE])
{
	size_t n = text.n;

	if (n < VALUE_QUOTE) {
		memcpy(out, n == 0 ? "" : text.p, n);
		out[n] = '\0';
		return out;
	}
	n = VALUE_QUOTE - 4;
	while (n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80)
		n--;
	memcpy(out, text.p, n);
	memcpy(out + n, "...", 4);
	return out;
}

static bool value_is_name(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c != '_' && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !(i > 0 && c >= '0' && c <= '9'))
			return false;
	}
	return s.n > 0;
}

/* Reads the variable that starts at text.p[*at] (a "${") and moves `*at` past it. */
static bool value_variable(struct span text, size_t *at, const char *(*env)(const char *name),
			   struct span *value, char *why, size_t why_len)
{
	struct span inner, name, fallback = { NULL, 0 };
	const char *end, *mark, *got;
	char copy[256], quote[VALUE_QUOTE];

	inner = span_of(text.p + *at + 2, text.n - *at - 2);
	if ((end = memchr(inner.p, '}', inner.n)) == NULL) {
		(void)snprintf(why, why_len,
			       "\"${\" without \"}\": close it, or write \"$${\" for the "
			       "characters themselves");
		return false;
	}
	inner.n = (size_t)(end - inner.p);
	*at += inner.n + 3;
	name = inner;
	if ((mark = memmem(inner.p, inner.n, ":-", 2)) != NULL) {
		name.n = (size_t)(mark - inner.p);
		fallback = span_of(mark + 2, (size_t)(end - mark) - 2);
	}
	if (!value_is_name(name) || name.n >= sizeof(copy)) {
		(void)snprintf(why, why_len,
			       "\"${%s}\" names no variable: expected \"${NAME}\" or "
			       "\"${NAME:-default}\"",
			       value_quote(inner, quote));
		return false;
	}
	memcpy(copy, name.p, name.n);
	copy[name.n] = '\0';
	got = env(copy);
	if (got == NULL && mark == NULL) {
		(void)snprintf(why, why_len,
			       "environment variable \"%s\" is not set: set it, or give a default "
			       "as in \"${NAME:-default}\"",
			       value_quote(name, quote));
		return false;
	}
	*value = mark != NULL && (got == NULL || got[0] == '\0') ? fallback : span_str(got);
	return true;
}

bool value_expand(struct span text, const char *(*env)(const char *name), char *out, size_t *len,
		  char *why, size_t why_len)
{
	size_t n = 0, i = 0;

	while (i < text.n) {
		struct span piece = span_of(text.p + i, 1);

		if (env != NULL && text.n - i >= 3 && memcmp(text.p + i, "$${", 3) == 0) {
			piece = span_str("${");
			i += 3;
		} else if (env != NULL && text.n - i >= 2 && memcmp(text.p + i, "${", 2) == 0) {
			if (!value_variable(text, &i, env, &piece, why, why_len))
				return false;
		} else {
			i++;
		}
		if (piece.n > VALUE_MAX - 1 - n) {
			(void)snprintf(why, why_len, "is longer than the %d bytes allowed",
				       VALUE_MAX - 1);
			return false;
		}
		if (piece.n > 0)
			memcpy(out + n, piece.p, piece.n);
		n += piece.n;
	}
	out[n] = '\0';
	*len = n;
	return true;
}

/* Appends the segments of `path` to the absolute path of `*n` bytes in `out`. */
static bool value_segments(struct span path, char *out, size_t *n)
{
	size_t start, len;

	for (size_t i = 0; i < path.n; i = start + len + 1) {
		const char *slash = memchr(path.p + i, '/', path.n - i);

		start = i;
		len = slash == NULL ? path.n - i : (size_t)(slash - (path.p + i));
		if (len == 0 || (len == 1 && path.p[start] == '.'))
			continue;
		if (len + 1 > VALUE_MAX - 1 - *n)
			return false;
		out[*n] = '/';
		memcpy(out + *n + 1, path.p + start, len);
		*n += len + 1;
	}
	return true;
}

bool value_path(const char *folder, struct span path, char *out)
{
	size_t n = 0;

	MUST(folder[0] == '/');
	if (path.n == 0 || path.p[0] != '/') {
		if (!value_segments(span_str(folder), out, &n))
			return false;
	}
	if (!value_segments(path, out, &n))
		return false;
	if (n == 0)
		out[n++] = '/';
	out[n] = '\0';
	return true;
}
