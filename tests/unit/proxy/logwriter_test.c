#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proxy/observe/journal.h"
#include "proxy/observe/logwriter.h"

enum { WORKERS = 3 };
#define SECOND INT64_C(1000000000)

static struct ring_head *heads[WORKERS];
static struct ring_tail tails[WORKERS];
static struct journal journals[WORKERS];
static uint64_t dropped[WORKERS];
static struct metrics_steward metrics;
static struct names *names;
static struct logwriter *w;
static int error_log, access_log; /* what is written can be read here */

static const struct logwriter_style json_style = { CONF_LOG_INFO, CONF_LOG_JSON };

static void make(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct logwriter_ring rings[WORKERS];

	cr_assert_eq(sigaction(SIGPIPE, &ignore, NULL), 0);
	for (uint32_t i = 0; i < WORKERS; i++) {
		heads[i] = calloc(1, sizeof(*heads[i]));
		cr_assert_not_null(heads[i]);
		tails[i].tail = 0;
		rings[i] = (struct logwriter_ring){ heads[i], &tails[i] };
		journals[i] = (struct journal){ .head = heads[i],
						.tail = &tails[i],
						.dropped = &dropped[i],
						.worker = i,
						.access = true,
						.level = CONF_LOG_DEBUG };
	}
	names = names_new(NULL);
	cr_assert(names_set_listener(names, 4, "https"));
	cr_assert(names_seal(names));
	error_log = memfd_create("error", MFD_CLOEXEC);
	access_log = memfd_create("access", MFD_CLOEXEC);
	w = logwriter_new(rings, WORKERS, &metrics);
	cr_assert_not_null(w);
}

static bool outlived; /* the writer still looks at what it was given */

static void drop(void)
{
	if (outlived)
		return;
	for (int i = 0; i < WORKERS; i++)
		free(heads[i]);
	names_unref(names);
	(void)close(error_log);
	(void)close(access_log);
}

TestSuite(logwriter, .init = make, .fini = drop, .timeout = 60);

static void nap(void)
{
	(void)nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
}

static void connection(unsigned worker)
{
	struct record_connection c = { .type = RECORD_CONNECTION,
				       .client_family = AF_UNIX,
				       .listener = 4,
				       .pool = RECORD_NONE,
				       .server = 0xdddddddd };

	journal_connection(&journals[worker], &c);
}

static void request(unsigned worker)
{
	struct record_request r;

	record_request_start(&r);
	r.listener = 4;
	r.peer_family = AF_UNIX;
	r.http_version = 11;
	r.status = 204;
	record_request_put(&r, RECORD_TEXT_METHOD, span_str("GET"));
	record_request_put(&r, RECORD_TEXT_PATH, span_str("/x"));
	journal_request(&journals[worker], &r);
}

static char *slurp(int fd)
{
	struct stat st;
	char *text;

	cr_assert_eq(fstat(fd, &st), 0);
	text = calloc(1, (size_t)st.st_size + 1);
	cr_assert_not_null(text);
	cr_assert_eq(pread(fd, text, (size_t)st.st_size, 0), st.st_size);
	return text;
}

static size_t num_lines(int fd)
{
	char *text = slurp(fd);
	size_t n = 0;

	for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
		n++;
	free(text);
	return n;
}

static void expect_in(int fd, const char *what)
{
	char *text = slurp(fd);

	cr_assert_not_null(strstr(text, what), "'%s' is not in: %s", what, text);
	free(text);
}

static void use_logs(void)
{
	logwriter_set_logs(w, dup(error_log), dup(access_log));
	logwriter_set_names(w, names, json_style);
}

