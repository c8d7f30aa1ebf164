/* board: the memory that the processes share: a page set for each worker, which it alone writes
 * (metrics, log ring, columns of the limits), one for the steward, one for the supervisor. The
 * supervisor makes it at start; it outlives every other process and every reload. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "proxy/observe/metrics.h"
#include "proxy/observe/ring.h"
#include "proxy/process/board_name.h"

enum { BOARD_ADDRESS_CELLS = 65536, BOARD_ADDRESS_ROWS = 4 };

/* Written by one worker, read by all. */
struct board_worker {
	struct metrics_worker metrics;
	uint32_t addresses[BOARD_ADDRESS_ROWS][BOARD_ADDRESS_CELLS]; /* see net/limits.h */
	struct ring_head ring;
};

/* What the steward has found of a server. */
struct board_server {
	uint32_t out;	 /* 1: it fails, and is to get nothing */
	uint32_t down;	 /* 1: it says, or does not say, that it is well, and is to get nothing */
	int64_t back_ns; /* CLOCK_MONOTONIC: since when it is in use again; 0: it never was out */
	int64_t up_ns;	 /* likewise, of `down` */
};

/* Written by the steward. */
struct board_steward {
	struct metrics_steward metrics;
	struct board_server servers[METRICS_SERVERS]; /* by slot */
	uint32_t panics[METRICS_POOLS];		      /* by slot; 1: all servers are asked */
	struct board_name names[METRICS_SERVERS];     /* likewise; sparse, as metrics are */
	struct ring_tail tails[CONF_MAX_WORKERS];
};

/* A process that the supervisor started. */
struct board_process {
	uint32_t pid;	     /* 0: there is none now */
	uint32_t protection; /* enum sandbox_part */
	uint64_t started_s;  /* Unix time */
};

/* Written by the supervisor. */
struct board_supervisor {
	struct metrics_supervisor metrics;
	uint8_t address_key[16]; /* of the hash of the limits' columns */
	char reload_reason[512]; /* of the last refusal, NUL-terminated */
	uint32_t pid;
	struct board_process steward, keeper, workers[CONF_MAX_WORKERS];
};

struct board;

/* board_new makes the shared memory for `num_workers` workers. NULL: the kernel refused. */
struct board *board_new(unsigned num_workers);

/* board_free unmaps it all in this process. NULL is fine. */
void board_free(struct board *b);

/* board_num_fds returns how many descriptors a board of `num_workers` takes. */
unsigned board_num_fds(unsigned num_workers);

/* Who maps a board. */
enum board_role { BOARD_SUPERVISOR, BOARD_STEWARD, BOARD_WORKER };

/* board_fds writes the descriptors to pass to a process of that role (`worker` for a worker's
 * number): writable where it writes, read-only elsewhere. They stay the board's. */
void board_fds(const struct board *b, enum board_role role, unsigned worker, int *fds);

/* board_map maps what was passed; owns the descriptors also on failure (all are closed). NULL: a
 * size is wrong, or memory is short. */
struct board *board_map(enum board_role role, unsigned worker, unsigned num_workers,
			const int *fds);

/* board_workers returns how many there are. */
unsigned board_workers(const struct board *b);

/* board_worker returns the page set of worker `n`; writable for the supervisor, and for that
 * worker. */
struct board_worker *board_worker(const struct board *b, unsigned n);

/* board_steward returns the steward's page set; writable for the steward. */
struct board_steward *board_steward(const struct board *b);

/* board_supervisor returns the supervisor's page set; writable for the supervisor. */
struct board_supervisor *board_supervisor(const struct board *b);
