#include <criterion/criterion.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxy/observe/exposition.h"

enum { WORKERS = 4 };

static struct metrics_worker *workers[WORKERS];
static struct metrics_supervisor supervisor;
static struct metrics_steward steward;
static struct names *names;
static struct exposition_source from;
static char *page;

static void make(void)
{
	for (int i = 0; i < WORKERS; i++) {
		workers[i] = calloc(1, sizeof(*workers[i]));
		cr_assert_not_null(workers[i]);
	}
	supervisor = (struct metrics_supervisor){ .started_s = 1767323045, .generation = 3 };
	names = names_new(NULL);
	cr_assert(names_set_listener(names, 2, "https"));
	cr_assert(names_set_pool(names, 0, "web"));
	cr_assert(names_set_server(names, 9, 0, "10.0.0.1:80"));
	cr_assert(names_seal(names));
	from = (struct exposition_source){
		.workers = (const struct metrics_worker *const *)workers,
		.num_workers = WORKERS,
		.supervisor = &supervisor,
		.steward = &steward,
		.names = names,
		.version = "1.2.3",
		.crypto = "Library, API 1",
	};
	page = NULL;
}

static void drop(void)
{
	for (int i = 0; i < WORKERS; i++)
		free(workers[i]);
	names_unref(names);
	free(page);
}

TestSuite(exposition, .init = make, .fini = drop);

static void render(enum exposition_format format)
{
	size_t len;
	char *raw = exposition_render(&from, format, &len);

	cr_assert_not_null(raw);
	free(page);
	page = malloc(len + 1);
	cr_assert_not_null(page);
	memcpy(page, raw, len);
	page[len] = '\0';
	cr_assert_eq(strlen(page), len);
	free(raw);
}

static bool has_line(const char *line)
{
	size_t n = strlen(line);

	for (const char *p = page; (p = strstr(p, line)) != NULL; p++) {
		if ((p == page || p[-1] == '\n') && p[n] == '\n')
			return true;
	}
	return false;
}

#define EXPECT_LINE(line) cr_assert(has_line(line), "'%s' is not in:\n%s", line, page)

/* ---- a strict reader of the text format: fails on what Prometheus would refuse, and more */

struct reader {
	const char *p;
	bool openmetrics;
	char family[128], type[16];
	bool helped, sampled;
	char families[128][128]; /* seen */
	size_t num_families;
	char **samples; /* name and labels, seen */
	size_t num_samples, cap_samples;
	uint64_t bucket; /* of the histogram being read */
	char le[32];
};

static void copy(char *to, size_t len, const char *text)
{
	cr_assert_lt(strlen(text), len);
	memcpy(to, text, strlen(text) + 1);
}

static void take(struct reader *r, const char *text)
{
	cr_assert(strncmp(r->p, text, strlen(text)) == 0, "'%s' expected at '%.60s'", text, r->p);
	r->p += strlen(text);
}

static void take_name(struct reader *r, char *name, size_t len)
{
	size_t n = strspn(r->p, "abcdefghijklmnopqrstuvwxyz_0123456789");

	cr_assert(n > 0 && n < len && !isdigit((unsigned char)*r->p), "name at '%.60s'", r->p);
	memcpy(name, r->p, n);
	name[n] = '\0';
	r->p += n;
}

/* Up to `end`, with escapes checked. */
static void take_value(struct reader *r, char *value, size_t len)
{
	size_t n = 0;

	take(r, "\"");
	for (; *r->p != '"'; r->p++) {
		cr_assert(*r->p != '\0' && *r->p != '\n', "label is not closed");
		cr_assert_lt(n, len - 1);
		if (*r->p == '\\') {
			r->p++;
			cr_assert_not_null(memchr("\\\"n", *r->p, 3));
		}
		value[n++] = *r->p;
	}
	value[n] = '\0';
	take(r, "\"");
}

