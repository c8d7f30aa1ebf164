#include "proxy/http/http1_head.h"

#include <llhttp.h>

#include "conf/must.h"

/* Names that Connection may list: real messages have one to three. */
enum { OPTIONS_MAX = 32 };

static bool bad_request(struct http1_fault *f, const char *detail)
{
	return http1_bad(f, 400, CAUSE_BAD_REQUEST, detail);
}

static bool bad_framing(struct http1_fault *f, const char *detail)
{
	return http1_bad(f, 400, CAUSE_BAD_FRAMING, detail);
}

static bool is_word(struct span s, const char *word)
{
	return span_eq_nocase(s, span_str(word));
}

/* ---- llhttp: spans of fields */

struct reading {
	struct head *head;
	struct span target, name, value;
	bool whole;
};

/* A span of llhttp's may come in pieces, which lie one behind the other. */
static void extend(struct span *s, const char *at, size_t n)
{
	if (s->p != NULL && s->p + s->n == at)
		s->n += n;
	else
		*s = span_of(at, n);
}

static void end_field(struct reading *r)
{
	if (r->name.n > 0)
		head_add(r->head, r->name, r->value.n == 0 ? span_of("", 0) : span_trim(r->value));
	r->name = r->value = span_of(NULL, 0);
}

static int on_target(llhttp_t *p, const char *at, size_t n)
{
	struct reading *r = p->data;

	extend(&r->target, at, n);
	return 0;
}

static int on_name(llhttp_t *p, const char *at, size_t n)
{
	struct reading *r = p->data;

	if (r->name.p != NULL && (r->value.p != NULL || r->name.p + r->name.n != at))
		end_field(r);
	extend(&r->name, at, n);
	return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
	struct reading *r = p->data;

	if (r->value.p != NULL && r->value.p + r->value.n != at)
		return -1;
	extend(&r->value, at, n);
	return 0;
}

static int on_whole(llhttp_t *p)
{
	struct reading *r = p->data;

	end_field(r);
	r->whole = true;
	return HPE_PAUSED;
}

/* The scan has seen `num` fields: a parser that sees others has understood something else. */
static bool read_fields(enum http1_kind kind, struct span bytes, size_t num, struct reading *r,
			struct http1_fault *f)
{
	static const llhttp_settings_t settings = {
		.on_url = on_target,
		.on_header_field = on_name,
		.on_header_value = on_value,
		.on_headers_complete = on_whole,
	};
	llhttp_t parser;

