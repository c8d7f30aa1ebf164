/* http2_client: HTTP/2 as a client speaks it (RFC 9113): sends requests on a link to a backend
 * server and reads responses, many at a time. Connects nowhere by itself: is given an open link
 * on which HTTP/2 was agreed on, or is known to be spoken. Trusts the server with nothing: what is
 * not a well-formed response is an error. One thread. */
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
struct http2_client;

/* What the codec tells the connection's owner. Never from within a call of the owner's. */
struct http2_client_events {
	/* A stream that was released is over: there is room for another one, or the connection is
	 * idle (http2_client_num_streams). May follow in a later turn than stream_release. Not
	 * after http2_client_open has said that no more can be opened for good. */
	void (*room)(void *owner);
	/* The connection is of no more use; no stream is open. Last event; call http2_client_free.
	 */
	void (*ended)(void *owner);
};

/* http2_client_new speaks on `link`, which is open and becomes its own; its events must be passed
 * on to the functions below. NULL: out of memory; the link stays the caller's. */
struct http2_client *http2_client_new(struct loop *loop, struct link *link,
				      const struct http2_client_events *events, void *owner);

/* http2_client_codec returns the codec for whoever does not care which one it is. What follows is
 * what its functions are for this one (codec.h). NULL is fine. */
struct client_codec *http2_client_codec(struct http2_client *h);

/* http2_client_data takes what has come. */
void http2_client_data(struct http2_client *h, struct span bytes);

/* http2_client_eof takes the end of the server's direction. */
void http2_client_eof(struct http2_client *h);

/* http2_client_drained goes on sending. */
void http2_client_drained(struct http2_client *h);

/* http2_client_link_ended takes the end of the link; `why` is its cause as the log has it, of which
 * CAUSE_CLOSED is the orderly one. */
void http2_client_link_ended(struct http2_client *h, enum cause why, const char *detail);

/* http2_client_open begins an exchange: the stream, to be attached at once, on which the request is
 * sent. NULL: the server takes no more at a time, or none at all (http2_client_is_usable), or
 * memory was short. A stream that is aborted with CAUSE_SERVER_REFUSED was not acted upon: its
 * request may be sent again on another connection, whatever it is. */
struct stream *http2_client_open(struct http2_client *h, const struct client_codec_limits *limits);

/* http2_client_has_room tells whether http2_client_open would give one now. */
bool http2_client_has_room(const struct http2_client *h);

/* http2_client_is_usable tells whether it may do so now or later: the server has not said GOAWAY,
 * and the connection is whole. */
bool http2_client_is_usable(const struct http2_client *h);

/* http2_client_num_streams returns how many are on their way. */
unsigned http2_client_num_streams(const struct http2_client *h);

/* http2_client_answered tells whether any byte of a response has come on `s`, a stream of this
 * codec that has not been released. */
bool http2_client_answered(const struct stream *s);

/* http2_client_retire lets the connection end with the last of its streams: no more are opened. */
void http2_client_retire(struct http2_client *h);

/* http2_client_free drops the codec and closes the link. NULL is fine. */
void http2_client_free(struct http2_client *h);
