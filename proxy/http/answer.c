#include "proxy/http/answer.h"

#include <string.h>

#include "proxy/http/forward.h"
#include "proxy/http/reason.h"

enum { TEXT_ROOM = 768, HTTPS_PORT = 443, QUALITY_ONE = 1000 };

static const char allowed[] = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

static struct head *new_answer(unsigned status, size_t text)
{
	struct head *h = head_new(text);

	if (h == NULL)
		return NULL;
	h->status = (uint16_t)status;
	h->reason = http_reason(status);
	return h;
}

static struct head *finished(struct head *h)
{
	if (!h->failed)
		return h;
	head_free(h);
	return NULL;
}

static void add(struct head *h, const char *name, const char *value)
{
	head_add(h, span_str(name), span_str(value));
}

/* ---- which type an error has */

enum type { TYPE_JSON, TYPE_HTML, TYPE_TEXT, TYPES };

static const struct type_words {
	const char *range, *part, *content_type;
	int named, matched; /* rank among equals: asked for by name, or met by a range */
} types[TYPES] = {
	[TYPE_JSON] = { .range = "application/json",
			.part = "application/*",
			.content_type = "application/json",
			.named = 3,
			.matched = 1 },
	[TYPE_HTML] = { .range = "text/html",
			.part = "text/*",
			.content_type = "text/html; charset=utf-8",
			.named = 2,
			.matched = 2 },
	[TYPE_TEXT] = { .range = "text/plain",
			.part = "text/*",
			.content_type = "text/plain; charset=utf-8",
			.named = 1,
			.matched = 3 },
};

/* How a type was asked for; a range that says more overrides one that says less. */
enum precision { UNASKED, BY_ANY, BY_PART, BY_NAME };

struct wish {
	enum precision precision;
	unsigned quality;
};

/* RFC 9110 12.4.2, in thousandths. What is none counts as if it were not there. */
static unsigned parse_quality(struct span s)
{
	unsigned value = 0, unit = QUALITY_ONE;

	if (s.n == 0 || s.n > 5 || (s.p[0] != '0' && s.p[0] != '1') || (s.n > 1 && s.p[1] != '.'))
		return QUALITY_ONE;
	for (size_t i = 0; i < s.n; i++) {
		if (i == 1)
			continue;
		if (s.p[i] < '0' || s.p[i] > '9')
			return QUALITY_ONE;
		value += (unsigned)(s.p[i] - '0') * unit;
		unit /= 10;
	}
	return value > QUALITY_ONE ? QUALITY_ONE : value;
}

static unsigned quality_of(struct span parameters)
{
	while (parameters.n > 0) {
		struct span p = parameter_next(&parameters);

		if (p.n >= 2 && (p.p[0] == 'q' || p.p[0] == 'Q') && p.p[1] == '=')
			return parse_quality(span_of(p.p + 2, p.n - 2));
	}
	return QUALITY_ONE;
}

static void take_range(struct span element, struct wish wishes[TYPES])
{
	struct span range = parameter_next(&element);
	unsigned quality = quality_of(element);

	for (unsigned i = 0; i < TYPES; i++) {
		enum precision precision = UNASKED;

		if (span_eq_nocase(range, span_str(types[i].range)))
			precision = BY_NAME;
		else if (span_eq_nocase(range, span_str(types[i].part)))
			precision = BY_PART;
		else if (span_eq(range, span_str("*/*")))
			precision = BY_ANY;
		if (precision > wishes[i].precision)
			wishes[i] = (struct wish){ .precision = precision, .quality = quality };
	}
}

static int rank(enum type t, const struct wish *w)
{
	int among_equals = w->precision == BY_NAME ? types[t].named : types[t].matched;

	return (int)w->quality * 16 + (int)w->precision * 4 + among_equals;
}

static enum type choose_type(const struct head *request)
{
	struct wish wishes[TYPES] = { 0 };
	enum type best = TYPE_TEXT;
	int best_rank = 0;

	for (uint32_t i = 0; request != NULL && i < request->num; i++) {
		struct span list = request->fields[i].value, element;

		if (request->fields[i].id != HEADER_ACCEPT)
			continue;
		while (header_next(&list, &element))
			take_range(element, wishes);
	}
	for (unsigned i = 0; i < TYPES; i++) {
		if (wishes[i].quality > 0 && rank((enum type)i, &wishes[i]) > best_rank) {
			best = (enum type)i;
			best_rank = rank(best, &wishes[i]);
		}
	}
	return best;
}

/* ---- errors */

static struct span error_body(struct head *h, enum type type)
{
	unsigned status = h->status;
	/* Constant texts: nothing to escape. */
	const char *words = h->reason.n == 0 ? "Error" : h->reason.p;

