#include "proxy/http/forward.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "proxy/http/uri.h"
#include "proxy/net/network.h"

enum { REQUEST_ID_MAX = 128, HOPS_MAX = 64, MAX_FORWARDS_DIGITS = 9 };

static bool is_x(const struct conf_http *http)
{
	return http->forwarded == CONF_FORWARDED_X || http->forwarded == CONF_FORWARDED_BOTH;
}

static bool is_rfc(const struct conf_http *http)
{
	return http->forwarded == CONF_FORWARDED_RFC || http->forwarded == CONF_FORWARDED_BOTH;
}

static bool has_address(const struct forward_facts *f)
{
	return f->family == AF_INET || f->family == AF_INET6;
}

/* ---- what an untrusted client may not say */

/* As a server sees it that makes variables of fields: to CGI and its children all that is neither
 * letter nor digit is the same. */
static char plain_char(char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
		return c;
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : '-';
}

/* Whether `name` begins like `other`, which is no longer. */
static bool read_alike(struct span name, struct span other)
{
	for (size_t i = 0; i < other.n; i++) {
		if (plain_char(name.p[i]) != plain_char(other.p[i]))
			return false;
	}
	return true;
}

/* By prefix: also X-Forwarded-Client-Cert, -Prefix, and what others have thought of. */
static bool is_claim(struct span name)
{
	static const char family[] = "x-forwarded-", rfc[] = "forwarded", id[] = "x-request-id";
	struct span prefix = span_of(family, sizeof(family) - 1);

	if (name.n >= prefix.n && read_alike(name, prefix))
		return true;
	return (name.n == sizeof(rfc) - 1 && read_alike(name, span_of(rfc, name.n))) ||
	       (name.n == sizeof(id) - 1 && read_alike(name, span_of(id, name.n)));
}

static void remove_claims(struct head *h)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < h->num; i++) {
		if (!is_claim(h->fields[i].name))
			h->fields[kept++] = h->fields[i];
	}
	h->num = kept;
}

/* ---- whom to believe */

/* Reads "192.0.2.1", "2001:db8::1" or "[2001:db8::1]", the first and last perhaps with a port. */
static bool parse_hop(struct span text, uint8_t *family, uint8_t bytes[16])
{
	char copy[INET6_ADDRSTRLEN];
	const char *colon = text.n == 0 ? NULL : memchr(text.p, ':', text.n), *end;

	if (text.n > 0 && text.p[0] == '[') {
		end = memchr(text.p, ']', text.n);
		if (end == NULL || (end + 1 < text.p + text.n && end[1] != ':'))
			return false;
		text = span_of(text.p + 1, (size_t)(end - text.p) - 1);
	} else if (colon != NULL && memchr(text.p, '.', (size_t)(colon - text.p)) != NULL) {
		text.n = (size_t)(colon - text.p);
	}
	if (text.n == 0 || text.n >= sizeof(copy) || memchr(text.p, '\0', text.n) != NULL)
		return false;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	*family = memchr(copy, ':', text.n) == NULL ? AF_INET : AF_INET6;
	return inet_pton(*family, copy, bytes) == 1;
}

/* Cuts the last element off a list that knows no quoting; empty: there was nothing in it. */
static struct span last_of(struct span *list)
{
	struct span rest, element = span_of("", 0);
	size_t start = list->n;

	while (start > 0 && list->p[start - 1] != ',')
		start--;
	rest = span_of(list->p + start, list->n - start);
	(void)header_next(&rest, &element); /* takes the white space off */
	list->n = start > 0 ? start - 1 : 0;
	return element;
}

enum hop { HOP_TRUSTED, HOP_CLIENT, HOP_BROKEN };

static enum hop judge_hop(struct span text, const struct forward_facts *f, struct head *h,
			  struct forward_result *out)
{
	char canonical[INET6_ADDRSTRLEN];
	uint8_t family, bytes[16] = { 0 };

	if (!parse_hop(text, &family, bytes))
		return HOP_BROKEN;
	if (network_contains(f->trusted_proxies, f->num_trusted_proxies, family, bytes))
		return HOP_TRUSTED;
	if (inet_ntop(family, bytes, canonical, sizeof(canonical)) == NULL)
		return HOP_BROKEN;
	out->client = head_copy(h, span_str(canonical));
	out->family = family;
	memcpy(out->address, bytes, sizeof(bytes));
	return HOP_CLIENT;
}

