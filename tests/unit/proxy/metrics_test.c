#include <criterion/criterion.h>
#include <stdlib.h>

#include "proxy/observe/metrics.h"

static struct metrics_histogram observed(int64_t ns)
{
	struct metrics_histogram h = { { 0 }, 0 };

	metrics_observe(&h, ns);
	return h;
}

Test(metrics, bounds_double_from_250_us_and_the_last_has_none)
{
	cr_assert_eq(metrics_bucket_bound_ns(0), 250000);
	cr_assert_eq(metrics_bucket_bound_ns(1), 500000);
	cr_assert_eq(metrics_bucket_bound_ns(METRICS_BUCKETS - 2), INT64_C(250000) << 14);
	cr_assert_eq(metrics_bucket_bound_ns(METRICS_BUCKETS - 1), INT64_MAX);
}

Test(metrics, every_duration_goes_to_the_first_bucket_that_holds_it)
{
	for (unsigned i = 0; i < METRICS_BUCKETS - 1; i++) {
		int64_t bound = metrics_bucket_bound_ns(i);

		cr_assert_eq(observed(bound - 1).buckets[i], 1, "below bound %u", i);
		cr_assert_eq(observed(bound).buckets[i], 1, "at bound %u", i);
		cr_assert_eq(observed(bound + 1).buckets[i + 1], 1, "above bound %u", i);
	}
	cr_assert_eq(observed(INT64_MAX).buckets[METRICS_BUCKETS - 1], 1);
}

Test(metrics, a_clock_that_went_back_counts_as_no_time)
{
	cr_assert_eq(observed(-5).buckets[0], 1);
	cr_assert_eq(observed(-5).sum_ns, 0);
	cr_assert_eq(observed(0).buckets[0], 1);
}

Test(metrics, sum_adds_up)
{
	struct metrics_histogram h = { { 0 }, 0 };

	metrics_observe(&h, 1000);
	metrics_observe(&h, 2000000);
	cr_assert_eq(h.sum_ns, 2001000);
}

Test(metrics, clearing_gauges_leaves_counters)
{
	struct metrics_worker *w = calloc(1, sizeof(*w));

	cr_assert_not_null(w);
	w->connections = w->accept_paused = w->generation = w->idle_connections = 7;
	w->pools_active[METRICS_POOLS - 1] = w->pools_pending[METRICS_POOLS - 1] = 2;
	w->listeners[0].requests_active = w->servers[0].requests_active = 9;
	w->listeners[0].requests[2] = w->servers[0].requests[5] = 10;
	w->listeners[METRICS_LISTENERS - 1].active = 3;
	w->listeners[METRICS_LISTENERS - 1].accepted = 4;
	w->servers[METRICS_SERVERS - 1].active = 5;
	w->servers[METRICS_SERVERS - 1].connects = 6;
	w->log_dropped = 8;
	metrics_clear_gauges(w);
	cr_assert_eq(w->connections + w->accept_paused + w->generation + w->idle_connections, 0);
	cr_assert_eq(w->pools_active[METRICS_POOLS - 1], 0);
	cr_assert_eq(w->pools_pending[METRICS_POOLS - 1], 0);
	cr_assert_eq(w->listeners[0].requests_active, 0);
	cr_assert_eq(w->servers[0].requests_active, 0);
	cr_assert_eq(w->listeners[0].requests[2], 10);
	cr_assert_eq(w->servers[0].requests[5], 10);
	cr_assert_eq(w->listeners[METRICS_LISTENERS - 1].active, 0);
	cr_assert_eq(w->servers[METRICS_SERVERS - 1].active, 0);
	cr_assert_eq(w->listeners[METRICS_LISTENERS - 1].accepted, 4);
	cr_assert_eq(w->servers[METRICS_SERVERS - 1].connects, 6);
	cr_assert_eq(w->log_dropped, 8);
	free(w);
}

Test(metrics, a_status_counts_in_its_class)
{
	cr_assert_eq(metrics_class(0), 0);
	cr_assert_eq(metrics_class(99), 0);
	cr_assert_eq(metrics_class(100), 1);
	cr_assert_eq(metrics_class(204), 2);
	cr_assert_eq(metrics_class(599), 5);
	cr_assert_eq(metrics_class(600), 0);
	cr_assert_eq(metrics_class(0xffffffff), 0);
}
