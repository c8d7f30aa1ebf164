#include "proxy/observe/exposition.h"

#include <stdlib.h>
#include <strings.h>

#include "conf/must.h"
#include "proxy/observe/text.h"

/* A page being written. */
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

static const char *suffix(enum family_type type)
{
	return type == FAMILY_COUNTER ? "_total" : type == FAMILY_INFO ? "_info" : "";
}

/* OpenMetrics names the family without the suffix of its samples, Prometheus with it; and only
 * the former knows infos. */
static void put_head(struct page *p, const struct family *f)
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

/* A label; `value` NULL ends a list of them. */
struct label {
	const char *name;
	const char *value;
};

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

static void put_sample(struct page *p, const struct family *f, const struct label *labels,
		       uint64_t value)
{
	/* A gauge is summed from cells that were not read at one instant. */
	if (f->type == FAMILY_GAUGE && value > INT64_MAX)
		value = 0;
	put_name(p, f, suffix(f->type));
	put_labels(p, labels, NULL);
	text_u64(&p->t, value);
	TEXT_PUT(&p->t, "\n");
}

/* The sum over all workers of the cell at `offset` of their pages. */
static uint64_t sum(const struct page *p, size_t offset)
{
	uint64_t total = 0;

	for (size_t i = 0; i < p->from->num_workers; i++) {
		const char *base = (const char *)p->from->workers[i];

		total += metrics_read((const uint64_t *)(const void *)(base + offset));
	}
	return total;
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

static void put_histogram(struct page *p, const struct family *f, const struct label *labels,
			  size_t offset)
{
	uint64_t count = 0;
	char le[32];

	for (unsigned i = 0; i < METRICS_BUCKETS; i++) {
		count += sum(p, offset + offsetof(struct metrics_histogram, buckets) +
					i * sizeof(uint64_t));
		put_name(p, f, "_bucket");
		put_labels(p, labels, bound_text(i, le, sizeof(le)));
		text_u64(&p->t, count);
		TEXT_PUT(&p->t, "\n");
	}
	put_name(p, f, "_sum");
	put_labels(p, labels, NULL);
	text_fraction(&p->t, sum(p, offset + offsetof(struct metrics_histogram, sum_ns)), 9);
	TEXT_PUT(&p->t, "\n");
	put_name(p, f, "_count");
	put_labels(p, labels, NULL);
	text_u64(&p->t, count);
	TEXT_PUT(&p->t, "\n");
}

/* How a family's series differ within one listener or server. */
enum series { SERIES_ONE, SERIES_CAUSES, SERIES_HANDSHAKES, SERIES_HISTOGRAM };

struct slot_family {
	struct family family;
	enum series series;
	size_t offset; /* in a listener's or server's cells */
};

#define LISTENER(member) offsetof(struct metrics_listener, member)
#define SERVER(member) offsetof(struct metrics_server, member)

static const struct slot_family listener_families[] = {
	{ { "connections_accepted", "Client connections accepted.", FAMILY_COUNTER },
	  SERIES_ONE,
	  LISTENER(accepted) },
	{ { "connections_active", "Client connections now.", FAMILY_GAUGE },
	  SERIES_ONE,
	  LISTENER(active) },
	{ { "connections_ended", "Client connections ended, by cause.", FAMILY_COUNTER },
	  SERIES_CAUSES,
	  LISTENER(ended) },
	{ { "tls_handshakes", "TLS handshakes done with clients.", FAMILY_COUNTER },
	  SERIES_HANDSHAKES,
	  LISTENER(handshakes) },
	{ { "tls_handshake_failures", "TLS handshakes with clients that failed, by cause.",
	    FAMILY_COUNTER },
	  SERIES_CAUSES,
	  LISTENER(handshake_failures) },
	{ { "tls_handshake_duration_seconds", "Time that TLS handshakes with clients took.",
	    FAMILY_HISTOGRAM },
	  SERIES_HISTOGRAM,
	  LISTENER(handshake) },
	{ { "received_bytes", "Bytes from clients, without TLS.", FAMILY_COUNTER },
	  SERIES_ONE,
	  LISTENER(bytes_received) },
	{ { "sent_bytes", "Bytes to clients, without TLS.", FAMILY_COUNTER },
	  SERIES_ONE,
	  LISTENER(bytes_sent) },
};

static const struct slot_family server_families[] = {
	{ { "server_connects", "Connections made to servers.", FAMILY_COUNTER },
	  SERIES_ONE,
	  SERVER(connects) },
	{ { "server_connect_failures", "Connections to servers that failed, by cause.",
	    FAMILY_COUNTER },
	  SERIES_CAUSES,
	  SERVER(failures) },
	{ { "server_connections_active", "Connections to servers now, also those being made.",
	    FAMILY_GAUGE },
	  SERIES_ONE,
	  SERVER(active) },
	{ { "server_connect_duration_seconds", "Time that connecting to servers took.",
	    FAMILY_HISTOGRAM },
	  SERIES_HISTOGRAM,
	  SERVER(connect) },
	{ { "server_received_bytes", "Bytes from servers, without TLS.", FAMILY_COUNTER },
	  SERIES_ONE,
	  SERVER(bytes_received) },
	{ { "server_sent_bytes", "Bytes to servers, without TLS.", FAMILY_COUNTER },
	  SERIES_ONE,
	  SERVER(bytes_sent) },
};

enum { LABELS_MAX = 5 }; /* with the end */

/* Causes that never happened are left out: most never do. */
static void put_causes(struct page *p, const struct family *f, struct label *labels, size_t used,
		       size_t offset)
{
	for (unsigned i = 0; i < CAUSE_COUNT; i++) {
		uint64_t n = sum(p, offset + i * sizeof(uint64_t));

		if (n == 0)
			continue;
		labels[used] = (struct label){ "cause", cause_name(i) };
		put_sample(p, f, labels, n);
	}
	labels[used] = (struct label){ NULL, NULL };
}

static void put_handshakes(struct page *p, const struct family *f, struct label *labels,
			   size_t used, size_t offset)
{
	for (unsigned i = 0; i < 4; i++) {
		labels[used] = (struct label){ "version", i < 2 ? "TLSv1.2" : "TLSv1.3" };
		labels[used + 1] = (struct label){ "resumed", i % 2 == 0 ? "false" : "true" };
		put_sample(p, f, labels, sum(p, offset + i * sizeof(uint64_t)));
	}
	labels[used] = (struct label){ NULL, NULL };
}

/* All series of one family for one slot, whose cells lie at `base`. */
static void put_slot(struct page *p, const struct slot_family *s, struct label *labels, size_t used,
		     size_t base)
{
	MUST(used + 3 <= LABELS_MAX);
	switch (s->series) {
	case SERIES_ONE:
		put_sample(p, &s->family, labels, sum(p, base + s->offset));
		break;
	case SERIES_CAUSES:
		put_causes(p, &s->family, labels, used, base + s->offset);
		break;
	case SERIES_HANDSHAKES:
		put_handshakes(p, &s->family, labels, used, base + s->offset);
		break;
	case SERIES_HISTOGRAM:
		put_histogram(p, &s->family, labels, base + s->offset);
		break;
	}
}

static void put_listeners(struct page *p, const struct slot_family *s)
{
	const struct names *names = p->from->names;

	put_head(p, &s->family);
	for (uint32_t i = 0; names != NULL && i < METRICS_LISTENERS; i++) {
		struct label labels[LABELS_MAX] = { { "listener", names->listeners[i].text } };

		if (names->listeners[i].shown)
			put_slot(p, s, labels, 1,
				 offsetof(struct metrics_worker, listeners) +
					 i * sizeof(struct metrics_listener));
	}
}

static void put_servers(struct page *p, const struct slot_family *s)
{
	const struct names *names = p->from->names;

	put_head(p, &s->family);
	for (uint32_t i = 0; names != NULL && i < METRICS_SERVERS; i++) {
		struct label labels[LABELS_MAX] = {
			{ "pool", names_pool(names, names->server_pools[i]) },
			{ "server", names->servers[i].text },
		};

		if (names->servers[i].shown)
			put_slot(p, s, labels, 2,
				 offsetof(struct metrics_worker, servers) +
					 i * sizeof(struct metrics_server));
	}
}

static void put_one(struct page *p, const struct family *f, uint64_t value)
{
	put_head(p, f);
	put_sample(p, f, &(struct label){ NULL, NULL }, value);
}

/* A family with one label of two or three values. */
static void put_few(struct page *p, const struct family *f, const char *label,
		    const char *const *values, const uint64_t *numbers, size_t num)
{
	put_head(p, f);
	for (size_t i = 0; i < num; i++) {
		struct label labels[2] = { { label, values[i] } };

		put_sample(p, f, labels, numbers[i]);
	}
}

static void put_workers(struct page *p)
{
	static const struct family pauses = {
		"accept_pauses", "Times that a worker stopped accepting, by what was short.",
		FAMILY_COUNTER
	};
	static const struct family paused = { "accept_paused_workers",
					      "Workers that do not accept now.", FAMILY_GAUGE };
	static const struct family workers = { "workers", "Worker processes.", FAMILY_GAUGE };
	static const char *const reasons[] = { "connections", "descriptors", "memory" };
	uint64_t numbers[3];

	for (size_t i = 0; i < 3; i++)
		numbers[i] = sum(p, offsetof(struct metrics_worker, accept_pauses) +
					    i * sizeof(uint64_t));
	put_few(p, &pauses, "reason", reasons, numbers, 3);
	put_one(p, &paused, sum(p, offsetof(struct metrics_worker, accept_paused)));
	put_one(p, &workers, p->from->num_workers);
}

static void put_logs(struct page *p)
{
	static const struct family dropped = {
		"log_records_dropped", "Log records that were lost: a ring or a log was full.",
		FAMILY_COUNTER
	};
	static const struct family errors = { "log_write_errors", "Writes to a log that failed.",
					      FAMILY_COUNTER };

	put_one(p, &dropped,
		sum(p, offsetof(struct metrics_worker, log_dropped)) +
			metrics_read(&p->from->supervisor->log_dropped) +
			metrics_read(&p->from->steward->log_dropped));
	put_one(p, &errors, metrics_read(&p->from->steward->log_errors));
}

static void put_supervisor(struct page *p)
{
	static const struct family reloads = { "reloads", "Reloads asked for, by outcome.",
					       FAMILY_COUNTER };
	static const struct family restarts = { "process_restarts",
						"Processes started again after they ended.",
						FAMILY_COUNTER };
	static const struct {
		struct family family;
		size_t offset;
	} gauges[] = {
		{ { "start_time_seconds", "When the supervisor started, in Unix time.",
		    FAMILY_GAUGE },
		  offsetof(struct metrics_supervisor, started_s) },
		{ { "reload_last_success", "Whether the last reload was taken: 1 or 0.",
		    FAMILY_GAUGE },
		  offsetof(struct metrics_supervisor, reload_last_ok) },
		{ { "reload_last_time_seconds",
		    "When the last reload was asked for, in Unix "
		    "time; 0: never.",
		    FAMILY_GAUGE },
		  offsetof(struct metrics_supervisor, reload_last_s) },
		{ { "configuration_generation", "Number of the configuration that serves.",
		    FAMILY_GAUGE },
		  offsetof(struct metrics_supervisor, generation) },
		{ { "certificates", "Certificates loaded.", FAMILY_GAUGE },
		  offsetof(struct metrics_supervisor, certificates) },
		{ { "certificate_first_expiry_time_seconds",
		    "When the first certificate expires, in Unix time; 0: there is none.",
		    FAMILY_GAUGE },
		  offsetof(struct metrics_supervisor, certificate_first_expiry_s) },
		{ { "draining", "Whether the process drains before it ends: 1 or 0.",
		    FAMILY_GAUGE },
		  offsetof(struct metrics_supervisor, draining) },
	};
	const struct metrics_supervisor *s = p->from->supervisor;

	for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {
		const char *cell = (const char *)s + gauges[i].offset;

		put_one(p, &gauges[i].family, metrics_read((const uint64_t *)(const void *)cell));
	}
	put_few(p, &reloads, "outcome", (const char *const[]){ "done", "refused" },
		(const uint64_t[]){ metrics_read(&s->reloads_done),
				    metrics_read(&s->reloads_refused) },
		2);
	put_few(p, &restarts, "role", (const char *const[]){ "worker", "steward" },
		(const uint64_t[]){ metrics_read(&s->worker_restarts),
				    metrics_read(&s->steward_restarts) },
		2);
}

static void put_build(struct page *p)
{
	static const struct family build = { "build", "What runs.", FAMILY_INFO };
	struct label labels[3] = { { "version", p->from->version }, { "crypto", p->from->crypto } };

	put_head(p, &build);
	put_sample(p, &build, labels, 1);
}

char *exposition_render(const struct exposition_source *from, enum exposition_format format,
			size_t *len)
{
	/* What this may grow to is bounded by the slots. */
	struct page p = { .from = from,
			  .openmetrics = format == EXPOSITION_OPENMETRICS,
			  .t = text_growing() };

	put_build(&p);
	put_supervisor(&p);
	put_workers(&p);
	put_logs(&p);
	for (size_t i = 0; i < sizeof(listener_families) / sizeof(listener_families[0]); i++)
		put_listeners(&p, &listener_families[i]);
	for (size_t i = 0; i < sizeof(server_families) / sizeof(server_families[0]); i++)
		put_servers(&p, &server_families[i]);
	if (p.openmetrics)
		TEXT_PUT(&p.t, "# EOF\n");
	if (p.t.failed) {
		free(p.t.p);
		return NULL;
	}
	*len = p.t.n;
	return p.t.p;
}

const char *exposition_type(enum exposition_format format)
{
	return format == EXPOSITION_OPENMETRICS
		       ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
		       : "text/plain; version=0.0.4; charset=utf-8";
}

/* The weight of one entry of Accept, in thousandths; what is malformed weighs nothing. */
static unsigned entry_weight(struct span entry)
{
	for (size_t i = 0; i + 1 < entry.n; i++) {
		const char *q = entry.p + i;
		unsigned w = 0;
		size_t n = entry.n - i;

		if ((q[0] != 'q' && q[0] != 'Q') || q[1] != '=' || i == 0 ||
		    strchr("; \t", q[-1]) == NULL)
			continue;
		if (n < 3 || (q[2] != '0' && q[2] != '1'))
			return 0;
		w = (unsigned)(q[2] - '0') * 1000;
		if (n > 3 && q[3] == '.') {
			unsigned unit = 100;

			for (size_t k = 4; k < n && k < 7 && q[k] >= '0' && q[k] <= '9'; k++) {
				w += (unsigned)(q[k] - '0') * unit;
				unit /= 10;
			}
		}
		return w > 1000 ? 1000 : w;
	}
	return 1000;
}

static bool entry_names(struct span entry, const char *type)
{
	size_t n = strlen(type);

	while (entry.n > 0 && (*entry.p == ' ' || *entry.p == '\t')) {
		entry.p++;
		entry.n--;
	}
	return entry.n >= n && strncasecmp(entry.p, type, n) == 0 &&
	       (entry.n == n || strchr("; \t", entry.p[n]) != NULL);
}

enum exposition_format exposition_choose(const char *accept)
{
	unsigned open = 0, plain = 0;

	for (const char *p = accept; p != NULL; p = strchr(p, ',')) {
		struct span entry;
		unsigned w;

		if (*p == ',')
			p++;
		entry = span_of(p, strcspn(p, ","));
		w = entry_weight(entry);
		if (entry_names(entry, "application/openmetrics-text"))
			open = w > open ? w : open;
		else if (entry_names(entry, "text/plain") || entry_names(entry, "text/*") ||
			 entry_names(entry, "*/*"))
			plain = w > plain ? w : plain;
	}
	return open > 0 && open >= plain ? EXPOSITION_OPENMETRICS : EXPOSITION_PROMETHEUS;
}

bool exposition_ready(const struct exposition_source *from)
{
	if (metrics_read(&from->supervisor->generation) == 0)
		return false;
	for (size_t i = 0; i < from->num_workers; i++) {
		if (metrics_read(&from->workers[i]->generation) > 0)
			return true;
	}
	return false;
}
