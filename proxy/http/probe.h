/* probe: one check of a server's health: connects as a pool does and, where HTTP is asked for,
 * sends a request and looks at the status of its response. One thread, on a loop. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "certs/client.h"
#include "conf/conf.h"
#include "proxy/net/loop.h"
#include "proxy/pool/addresses.h"

/* What is checked, and how; borrowed until the probe is over. */
struct probe_target {
	const struct conf_health *health;
	enum conf_protocol protocol;
	struct client_tls *tls; /* NULL: plaintext */
	const char *name;	/* to verify, with `tls` */
	const char *authority;	/* Host of the request */
};

struct probe;

/* probe_new begins a check. `done(owner, ok, words)` tells its outcome from the loop, once; the
 * words say why it failed, for this call only. Then the probe is gone. NULL: out of memory or
 * descriptors. */
struct probe *probe_new(struct loop *loop, const struct probe_target *target,
			const struct addresses_choice *at,
			void (*done)(void *owner, bool ok, const char *words), void *owner);

/* probe_free gives a check up that is not over. NULL is fine. */
void probe_free(struct probe *p);
