/* limits: how many client connections there may be, in all, for each address, and for the
 * descriptors there are. Counts lie on the board, a column a worker that it alone writes, so a
 * limit holds over all workers without a lock, and a dead worker's share is set to zero.
 *
 * Addresses (IPv6: the /64) are counted in four hashed rows of cells, keyed so that nobody can
 * aim at one; the smallest of its four cells counts for an address. So an address never gets more
 * than its limit, but for accepts in the same instant; it may get less by what strangers hold in
 * that cell: nothing at all with up to some 10,000 addresses at a time, one or two with 100,000. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proxy/process/board.h"

struct limits {
	const struct board *board;
	unsigned worker;
	uint64_t connections;		  /* 0: no limit but the descriptors */
	uint64_t connections_per_address; /* 0: no limit */
	uint64_t max_fds;		  /* of this process */
};

/* Descriptors of a worker that are not for connections: channel, board, listeners, epoll. */
enum { LIMITS_RESERVED_FDS = 64, LIMITS_FDS_PER_CONNECTION = 2 };

/* A counted connection; 0 in each cell is a cell like any other. */
struct limits_seat {
	uint16_t cells[BOARD_ADDRESS_ROWS];
};

enum limits_room { LIMITS_ROOM, LIMITS_CONNECTIONS, LIMITS_DESCRIPTORS };

/* limits_room tells whether one more client connection may be accepted, or what is short.
 * `num_others` sockets are open beside the connections: listeners, what lingers. */
enum limits_room limits_room(const struct limits *l, size_t num_others);

/* limits_admit counts a connection from `address`. False: it has as many as it may; nothing was
 * counted. Unix peers always come in. */
bool limits_admit(struct limits *l, const struct sockaddr *address, struct limits_seat *seat);

/* limits_leave takes back what limits_admit counted. */
void limits_leave(struct limits *l, const struct limits_seat *seat);
