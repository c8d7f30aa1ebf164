/* upstream: connections to the servers of pools, as HTTP uses them: made, used for one exchange
 * after the other (HTTP/1) or for many at a time (HTTP/2), kept idle in between, thrown away when
 * they are of no more use. One set per
 * worker, across reloads; a connection is used again only for the address and the TLS settings
 * that it was made for. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "proxy/http/stream.h"
#include "proxy/net/traffic.h"
#include "proxy/observe/cause.h"
#include "proxy/pool/pool.h"

struct upstream;  /* a connection */
struct upstreams; /* those of a worker */

/* upstreams_new makes an empty set. NULL: out of memory. */
struct upstreams *upstreams_new(struct traffic *t);

/* upstreams_free closes all connections and drops the set; no exchange is on its way any more. NULL
 * is fine.
 */
void upstreams_free(struct upstreams *u);

/* upstreams_adopt closes idle connections that `t->now` has no use for. */
void upstreams_adopt(struct upstreams *u);

/* upstreams_drain keeps nothing idle from now on. */
void upstreams_drain(struct upstreams *u);

struct upstream_wait;

/* What becomes of upstream_connect; from the loop, once. */
struct upstream_events {
	/* The stream is to be attached now. */
	void (*opened)(struct upstream_wait *w, struct stream *s);
	/* It did not come to be, which has been counted and logged. CAUSE_SERVER_REFUSED: the
	 * connection is there, but others have taken all the room it has. */
	void (*failed)(struct upstream_wait *w, enum cause why);
};

/* Who waits for a connection; lives in the waiter's object. */
struct upstream_wait {
	TAILQ_ENTRY(upstream_wait) entry;
	const struct upstream_events *events; /* NULL: does not wait */
};

/* upstream_reuse begins an exchange on a connection to the server of `to` that is idle, or has room
 * beside others. NULL: there is none that is fit. `*conn` is the connection that carries it, valid
 * as long as the stream. */
struct stream *upstream_reuse(struct upstreams *u, struct pool *pool, const struct pool_choice *to,
			      struct upstream **conn);

/* upstream_connect makes a new connection, or lets `w` wait for one that is being made and will
 * carry several exchanges. NULL: out of memory or descriptors, which was counted; or a new one was
 * needed and `to->full` forbids it. */
struct upstream *upstream_connect(struct upstreams *u, struct pool *pool,
				  const struct pool_choice *to, const struct upstream_events *ev,
				  struct upstream_wait *w);

/* upstream_cancel lets `w` wait no longer for `c`; no event follows. A connection that nobody waits
 * for is given up. */
void upstream_cancel(struct upstream *c, struct upstream_wait *w);

/* upstream_discard gives up the stream `s` of `c` that has broken, in place of stream_release;
 * where nothing else can be on the connection, that is closed at once and no longer counts as one
 * of its server's. */
void upstream_discard(struct upstream *c, struct stream *s);

/* upstream_connect_ns returns how long making it took. */
int64_t upstream_connect_ns(const struct upstream *c);

/* upstream_shares tells whether the connection carries several exchanges at a time. */
bool upstream_shares(const struct upstream *c);
