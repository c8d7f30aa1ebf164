/* Responses made here: their type, their length, and nothing that breaks a head. */
#include "proxy/http/answer.h"

#include <criterion/criterion.h>
#include <string.h>

#include "proxy/http/reason.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct span s(const char *text)
{
	return span_str(text);
}

static void has(const struct head *h, const char *name, const char *value)
{
	const struct header *f = head_find_name(h, s(name));

	cr_expect_eq(f != NULL, value != NULL, "%s", name);
	if (f != NULL && value != NULL)
		cr_expect(span_eq(f->value, s(value)), "%s: %.*s", name, (int)f->value.n,
			  f->value.p);
}

#define JSON "application/json"
#define HTML "text/html; charset=utf-8"
#define TEXT "text/plain; charset=utf-8"

Test(answer, errors_are_typed_by_accept)
{
	static const struct {
		const char *accept, *second, *type;
	} rows[] = {
		{ NULL, NULL, TEXT },
		{ "", NULL, TEXT },
		{ "*/*", NULL, TEXT },
		{ "application/json", NULL, JSON },
		{ "Application/JSON", NULL, JSON },
		{ "application/*", NULL, JSON },
		{ "text/*", NULL, TEXT },
		{ "text/html", NULL, HTML },
		{ "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", NULL, HTML },
		{ "application/json, text/plain, */*", NULL, JSON },
		{ "text/html, application/json", NULL, JSON },
		{ "text/html, application/json;q=0.9", NULL, HTML },
		{ "text/html;level=1 ; q=0.2, application/json;Q=0.3", NULL, JSON },
		{ "text/plain;q=0.5, text/html;q=0.50", NULL, HTML },
		{ "application/json;q=0, */*", NULL, TEXT },
		{ "application/json;q=0.000", NULL, TEXT },
		{ "*/*;q=0", NULL, TEXT },
		{ "text/*;q=1, text/plain;q=0.1", NULL, HTML },
		{ "*/*;q=0.1, application/*;q=0.2", NULL, JSON },
		{ "image/png", NULL, TEXT },
		{ "image/png", "application/json", JSON },
		{ "application/json;q=0.001, text/html;q=x", NULL, HTML },
		{ "application/json;v=\"a,text/html;q=1\";q=0.3,text/plain;q=0.2", NULL, JSON },
		{ ";q=1,,;;,/", NULL, TEXT },
		{ "application/json;q=", NULL, JSON },
		{ "application/json;q=1.5, text/html;q=0.9", NULL, JSON },
		{ "application/jsonx", NULL, TEXT },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct head *request = head_new(0), *h;
		struct span body;

		if (rows[i].accept != NULL)
			head_add(request, s("Accept"), s(rows[i].accept));
		if (rows[i].second != NULL)
			head_add(request, s("accept"), s(rows[i].second));
		cr_assert_not_null(h = answer_error(502, request, 0, &body));
		head_free(request);
		cr_expect(span_eq(head_find(h, HEADER_CONTENT_TYPE)->value, s(rows[i].type)), "%s",
			  rows[i].accept);
		cr_expect_eq(h->length, (int64_t)body.n);
		head_free(h);
	}
}

static struct head *error_for(const char *accept, unsigned status, const char *wanted)
{
	struct head *request = head_new(0), *h;
	struct span body;

	head_add(request, s("Accept"), s(accept));
	cr_assert_not_null(h = answer_error(status, request, 7, &body));
	head_free(request);
	cr_expect(span_eq(body, s(wanted)), "%.*s", (int)body.n, body.p);
	cr_expect_eq(h->status, status);
	cr_expect_eq(h->length, (int64_t)body.n);
	has(h, "Cache-Control", "no-store");
	return h;
}

