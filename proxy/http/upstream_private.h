/* upstream_private: a connection to a server, and a worker's set of them. Private to upstream.c
 * (the set, and connections in use) and upstream_connect.c (those that are being made). */
#pragma once

#include "proxy/http/codec.h"
#include "proxy/http/upstream.h"
#include "proxy/net/link.h"

enum { UPSTREAM_MAGIC = 0x75707374 };

struct upstream {
	unsigned magic;
	bool is_idle;
	bool is_tls;
	bool may_move;	 /* the addresses of its server come and go */
	bool is_limited; /* its server takes only so many */
	bool over;	 /* it failed: those who wait are being told */
	struct upstreams *all;
	struct link *link; /* the codec's, once there is one */
	struct client_codec *codec;
	enum conf_protocol protocol; /* of its pool */
	uint32_t server, pool;	     /* slots */
	uint32_t generation;	     /* of the snapshot that it was last used for */
	uint32_t max_idle;	     /* of its pool then */
	int64_t idle_ns;
	int64_t idle_until_ns; /* while it is idle */
	socklen_t address_len;
	struct sockaddr_storage address;
	int64_t began_ns, connect_ns;
	uint64_t sent; /* bytes that have been counted */
	struct client_codec_limits limits;
	LIST_ENTRY(upstream) entry; /* in one of the lists of its set */
	/* While it is being made. */
	TAILQ_HEAD(, upstream_wait) waiting; /* who came first is served first */
	unsigned num_waiting;
	const struct plan_server *target;
	const char *pool_name;
	/* While it is idle. */
	struct loop_orphan orphan;
	struct timer timer;
};
LIST_HEAD(upstream_list, upstream);

struct upstreams {
	struct traffic *traffic;
	bool draining;
	struct upstream_list making;
	struct upstream_list busy; /* in use by one exchange */
	/* What the next exchange with the server of a slot may take: idle, the last used first, or
	 * shared. */
	struct upstream_list servers[METRICS_SERVERS];
	uint32_t num_idle[METRICS_POOLS];
	/* The server last agreed to nothing that can be shared: nobody waits for another's. */
	bool alone[METRICS_SERVERS];
};

/* upstream_use takes over what the pool says of the connections it uses. */
void upstream_use(struct upstream *c, const struct pool *pool);

/* upstream_drop closes the connection and frees it. */
void upstream_drop(struct upstream *c);

/* upstream_same_address tells whether it was made to `a`. */
bool upstream_same_address(const struct upstream *c, const struct plan_address *a);

/* upstream_leave_idle takes it out of those that are idle, as it is about to be used. */
void upstream_leave_idle(struct upstream *c);

/* upstream_orphan and upstream_timer are what happens to idle ones. */
void upstream_orphan(struct loop_orphan *o);
void upstream_timer(struct timer *t);

/* upstream_codec_idle and upstream_codec_ended are what a codec tells of its connection. */
void upstream_codec_idle(void *owner);
void upstream_codec_ended(void *owner);
