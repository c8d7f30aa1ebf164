/* codec: what the versions of HTTP have in common for whoever owns a connection. A server's codec
 * reads requests from a client's link and makes streams of them; the owner of the link passes its
 * events on, without knowing which version is spoken. And the limits of exchanges with backend
 * servers, whatever they speak. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/span.h"
#include "proxy/http/head.h"
#include "proxy/http/stream.h"
#include "proxy/observe/cause.h"

/* codec_drain_wait_ns returns how long a connection without a request outlives the begin of a
 * drain, where it usually has `usual_ns`: who connects is about to ask. */
static inline int64_t codec_drain_wait_ns(int64_t usual_ns)
{
	const int64_t most_ns = 1000000000;

	return usual_ns < most_ns ? usual_ns : most_ns;
}

/* What a server's codec tells its user, the connection's owner. */
struct server_codec_events {
	/* A request has come. The head becomes the user's; the stream is to be attached now, and
	 * stream_release or stream_abort be called on it in the end. `end`: it has no body. Where
	 * the head says expect_continue, the body's time begins with our 100. A response whose
	 * head is sent before the request is whole closes a connection of HTTP/1. */
	void (*request)(void *owner, struct stream *s, struct head *h, bool end);
	/* What came is no request that may be passed on: answer it with `status` on `s` (which
	 * reads nothing any more, and with HTTP/1 closes the connection after the response), as
	 * with `request`. `h` has what is known of it and may be NULL; it becomes the user's. */
	void (*refused)(void *owner, struct stream *s, struct head *h, unsigned status,
			enum cause why, const char *detail);
	/* The connection is over: last event; no stream is open. `why` is CAUSE_CLOSED for all that
	 * is no failure, CAUSE_HEADER_TIMEOUT where no byte of a first request came in time. What
	 * a stream's user was told by `aborted`, or did itself by stream_abort, may come again as
	 * `why`. Then call server_codec_free. */
	void (*ended)(void *owner, enum cause why, const char *detail);
};

struct server_codec;

/* What a server's codec does. */
struct server_codec_ops {
	void (*data)(struct server_codec *c, struct span bytes);
	void (*eof)(struct server_codec *c);
	void (*drained)(struct server_codec *c);
	void (*link_ended)(struct server_codec *c, enum cause why, const char *detail);
	void (*drain)(struct server_codec *c);
	bool (*is_idle)(const struct server_codec *c);
	void (*free)(struct server_codec *c);
};

/* The codec's object has it inside. */
struct server_codec {
	const struct server_codec_ops *ops;
};

/* What the owner of the link passes on, once the link is open and until `ended`. */

/* server_codec_data takes what has come. */
static inline void server_codec_data(struct server_codec *c, struct span bytes)
{
	c->ops->data(c, bytes);
}

/* server_codec_eof takes the end of the client's direction. */
static inline void server_codec_eof(struct server_codec *c)
{
	c->ops->eof(c);
}

/* server_codec_drained goes on sending. */
static inline void server_codec_drained(struct server_codec *c)
{
	c->ops->drained(c);
}

/* server_codec_link_ended takes the end of the link; `why` is its cause as the log has it, of
 * which CAUSE_CLOSED is the orderly one. Leads to `aborted` of streams that are open, and to
 * `ended` once those have been released. */
static inline void server_codec_link_ended(struct server_codec *c, enum cause why,
					   const char *detail)
{
	c->ops->link_ended(c, why, detail);
}

/* server_codec_drain lets the connection end: at once where it is idle, else with the responses to
 * the requests that are on their way. */
static inline void server_codec_drain(struct server_codec *c)
{
	c->ops->drain(c);
}

/* server_codec_is_idle tells whether no request is on its way or has begun. */
static inline bool server_codec_is_idle(const struct server_codec *c)
{
	return c->ops->is_idle(c);
}

/* server_codec_free drops the codec and closes the link, in good order after `ended` with a cause
 * that the client is to be told or that is no failure, else so that the peer sees that it was
 * broken off. An open stream is gone without an event. NULL is fine. */
static inline void server_codec_free(struct server_codec *c)
{
	if (c != NULL)
		c->ops->free(c);
}

/* Limits and times of a pool. Copied for each exchange. */
struct client_codec_limits {
	size_t max_header_size;	  /* bytes of status line and fields together; also of trailers,
				   * and of all interim responses to one request */
	unsigned max_headers;	  /* fields */
	int64_t response_head_ns; /* from the request's last byte to the response's head */
	int64_t idle_ns;	  /* between bytes of a body, and without progress of our output */
	int64_t tunnel_idle_ns;	  /* after 101, without a byte either way */
};

/* What a client's codec tells the connection's owner. Never from within a call of the owner's. */
struct client_codec_events {
	/* An exchange is over and its stream released: there may be room for another
	 * (client_codec_open). May follow in a later turn than stream_release. */
	void (*idle)(void *owner);
	/* The connection is of no more use; no stream is open. Last event; call client_codec_free.
	 * An idle connection that the server closed, or sent bytes on, ends so, too. */
	void (*ended)(void *owner);
};

struct client_codec;

/* What a client's codec does. */
struct client_codec_ops {
	struct stream *(*open)(struct client_codec *c, const struct client_codec_limits *limits);
	unsigned (*num_streams)(const struct client_codec *c);
	void (*data)(struct client_codec *c, struct span bytes);
	void (*eof)(struct client_codec *c);
	void (*drained)(struct client_codec *c);
	void (*link_ended)(struct client_codec *c, enum cause why, const char *detail);
	void (*free)(struct client_codec *c);
	bool shares; /* it carries several exchanges at a time */
};

/* The codec's object has it inside. */
struct client_codec {
	const struct client_codec_ops *ops;
};

/* client_codec_open begins an exchange: the stream, to be attached at once, on which the request is
 * sent. NULL: there is no room, or the connection turns out to be of no use (`ended` follows). */
static inline struct stream *client_codec_open(struct client_codec *c,
					       const struct client_codec_limits *limits)
{
	return c->ops->open(c, limits);
}

/* client_codec_num_streams returns how many exchanges are on their way. */
static inline unsigned client_codec_num_streams(const struct client_codec *c)
{
	return c->ops->num_streams(c);
}

/* client_codec_shares tells whether several exchanges may be on their way at a time. */
static inline bool client_codec_shares(const struct client_codec *c)
{
	return c->ops->shares;
}

/* client_codec_data takes what has come on the link. */
static inline void client_codec_data(struct client_codec *c, struct span bytes)
{
	c->ops->data(c, bytes);
}

/* client_codec_eof takes the end of the server's direction. */
static inline void client_codec_eof(struct client_codec *c)
{
	c->ops->eof(c);
}

/* client_codec_drained goes on sending. */
static inline void client_codec_drained(struct client_codec *c)
{
	c->ops->drained(c);
}

/* client_codec_link_ended takes the end of the link; `why` is its cause as the log has it, of which
 * CAUSE_CLOSED is the orderly one. */
static inline void client_codec_link_ended(struct client_codec *c, enum cause why,
					   const char *detail)
{
	c->ops->link_ended(c, why, detail);
}

/* client_codec_free drops the codec and closes the link; streams are gone without an event. NULL is
 * fine. */
static inline void client_codec_free(struct client_codec *c)
{
	if (c != NULL)
		c->ops->free(c);
}
