#include "proxy/http/http2_head.h"

#include <stdlib.h>

#include "conf/must.h"
#include "proxy/http/http1_scan.h"

enum {
	FIELD_OVERHEAD = 32, /* RFC 9113 6.5.2 */
	BOMB_FACTOR = 8,     /* of the size that is allowed: no mistake any more */
	EXTRA_FIELDS = 8,    /* that are made here */
};

#define PSEUDOS(PSEUDO)                 \
	PSEUDO(METHOD, ":method")       \
	PSEUDO(SCHEME, ":scheme")       \
	PSEUDO(AUTHORITY, ":authority") \
	PSEUDO(PATH, ":path")           \
	PSEUDO(PROTOCOL, ":protocol")   \
	PSEUDO(STATUS, ":status")

enum pseudo {
#define PSEUDO(sym, name) PSEUDO_##sym,
	PSEUDOS(PSEUDO)
#undef PSEUDO
		PSEUDO_COUNT
};

#define PSEUDO(sym, name) { (name), sizeof(name) - 1 },
static const struct span pseudo_names[] = { PSEUDOS(PSEUDO) };
#undef PSEUDO

static bool is(struct span s, const char *text)
{
	return span_eq(s, span_str(text));
}

static void fault(struct http2_block *b, enum http2_harm harm, unsigned status, enum cause why,
		  const char *detail)
{
	if (harm > b->fault.harm)
		b->fault = (struct http2_fault){ harm, status, why, detail };
}

static void malformed(struct http2_block *b, const char *detail)
{
	fault(b, HTTP2_MALFORMED, 400, CAUSE_BAD_REQUEST, detail);
}

static void refuse(struct http2_block *b, unsigned status, enum cause why, const char *detail)
{
	fault(b, HTTP2_REFUSED, status, why, detail);
}

/* ---- single fields */

void http2_block_begin(struct http2_block *b, enum http2_kind kind, struct http2_bounds bounds)
{
	*b = (struct http2_block){ .kind = kind, .bounds = bounds, .head = head_new(0) };
	if (b->head == NULL)
		refuse(b, 503, CAUSE_MEMORY, "out of memory");
}

/* RFC 9113 8.2.1, and what HTTP/1.1 has no name for. */
static bool is_name(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] >= 'A' && s.p[i] <= 'Z')
			return false;
	}
	return http1_is_token(s);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_value(struct span s)
{
	return s.n == 0 || (!is_blank(s.p[0]) && !is_blank(s.p[s.n - 1]) && http1_is_value(s));
}

static bool may_have(enum http2_kind kind, enum pseudo p)
{
	switch (kind) {
	case HTTP2_REQUEST:
		return p != PSEUDO_STATUS;
	case HTTP2_RESPONSE:
		return p == PSEUDO_STATUS;
	case HTTP2_TRAILERS:
		break;
	}
	return false;
}

static void store_pseudo(struct http2_block *b, enum pseudo p, struct span value)
{
	struct span own = head_copy(b->head, value);

	switch (p) {
	case PSEUDO_METHOD:
		b->head->method_name = own;
		b->head->method = method_of(own);
		break;
	case PSEUDO_SCHEME:
		b->scheme = own;
		break;
	case PSEUDO_AUTHORITY:
		b->head->authority = own;
		break;
	case PSEUDO_PATH:
		b->head->path = own;
		break;
	case PSEUDO_PROTOCOL:
		b->protocol = own;
		break;
	case PSEUDO_STATUS:
		b->status = own;
		break;
	case PSEUDO_COUNT:
		break;
	}
}

