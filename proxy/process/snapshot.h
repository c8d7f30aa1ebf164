/* snapshot: everything that a configuration means, made by a loader, immutable, in sealed memory
 * that every process maps: the plan (sockets, slots, addresses), the canonical configuration,
 * the certificate index. Private keys travel in a memory of their own, to the keeper; to workers
 * where there is none. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "conf/conf.h"
#include "conf/problems.h"
#include "conf/span.h"

enum { SNAPSHOT_TEXT = 192 }; /* bytes of a name or address in the plan, NUL included */

/* A socket to listen on; its identity is `text`. */
struct plan_socket {
	char text[SNAPSHOT_TEXT];
	uint32_t listener; /* index */
	uint32_t id;	   /* set by the supervisor: the same for an address that stays */
	uint32_t len;
	struct sockaddr_storage address;
};

struct plan_listener {
	char name[SNAPSHOT_TEXT];
	uint32_t slot; /* set by the supervisor */
	uint32_t set;  /* in the certificate index */
};

struct plan_pool {
	char name[SNAPSHOT_TEXT];
	uint32_t slot; /* set by the supervisor */
	uint32_t first_server, num_servers;
	uint32_t set;			  /* in the certificate index: what it shows to servers */
	uint64_t roots_offset, roots_len; /* PEM text of trusted roots, in the snapshot */
};

struct plan_server {
	char name[SNAPSHOT_TEXT];
	char host[256]; /* for SNI and verification */
	uint32_t pool;
	uint32_t slot;			       /* set by the supervisor */
	uint32_t first_address, num_addresses; /* 0 where the name did not resolve */
	uint16_t port;			       /* where `host` is one of a server */
	uint8_t discovery; /* enum conf_discovery; CONF_DISCOVERY_ONCE also where there is no name
			    */
};

struct plan_address {
	uint32_t len;
	struct sockaddr_storage address;
};

/* The head of the snapshot's memory; arrays and texts lie behind it at the offsets it says. */
struct plan {
	uint32_t magic, version;
	uint64_t size;
	uint32_t generation; /* set by the supervisor; also the load of the keys */
	uint32_t num_sockets, num_listeners, num_pools, num_servers, num_addresses;
	uint64_t sockets, listeners, pools, servers, addresses; /* offsets */
	uint64_t json_offset, json_len;				/* canonical configuration */
	uint64_t file_offset, file_len;				/* its file's name, for messages */
	uint64_t index_offset, index_len;			/* certificate index */
	uint64_t num_certificates;
	int64_t first_expiry_s; /* 0: no certificate */
	uint32_t workers;	/* resolved */
	uint32_t uid, gid;	/* to become, where the supervisor is root */
	int64_t drain_delay_ns, drain_timeout_ns;
	uint32_t log_level;
	char log_error[4096], log_access[4096]; /* paths, "stderr", "stdout" or "" */
	uint8_t admin_on, admin_default;
	uint8_t key_isolation;
	uint8_t sandbox;	       /* enum conf_sandbox */
	struct sockaddr_storage admin; /* where admin_on */
	uint32_t admin_len;
	char admin_text[SNAPSHOT_TEXT];
};

/* One mapped snapshot with its parsed configuration; counted references, one thread. */
struct snapshot {
	unsigned magic;
	unsigned refs;
	const struct plan *plan;
	struct conf *conf;
	void *keys; /* mapped key table, or NULL; read-only */
	size_t keys_len;
	void *owned; /* what the process attaches (worker: contexts), freed by `owned_free` */
	void (*owned_free)(void *owned);
};

/* snapshot_open maps `fd` (and `keys_fd`, or -1), checks every offset and parses the
 * configuration. Owns both descriptors, also on failure. NULL: `why` says what. */
struct snapshot *snapshot_open(int fd, int keys_fd, struct problems *why);

/* snapshot_ref takes a reference and returns `s`. */
struct snapshot *snapshot_ref(struct snapshot *s);

/* snapshot_unref gives one up; the last one unmaps. NULL is fine. */
void snapshot_unref(struct snapshot *s);

/* Accessors into the plan; indexes are within the numbers the plan says. */
const struct plan_socket *snapshot_socket(const struct snapshot *s, uint32_t i);
const struct plan_listener *snapshot_listener(const struct snapshot *s, uint32_t i);
const struct plan_pool *snapshot_pool(const struct snapshot *s, uint32_t i);
const struct plan_server *snapshot_server(const struct snapshot *s, uint32_t i);
const struct plan_address *snapshot_address(const struct snapshot *s, uint32_t i);

/* snapshot_index returns the certificate index's bytes. */
struct span snapshot_index(const struct snapshot *s);

/* snapshot_roots returns the roots of a pool. */
struct span snapshot_roots(const struct snapshot *s, uint32_t pool);
