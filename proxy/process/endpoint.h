/* endpoint: the listening socket of the admin endpoint, bound once at start. */
#pragma once

#include <stdbool.h>

#include "conf/problems.h"
#include "proxy/process/handle.h"
#include "proxy/process/listen.h"
#include "proxy/process/plan.h"

/* endpoint_open binds what `p` wants; `*admin` is NULL where there is none. An address that nobody
 * configured and that cannot be had is a warning. False: a configured one cannot be had. Problems
 * are added to `why`. */
bool endpoint_open(const struct plan *p, struct handle **admin, struct listen_file *file,
		   struct problems *why);
