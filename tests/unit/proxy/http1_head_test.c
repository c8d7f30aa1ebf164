/* Heads of HTTP/1: what is taken, in which form, and what is refused, with the reason. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/http/http1_head.h"

#define H "Host: a\r\n"

static const struct http1_bounds bounds = { .max_size = 1024, .max_fields = 8 };

/* Scans `text` as it would come in two pieces, and parses what is whole. NULL: `*f` says why, or
 * more is needed (status 0). */
static struct head *read_cut(enum http1_kind kind, struct span text, size_t at,
			     struct http1_message *m, struct http1_fault *f)
{
	struct http1_scan s = { 0 };
	enum http1_found found = HTTP1_MORE;
	size_t len = 0;

	*f = (struct http1_fault){ 0 };
	*m = (struct http1_message){ 0 };
	if (at < text.n)
		found = http1_scan(&s, kind, bounds, span_of(text.p, at), &len, f);
	if (found == HTTP1_MORE)
		found = http1_scan(&s, kind, bounds, text, &len, f);
	if (found != HTTP1_WHOLE)
		return NULL;
	if (http1_head_parse(kind, span_of(text.p, len), m, f))
		return m->head;
	head_free(m->head);
	m->head = NULL;
	return NULL;
}

static struct head *read_all(enum http1_kind kind, const char *text, struct http1_message *m,
			     struct http1_fault *f)
{
	return read_cut(kind, span_str(text), strlen(text), m, f);
}

static void eq(struct span s, const char *want)
{
	cr_assert(span_eq(s, span_str(want)), "wanted <%s>, have <%.*s>", want, (int)s.n, s.p);
}

/* ---- requests that are refused: text, status, cause, and what the text becomes without harm */

struct refusal {
	const char *text;
	unsigned status;
	enum cause why;
	const char *twin; /* the same without what is wrong */
};

