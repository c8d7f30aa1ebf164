/* world: what a worker has around its traffic, made from a JSON configuration and the addresses
 * of its servers: board, snapshot, site. For tests of proxy/net and proxy/pool. */
#pragma once

#include <netinet/in.h>
#include <stdint.h>

#include "proxy/net/traffic.h"
#include "proxy/process/snapshot_build.h"
#include "tests/support/make_certs.h"

enum { WORLD_WORKERS = 2, WORLD_SERVERS = 24 };

struct world {
	struct board *board;
	struct keys *keys;
	struct tickets *tickets;
	struct sites sites;
	struct traffic traffic;
	struct made cert;   /* answers for every name of every TLS listener, */
	struct made other;  /* and this for other.example */
	unsigned num_ended; /* relays */
	uint32_t released;  /* oldest generation that has a site, once one has gone */
};

/* world_init makes it around `loop`, without a snapshot. Aborts where it cannot. */
void world_init(struct world *w, struct loop *loop);

/* world_snapshot makes a snapshot of `json`, whose servers have, in order, the addresses of
 * `servers`; every slot is the index of its thing, plus `shift`. The caller's. */
struct snapshot *world_snapshot(struct world *w, const char *json,
				const struct server_addresses *servers, uint32_t generation,
				uint32_t shift);

/* world_use puts `s`, which becomes the world's, in place of the one in use. */
void world_use(struct world *w, struct snapshot *s);

/* world_fini ends what there is and frees all but the loop. */
void world_fini(struct world *w);

/* world_at adds `to` to the addresses of a server. */
void world_at(struct server_addresses *a, const struct sockaddr_in *to);
