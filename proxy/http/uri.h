/* uri: targets and authorities of requests brought into the one form that is matched and
 * forwarded, so that no spelling walks around a rule. Pure; any thread. RFC 3986 6.2.2, 5.2.4. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/span.h"

/* What was made of a target. Both point into the caller's buffer. */
struct uri {
	struct span path;  /* normalised, begins with '/' (or is "*") */
	struct span query; /* with its '?', as it came; empty: none */
};

/* uri_normalise brings an origin-form target (RFC 9112 3.2.1), or "*", into its form: encoded
 * unreserved characters decoded, other escapes in upper case, `.` and `..` segments removed. `//`
 * is kept. An encoded slash or backslash stays encoded and is an ordinary character of its
 * segment; it is refused where decoding it would make a dot segment, or everywhere with
 * `reject_escaped_slashes`. In the path a raw backslash, an encoded NUL, a bad escape, `..` above
 * the root, and a dot segment with parameters ("..;x", which some backends take for "..") are
 * refused; a fragment, and a character that may not be in a target, everywhere. The query stays
 * byte for byte. Raw "[]{}|^" and, in the query, more of the kind that browsers send are taken.
 * `out` has room for `target.n` bytes. False: refused, `*why` says what in a few words (constant
 * text). */
bool uri_normalise(struct span target, bool reject_escaped_slashes, char *out, struct uri *uri,
		   const char **why);

/* uri_host checks an authority as Host or an absolute target have it (RFC 3986 3.2.2, without
 * userinfo) and brings its host into its form: lower case, without port and trailing dot, IPv6 in
 * brackets and in its shortest spelling. A name consists of letters, digits and "-._~", in labels
 * that are not empty: the grammar has more, but no name that resolves does. `out` has room for
 * `authority.n` bytes. `*port` is 0 where there is none. False: it is no authority. An empty one is
 * fine: empty host. */
bool uri_host(struct span authority, char *out, struct span *host, uint16_t *port);