static const struct refusal refusals[] = {
	{ "GET /\r\n" H "\r\n", 400, CAUSE_BAD_REQUEST, "GET / HTTP/1.1\r\n" H "\r\n" },
	{ "GET / HTTP/0.9\r\n" H "\r\n", 400, CAUSE_BAD_REQUEST, "GET / HTTP/1.0\r\n" H "\r\n" },
	{ "GET / HTTP/2.0\r\n" H "\r\n", 505, CAUSE_HTTP_VERSION, "GET / HTTP/1.2\r\n" H "\r\n" },
	{ "PRI * HTTP/2.0\r\n\r\n", 505, CAUSE_HTTP_VERSION, "OPTIONS * HTTP/1.0\r\n\r\n" },
	{ "GET / HTTP/1.10\r\n" H "\r\n", 400, CAUSE_BAD_REQUEST, "GET / HTTP/1.1\r\n" H "\r\n" },
	{ "GET / http/1.1\r\n" H "\r\n", 400, CAUSE_BAD_REQUEST, NULL },
	{ "GET / HTTP/1.1 \r\n" H "\r\n", 400, CAUSE_BAD_REQUEST, NULL },
	{ "GET  / HTTP/1.1\r\n" H "\r\n", 400, CAUSE_BAD_REQUEST, NULL },
	{ "GET /  HTTP/1.1\r\n" H "\r\n", 400, CAUSE_BAD_REQUEST, NULL },
	{ "GET /a b HTTP/1.1\r\n" H "\r\n", 400, CAUSE_BAD_REQUEST,
	  "GET /a%20b HTTP/1.1\r\n" H "\r\n" },
	{ "GET\t/ HTTP/1.1\r\n" H "\r\n", 400, CAUSE_BAD_REQUEST, NULL },
	{ " GET / HTTP/1.1\r\n" H "\r\n", 400, CAUSE_BAD_REQUEST, NULL },
	{ "\x16\x03\x01", 400, CAUSE_BAD_REQUEST, NULL },
	{ "get / HTTP/1.1\r\n" H "\r\n", 501, CAUSE_UNKNOWN_METHOD, NULL },
	{ "BREW / HTTP/1.1\r\n" H "\r\n", 501, CAUSE_UNKNOWN_METHOD,
	  "M-SEARCH / HTTP/1.1\r\n" H "\r\n" },
	{ "DESCRIBE / HTTP/1.1\r\n" H "\r\n", 501, CAUSE_UNKNOWN_METHOD, NULL },
	{ "SOURCE / HTTP/1.1\r\n" H "\r\n", 501, CAUSE_UNKNOWN_METHOD, NULL },
	{ "G(T / HTTP/1.1\r\n" H "\r\n", 400, CAUSE_BAD_REQUEST, NULL },
	{ "CONNECT a:443 HTTP/1.1\r\n" H "\r\n", 405, CAUSE_METHOD_REFUSED, NULL },
	{ "TRACE / HTTP/1.1\r\n" H "\r\n", 405, CAUSE_METHOD_REFUSED, NULL },
	{ "GET * HTTP/1.1\r\n" H "\r\n", 400, CAUSE_BAD_TARGET, "OPTIONS * HTTP/1.1\r\n" H "\r\n" },
	{ "GET /#x HTTP/1.1\r\n" H "\r\n", 400, CAUSE_BAD_TARGET,
	  "GET /%23x HTTP/1.1\r\n" H "\r\n" },
	{ "GET /\x80 HTTP/1.1\r\n" H "\r\n", 400, CAUSE_BAD_TARGET,
	  "GET /%80 HTTP/1.1\r\n" H "\r\n" },
	{ "GET /\x01 HTTP/1.1\r\n" H "\r\n", 400, CAUSE_BAD_TARGET, NULL },
	{ "GET a HTTP/1.1\r\n" H "\r\n", 400, CAUSE_BAD_TARGET, NULL },
	{ "GET a:80 HTTP/1.1\r\n" H "\r\n", 400, CAUSE_BAD_TARGET, NULL },
	{ "GET ftp://a/ HTTP/1.1\r\n" H "\r\n", 400, CAUSE_BAD_TARGET,
	  "GET http://a/ HTTP/1.1\r\n" H "\r\n" },
	{ "GET http:///x HTTP/1.1\r\n" H "\r\n", 400, CAUSE_BAD_TARGET, NULL },
	{ "GET http://u@a/ HTTP/1.1\r\n" H "\r\n", 400, CAUSE_BAD_TARGET, NULL },
	{ "GET http://b/ HTTP/1.1\r\n" H "\r\n", 400, CAUSE_BAD_HOST, NULL },
	{ "GET http://a:81/ HTTP/1.1\r\n" H "\r\n", 400, CAUSE_BAD_HOST,
	  "GET http://a:80/ HTTP/1.1\r\n" H "\r\n" },
	{ "GET / HTTP/1.1\r\n\r\n", 400, CAUSE_BAD_HOST, "GET / HTTP/1.0\r\n\r\n" },
	{ "GET / HTTP/1.1\r\n" H H "\r\n", 400, CAUSE_BAD_HOST, NULL },
	{ "GET / HTTP/1.0\r\n" H H "\r\n", 400, CAUSE_BAD_HOST, NULL },
	{ "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, CAUSE_BAD_HOST, NULL },
	{ "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, CAUSE_BAD_HOST, NULL },
	{ "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, CAUSE_BAD_HOST, NULL },
	{ "GET / HTTP/1.1\n" H "\r\n", 400, CAUSE_BAD_REQUEST, NULL },
	{ "GET / HTTP/1.1\r\nHost: a\n\r\n", 400, CAUSE_BAD_REQUEST, NULL },
	{ "GET / HTTP/1.1\r\n" H "\n", 400, CAUSE_BAD_REQUEST, NULL },
	{ "GET / HTTP/1.1\r\n" H "A: b\rc\r\n\r\n", 400, CAUSE_BAD_REQUEST, NULL },
	{ "GET / HTTP/1.1\r\r\n" H "\r\n", 400, CAUSE_BAD_REQUEST, NULL },
	{ "GET / HTTP/1.1\r\n" H "A: b\r\n c\r\n\r\n", 400, CAUSE_BAD_REQUEST,
	  "GET / HTTP/1.1\r\n" H "A: b\r\nc: d\r\n\r\n" },
	{ "GET / HTTP/1.1\r\n" H "A: b\r\n\tc\r\n\r\n", 400, CAUSE_BAD_REQUEST, NULL },
	{ "GET / HTTP/1.1\r\n A: b\r\n" H "\r\n", 400, CAUSE_BAD_REQUEST, NULL },
	{ "GET / HTTP/1.1\r\n" H "A : b\r\n\r\n", 400, CAUSE_BAD_REQUEST,
	  "GET / HTTP/1.1\r\n" H "A: b\r\n\r\n" },
	{ "GET / HTTP/1.1\r\n" H ": b\r\n\r\n", 400, CAUSE_BAD_REQUEST, NULL },
	{ "GET / HTTP/1.1\r\n" H "A\r\n\r\n", 400, CAUSE_BAD_REQUEST, NULL },
	{ "GET / HTTP/1.1\r\n" H "A[]: b\r\n\r\n", 400, CAUSE_BAD_REQUEST, NULL },
	{ "GET / HTTP/1.1\r\n" H "A\x80: b\r\n\r\n", 400, CAUSE_BAD_REQUEST, NULL },
	{ "GET / HTTP/1.1\r\n" H "A: \x01\r\n\r\n", 400, CAUSE_BAD_REQUEST,
	  "GET / HTTP/1.1\r\n" H "A: \x80\t\r\n\r\n" },
	{ "GET / HTTP/1.1\r\n" H "A: \x7f\r\n\r\n", 400, CAUSE_BAD_REQUEST, NULL },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
	  CAUSE_BAD_FRAMING, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n" },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400,
	  CAUSE_BAD_FRAMING, NULL },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400,
	  CAUSE_BAD_FRAMING, "POST / HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\n" },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400,
	  CAUSE_BAD_FRAMING, NULL },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\n", 400, CAUSE_BAD_FRAMING, NULL },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\n", 400, CAUSE_BAD_FRAMING, NULL },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", 400, CAUSE_BAD_FRAMING, NULL },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 0x1\r\n\r\n", 400, CAUSE_BAD_FRAMING, NULL },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 1 1\r\n\r\n", 400, CAUSE_BAD_FRAMING, NULL },
	{ "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 400, CAUSE_BAD_FRAMING, NULL },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775808\r\n\r\n", 400,
	  CAUSE_BAD_FRAMING,
	  "POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775807\r\n\r\n" },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551617\r\n\r\n", 400,
	  CAUSE_BAD_FRAMING, NULL },
	{ "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 400, CAUSE_BAD_FRAMING,
	  NULL },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\n", 501, CAUSE_UNKNOWN_CODING,
	  NULL },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", 501,
	  CAUSE_UNKNOWN_CODING, NULL },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", 501, CAUSE_UNKNOWN_CODING,
	  NULL },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, gzip\r\n\r\n", 400,
	  CAUSE_BAD_FRAMING, NULL },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n", 400,
	  CAUSE_BAD_FRAMING, NULL },
	{ "POST / HTTP/1.1\r\n" H
	  "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
	  400, CAUSE_BAD_FRAMING, NULL },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n",
	  400, CAUSE_BAD_FRAMING, NULL },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked,\r\n\r\n", 400, CAUSE_BAD_FRAMING,
	  "POST / HTTP/1.1\r\n" H "Transfer-Encoding: CHUNKED \r\n\r\n" },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;q=1\r\n\r\n", 400, CAUSE_BAD_FRAMING,
	  NULL },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n", 400, CAUSE_BAD_FRAMING,
	  NULL },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked x\r\n\r\n", 400, CAUSE_BAD_FRAMING,
	  NULL },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n", 501, CAUSE_UNKNOWN_CODING,
	  NULL },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n", 400, CAUSE_BAD_FRAMING, NULL },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
	  CAUSE_BAD_FRAMING, NULL },
	{ "POST / HTTP/1.1\r\n" H "Expect: 200-ok\r\nContent-Length: 1\r\n\r\n", 417,
	  CAUSE_EXPECTATION,
	  "POST / HTTP/1.1\r\n" H "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n" },
	{ "GET / HTTP/1.1\r\n" H "Connection: a b\r\n\r\n", 400, CAUSE_BAD_REQUEST,
	  "GET / HTTP/1.1\r\n" H "Connection: a, b\r\n\r\n" },
	{ "GET / HTTP/1.1\r\n" H
	  "Connection: a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\r\n\r\n",
	  400, CAUSE_BAD_REQUEST, NULL },
	{ "GET / HTTP/1.1\r\n" H "1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n8:\r\n\r\n", 431,
	  CAUSE_HEADER_TOO_LARGE,
	  "GET / HTTP/1.1\r\n" H "1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n\r\n" },
};

