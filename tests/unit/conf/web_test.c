#include <criterion/criterion.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/web.h"

/* A text, and a part of why it is refused; NULL: it is fine. */
struct verdict {
	const char *text, *why;
};

#define VERDICTS(check, list)                                                                    \
	for (size_t i = 0; i < sizeof(list) / sizeof((list)[0]); i++) {                          \
		const char *why = check((list)[i].text);                                         \
                                                                                                 \
		cr_expect_eq(why == NULL, (list)[i].why == NULL, "%s: %s", (list)[i].text, why); \
		if (why != NULL && (list)[i].why != NULL)                                        \
			cr_expect_not_null(strstr(why, (list)[i].why), "%s: %s", (list)[i].text, \
					   why);                                                 \
	}

Test(web, names_of_fields_and_methods_are_tokens)
{
	static const struct verdict names[] = {
		{ "X-Site", NULL },	     { "!#$%&'*+-.^_`|~09azAZ", NULL },
		{ "", "is empty" },	     { "X Site", "does not belong" },
		{ "X:", "does not belong" }, { "X\xc3\xa9", "does not belong" },
	};
	static const struct verdict methods[] = {
		{ "GET", NULL },
		{ "M-SEARCH", NULL },
		{ "get", "in upper case" },
		{ "GEt", "in upper case" },
		{ "G T", "does not belong" },
		{ "G/T", "does not belong" },
	};

	VERDICTS(web_token, names)
	VERDICTS(web_method, methods)
}

Test(web, fields_of_the_proxy_are_its_own)
{
	static const char *const owned[] = {
		"Connection", "content-LENGTH",	  "Transfer-Encoding",
		"Keep-Alive", "Proxy-Connection", "TE",
		"Trailer",    "Upgrade",	  "Expect",
		"Host",
	};

	for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++) {
		cr_assert_not_null(web_edited(owned[i]), "%s", owned[i]);
		cr_expect_not_null(strstr(web_edited(owned[i]), "the proxy itself decides on"));
		cr_expect_null(web_token(owned[i]));
	}
	cr_expect_null(web_edited("Content-Type"));
	cr_expect_null(web_edited("Hosts"));
	cr_expect_not_null(web_edited("a b"));
}

Test(web, values_have_no_spaces_around_them)
{
	static const struct verdict values[] = {
		{ "", NULL },
		{ "a b", NULL },
		{ "\xc3\xa9", NULL },
		{ " a", "has a space" },
		{ "a ", "has a space" },
		{ " ", "has a space" },
	};

	VERDICTS(web_value, values)
}

Test(web, hosts_have_one_form)
{
	static const struct {
		const char *text, *form;
	} good[] = {
		{ "a.example", "a.example" },
		{ "A.Example.", "a.example" },
		{ "*.Example", "*.example" },
		{ "*.a.example.", "*.a.example" },
		{ "localhost", "localhost" },
		{ "a_b.example", "a_b.example" },
		{ "10.0.0.1", "10.0.0.1" },
		{ "[0:0::1]", "[::1]" },
		{ "xn--e-ga.example", "xn--e-ga.example" },
	};
	static const struct verdict bad[] = {
		{ "*", "leave \"host\" out" },
		{ "*.", "is no host" },
		{ "*.10.0.0.1", "is no host" },
		{ "*.1.2", "is no host" },
		{ "a.*.example", "\"*\" stands alone for the first label" },
		{ "*a.example", "\"*\" stands alone" },
		{ "**.example", "\"*\" stands alone" },
		{ "a.example:443", "has a port" },
		{ "[::1]:443", "in brackets" },
		{ "::1", "in brackets" },
		{ "[10.0.0.1]", "brackets are for IPv6" },
		{ "[::x]", "brackets are for IPv6" },
		{ "[]", "is no host" },
		{ "a b", "is no host" },
		{ "a..b", "is no host" },
		{ "-a.example", "is no host" },
		{ "https://a.example", "has a port" },
		{ "a/b", "is no host" },
		{ ".", "is no host" },
		{ "\xc3\xa9.example", "\"xn--\"" },
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		char form[CONF_MAX_VHOST + 1];
		const char *why = web_host(good[i].text, form);

		cr_assert_null(why, "%s %s", good[i].text, why);
		cr_expect_str_eq(form, good[i].form);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char form[CONF_MAX_VHOST + 1];
		const char *why = web_host(bad[i].text, form);

		cr_assert_not_null(why, "%s", bad[i].text);
		cr_expect_not_null(strstr(why, bad[i].why), "%s %s", bad[i].text, why);
	}
}

Test(web, paths_are_as_requests_are_matched)
{
	static const struct verdict paths[] = {
		{ "/", NULL },
		{ "//", NULL },
		{ "/a/b", NULL },
		{ "/a%2Fb%20%C3%A9", NULL },
		{ "/...", NULL },
		{ "/.a/..b/a.", NULL },
		{ "/~a;b=c,d:@!$&'()*+", NULL },
		{ "a", "does not begin with \"/\"" },
		{ "*", "does not begin with \"/\"" },
		{ "/a/./b", "has a segment \".\" or \"..\"" },
		{ "/a/..", "has a segment" },
		{ "/..", "has a segment" },
		{ "/../a", "has a segment" },
		{ "/.", "has a segment" },
		{ "/a/.", "has a segment" },
		{ "/a?b", "has a query" },
		{ "/a#b", "has a fragment" },
		{ "/a\\b", "as \"%5C\"" },
		{ "/a b", "\"%20\"" },
		{ "/\xc3\xa9", "UTF-8 bytes" },
		{ "/%", "two hex digits" },
		{ "/%2", "two hex digits" },
		{ "/%2f", "in upper case" },
		{ "/%zz", "two hex digits" },
		{ "/%00", "\"%00\"" },
		{ "/%41", "write it plainly" },
		{ "/%7E", "write it plainly" },
		{ "/%2E%2E", "write it plainly" },
		{ "/%2D", "write it plainly" },
	};

	VERDICTS(web_path, paths)
}

Test(web, locations_lead_somewhere)
{
	static const struct verdict locations[] = {
		{ "https", NULL },
		{ "https://www.example", NULL },
		{ "http://www.example:81/a?b#c", NULL },
		{ "/new?a#b", NULL },
		{ "/", NULL },
		{ "http", "is nowhere to go" },
		{ "HTTPS", "is nowhere to go" },
		{ "www.example", "is nowhere to go" },
		{ "ftp://www.example", "is nowhere to go" },
		{ "https://", "is nowhere to go" },
		{ "https:///a", "is nowhere to go" },
		{ "http://?a", "is nowhere to go" },
		{ "//www.example", "leads to another host" },
		{ "/a b", "\"%20\"" },
		{ "/\xc3\xa9", "UTF-8 bytes" },
		{ "/\\www.example", "only encoded" },
	};

	VERDICTS(web_location, locations)
}
