/* http1_server: HTTP/1.1 and 1.0 as a server speaks it (RFC 9112): reads requests from a client's
 * link and sends responses, one exchange after the other; pipelined requests wait in the kernel
 * or in a bounded buffer. Refuses whatever two parsers could read differently. Knows neither
 * routes nor backends. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/span.h"
#include "proxy/http/codec.h"
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

/* http1_server_new speaks on `link`, which is open and becomes its own; its events must be passed
 * on to the functions below. NULL: out of memory; the link stays the caller's. */
struct http1_server *http1_server_new(struct loop *loop, struct link *link,
				      const struct http1_limits *limits,
				      const struct server_codec_events *events, void *owner);

/* http1_server_codec returns the codec for whoever does not care which one it is. What follows is
 * what its functions are for this one (codec.h). NULL is fine. */
struct server_codec *http1_server_codec(struct http1_server *h);

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