/* RFC 9113 8.3. */
static void add_pseudo(struct http2_block *b, struct span name, struct span value)
{
	for (unsigned i = 0; i < PSEUDO_COUNT; i++) {
		if (!span_eq(pseudo_names[i], name))
			continue;
		if (!may_have(b->kind, (enum pseudo)i))
			malformed(b, "a pseudo-field where it does not belong");
		else if (b->has_regular)
			malformed(b, "a pseudo-field behind other fields");
		else if (b->seen & (1u << i))
			malformed(b, "a pseudo-field twice");
		else if (!is_value(value))
			malformed(b, "a character that no value has");
		else
			store_pseudo(b, (enum pseudo)i, value);
		b->seen |= 1u << i;
		return;
	}
	malformed(b, "an unknown pseudo-field");
}

static void add_to_head(struct http2_block *b, struct span name, struct span value)
{
	head_add(b->head, head_copy(b->head, name), head_copy(b->head, value));
}

/* RFC 9113 8.2.2: what concerns one connection does not exist; the rest that frames is noted. */
static void add_known(struct http2_block *b, const struct header *field)
{
	struct span value = field->value;

	switch (field->id) {
	case HEADER_CONNECTION:
	case HEADER_KEEP_ALIVE:
	case HEADER_PROXY_CONNECTION:
	case HEADER_TRANSFER_ENCODING:
	case HEADER_UPGRADE:
		malformed(b, "a field of the connection");
		break;
	case HEADER_TE:
		if (!span_eq_nocase(value, span_str("trailers")))
			malformed(b, "TE with more than trailers");
		b->head->te_trailers = true;
		break;
	case HEADER_HTTP2_SETTINGS:
		break;
	case HEADER_HOST:
		b->num_host++;
		b->host = head_copy(b->head, value);
		break;
	case HEADER_CONTENT_LENGTH:
		b->num_length++;
		b->length = head_copy(b->head, value);
		break;
	case HEADER_EXPECT:
		if (b->kind == HTTP2_REQUEST) {
			b->num_expect++;
			b->expect = head_copy(b->head, value);
		}
		break;
	default:
		add_to_head(b, field->name, value);
		break;
	}
}

static void add_trailer(struct http2_block *b, const struct header *field)
{
	switch (field->id) {
	case HEADER_CONNECTION:
	case HEADER_CONTENT_LENGTH:
	case HEADER_KEEP_ALIVE:
	case HEADER_PROXY_CONNECTION:
	case HEADER_TE:
	case HEADER_TRANSFER_ENCODING:
	case HEADER_UPGRADE:
		malformed(b, "a field of the connection in the trailers");
		break;
	default:
		if (trailer_judge(field) == TRAILER_KEPT)
			add_to_head(b, field->name, field->value);
		break;
	}
}

static void add_regular(struct http2_block *b, struct span name, struct span value)
{
	struct header field = { .name = name, .value = value, .id = header_id_of(name) };

	b->has_regular = true;
	if (!is_name(name)) {
		malformed(b, "a character that no name has");
	} else if (!is_value(value)) {
		malformed(b, "a character that no value has");
	} else if (b->kind == HTTP2_TRAILERS) {
		add_trailer(b, &field);
	} else if (is(name, "cookie")) {
		b->num_cookie++;
		b->cookie_len += value.n;
		add_to_head(b, name, value);
	} else {
		if (is(name, "priority"))
			b->priority = head_copy(b->head, value);
		add_known(b, &field);
	}
}

void http2_block_add(struct http2_block *b, struct span name, struct span value)
{
	b->size += name.n + value.n + FIELD_OVERHEAD;
	if (b->size > b->bounds.max_size) {
		if (b->size / BOMB_FACTOR > b->bounds.max_size)
			fault(b, HTTP2_BOMB, 431, CAUSE_H2_HEADER_FLOOD, "a head far too large");
		refuse(b, 431, CAUSE_HEADER_TOO_LARGE, "the head is too large");
	} else if (name.n > 0 && name.p[0] == ':') {
		if (b->head != NULL)
			add_pseudo(b, name, value);
	} else {
		/* Crumbs of one cookie are one field (RFC 9113 8.2.3). */
		if (!is(name, "cookie") && ++b->num > b->bounds.max_fields)
			refuse(b, 431, CAUSE_HEADER_TOO_LARGE, "too many fields");
		else if (b->head != NULL)
			add_regular(b, name, value);
	}
}