/* `out` has the peer, and keeps it where nobody better is found. */
static void find_client(struct head *h, const struct forward_facts *f, struct forward_result *out)
{
	unsigned hops = 0;

	for (uint32_t i = h->num; i-- > 0;) {
		struct span list = h->fields[i].value;

		if (h->fields[i].id != HEADER_X_FORWARDED_FOR)
			continue;
		while (list.n > 0) {
			struct span element = last_of(&list);

			if (element.n == 0)
				continue;
			if (hops++ == HOPS_MAX || judge_hop(element, f, h, out) != HOP_TRUSTED)
				return;
		}
	}
}

/* ---- what is written */

static struct span join(struct head *h, const struct span *parts, size_t num)
{
	size_t n = 0, used = 0;
	char *p;

	for (size_t i = 0; i < num; i++)
		n += parts[i].n;
	if ((p = head_alloc(h, n)) == NULL)
		return span_of("", 0);
	for (size_t i = 0; i < num; i++) {
		if (parts[i].n > 0)
			memcpy(p + used, parts[i].p, parts[i].n);
		used += parts[i].n;
	}
	return span_of(p, n);
}

/* Writes a list field afresh, as one, with `own` behind all that was there. */
static void append(struct head *h, enum header_id id, struct span own)
{
	size_t n = own.n, used = 0;
	char *p;

	for (uint32_t i = 0; i < h->num; i++) {
		if (h->fields[i].id == id)
			n += h->fields[i].value.n + 2;
	}
	if (n > own.n) {
		if ((p = head_alloc(h, n)) == NULL)
			return;
		for (uint32_t i = 0; i < h->num; i++) {
			struct span value = h->fields[i].value;

			if (h->fields[i].id != id || value.n == 0)
				continue;
			memcpy(p + used, value.p, value.n);
			used += value.n;
			p[used++] = ',';
			p[used++] = ' ';
		}
		memcpy(p + used, own.p, own.n);
		own = span_of(p, used + own.n);
		head_remove(h, id);
	}
	head_add_id(h, id, own);
}

static void keep_or_add(struct head *h, enum header_id id, struct span value)
{
	if (head_find(h, id) == NULL && value.n > 0)
		head_add_id(h, id, value);
}

static struct span scheme_of(const struct forward_facts *f)
{
	return span_str(f->is_tls ? "https" : "http");
}

/* Not by head_print: every request passes here. Empty: there is none. */
static struct span port_text(struct head *h, unsigned port)
{
	char digits[5];
	size_t at = sizeof(digits);

	for (; port > 0 && at > 0; port /= 10)
		digits[--at] = (char)('0' + port % 10);
	return head_copy(h, span_of(digits + at, sizeof(digits) - at));
}

static void write_x(struct head *h, const struct forward_facts *f)
{
	if (has_address(f))
		append(h, HEADER_X_FORWARDED_FOR, f->client);
	keep_or_add(h, HEADER_X_FORWARDED_PROTO, scheme_of(f));
	keep_or_add(h, HEADER_X_FORWARDED_HOST, h->authority);
	keep_or_add(h, HEADER_X_FORWARDED_PORT, port_text(h, f->port));
}

static bool is_token(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL)))
			return false;
	}
	return s.n > 0;
}

/* As a token where it is one, else as a quoted string (RFC 9110 5.6.4). */
static struct span value_of(struct head *h, struct span s)
{
	size_t n = 0;
	char *p;

	if (is_token(s) || (p = head_alloc(h, 2 * s.n + 2)) == NULL)
		return s;
	p[n++] = '"';
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			p[n++] = '\\';
		p[n++] = s.p[i];
	}
	p[n++] = '"';
	return span_of(p, n);
}

/* RFC 7239 4; an IPv6 address is in brackets and thus quoted (6.1). */
static void write_rfc(struct head *h, const struct forward_facts *f)
{
	bool has_host = h->authority.n > 0, is_v6 = f->family == AF_INET6;
	const struct span parts[] = {
		span_str(is_v6 ? "for=\"[" : "for="),
		has_address(f) ? f->client : span_str("unknown"),
		span_str(is_v6 ? "]\";proto=" : ";proto="),
		scheme_of(f),
		span_str(has_host ? ";host=" : ""),
		has_host ? value_of(h, h->authority) : span_str(""),
	};

	append(h, HEADER_FORWARDED, join(h, parts, sizeof(parts) / sizeof(parts[0])));
}

