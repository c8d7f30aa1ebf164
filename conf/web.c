#include "conf/web.h"

#include <string.h>
#include <strings.h>

#include "conf/address.h"
#include "conf/conf.h"

static bool web_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool web_visible(char c)
{
	return c > 0x20 && c < 0x7f;
}

/* ---- fields */

const char *web_token(const char *s)
{
	for (const char *c = s; *c != '\0'; c++) {
		if (!web_alnum(*c) && strchr("!#$%&'*+-.^_`|~", *c) == NULL)
			return "has a character that does not belong in it: use letters, digits "
			       "and \"-\"";
	}
	return *s == '\0' ? "is empty" : NULL;
}

const char *web_method(const char *s)
{
	for (const char *c = s; *c != '\0'; c++) {
		if (*c >= 'a' && *c <= 'z')
			return "is no method: they are case-sensitive, write it in upper case";
	}
	return web_token(s);
}

const char *web_edited(const char *s)
{
	static const char *const owned[] = {
		"connection",
		"content-length",
		"expect",
		"host",
		"keep-alive",
		"te",
		"trailer",
		"upgrade",
		"transfer-encoding",
		"proxy-connection",
	};

	for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++) {
		if (strcasecmp(s, owned[i]) == 0)
			return "is a field that the proxy itself decides on: take it out";
	}
	return web_token(s);
}

const char *web_value(const char *s)
{
	size_t n = strlen(s);

	if (n > 0 && (s[0] == ' ' || s[n - 1] == ' '))
		return "has a space at its beginning or end, which is no part of a value: take it "
		       "out";
	return NULL;
}

/* ---- hosts */

const char *web_host(const char *s, char *out)
{
	char host[ADDRESS_MAX_HOST + 1];
	size_t n = strlen(s), star = strncmp(s, "*.", 2) == 0 ? 2 : 0, len;
	const char *name = s + star, *colon = strrchr(s, ':');
	bool literal = n > 2 && s[0] == '[' && s[n - 1] == ']';

	if (strcmp(s, "*") == 0)
		return "is any host: leave \"host\" out";
	for (const char *c = s; *c != '\0'; c++) {
		if ((unsigned char)*c >= 0x80)
			return "is not ASCII: write an international name as it is in DNS, with "
			       "\"xn--\"";
	}
	if (literal) {
		if (memchr(s, ':', n) == NULL || !address_host(span_of(s + 1, n - 2), host))
			return "is no host: brackets are for IPv6 addresses only";
		out[0] = '[';
		len = strlen(host);
		memcpy(out + 1, host, len);
		memcpy(out + 1 + len, "]", 2);
		return NULL;
	}
	if (colon != NULL && strchr(s, ':') != colon)
		return "is no host: write an IPv6 address in brackets";
	if (colon != NULL)
		return "has a port, which is not matched: leave it out";
	if (strchr(name, '*') != NULL)
		return "is no host: \"*\" stands alone for the first label, as in \"*.example\"";
	if (!address_host(span_str(name), host) ||
	    (star > 0 && host[strspn(host, "0123456789.")] == '\0'))
		return "is no host: expected a name such as \"a.example\" or \"*.example\"";
	len = strlen(host);
	if (host[len - 1] == '.')
		host[--len] = '\0';
	memcpy(out, s, star);
	memcpy(out + star, host, len + 1);
	return NULL;
}

/* ---- paths */

static int web_hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One escape at `s`; RFC 3986 6.2.2. */
static const char *web_escape(const char *s)
{
	int high = web_hex(s[1]), low = high < 0 ? -1 : web_hex(s[2]), c;

	if (low < 0)
		return "has \"%\" without two hex digits in upper case after it, as in \"%2F\"";
	c = high * 16 + low;
	if (c == 0)
		return "has \"%00\", which no request may have: take it out";
	if (web_alnum((char)c) || (c < 0x80 && strchr("-._~", c) != NULL))
		return "encodes a letter, digit, \"-\", \".\", \"_\" or \"~\", which is matched as "
		       "it is: write it plainly";
	return NULL;
}

static bool web_dots(const char *segment, size_t n)
{
	return n > 0 && n <= 2 && memcmp(segment, "..", n) == 0;
}