Test(http1_head, what_two_parsers_could_read_differently_is_refused)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		const struct refusal *r = &refusals[i];
		struct http1_message m;
		struct http1_fault f;

		cr_assert_null(read_all(HTTP1_REQUEST, r->text, &m, &f), "taken: %s", r->text);
		cr_assert_eq(f.status, r->status, "%u, not %u (%s): %s", f.status, r->status,
			     f.detail == NULL ? "" : f.detail, r->text);
		cr_assert_eq(f.why, r->why, "%s: %s", cause_name(f.why), r->text);
		cr_assert_not_null(f.detail);
		if (r->twin == NULL)
			continue;
		cr_assert_not_null(read_all(HTTP1_REQUEST, r->twin, &m, &f), "refused: %s: %s",
				   f.detail, r->twin);
		head_free(m.head);
	}
}

Test(http1_head, where_the_input_is_cut_changes_nothing)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		struct span text = span_str(refusals[i].text);

		for (size_t at = 0; at < text.n; at++) {
			struct http1_message m;
			struct http1_fault f;

			cr_assert_null(read_cut(HTTP1_REQUEST, text, at, &m, &f));
			cr_assert_eq(f.status, refusals[i].status);
			cr_assert_eq(f.why, refusals[i].why);
		}
	}
}

