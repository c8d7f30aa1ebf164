/* http1_client: HTTP/1.1 as a client speaks it (RFC 9112): sends requests on a link to a backend
 * server and reads responses, one exchange after the other. Connects nowhere by itself: is given
 * an open link. Trusts the server with nothing: what is not a well-formed response is an error.
 * One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/span.h"
#include "proxy/http/stream.h"
#include "proxy/net/link.h"
#include "proxy/observe/cause.h"

struct loop;
struct http1_client;

/* Limits and times of a pool. Copied for each exchange. */
struct http1_client_limits {
	size_t max_header_size;	  /* bytes of status line and fields together; also of trailers,
				   * and of all interim responses to one request */
	unsigned max_headers;	  /* fields */
	int64_t response_head_ns; /* from the request's last byte to the response's head */
	int64_t idle_ns;	  /* between bytes of a body, and without progress of our output */
	int64_t tunnel_idle_ns;	  /* after 101, without a byte either way */
};

/* What the codec tells the connection's owner. Never from within a call of the owner's. */
struct http1_client_events {
	/* The exchange is over and its stream released: the connection may be used again
	 * (http1_client_open). May follow in a later turn than stream_release. */
	void (*idle)(void *owner);
	/* The connection is of no more use; no stream is open. Last event; call http1_client_free.
	 * An idle connection that the server closed, or sent bytes on, ends so, too. */
	void (*ended)(void *owner);
};

/* http1_client_new speaks on `link`, which is open and becomes its own; its events must be passed
 * on to the functions below. NULL: out of memory; the link stays the caller's. */
struct http1_client *http1_client_new(struct loop *loop, struct link *link,
				      const struct http1_client_events *events, void *owner);

/* http1_client_data takes what has come. */
void http1_client_data(struct http1_client *h, struct span bytes);

/* http1_client_eof takes the end of the server's direction. */
void http1_client_eof(struct http1_client *h);

/* http1_client_drained goes on sending. */
void http1_client_drained(struct http1_client *h);

/* http1_client_link_ended takes the end of the link; `why` is its cause as the log has it, of which
 * CAUSE_CLOSED is the orderly one. */
void http1_client_link_ended(struct http1_client *h, enum cause why, const char *detail);

/* http1_client_open begins an exchange on an idle connection: the stream, to be attached at once,
 * on which the request is sent. NULL: the connection turns out to be dead or dirty; `ended`
 * follows. */
struct stream *http1_client_open(struct http1_client *h, const struct http1_client_limits *limits);

/* http1_client_answered tells whether any byte of a response to the present request has come: if
 * not, and the connection was used before, the server may have closed it before it saw the
 * request. */
bool http1_client_answered(const struct http1_client *h);

/* http1_client_free drops the codec and closes the link. NULL is fine. */
void http1_client_free(struct http1_client *h);