static void read_comment(struct reader *r)
{
	char name[128];
	bool help = strncmp(r->p, "# HELP ", 7) == 0;
	size_t n;

	take(r, help ? "# HELP " : "# TYPE ");
	take_name(r, name, sizeof(name));
	take(r, " ");
	n = strcspn(r->p, "\n");
	cr_assert_gt(n, 0);
	if (help) {
		for (size_t i = 0; i < r->num_families; i++)
			cr_assert_str_neq(name, r->families[i], "family appears twice");
		cr_assert_lt(r->num_families, 128);
		copy(r->families[r->num_families++], sizeof(r->families[0]), name);
		copy(r->family, sizeof(r->family), name);
		r->helped = true;
		r->type[0] = '\0';
	} else {
		cr_assert(r->helped && strcmp(name, r->family) == 0, "TYPE without HELP: %s", name);
		cr_assert_lt(n, sizeof(r->type));
		memcpy(r->type, r->p, n);
		r->type[n] = '\0';
		r->helped = false;
	}
	r->p += n;
	take(r, "\n");
}

/* The suffix that a sample adds to its family must be one of its type's. */
static void check_suffix(const struct reader *r, const char *name)
{
	const char *suffix = name + strlen(r->family);
	size_t n = strlen(r->family);

	cr_assert_eq(strncmp(name, r->family, n), 0, "%s is not of %s", name, r->family);
	if (strcmp(r->type, "histogram") == 0)
		cr_assert(strcmp(suffix, "_bucket") == 0 || strcmp(suffix, "_sum") == 0 ||
			  strcmp(suffix, "_count") == 0);
	else if (strcmp(r->type, "counter") == 0)
		cr_assert(r->openmetrics ? strcmp(suffix, "_total") == 0
					 : *suffix == '\0' && strcmp(name + n - 6, "_total") == 0,
			  "%s", name);
	else if (strcmp(r->type, "info") == 0)
		cr_assert(r->openmetrics && strcmp(suffix, "_info") == 0);
	else
		cr_assert(strcmp(r->type, "gauge") == 0 && *suffix == '\0', "%s", r->type);
}

static void check_once(struct reader *r, const char *from_p)
{
	size_t n = (size_t)(r->p - from_p);

	if (r->num_samples == r->cap_samples) {
		r->cap_samples = r->cap_samples * 2 + 64;
		r->samples = realloc(r->samples, r->cap_samples * sizeof(char *));
		cr_assert_not_null(r->samples);
	}
	r->samples[r->num_samples++] = strndup(from_p, n);
}

static void check_histogram(struct reader *r, const char *name, const char *le, double value)
{
	const char *suffix = name + strlen(r->family);

	if (strcmp(suffix, "_bucket") == 0) {
		cr_assert_gt(strlen(le), 0);
		if (r->le[0] != '\0' && strcmp(r->le, "+Inf") != 0) {
			cr_assert_gt(strtod(le, NULL), strtod(r->le, NULL));
			cr_assert_geq((uint64_t)value, r->bucket, "buckets are cumulative");
		}
		r->bucket = (uint64_t)value;
		copy(r->le, sizeof(r->le), le);
	} else {
		cr_assert_str_eq(r->le, "+Inf");
		if (strcmp(suffix, "_count") == 0)
			cr_assert_eq((uint64_t)value, r->bucket);
	}
}