	switch (type) {
	case TYPE_JSON:
		return head_print(h, "{\"status\":%u,\"error\":\"%s\"}\n", status, words);
	case TYPE_HTML:
		return head_print(h,
				  "<!DOCTYPE html>\n<html lang=\"en\">\n<title>%u %s</title>\n"
				  "<h1>%u %s</h1>\n</html>\n",
				  status, words, status, words);
	default:
		return head_print(h, "%u %s\n", status, words);
	}
}

struct head *answer_error(unsigned status, const struct head *request, unsigned retry_after,
			  struct span *body)
{
	enum type type = choose_type(request);
	struct head *h = new_answer(status, TEXT_ROOM);
	struct span text;

	if (h == NULL)
		return NULL;
	text = error_body(h, type);
	h->length = (int64_t)text.n;
	add(h, "content-type", types[type].content_type);
	add(h, "cache-control", "no-store");
	if (status == 405)
		add(h, "allow", allowed);
	if (status == 503 && retry_after != 0)
		head_add(h, span_str("retry-after"), head_print(h, "%u", retry_after));
	if ((h = finished(h)) != NULL)
		*body = text;
	return h;
}

/* ---- redirects */

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Whether it may stand in a URI as it is (RFC 3986 2). A '%' may where it begins an escape. */
static bool is_uri_char(struct span s, size_t i)
{
	char c = s.p[i];

	if (c == '%')
		return s.n - i > 2 && is_hex(s.p[i + 1]) && is_hex(s.p[i + 2]);
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c != '\0' && strchr("-._~:/?#[]@!$&'()*+,;=", c) != NULL);
}

struct text {
	char *p;
	size_t n;
};

static void put(struct text *t, struct span s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		if (is_uri_char(s, i)) {
			t->p[t->n++] = s.p[i];
			continue;
		}
		t->p[t->n++] = '%';
		t->p[t->n++] = hex[(uint8_t)s.p[i] >> 4];
		t->p[t->n++] = hex[(uint8_t)s.p[i] & 15];
	}
}

/* Scheme and authority, and no more. */
static bool is_bare_origin(const char *location)
{
	const char *after = location + strcspn(location, ":/?#");

	return after > location && strncmp(after, "://", 3) == 0 &&
	       after[3 + strcspn(after + 3, "/?#")] == '\0';
}

/* "https://" and a port of up to five digits, beside what is given. */
enum { LOCATION_EXTRA = 16 };

static struct span location_of(struct head *h, const struct conf_redirect *r, struct span host,
			       struct span target)
{
	struct span location = span_str(r->location);
	bool is_https = span_eq(location, span_str("https"));
	size_t room;
	struct text t = { .n = 0 };

	if (span_eq(target, span_str("*")))
		target = span_of("/", 1);
	if (!size_add(&room, location.n, host.n) || !size_add(&room, room, target.n) ||
	    !size_mul(&room, room, 3) || !size_add(&room, room, LOCATION_EXTRA) ||
	    (t.p = head_alloc(h, room)) == NULL)
		return span_of("", 0);
	if (is_https) {
		put(&t, span_str("https://"));
		put(&t, host);
		if (r->port != HTTPS_PORT)
			put(&t, head_print(h, ":%u", (unsigned)r->port));
		put(&t, target);
	} else {
		put(&t, location);
		if (is_bare_origin(r->location))
			put(&t, target);
	}
	return span_of(t.p, t.n);
}

struct head *answer_redirect(const struct conf_redirect *r, struct span host, struct span target)
{
	struct head *h;

	if (host.n == 0 && strcmp(r->location, "https") == 0)
		return NULL;
	h = new_answer(r->status, TEXT_ROOM);
	if (h == NULL)
		return NULL;
	head_add_id(h, HEADER_LOCATION, location_of(h, r, host, target));
	return finished(h);
}

/* ---- others */

struct head *answer_respond(const struct conf_respond *r, struct span *body)
{
	const struct conf_edits edits = { .add = r->headers, .num_add = r->num_headers };
	struct head *h = new_answer(r->status, 0);
	struct span text = span_str(r->body);

	if (h == NULL)
		return NULL;
	if (r->status == 204 || r->status == 205 || r->status == 304)
		text.n = 0;
	h->length = (int64_t)text.n;
	edits_apply(h, &edits);
	if (text.n > 0 && head_find(h, HEADER_CONTENT_TYPE) == NULL)
		add(h, "content-type", types[TYPE_TEXT].content_type);
	if ((h = finished(h)) != NULL)
		*body = text;
	return h;
}

struct head *answer_options(void)
{
	struct head *h = new_answer(200, 0);

	if (h == NULL)
		return NULL;
	add(h, "allow", allowed);
	return finished(h);
}