Test(http1_head, nul_is_refused_wherever_it_is)
{
	static const char text[] = "GET / HTTP/1.1\r\n" H "A: b\r\n\r\n";

	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		char copy[sizeof(text)];
		struct http1_message m;
		struct http1_fault f;

		memcpy(copy, text, sizeof(text));
		copy[i] = '\0';
		cr_assert_null(read_cut(HTTP1_REQUEST, span_of(copy, sizeof(text) - 1),
					sizeof(text) - 1, &m, &f));
		if (i < sizeof(text) - 3)
			cr_assert_eq(f.status, 400, "at %zu: %u", i, f.status);
	}
}

Test(http1_head, size_is_bounded_by_line_and_whole)
{
	char text[2048];
	struct http1_message m;
	struct http1_fault f;

	(void)snprintf(text, sizeof(text), "GET /%01100d HTTP/1.1\r\n", 0);
	cr_assert_null(read_all(HTTP1_REQUEST, text, &m, &f));
	cr_assert_eq(f.status, 414);
	(void)snprintf(text, sizeof(text), "GET /%01100d", 0);
	cr_assert_null(read_all(HTTP1_REQUEST, text, &m, &f));
	cr_assert_eq(f.status, 414);
	(void)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" H "A: %01100d\r\n\r\n", 0);
	cr_assert_null(read_all(HTTP1_REQUEST, text, &m, &f));
	cr_assert_eq(f.status, 431);
	for (size_t at = 0; at < strlen(text); at += 7) {
		cr_assert_null(read_cut(HTTP1_REQUEST, span_str(text), at, &m, &f));
		cr_assert_eq(f.status, 431);
	}
	/* Exactly as large as it may be, and one byte more. */
	(void)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" H "A: %0*d\r\n\r\n",
		       1024 - (int)strlen("GET / HTTP/1.1\r\n" H "A: \r\n\r\n"), 0);
	cr_assert_not_null(read_all(HTTP1_REQUEST, text, &m, &f));
	head_free(m.head);
	(void)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" H "A: %0*d\r\n\r\n",
		       1025 - (int)strlen("GET / HTTP/1.1\r\n" H "A: \r\n\r\n"), 0);
	cr_assert_null(read_all(HTTP1_REQUEST, text, &m, &f));
	cr_assert_eq(f.status, 431);
}

