/* endpoint: the listening socket of the admin endpoint, bound once at start. One thread. */
#pragma once

#include <stdbool.h>

#include "conf/problems.h"
#include "proxy/process/handle.h"
#include "proxy/process/listen.h"
#include "proxy/process/plan.h"

struct endpoint {
	struct handle *socket; /* listening; NULL: none */
	struct listen_file file;
	/* Of a unix socket: PATH.lock, held as long as the path is ours, so that of two that start
	 * at once only one takes it. -1: none. */
	int lock_fd;
	char lock_path[128];
};

/* endpoint_init makes one that is closed. */
void endpoint_init(struct endpoint *e);

/* endpoint_open binds what `p` wants; nothing is open where it wants none. An address that nobody
 * configured and that cannot be had is a warning. False: a configured one cannot be had. Problems
 * are added to `why`. */
bool endpoint_open(struct endpoint *e, const struct plan *p, struct problems *why);

/* endpoint_adopt takes over what another process has bound: its listening socket, and of a unix
 * socket the lock (-1: none). Its files stay the other's until endpoint_own_files. False: out of
 * memory; the socket was closed. */
bool endpoint_adopt(struct endpoint *e, int fd, int lock_fd);

/* endpoint_own_files makes the files of an adopted one ours to remove; else a no-op. */
void endpoint_own_files(struct endpoint *e);

/* endpoint_hand_over closes it and leaves its files: they belong to another process now. */
void endpoint_hand_over(struct endpoint *e);

/* endpoint_fini closes it and removes its files. */
void endpoint_fini(struct endpoint *e);