	llhttp_init(&parser, kind == HTTP1_REQUEST ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	parser.data = r;
	switch (llhttp_execute(&parser, bytes.p, bytes.n)) {
	case HPE_OK:
	case HPE_PAUSED:
	case HPE_PAUSED_UPGRADE:
		break;
	case HPE_UNEXPECTED_CONTENT_LENGTH:
	case HPE_INVALID_CONTENT_LENGTH:
	case HPE_INVALID_TRANSFER_ENCODING:
		return bad_framing(f, "contradictory or malformed length");
	case HPE_INVALID_URL:
		return http1_bad(f, 400, CAUSE_BAD_TARGET, "malformed target");
	default:
		return bad_request(f, "malformed head");
	}
	if (r->head->failed)
		return http1_bad(f, 503, CAUSE_MEMORY, "out of memory");
	if (!r->whole || r->head->num != num)
		return bad_request(f, "malformed head");
	return true;
}

/* ---- what the fields mean */

struct facts {
	unsigned num_host, num_length, num_coding, num_expect;
	struct span host, length, expect, upgrade;
	unsigned num_options;
	struct span options[OPTIONS_MAX];
	bool close, keep_alive, upgrade_asked;
};

static bool note_options(struct facts *x, struct span list, struct http1_fault *f)
{
	struct span option;

	while (header_next(&list, &option)) {
		if (!http1_is_token(option))
			return bad_request(f, "malformed Connection");
		if (x->num_options == OPTIONS_MAX)
			return bad_request(f, "Connection names too many fields");
		x->options[x->num_options++] = option;
		if (is_word(option, "close"))
			x->close = true;
		else if (is_word(option, "keep-alive"))
			x->keep_alive = true;
		else if (is_word(option, "upgrade"))
			x->upgrade_asked = true;
	}
	return true;
}

/* The first protocol of the list that may be changed to here. h2c would need another codec in
 * mid-connection, and is gone from HTTP/2 (RFC 9113 3.1). */
static void note_upgrade(struct facts *x, struct span list)
{
	struct span protocol;
	struct span name;
	struct span version;

	while (x->upgrade.n == 0 && header_next(&list, &protocol)) {
		if (!http1_cut(protocol, '/', &name, &version)) {
			name = protocol;
			version = protocol;
		}
		if (is_word(name, "h2c") || is_word(name, "h2") || is_word(name, "http"))
			continue;
		if (http1_is_token(name) && http1_is_token(version))
			x->upgrade = protocol;
	}
}

static bool gather(struct head *h, struct facts *x, struct http1_fault *f)
{
	for (uint32_t i = 0; i < h->num; i++) {
		struct span value = h->fields[i].value;
		struct span te;

		switch (h->fields[i].id) {
		case HEADER_HOST:
			x->num_host++;
			x->host = value;
			break;
		case HEADER_CONTENT_LENGTH:
			x->num_length++;
			x->length = value;
			break;
		case HEADER_TRANSFER_ENCODING:
			x->num_coding++;
			break;
		case HEADER_EXPECT:
			x->num_expect++;
			x->expect = value;
			break;
		case HEADER_CONNECTION:
			if (!note_options(x, value, f))
				return false;
			break;
		case HEADER_UPGRADE:
			note_upgrade(x, value);
			break;
		case HEADER_TE:
			while (header_next(&value, &te))
				h->te_trailers = h->te_trailers || is_word(te, "trailers");
			break;
		default:
			break;
		}
	}
	return true;
}

static bool parse_length(struct span s, int64_t *length, struct http1_fault *f)
{
	return length_parse(s, length) || bad_framing(f, "Content-Length is no number of bytes");
}

/* Exactly one `chunked` and nothing else, in whatever spelling of a list. */
static bool check_codings(const struct head *h, struct http1_fault *f)
{
	unsigned num = 0, num_chunked = 0;
	bool unknown = false, last_chunked = false;

	for (uint32_t i = 0; i < h->num; i++) {
		struct span list = h->fields[i].value;
		struct span coding;

		if (h->fields[i].id != HEADER_TRANSFER_ENCODING)
			continue;
		if (list.n == 0) /* beside one that is not: whoever reads one of them alone errs */
			return bad_framing(f, "an empty Transfer-Encoding");
		while (header_next(&list, &coding)) {
			last_chunked = is_word(coding, "chunked");
			num++;
			if (last_chunked)
				num_chunked++;
			else if (http1_is_token(coding))
				unknown = true;
			else
				return bad_framing(f, "malformed Transfer-Encoding");
		}
		if (num == 1 && num_chunked == 1 && !is_word(h->fields[i].value, "chunked"))
			return bad_framing(f, "malformed Transfer-Encoding");
	}
	if (num == 0 || num_chunked > 1 || (num_chunked == 1 && !last_chunked))
		return bad_framing(f, "chunked is not the one, last transfer coding");
	if (unknown)
		return http1_bad(f, 501, CAUSE_UNKNOWN_CODING, "unknown transfer coding");
	return true;
}

static bool decide_framing(enum http1_kind kind, const struct facts *x, struct http1_message *out,
			   struct http1_fault *f)
{
	struct head *h = out->head;

	h->length = kind == HTTP1_REQUEST ? 0 : HEAD_UNKNOWN;
	if (x->num_coding > 0 && x->num_length > 0)
		return bad_framing(f, "both Content-Length and Transfer-Encoding");
	if (x->num_length > 1)
		return bad_framing(f, "more than one Content-Length");
	if (x->num_length == 1) {
		out->sized = true;
		return parse_length(x->length, &h->length, f);
	}
	if (x->num_coding == 0)
		return true;
	if (h->version == 10)
		return bad_framing(f, "Transfer-Encoding in HTTP/1.0");
	if (!check_codings(h, f))
		return false;
	out->chunked = true;
	h->length = HEAD_UNKNOWN;
	return true;
}

/* What concerns this connection only goes (RFC 9110 7.6.1), and what is in struct head now. */
static bool is_taken(const struct header *field, const struct facts *x)
{
	switch (field->id) {
	case HEADER_CONNECTION:
	case HEADER_CONTENT_LENGTH:
	case HEADER_EXPECT:
	case HEADER_HOST:
	case HEADER_HTTP2_SETTINGS:
	case HEADER_KEEP_ALIVE:
	case HEADER_PROXY_CONNECTION:
	case HEADER_TE:
	case HEADER_TRANSFER_ENCODING:
	case HEADER_UPGRADE:
		return true;
	default:
		break;
	}
	for (unsigned i = 0; i < x->num_options; i++) {
		if (span_eq_nocase(field->name, x->options[i]))
			return true;
	}
	return false;
}

static void take_fields(struct head *h, const struct facts *x)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < h->num; i++) {
		if (!is_taken(&h->fields[i], x))
			h->fields[kept++] = h->fields[i];
	}
	h->num = kept;
}

