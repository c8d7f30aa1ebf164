/* handover: what a supervisor leaves to the binary that takes over from it: listening sockets, the
 * keys of session tickets, the admin socket with its lock, and a pipe to say that it serves. The
 * descriptors are inherited; a memory beside them, named by the environment, says what they are. As
 * JSON, so that versions may differ. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "proxy/process/endpoint.h"
#include "proxy/process/sockets.h"
#include "proxy/process/ticket_ring.h"

#define HANDOVER_VARIABLE "SALLYPORT_UPGRADE"

/* The sockets of one address. */
struct handover_address {
	char text[SNAPSHOT_TEXT];
	bool shared; /* one for all workers: a unix socket */
	unsigned num;
	int fds[CONF_MAX_WORKERS]; /* of worker n; -1: taken */
};

struct handover {
	pid_t from; /* the old supervisor; 0: there is none, and nothing else */
	struct handover_address *addresses;
	size_t num;
	char admin_text[SNAPSHOT_TEXT];
	int admin_fd, lock_fd, ready_fd; /* -1: none, or taken */
	struct ticket_ring tickets;
};

/* handover_init makes one in which nothing was left. */
void handover_init(struct handover *h);

/* handover_take reads what the environment names, checks it and makes all of it close-on-exec; the
 * variable is gone then. `h` is empty where nothing is named. False with a sentence in `why`: it is
 * of no use, and was closed. */
bool handover_take(struct handover *h, char *why, size_t why_len);

/* handover_fini closes what was not taken, and wipes the keys. */
void handover_fini(struct handover *h);

/* What a supervisor has to leave. */
struct handover_source {
	const struct sockets *sockets;
	const struct endpoint *admin;
	const char *admin_text;
	const struct ticket_ring *tickets;
	int ready_fd;
};

/* handover_write describes it in a memory. Returns its descriptor; -1 with errno. */
int handover_write(const struct handover_source *from);

/* handover_keep lets a new binary inherit all of it, with the memory `fd`. Only what is safe after
 * fork. */
void handover_keep(const struct handover_source *from, int fd);
