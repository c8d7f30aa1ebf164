/* link: one byte stream to a peer, TCP or unix, plain or TLS, client or server side: nobody above
 * can tell. The only code that touches a connected socket or an SSL. Stays on the thread of its
 * loop. No function here calls back; events come from the loop only, so an owner may call any of
 * them from within an event. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "certs/client.h"
#include "certs/reason.h"
#include "certs/server.h"
#include "conf/span.h"

struct loop;
struct link; /* opaque */

enum {
	LINK_HIGH_WATER = 64 << 10, /* bytes of output that wait before a writer is told to stop */
	LINK_LOW_WATER = 32 << 10,  /* and to go on */
};

/* Why a link ended. */
enum link_end {
	LINK_END_CLOSED,      /* both directions ended in good order */
	LINK_END_RESET,	      /* the peer broke it off */
	LINK_END_TRUNCATED,   /* TLS: the peer's TCP stream ended without close_notify */
	LINK_END_TLS,	      /* link_reason says what */
	LINK_END_GONE,	      /* closed by the peer before it was open */
	LINK_END_TIMEOUT,     /* not open within its time */
	LINK_END_REFUSED,     /* connect: nobody listens there */
	LINK_END_UNREACHABLE, /* connect: no route, or host down */
	LINK_END_FAILED,      /* connect: any other error of the system */
	LINK_END_MEMORY,
	LINK_ENDS
};

/* What a link tells its owner. Events come in this order: opened once, then any of data, eof and
 * drained, ended last; ended may come alone. */
struct link_events {
	void (*opened)(void *owner);
	void (*data)(void *owner, struct span bytes); /* bytes live for this call only */
	void (*eof)(void *owner);		      /* the peer's direction ended in good order */
	void (*drained)(void *owner); /* after link_write said false: output is low again */
	void (*ended)(void *owner, enum link_end why); /* then call link_close or link_abort */
};

/* link_accept takes over the connected non-blocking socket `fd`, also on failure. `tls` (NULL:
 * plaintext) must stay until `opened` or the link's end. `timeout_ns` bounds the handshake. NULL:
 * out of memory. */
struct link *link_accept(struct loop *loop, int fd, struct server_tls *tls, int64_t timeout_ns,
			 const struct link_events *ev, void *owner);

/* link_start_tls begins TLS as a server on a link that was accepted without, and is open; `bytes`
 * are what it has told so far, and all the client has sent. `opened` comes again, within
 * `timeout_ns`, as after link_accept. False: out of memory; the link is as before. */
bool link_start_tls(struct link *l, struct server_tls *tls, struct span bytes, int64_t timeout_ns);

enum { LINK_MAX_ADDRESSES = 8 };

/* Where to connect, and how. Borrowed for the call. */
struct link_target {
	const struct sockaddr *addresses[LINK_MAX_ADDRESSES]; /* of one server */
	socklen_t lens[LINK_MAX_ADDRESSES];
	unsigned num;		/* one or more */
	struct client_tls *tls; /* NULL: plaintext */
	const char *name;	/* for SNI and verification, with `tls` */
	uint32_t place;		/* the server's among those that `tls` resumes sessions with */
	int64_t timeout_ns;	/* for connect and handshake together */
};

/* link_connect starts a connection. Where there are several addresses it tries them in their order,
 * the next one as soon as one fails, or after a quarter of a second (RFC 8305 5); the first that
 * takes the connection has it. NULL: out of memory or descriptors (errno); every other failure is
 * told by `ended`. */
struct link *link_connect(struct loop *loop, const struct link_target *to,
			  const struct link_events *ev, void *owner);

/* link_write queues a copy of `bytes`, sent at the latest when this loop turn ends. False: above
 * the high-water mark; the bytes are kept, but write no more before `drained`. Only after opened
 * and before link_end. */
bool link_write(struct link *l, struct span bytes);

/* link_queued returns how many bytes of output wait here, encrypted where there is TLS: fewer than
 * before, with nothing written in between, is progress. */
size_t link_queued(const struct link *l);

/* link_pause stops `data` and `eof` until link_resume; what arrives stays in the kernel. Only an
 * eof that came together with the last data may still follow. */
void link_pause(struct link *l);

/* link_resume undoes link_pause. */
void link_resume(struct link *l);

/* link_is_quiet tells whether, as far as the loop has heard, nothing has come that `data`, `eof` or
 * `ended` will still tell of. */
bool link_is_quiet(const struct link *l);

/* link_end sends what is queued, then close_notify (RFC 8446 6.1) and FIN; reading goes on. */
void link_end(struct link *l);

/* link_close gives the link up. What is queued and fits the socket now is sent (an alert, above
 * all), then FIN; where the peer may still be sending, the socket lingers for a bounded time so
 * that a reset does not overtake what was sent. No event follows. NULL is fine. */
void link_close(struct link *l);

/* link_abort gives the link up so that the peer cannot take what it got for complete: TLS ends
 * with a fatal alert, plaintext with a reset. A unix socket without TLS has neither: its peer
 * sees an end, and must know from its protocol that it is none. No event follows. NULL is fine. */
void link_abort(struct link *l);

/* link_peer writes the address that took the connection, where there were several; its length, or 0
 * where there was one. Only within `opened`. */
socklen_t link_peer(const struct link *l, struct sockaddr_storage *out);

/* link_outrun writes address number `n` of those that failed or were too slow, where there were
 * several. False: there are no more. Only within `opened`, or an `ended` in its place. */
bool link_outrun(const struct link *l, unsigned n, struct sockaddr_storage *out, socklen_t *len);

/* What there is to say of a link in a log. */
struct link_facts {
	uint16_t tls_version; /* as on the wire; 0: plain, or not negotiated */
	uint16_t cipher, group;
	bool resumed;
	int64_t handshake_ns;		     /* TLS handshake; 0: none finished */
	uint64_t bytes_received, bytes_sent; /* above TLS */
};

/* link_facts fills in what is known now. */
void link_facts(const struct link *l, struct link_facts *out);

/* link_ssl returns the SSL or NULL, for what else a log wants to know of it. */
const SSL *link_ssl(const struct link *l);

/* link_reason returns the cause after LINK_END_TLS, with words for people in `*words`; after
 * LINK_END_FAILED the words are the system's. */
enum tls_reason link_reason(const struct link *l, const char **words);
