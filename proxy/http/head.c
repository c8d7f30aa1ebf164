#include "proxy/http/head.h"

#include <llhttp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/must.h"

enum {
	HEAD_MAGIC = 0x68656164,
	HEAD_FIELDS = 24,
	HEAD_BLOCK = 2048,
	HEAD_NAMES_MAX = 32,
	AUTHORITY_MAX = 1024
};

struct head_block {
	struct head_block *next;
	char bytes[];
};

#define HEADER(sym, name) { (name), sizeof(name) - 1 },
static const struct span header_names[] = { HEADERS(HEADER) };
#undef HEADER
#define METHOD(sym, name) { (name), sizeof(name) - 1 },
static const struct span method_names[] = { METHODS(METHOD) };
#undef METHOD

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool span_eq_nocase(struct span a, struct span b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	}
	return true;
}

enum header_id header_id_of(struct span name)
{
	char first;

	if (name.n == 0 || name.n > HEAD_NAMES_MAX)
		return HEADER_OTHER;
	first = lower(name.p[0]);
	for (unsigned i = HEADER_OTHER + 1; i < HEADER_IDS; i++) {
		if (header_names[i].n == name.n && header_names[i].p[0] == first &&
		    span_eq_nocase(header_names[i], name))
			return (enum header_id)i;
	}
	return HEADER_OTHER;
}

enum method method_of(struct span name)
{
	for (unsigned i = METHOD_NONE + 1; i < METHOD_OTHER; i++) {
		if (span_eq(method_names[i], name))
			return (enum method)i;
	}
	return METHOD_OTHER;
}

bool method_is_known(struct span name)
{
#define NAME(number, symbol, text) { #text, sizeof(#text) - 1 },
	static const struct span names[] = { HTTP_METHOD_MAP(NAME) };
#undef NAME

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (span_eq(name, names[i]))
			return !span_eq(name, span_str("SOURCE")); /* is another protocol's */
	}
	return false;
}

bool method_is_idempotent(enum method m)
{
	switch (m) {
	case METHOD_GET:
	case METHOD_HEAD:
	case METHOD_PUT:
	case METHOD_DELETE:
	case METHOD_OPTIONS:
	case METHOD_TRACE:
		return true;
	default:
		return false;
	}
}

/* ---- memory: fields lie behind the head, texts in blocks */

static bool grow_text(struct head *h, size_t n)
{
	size_t room = n > HEAD_BLOCK ? n : HEAD_BLOCK, size;
	struct head_block *b;

	if (!size_add(&size, sizeof(*b), room) || (b = malloc(size)) == NULL) {
		h->failed = true;
		return false;
	}
	b->next = h->blocks;
	h->blocks = b;
	h->used = 0;
	h->block_room = room;
	return true;
}

struct head *head_new(size_t text)
{
	struct head *h = malloc(sizeof(*h));

	if (h == NULL)
		return NULL;
	*h = (struct head){ .magic = HEAD_MAGIC, .room = HEAD_FIELDS };
	h->fields = malloc(HEAD_FIELDS * sizeof(struct header));
	if (h->fields == NULL || (text > 0 && !grow_text(h, text))) {
		head_free(h);
		return NULL;
	}
	return h;
}

void head_free(struct head *h)
{
	struct head_block *b;

	if (h == NULL)
		return;
	CHECK(h, HEAD_MAGIC);
	while ((b = h->blocks) != NULL) {
		h->blocks = b->next;
		free(b);
	}
	free(h->fields);
	h->magic = 0;
	free(h);
}

char *head_alloc(struct head *h, size_t n)
{
	char *p;

	CHECK(h, HEAD_MAGIC);
	if ((h->blocks == NULL || h->block_room - h->used < n) && !grow_text(h, n))
		return NULL;
	p = h->blocks->bytes + h->used;
	h->used += n;
	return p;
}

struct span head_copy(struct head *h, struct span s)
{
	char *p;

	if (s.n == 0 || (p = head_alloc(h, s.n)) == NULL)
		return span_of("", 0);
	memcpy(p, s.p, s.n);
	return span_of(p, s.n);
}

struct span head_print(struct head *h, const char *format, ...)
{
	va_list args;
	char *p;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	/* vsnprintf wants room for a NUL, which is not part of it. */
	if (n < 0 || (p = head_alloc(h, (size_t)n + 1)) == NULL) {
		h->failed = true;
		return span_of("", 0);
	}
	va_start(args, format);
	(void)vsnprintf(p, (size_t)n + 1, format, args);
	va_end(args);
	return span_of(p, (size_t)n);
}

/* ---- fields */

static void add(struct head *h, const struct header *f)
{
	CHECK(h, HEAD_MAGIC);
	if (h->num == h->room) {
		size_t size;
		struct header *grown;

		if (!size_mul(&size, (size_t)h->room * 2, sizeof(*f)) ||
		    (grown = realloc(h->fields, size)) == NULL) {
			h->failed = true;
			return;
		}
		h->fields = grown;
		h->room *= 2;
	}
	h->fields[h->num++] = *f;
}

void head_add(struct head *h, struct span name, struct span value)
{
	add(h, &(struct header){ .name = name, .value = value, .id = header_id_of(name) });
}

