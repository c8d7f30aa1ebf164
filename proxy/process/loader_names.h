/* loader_names: the names that the system's own resolver cannot be asked for: services, and all
 * where the configuration says which name servers to ask. Waits. Part of the loader. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "proxy/process/snapshot_build.h"

/* One server's name and what became of it. */
struct loader_name {
	struct plan_server server; /* host, port and discovery */
	struct server_addresses found;
	const char *error; /* where nothing was: a constant text */
};

/* loader_names_wanted tells whether servers of the pool are asked for here. */
bool loader_names_wanted(const struct conf *c, const struct conf_pool *p);

/* loader_names_find fills in all of `names`, taking `timeout_ns` at most. False: out of memory. */
bool loader_names_find(struct loader_name *names, size_t num, const struct conf *c,
		       int64_t timeout_ns);
