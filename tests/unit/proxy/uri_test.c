/* Spellings of one path, and those that are refused. */
#include "proxy/http/uri.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

struct uri_row {
	const char *target;
	const char *path; /* NULL: refused */
	const char *query;
};

static bool normalise(struct span target, bool reject, char *out, struct uri *uri)
{
	const char *why = NULL;
	bool fine = uri_normalise(target, reject, out, uri, &why);

	cr_assert(fine == (why == NULL));
	return fine;
}

static void check_row(const struct uri_row *r, bool reject)
{
	struct span target = span_str(r->target);
	/* As much as promised and no more, for ASan to see. */
	char *out = malloc(target.n + 1), *again = malloc(target.n + 1);
	struct uri uri, second;
	bool fine = normalise(target, reject, out, &uri);

	cr_assert_eq(fine, r->path != NULL, "%s", r->target);
	if (fine) {
		const char *query = r->query == NULL ? "" : r->query;

		cr_assert(span_eq(uri.path, span_str(r->path)), "%s: %.*s", r->target,
			  (int)uri.path.n, uri.path.p);
		cr_assert(span_eq(uri.query, span_str(query)), "%s: %.*s", r->target,
			  (int)uri.query.n, uri.query.p);
		cr_assert(
			normalise(span_of(out, uri.path.n + uri.query.n), reject, again, &second));
		cr_assert(span_eq(second.path, uri.path), "%s", r->target);
		cr_assert(span_eq(second.query, uri.query), "%s", r->target);
	}
	free(out);
	free(again);
}