const char *web_path(const char *s)
{
	const char *why;
	size_t n;

	if (s[0] != '/')
		return "does not begin with \"/\": put one there";
	for (const char *c = s; *c != '\0'; c++) {
		if (*c == '?')
			return "has a query, which is not matched: leave \"?\" and what follows "
			       "out";
		if (*c == '#')
			return "has a fragment, which no request has: leave \"#\" and what follows "
			       "out";
		if (*c == '\\')
			return "has a backslash: write it as \"%5C\"";
		if (!web_visible(*c))
			return "has a character that a path has only encoded: write a space as "
			       "\"%20\", others by their UTF-8 bytes";
		if (*c == '%' && (why = web_escape(c)) != NULL)
			return why;
	}
	for (const char *c = s; *c != '\0'; c += n) {
		n = strcspn(++c, "/");
		if (web_dots(c, n))
			return "has a segment \".\" or \"..\", without which paths are matched: "
			       "write where it leads";
	}
	return NULL;
}

/* ---- locations */

const char *web_location(const char *s)
{
	static const char expected[] =
		"is nowhere to go: expected \"https\", a URL such as \"https://www.example\" or a "
		"path such as \"/new\"";
	const char *host;

	if (strcmp(s, "https") == 0)
		return NULL;
	for (const char *c = s; *c != '\0'; c++) {
		if (!web_visible(*c) || *c == '\\')
			return "has a character that a URL has only encoded: write a space as "
			       "\"%20\", others by their UTF-8 bytes";
	}
	if (s[0] == '/')
		return s[1] == '/' ? "begins with \"//\", which leads to another host: write a URL "
				     "with its scheme"
				   : NULL;
	if (strncmp(s, "http://", 7) == 0)
		host = s + 7;
	else if (strncmp(s, "https://", 8) == 0)
		host = s + 8;
	else
		return expected;
	return strcspn(host, "/?#") == 0 ? expected : NULL;
}

/* ---- names of certificates */

static bool is_scheme(const char *s, size_t n)
{
	if (n == 0 || !web_alnum(s[0]) || (s[0] >= '0' && s[0] <= '9'))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!web_alnum(s[i]) && strchr("+.-", s[i]) == NULL)
			return false;
	}
	return true;
}

const char *web_uri(const char *s)
{
	const char *rest = strstr(s, "://");

	if (rest == NULL || !is_scheme(s, (size_t)(rest - s)) || rest[3] == '\0')
		return "is no URI: expected one such as \"spiffe://example.org/web\"";
	for (const char *c = rest; *c != '\0'; c++) {
		if (!web_visible(*c))
			return "has a character that a URI has only encoded: write a space as "
			       "\"%20\", others by their UTF-8 bytes";
	}
	return NULL;
}

/* ---- what requests are told by */

const char *web_hash(const char *s)
{
	size_t skip = strlen("header:");

	if (strcmp(s, "client_address") == 0 || strcmp(s, "path") == 0)
		return NULL;
	if (strncmp(s, "header:", skip) != 0 && strncmp(s, "cookie:", skip) != 0)
		return "is nothing to hash: expected \"client_address\", \"header:NAME\", "
		       "\"cookie:NAME\" or \"path\"";
	if (s[skip] == '\0')
		return "has no name behind its colon: add that of the header or cookie";
	return web_token(s + skip) == NULL ? NULL
					   : "has a name with a character that does not belong in "
					     "it: use letters, digits and \"-\"";
}

/* ---- statuses */

/* Three digits; 0: they are not. */
static unsigned status_of(const char *s)
{
	for (unsigned i = 0; i < 3; i++) {
		if (s[i] < '0' || s[i] > '9')
			return 0;
	}
	return (unsigned)(s[0] - '0') * 100 + (unsigned)(s[1] - '0') * 10 + (unsigned)(s[2] - '0');
}

/* False: it is no range. */
static bool status_range(const char *s, unsigned *first, unsigned *last)
{
	size_t n = strlen(s);

	if ((n != 3 && n != 7) || (n == 7 && s[3] != '-'))
		return false;
	*first = status_of(s);
	*last = n == 3 ? *first : status_of(s + 4);
	return *first >= 200 && *first <= *last && *last <= 599;
}

const char *web_statuses(const char *s)
{
	unsigned first, last;

	return status_range(s, &first, &last)
		       ? NULL
		       : "is no status of a response: expected \"200\" to \"599\", or a range such as "
			 "\"200-399\"";
}

bool web_status_is_in(const char *s, unsigned status)
{
	unsigned first, last;

	return status_range(s, &first, &last) && status >= first && status <= last;
}
