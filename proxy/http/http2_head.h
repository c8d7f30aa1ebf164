/* http2_head: the head of a message of HTTP/2, from the fields that nghttp2 decodes to struct head
 * and back. The rules of RFC 9113 8 decide what is malformed; what HTTP/1.1 could not carry is so,
 * too. nghttp2's own rules of messages are switched off: they tolerate more. Pure. */
#pragma once

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/span.h"
#include "proxy/http/head.h"
#include "proxy/observe/cause.h"

enum http2_kind { HTTP2_REQUEST, HTTP2_RESPONSE, HTTP2_TRAILERS };

/* How bad it is, the worst last. */
enum http2_harm {
	HTTP2_FINE,
	HTTP2_REFUSED,	 /* well-formed, and to be answered with `status` (of a response: broken) */
	HTTP2_MALFORMED, /* RFC 9113 8.1.1: a stream error */
	HTTP2_BOMB,	 /* far larger than may be asked for: a connection error */
};

struct http2_fault {
	enum http2_harm harm;
	unsigned status;
	enum cause why;
	const char *detail; /* constant text, for people */
};

/* What a head may take. Sizes are counted as RFC 9113 6.5.2 counts them. */
struct http2_bounds {
	size_t max_size;
	unsigned max_fields;
};

/* A header block as far as it has come. Zero is one that nothing has begun. */
struct http2_block {
	enum http2_kind kind;
	struct http2_bounds bounds;
	struct http2_fault fault;
	struct head *head;
	size_t size;
	unsigned num;
	unsigned seen;	  /* pseudo-fields, a bit each */
	bool has_regular; /* no pseudo-field may follow */
	unsigned num_host, num_length, num_expect, num_cookie;
	size_t cookie_len;
	struct span scheme, status, host, length, expect, protocol, priority;
};

/* http2_block_begin starts an empty one, which http2_block_drop must end. */
void http2_block_begin(struct http2_block *b, enum http2_kind kind, struct http2_bounds bounds);

/* http2_block_add takes the next field. What is wrong shows in `b->fault`; past it nothing is
 * stored any more. */
void http2_block_add(struct http2_block *b, struct span name, struct span value);

/* http2_block_end judges the whole of it, with the outcome in `b->fault`. The head then has its
 * meaning: a request's length is 0 where `end` (nothing follows), Content-Length's, or
 * HEAD_UNKNOWN; a response's Content-Length's or HEAD_UNKNOWN. */
void http2_block_end(struct http2_block *b, bool end);

/* http2_block_take returns the head, which becomes the caller's; NULL where there is none. */
struct head *http2_block_take(struct http2_block *b);

/* http2_block_drop forgets what is left. */
void http2_block_drop(struct http2_block *b);

enum { HTTP2_FIELDS_FEW = 32 };

/* A head as nghttp2 wants it; names and values are borrowed from the head. Not to be moved. */
struct http2_fields {
	nghttp2_nv *list; /* `few` where that is enough, else on the heap; NULL: out of memory */
	size_t num;
	char status[3], length[20];
	nghttp2_nv few[HTTP2_FIELDS_FEW];
};

/* http2_fields_response makes those of a response, which says `length` unless that is HEAD_UNKNOWN.
 */
void http2_fields_response(struct http2_fields *f, const struct head *h, int64_t length);

/* http2_fields_request makes those of a request. */
void http2_fields_request(struct http2_fields *f, const struct head *h, bool is_tls, bool end);

/* http2_fields_trailers makes those of trailers. */
void http2_fields_trailers(struct http2_fields *f, const struct head *h);

/* http2_fields_fini frees them. */
void http2_fields_fini(struct http2_fields *f);
