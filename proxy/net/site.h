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
#include "proxy/pool/pool.h"
#include "proxy/process/board.h"
#include "proxy/process/snapshot.h"

struct site_listener {
	const struct conf_listener *conf;
	const struct plan_listener *plan;
	struct server_tls *tls; /* NULL: plaintext */
	struct pool *pool;
};

/* A generation whose slots are in use: by its site, and by connections that go on counting in them
 * when they need no more of the snapshot. */
struct tenure {
	TAILQ_ENTRY(tenure) entry; /* of all there are, oldest first */
	struct tenures *all;
	uint32_t generation;
	size_t users;
};

/* The tenures of a worker. */
struct tenures {
	TAILQ_HEAD(, tenure) list;
	void (*gone)(void *arg); /* called after one has left the list */
	void *gone_arg;
};

/* tenure_keep makes the caller a user of `t` and returns it. */
struct tenure *tenure_keep(struct tenure *t);

/* tenure_drop gives that up. NULL is fine. */
void tenure_drop(struct tenure *t);

struct site {
	struct tenure *tenure;
	struct snapshot *snapshot; /* not counted: it owns the site */
	struct keys *keys;
	struct index *index;
	struct site_listener *listeners;
	uint32_t num_listeners;
	struct pool **pools;
	uint32_t num_pools;
};

/* What outlives every site. */
struct site_parts {
	struct keys *keys;
	struct tickets *tickets;
	const struct board *board;
	unsigned worker;
	struct tenures *tenures;
};

/* site_new makes the site of `s` and attaches it. NULL: what is wrong was added to `why`. */
struct site *site_new(struct snapshot *s, const struct site_parts *parts, struct problems *why);

/* site_of returns the site attached to `s`. */
struct site *site_of(const struct snapshot *s);
