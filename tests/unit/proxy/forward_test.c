/* What backends are told about a client, and what a client can make them believe. */
#include "proxy/http/forward.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct span s(const char *text)
{
	return span_str(text);
}

static bool counting(void *owner, uint8_t bytes[16])
{
	(void)owner;
	for (uint8_t i = 0; i < 16; i++)
		bytes[i] = (uint8_t)(i * 17);
	return true;
}

static bool broken(void *owner, uint8_t bytes[16])
{
	(void)owner;
	(void)bytes;
	return false;
}

#define MADE_ID "00112233445566778899aabbccddeeff"

static const struct conf_network trusted[] = {
	{ AF_INET, 8, { 10 } },
	{ AF_INET6, 32, { 0x20, 0x01, 0x0d, 0xb8 } },
};

struct fixture {
	struct conf_http http;
	struct forward_facts facts;
	struct forward_result result;
	struct head *h;
};

static void fixture_init(struct fixture *f, enum conf_forwarded kind, bool is_trusted)
{
	*f = (struct fixture){ .http = { .forwarded = kind }, .h = head_new(256) };
	cr_assert_not_null(f->h);
	f->facts = (struct forward_facts){ .http = &f->http,
					   .client = s("10.0.0.9"),
					   .family = AF_INET,
					   .address = { 10, 0, 0, 9 },
					   .is_tls = true,
					   .port = 8443,
					   .trusted = is_trusted,
					   .trusted_proxies = trusted,
					   .num_trusted_proxies = COUNT(trusted),
					   .random = counting };
	f->h->method = METHOD_GET;
	f->h->method_name = s("GET");
	f->h->version = 11;
	f->h->authority = s("A.example:8443");
}

static void fixture_run(struct fixture *f)
{
	forward_request(f->h, &f->facts, &f->result);
	cr_assert_not(f->h->failed);
}

static void fixture_fini(struct fixture *f)
{
	head_free(f->h);
}

/* Exactly one field of that name, with that value; NULL: none. */
static void has(const struct head *h, const char *name, const char *value)
{
	const struct header *found = NULL;
	unsigned num = 0;

	for (uint32_t i = 0; i < h->num; i++) {
		if (span_eq_nocase(h->fields[i].name, s(name))) {
			found = &h->fields[i];
			num++;
		}
	}
	cr_expect_eq(num, value != NULL ? 1 : 0, "%s: %u", name, num);
	if (found != NULL && value != NULL)
		cr_expect(span_eq(found->value, s(value)), "%s: %.*s", name, (int)found->value.n,
			  found->value.p);
}

static void is_client(const struct fixture *f, const char *client)
{
	uint8_t bytes[16] = { 0 };

	cr_expect(span_eq(f->result.client, s(client)), "%.*s for %s", (int)f->result.client.n,
		  f->result.client.p, client);
	cr_expect_eq(f->result.family, strchr(client, ':') == NULL ? AF_INET : AF_INET6);
	cr_expect_eq(inet_pton(f->result.family, client, bytes), 1);
	cr_expect_eq(memcmp(f->result.address, bytes, sizeof(bytes)), 0, "%s", client);
}

static void claims(struct head *h)
{
	static const char *const names[] = {
		"X-Forwarded-For",  "x-forwarded-proto", "X-FORWARDED-HOST",
		"X-Forwarded-Port", "Forwarded",	 "X-Request-Id",
		"X_Forwarded_For",  "X-Forwarded_Proto", "X-Forwarded-Client-Cert",
		"X_Request_ID",	    "X-Forwarded-",	 "X.Forwarded.For",
		"X~Request!ID",
	};

	for (size_t i = 0; i < COUNT(names); i++)
		head_add(h, s(names[i]), s("1.2.3.4"));
	head_add(h, s("X-Forwarded"), s("kept"));
	head_add(h, s("Forwarded-X"), s("kept"));
}

