/* upstream: connections to the servers of pools, as HTTP uses them: made, used for one exchange
 * after the other, kept idle in between, thrown away when they are of no more use. One set per
 * worker, across reloads; a connection is used again only for the address and the TLS settings
 * that it was made for. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/http/http1_client.h"
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

/* What becomes of upstream_connect; from the loop, once. */
struct upstream_events {
	/* The stream is to be attached now. */
	void (*opened)(void *owner, struct stream *s);
	/* It did not come to be, which has been counted and logged; the upstream is gone. */
	void (*failed)(void *owner, enum cause why);
};

/* upstream_reuse begins an exchange on an idle connection to the server of `to`. NULL: there is
 * none that is fit. `*conn` is the connection that carries it. */
struct stream *upstream_reuse(struct upstreams *u, struct pool *pool, const struct pool_choice *to,
			      struct upstream **conn);

/* upstream_connect makes a new connection. NULL: out of memory or descriptors, which was counted.
 */
struct upstream *upstream_connect(struct upstreams *u, struct pool *pool,
				  const struct pool_choice *to, const struct upstream_events *ev,
				  void *owner);

/* upstream_cancel gives up a connection that is being made; no event follows. */
void upstream_cancel(struct upstream *c);

/* upstream_discard closes a connection whose stream has broken, in place of stream_release: it no
 * longer counts as one of its server's. */
void upstream_discard(struct upstream *c);

/* upstream_connect_ns returns how long making it took. */
int64_t upstream_connect_ns(const struct upstream *c);

/* upstream_answered tells whether any byte of the response has come on the stream it carries. */
bool upstream_answered(const struct upstream *c);
