/* channel: messages between the supervisor and the others, over a SOCK_SEQPACKET socket pair,
 * with descriptors. Each message is one packet: a fixed struct. Both ends are the same binary,
 * but a role may be captured, so the supervisor checks what it is told. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "certs/tickets.h"

enum { CHANNEL_FD = 3 };	/* where a role finds its end */
enum { CHANNEL_MAX_FDS = 200 }; /* one message carries at most */

enum channel_type {
	/* supervisor to worker and steward */
	CHANNEL_START = 1,   /* first; board descriptors, in messages of CHANNEL_MAX_FDS */
	CHANNEL_SOCKET,	     /* worker: a listening socket: id, owner worker; 1 descriptor */
	CHANNEL_SOCKET_DROP, /* worker: stop accepting for a sibling: owner */
	CHANNEL_TICKETS,     /* worker: ticket keys */
	CHANNEL_SNAPSHOT,    /* generation; 1 descriptor, workers without a keeper also the keys' */
	CHANNEL_KEEPER,	     /* worker, keeper: a keeper_area of worker `number`; 4 descriptors: it,
			      * what wakes the keeper, what wakes the worker, an end of a pipe */
	CHANNEL_KEYS,	     /* keeper: generation; 1 descriptor: its key table */
	CHANNEL_KEYS_DROP,   /* keeper: those below `generation` are needed no more */
	CHANNEL_LOGS,	     /* steward: error, access (flags say which); 0 to 2 descriptors */
	CHANNEL_NAMES,	     /* steward: files to read; flags: a bit for each enum name_file */
	CHANNEL_ADMIN,	     /* steward: listening socket, none to close it; `owner`: who, beside
			      * root, may command */
	CHANNEL_DRAIN,	     /* stop accepting, finish within `ns`, then exit 0 */
	CHANNEL_OUTCOME,     /* steward: of its commands up to `number`; flags: 1 done; text */
	/* to the supervisor */
	CHANNEL_READY,	   /* started, waits for a snapshot; flags: what protects it (sandbox.h) */
	CHANNEL_VIOLATION, /* it ends: system call `number` is none that its sandbox allows */
	CHANNEL_STACK,	   /* worker: text: where it stands (stack.h) */
	CHANNEL_ADOPTED,   /* generation is in use; of keys: flags CHANNEL_NOT_LOCKED */
	CHANNEL_RELEASED,  /* nothing below `generation` is in use any more */
	CHANNEL_FAILED,	   /* generation could not be adopted: text */
	CHANNEL_COMMAND,   /* steward: `number` of this request, flags: enum admin_command */
	CHANNEL_REFUSED,   /* keeper: worker `number` asked for what it does not sign; flags: 1 for
			    * the last time */
	CHANNEL_LOADED,	   /* loader: result; text; 0 or 2 descriptors: snapshot, keys */
	CHANNEL_PROBLEM,   /* loader: one line for the log (level, text); before LOADED */
};

/* ADOPTED: the memory of the keys may be swapped out. */
enum { CHANNEL_NOT_LOCKED = 1 };

struct channel_message {
	uint32_t type;
	uint32_t number; /* worker number, or socket id */
	uint32_t owner;	 /* SOCKET, SOCKET_DROP: the worker whose socket it is */
	uint32_t generation;
	uint32_t num_workers;
	uint32_t flags; /* LOGS: 1 error, 2 access; PROBLEM: enum conf_log_level; LOADED: 1 done */
	uint32_t part, parts; /* START: which of how many messages */
	uint32_t num_keys;    /* TICKETS */
	int64_t ns;	      /* DRAIN: time left */
	uint64_t max_fds;     /* START: descriptor limit */
	struct ticket_key keys[TICKETS_KEYS];
	char text[1024];
};

/* channel_send sends `m` with descriptors, which stay the caller's. False with errno: the peer is
 * gone, or (EAGAIN) its queue is full. */
bool channel_send(int fd, const struct channel_message *m, const int *fds, size_t num_fds);

enum channel_result { CHANNEL_GOT, CHANNEL_AGAIN, CHANNEL_GONE };

/* channel_receive reads one message and its descriptors (close-on-exec, at most CHANNEL_MAX_FDS,
 * now the caller's). A malformed packet counts as GONE, its descriptors closed. */
enum channel_result channel_receive(int fd, struct channel_message *m, int *fds, size_t *num_fds);
