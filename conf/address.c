#include "conf/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/values.h"

enum { ADDRESS_MAX_LABEL = 63 };

static bool address_fail(char *why, size_t why_len, struct span text, const char *what)
{
	char quote[VALUE_QUOTE];

	(void)snprintf(why, why_len, "\"%s\" is not an address: %s", value_quote(text, quote),
		       what);
	return false;
}

/* Letters, digits, '-' and '_' in labels of 1 to 63; one dot may end it. */
static bool address_name(struct span host)
{
	size_t label = 0;
	bool digits = true;

	if (host.n > 0 && host.p[host.n - 1] == '.')
		host.n--;
	if (host.n == 0 || host.n > ADDRESS_MAX_HOST - 1)
		return false;
	for (size_t i = 0; i <= host.n; i++) {
		unsigned char c = i == host.n ? '.' : (unsigned char)host.p[i];

		if (c == '.') {
			if (label == 0 || label > ADDRESS_MAX_LABEL || host.p[i - 1] == '-' ||
			    host.p[i - label] == '-')
				return false;
			label = 0;
			if (i < host.n)
				digits = true;
			continue;
		}
		if (c >= 0x80 || (!isalnum(c) && c != '-' && c != '_'))
			return false;
		digits = digits && isdigit(c);
		label++;
	}
	/* All digits at the end: an IPv4 address gone wrong, which resolvers would guess at. */
	return !digits;
}

bool address_host(struct span host, char *out)
{
	unsigned char bytes[sizeof(struct in6_addr)];
	char copy[ADDRESS_MAX_HOST + 1];

	if (host.n == 0 || host.n > ADDRESS_MAX_HOST || memchr(host.p, '\0', host.n) != NULL)
		return false;
	for (size_t i = 0; i < host.n; i++)
		copy[i] = (char)tolower((unsigned char)host.p[i]);
	copy[host.n] = '\0';
	if (inet_pton(AF_INET6, copy, bytes) == 1)
		return inet_ntop(AF_INET6, bytes, out, ADDRESS_MAX_HOST + 1) != NULL;
	if (inet_pton(AF_INET, copy, bytes) != 1 && !address_name(host))
		return false;
	memcpy(out, copy, host.n + 1);
	return true;
}

static bool address_port(struct span text, uint16_t *port)
{
	unsigned number = 0;

	if (text.n == 0 || text.n > 5 || text.p[0] == '0')
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		number = number * 10 + (unsigned)(text.p[i] - '0');
	}
	if (number > UINT16_MAX)
		return false;
	*port = (uint16_t)number;
	return true;
}

static bool address_unix(struct span text, struct address *a, char *why, size_t why_len)
{
	struct span path = span_of(text.p + 5, text.n - 5);

	if (path.n == 0 || path.p[0] != '/')
		return address_fail(why, why_len, text,
				    "after \"unix:\" an absolute path is expected, such as "
				    "\"unix:/run/app.sock\"");
	if (path.n > ADDRESS_MAX_PATH)
		return address_fail(why, why_len, text,
				    "a unix socket's path has at most 107 bytes");
	if (memchr(path.p, '\0', path.n) != NULL || path.p[path.n - 1] == '/' ||
	    !value_printable(path))
		return address_fail(why, why_len, text, "the path is not one of a socket");
	a->is_unix = true;
	memcpy(a->path, path.p, path.n);
	a->path[path.n] = '\0';
	(void)snprintf(a->text, sizeof(a->text), "unix:%s", a->path);
	return true;
}

/* Splits "[v6]:port", "host:port" or ":port". */
static bool address_split(struct span text, struct span *host, struct span *port, char *why,
			  size_t why_len)
{
	const char *colon = memrchr(text.p, ':', text.n);
	size_t n;

	if (colon == NULL)
		return address_fail(why, why_len, text,
				    "expected \"host:port\", such as \"10.0.0.1:8080\", or "
				    "\"unix:/path\"");
	n = (size_t)(colon - text.p);
	*port = span_of(colon + 1, text.n - n - 1);
	*host = span_of(text.p, n);
	if (n >= 2 && text.p[0] == '[' && text.p[n - 1] == ']') {
		*host = span_of(text.p + 1, n - 2);
		if (host->n > 0 && memchr(host->p, ':', host->n) != NULL)
			return true;
		return address_fail(why, why_len, text, "brackets are for IPv6 addresses only");
	}
	if (memchr(host->p, ':', host->n) != NULL)
		return address_fail(why, why_len, text,
				    "write an IPv6 address in brackets, such as \"[::1]:443\"");
	return true;
}

