/* snapshot_build: the writer of snapshots: lays out a plan and what belongs to it in a memory of
 * its own. Runs in a loader; reads no file, resolves no name. One thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "certs/keys.h"
#include "conf/conf.h"
#include "conf/problems.h"
#include "conf/span.h"
#include "proxy/process/plan.h"

/* The addresses of one server; none where its name did not resolve. */
struct server_addresses {
	struct plan_address list[PLAN_MAX_ADDRESSES_EACH];
	uint32_t num;
};

/* What a snapshot is made of; all borrowed. */
struct snapshot_source {
	const struct conf *conf;
	const char *file;		   /* of the configuration, for messages */
	const struct plan_socket *sockets; /* ids are filled in later */
	uint32_t num_sockets;
	const struct server_addresses *servers; /* of all servers, pool after pool */
	struct span index;			/* certificates */
	const struct span *roots;		/* of each pool; equal spans are stored once */
	uint64_t num_certificates;
	int64_t first_expiry_s;
	uint32_t workers;
	uint32_t uid, gid;
	bool admin_on; /* where: admin */
	bool admin_default;
	struct plan_socket admin; /* text, address and len */
};

/* snapshot_build returns the descriptor of a new sealable memory with the snapshot, not yet sealed;
 * slots, ids and generation are 0. -1: added to `why`. */
int snapshot_build(const struct snapshot_source *from, struct problems *why);

/* snapshot_build_keys returns the descriptor of a new sealable memory with the key table. -1:
 * added to `why`. */
int snapshot_build_keys(const struct key_table *keys, struct problems *why);