Test(logwriter, records_become_lines_soon)
{
	use_logs();
	connection(2);
	journal_event(&journals[1], CONF_LOG_WARNING, "odd");
	for (int i = 0; i < 200 && (num_lines(access_log) == 0 || num_lines(error_log) == 0); i++)
		nap();
	expect_in(access_log, "\"listener\":\"https\"");
	expect_in(error_log, " warning worker 1: odd\n");
	cr_assert(logwriter_finish(w, 5 * SECOND));
	cr_assert_eq(num_lines(access_log), 1);
	cr_assert_eq(num_lines(error_log), 1);
}

Test(logwriter, requests_become_json_lines)
{
	use_logs();
	request(0);
	connection(0);
	cr_assert(logwriter_finish(w, 5 * SECOND));
	cr_assert_eq(num_lines(access_log), 2);
	expect_in(access_log, "\"event\":\"request\",\"client\":\"unix\",\"listener\":\"https\","
			      "\"http\":\"1.1\",\"method\":\"GET\",\"path\":\"/x\",\"status\":204");
}

Test(logwriter, a_combined_log_has_lines_for_requests_only)
{
	logwriter_set_logs(w, dup(error_log), dup(access_log));
	logwriter_set_names(w, names, (struct logwriter_style){ CONF_LOG_INFO, CONF_LOG_COMBINED });
	connection(1);
	request(0);
	journal_event(&journals[0], CONF_LOG_INFO, "news");
	cr_assert(logwriter_finish(w, 5 * SECOND));
	cr_assert_eq(num_lines(access_log), 1);
	expect_in(access_log, "] \"GET /x HTTP/1.1\" 204 0 \"-\" \"-\"\n");
	cr_assert_eq(num_lines(error_log), 1);
	cr_assert_eq(metrics.log_dropped, 0);
}

Test(logwriter, what_waits_at_the_end_is_written)
{
	size_t n = 0;

	use_logs();
	for (int i = 0; i < WORKERS; i++) {
		while (dropped[i] == 0 && n < 60000) {
			connection((unsigned)i);
			n++;
		}
		n -= dropped[i];
	}
	cr_assert(logwriter_finish(w, 5 * SECOND));
	cr_assert_eq(num_lines(access_log), n);
	cr_assert_eq(metrics.log_dropped, 0);
}

Test(logwriter, nothing_is_read_before_logs_and_names_are_there)
{
	connection(0);
	nap();
	nap();
	cr_assert_eq(tails[0].tail, 0);
	cr_assert(logwriter_finish(w, SECOND));
	cr_assert_eq(tails[0].tail, 0); /* for the successor */
}

Test(logwriter, events_above_the_level_are_left_out)
{
	use_logs();
	journal_event(&journals[0], CONF_LOG_DEBUG, "chatter");
	journal_event(&journals[0], CONF_LOG_INFO, "news");
	cr_assert(logwriter_finish(w, 5 * SECOND));
	cr_assert_eq(num_lines(error_log), 1);
	expect_in(error_log, "info worker 0: news");
}

Test(logwriter, the_stewards_own_lines)
{
	logwriter_say(w, CONF_LOG_ERROR, "before there was a %s", "log");
	use_logs();
	logwriter_say(w, CONF_LOG_INFO, "second");
	cr_assert(logwriter_finish(w, 5 * SECOND));
	expect_in(error_log, " error steward: before there was a log\n");
	expect_in(error_log, " info steward: second\n");
	cr_assert_eq(num_lines(error_log), 2);
}

Test(logwriter, a_flood_of_the_stewards_own_lines_is_cut_and_counted)
{
	for (int i = 0; i < 10000; i++)
		logwriter_say(w, CONF_LOG_ERROR, "again");
	use_logs();
	cr_assert(logwriter_finish(w, 5 * SECOND));
	cr_assert_lt(num_lines(error_log), 1000);
	expect_in(error_log, "error log: 0 writes failed, ");
	cr_assert_eq(metrics.log_dropped + num_lines(error_log) - 1, 10000);
}