/* ---- request ids, Via, Max-Forwards */

static bool is_sane_id(struct span id)
{
	for (size_t i = 0; i < id.n; i++) {
		if (id.p[i] <= ' ' || id.p[i] > '~')
			return false;
	}
	return id.n > 0 && id.n <= REQUEST_ID_MAX;
}

static struct span make_id(struct head *h, const struct forward_facts *f)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t bytes[16];
	char text[2 * sizeof(bytes)];

	if (!f->random(f->owner, bytes))
		return span_of("", 0);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		text[2 * i] = hex[bytes[i] >> 4];
		text[2 * i + 1] = hex[bytes[i] & 15];
	}
	return head_copy(h, span_of(text, sizeof(text)));
}

static struct span write_id(struct head *h, const struct forward_facts *f)
{
	const struct header *there = head_find(h, HEADER_X_REQUEST_ID);
	struct span id = there == NULL ? span_of("", 0) : there->value;

	if (!is_sane_id(id))
		id = make_id(h, f);
	head_remove(h, HEADER_X_REQUEST_ID);
	if (id.n > 0)
		head_add_id(h, HEADER_X_REQUEST_ID, id);
	return id;
}

/* RFC 9110 7.6.3. */
static void write_via(struct head *h)
{
	static const char http10[] = "1.0 sallyport", http11[] = "1.1 sallyport";
	static const char http2[] = "2.0 sallyport";
	const char *via = http11;

	if (h->version == 10)
		via = http10;
	else if (h->version == 20)
		via = http2;
	head_add_id(h, HEADER_VIA, span_str(via));
}

/* RFC 9110 7.6.2. What is no number, or one of several, is left to those behind us. True: it must
 * go no further. */
static bool count_down(struct head *h)
{
	struct header *only = NULL;
	uint32_t left = 0;

	for (uint32_t i = 0; i < h->num; i++) {
		if (h->fields[i].id != HEADER_MAX_FORWARDS)
			continue;
		if (only != NULL)
			return false;
		only = &h->fields[i];
	}
	if (only == NULL || only->value.n == 0 || only->value.n > MAX_FORWARDS_DIGITS)
		return false;
	for (size_t i = 0; i < only->value.n; i++) {
		char c = only->value.p[i];

		if (c < '0' || c > '9')
			return false;
		left = left * 10 + (uint32_t)(c - '0');
	}
	if (left == 0)
		return true;
	only->value = head_print(h, "%u", (unsigned)(left - 1));
	return false;
}

void forward_request(struct head *h, const struct forward_facts *f, struct forward_result *out)
{
	if (!f->trusted)
		remove_claims(h);
	*out = (struct forward_result){ .client = f->client, .family = f->family };
	memcpy(out->address, f->address, sizeof(out->address));
	if (f->trusted)
		find_client(h, f, out);
	out->answer_here = h->method == METHOD_OPTIONS && count_down(h);
	if (is_x(f->http))
		write_x(h, f);
	if (is_rfc(f->http))
		write_rfc(h, f);
	out->request_id = write_id(h, f);
	write_via(h);
}

void forward_trailers(struct head *trailers)
{
	remove_claims(trailers);
}

/* ---- responses */

void forward_response(struct head *h, const struct conf_http *http, struct span date)
{
	if (head_find(h, HEADER_DATE) == NULL)
		head_add_id(h, HEADER_DATE, head_copy(h, date));
	if (http != NULL && http->server_header != NULL) {
		head_remove(h, HEADER_SERVER);
		head_add_id(h, HEADER_SERVER, span_str(http->server_header));
	}
}

static void put_digits(char *out, unsigned num, unsigned value)
{
	while (num-- > 0) {
		out[num] = (char)('0' + value % 10);
		value /= 10;
	}
}

void http_date(time_t t, char out[30])
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	static const time_t last = INT64_C(253402300799); /* of the year 9999 */
	struct tm tm;

	if (t < 0)
		t = 0;
	else if (t > last)
		t = last;
	memset(&tm, 0, sizeof(tm));
	(void)gmtime_r(&t, &tm);
	memcpy(out, "Ddd, 00 Mmm 0000 00:00:00 GMT", 30);
	memcpy(out, days + (size_t)tm.tm_wday * 3, 3);
	put_digits(out + 5, 2, (unsigned)tm.tm_mday);
	memcpy(out + 8, months + (size_t)tm.tm_mon * 3, 3);
	put_digits(out + 12, 4, (unsigned)tm.tm_year + 1900);
	put_digits(out + 17, 2, (unsigned)tm.tm_hour);
	put_digits(out + 20, 2, (unsigned)tm.tm_min);
	put_digits(out + 23, 2, (unsigned)tm.tm_sec);
}

