/* http2_server: HTTP/2 as a server speaks it (RFC 9113): reads requests from a client's link, many
 * at a time, and sends responses in the order of their priorities (RFC 9218). Opens tunnels by
 * extended CONNECT (RFC 8441). Every flood that the protocol makes cheap has a budget, past which
 * the connection ends with ENHANCE_YOUR_CALM and a cause of its own. Knows neither routes nor
 * backends. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/span.h"
#include "proxy/http/codec.h"
#include "proxy/net/link.h"
#include "proxy/observe/cause.h"

struct loop;
struct http2_server;

/* Limits and times of a listener; borrowed, and outlives the codec. */
struct http2_limits {
	size_t max_header_size; /* bytes of all fields, each with the 32 of RFC 9113 6.5.2 */
	unsigned max_headers;	/* fields */
	/* Requests at a time: one that the client reset counts until its stream is released. */
	uint32_t max_concurrent_streams;
	uint64_t max_requests; /* on one connection; 0: no limit */
	uint64_t minimum_rate; /* of a request's body, bytes/s; 0: no limit */
	int64_t minimum_rate_over_ns;
	int64_t request_header_ns; /* from a head's first byte, or the connection's start, on */
	int64_t request_body_ns;   /* between bytes that we would take */
	int64_t keepalive_ns;	   /* without a request */
	int64_t response_write_ns; /* without progress of a response, whoever holds it up */
	int64_t tunnel_idle_ns;	   /* without a byte either way */
};

/* http2_server_new speaks on `link`, which is open and becomes its own; its events must be passed
 * on to the functions below. NULL: out of memory; the link stays the caller's. `ended` comes with
 * CAUSE_H2_* where the client broke the rules or flooded. */
struct http2_server *http2_server_new(struct loop *loop, struct link *link,
				      const struct http2_limits *limits,
				      const struct server_codec_events *events, void *owner);

/* http2_server_codec returns the codec for whoever does not care which one it is. What follows is
 * what its functions are for this one (codec.h). NULL is fine. */
struct server_codec *http2_server_codec(struct http2_server *h);

/* http2_server_data takes what has come. */
void http2_server_data(struct http2_server *h, struct span bytes);

/* http2_server_eof takes the end of the client's direction. */
void http2_server_eof(struct http2_server *h);

/* http2_server_drained goes on sending. */
void http2_server_drained(struct http2_server *h);

/* http2_server_link_ended takes the end of the link; `why` is its cause as the log has it, of which
 * CAUSE_CLOSED is the orderly one. Leads to `aborted` of each stream that is open, and to `ended`
 * once all have been released. */
void http2_server_link_ended(struct http2_server *h, enum cause why, const char *detail);

/* http2_server_drain lets the connection end: tells the client to open no more streams, takes
 * those that are on their way (RFC 9113 6.8), and ends with the last of them. */
void http2_server_drain(struct http2_server *h);

/* http2_server_is_idle tells whether no request is on its way or has begun. */
bool http2_server_is_idle(const struct http2_server *h);

/* http2_server_free drops the codec and closes the link, in good order after `ended` where the
 * client was told why or no failure was, else so that the peer sees that it was broken off. Open
 * streams are gone without an event. NULL is fine. */
void http2_server_free(struct http2_server *h);