/* ---- requests: target and Host */

static bool read_absolute(struct head *h, struct span rest, struct http1_fault *f)
{
	size_t n = 0;

	while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
		n++;
	h->authority = span_of(rest.p, n);
	h->path = span_of(rest.p + n, rest.n - n);
	if (n == 0 || !authority_is_valid(h->authority))
		return http1_bad(f, 400, CAUSE_BAD_TARGET, "malformed authority in the target");
	if (h->path.n == 0) /* RFC 9112 3.2.4 */
		h->path = span_str(h->method == METHOD_OPTIONS ? "*" : "/");
	else if (h->path.p[0] == '?')
		h->path = head_print(h, "/%.*s", (int)h->path.n, h->path.p);
	return true;
}

static bool read_target(struct head *h, struct span target, bool *absolute, struct http1_fault *f)
{
	*absolute = false;
	if (target.p[0] == '/') {
		h->path = target;
		return true;
	}
	if (target.n == 1 && target.p[0] == '*') {
		h->path = target;
		if (h->method != METHOD_OPTIONS)
			return http1_bad(f, 400, CAUSE_BAD_TARGET, "* is for OPTIONS only");
		return true;
	}
	*absolute = true;
	if (target.n > 7 && is_word(span_of(target.p, 7), "http://"))
		return read_absolute(h, span_of(target.p + 7, target.n - 7), f);
	if (target.n > 8 && is_word(span_of(target.p, 8), "https://")) {
		h->is_https = true;
		return read_absolute(h, span_of(target.p + 8, target.n - 8), f);
	}
	return http1_bad(f, 400, CAUSE_BAD_TARGET,
			 "the target is neither a path nor http or https");
}

static bool read_host(struct head *h, const struct facts *x, bool absolute, struct http1_fault *f)
{
	if (x->num_host > 1)
		return http1_bad(f, 400, CAUSE_BAD_HOST, "more than one Host");
	if (x->num_host == 0)
		return h->version == 10 || http1_bad(f, 400, CAUSE_BAD_HOST, "no Host");
	if (!authority_is_valid(x->host))
		return http1_bad(f, 400, CAUSE_BAD_HOST, "malformed Host");
	if (!absolute)
		h->authority = x->host;
	else if (!authority_same(x->host, h->authority, h->is_https))
		return http1_bad(f, 400, CAUSE_BAD_HOST, "Host and target disagree");
	return true;
}

static bool read_request(struct http1_message *out, const struct http1_request_line *line,
			 const struct facts *x, struct http1_fault *f)
{
	struct head *h = out->head;
	bool absolute;

	if (h->method == METHOD_CONNECT || h->method == METHOD_TRACE)
		return http1_bad(f, 405, CAUSE_METHOD_REFUSED, "method is not served here");
	if (!read_target(h, line->target, &absolute, f) || !read_host(h, x, absolute, f) ||
	    !decide_framing(HTTP1_REQUEST, x, out, f))
		return false;
	if (x->num_expect > 1 || (x->num_expect == 1 && !is_word(x->expect, "100-continue")))
		return http1_bad(f, 417, CAUSE_EXPECTATION, "unknown expectation");
	/* RFC 9110 10.1.1: means nothing in HTTP/1.0, nor without a body. */
	h->expect_continue = x->num_expect == 1 && h->version > 10 && h->length != 0;
	if (x->upgrade_asked && h->version > 10 && h->length == 0)
		h->upgrade = x->upgrade;
	return true;
}

