#include "proxy/observe/exposition.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proxy/observe/exposition_families.h"
#include "proxy/observe/page.h"
#include "proxy/observe/text.h"

static void put_workers(struct page *p)
{
	static const struct family pauses = {
		"accept_pauses", "Times that a worker stopped accepting, by what was short.",
		FAMILY_COUNTER
	};
	static const struct family paused = { "accept_paused_workers",
					      "Workers that do not accept now.", FAMILY_GAUGE };
	static const struct family idle = { "idle_server_connections",
					    "Connections to servers kept for the next request.",
					    FAMILY_GAUGE };
	static const struct family workers = { "workers", "Worker processes.", FAMILY_GAUGE };
	static const char *const reasons[] = { "connections", "descriptors", "memory" };
	uint64_t numbers[3];

	for (size_t i = 0; i < 3; i++)
		numbers[i] = page_sum(p, offsetof(struct metrics_worker, accept_pauses) +
						 i * sizeof(uint64_t));
	page_few(p, &pauses, "reason", reasons, numbers, 3);
	page_one(p, &paused, page_sum(p, offsetof(struct metrics_worker, accept_paused)));
	page_one(p, &idle, page_sum(p, offsetof(struct metrics_worker, idle_connections)));
	page_one(p, &workers, p->from->num_workers);
}

static void put_logs(struct page *p)
{
	static const struct family dropped = {
		"log_records_dropped", "Log records that were lost: a ring or a log was full.",
		FAMILY_COUNTER
	};
	static const struct family errors = { "log_write_errors", "Writes to a log that failed.",
					      FAMILY_COUNTER };

	page_one(p, &dropped,
		 page_sum(p, offsetof(struct metrics_worker, log_dropped)) +
			 metrics_read(&p->from->supervisor->log_dropped) +
			 metrics_read(&p->from->steward->log_dropped));
	page_one(p, &errors, metrics_read(&p->from->steward->log_errors));
}

static void put_servers_out(struct page *p)
{
	static const struct family ejections = { "server_ejections",
						 "Servers taken out of use since they failed.",
						 FAMILY_COUNTER };
	static const struct family ejected = {
		"servers_ejected", "Servers that are out of use now, since they failed.",
		FAMILY_GAUGE
	};

	page_one(p, &ejections, metrics_read(&p->from->steward->ejections));
	page_one(p, &ejected, metrics_read(&p->from->steward->ejected));
}

static void put_health(struct page *p)
{
	static const struct family checks = { "health_checks",
					      "Checks of servers' health that ended, by outcome.",
					      FAMILY_COUNTER };
	static const struct family down = { "servers_down",
					    "Servers that are not well, as checks find.",
					    FAMILY_GAUGE };
	static const char *const outcomes[] = { "success", "failure" };
	uint64_t numbers[2];

	for (size_t i = 0; i < 2; i++)
		numbers[i] = metrics_read(&p->from->steward->checks[i]);
	page_few(p, &checks, "outcome", outcomes, numbers, 2);
	page_one(p, &down, metrics_read(&p->from->steward->down));
}

static void put_names(struct page *p)
{
	static const struct family lookups = {
		"name_lookups", "Lookups of servers' names that ended, by what was found.",
		FAMILY_COUNTER
	};
	static const char *const outcomes[] = { "found", "nxdomain", "empty", "failed" };
	uint64_t numbers[4];

	for (size_t i = 0; i < 4; i++)
		numbers[i] = metrics_read(&p->from->steward->lookups[i]);
	page_few(p, &lookups, "outcome", outcomes, numbers, 4);
}

static void put_supervisor(struct page *p)
{
	static const struct family reloads = { "reloads", "Reloads asked for, by outcome.",
					       FAMILY_COUNTER };
	static const struct family restarts = { "process_restarts",
						"Processes started again after they ended.",
						FAMILY_COUNTER };
	static const struct family refused = {
		"signatures_refused",
		"Signatures that workers asked for and that belong to no handshake.", FAMILY_COUNTER
	};
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

		page_one(p, &gauges[i].family, metrics_read((const uint64_t *)(const void *)cell));
	}
	page_few(p, &reloads, "outcome", (const char *const[]){ "done", "refused" },
		 (const uint64_t[]){ metrics_read(&s->reloads_done),
				     metrics_read(&s->reloads_refused) },
		 2);
	page_one(p, &refused, metrics_read(&s->signatures_refused));
	page_few(p, &restarts, "role", (const char *const[]){ "worker", "steward", "keeper" },
		 (const uint64_t[]){ metrics_read(&s->worker_restarts),
				     metrics_read(&s->steward_restarts),
				     metrics_read(&s->keeper_restarts) },
		 3);
}

static void put_build(struct page *p)
{
	static const struct family build = { "build", "What runs.", FAMILY_INFO };
	struct label labels[3] = { { "version", p->from->version }, { "crypto", p->from->crypto } };

	page_head(p, &build);
	page_sample(p, &build, labels, 1);
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
	put_servers_out(&p);
	put_health(&p);
	put_names(&p);
	exposition_put_listeners(&p);
	exposition_put_servers(&p);
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
	if (metrics_read(&from->supervisor->generation) == 0 ||
	    metrics_read(&from->supervisor->draining) != 0)
		return false;
	for (size_t i = 0; i < from->num_workers; i++) {
		if (metrics_read(&from->workers[i]->generation) > 0)
			return true;
	}
	return false;
}