Test(uri, a_path_has_one_spelling)
{
	static const struct uri_row rows[] = {
		{ "/", "/", NULL },
		{ "*", "*", NULL },
		{ "/a/b.html", "/a/b.html", NULL },
		{ "/.hidden/..b/...", "/.hidden/..b/...", NULL },
		{ "/%61%2D%2e%5F%7e", "/a-._~", NULL },
		{ "/%2f%3a%c3%bc", "/%2F%3A%C3%BC", NULL },
		{ "/a%2fb%5cc", "/a%2Fb%5Cc", NULL },
		{ "/.", "/", NULL },
		{ "/./", "/", NULL },
		{ "/a/./b", "/a/b", NULL },
		{ "/a/.", "/a/", NULL },
		{ "/a/..", "/", NULL },
		{ "/a/../", "/", NULL },
		{ "/a/b/../c", "/a/c", NULL },
		{ "/a/b/../../c", "/c", NULL },
		{ "/a/%2e%2E/c", "/c", NULL },
		{ "/a/.%2e/c", "/c", NULL },
		{ "/a/%2E", "/a/", NULL },
		{ "//", "//", NULL },
		{ "//a//b", "//a//b", NULL },
		{ "/a//../b", "/a/b", NULL },
		{ "//..", "/", NULL },
		{ "/.//a", "//a", NULL },
		{ "/a;v=1/b;..", "/a;v=1/b;..", NULL },
		{ "/...;a/..%3c/..a;", "/...;a/..%3C/..a;", NULL },
		{ "/%252e%252e/", "/%252e%252e/", NULL },
		{ "/%25%32%65", "/%252e", NULL },
		{ "/%c0%ae%c0%ae/%c0%af", "/%C0%AE%C0%AE/%C0%AF", NULL },
		{ "/%e0%80%ae", "/%E0%80%AE", NULL },
		{ "/%0d%0a%20", "/%0D%0A%20", NULL },
		{ "/a..%2fb/x%2f.y", "/a..%2Fb/x%2F.y", NULL },
		{ "/!$&'()*+,=:@[]^{|}", "/!$&'()*+,=:@[]^{|}", NULL },
		{ "/%3f%23", "/%3F%23", NULL },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_row(&rows[i], false);
}

Test(uri, a_query_stays_as_it_came)
{
	static const struct uri_row rows[] = {
		{ "/?", "/", "?" },
		{ "/?a=%2e&b=/../c", "/", "?a=%2e&b=/../c" },
		{ "/a/../b?x?%zz\\\"<>`", "/b", "?x?%zz\\\"<>`" },
		{ "/%61?%00", "/a", "?%00" },
		{ "/?a b", NULL, NULL },
		{ "/?a#b", NULL, NULL },
		{ "/?\x80", NULL, NULL },
		{ "/?\x7f", NULL, NULL },
		{ "*?a", NULL, NULL },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_row(&rows[i], true);
}

Test(uri, what_could_be_read_in_two_ways_is_refused)
{
	static const char *const refused[] = {
		"",	      "a",	     "**",	    "http://a/",   "?a",
		"/..",	      "/../a",	     "/a/../..",    "/%2e%2e",	   "/.%2E/",
		"//../..",    "/./..",	     "/a\\b",	    "/\\..\\a",	   "/a#b",
		"/#",	      "/a b",	     "/a\tb",	    "/\x7f",	   "/\xc0\xae",
		"/\xc3\xbc",  "/%",	     "/%2",	    "/%zz",	   "/%2g",
		"/%-1",	      "/a%00",	     "/%00.html",   "/..%2f",	   "/..%5c",
		"/%2e%2e%2f", "/a%2f..",     "/a%2F.%5cb",  "/a%2f%2e%2E", "/%2f..%2f",
		"/%5c.",      "/a/..;/b",    "/a/..;x=1/b", "/a/.;/b",	   "/a/%2e%2e;",
		"/a/..%3bx/", "/a%2f..%3Bb", "/a/.%3b",	    "/a%2f..;",	   "/\"",
		"/<a>",	      "/`",	     "/a/../%2",    "/%2?41",
	};

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		check_row(&(struct uri_row){ .target = refused[i] }, false);
}

Test(uri, nul_and_control_bytes_are_refused)
{
	char out[8];
	struct uri uri;

	for (int c = 0; c <= ' '; c++) {
		const char path[] = { '/', 'a', (char)c }, query[] = { '/', '?', (char)c };

		cr_assert_not(normalise(span_of(path, 3), false, out, &uri));
		cr_assert_not(normalise(span_of(query, 3), false, out, &uri));
	}
}

Test(uri, escaped_slashes_are_refused_where_asked)
{
	static const struct uri_row rows[] = {
		{ "/a%2fb", NULL, NULL },	{ "/a%2Fb", NULL, NULL },
		{ "/%5c", NULL, NULL },		{ "/%252f", "/%252f", NULL },
		{ "/?%2f%5c", "/", "?%2f%5c" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_row(&rows[i], true);
}

Test(uri, long_paths_take_linear_time)
{
	enum { DEPTH = 100000 };
	char *target = malloc(DEPTH * 5), *out = malloc(DEPTH * 5);
	struct uri uri;

	for (size_t i = 0; i < DEPTH; i++) {
		memcpy(target + 2 * i, "/a", 2);
		memcpy(target + 2 * DEPTH + 3 * i, "/..", 3);
	}
	cr_assert(normalise(span_of(target, DEPTH * 5), false, out, &uri));
	cr_assert(span_eq(uri.path, span_str("/")));
	free(target);
	free(out);
}

Test(uri, a_host_has_one_spelling)
{
	static const struct {
		const char *authority, *host;
		uint16_t port;
	} rows[] = {
		{ "", "", 0 },
		{ "a.example", "a.example", 0 },
		{ "A.eXample.:8443", "a.example", 8443 },
		{ "a.example:", "a.example", 0 },
		{ "a_b-c~d:00443", "a_b-c~d", 443 },
		{ "192.0.2.1:65535", "192.0.2.1", 65535 },
		{ "[::1]", "[::1]", 0 },
		{ "[::]:1", "[::]", 1 },
		{ "[2001:DB8:0:0:0:0:0:1]:80", "[2001:db8::1]", 80 },
		{ "[1:2:3::5:6:7:8]", "[1:2:3::5:6:7:8]", 0 },
		{ "[1:2:3:0:5:6:7:8]", "[1:2:3::5:6:7:8]", 0 },
		{ "[0:2:3::5:6:7:8]", "[0:2:3::5:6:7:8]", 0 },
		{ "[::2:3:4:5:6:7:8]", "[0:2:3:4:5:6:7:8]", 0 },
		{ "[0:0:3:4:0:0:7:8]", "[0:0:3:4::7:8]", 0 },
		{ "[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7:8]", 0 },
		{ "[0:0:1:0:0:0:1::]", "[0:0:1::1:0]", 0 },
		{ "[::ffff:192.0.2.1]", "[::ffff:c000:201]", 0 },
		{ "[::ffff:ffff:ffff]", "[::ffff:ffff:ffff]", 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span authority = span_str(rows[i].authority), host;
		char *out = malloc(authority.n + 1);
		uint16_t port = 1;

		cr_assert(uri_host(authority, out, &host, &port), "%s", rows[i].authority);
		cr_assert(span_eq(host, span_str(rows[i].host)), "%s: %.*s", rows[i].authority,
			  (int)host.n, host.p);
		cr_assert_eq(port, rows[i].port, "%s", rows[i].authority);
		free(out);
	}
}

Test(uri, what_is_no_authority_is_refused)
{
	static const char *const refused[] = {
		":80",	     ".",	    "..",
		"a..b",	     ".a",	    "a..",
		"a b",	     "u@a",	    "a/b",
		"a?b",	     "a#b",	    "a\\b",
		"a,b",	     "%61.example", "*.example",
		"a:0",	     "a:65536",	    "a:123456",
		"a:8o",	     "a:80:80",	    "::1",
		"[::1",	     "[::1]80",	    "[]",
		"[1::2::3]", "[v1.a]",	    "[fe80::1%25eth0]",
		"[::1]]",    "[a.example]", "\xc3\xbc.example",
	};
	char long_name[300];

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct span host = span_str("left alone");
		char out[64];
		uint16_t port = 7;

		cr_assert_not(uri_host(span_str(refused[i]), out, &host, &port), "%s", refused[i]);
		cr_assert(span_eq(host, span_str("left alone")));
		cr_assert_eq(port, 7);
	}
	memset(long_name, 'a', sizeof(long_name));
	cr_assert_not(uri_host(span_of(long_name, 254), (char[300]){ 0 }, &(struct span){ 0 },
			       &(uint16_t){ 0 }));
}