/* ---- whole blocks */

/* RFC 9113 8.2.3: where the first was, for whoever knows one Cookie only. */
static void join_cookies(struct http2_block *b)
{
	struct head *h = b->head;
	struct header *first = NULL;
	uint32_t kept = 0;
	char *at;

	if (b->num_cookie < 2)
		return;
	at = head_alloc(h, b->cookie_len + 2 * (size_t)b->num_cookie);
	if (at == NULL)
		return;
	for (uint32_t i = 0; i < h->num; i++) {
		struct header *field = &h->fields[i];

		if (!is(field->name, "cookie")) {
			h->fields[kept++] = *field;
			continue;
		}
		if (first != NULL) {
			*at++ = ';';
			*at++ = ' ';
		}
		memcpy(at, field->value.p, field->value.n);
		if (first == NULL) {
			field->value.p = at;
			h->fields[kept] = *field;
			first = &h->fields[kept++];
		}
		at += field->value.n;
		first->value.n = (size_t)(at - first->value.p);
	}
	h->num = kept;
}

static bool has(const struct http2_block *b, enum pseudo p)
{
	return (b->seen & (1u << p)) != 0;
}

static void read_length(struct http2_block *b)
{
	b->head->length = HEAD_UNKNOWN;
	if (b->num_length > 1)
		malformed(b, "more than one Content-Length");
	else if (b->num_length == 1 && !length_parse(b->length, &b->head->length))
		malformed(b, "Content-Length is no number of bytes");
}

static bool is_target(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '#')
			return false;
	}
	return true;
}

static void read_target(struct http2_block *b)
{
	const struct head *h = b->head;

	if (h->path.n == 0)
		malformed(b, "an empty :path");
	else if (!is_target(h->path))
		refuse(b, 400, CAUSE_BAD_TARGET, "a character that must be escaped");
	else if (is(h->path, "*") && h->method != METHOD_OPTIONS)
		refuse(b, 400, CAUSE_BAD_TARGET, "* is for OPTIONS only");
	else if (h->path.p[0] != '/' && !is(h->path, "*"))
		refuse(b, 400, CAUSE_BAD_TARGET, "the target is no path");
}

/* RFC 9113 8.3.1. */
static void read_authority(struct http2_block *b)
{
	struct head *h = b->head;

	if (b->num_host > 1)
		refuse(b, 400, CAUSE_BAD_HOST, "more than one Host");
	else if (has(b, PSEUDO_AUTHORITY) && b->num_host == 1 &&
		 !authority_same(h->authority, b->host, h->is_https))
		refuse(b, 400, CAUSE_BAD_HOST, "Host and :authority disagree");
	else if (!has(b, PSEUDO_AUTHORITY))
		h->authority = b->host;
	if (h->authority.n == 0)
		refuse(b, 400, CAUSE_BAD_HOST, "no authority");
	else if (!authority_is_valid(h->authority))
		refuse(b, 400, CAUSE_BAD_HOST, "malformed authority");
}

/* RFC 8441 4: to whoever speaks HTTP/1.1 it is a GET with Upgrade. */
static void read_extended_connect(struct http2_block *b)
{
	struct head *h = b->head;

	if (b->num_length > 0)
		malformed(b, "a length where a tunnel begins");
	h->method = METHOD_GET;
	h->method_name = span_str("GET");
	h->upgrade = b->protocol;
	h->extended_connect = true;
	h->length = 0;
	if (!span_eq_nocase(b->protocol, span_str("websocket")))
		refuse(b, 501, CAUSE_METHOD_REFUSED, "unknown protocol");
}

static void read_connect(struct http2_block *b)
{
	if (!has(b, PSEUDO_AUTHORITY) || has(b, PSEUDO_SCHEME) || has(b, PSEUDO_PATH))
		malformed(b, "CONNECT with the wrong pseudo-fields");
	refuse(b, 405, CAUSE_METHOD_REFUSED, "method is not served here");
}

