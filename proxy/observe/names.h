/* names: what the slots of listeners, pools and servers are called, for log lines and metrics. A
 * table is made when a snapshot comes, then only read; it remembers the names of slots that
 * nothing uses any more until they get another. Counted references; any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proxy/observe/metrics.h"

/* A name, and whether metrics show it: of slots with the same name, only the newest. */
struct name {
	char *text;   /* NULL: the slot never had one */
	bool current; /* of the snapshot that the table was made for */
	bool shown;
};

struct names {
	unsigned refs;
	struct name listeners[METRICS_LISTENERS];
	struct name pools[METRICS_POOLS];
	struct name servers[METRICS_SERVERS];
	uint32_t server_pools[METRICS_SERVERS]; /* slot of the server's pool */
};

/* names_new returns a table with the names of `old` (NULL: none), none of them current; set
 * those, then call names_seal. NULL: out of memory. */
struct names *names_new(const struct names *old);

/* names_set_listener gives slot `slot` a name, which is copied. False: there is no such slot, or
 * memory is short. */
bool names_set_listener(struct names *t, uint32_t slot, const char *name);

/* names_set_pool is names_set_listener for pools. Where the slot had another name, its servers
 * lose theirs. */
bool names_set_pool(struct names *t, uint32_t slot, const char *name);

/* names_set_server is names_set_listener for servers; their pool's slot is named before. */
bool names_set_server(struct names *t, uint32_t slot, uint32_t pool, const char *name);

/* names_seal decides what metrics show. False: out of memory. From here on `t` is read-only. */
bool names_seal(struct names *t);

/* names_ref takes a reference and returns `t`. */
struct names *names_ref(struct names *t);

/* names_unref gives one up; the last one frees. NULL is fine. */
void names_unref(struct names *t);

/* names_listener returns the name of a slot, NULL where there is none or `t` is NULL. */
const char *names_listener(const struct names *t, uint32_t slot);

/* names_pool is names_listener for pools. */
const char *names_pool(const struct names *t, uint32_t slot);

/* names_server is names_listener for servers. */
const char *names_server(const struct names *t, uint32_t slot);
