#include "proxy/observe/logwriter.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "conf/must.h"
#include "proxy/observe/logsink.h"
#include "proxy/observe/record.h"
#include "proxy/observe/record_request.h"

enum {
	LOGWRITER_MAGIC = 0x6c6f6777,
	SAID_BYTES = 16 << 10,
	RECORDS_PER_RING = 256, /* before it is the next one's turn */
	SHARES_PER_TURN = 64,	/* before the inbox is looked into */
	WAIT_FULL_MS = 5,	/* where a ring was found fuller than RING_BYTES / 8 */
	WAIT_BUSY_MS = 50,
	WAIT_IDLE_MS = 100,
	IDLE_AFTER_MS = 5000,
	MS = 1000000,
};

#define REPORT_EVERY_NS INT64_C(60000000000)

/* What others leave for the thread, under the lock. */
struct inbox {
	bool has_logs;
	int fds[LOGWRITER_SINKS];
	struct names *names; /* NULL: none new */
	struct logwriter_style style;
	bool stop;
	size_t said_len;
	uint64_t said_lost;
	char said[SAID_BYTES]; /* whole lines */
};

/* How much of what went wrong with a log has been told. */
struct told {
	uint64_t errors, lost;
};

struct logwriter {
	unsigned magic;
	pthread_t thread;
	int wake, done; /* eventfds: look into the inbox; the thread has ended */
	pthread_mutex_t lock;
	struct inbox inbox; /* the lock's; all below is the thread's */
	struct metrics_steward *metrics;
	struct logsink sinks[LOGWRITER_SINKS];
	struct told metrics_told[LOGWRITER_SINKS], people_told[LOGWRITER_SINKS];
	bool has_logs;
	bool stopping;
	struct names *names;
	struct logwriter_style style;
	int64_t now_ns;
	int64_t last_record_ns;
	int64_t next_report_ns;
	size_t fullest;		/* of the rings, when last looked at */
	uint64_t num_senseless; /* records, until reported */
	size_t num_rings;
	struct logwriter_ring rings[];
};

static int64_t clock_ns(clockid_t clock)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000 * MS + ts.tv_nsec;
}