static void read_request(struct http2_block *b, bool end)
{
	struct head *h = b->head;

	if (!has(b, PSEUDO_METHOD) || !http1_is_token(h->method_name)) {
		malformed(b, "no method");
		return;
	}
	if (has(b, PSEUDO_PROTOCOL) && h->method != METHOD_CONNECT)
		malformed(b, ":protocol without CONNECT");
	if (h->method == METHOD_CONNECT && !has(b, PSEUDO_PROTOCOL)) {
		read_connect(b);
		return;
	}
	if (!has(b, PSEUDO_SCHEME) || !has(b, PSEUDO_PATH)) {
		malformed(b, "a pseudo-field is missing");
		return;
	}
	h->is_https = span_eq_nocase(b->scheme, span_str("https"));
	if (!h->is_https && !span_eq_nocase(b->scheme, span_str("http")))
		refuse(b, 400, CAUSE_BAD_TARGET, "neither http nor https");
	if (h->method == METHOD_TRACE)
		refuse(b, 405, CAUSE_METHOD_REFUSED, "method is not served here");
	else if (!method_is_known(h->method_name))
		refuse(b, 501, CAUSE_UNKNOWN_METHOD, "unknown method");
	read_target(b);
	read_authority(b);
	read_length(b);
	if (end && h->length > 0)
		malformed(b, "a length without a body");
	else if (end)
		h->length = 0;
	if (has(b, PSEUDO_PROTOCOL))
		read_extended_connect(b);
	if (b->num_expect > 1 ||
	    (b->num_expect == 1 && !span_eq_nocase(b->expect, span_str("100-continue"))))
		refuse(b, 417, CAUSE_EXPECTATION, "unknown expectation");
	h->expect_continue = b->num_expect == 1 && h->length != 0;
}

static void read_response(struct http2_block *b, bool end)
{
	struct head *h = b->head;
	unsigned status = 0;

	for (size_t i = 0; i < b->status.n; i++) {
		char c = b->status.p[i];

		status = c >= '0' && c <= '9' && i < 3 ? status * 10 + (unsigned)(c - '0') : 1000;
	}
	if (!has(b, PSEUDO_STATUS) || b->status.n != 3 || status < 100 || status > 599)
		malformed(b, "no status");
	else if (status == 101) /* RFC 9113 8.6 */
		malformed(b, "101 in HTTP/2");
	else if (status < 200 && end)
		malformed(b, "an interim response that ends");
	h->status = (uint16_t)status;
	read_length(b);
	/* RFC 9110 8.6: not a body's. */
	if (status < 200 || status == 204)
		h->length = HEAD_UNKNOWN;
}

void http2_block_end(struct http2_block *b, bool end)
{
	struct head *h = b->head;

	if (h == NULL || b->fault.harm >= HTTP2_MALFORMED)
		return;
	h->version = 20;
	if (h->failed) { /* what is missing is no mistake of the peer's */
		refuse(b, 503, CAUSE_MEMORY, "out of memory");
		return;
	}
	/* Of what is too large not all was looked at. */
	if (b->fault.status == 431)
		return;
	switch (b->kind) {
	case HTTP2_REQUEST:
		read_request(b, end);
		join_cookies(b);
		break;
	case HTTP2_RESPONSE:
		read_response(b, end);
		break;
	case HTTP2_TRAILERS:
		if (!end)
			malformed(b, "fields in the middle of a body");
		break;
	}
	if (h->failed)
		refuse(b, 503, CAUSE_MEMORY, "out of memory");
}

struct head *http2_block_take(struct http2_block *b)
{
	struct head *h = b->head;

	b->head = NULL;
	return h;
}

void http2_block_drop(struct http2_block *b)
{
	head_free(b->head);
	b->head = NULL;
}

