/* exposition: the metrics page: sums what the workers' pages say and writes it as Prometheus text
 * (0.0.4) or OpenMetrics (1.0). What it reads may be changing, and a captured worker may have
 * written anything: numbers are only shown. Slots without a name are not looked at. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proxy/observe/metrics.h"
#include "proxy/observe/names.h"

enum exposition_format { EXPOSITION_PROMETHEUS, EXPOSITION_OPENMETRICS };

/* What is read; all of it outlives the calls. */
struct exposition_source {
	const struct metrics_worker *const *workers;
	size_t num_workers;
	const struct metrics_supervisor *supervisor;
	const struct metrics_steward *steward;
	const struct names *names;    /* NULL: none yet */
	const char *version, *crypto; /* for sallyport_build_info */
};

/* exposition_render returns the page, to be freed with free(), and its length. NULL: out of
 * memory. */
char *exposition_render(const struct exposition_source *from, enum exposition_format format,
			size_t *len);

/* exposition_type returns the Content-Type of a format. */
const char *exposition_type(enum exposition_format format);

/* exposition_choose returns the format that an Accept header (RFC 9110 12.5.1; NULL: none) asks
 * for: OpenMetrics only where it is named with a weight that is not below the other's. */
enum exposition_format exposition_choose(const char *accept);

/* exposition_ready tells whether a snapshot serves, and will: the supervisor has one, a worker has
 * adopted one, and the end has not begun. */
bool exposition_ready(const struct exposition_source *from);