static void signal_eventfd(int fd)
{
	static const uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

/* Where the next line for a log goes; NULL: it is lost, or there is no such log. */
static char *room_for(struct logwriter *w, struct logsink *s)
{
	char *p;

	if (s->fd < 0)
		return NULL;
	if ((p = logsink_room(s, w->now_ns)) == NULL)
		s->num_lost++;
	return p;
}

static void swap_logs(struct logwriter *w, const int *fds)
{
	for (size_t i = 0; i < LOGWRITER_SINKS; i++)
		logsink_swap(&w->sinks[i], fds[i], w->now_ns);
	w->has_logs = true;
}

static void take_said(struct logwriter *w, const char *said, size_t len, uint64_t num_lost)
{
	struct logsink *s = &w->sinks[LOGWRITER_ERROR];

	s->num_lost += num_lost;
	while (len > 0) {
		size_t n = (size_t)((const char *)memchr(said, '\n', len) + 1 - said);
		char *p = room_for(w, s);

		if (p != NULL) {
			memcpy(p, said, n);
			logsink_add(s, n);
		}
		said += n;
		len -= n;
	}
}

static void take_inbox(struct logwriter *w)
{
	struct inbox *in = &w->inbox;
	char said[SAID_BYTES];
	struct names *names;
	bool has_logs;
	int fds[LOGWRITER_SINKS];
	size_t said_len = 0;
	uint64_t said_lost = 0;
	uint64_t times;

	(void)!read(w->wake, &times, sizeof(times));
	MUST(pthread_mutex_lock(&w->lock) == 0);
	has_logs = in->has_logs;
	memcpy(fds, in->fds, sizeof(fds));
	in->has_logs = false;
	if ((names = in->names) != NULL)
		w->style = in->style;
	in->names = NULL;
	w->stopping = in->stop;
	if (has_logs || w->has_logs) {
		memcpy(said, in->said, in->said_len);
		said_len = in->said_len;
		said_lost = in->said_lost;
		in->said_len = 0;
		in->said_lost = 0;
	}
	MUST(pthread_mutex_unlock(&w->lock) == 0);

	if (has_logs)
		swap_logs(w, fds);
	if (names != NULL) {
		names_unref(w->names);
		w->names = names;
	}
	take_said(w, said, said_len, said_lost);
}

/* Whether the style has a line for a record. */
static bool is_wanted(const struct logwriter *w, enum record_type type, struct span bytes)
{
	if (type == RECORD_EVENT)
		return record_level_of(bytes) <= w->style.level;
	return type == RECORD_REQUEST || w->style.format == CONF_LOG_JSON;
}

static size_t make_line(const struct logwriter *w, enum record_type type, struct span bytes,
			char *line)
{
	struct record_slots slots = record_slots_of(bytes);
	struct record_names names = {
		.listener = names_listener(w->names, slots.listener),
		.pool = names_pool(w->names, slots.pool),
		.server = names_server(w->names, slots.server),
	};

	switch (type) {
	case RECORD_EVENT:
		return record_event_line(bytes, line, RECORD_LINE_MAX);
	case RECORD_REQUEST:
		if (w->style.format == CONF_LOG_COMBINED)
			return record_request_combined(bytes, line, RECORD_LINE_MAX);
		return record_request_line(bytes, &names, line, RECORD_LINE_MAX);
	case RECORD_CONNECTION:
	case RECORD_HANDSHAKE_FAILED:
		return record_line(bytes, &names, line, RECORD_LINE_MAX);
	}
	return 0;
}

static void keep_record(struct logwriter *w, struct span bytes)
{
	enum record_type type = record_type_of(bytes);
	struct logsink *s = &w->sinks[type == RECORD_EVENT ? LOGWRITER_ERROR : LOGWRITER_ACCESS];
	size_t n = 0;
	char *p;

	if (type != 0) {
		if (!is_wanted(w, type, bytes) || (p = room_for(w, s)) == NULL)
			return;
		n = make_line(w, type, bytes, p);
	}
	if (n > 0) {
		logsink_add(s, n);
		return;
	}
	w->num_senseless++;
	metrics_add(&w->metrics->log_dropped, 1);
}

/* Whether the rings may be read: a log without room stops them, unless it has been stuck for so
 * long that the other log must go on. */
static bool may_read(struct logwriter *w)
{
	for (size_t i = 0; i < LOGWRITER_SINKS; i++) {
		struct logsink *s = &w->sinks[i];

		if (s->fd >= 0 && logsink_room(s, w->now_ns) == NULL &&
		    logsink_stuck(s, w->now_ns) < LOGWRITER_PATIENCE_NS)
			return false;
	}
	return w->has_logs && (w->names != NULL || w->stopping);
}

/* Reads a ring's share; false: it is empty. */
static bool drain_ring(struct logwriter *w, const struct logwriter_ring *r)
{
	uint8_t record[RING_RECORD_MAX];
	bool skipped;
	size_t len;

	for (int i = 0; i < RECORDS_PER_RING; i++) {
		if (!may_read(w))
			return true;
		if (!ring_read(r->head, r->tail, record, &len, &skipped)) {
			if (skipped) {
				w->num_senseless++;
				metrics_add(&w->metrics->log_dropped, 1);
			}
			return false;
		}
		w->last_record_ns = w->now_ns;
		keep_record(w, span_of(record, len));
	}
	return true;
}

/* One share of every ring; true: there is more that may be read now. */
static bool drain(struct logwriter *w)
{
	bool more = false;

	w->now_ns = clock_ns(CLOCK_MONOTONIC);
	for (size_t i = 0; i < w->num_rings; i++) {
		if (!may_read(w))
			return false;
		more = drain_ring(w, &w->rings[i]) || more;
	}
	return more;
}

__attribute__((format(printf, 2, 3))) static void say_own(struct logwriter *w, const char *format,
							  ...)
{
	char *p = room_for(w, &w->sinks[LOGWRITER_ERROR]);
	char words[512];
	va_list args;
	int n;

	if (p == NULL)
		return;
	va_start(args, format);
	n = vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	if (n < 0)
		return;
	logsink_add(&w->sinks[LOGWRITER_ERROR],
		    record_log_text(clock_ns(CLOCK_REALTIME), CONF_LOG_WARNING, "steward",
				    span_str(words), p, RECORD_LINE_MAX));
}

static void tell_metrics(struct logwriter *w)
{
	for (size_t i = 0; i < LOGWRITER_SINKS; i++) {
		const struct logsink *s = &w->sinks[i];
		struct told *told = &w->metrics_told[i];

		metrics_add(&w->metrics->log_errors, s->num_errors - told->errors);
		metrics_add(&w->metrics->log_dropped, s->num_lost - told->lost);
		*told = (struct told){ s->num_errors, s->num_lost };
	}
}

/* Says at once, then once a minute, what went wrong with a log. */
static void tell_people(struct logwriter *w)
{
	static const char *const titles[LOGWRITER_SINKS] = { "error log", "access log" };
	bool said = false;

	if (w->now_ns < w->next_report_ns || w->sinks[LOGWRITER_ERROR].retry_ns > w->now_ns)
		return;
	for (size_t i = 0; i < LOGWRITER_SINKS; i++) {
		struct logsink *s = &w->sinks[i];
		struct told now = { s->num_errors, s->num_lost };
		uint64_t errors = now.errors - w->people_told[i].errors;
		uint64_t lost = now.lost - w->people_told[i].lost;

		if (errors == 0 && lost == 0)
			continue;
		w->people_told[i] = now;
		say_own(w, "%s: %" PRIu64 " writes failed%s%s, %" PRIu64 " lines were lost",
			titles[i], errors, errors > 0 ? ": " : "",
			errors > 0 ? strerror(s->last_error) : "", lost);
		said = true;
	}
	if (w->num_senseless > 0) {
		say_own(w, "%" PRIu64 " records of the workers made no sense and were left out",
			w->num_senseless);
		w->num_senseless = 0;
		said = true;
	}
	if (said)
		w->next_report_ns = w->now_ns + REPORT_EVERY_NS;
}

static bool all_written(const struct logwriter *w)
{
	for (size_t i = 0; i < LOGWRITER_SINKS; i++) {
		if (w->sinks[i].start < w->sinks[i].n)
			return false;
	}
	return true;
}

/* Returns whether something was left in the inbox. */
static bool wait_for_work(struct logwriter *w)
{
	struct pollfd fds[1 + LOGWRITER_SINKS] = { { .fd = w->wake, .events = POLLIN } };
	nfds_t num = 1;
	int ms = WAIT_BUSY_MS;

	if (w->fullest > RING_BYTES / 8)
		ms = WAIT_FULL_MS;
	else if (w->now_ns - w->last_record_ns > (int64_t)IDLE_AFTER_MS * MS)
		ms = WAIT_IDLE_MS;
	for (size_t i = 0; i < LOGWRITER_SINKS; i++) {
		if (w->sinks[i].stuck_since_ns != 0)
			ms = WAIT_IDLE_MS;
		if (w->sinks[i].wants_poll)
			fds[num++] = (struct pollfd){ .fd = w->sinks[i].fd, .events = POLLOUT };
	}
	return poll(fds, num, ms) > 0 && fds[0].revents != 0;
}

static void look_at_rings(struct logwriter *w)
{
	w->fullest = 0;
	for (size_t i = 0; i < w->num_rings; i++) {
		size_t used = ring_used(w->rings[i].head, w->rings[i].tail);

		if (used > w->fullest)
			w->fullest = used;
	}
}

static void *logwriter_run(void *arg)
{
	struct logwriter *w = arg;
	bool called = true;

	CHECK(w, LOGWRITER_MAGIC);
	for (;;) {
		bool more = false;

		w->now_ns = clock_ns(CLOCK_MONOTONIC);
		look_at_rings(w);
		if (called)
			take_inbox(w);
		for (int i = 0; i < SHARES_PER_TURN && (more = drain(w)); i++)
			;
		tell_people(w);
		for (size_t i = 0; i < LOGWRITER_SINKS; i++)
			logsink_flush(&w->sinks[i], w->now_ns);
		tell_metrics(w);
		if (w->stopping && (!w->has_logs || (!more && w->fullest == 0 && all_written(w))))
			break;
		called = more || wait_for_work(w);
	}
	signal_eventfd(w->done);
	return NULL;
}

static void close_logs(struct inbox *in)
{
	for (size_t i = 0; in->has_logs && i < LOGWRITER_SINKS; i++) {
		if (in->fds[i] >= 0)
			(void)close(in->fds[i]);
	}
}

static void logwriter_free(struct logwriter *w)
{
	close_logs(&w->inbox);
	names_unref(w->inbox.names);
	names_unref(w->names);
	for (size_t i = 0; i < LOGWRITER_SINKS; i++)
		logsink_fini(&w->sinks[i]);
	if (w->wake >= 0)
		(void)close(w->wake);
	if (w->done >= 0)
		(void)close(w->done);
	(void)pthread_mutex_destroy(&w->lock);
	w->magic = 0;
	free(w);
}

struct logwriter *logwriter_new(const struct logwriter_ring *rings, size_t num,
				struct metrics_steward *metrics)
{
	struct logwriter *w = calloc(1, sizeof(*w) + num * sizeof(w->rings[0]));
	sigset_t all, before;
	int error;

	if (w == NULL)
		return NULL;
	w->magic = LOGWRITER_MAGIC;
	w->wake = w->done = -1;
	w->metrics = metrics;
	w->style.level = CONF_LOG_INFO;
	w->num_rings = num;
	memcpy(w->rings, rings, num * sizeof(w->rings[0]));
	for (size_t i = 0; i < LOGWRITER_SINKS; i++)
		logsink_init(&w->sinks[i]);
	MUST(pthread_mutex_init(&w->lock, NULL) == 0);
	if ((w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0 ||
	    (w->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
		goto fail;
	/* Signals are the main thread's; but the one for a forbidden call comes to who makes it. */
	(void)sigfillset(&all);
	(void)sigdelset(&all, SIGSYS);
	MUST(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	error = pthread_create(&w->thread, NULL, logwriter_run, w);
	MUST(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
	if (error == 0)
		return w;
fail:
	logwriter_free(w);
	return NULL;
}

static struct inbox *inbox_lock(struct logwriter *w)
{
	CHECK(w, LOGWRITER_MAGIC);
	MUST(pthread_mutex_lock(&w->lock) == 0);
	return &w->inbox;
}

static void inbox_unlock(struct logwriter *w)
{
	MUST(pthread_mutex_unlock(&w->lock) == 0);
	signal_eventfd(w->wake);
}

void logwriter_set_logs(struct logwriter *w, int error_fd, int access_fd)
{
	struct inbox *in = inbox_lock(w);

	close_logs(in);
	in->has_logs = true;
	in->fds[LOGWRITER_ERROR] = error_fd;
	in->fds[LOGWRITER_ACCESS] = access_fd;
	inbox_unlock(w);
}

void logwriter_set_names(struct logwriter *w, struct names *names, struct logwriter_style style)
{
	struct inbox *in = inbox_lock(w);

	names_unref(in->names);
	in->names = names_ref(names);
	in->style = style;
	inbox_unlock(w);
}

void logwriter_say(struct logwriter *w, enum conf_log_level level, const char *format, ...)
{
	char words[RECORD_TEXT_MAX], line[RECORD_LINE_MAX];
	struct inbox *in;
	va_list args;
	size_t n;
	int len;

	va_start(args, format);
	len = vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	if (len < 0)
		return;
	n = record_log_text(clock_ns(CLOCK_REALTIME), level, "steward", span_str(words), line,
			    sizeof(line));
	in = inbox_lock(w);
	if (n <= sizeof(in->said) - in->said_len) {
		memcpy(in->said + in->said_len, line, n);
		in->said_len += n;
	} else {
		in->said_lost++;
	}
	inbox_unlock(w);
}

bool logwriter_finish(struct logwriter *w, int64_t within_ns)
{
	struct pollfd done = { .fd = w->done, .events = POLLIN };
	int64_t end_ns = clock_ns(CLOCK_MONOTONIC) + within_ns;
	struct inbox *in = inbox_lock(w);
	int64_t left_ns;

	in->stop = true;
	inbox_unlock(w);
	while ((left_ns = end_ns - clock_ns(CLOCK_MONOTONIC)) > 0 &&
	       poll(&done, 1, (int)(left_ns / MS) + 1) < 0)
		;
	if (done.revents == 0 && poll(&done, 1, 0) <= 0)
		return false;
	MUST(pthread_join(w->thread, NULL) == 0);
	logwriter_free(w);
	return true;
}