/* ---- the other way */

static bool make_list(struct http2_fields *f, const struct head *h)
{
	f->num = 0;
	f->list = f->few;
	if (h->num + (size_t)EXTRA_FIELDS > HTTP2_FIELDS_FEW)
		f->list = calloc(h->num + (size_t)EXTRA_FIELDS, sizeof(*f->list));
	return f->list != NULL;
}

static void put(struct http2_fields *f, struct span name, struct span value)
{
	/* nghttp2 copies both, and makes names lower case. */
	f->list[f->num++] = (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name.p,
					  .value = (uint8_t *)(uintptr_t)value.p,
					  .namelen = name.n,
					  .valuelen = value.n };
}

static void put_length(struct http2_fields *f, uint64_t length)
{
	size_t at = sizeof(f->length);

	do {
		f->length[--at] = (char)('0' + length % 10);
		length /= 10;
	} while (length > 0);
	put(f, span_str("content-length"), span_of(f->length + at, sizeof(f->length) - at));
}

static bool is_of_connection(enum header_id id)
{
	switch (id) {
	case HEADER_CONNECTION:
	case HEADER_CONTENT_LENGTH:
	case HEADER_HOST:
	case HEADER_HTTP2_SETTINGS:
	case HEADER_KEEP_ALIVE:
	case HEADER_PROXY_CONNECTION:
	case HEADER_TE:
	case HEADER_TRANSFER_ENCODING:
	case HEADER_UPGRADE:
		return true;
	default:
		return false;
	}
}

/* What would not be understood as one field, or not at all, is left out. */
static void put_fields(struct http2_fields *f, const struct head *h, bool upgraded)
{
	for (uint32_t i = 0; i < h->num; i++) {
		const struct header *field = &h->fields[i];

		if (is_of_connection(field->id) || !http1_is_token(field->name) ||
		    !http1_is_value(field->value))
			continue;
		/* RFC 8441 5.1: there is no challenge that it would answer. */
		if (upgraded && span_eq_nocase(field->name, span_str("sec-websocket-accept")))
			continue;
		put(f, field->name, span_trim(field->value));
	}
}

void http2_fields_response(struct http2_fields *f, const struct head *h, int64_t length)
{
	bool upgraded = h->status == 101;
	unsigned status = upgraded ? 200 : h->status;

	if (!make_list(f, h))
		return;
	for (size_t at = sizeof(f->status); at > 0; status /= 10)
		f->status[--at] = (char)('0' + status % 10);
	put(f, span_str(":status"), span_of(f->status, sizeof(f->status)));
	if (length >= 0)
		put_length(f, (uint64_t)length);
	put_fields(f, h, upgraded);
}

static bool wants_length(enum method m)
{
	return m == METHOD_POST || m == METHOD_PUT || m == METHOD_PATCH;
}

void http2_fields_request(struct http2_fields *f, const struct head *h, bool is_tls, bool end)
{
	uint64_t length = end || h->length < 0 ? 0 : (uint64_t)h->length;

	if (!make_list(f, h))
		return;
	put(f, span_str(":method"), h->method_name);
	put(f, span_str(":scheme"), span_str(is_tls ? "https" : "http"));
	if (h->authority.n > 0)
		put(f, span_str(":authority"), h->authority);
	put(f, span_str(":path"), h->path);
	if (h->te_trailers)
		put(f, span_str("te"), span_str("trailers"));
	if (length > 0 || ((end || h->length == 0) && wants_length(h->method)))
		put_length(f, length);
	if (h->expect_continue && !end)
		put(f, span_str("expect"), span_str("100-continue"));
	put_fields(f, h, false);
}

void http2_fields_trailers(struct http2_fields *f, const struct head *h)
{
	if (make_list(f, h))
		put_fields(f, h, false);
}

void http2_fields_fini(struct http2_fields *f)
{
	if (f->list != f->few)
		free(f->list);
	f->list = NULL;
}
