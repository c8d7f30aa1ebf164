/* http1_scan: finds the end of a head of HTTP/1 in raw bytes, and refuses, line by line, what
 * parsers read differently: folded fields, bare CR or LF, spaces where none belong, other versions
 * (RFC 9112 2.2, 3, 5). Also takes first lines apart. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "conf/span.h"
#include "proxy/observe/cause.h"

enum http1_kind { HTTP1_REQUEST, HTTP1_RESPONSE, HTTP1_TRAILERS };

/* What is wrong, for an answer and for the log. Of a response the status means nothing. */
struct http1_fault {
	unsigned status;
	enum cause why;
	const char *detail; /* constant text, for people */
};

/* How far a scan has come; zero to begin with. */
struct http1_scan {
	size_t line;	/* where the line begins that is not yet whole */
	size_t seen;	/* bytes looked at */
	unsigned lines; /* that are whole */
};

struct http1_bounds {
	size_t max_size;     /* bytes, with the empty line at the end */
	unsigned max_fields; /* lines of fields */
};

enum http1_found { HTTP1_MORE, HTTP1_WHOLE, HTTP1_BAD };

/* http1_scan goes on with a scan over `bytes`, which begin where the head begins and have grown
 * since the last call. WHOLE: `*len` bytes are the head with its empty line. BAD: `*fault` says
 * why. The answer does not depend on how the bytes were cut. */
enum http1_found http1_scan(struct http1_scan *s, enum http1_kind kind, struct http1_bounds bounds,
			    struct span bytes, size_t *len, struct http1_fault *fault);

/* A request line, in pieces that borrow from it. */
struct http1_request_line {
	struct span method, target;
	unsigned
		minor; /* of HTTP/1: 0 or 1, which is spoken with whoever is newer (RFC 9110 2.5) */
};

/* http1_request_line takes a line without its end apart. False: `*fault` says why. */
bool http1_request_line(struct span line, struct http1_request_line *r, struct http1_fault *fault);

/* A status line, likewise. */
struct http1_status_line {
	unsigned status, minor;
	struct span reason;
};

/* http1_status_line takes a line without its end apart. False: `*fault` says why. */
bool http1_status_line(struct span line, struct http1_status_line *r, struct http1_fault *fault);

/* http1_is_token tells whether `s` is a token (RFC 9110 5.6.2). */
bool http1_is_token(struct span s);

/* http1_is_value tells whether `s` may be a field's value: no control character but tab. */
bool http1_is_value(struct span s);

/* http1_cut cuts `s` at the first `c`. False: there is none. */
bool http1_cut(struct span s, char c, struct span *before, struct span *after);

/* http1_bad fills in a fault; always false. */
bool http1_bad(struct http1_fault *fault, unsigned status, enum cause why, const char *detail);