Test(forward, a_stranger_is_not_believed)
{
	struct fixture f;

	fixture_init(&f, CONF_FORWARDED_X, false);
	claims(f.h);
	fixture_run(&f);
	has(f.h, "X-Forwarded-For", "10.0.0.9");
	has(f.h, "X-Forwarded-Proto", "https");
	has(f.h, "X-Forwarded-Host", "A.example:8443");
	has(f.h, "X-Forwarded-Port", "8443");
	has(f.h, "X-Request-Id", MADE_ID);
	has(f.h, "Via", "1.1 sallyport");
	has(f.h, "X-Forwarded", "kept");
	has(f.h, "Forwarded-X", "kept");
	cr_expect_eq(f.h->num, 8);
	is_client(&f, "10.0.0.9");
	cr_expect(span_eq(f.result.request_id, s(MADE_ID)));
	cr_expect_not(f.result.answer_here);
	fixture_fini(&f);
}

Test(forward, trailers_make_no_claims)
{
	struct head *h = head_new(0);

	claims(h);
	forward_trailers(h);
	has(h, "X-Forwarded", "kept");
	has(h, "Forwarded-X", "kept");
	cr_expect_eq(h->num, 2);
	head_free(h);
}

Test(forward, a_strangers_fields_go_whatever_is_written)
{
	static const enum conf_forwarded kinds[] = { CONF_FORWARDED_NONE, CONF_FORWARDED_RFC };

	for (size_t i = 0; i < COUNT(kinds); i++) {
		struct fixture f;

		fixture_init(&f, kinds[i], false);
		claims(f.h);
		fixture_run(&f);
		has(f.h, "X-Forwarded-For", NULL);
		has(f.h, "X-Forwarded-Proto", NULL);
		has(f.h, "Forwarded",
		    i == 0 ? NULL : "for=10.0.0.9;proto=https;host=\"A.example:8443\"");
		cr_expect_eq(f.h->num, i == 0 ? 4 : 5);
		fixture_fini(&f);
	}
}

Test(forward, a_trusted_proxy_is_appended_to)
{
	struct fixture f;

	fixture_init(&f, CONF_FORWARDED_BOTH, true);
	f.h->version = 10;
	head_add(f.h, s("X-Forwarded-For"), s("192.0.2.1, junk"));
	head_add(f.h, s("x-forwarded-for"), s(""));
	head_add(f.h, s("x-forwarded-for"), s("192.0.2.2"));
	head_add(f.h, s("X-Forwarded-Proto"), s("http"));
	head_add(f.h, s("X-Forwarded-Host"), s("b.example"));
	head_add(f.h, s("X-Forwarded-Port"), s("80"));
	head_add(f.h, s("Forwarded"), s("for=192.0.2.2"));
	head_add(f.h, s("X-Request-Id"), s("theirs"));
	head_add(f.h, s("X-Forwarded-Client-Cert"), s("kept"));
	head_add(f.h, s("Via"), s("1.1 them"));
	fixture_run(&f);
	has(f.h, "X-Forwarded-For", "192.0.2.1, junk, 192.0.2.2, 10.0.0.9");
	has(f.h, "X-Forwarded-Proto", "http");
	has(f.h, "X-Forwarded-Host", "b.example");
	has(f.h, "X-Forwarded-Port", "80");
	has(f.h, "Forwarded", "for=192.0.2.2, for=10.0.0.9;proto=https;host=\"A.example:8443\"");
	has(f.h, "X-Request-Id", "theirs");
	has(f.h, "X-Forwarded-Client-Cert", "kept");
	cr_expect(span_eq(f.h->fields[f.h->num - 1].value, s("1.0 sallyport")));
	is_client(&f, "192.0.2.2");
	fixture_fini(&f);
}

