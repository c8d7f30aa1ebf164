/* metrics: counters, gauges and histograms as they lie in a worker's shared page, which it alone
 * writes; whoever reads sums over workers. Knows no other room of the proxy. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proxy/observe/cause.h"

enum {
	/* Slots: twice what a configuration may have, so that a reload can replace it all. */
	METRICS_LISTENERS = 512,
	METRICS_POOLS = 2048,
	METRICS_SERVERS = 8192,
	METRICS_BUCKETS = 16, /* of a histogram, the last one is +Inf */
};

/* metrics_bucket_bound_ns returns the upper bound, inclusive, of a histogram's bucket: 250 us
 * doubling; INT64_MAX for the last. */
int64_t metrics_bucket_bound_ns(unsigned bucket);

struct metrics_histogram {
	uint64_t buckets[METRICS_BUCKETS]; /* not cumulative */
	uint64_t sum_ns;
};

/* Classes of status codes: 1xx to 5xx, and 0 for requests to which no response was sent. */
enum { METRICS_CLASSES = 6 };

struct metrics_listener {
	uint64_t accepted;
	uint64_t active;	  /* gauge: client connections now */
	uint64_t requests_active; /* gauge: HTTP requests in flight */
	uint64_t bytes_received;  /* from clients, after TLS */
	uint64_t bytes_sent;
	uint64_t handshakes[2][2]; /* [TLS 1.2, TLS 1.3][full, resumed] */
	uint64_t handshake_failures[CAUSE_COUNT];
	uint64_t ended[CAUSE_COUNT]; /* connections, by cause */
	struct metrics_histogram handshake;
	uint64_t requests[METRICS_CLASSES];   /* that ended, by class of their final response */
	uint64_t request_errors[CAUSE_COUNT]; /* responses made here and broken exchanges */
	struct metrics_histogram request;     /* from its first byte to its end */
};

struct metrics_server {
	uint64_t connects;		/* that succeeded */
	uint64_t resumed;		/* of them, that resumed a TLS session */
	uint64_t active;		/* gauge: connections now, also those being made */
	uint64_t requests_active;	/* gauge: HTTP requests in flight */
	uint64_t failures[CAUSE_COUNT]; /* of connecting, and of responses */
	uint64_t bytes_received;	/* from the server */
	uint64_t bytes_sent;
	struct metrics_histogram connect;
	uint64_t requests[METRICS_CLASSES]; /* sent to it, by class of its response */
	uint64_t reuses;		    /* requests sent on a kept connection */
	uint64_t retries;		    /* requests sent to it after another try failed */
	struct metrics_histogram response;  /* from the request sent to the response's head */
};

/* What one worker writes. Sparse: of its 8 MB only pages that were touched cost memory, and in
 * shared memory reading touches, too: only slots with a name are read. */
struct metrics_worker {
	uint64_t connections;	   /* gauge: client connections now, all listeners */
	uint64_t accept_pauses[3]; /* by limits.connections, by descriptors, by memory or kernel */
	uint64_t accept_paused;	   /* gauge 0 or 1 */
	uint64_t log_dropped;	   /* records that found the ring full */
	uint64_t generation;	   /* gauge: of the snapshot in use */
	uint64_t idle_connections; /* gauge: to servers, kept for the next request */
	uint64_t pools_active[METRICS_POOLS];  /* gauge: connections that chose the pool */
	uint64_t pools_pending[METRICS_POOLS]; /* gauge: those that wait for a server of it */
	struct metrics_listener listeners[METRICS_LISTENERS];
	struct metrics_server servers[METRICS_SERVERS];
};

/* What the supervisor writes. */
struct metrics_supervisor {
	uint64_t started_s; /* Unix time */
	uint64_t generation;
	uint64_t reloads_done, reloads_refused;
	uint64_t reload_last_s;	 /* Unix time of the last attempt */
	uint64_t reload_last_ok; /* 1 or 0 */
	uint64_t worker_restarts, steward_restarts, keeper_restarts;
	uint64_t signatures_refused; /* by the keeper: asked for what is no handshake */
	uint64_t certificates;
	uint64_t certificate_first_expiry_s; /* Unix time; 0: none */
	uint64_t draining;		     /* gauge 0 or 1 */
	uint64_t log_dropped;
};

/* What the steward writes. */
struct metrics_steward {
	uint64_t log_dropped; /* records or lines that could not be read, made or written */
	uint64_t log_errors;  /* writes to a log that failed */
	uint64_t ejections;   /* servers taken out of use */
	uint64_t ejected;     /* gauge: those that are out now */
	uint64_t checks[2];   /* of servers' health: that succeeded, that failed */
	uint64_t down;	      /* gauge: servers that are not well */
	uint64_t lookups[4];  /* of servers' names, by enum resolver_verdict */
};

/* metrics_add adds to a cell that only the caller's process writes; readers may look meanwhile. */
static inline void metrics_add(uint64_t *cell, uint64_t n)
{
	__atomic_store_n(cell, *cell + n, __ATOMIC_RELAXED);
}

/* metrics_sub is metrics_add's twin for gauges. */
static inline void metrics_sub(uint64_t *cell, uint64_t n)
{
	__atomic_store_n(cell, *cell - n, __ATOMIC_RELAXED);
}

/* metrics_read reads a cell that another process may be writing. */
static inline uint64_t metrics_read(const uint64_t *cell)
{
	return __atomic_load_n(cell, __ATOMIC_RELAXED);
}

/* metrics_sum returns the sum over `num` workers of the cell at `offset` of their pages. */
uint64_t metrics_sum(const struct metrics_worker *const *workers, size_t num, size_t offset);

/* metrics_class returns where a status counts: 1 to 5; 0 for none, or one that is no status. */
static inline unsigned metrics_class(unsigned status)
{
	return status >= 100 && status <= 599 ? status / 100 : 0;
}

/* metrics_observe counts a duration in a histogram. */
void metrics_observe(struct metrics_histogram *h, int64_t ns);

/* metrics_clear_gauges sets to zero what a dead worker can no longer take back. Looks at every
 * slot: once in a worker's life, not for every reading. */
void metrics_clear_gauges(struct metrics_worker *w);
