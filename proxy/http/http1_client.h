/* http1_client: HTTP/1.1 as a client speaks it (RFC 9112): sends requests on a link to a backend
 * server and reads responses, one exchange after the other. Connects nowhere by itself: is given
 * an open link. Trusts the server with nothing: what is not a well-formed response is an error.
 * One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/span.h"
#include "proxy/http/codec.h"
#include "proxy/http/stream.h"
#include "proxy/net/link.h"
#include "proxy/observe/cause.h"

struct loop;
struct http1_client;

/* http1_client_new speaks on `link`, which is open and becomes its own; its events must be passed
 * on to the functions below. NULL: out of memory; the link stays the caller's. */
struct http1_client *http1_client_new(struct loop *loop, struct link *link,
				      const struct client_codec_events *events, void *owner);

/* http1_client_codec returns the codec for whoever does not care which one it is. What follows is
 * what its functions are for this one (codec.h). NULL is fine. */
struct client_codec *http1_client_codec(struct http1_client *h);

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
struct stream *http1_client_open(struct http1_client *h, const struct client_codec_limits *limits);

/* http1_client_free drops the codec and closes the link. NULL is fine. */
void http1_client_free(struct http1_client *h);
