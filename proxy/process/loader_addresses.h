/* loader_addresses: every address of a configuration as the kernel takes it: where to listen, the
 * servers, the admin endpoint. Resolves names, and so waits. Part of the loader. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "conf/problems.h"
#include "proxy/process/snapshot_build.h"

struct loader_addresses {
	struct plan_socket *sockets;
	uint32_t num_sockets;
	struct server_addresses *servers; /* of all pools */
	bool admin_on, admin_default;
	struct plan_socket admin;
};

/* loader_addresses_find fills `a` (zero bytes before; fini in any case). A server whose name does
 * not resolve is a warning and has no address: a reload must not fail because name servers do.
 * False: an address to listen on has none or is there twice, or memory was short; added to `why`
 * under `file`. */
bool loader_addresses_find(struct loader_addresses *a, const struct conf *c, const char *file,
			   struct problems *why);

/* loader_addresses_give lends what was found to `s`. */
void loader_addresses_give(const struct loader_addresses *a, struct snapshot_source *s);

/* loader_addresses_fini frees it. */
void loader_addresses_fini(struct loader_addresses *a);

/* loader_default_admin writes the path of the admin socket that is used where none is configured:
 * for root, or below the user's run-time folder `runtime_dir`. False: there is no place for it. */
bool loader_default_admin(bool is_root, const char *runtime_dir, char *path, size_t len);
