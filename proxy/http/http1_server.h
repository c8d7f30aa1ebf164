/* http1_server: HTTP/1.1 and 1.0 as a server speaks it (RFC 9112): reads requests from a client's
 * link and sends responses, one exchange after the other; pipelined requests wait in the kernel
 * or in a bounded buffer. Refuses whatever two parsers could read differently. Knows neither
 * routes nor backends. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/span.h"
#include "proxy/http/head.h"
#include "proxy/http/stream.h"
#include "proxy/net/link.h"
#include "proxy/observe/cause.h"

struct loop;
struct http1_server;

/* Limits and times of a listener; borrowed, and outlives the codec. */
struct http1_limits {
	size_t max_header_size; /* bytes of request line and fields together; also of trailers */
	unsigned max_headers;	/* fields */
	uint64_t max_requests;	/* on one connection; 0: no limit */
	uint64_t minimum_rate;	/* of a request's body, bytes/s; 0: no limit */
	int64_t minimum_rate_over_ns;
	int64_t request_header_ns; /* whole time, from the first byte (or the connection's start) */
	int64_t request_body_ns;   /* between bytes */
	int64_t keepalive_ns;	   /* idle, between requests */
	int64_t response_write_ns; /* without progress of our output */
	int64_t tunnel_idle_ns;	   /* after 101, without a byte either way */
};

/* What the codec tells its user, the connection's owner. */
struct http1_server_events {
	/* A request has come. The head becomes the user's; the stream is to be attached now, and
	 * stream_release or stream_abort be called on it in the end. `end`: it has no body. Where
	 * the head says expect_continue, the body's time begins with our 100. A response whose
	 * head is sent before the request is whole closes the connection. */
	void (*request)(void *owner, struct stream *s, struct head *h, bool end);
	/* What came is no request that may be passed on: answer it with `status` on `s` (which
	 * reads nothing any more, and closes the connection after the response), as with `request`.
	 * `h` has what is known of it and may be NULL; it becomes the user's. */
	void (*refused)(void *owner, struct stream *s, struct head *h, unsigned status,
			enum cause why, const char *detail);
	/* The connection is over: last event; no stream is open. `why` is CAUSE_CLOSED for all that
	 * is no failure, CAUSE_HEADER_TIMEOUT where no byte of a first request came in time. What
	 * a stream's user was told by `aborted`, or did itself by stream_abort, may come again as
	 * `why`. Then call http1_server_free. */
	void (*ended)(void *owner, enum cause why, const char *detail);
};

/* http1_server_new speaks on `link`, which is open and becomes its own; its events must be passed
 * on to the functions below. NULL: out of memory; the link stays the caller's. */
struct http1_server *http1_server_new(struct loop *loop, struct link *link,
				      const struct http1_limits *limits,
				      const struct http1_server_events *events, void *owner);

/* What the owner of the link passes on, once the link is open and until `ended`. */

/* http1_server_data takes what has come. */
void http1_server_data(struct http1_server *h, struct span bytes);

/* http1_server_eof takes the end of the client's direction. */
void http1_server_eof(struct http1_server *h);

/* http1_server_drained goes on sending. */
void http1_server_drained(struct http1_server *h);

/* http1_server_link_ended takes the end of the link; `why` is its cause as the log has it, of which
 * CAUSE_CLOSED is the orderly one. Leads to `aborted` of a stream that is open, and to `ended` once
 * that has been released. */
void http1_server_link_ended(struct http1_server *h, enum cause why, const char *detail);

/* http1_server_drain lets the connection end: at once where it is idle, else with the response to
 * the request that is on its way. */
void http1_server_drain(struct http1_server *h);

/* http1_server_is_idle tells whether no request is on its way or has begun. */
bool http1_server_is_idle(const struct http1_server *h);

/* http1_server_free drops the codec and closes the link, in good order after `ended` with
 * CAUSE_CLOSED or for want of a first request, else so that the peer sees that it was broken off.
 * An open stream is gone without an event. NULL is fine. */
void http1_server_free(struct http1_server *h);
