/* web: the spelling of what HTTP speaks of: methods, header fields, hosts, paths, locations. Pure:
 * strings in, a reason out, which goes on after the quoted text: `does not begin with "/"`. Any
 * thread. RFC 9110 5, RFC 3986. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* web_token tells whether `s` is a token (RFC 9110 5.6.2): a method, the name of a field. NULL: it
 * is; else why not. */
const char *web_token(const char *s);

/* web_method likewise, of a method as it is registered: methods are case-sensitive, and a lower
 * case one is a slip. */
const char *web_method(const char *s);

/* web_edited likewise, of the name of a field that the configuration may set or remove: the
 * proxy's own are not. */
const char *web_edited(const char *s);

/* web_value likewise, of the value of a field without control characters. */
const char *web_value(const char *s);

/* web_host likewise, of a host as requests name it, or a wildcard; writes its form to match to
 * `out` (CONF_MAX_VHOST + 1 bytes): lower case, no dot at the end. */
const char *web_host(const char *s, char *out);

/* web_path likewise, of the path of a request or the beginning of one, normalised as requests are
 * before they are matched. */
const char *web_path(const char *s);

/* web_location likewise, of where a redirect leads: "https", a URL or a path. */
const char *web_location(const char *s);

/* web_uri likewise, of a URI with an authority, as in the name of a certificate. */
const char *web_uri(const char *s);

/* web_statuses likewise, of a final status or a range of them: "200", "200-399". */
const char *web_statuses(const char *s);

/* web_status_is_in tells whether `status` is in a range that web_statuses has passed. */
bool web_status_is_in(const char *s, unsigned status);

/* web_hash likewise, of what requests are told by: "client_address", "path", "header:NAME" or
 * "cookie:NAME". */
const char *web_hash(const char *s);
