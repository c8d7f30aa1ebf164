/* http1_body: where the body of an HTTP/1 message ends: counted, in chunks (RFC 9112 7.1), or with
 * the connection. Strict: no line end but CR LF, no size that overflows, and of chunk extensions
 * only as many as nobody minds to throw away. No I/O. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "conf/span.h"
#include "proxy/http/http1_head.h"

enum http1_body_kind { HTTP1_BODY_SIZED, HTTP1_BODY_CHUNKED, HTTP1_BODY_OPEN };

struct http1_body {
	uint64_t left; /* bytes of the body or of this chunk */
	struct http1_scan trailers;
	uint8_t kind;  /* enum http1_body_kind */
	uint8_t state; /* of the chunks */
	uint8_t digits;
	uint16_t extensions; /* bytes of them so far, in the whole body */
};

/* http1_body_begin sets up for a body; `length` counts for HTTP1_BODY_SIZED only, which it must
 * not be negative for. */
void http1_body_begin(struct http1_body *b, enum http1_body_kind kind, int64_t length);

enum http1_body_step {
	HTTP1_BODY_MORE,   /* nothing can be done before more comes; keep what is left of `in` */
	HTTP1_BODY_DATA,   /* `*data` is a piece of the body, within what was cut off `in` */
	HTTP1_BODY_END,	   /* the body is over; `*trailers` may be NULL and is the caller's */
	HTTP1_BODY_BROKEN, /* `*fault` says why */
};

/* http1_body_next cuts what it can off the front of `in`. */
enum http1_body_step http1_body_next(struct http1_body *b, struct http1_bounds bounds,
				     struct span *in, struct span *data, struct head **trailers,
				     struct http1_fault *fault);
