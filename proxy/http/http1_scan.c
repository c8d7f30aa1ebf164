#include "proxy/http/http1_scan.h"

#include <limits.h>
#include <stdint.h>

#include "proxy/http/head.h"

bool http1_bad(struct http1_fault *f, unsigned status, enum cause why, const char *detail)
{
	*f = (struct http1_fault){ .status = status, .why = why, .detail = detail };
	return false;
}

static bool bad_request(struct http1_fault *f, const char *detail)
{
	return http1_bad(f, 400, CAUSE_BAD_REQUEST, detail);
}

/* ---- characters */

#define IN(c, a, b) ((c) >= (a) && (c) <= (b))

static bool is_digit(char c)
{
	return IN(c, '0', '9');
}

static bool is_tchar(char c)
{
	static const bool is[UCHAR_MAX + 1] = {
		['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['!'] = true,
		['#'] = true,	      ['$'] = true,	    ['%'] = true,	  ['&'] = true,
		['\''] = true,	      ['*'] = true,	    ['+'] = true,	  ['-'] = true,
		['.'] = true,	      ['^'] = true,	    ['_'] = true,	  ['`'] = true,
		['|'] = true,	      ['~'] = true,
	};

	return is[(unsigned char)c];
}

bool http1_is_token(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!is_tchar(s.p[i]))
			return false;
	}
	return s.n > 0;
}

/* VCHAR, obs-text, space and tab. */
static bool is_text(char c)
{
	unsigned char u = (unsigned char)c;

	return (u >= 0x20 && u != 0x7f) || u == '\t';
}

/* Whether one of eight bytes is below 0x20 or is 0x7f; or perhaps, where its neighbour is. */
static bool is_suspect(const char *p)
{
	const uint64_t ones = UINT64_MAX / UCHAR_MAX, tops = ones << 7;
	uint64_t x;
	uint64_t del;

	memcpy(&x, p, sizeof(x));
	del = x ^ ones * 0x7f;
	return (((x - ones * 0x20) & ~x) | ((del - ones) & ~del & ~x)) & tops;
}

/* Values are what heads are made of: eight bytes at a time. */
bool http1_is_value(struct span s)
{
	size_t i = 0;

	while (i < s.n) {
		if (s.n - i >= sizeof(uint64_t) && !is_suspect(s.p + i)) {
			i += sizeof(uint64_t);
			continue;
		}
		if (!is_text(s.p[i++]))
			return false;
	}
	return true;
}

/* Cuts `s` at the first `c`. False: there is none. */
bool http1_cut(struct span s, char c, struct span *before, struct span *after)
{
	const char *at = s.n == 0 ? NULL : memchr(s.p, c, s.n);

	if (at == NULL)
		return false;
	*before = span_of(s.p, (size_t)(at - s.p));
	*after = span_of(at + 1, s.n - before->n - 1);
	return true;
}

/* ---- the scan: single lines */

/* HTTP/1.x and nothing else. `*minor` is 0 or 1; what is newer speaks 1.1 (RFC 9110 2.5). */
static bool check_version(struct span s, unsigned *minor, struct http1_fault *f)
{
	if (s.n != 8 || memcmp(s.p, "HTTP/", 5) != 0 || !is_digit(s.p[5]) || s.p[6] != '.' ||
	    !is_digit(s.p[7]))
		return bad_request(f, "no HTTP version");
	if (s.p[5] == '0')
		return bad_request(f, "HTTP/0.9");
	if (s.p[5] != '1')
		return http1_bad(f, 505, CAUSE_HTTP_VERSION, "another version than HTTP/1");
	*minor = s.p[7] == '0' ? 0 : 1;
	return true;
}

bool http1_request_line(struct span line, struct http1_request_line *r, struct http1_fault *f)
{
	struct span rest;
	struct span version;

	if (!http1_cut(line, ' ', &r->method, &rest) || !http1_is_token(r->method))
		return bad_request(f, "no method");
	if (!http1_cut(rest, ' ', &r->target, &version))
		return bad_request(f, "no HTTP version");
	if (r->target.n == 0)
		return bad_request(f, "more than one space in the request line");
	if (!check_version(version, &r->minor, f))
		return false;
	for (size_t i = 0; i < r->target.n; i++) {
		if (!IN(r->target.p[i], 0x21, 0x7e))
			return http1_bad(f, 400, CAUSE_BAD_TARGET,
					 "a character that must be escaped");
		if (r->target.p[i] == '#')
			return http1_bad(f, 400, CAUSE_BAD_TARGET, "a fragment");
	}
	if (!method_is_known(r->method))
		return http1_bad(f, 501, CAUSE_UNKNOWN_METHOD, "unknown method");
	return true;
}

