/* page: the metrics page being written: heads and samples of families in either format, and sums of
 * cells over the workers. Knows the formats, not what is counted. One thread at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/observe/exposition.h"
#include "proxy/observe/text.h"

struct page {
	const struct exposition_source *from;
	bool openmetrics;
	struct text t;
};

enum family_type { FAMILY_COUNTER, FAMILY_GAUGE, FAMILY_HISTOGRAM, FAMILY_INFO };

/* `name` is without the suffix of its samples. */
struct family {
	const char *name;
	const char *help;
	enum family_type type;
};

/* A label; `value` NULL ends a list of them. */
struct label {
	const char *name;
	const char *value;
};

/* page_head writes what comes before a family's samples. */
void page_head(struct page *p, const struct family *f);

/* page_sample writes one number; a gauge that says less than zero as zero. */
void page_sample(struct page *p, const struct family *f, const struct label *labels,
		 uint64_t value);

/* page_sum returns the sum over all workers of the cell at `offset` of their metrics. */
uint64_t page_sum(const struct page *p, size_t offset);

/* page_histogram writes the samples of the histogram at `offset` of the workers' metrics, summed;
 * in seconds. */
void page_histogram(struct page *p, const struct family *f, const struct label *labels,
		    size_t offset);

/* page_one writes a family of one sample without labels. */
void page_one(struct page *p, const struct family *f, uint64_t value);

/* page_few writes a family with one label of `num` values. */
void page_few(struct page *p, const struct family *f, const char *label, const char *const *values,
	      const uint64_t *numbers, size_t num);