Test(answer, errors_say_what_they_are)
{
	struct span body;
	struct head *h = error_for("text/plain", 502, "502 Bad Gateway\n");

	cr_expect(span_eq(h->reason, s("Bad Gateway")));
	has(h, "Retry-After", NULL);
	has(h, "Allow", NULL);
	head_free(h);
	h = error_for("application/json", 413,
		      "{\"status\":413,\"error\":\"Content Too Large\"}\n");
	head_free(h);
	h = error_for("text/html", 404,
		      "<!DOCTYPE html>\n<html lang=\"en\">\n<title>404 Not Found</title>\n"
		      "<h1>404 Not Found</h1>\n</html>\n");
	head_free(h);
	h = error_for("*/*", 599, "599 Error\n");
	head_free(h);
	h = error_for("*/*", 405, "405 Method Not Allowed\n");
	has(h, "Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
	has(h, "Retry-After", NULL);
	head_free(h);
	h = error_for("*/*", 503, "503 Service Unavailable\n");
	has(h, "Retry-After", "7");
	head_free(h);
	cr_assert_not_null(h = answer_error(503, NULL, 0, &body));
	has(h, "Content-Type", TEXT);
	has(h, "Retry-After", NULL);
	head_free(h);
}

Test(answer, redirects_lead_there)
{
	static const struct {
		const char *location;
		uint16_t port;
		const char *host, *target, *wanted;
	} rows[] = {
		{ "https", 443, "a.example", "/x?y=1", "https://a.example/x?y=1" },
		{ "https", 8443, "[::1]", "/", "https://[::1]:8443/" },
		{ "https", 443, "a", "*", "https://a/" },
		{ "https", 443, "a", "//b/..", "https://a//b/.." },
		{ "https", 443, "", "/", NULL },
		{ "https://www.example.com", 443, "a", "/x?y", "https://www.example.com/x?y" },
		{ "https://www.example.com:8443", 443, "", "/x", "https://www.example.com:8443/x" },
		{ "https://www.example.com/", 443, "a", "/x", "https://www.example.com/" },
		{ "https://www.example.com?a", 443, "a", "/x", "https://www.example.com?a" },
		{ "/login", 443, "a", "/x", "/login" },
		{ "/login?to=https://b", 443, "a", "/x", "/login?to=https://b" },
		{ "https", 443, "a", "/%41%zz%4?\"<>`{|}^\\",
		  "https://a/%41%25zz%254?%22%3C%3E%60"
		  "%7B%7C%7D%5E%5C" },
		{ "https", 443, "a", "/\r\nX: y\x80\x7f", "https://a/%0D%0AX:%20y%80%7F" },
		{ "/a b\n", 443, "a", "/x", "/a%20b%0A" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct conf_redirect r = { rows[i].location, 308, rows[i].port };
		struct head *h = answer_redirect(&r, s(rows[i].host), s(rows[i].target));

		cr_assert_eq(h != NULL, rows[i].wanted != NULL, "%s", rows[i].location);
		if (h == NULL)
			continue;
		has(h, "Location", rows[i].wanted);
		cr_expect_eq(h->status, 308);
		cr_expect(span_eq(h->reason, s("Permanent Redirect")));
		cr_expect_eq(h->length, 0);
		head_free(h);
	}
}

Test(answer, long_targets_are_redirected_whole)
{
	enum { LONG = 32768 };
	static char target[LONG + 1];
	struct conf_redirect r = { "https", 301, 443 };
	struct head *h;

	memset(target, '{', LONG);
	target[0] = '/';
	cr_assert_not_null(h = answer_redirect(&r, s("a"), s(target)));
	cr_expect_eq(h->fields[0].value.n, strlen("https://a/") + 3 * (LONG - 1));
	head_free(h);
}

Test(answer, responds_as_configured)
{
	static const struct conf_field fields[] = { { "X-One", "1" },
						    { "Content-Length", "99" },
						    { "Transfer-Encoding", "chunked" } };
	static const struct conf_field typed[] = { { "content-type", "text/css" } };
	struct conf_respond r = { 200, "hello", fields, COUNT(fields) };
	struct span body;
	struct head *h = answer_respond(&r, &body);

	cr_assert_not_null(h);
	cr_expect(span_eq(body, s("hello")));
	cr_expect_eq(h->length, 5);
	cr_expect_eq(h->num, 2);
	has(h, "X-One", "1");
	has(h, "Content-Type", TEXT);
	head_free(h);

	r = (struct conf_respond){ 418, "x", typed, 1 };
	cr_assert_not_null(h = answer_respond(&r, &body));
	has(h, "Content-Type", "text/css");
	cr_expect_eq(h->num, 1);
	cr_expect_eq(h->reason.n, 0);
	head_free(h);

	r = (struct conf_respond){ 204, "no room", NULL, 0 };
	cr_assert_not_null(h = answer_respond(&r, &body));
	cr_expect_eq(body.n, 0);
	cr_expect_eq(h->length, 0);
	cr_expect_eq(h->num, 0);
	head_free(h);

	r = (struct conf_respond){ 200, NULL, NULL, 0 };
	cr_assert_not_null(h = answer_respond(&r, &body));
	cr_expect_eq(body.n, 0);
	head_free(h);
}

Test(answer, options_say_what_is_allowed)
{
	struct head *h = answer_options();

	cr_assert_not_null(h);
	cr_expect_eq(h->status, 200);
	cr_expect_eq(h->length, 0);
	has(h, "Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
	head_free(h);
}

Test(answer, reasons_of_registered_codes_only)
{
	static const unsigned none[] = { 0,   99,  105, 199, 209, 306, 309, 418, 419,	    420,
					 427, 430, 452, 499, 509, 512, 599, 600, UINT32_MAX };

	cr_expect(span_eq(http_reason(100), s("Continue")));
	cr_expect(span_eq(http_reason(200), s("OK")));
	cr_expect(span_eq(http_reason(226), s("IM Used")));
	cr_expect(span_eq(http_reason(451), s("Unavailable For Legal Reasons")));
	cr_expect(span_eq(http_reason(511), s("Network Authentication Required")));
	for (size_t i = 0; i < COUNT(none); i++)
		cr_expect_eq(http_reason(none[i]).n, 0, "%u", none[i]);
}
