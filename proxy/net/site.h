/* site: what a worker makes of one snapshot: the index opened, a TLS context for each listener,
 * a pool object for each pool. Attached to the snapshot and gone with it; connections that need
 * it hold a reference to the snapshot. */
#pragma once

#include <stdint.h>
#include <sys/queue.h>

#include "certs/keys.h"
#include "certs/server.h"
#include "certs/tickets.h"
#include "conf/problems.h"
#include "proxy/http/route.h"
#include "proxy/pool/pool.h"
#include "proxy/process/board.h"
#include "proxy/process/snapshot.h"

struct site_listener {
	const struct conf_listener *conf;
	const struct plan_listener *plan;
	struct server_tls *tls; /* NULL: plaintext */
	struct pool *pool;	/* mode tcp without sni_routes: everything goes there; else NULL */
	struct routes *routes;	/* mode http; else NULL */
};

struct site;

/* The sites of a worker that live, oldest first. A generation whose site has gone is in use no
 * more, but for the gauges that long connections still hold up in its slots. */
struct sites {
	TAILQ_HEAD(, site) list;
	void (*gone)(void *arg); /* called after one has left the list */
	void *gone_arg;
};

struct site {
	TAILQ_ENTRY(site) entry;
	struct sites *all;	   /* NULL until it is in there */
	struct snapshot *snapshot; /* not counted: it owns the site */
	struct keys *keys;
	struct index *index;
	struct site_listener *listeners;
	uint32_t num_listeners;
	struct pool **pools;
	uint32_t num_pools;
	uint16_t by_slot[METRICS_LISTENERS]; /* index + 1 of the listener with that slot; 0: none */
};

/* What outlives every site. */
struct site_parts {
	struct keys *keys;
	struct tickets *tickets;
	const struct board *board;
	unsigned worker;
	const int64_t *now_ns; /* of the loop */
	const struct shun *shun;
	struct sites *sites;
};

/* site_new makes the site of `s` and attaches it. NULL: what is wrong was added to `why`. */
struct site *site_new(struct snapshot *s, const struct site_parts *parts, struct problems *why);

/* site_find returns the listener with `slot`, or NULL. */
const struct site_listener *site_find(const struct site *site, uint32_t slot);

/* site_of returns the site attached to `s`. */
struct site *site_of(const struct snapshot *s);
