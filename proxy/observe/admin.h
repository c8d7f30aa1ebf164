/* admin: the private HTTP endpoint: /metrics, /healthz, /readyz, /status, and / that lists them:
 * whoever may connect may see all of it. /reload and /drain are commands: over a unix socket, from
 * root or the user that Sallyport was started by. Connections are few, small and short-lived. On
 * the thread of its event base. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proxy/observe/exposition.h"

enum { ADMIN_TOTAL_S = 15 }; /* of one connection: a slow drip passes every idle limit */

struct event_base;
struct admin;

enum admin_command { ADMIN_RELOAD, ADMIN_DRAIN };

/* Who knows more than the metrics, and who does what is commanded. */
struct admin_owner {
	void *self;
	/* status returns the state as JSON, to be freed with free(). NULL: out of memory. */
	char *(*status)(void *self);
	/* command passes a command on. Its outcome comes by admin_outcome, for `ticket` or a later
	 * one. False: it cannot be passed on. */
	bool (*command)(void *self, enum admin_command command, uint32_t ticket);
	uid_t uid; /* who, beside root, may command */
};

/* admin_new serves on the listening socket `fd` (TCP or unix), which becomes its own, also on
 * failure. `from` outlives it and is read at each request; `owner` is copied. A connection lasts
 * `total_s` seconds (ADMIN_TOTAL_S) at most, while a command is on its way ADMIN_COMMAND_S. NULL:
 * out of memory. */
struct admin *admin_new(struct event_base *base, int fd, const struct exposition_source *from,
			const struct admin_owner *owner, int total_s);

enum { ADMIN_COMMAND_S = 120 };

/* admin_outcome answers all commands up to `ticket` with what came of them, in words. */
void admin_outcome(struct admin *a, uint32_t ticket, bool done, const char *text);

/* admin_free closes the socket and all connections. NULL is fine. */
void admin_free(struct admin *a);