static bool read_response(struct http1_message *out, const struct http1_status_line *line,
			  const struct facts *x, struct http1_fault *f)
{
	struct head *h = out->head;

	h->status = (uint16_t)line->status;
	h->reason = line->reason;
	if (!decide_framing(HTTP1_RESPONSE, x, out, f))
		return false;
	if (h->status == 101) {
		if (!x->upgrade_asked || x->upgrade.n == 0)
			return bad_request(f, "101 without a protocol");
		h->upgrade = x->upgrade;
	}
	return true;
}

/* ---- whole heads */

static size_t count_lines(struct span s)
{
	size_t num = 0;

	struct span line;

	while (http1_cut(s, '\n', &line, &s))
		num++;
	return num;
}

/* Takes the first line apart, in the head's own copy, before anything else is known. */
static bool read_first_line(enum http1_kind kind, struct head *h, struct span bytes, char *own,
			    struct http1_request_line *request, struct http1_status_line *status,
			    struct http1_fault *f)
{
	const char *lf = memchr(bytes.p, '\n', bytes.n);
	struct span line = span_of(bytes.p, (size_t)(lf - bytes.p) - 1);

	if (kind == HTTP1_RESPONSE) {
		if (!http1_status_line(line, status, f))
			return false;
		h->version = status->minor == 0 ? 10 : 11;
		own[7] = status->minor == 0 ? '0' : '1';
		return true;
	}
	if (!http1_request_line(line, request, f))
		return false;
	h->method = method_of(request->method);
	h->method_name = request->method;
	h->path = request->target;
	h->version = request->minor == 0 ? 10 : 11;
	/* HTTP/1.2 and on: llhttp knows 1.1. */
	own[line.n - 1] = request->minor == 0 ? '0' : '1';
	return true;
}

bool http1_head_parse(enum http1_kind kind, struct span bytes, struct http1_message *out,
		      struct http1_fault *f)
{
	struct reading r = { .head = head_new(bytes.n) };
	struct http1_request_line request = { 0 };
	struct http1_status_line status = { 0 };
	struct facts x = { 0 };
	char *own;

	MUST(kind != HTTP1_TRAILERS);
	*out = (struct http1_message){ .head = r.head };
	if (r.head == NULL || (own = head_alloc(r.head, bytes.n)) == NULL)
		return http1_bad(f, 503, CAUSE_MEMORY, "out of memory");
	memcpy(own, bytes.p, bytes.n);
	bytes.p = own;
	if (!read_first_line(kind, r.head, bytes, own, &request, &status, f) ||
	    !read_fields(kind, bytes, count_lines(bytes) - 2, &r, f) || !gather(r.head, &x, f))
		return false;
	if (kind == HTTP1_REQUEST && !span_eq(r.target, request.target))
		return http1_bad(f, 400, CAUSE_BAD_TARGET, "malformed target");
	if (kind == HTTP1_REQUEST ? !read_request(out, &request, &x, f)
				  : !read_response(out, &status, &x, f))
		return false;
	take_fields(r.head, &x);
	out->keep = !x.close && (r.head->version > 10 || x.keep_alive);
	return !r.head->failed || http1_bad(f, 503, CAUSE_MEMORY, "out of memory");
}

/* ---- trailers */

bool http1_trailers_parse(struct span bytes, struct head **out, struct http1_fault *f)
{
	struct head *h = head_new(bytes.n);
	struct span rest = h == NULL ? bytes : head_copy(h, bytes);
	struct span line;
	struct span name;
	struct span value;

	if (h == NULL || h->failed)
		goto memory;
	while (http1_cut(rest, '\n', &line, &rest) && line.n > 1) {
		struct header field;

		MUST(http1_cut(span_of(line.p, line.n - 1), ':', &name, &value));
		field = (struct header){ .name = name, .id = header_id_of(name) };
		switch (trailer_judge(&field)) {
		case TRAILER_KEPT:
			head_add(h, name, span_trim(value));
			break;
		case TRAILER_DROPPED:
			break;
		case TRAILER_REFUSED:
			head_free(h);
			return bad_framing(f, "a framing field in the trailers");
		}
	}
	if (h->failed)
		goto memory;
	if (h->num == 0) {
		head_free(h);
		h = NULL;
	}
	*out = h;
	return true;
memory:
	head_free(h);
	return http1_bad(f, 503, CAUSE_MEMORY, "out of memory");
}