/* ---- requests that are taken */

Test(http1_head, a_request_in_the_terms_of_every_version)
{
	struct http1_message m;
	struct http1_fault f;
	struct head *h =
		read_all(HTTP1_REQUEST,
			 "POST /p?q HTTP/1.1\r\nhost: a.b:8\r\nX-A:  v w \r\nEmpty:\r\n"
			 "content-length: 012\r\nExpect: 100-continue\r\nTE: gzip, trailers\r\n"
			 "\r\nrest",
			 &m, &f);

	cr_assert_not_null(h, "%s", f.detail);
	cr_assert_eq(h->method, METHOD_POST);
	eq(h->method_name, "POST");
	eq(h->path, "/p?q");
	eq(h->authority, "a.b:8");
	cr_assert_eq(h->version, 11);
	cr_assert_eq(h->length, 12);
	cr_assert(h->expect_continue && h->te_trailers && m.keep && m.sized && !m.chunked);
	cr_assert_eq(h->num, 2);
	eq(h->fields[0].name, "X-A");
	eq(h->fields[0].value, "v w");
	eq(h->fields[1].name, "Empty");
	eq(h->fields[1].value, "");
	head_free(h);
}

Test(http1_head, targets_in_absolute_form)
{
	static const struct {
		const char *text, *authority, *path;
		bool is_https;
	} cases[] = {
		{ "GET http://a/b?c HTTP/1.1\r\n" H "\r\n", "a", "/b?c", false },
		{ "GET HTTPS://A:443 HTTP/1.1\r\n" H "\r\n", "A:443", "/", true },
		{ "GET http://a?x HTTP/1.1\r\n" H "\r\n", "a", "/?x", false },
		{ "OPTIONS http://a HTTP/1.1\r\n" H "\r\n", "a", "*", false },
		{ "GET http://[::1]:8/ HTTP/1.1\r\nHost: [::1]:8\r\n\r\n", "[::1]:8", "/", false },
		{ "GET http://a/ HTTP/1.0\r\n\r\n", "a", "/", false },
		{ "GET / HTTP/1.1\r\nHost:\r\n\r\n", "", "/", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http1_message m;
		struct http1_fault f;
		struct head *h = read_all(HTTP1_REQUEST, cases[i].text, &m, &f);

		cr_assert_not_null(h, "%s: %s", f.detail, cases[i].text);
		eq(h->authority, cases[i].authority);
		eq(h->path, cases[i].path);
		cr_assert_eq(h->is_https, cases[i].is_https);
		head_free(h);
	}
}

Test(http1_head, what_is_of_the_connection_is_taken_out)
{
	struct http1_message m;
	struct http1_fault f;
	struct head *h = read_all(HTTP1_REQUEST,
				  "GET / HTTP/1.1\r\n" H "Connection: close, X-Hop\r\nX-Hop: 1\r\n"
				  "Keep-Alive: 5\r\nProxy-Connection: x\r\nHTTP2-Settings: x\r\n"
				  "x-end: 2\r\n\r\n",
				  &m, &f);

	cr_assert_not_null(h);
	cr_assert_eq(h->num, 1);
	eq(h->fields[0].name, "x-end");
	cr_assert_not(m.keep);
	head_free(h);
}

Test(http1_head, who_lets_the_connection_persist)
{
	static const struct {
		const char *text;
		bool keep;
	} cases[] = {
		{ "GET / HTTP/1.1\r\n" H "\r\n", true },
		{ "GET / HTTP/1.1\r\n" H "Connection: keep-alive\r\n\r\n", true },
		{ "GET / HTTP/1.1\r\n" H "Connection: a\r\nConnection: b, CLOSE\r\n\r\n", false },
		{ "GET / HTTP/1.0\r\n" H "\r\n", false },
		{ "GET / HTTP/1.0\r\n" H "Connection: Keep-Alive\r\n\r\n", true },
		{ "GET / HTTP/1.0\r\n" H "Connection: keep-alive, close\r\n\r\n", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http1_message m;
		struct http1_fault f;

		cr_assert_not_null(read_all(HTTP1_REQUEST, cases[i].text, &m, &f));
		cr_assert_eq(m.keep, cases[i].keep, "%s", cases[i].text);
		head_free(m.head);
	}
}

Test(http1_head, upgrades_only_as_far_as_they_can_be_made)
{
	static const struct {
		const char *fields, *upgrade;
	} cases[] = {
		{ "Connection: Upgrade\r\nUpgrade: websocket\r\n", "websocket" },
		{ "Connection: upgrade\r\nUpgrade: h2c, a/1, b\r\n", "a/1" },
		{ "Upgrade: websocket\r\n", "" },
		{ "Connection: upgrade\r\n", "" },
		{ "Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n",
		  "" },
		{ "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n", "" },
		{ "Connection: upgrade\r\nUpgrade: a b\r\n", "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		struct http1_message m;
		struct http1_fault f;

		(void)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" H "%s\r\n",
			       cases[i].fields);
		cr_assert_not_null(read_all(HTTP1_REQUEST, text, &m, &f), "%s", text);
		eq(m.head->upgrade, cases[i].upgrade);
		cr_assert_eq(m.head->num, 0);
		head_free(m.head);
	}
}

Test(http1_head, expectations_mean_nothing_without_a_body_or_in_1_0)
{
	struct http1_message m;
	struct http1_fault f;

	cr_assert_not_null(read_all(HTTP1_REQUEST,
				    "GET / HTTP/1.1\r\n" H "Expect: 100-continue\r\n\r\n", &m, &f));
	cr_assert_not(m.head->expect_continue);
	head_free(m.head);
	cr_assert_not_null(read_all(HTTP1_REQUEST,
				    "PUT / HTTP/1.0\r\n" H
				    "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
				    &m, &f));
	cr_assert_not(m.head->expect_continue);
	head_free(m.head);
}

/* ---- responses */

Test(http1_head, malformed_responses_are_refused)
{
	static const char *const bad[] = {
		"HTTP/1.1 99 x\r\n\r\n",
		"HTTP/1.1 099 x\r\n\r\n",
		"HTTP/1.1 600 x\r\n\r\n",
		"HTTP/1.1 999 x\r\n\r\n",
		"HTTP/1.1 2000 x\r\n\r\n",
		"HTTP/1.1 20 x\r\n\r\n",
		"HTTP/1.1  200 x\r\n\r\n",
		"HTTP/1.1 200x\r\n\r\n",
		"HTTP/1.1\r\n\r\n",
		"HTTP/2.0 200 x\r\n\r\n",
		"HTTP/0.9 200 x\r\n\r\n",
		"http/1.1 200 x\r\n\r\n",
		"ICY 200 OK\r\n\r\n",
		"\r\nHTTP/1.1 200 x\r\n\r\n",
		"HTTP/1.1 200 \x01\r\n\r\n",
		"HTTP/1.1 200 x\n\r\n",
		"HTTP/1.1 200 x\r\nA: b\r\n c\r\n\r\n",
		"HTTP/1.1 200 x\r\nA : b\r\n\r\n",
		"HTTP/1.1 200 x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"HTTP/1.1 200 x\r\nContent-Length: a\r\n\r\n",
		"HTTP/1.1 200 x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 x\r\nTransfer-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"HTTP/1.0 200 x\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 101 x\r\n\r\n",
		"HTTP/1.1 101 x\r\nUpgrade: a\r\n\r\n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct http1_message m;
		struct http1_fault f;

		cr_assert_null(read_all(HTTP1_RESPONSE, bad[i], &m, &f), "taken: %s", bad[i]);
		cr_assert_neq(f.status, 0, "waits for more: %s", bad[i]);
	}
}

Test(http1_head, responses_in_the_terms_of_every_version)
{
	static const struct {
		const char *text, *reason;
		unsigned status;
		int64_t length;
		bool chunked, keep;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "OK", 200, 5, false, true },
		{ "HTTP/1.1 204\r\n\r\n", "", 204, -1, false, true },
		{ "HTTP/1.1 404 \r\n\r\n", "", 404, -1, false, true },
		{ "HTTP/1.1 500 a b\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
		  "a b", 500, -1, true, false },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "OK", 200, 0, false, false },
		{ "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", "OK",
		  200, 0, false, true },
		{ "HTTP/1.3 200 OK\r\n\r\n", "OK", 200, -1, false, true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http1_message m;
		struct http1_fault f;
		struct head *h = read_all(HTTP1_RESPONSE, cases[i].text, &m, &f);

		cr_assert_not_null(h, "%s: %s", f.detail, cases[i].text);
		cr_assert_eq(h->status, cases[i].status);
		cr_assert_eq(h->length, cases[i].length);
		cr_assert_eq(m.chunked, cases[i].chunked);
		cr_assert_eq(m.keep, cases[i].keep, "%s", cases[i].text);
		cr_assert_eq(h->num, 0);
		eq(h->reason, cases[i].reason);
		head_free(h);
	}
}

/* ---- trailers */

static bool trailers(const char *text, struct head **h, struct http1_fault *f)
{
	struct http1_scan s = { 0 };
	size_t len = 0;

	cr_assert_eq(http1_scan(&s, HTTP1_TRAILERS, bounds, span_str(text), &len, f), HTTP1_WHOLE);
	return http1_trailers_parse(span_of(text, len), h, f);
}

Test(http1_head, trailers_neither_frame_nor_route)
{
	struct http1_fault f;
	struct head *h;

	cr_assert(
		trailers("Grpc-Status: 0 \r\nHost: x\r\nAuthorization: x\r\nX: y\r\n\r\n", &h, &f));
	cr_assert_eq(h->num, 2);
	eq(h->fields[0].name, "Grpc-Status");
	eq(h->fields[0].value, "0");
	head_free(h);
	cr_assert(trailers("Cookie: x\r\nTrailer: x\r\n\r\n", &h, &f));
	cr_assert_null(h);
	cr_assert_not(trailers("A: b\r\nContent-Length: 1\r\n\r\n", &h, &f));
	cr_assert_eq(f.why, CAUSE_BAD_FRAMING);
	cr_assert_not(trailers("transfer-encoding: chunked\r\n\r\n", &h, &f));
	cr_assert_eq(f.status, 400);
}

Test(http1_head, every_byte_is_judged_alike_wherever_it_is)
{
	for (unsigned c = 0; c < 256; c++) {
		bool good = (c >= 0x20 && c != 0x7f) || c == '\t';

		for (size_t at = 0; at < 20; at++) {
			char text[20];

			memset(text, at % 2 == 0 ? 'x' : 0xff, sizeof(text));
			text[at] = (char)c;
			cr_assert_eq(http1_is_value(span_of(text, sizeof(text))), good, "%u", c);
		}
	}
}
