#include "proxy/observe/metrics.h"

#include <stddef.h>

enum { FIRST_BOUND_NS = 250 * 1000 };

/* They grow with every cause; a worker that dies leaves all its pages touched. */
_Static_assert(sizeof(struct metrics_listener) <= 3 << 10, "a listener's cells");
_Static_assert(sizeof(struct metrics_server) <= 3 << 9, "a server's cells");
_Static_assert(sizeof(struct metrics_worker) <= 12 << 20, "a worker's page set");

int64_t metrics_bucket_bound_ns(unsigned bucket)
{
	if (bucket >= METRICS_BUCKETS - 1)
		return INT64_MAX;
	return (int64_t)FIRST_BOUND_NS << bucket;
}

void metrics_observe(struct metrics_histogram *h, int64_t ns)
{
	uint64_t n = ns < 0 ? 0 : (uint64_t)ns;
	unsigned bucket = 0;

	/* Bounds are inclusive, as Prometheus wants them. */
	if (n > FIRST_BOUND_NS)
		bucket = 64 - (unsigned)__builtin_clzll((n - 1) / FIRST_BOUND_NS);
	if (bucket > METRICS_BUCKETS - 1)
		bucket = METRICS_BUCKETS - 1;
	metrics_add(&h->buckets[bucket], 1);
	metrics_add(&h->sum_ns, n);
}

/* A store only where there is something: few cells have. */
static void clear(uint64_t *cell)
{
	if (metrics_read(cell) != 0)
		__atomic_store_n(cell, 0, __ATOMIC_RELAXED);
}

void metrics_clear_gauges(struct metrics_worker *w)
{
	clear(&w->connections);
	clear(&w->accept_paused);
	clear(&w->generation);
	clear(&w->idle_connections);
	for (size_t i = 0; i < METRICS_POOLS; i++) {
		clear(&w->pools_active[i]);
		clear(&w->pools_pending[i]);
	}
	for (size_t i = 0; i < METRICS_LISTENERS; i++) {
		clear(&w->listeners[i].active);
		clear(&w->listeners[i].requests_active);
	}
	for (size_t i = 0; i < METRICS_SERVERS; i++) {
		clear(&w->servers[i].active);
		clear(&w->servers[i].requests_active);
	}
}

uint64_t metrics_sum(const struct metrics_worker *const *workers, size_t num, size_t offset)
{
	uint64_t total = 0;

	for (size_t i = 0; i < num; i++) {
		const char *page = (const char *)workers[i];

		total += metrics_read((const uint64_t *)(const void *)(page + offset));
	}
	return total;
}