static void read_sample(struct reader *r)
{
	const char *start = r->p;
	char name[128], label[64], value[512], le[64] = "";
	double number;
	char *end;

	take_name(r, name, sizeof(name));
	cr_assert_eq(strncmp(name, "sallyport_", 10), 0);
	cr_assert_gt(strlen(r->type), 0, "%s has no TYPE", name);
	check_suffix(r, name);
	if (*r->p == '{') {
		do {
			r->p++;
			take_name(r, label, sizeof(label));
			take(r, "=");
			take_value(r, value, sizeof(value));
			if (strcmp(label, "le") == 0)
				copy(le, sizeof(le), value);
		} while (*r->p == ',');
		take(r, "}");
	}
	check_once(r, start);
	take(r, " ");
	cr_assert(isdigit((unsigned char)*r->p), "number at '%.60s'", r->p);
	number = strtod(r->p, &end);
	r->p = end;
	take(r, "\n");
	if (strcmp(r->type, "histogram") == 0)
		check_histogram(r, name, le, number);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Returns how many samples there are. */
static size_t read_page(enum exposition_format format)
{
	struct reader *r = calloc(1, sizeof(*r));
	size_t num;

	cr_assert_not_null(r);
	r->p = page;
	r->openmetrics = format == EXPOSITION_OPENMETRICS;
	while (*r->p != '\0') {
		if (r->openmetrics && strcmp(r->p, "# EOF\n") == 0)
			break;
		if (*r->p == '#')
			read_comment(r);
		else
			read_sample(r);
	}
	cr_assert_eq(*r->p != '\0', r->openmetrics);
	qsort(r->samples, r->num_samples, sizeof(char *), compare);
	for (size_t i = 1; i < r->num_samples; i++)
		cr_assert_str_neq(r->samples[i], r->samples[i - 1], "series appears twice");
	num = r->num_samples;
	for (size_t i = 0; i < num; i++)
		free(r->samples[i]);
	free(r->samples);
	free(r);
	return num;
}

/* ---- tests */

Test(exposition, both_formats_are_well_formed)
{
	for (int i = 0; i < WORKERS; i++) {
		for (size_t k = 0; k < sizeof(struct metrics_listener) / 8; k++)
			((uint64_t *)(void *)&workers[i]->listeners[2])[k] = k;
		for (size_t k = 0; k < sizeof(struct metrics_server) / 8; k++)
			((uint64_t *)(void *)&workers[i]->servers[9])[k] = k;
	}
	render(EXPOSITION_PROMETHEUS);
	cr_assert_gt(read_page(EXPOSITION_PROMETHEUS), 100);
	render(EXPOSITION_OPENMETRICS);
	cr_assert_gt(read_page(EXPOSITION_OPENMETRICS), 100);
}

Test(exposition, a_page_without_names_is_well_formed)
{
	from.names = NULL;
	render(EXPOSITION_PROMETHEUS);
	cr_assert_gt(read_page(EXPOSITION_PROMETHEUS), 10);
	render(EXPOSITION_OPENMETRICS);
	cr_assert_gt(read_page(EXPOSITION_OPENMETRICS), 10);
}

Test(exposition, cells_are_summed_over_workers)
{
	for (unsigned i = 0; i < WORKERS; i++) {
		struct metrics_listener *l = &workers[i]->listeners[2];

		l->accepted = 10 + i;
		l->active = i;
		l->ended[CAUSE_CLOSED] = 5;
		l->handshakes[1][1] = i;
		l->handshake_failures[CAUSE_TLS + TLS_REASON_NOT_TLS] = 2;
		workers[i]->servers[9].bytes_sent = UINT64_C(1) << 40;
		workers[i]->accept_pauses[1] = i;
		workers[i]->log_dropped = 1;
	}
	supervisor.log_dropped = 10;
	steward.log_dropped = 100;
	render(EXPOSITION_PROMETHEUS);
	EXPECT_LINE("sallyport_connections_accepted_total{listener=\"https\"} 46");
	EXPECT_LINE("sallyport_connections_active{listener=\"https\"} 6");
	EXPECT_LINE("sallyport_connections_ended_total{listener=\"https\",cause=\"closed\"} 20");
	EXPECT_LINE("sallyport_tls_handshakes_total{listener=\"https\",version=\"TLSv1.3\","
		    "resumed=\"true\"} 6");
	EXPECT_LINE("sallyport_tls_handshakes_total{listener=\"https\",version=\"TLSv1.2\","
		    "resumed=\"false\"} 0");
	EXPECT_LINE("sallyport_tls_handshake_failures_total{listener=\"https\","
		    "cause=\"not_tls\"} 8");
	EXPECT_LINE("sallyport_server_sent_bytes_total{pool=\"web\",server=\"10.0.0.1:80\"} "
		    "4398046511104");
	EXPECT_LINE("sallyport_accept_pauses_total{reason=\"descriptors\"} 6");
	EXPECT_LINE("sallyport_log_records_dropped_total 114");
	EXPECT_LINE("sallyport_start_time_seconds 1767323045");
	EXPECT_LINE("sallyport_configuration_generation 3");
	EXPECT_LINE("sallyport_build_info{version=\"1.2.3\",crypto=\"Library, API 1\"} 1");
	cr_assert_null(strstr(page, "cause=\"idle_timeout\""), "causes that never were are out");
}

Test(exposition, requests_are_summed_and_told_apart)
{
	for (unsigned i = 0; i < WORKERS; i++) {
		struct metrics_listener *l = &workers[i]->listeners[2];
		struct metrics_server *s = &workers[i]->servers[9];

		l->requests[metrics_class(204)] = 100;
		l->requests[0] = i;
		l->requests_active = 2;
		l->request_errors[CAUSE_BAD_REQUEST] = 3;
		s->requests[metrics_class(503)] = 7;
		s->requests_active = 1;
		s->reuses = 6;
		s->resumed = 2;
		s->retries = i;
		workers[i]->idle_connections = 9;
	}
	metrics_observe(&workers[1]->listeners[2].request, 300000);
	metrics_observe(&workers[2]->servers[9].response, 400000);
	render(EXPOSITION_PROMETHEUS);
	EXPECT_LINE("sallyport_requests_total{listener=\"https\",code=\"2xx\"} 400");
	EXPECT_LINE("sallyport_requests_total{listener=\"https\",code=\"none\"} 6");
	cr_assert_null(strstr(page, "code=\"3xx\""), "classes that never were are out");
	EXPECT_LINE("sallyport_requests_active{listener=\"https\"} 8");
	EXPECT_LINE("sallyport_request_errors_total{listener=\"https\","
		    "cause=\"bad_request\"} 12");
	EXPECT_LINE("sallyport_request_duration_seconds_sum{listener=\"https\"} 0.000300000");
#define OF_SERVER "{pool=\"web\",server=\"10.0.0.1:80\""
	EXPECT_LINE("sallyport_server_requests_total" OF_SERVER ",code=\"5xx\"} 28");
	EXPECT_LINE("sallyport_server_requests_active" OF_SERVER "} 4");
	EXPECT_LINE("sallyport_server_connections_reused_total" OF_SERVER "} 24");
	EXPECT_LINE("sallyport_server_retries_total" OF_SERVER "} 6");
	EXPECT_LINE("sallyport_server_connects_resumed_total" OF_SERVER "} 8");
	EXPECT_LINE("sallyport_server_response_duration_seconds_count" OF_SERVER "} 1");
#undef OF_SERVER
	EXPECT_LINE("sallyport_idle_server_connections 36");
	cr_assert_gt(read_page(EXPOSITION_PROMETHEUS), 50);
}

Test(exposition, histogram_is_cumulative_and_in_seconds)
{
	metrics_observe(&workers[0]->listeners[2].handshake, 200000);
	metrics_observe(&workers[1]->listeners[2].handshake, 300000);
	metrics_observe(&workers[1]->listeners[2].handshake, INT64_C(10000000000));
	render(EXPOSITION_PROMETHEUS);
	EXPECT_LINE("sallyport_tls_handshake_duration_seconds_bucket{listener=\"https\","
		    "le=\"0.00025\"} 1");
	EXPECT_LINE("sallyport_tls_handshake_duration_seconds_bucket{listener=\"https\","
		    "le=\"0.0005\"} 2");
	EXPECT_LINE("sallyport_tls_handshake_duration_seconds_bucket{listener=\"https\","
		    "le=\"4.096\"} 2");
	EXPECT_LINE("sallyport_tls_handshake_duration_seconds_bucket{listener=\"https\","
		    "le=\"+Inf\"} 3");
	EXPECT_LINE("sallyport_tls_handshake_duration_seconds_sum{listener=\"https\"} "
		    "10.000500000");
	EXPECT_LINE("sallyport_tls_handshake_duration_seconds_count{listener=\"https\"} 3");
}

Test(exposition, names_cannot_break_the_page)
{
	struct names *odd = names_new(NULL);

	cr_assert(names_set_listener(odd, 0, "a\"} 1\nsallyport_x 2\\"));
	cr_assert(names_seal(odd));
	from.names = odd;
	render(EXPOSITION_PROMETHEUS);
	(void)read_page(EXPOSITION_PROMETHEUS);
	EXPECT_LINE("sallyport_connections_active{listener=\"a\\\"} 1\\nsallyport_x 2\\\\\"} 0");
	names_unref(odd);
}

Test(exposition, two_slots_of_one_name_make_one_series)
{
	struct names *next = names_new(names);

	cr_assert(names_set_listener(next, 7, "https"));
	cr_assert(names_seal(next));
	workers[0]->listeners[2].accepted = 1;
	workers[0]->listeners[7].accepted = 2;
	from.names = next;
	render(EXPOSITION_PROMETHEUS);
	(void)read_page(EXPOSITION_PROMETHEUS);
	EXPECT_LINE("sallyport_connections_accepted_total{listener=\"https\"} 2");
	names_unref(next);
}

Test(exposition, a_gauge_below_zero_is_shown_as_zero)
{
	workers[0]->listeners[2].active = (uint64_t)-3;
	workers[1]->listeners[2].active = 1;
	render(EXPOSITION_PROMETHEUS);
	EXPECT_LINE("sallyport_connections_active{listener=\"https\"} 0");
}

Test(exposition, openmetrics_differs_where_it_must)
{
	render(EXPOSITION_OPENMETRICS);
	EXPECT_LINE("# TYPE sallyport_connections_accepted counter");
	EXPECT_LINE("sallyport_connections_accepted_total{listener=\"https\"} 0");
	EXPECT_LINE("# TYPE sallyport_build info");
	cr_assert_str_eq(page + strlen(page) - 6, "# EOF\n");
	render(EXPOSITION_PROMETHEUS);
	EXPECT_LINE("# TYPE sallyport_connections_accepted_total counter");
	EXPECT_LINE("# TYPE sallyport_build_info gauge");
	cr_assert_null(strstr(page, "# EOF"));
}

Test(exposition, format_is_what_accept_asks_for)
{
	static const struct {
		const char *accept;
		enum exposition_format want;
	} cases[] = {
		{ NULL, EXPOSITION_PROMETHEUS },
		{ "", EXPOSITION_PROMETHEUS },
		{ "*/*", EXPOSITION_PROMETHEUS },
		{ "text/plain", EXPOSITION_PROMETHEUS },
		{ "application/openmetrics-text", EXPOSITION_OPENMETRICS },
		{ "Application/OpenMetrics-Text; version=1.0.0", EXPOSITION_OPENMETRICS },
		{ "application/openmetrics-text;version=1.0.0;q=0.5,"
		  "text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
		  EXPOSITION_OPENMETRICS },
		{ "application/openmetrics-text;q=0.2, text/plain;q=0.75", EXPOSITION_PROMETHEUS },
		{ "application/openmetrics-text;q=0,*/*;q=0", EXPOSITION_PROMETHEUS },
		{ "application/openmetrics-text;q=0.001", EXPOSITION_OPENMETRICS },
		{ "application/openmetrics-texts", EXPOSITION_PROMETHEUS },
		{ "xapplication/openmetrics-text", EXPOSITION_PROMETHEUS },
		{ "application/openmetrics-text;q=", EXPOSITION_PROMETHEUS },
		{ "application/openmetrics-text;q=x", EXPOSITION_PROMETHEUS },
		{ ",,,;q=,q=1.9999", EXPOSITION_PROMETHEUS },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert_eq(exposition_choose(cases[i].accept), cases[i].want, "%s",
			     cases[i].accept);
}

Test(exposition, ready_once_a_worker_serves)
{
	cr_assert_not(exposition_ready(&from));
	workers[3]->generation = 3;
	cr_assert(exposition_ready(&from));
	supervisor.generation = 0;
	cr_assert_not(exposition_ready(&from));
}

#if defined(__SANITIZE_ADDRESS__)
#define BOUND_NS INT64_C(500000000)
#else
#define BOUND_NS INT64_C(200000000)
#endif

Test(exposition, renders_256_listeners_of_4_workers_at_once)
{
	struct names *many = names_new(NULL);
	struct timespec begin, end;
	int64_t best = INT64_MAX;

	for (uint32_t i = 0; i < METRICS_LISTENERS; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "listener-%u.example:443", i);
		cr_assert(names_set_listener(many, i, name));
		for (int k = 0; k < WORKERS; k++)
			memset(&workers[k]->listeners[i], 1, sizeof(workers[k]->listeners[i]));
	}
	cr_assert(names_seal(many));
	from.names = many;
	for (int i = 0; i < 5; i++) {
		size_t len;
		int64_t ns;

		(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
		free(exposition_render(&from, EXPOSITION_PROMETHEUS, &len));
		(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
		ns = (end.tv_sec - begin.tv_sec) * INT64_C(1000000000) + end.tv_nsec -
		     begin.tv_nsec;
		best = ns < best ? ns : best;
	}
	render(EXPOSITION_PROMETHEUS);
	(void)read_page(EXPOSITION_PROMETHEUS);
	/* 20 ms are the promise; busy machines get more, and sanitizers as much again and more. */
	cr_assert_lt(best, BOUND_NS, "%" PRId64 " ns", best);
	names_unref(many);
}
