#include "proxy/observe/page.h"

#include <string.h>

static const char *suffix(enum family_type type)
{
	return type == FAMILY_COUNTER ? "_total" : type == FAMILY_INFO ? "_info" : "";
}

/* OpenMetrics names the family without the suffix of its samples, Prometheus with it; and only
 * the former knows infos. */
void page_head(struct page *p, const struct family *f)
{
	static const char *const types[] = { "counter", "gauge", "histogram", "info" };
	const char *type = types[f->type];

	if (f->type == FAMILY_INFO && !p->openmetrics)
		type = "gauge";
	for (int i = 0; i < 2; i++) {
		text_str(&p->t, i == 0 ? "# HELP sallyport_" : "# TYPE sallyport_");
		text_str(&p->t, f->name);
		if (!p->openmetrics)
			text_str(&p->t, suffix(f->type));
		TEXT_PUT(&p->t, " ");
		text_str(&p->t, i == 0 ? f->help : type);
		TEXT_PUT(&p->t, "\n");
	}
}

static void put_escaped(struct text *t, const char *value)
{
	for (;;) {
		size_t run = strcspn(value, "\\\"\n");

		text_put(t, value, run);
		value += run;
		if (*value == '\0')
			return;
		TEXT_PUT(t, "\\");
		text_put(t, *value == '\n' ? "n" : value, 1);
		value++;
	}
}

static void put_labels(struct page *p, const struct label *labels, const char *le)
{
	bool any = false;

	for (; labels->value != NULL; labels++) {
		text_str(&p->t, any ? "," : "{");
		any = true;
		text_str(&p->t, labels->name);
		TEXT_PUT(&p->t, "=\"");
		put_escaped(&p->t, labels->value);
		TEXT_PUT(&p->t, "\"");
	}
	if (le != NULL) {
		text_str(&p->t, any ? ",le=\"" : "{le=\"");
		any = true;
		text_str(&p->t, le);
		TEXT_PUT(&p->t, "\"");
	}
	if (any)
		TEXT_PUT(&p->t, "}");
	TEXT_PUT(&p->t, " ");
}

static void put_name(struct page *p, const struct family *f, const char *ending)
{
	TEXT_PUT(&p->t, "sallyport_");
	text_str(&p->t, f->name);
	text_str(&p->t, ending);
}

void page_sample(struct page *p, const struct family *f, const struct label *labels, uint64_t value)
{
	/* A gauge is summed from cells that were not read at one instant. */
	if (f->type == FAMILY_GAUGE && value > INT64_MAX)
		value = 0;
	put_name(p, f, suffix(f->type));
	put_labels(p, labels, NULL);
	text_u64(&p->t, value);
	TEXT_PUT(&p->t, "\n");
}

uint64_t page_sum(const struct page *p, size_t offset)
{
	return metrics_sum(p->from->workers, p->from->num_workers, offset);
}

/* "0.00025" from 250000. */
static const char *bound_text(unsigned bucket, char *buf, size_t len)
{
	struct text t = text_fixed(buf, len - 1);

	if (bucket == METRICS_BUCKETS - 1)
		return "+Inf";
	text_fraction(&t, (uint64_t)metrics_bucket_bound_ns(bucket), 9);
	while (t.n > 0 && t.p[t.n - 1] == '0' && t.p[t.n - 2] != '.')
		t.n--;
	buf[t.n] = '\0';
	return buf;
}

void page_histogram(struct page *p, const struct family *f, const struct label *labels,
		    size_t offset)
{
	uint64_t count = 0;
	char le[32];

	for (unsigned i = 0; i < METRICS_BUCKETS; i++) {
		count += page_sum(p, offset + offsetof(struct metrics_histogram, buckets) +
					     i * sizeof(uint64_t));
		put_name(p, f, "_bucket");
		put_labels(p, labels, bound_text(i, le, sizeof(le)));
		text_u64(&p->t, count);
		TEXT_PUT(&p->t, "\n");
	}
	put_name(p, f, "_sum");
	put_labels(p, labels, NULL);
	text_fraction(&p->t, page_sum(p, offset + offsetof(struct metrics_histogram, sum_ns)), 9);
	TEXT_PUT(&p->t, "\n");
	put_name(p, f, "_count");
	put_labels(p, labels, NULL);
	text_u64(&p->t, count);
	TEXT_PUT(&p->t, "\n");
}

void page_one(struct page *p, const struct family *f, uint64_t value)
{
	page_head(p, f);
	page_sample(p, f, &(struct label){ NULL, NULL }, value);
}

void page_few(struct page *p, const struct family *f, const char *label, const char *const *values,
	      const uint64_t *numbers, size_t num)
{
	page_head(p, f);
	for (size_t i = 0; i < num; i++) {
		struct label labels[2] = { { label, values[i] } };

		page_sample(p, f, labels, numbers[i]);
	}
}