Test(logwriter, reopening_loses_nothing)
{
	size_t n = 0;
	int second = memfd_create("second", MFD_CLOEXEC);

	use_logs();
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 50; i++, n++)
			connection((unsigned)i % WORKERS);
		logwriter_set_logs(w, dup(error_log), dup(round % 2 == 0 ? second : access_log));
		if (round % 10 == 0)
			nap();
	}
	cr_assert(logwriter_finish(w, 5 * SECOND));
	cr_assert_eq(num_lines(access_log) + num_lines(second), n);
	(void)close(second);
}

Test(logwriter, hostile_records_are_counted_and_said)
{
	use_logs();
	cr_assert(ring_write(heads[0], &tails[0], span_str("this is no record")));
	connection(0);
	__atomic_store_n(&heads[1]->head, UINT64_MAX, __ATOMIC_RELEASE);
	cr_assert(logwriter_finish(w, 5 * SECOND));
	cr_assert_eq(num_lines(access_log), 1);
	cr_assert_eq(metrics.log_dropped, 2);
	expect_in(error_log, "2 records of the workers made no sense and were left out");
}

Test(logwriter, a_full_disk_is_counted_said_and_does_not_spin)
{
	struct timespec cpu;

	logwriter_set_logs(w, dup(error_log), open("/dev/full", O_WRONLY | O_CLOEXEC));
	logwriter_set_names(w, names, json_style);
	connection(0);
	for (int i = 0; i < 200; i++)
		nap();
	expect_in(error_log, "access log: 1 writes failed: No space left on device, 0 lines");
	cr_assert_geq(metrics_read(&metrics.log_errors), 1);
	cr_assert_leq(metrics_read(&metrics.log_errors), 3);
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	cr_assert_lt(cpu.tv_sec * SECOND + cpu.tv_nsec, SECOND / 2);
	/* Room again, in a new file: the line is there. */
	logwriter_set_logs(w, dup(error_log), dup(access_log));
	cr_assert(logwriter_finish(w, 5 * SECOND));
	cr_assert_eq(num_lines(access_log), 1);
}

Test(logwriter, a_stuck_log_stalls_the_other_for_a_while_only)
{
	int fds[2];

	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	logwriter_set_logs(w, dup(error_log), fds[1]); /* nobody reads */
	logwriter_set_names(w, names, json_style);
	for (int i = 0; i < 5000; i++)
		connection(0);
	journal_event(&journals[0], CONF_LOG_ERROR, "behind them");
	for (int i = 0; i < 1600; i++) {
		char *text = slurp(error_log);
		bool there = strstr(text, "behind them") != NULL;

		free(text);
		if (there)
			break;
		nap();
	}
	expect_in(error_log, "behind them");
	cr_assert_gt(metrics_read(&metrics.log_dropped), 1000);
	/* It cannot finish; the process would end now. */
	cr_assert_not(logwriter_finish(w, SECOND / 5));
	outlived = true;
	(void)close(fds[0]);
}

Test(logwriter, without_an_access_log_records_are_dropped_in_peace)
{
	logwriter_set_logs(w, dup(error_log), -1);
	logwriter_set_names(w, names, json_style);
	for (int i = 0; i < 5000; i++)
		connection(0);
	journal_event(&journals[0], CONF_LOG_ERROR, "behind them");
	cr_assert(logwriter_finish(w, 5 * SECOND));
	expect_in(error_log, "behind them");
	cr_assert_eq(metrics.log_dropped, 0);
}

Test(logwriter, descriptors_are_closed)
{
	int before, after;

	logwriter_set_logs(w, dup(error_log), dup(access_log));
	logwriter_set_logs(w, dup(error_log), dup(access_log));
	logwriter_set_names(w, names, json_style);
	logwriter_set_names(w, names, json_style);
	before = dup(0);
	(void)close(before);
	cr_assert(logwriter_finish(w, 5 * SECOND));
	after = dup(0);
	(void)close(after);
	cr_assert_leq(after, access_log + 1); /* the eventfd's number */
	cr_assert_leq(after, before);
}