void head_add_id(struct head *h, enum header_id id, struct span value)
{
	MUST(id > HEADER_OTHER && id < HEADER_IDS);
	add(h, &(struct header){ .name = header_names[id], .value = value, .id = id });
}

void head_set(struct head *h, struct span name, struct span value)
{
	head_remove_name(h, name);
	head_add(h, name, value);
}

const struct header *head_find(const struct head *h, enum header_id id)
{
	CHECK(h, HEAD_MAGIC);
	for (uint32_t i = 0; i < h->num; i++) {
		if (h->fields[i].id == id)
			return &h->fields[i];
	}
	return NULL;
}

const struct header *head_find_name(const struct head *h, struct span name)
{
	CHECK(h, HEAD_MAGIC);
	for (uint32_t i = 0; i < h->num; i++) {
		if (span_eq_nocase(h->fields[i].name, name))
			return &h->fields[i];
	}
	return NULL;
}

void head_remove(struct head *h, enum header_id id)
{
	uint32_t kept = 0;

	CHECK(h, HEAD_MAGIC);
	MUST(id != HEADER_OTHER);
	for (uint32_t i = 0; i < h->num; i++) {
		if (h->fields[i].id != id)
			h->fields[kept++] = h->fields[i];
	}
	h->num = kept;
}

void head_remove_name(struct head *h, struct span name)
{
	uint32_t kept = 0;

	CHECK(h, HEAD_MAGIC);
	for (uint32_t i = 0; i < h->num; i++) {
		if (!span_eq_nocase(h->fields[i].name, name))
			h->fields[kept++] = h->fields[i];
	}
	h->num = kept;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

struct span span_trim(struct span s)
{
	while (s.n > 0 && is_space(s.p[0]))
		s = span_of(s.p + 1, s.n - 1);
	while (s.n > 0 && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct span parameter_next(struct span *s)
{
	const char *semicolon = s->n == 0 ? NULL : memchr(s->p, ';', s->n);
	size_t n = semicolon == NULL ? s->n : (size_t)(semicolon - s->p);
	struct span part = span_of(s->p, n);

	*s = semicolon == NULL ? span_of(s->p + n, 0) : span_of(semicolon + 1, s->n - n - 1);
	return span_trim(part);
}

/* How far the first element goes: to a comma that is in no quoted string. */
static size_t element_end(struct span list)
{
	bool quoted = false;

	for (size_t i = 0; i < list.n; i++) {
		if (quoted && list.p[i] == '\\')
			i++;
		else if (list.p[i] == '"')
			quoted = !quoted;
		else if (list.p[i] == ',' && !quoted)
			return i;
	}
	return list.n;
}

bool header_next(struct span *list, struct span *element)
{
	while (list->n > 0) {
		size_t end = element_end(*list);
		struct span e = span_trim(span_of(list->p, end));
		size_t past = end < list->n ? end + 1 : end;

		*list = span_of(list->p + past, list->n - past);
		if (e.n > 0) {
			*element = e;
			return true;
		}
	}
	return false;
}

/* ---- what values mean, whatever version carries them */

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z');
}

bool authority_is_valid(struct span s)
{
	if (s.n > AUTHORITY_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		/* Not '@': there is no userinfo. Not ',': it would be a list of hosts. */
		if (!is_alnum(s.p[i]) &&
		    (s.p[i] == '\0' || strchr("-._~:[]%!$&'()*+;=", s.p[i]) == NULL))
			return false;
	}
	return true;
}

static struct span without_port(struct span authority, const char *port)
{
	size_t n = strlen(port);

	if (authority.n >= n && memcmp(authority.p + authority.n - n, port, n) == 0)
		authority.n -= n;
	return authority;
}

bool authority_same(struct span a, struct span b, bool is_https)
{
	const char *port = is_https ? ":443" : ":80";

	return span_eq_nocase(without_port(a, port), without_port(b, port));
}

bool length_parse(struct span s, int64_t *length)
{
	int64_t n = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!(s.p[i] >= '0' && s.p[i] <= '9') || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, s.p[i] - '0', &n))
			return false;
	}
	*length = n;
	return true;
}

enum trailer trailer_judge(const struct header *field)
{
	static const char *const dropped[] = {
		"age",		 "authorization",      "cache-control",
		"content-range", "content-encoding",   "cookie",
		"expires",	 "if-match",	       "if-modified-since",
		"if-none-match", "if-range",	       "if-unmodified-since",
		"pragma",	 "proxy-authenticate", "proxy-authorization",
		"range",	 "retry-after",	       "set-cookie",
		"vary",		 "www-authenticate",
	};

	switch (field->id) {
	case HEADER_CONTENT_LENGTH:
	case HEADER_TRANSFER_ENCODING:
		return TRAILER_REFUSED;
	case HEADER_OTHER:
		break;
	default:
		return TRAILER_DROPPED; /* all that somebody here acts upon */
	}
	for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++) {
		if (span_eq_nocase(field->name, span_str(dropped[i])))
			return TRAILER_DROPPED;
	}
	return TRAILER_KEPT;
}
