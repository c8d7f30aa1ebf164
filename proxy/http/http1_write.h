/* http1_write: heads, chunks and trailers of HTTP/1 as bytes on a link. Collects what belongs
 * together into one write, so that it is one TLS record. Writes no field that would be read as
 * something else. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/span.h"
#include "proxy/http/head.h"
#include "proxy/net/link.h"
#include "proxy/net/loop.h"

enum { HTTP1_WRITER_BYTES = 16 << 10 }; /* a TLS record's worth */

/* Lives on the stack of who writes. */
struct http1_writer {
	struct link *link;
	bool room; /* the link has not said stop */
	size_t n;
	char bytes[HTTP1_WRITER_BYTES];
};

/* http1_writer_init begins writing to `link`. */
void http1_writer_init(struct http1_writer *w, struct link *link);

/* http1_put appends bytes. */
void http1_put(struct http1_writer *w, struct span bytes);

/* http1_put_last appends bytes that nothing follows before the flush: many are not copied. */
void http1_put_last(struct http1_writer *w, struct span bytes);

/* http1_put_str appends a NUL-terminated text. */
void http1_put_str(struct http1_writer *w, const char *text);

/* http1_put_number appends a number in decimal. */
void http1_put_number(struct http1_writer *w, uint64_t number);

/* http1_put_field appends a field's line. */
void http1_put_field(struct http1_writer *w, struct span name, struct span value);

/* http1_put_fields appends the fields of `h` that are not about the connection: those are the
 * writer's own to add. A name or value that would break the line is left out. */
void http1_put_fields(struct http1_writer *w, const struct head *h);

/* http1_put_chunk appends a chunk; nothing for no bytes, as that would end the body. */
void http1_put_chunk(struct http1_writer *w, struct span bytes);

/* http1_put_last_chunk ends a body in chunks; `trailers` may be NULL. */
void http1_put_last_chunk(struct http1_writer *w, const struct head *trailers);

/* http1_flush gives what is collected to the link. False: it said stop since the beginning. */
bool http1_flush(struct http1_writer *w);

/* A head that waits for the body's first bytes, so that both leave in one piece; at most until the
 * turn ends. */
struct http1_hold {
	struct chunk *chunk; /* NULL: none */
};

/* http1_hold puts what is collected aside instead of flushing it. False: it could not; flush. */
bool http1_hold(struct http1_writer *w, struct http1_hold *hold, struct loop *loop);

/* http1_unhold appends what was put aside, if anything was. */
void http1_unhold(struct http1_writer *w, struct http1_hold *hold, struct loop *loop);

/* http1_hold_drop throws away what was put aside. */
void http1_hold_drop(struct http1_hold *hold, struct loop *loop);

/* http1_reason returns the phrase of a status; empty where there is none. */
const char *http1_reason(unsigned status);