bool http1_status_line(struct span line, struct http1_status_line *r, struct http1_fault *f)
{
	const char *p = line.p + 9;

	if (line.n < 12 || line.p[8] != ' ')
		return bad_request(f, "no status line");
	if (!check_version(span_of(line.p, 8), &r->minor, f))
		return false;
	if (!IN(p[0], '1', '5') || !is_digit(p[1]) || !is_digit(p[2]) ||
	    (line.n > 12 && p[3] != ' '))
		return bad_request(f, "no status of three digits from 100 to 599");
	r->status = (unsigned)((p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0'));
	r->reason = line.n > 13 ? span_of(p + 4, line.n - 13) : span_of("", 0);
	if (!http1_is_value(r->reason))
		return bad_request(f, "a control character in the reason");
	return true;
}

static bool check_field(struct span line, struct http1_fault *f)
{
	struct span name;
	struct span value;

	if (line.p[0] == ' ' || line.p[0] == '\t')
		return bad_request(f, "a folded field");
	if (!http1_cut(line, ':', &name, &value))
		return bad_request(f, "a field without a colon");
	if (name.n > 0 && (name.p[name.n - 1] == ' ' || name.p[name.n - 1] == '\t'))
		return bad_request(f, "a space before the colon");
	if (!http1_is_token(name))
		return bad_request(f, "a field's name is no token");
	if (!http1_is_value(value))
		return bad_request(f, "a control character in a field");
	return true;
}

static bool check_line(enum http1_kind kind, bool first, struct span line, struct http1_fault *f)
{
	struct http1_request_line request;
	struct http1_status_line status;

	if (!first || kind == HTTP1_TRAILERS)
		return check_field(line, f);
	if (kind == HTTP1_REQUEST)
		return http1_request_line(line, &request, f);
	return http1_status_line(line, &status, f);
}

/* ---- the scan */

static enum http1_found too_large(const struct http1_scan *s, enum http1_kind kind,
				  struct http1_fault *f)
{
	if (kind == HTTP1_REQUEST && s->lines == 0)
		(void)http1_bad(f, 414, CAUSE_TARGET_TOO_LONG, "the request line is too long");
	else
		(void)http1_bad(f, 431, CAUSE_HEADER_TOO_LARGE, "the fields are too large");
	return HTTP1_BAD;
}

/* One whole line, without its end. True: go on. */
static bool scan_line(struct http1_scan *s, enum http1_kind kind, unsigned max_fields,
		      struct span line, struct http1_fault *f)
{
	bool first = s->lines == 0;
	unsigned num_before = kind == HTTP1_TRAILERS ? 0 : 1;

	if (!check_line(kind, first, line, f))
		return false;
	s->lines++;
	if (s->lines > num_before && s->lines - num_before > max_fields)
		return http1_bad(f, 431, CAUSE_HEADER_TOO_LARGE, "too many fields");
	return true;
}

enum http1_found http1_scan(struct http1_scan *s, enum http1_kind kind, struct http1_bounds bounds,
			    struct span bytes, size_t *len, struct http1_fault *fault)
{
	/* Something else than HTTP (TLS, for one) may never send a line: say so at once. */
	if (kind == HTTP1_REQUEST && bytes.n > 0 && !is_tchar(bytes.p[0])) {
		(void)bad_request(fault, "does not begin with a method");
		return HTTP1_BAD;
	}
	for (;;) {
		const char *lf = bytes.n > s->seen
					 ? memchr(bytes.p + s->seen, '\n', bytes.n - s->seen)
					 : NULL;
		size_t end;
		struct span line;

		if (lf == NULL) {
			s->seen = bytes.n;
			return bytes.n >= bounds.max_size ? too_large(s, kind, fault) : HTTP1_MORE;
		}
		end = (size_t)(lf - bytes.p);
		if (end >= bounds.max_size)
			return too_large(s, kind, fault);
		if (end == s->line || bytes.p[end - 1] != '\r') {
			(void)bad_request(fault, "a line that does not end with CR LF");
			return HTTP1_BAD;
		}
		line = span_of(bytes.p + s->line, end - 1 - s->line);
		if (line.n == 0 && (s->lines > 0 || kind == HTTP1_TRAILERS)) {
			*len = end + 1;
			return HTTP1_WHOLE;
		}
		if (line.n == 0) {
			(void)bad_request(fault, "an empty first line");
			return HTTP1_BAD;
		}
		if (!scan_line(s, kind, bounds.max_fields, line, fault))
			return HTTP1_BAD;
		s->line = s->seen = end + 1;
	}
}