Test(forward, ipv6_unix_and_missing_words)
{
	static const struct {
		const char *client, *authority;
		uint8_t family;
		uint16_t port;
		const char *x_for, *x_host, *x_port, *forwarded;
	} rows[] = {
		{ "2001:db8::1", "a", AF_INET6, 80, "2001:db8::1", "a", "80",
		  "for=\"[2001:db8::1]\";proto=http;host=a" },
		{ "192.0.2.1", "", AF_INET, 65535, "192.0.2.1", NULL, "65535",
		  "for=192.0.2.1;proto=http" },
		{ "", "a\"\\b", AF_UNIX, 0, NULL, "a\"\\b", NULL,
		  "for=unknown;proto=http;host=\"a\\\"\\\\b\"" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture f;

		fixture_init(&f, CONF_FORWARDED_BOTH, false);
		f.facts.client = s(rows[i].client);
		f.facts.family = rows[i].family;
		f.facts.is_tls = false;
		f.facts.port = rows[i].port;
		f.h->authority = s(rows[i].authority);
		fixture_run(&f);
		has(f.h, "X-Forwarded-For", rows[i].x_for);
		has(f.h, "X-Forwarded-Host", rows[i].x_host);
		has(f.h, "X-Forwarded-Port", rows[i].x_port);
		has(f.h, "Forwarded", rows[i].forwarded);
		fixture_fini(&f);
	}
}

Test(forward, the_client_is_the_first_stranger_from_the_right)
{
	static const struct {
		const char *first, *second, *client;
	} rows[] = {
		{ "192.0.2.1", NULL, "192.0.2.1" },
		{ "192.0.2.7, 192.0.2.1", NULL, "192.0.2.1" },
		{ "192.0.2.7,192.0.2.1 ,10.1.1.1, 2001:db8::5", NULL, "192.0.2.1" },
		{ "192.0.2.7", "10.0.0.1", "192.0.2.7" },
		{ "192.0.2.7", "192.0.2.8", "192.0.2.8" },
		{ "192.0.2.1:4711", NULL, "192.0.2.1" },
		{ "[2001:db9::0:1]:80", NULL, "2001:db9::1" },
		{ "2001:DB9::1", NULL, "2001:db9::1" },
		{ "192.0.2.1,,", NULL, "192.0.2.1" },
		{ "192.0.2.1, unknown", NULL, "10.0.0.9" },
		{ "192.0.2.1, unknown, 10.0.0.2", NULL, "10.0.0.9" },
		{ "192.0.2.1, 1.2.3", NULL, "10.0.0.9" },
		{ "192.0.2.1, [::1", NULL, "10.0.0.9" },
		{ "192.0.2.1, [::1]x", NULL, "10.0.0.9" },
		{ "192.0.2.1, 1.2.3.4.5", NULL, "10.0.0.9" },
		{ "192.0.2.1, \"192.0.2.2\"", NULL, "10.0.0.9" },
		{ "10.0.0.1, 10.0.0.2", NULL, "10.0.0.9" },
		{ ", ,", NULL, "10.0.0.9" },
		{ "::ffff:10.0.0.1", NULL, "10.0.0.9" },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL, "10.0.0.9" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fixture f;

		fixture_init(&f, CONF_FORWARDED_NONE, true);
		head_add(f.h, s("X-Forwarded-For"), s(rows[i].first));
		if (rows[i].second != NULL)
			head_add(f.h, s("X-Forwarded-For"), s(rows[i].second));
		fixture_run(&f);
		is_client(&f, rows[i].client);
		/* Not ours to write, theirs to keep. */
		cr_expect(span_eq(head_find(f.h, HEADER_X_FORWARDED_FOR)->value, s(rows[i].first)));
		fixture_fini(&f);
	}
}

Test(forward, the_walk_over_proxies_is_bounded)
{
	enum { HOPS = 1000 };
	char list[HOPS * 9 + 16] = "192.0.2.1";
	struct fixture f;

	for (int i = 0; i < HOPS; i++)
		memcpy(list + 9 + 9 * (size_t)i, ",10.0.0.1", 10);
	fixture_init(&f, CONF_FORWARDED_X, true);
	head_add(f.h, s("X-Forwarded-For"), s(list));
	fixture_run(&f);
	is_client(&f, "10.0.0.9");
	fixture_fini(&f);
}

Test(forward, request_ids_are_kept_where_sane)
{
	char longest[130];
	const char *const kept[] = { "a", "~!{}", longest + 1 };
	const char *const not_kept[] = { "", "a b", "a\tb", "\xc3\xbc", "a\x7f", longest };
	struct fixture f;

	memset(longest, 'x', 129);
	longest[129] = '\0';
	for (size_t i = 0; i < COUNT(kept); i++) {
		fixture_init(&f, CONF_FORWARDED_X, true);
		head_add(f.h, s("X-Request-ID"), s(kept[i]));
		head_add(f.h, s("X-Request-ID"), s("second"));
		fixture_run(&f);
		has(f.h, "X-Request-Id", kept[i]);
		fixture_fini(&f);
	}
	for (size_t i = 0; i < COUNT(not_kept); i++) {
		fixture_init(&f, CONF_FORWARDED_X, true);
		head_add(f.h, s("X-Request-ID"), s(not_kept[i]));
		fixture_run(&f);
		has(f.h, "X-Request-Id", MADE_ID);
		fixture_fini(&f);
	}
	fixture_init(&f, CONF_FORWARDED_X, false);
	f.facts.random = broken;
	fixture_run(&f);
	has(f.h, "X-Request-Id", NULL);
	cr_expect_eq(f.result.request_id.n, 0);
	fixture_fini(&f);
}

Test(forward, max_forwards_counts_down)
{
	static const struct {
		enum method method;
		const char *value, *left;
		bool here;
	} rows[] = {
		{ METHOD_OPTIONS, "0", "0", true },
		{ METHOD_OPTIONS, "000", "000", true },
		{ METHOD_OPTIONS, "1", "0", false },
		{ METHOD_OPTIONS, "010", "9", false },
		{ METHOD_OPTIONS, "999999999", "999999998", false },
		{ METHOD_OPTIONS, "9999999999", "9999999999", false },
		{ METHOD_OPTIONS, "-1", "-1", false },
		{ METHOD_OPTIONS, "0, 0", "0, 0", false },
		{ METHOD_OPTIONS, "", "", false },
		{ METHOD_GET, "0", "0", false },
	};
	struct fixture f;

	for (size_t i = 0; i < COUNT(rows); i++) {
		fixture_init(&f, CONF_FORWARDED_X, false);
		f.h->method = rows[i].method;
		head_add(f.h, s("Max-Forwards"), s(rows[i].value));
		fixture_run(&f);
		has(f.h, "Max-Forwards", rows[i].left);
		cr_expect_eq(f.result.answer_here, rows[i].here, "%s", rows[i].value);
		fixture_fini(&f);
	}
	fixture_init(&f, CONF_FORWARDED_X, false);
	f.h->method = METHOD_OPTIONS;
	head_add(f.h, s("Max-Forwards"), s("0"));
	head_add(f.h, s("Max-Forwards"), s("1"));
	fixture_run(&f);
	cr_expect_not(f.result.answer_here);
	fixture_fini(&f);
}

Test(forward, via_names_the_version_that_came)
{
	struct fixture f;

	fixture_init(&f, CONF_FORWARDED_X, false);
	f.h->version = 20;
	fixture_run(&f);
	has(f.h, "Via", "2.0 sallyport");
	fixture_fini(&f);
}

/* ---- responses, dates, edits */

Test(forward, responses_get_a_date_and_perhaps_a_server)
{
	struct conf_http http = { .server_header = NULL };
	struct head *h = head_new(0);

	head_add(h, s("Server"), s("theirs"));
	forward_response(h, &http, s("Sun, 06 Nov 1994 08:49:37 GMT"));
	has(h, "Date", "Sun, 06 Nov 1994 08:49:37 GMT");
	has(h, "Server", "theirs");
	http.server_header = "ours";
	forward_response(h, &http, s("later"));
	has(h, "Date", "Sun, 06 Nov 1994 08:49:37 GMT");
	has(h, "Server", "ours");
	has(h, "Via", NULL);
	head_free(h);
}

Test(forward, dates_are_imf_fixdates)
{
	static const struct {
		time_t t;
		const char *text;
	} rows[] = {
		{ 784111777, "Sun, 06 Nov 1994 08:49:37 GMT" },
		{ 0, "Thu, 01 Jan 1970 00:00:00 GMT" },
		{ 951782400, "Tue, 29 Feb 2000 00:00:00 GMT" },
		{ 253402300799, "Fri, 31 Dec 9999 23:59:59 GMT" },
		{ INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT" },
		{ -1, "Thu, 01 Jan 1970 00:00:00 GMT" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		char out[30];

		http_date(rows[i].t, out);
		cr_expect_str_eq(out, rows[i].text);
	}
}

Test(forward, edits_remove_then_set_then_add)
{
	static const char *const remove[] = { "x-gone", "X-Again" };
	static const struct conf_field set[] = { { "X-Set", "new" }, { "host", "b.example" } };
	static const struct conf_field add[] = { { "X-Again", "1" }, { "X-Again", "2" } };
	static const struct conf_edits edits = { remove, 2, set, 2, add, 2 };
	struct head *h = head_new(0);

	h->method = METHOD_GET;
	h->authority = s("a.example");
	head_add(h, s("X-Gone"), s("old"));
	head_add(h, s("X-Again"), s("old"));
	head_add(h, s("x-set"), s("old"));
	head_add(h, s("X-SET"), s("old"));
	edits_apply(h, &edits);
	has(h, "X-Gone", NULL);
	has(h, "X-Set", "new");
	has(h, "Host", NULL);
	cr_expect(span_eq(h->authority, s("b.example")));
	cr_expect_eq(h->num, 3);
	cr_expect(span_eq(h->fields[1].value, s("1")));
	cr_expect(span_eq(h->fields[2].value, s("2")));
	head_free(h);
}

Test(forward, edits_of_a_request_take_every_spelling)
{
	static const char *const remove[] = { "X-Role" };
	static const struct conf_field set[] = { { "X-Cert-Subject", "CN=a" } };
	static const struct conf_edits edits = { remove, 1, set, 1, NULL, 0 };
	struct head *h = head_new(0);

	h->method = METHOD_GET;
	head_add(h, s("X_Role"), s("admin"));
	head_add(h, s("x-cert_subject"), s("CN=root"));
	head_add(h, s("X.Cert.Subject"), s("CN=root"));
	head_add(h, s("X-Cert-Subject2"), s("kept"));
	edits_apply(h, &edits);
	has(h, "X-Cert-Subject", "CN=a");
	has(h, "X-Cert-Subject2", "kept");
	cr_expect_eq(h->num, 2);
	head_free(h);
}

Test(forward, edits_leave_framing_alone)
{
	static const struct conf_field fields[] = {
		{ "Content-Length", "5" },
		{ "transfer-encoding", "chunked" },
		{ "TE", "x" },
		{ "Connection", "close" },
		{ "Upgrade", "x" },
		{ "Host", "in a response" },
	};
	static const struct conf_edits edits = { NULL,		0,	fields,
						 COUNT(fields), fields, COUNT(fields) };
	struct head *h = head_new(0);

	edits_apply(h, &edits);
	cr_expect_eq(h->num, 0);
	cr_expect_eq(h->authority.n, 0);
	head_free(h);
}

Test(forward, hsts_replaces_a_backends)
{
	struct conf_hsts hsts = { .max_age_ns = INT64_C(63072000999999999) };
	struct head *h = head_new(0);

	head_add(h, s("strict-transport-security"), s("max-age=0"));
	hsts_add(h, &hsts);
	has(h, "Strict-Transport-Security", "max-age=63072000");
	hsts.include_subdomains = hsts.preload = true;
	hsts_add(h, &hsts);
	has(h, "Strict-Transport-Security", "max-age=63072000; includeSubDomains; preload");
	head_free(h);
}

Test(forward, a_stripped_path_is_one)
{
	static const struct {
		const char *path, *prefix, *left;
	} rows[] = {
		{ "/api/x", "/api", "/x" },
		{ "/api/x", "/api/", "/x" },
		{ "/api", "/api", "/" },
		{ "/api/", "/api", "/" },
		{ "/api/", "/api/", "/" },
		{ "/api?q=/", "/api", "/?q=/" },
		{ "/api/?q", "/api/", "/?q" },
		{ "/apix", "/api", "/apix" },
		{ "/api", "/api/", "/api" },
		{ "/api?q", "/api/", "/api?q" },
		{ "/x", "/", "/x" },
		{ "/", "/", "/" },
		{ "/x", "", "/x" },
		{ "/x/api/y", "/api", "/x/api/y" },
		{ "/~me/x", "/%7eme", "/x" },
		{ "/a/b/x", "/a/./b", "/x" },
		{ "*", "/", "*" },
		{ "/a//x", "/a", "//x" },
	};
	struct head *h = head_new(0);

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span left = strip_prefix(h, s(rows[i].path), rows[i].prefix);

		cr_expect(span_eq(left, s(rows[i].left)), "%s less %s: %.*s", rows[i].path,
			  rows[i].prefix, (int)left.n, left.p);
	}
	cr_assert_not(h->failed);
	head_free(h);
}
