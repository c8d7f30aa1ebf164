/* stream: one message each way, whatever version of HTTP carries it. Codecs make streams, in
 * the server's role (a request comes in, a response is sent) and in the client's (the other way
 * round); exchange is the one who uses them. One thread.
 *
 * No function here calls back: events come from the loop only. After `aborted`, and after
 * stream_release or stream_abort, there are none. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "conf/span.h"
#include "proxy/http/head.h"
#include "proxy/observe/cause.h"

struct stream;

/* What a codec does. */
struct stream_ops {
	void (*send_informational)(struct stream *s, const struct head *h);
	void (*send_head)(struct stream *s, const struct head *h, bool end);
	bool (*send_data)(struct stream *s, struct span bytes);
	void (*send_end)(struct stream *s, const struct head *trailers);
	void (*consumed)(struct stream *s, size_t n);
	void (*stop_reading)(struct stream *s);
	void (*release)(struct stream *s);
	void (*abort)(struct stream *s, enum cause why);
	bool (*answered)(const struct stream *s); /* a client's; else NULL */
};

/* What a stream tells its user. Of a server's stream the head came before it had a user, so that
 * `informational` and `head` are a client stream's only. */
struct stream_events {
	/* An interim response, 1xx without 101. The head becomes the user's. */
	void (*informational)(void *owner, struct head *h);
	/* The response begins. The head becomes the user's. `end`: it has no body. A response with
	 * 101 turns both directions into a tunnel of bytes. */
	void (*head)(void *owner, struct head *h, bool end);
	/* Bytes of the body, for this call only. stream_consumed is owed for each of them: the
	 * codec stops at some 64 KiB that are not consumed. */
	void (*data)(void *owner, struct span bytes);
	/* The message is whole. `trailers` may be NULL and becomes the user's. */
	void (*end)(void *owner, struct head *trailers);
	/* The stream broke; `detail` says more, for people, for this call only. What came is not
	 * whole. Call stream_release. On a server's stream a response may be sent before that, a
	 * small one, as no `drained` comes; where nobody is left to read it, it is thrown away. */
	void (*aborted)(void *owner, enum cause why, const char *detail);
	/* After stream_send_data said false: go on. */
	void (*drained)(void *owner);
};

/* The codec's object begins with it. */
struct stream {
	const struct stream_ops *ops;
	const struct stream_events *events;
	void *owner;
};

/* stream_attach names the user; before that no event comes. */
static inline void stream_attach(struct stream *s, const struct stream_events *events, void *owner)
{
	s->events = events;
	s->owner = owner;
}

/* stream_send_informational sends an interim response (1xx, not 101) on a server's stream, before
 * stream_send_head; where the client is too old for it, nothing is sent. The head is borrowed. */
static inline void stream_send_informational(struct stream *s, const struct head *h)
{
	s->ops->send_informational(s, h);
}

/* stream_send_head sends the head, once; it is borrowed for the call. `end`: there is no body,
 * whatever `h->length` announces (an answer to HEAD). A response with 101 opens a tunnel: from
 * then on both directions carry bytes until their ends. */
static inline void stream_send_head(struct stream *s, const struct head *h, bool end)
{
	s->ops->send_head(s, h, end);
}

/* stream_send_data queues bytes of the body, which are copied. False: taken, but let no more come
 * before `drained`; what is on its way already (a window of the other side) is taken, too. More
 * than `length` announced is a mistake of the caller. */
static inline bool stream_send_data(struct stream *s, struct span bytes)
{
	return s->ops->send_data(s, bytes);
}

/* stream_send_end ends the body. `trailers` may be NULL, are borrowed, and left out where they
 * cannot be sent. */
static inline void stream_send_end(struct stream *s, const struct head *trailers)
{
	s->ops->send_end(s, trailers);
}

/* stream_consumed says that `n` bytes that came by `data` have been disposed of: the peer may
 * send as many more. */
static inline void stream_consumed(struct stream *s, size_t n)
{
	s->ops->consumed(s, n);
}

/* stream_stop_reading says that no more of the incoming body is wanted: `data` and `end` come no
 * more, and what still comes is the codec's affair. */
static inline void stream_stop_reading(struct stream *s)
{
	s->ops->stop_reading(s);
}

/* stream_release gives the stream up. Where both messages are whole the codec goes on with its
 * connection; what was not whole breaks it off, so that no peer takes its part for complete. */
static inline void stream_release(struct stream *s)
{
	s->ops->release(s);
}

/* stream_answered tells, of a client's stream, whether any byte of the response has come: if not,
 * and its connection was used before, the server may have closed that before it saw the request. */
static inline bool stream_answered(const struct stream *s)
{
	return s->ops->answered(s);
}

/* stream_abort gives the stream up because of `why`: the peer sees that it is not complete. */
static inline void stream_abort(struct stream *s, enum cause why)
{
	s->ops->abort(s, why);
}
