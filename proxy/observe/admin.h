/* admin: the private HTTP endpoint: /metrics, /healthz, /readyz, and / that lists them. Reads
 * only; whoever may connect may see all of it. Connections are few, small and short-lived. On the
 * thread of its event base. */
#pragma once

#include <stdbool.h>

#include "proxy/observe/exposition.h"

enum { ADMIN_TOTAL_S = 15 }; /* of one connection: a slow drip passes every idle limit */

struct event_base;
struct admin;

/* admin_new serves on the listening socket `fd` (TCP or unix), which becomes its own, also on
 * failure. `from` outlives it and is read at each request. A connection lasts `total_s` seconds
 * (ADMIN_TOTAL_S) at most. NULL: out of memory. */
struct admin *admin_new(struct event_base *base, int fd, const struct exposition_source *from,
			int total_s);

/* admin_free closes the socket and all connections. NULL is fine. */
void admin_free(struct admin *a);
