/* resolve: host names to addresses, by the system's resolver, many at a time and with one deadline
 * for all. Runs in a loader: it waits. Threads of its own do the asking; one that hangs is left
 * behind, to end with the process. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "proxy/process/plan.h"

/* One name and what became of it. */
struct resolve_name {
	const char *host; /* name, or IP address without brackets */
	struct plan_address list[PLAN_MAX_ADDRESSES_EACH]; /* sorted, each once, port 0 */
	uint32_t num;					   /* 0: did not resolve */
	const char *error;				   /* where num is 0: a constant text */
};

/* resolve_names fills in all of `names`, taking `timeout_ns` at most. Equal hosts are asked for
 * once. False: out of memory, nothing was filled in. */
bool resolve_names(struct resolve_name *names, size_t num, int64_t timeout_ns);

/* resolve_literal fills `out` from an IP address, with `port`. False: `host` is a name. */
bool resolve_literal(const char *host, uint16_t port, struct plan_address *out);

/* resolve_unix fills `out` from the path of a unix socket. False: too long. */
bool resolve_unix(const char *path, struct plan_address *out);

/* resolve_set_port sets the port of a TCP address. */
void resolve_set_port(struct plan_address *a, uint16_t port);

/* resolve_text writes a TCP or unix address as configuration spells it. */
void resolve_text(const struct plan_address *a, char *out, size_t len);