/* ---- edits */

static bool is_codecs(enum header_id id)
{
	switch (id) {
	case HEADER_CONNECTION:
	case HEADER_CONTENT_LENGTH:
	case HEADER_HTTP2_SETTINGS:
	case HEADER_KEEP_ALIVE:
	case HEADER_PROXY_CONNECTION:
	case HEADER_TE:
	case HEADER_TRAILER:
	case HEADER_TRANSFER_ENCODING:
	case HEADER_UPGRADE:
		return true;
	default:
		return false;
	}
}

/* What is a field in the configuration and something else in a head is done here. */
static bool edit_aside(struct head *h, struct span name, struct span value)
{
	enum header_id id = header_id_of(name);

	if (id != HEADER_HOST)
		return is_codecs(id);
	if (h->method != METHOD_NONE)
		h->authority = value;
	return true;
}

/* Of a request also what reads the same to the server: a client shall not say in another spelling
 * what is taken away or set here. */
static void remove_name(struct head *h, struct span name)
{
	uint32_t kept = 0;

	if (h->method == METHOD_NONE) {
		head_remove_name(h, name);
		return;
	}
	for (uint32_t i = 0; i < h->num; i++) {
		if (h->fields[i].name.n != name.n || !read_alike(h->fields[i].name, name))
			h->fields[kept++] = h->fields[i];
	}
	h->num = kept;
}

void edits_apply(struct head *h, const struct conf_edits *e)
{
	for (size_t i = 0; i < e->num_remove; i++)
		remove_name(h, span_str(e->remove[i]));
	for (size_t i = 0; i < e->num_set; i++) {
		struct span name = span_str(e->set[i].name), value = span_str(e->set[i].value);

		if (edit_aside(h, name, value))
			continue;
		remove_name(h, name);
		head_add(h, name, value);
	}
	for (size_t i = 0; i < e->num_add; i++) {
		struct span name = span_str(e->add[i].name), value = span_str(e->add[i].value);

		if (!edit_aside(h, name, value))
			head_add(h, name, value);
	}
}

void hsts_add(struct head *h, const struct conf_hsts *hsts)
{
	head_remove(h, HEADER_STRICT_TRANSPORT_SECURITY);
	head_add_id(h, HEADER_STRICT_TRANSPORT_SECURITY,
		    head_print(h, "max-age=%lld%s%s",
			       (long long)(hsts->max_age_ns / INT64_C(1000000000)),
			       hsts->include_subdomains ? "; includeSubDomains" : "",
			       hsts->preload ? "; preload" : ""));
}

/* ---- prefixes */

static struct span normal_prefix(struct head *h, struct span prefix)
{
	const char *why;
	struct uri uri;
	char *p;

	/* Most are in their form; asking costs less than a copy. */
	if (memchr(prefix.p, '%', prefix.n) == NULL && memmem(prefix.p, prefix.n, "/.", 2) == NULL)
		return prefix;
	if ((p = head_alloc(h, prefix.n)) == NULL || !uri_normalise(prefix, false, p, &uri, &why) ||
	    uri.query.n > 0)
		return prefix;
	return uri.path;
}

struct span strip_prefix(struct head *h, struct span path, const char *prefix)
{
	struct span p = span_str(prefix), rest;

	if (p.n > 0)
		p = normal_prefix(h, p);
	/* "/api" and "/api/" take the same off, but for what they match. */
	if (p.n == 0 || path.n < p.n || memcmp(path.p, p.p, p.n) != 0)
		return path;
	if (p.p[p.n - 1] == '/')
		p.n--;
	rest = span_of(path.p + p.n, path.n - p.n);
	if (rest.n > 0 && rest.p[0] == '/')
		return rest;
	if (rest.n == 0)
		return span_of("/", 1);
	if (rest.p[0] != '?')
		return path;
	return join(h, (const struct span[]){ span_of("/", 1), rest }, 2);
}