/* The name of a service (RFC 2782), whose records say the port. */
static bool address_service(struct span text, struct address *a, char *why, size_t why_len)
{
	if (memchr(text.p, '.', text.n) == NULL || !address_host(text, a->host))
		return address_fail(why, why_len, text,
				    "the name of a service is like \"_http._tcp.example.com\"");
	a->has_host = true;
	(void)snprintf(a->text, sizeof(a->text), "%s", a->host);
	return true;
}

static bool address_tcp(struct span text, bool host_required, struct address *a, char *why,
			size_t why_len)
{
	struct span host = { NULL, 0 }, port = { NULL, 0 };

	if (!address_split(text, &host, &port, why, why_len))
		return false;
	if (!address_port(port, &a->port))
		return address_fail(why, why_len, text,
				    "the port must be a number from 1 to 65535");
	a->has_host = host.n > 0;
	if (!a->has_host) {
		if (host_required)
			return address_fail(why, why_len, text,
					    "it needs a host, such as \"127.0.0.1:8080\"");
		(void)snprintf(a->text, sizeof(a->text), ":%u", (unsigned)a->port);
		return true;
	}
	if (span_eq(host, span_str("*")))
		return address_fail(why, why_len, text,
				    "for every interface leave the host out, as in \":443\"");
	if (!address_host(host, a->host))
		return address_fail(why, why_len, text,
				    "its host is neither a host name nor an IP address");
	(void)snprintf(a->text, sizeof(a->text), strchr(a->host, ':') != NULL ? "[%s]:%u" : "%s:%u",
		       a->host, (unsigned)a->port);
	return true;
}

bool address_read(struct span text, bool host_required, struct address *out, char *why,
		  size_t why_len)
{
	struct address a = { .is_unix = false };
	bool ok;

	if (text.n == 0)
		return address_fail(why, why_len, text, "it is empty");
	if (text.n >= 5 && memcmp(text.p, "unix:", 5) == 0)
		ok = address_unix(text, &a, why, why_len);
	else if (host_required && text.p[0] == '_' && memchr(text.p, ':', text.n) == NULL)
		ok = address_service(text, &a, why, why_len);
	else
		ok = address_tcp(text, host_required, &a, why, why_len);
	if (ok)
		*out = a;
	return ok;
}

size_t address_room(const struct address *a)
{
	return strlen(a->text) + strlen(a->host) + strlen(a->path) + 3;
}

static const char *address_put(char **room, const char *s)
{
	char *at = *room;
	size_t n = strlen(s) + 1;

	memcpy(at, s, n);
	*room += n;
	return at;
}

void address_store(const struct address *a, char *room, struct conf_address *out)
{
	*out = (struct conf_address){ .is_unix = a->is_unix, .port = a->port };
	out->text = address_put(&room, a->text);
	if (a->has_host)
		out->host = address_put(&room, a->host);
	if (a->is_unix)
		out->path = address_put(&room, a->path);
}

bool conf_address_parse(const char *text, bool host_required, struct conf_address *out, char *why,
			size_t why_len)
{
	struct address a;
	char *room;

	if (!address_read(span_str(text), host_required, &a, why, why_len))
		return false;
	if ((room = malloc(address_room(&a))) == NULL) {
		(void)snprintf(why, why_len, "out of memory");
		return false;
	}
	address_store(&a, room, out);
	return true;
}

void conf_address_fini(struct conf_address *a)
{
	char *room;

	if (a == NULL || a->text == NULL)
		return;
	/* `text` lies at the start of the allocation and is const only to others. */
	memcpy(&room, &a->text, sizeof(room));
	free(room);
	*a = (struct conf_address){ .text = NULL };
}
