#include "proxy/observe/journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "proxy/observe/metrics.h"

enum { NS_PER_S = 1000000000 };

static int64_t wall_clock_ns(void)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static void put(struct journal *j, const void *record, size_t n)
{
	if (!ring_write(j->head, j->tail, span_of(record, n)))
		metrics_add(j->dropped, 1);
}

void journal_connection(struct journal *j, struct record_connection *c)
{
	if (!j->access)
		return;
	c->worker = j->worker;
	if (c->time_ns == 0)
		c->time_ns = wall_clock_ns();
	put(j, c, record_size(c));
}

void journal_request(struct journal *j, struct record_request *r)
{
	if (!j->access)
		return;
	r->worker = j->worker;
	if (r->time_ns == 0)
		r->time_ns = wall_clock_ns();
	put(j, r, record_request_size(r));
}

/* Longer texts end in "..."; `n` is what vsnprintf said. */
static void put_event(struct journal *j, struct record_event *e, int n)
{
	size_t len = n < 0 ? 0 : (size_t)n;

	if (len >= sizeof(e->text)) {
		len = sizeof(e->text) - 1;
		memcpy(e->text + len - 3, "...", 3);
	}
	e->text_len = (uint32_t)len;
	put(j, e, offsetof(struct record_event, text) + len);
}

static void say_suppressed(struct journal *j, enum conf_log_level level, int64_t now_ns)
{
	struct record_event e = {
		.type = RECORD_EVENT, .worker = j->worker, .time_ns = now_ns, .level = level
	};
	struct journal_rate *r = &j->rate[level];

	if (r->suppressed == 0)
		return;
	put_event(j, &e,
		  snprintf(e.text, sizeof(e.text),
			   "%" PRIu64 " more lines of this level were left out: over %d a "
			   "second",
			   r->suppressed, JOURNAL_EVENTS_PER_SECOND));
	r->suppressed = 0;
}

/* Takes one of this second's events; at the first of a new second says what the last ones
 * lacked. */
static bool take(struct journal *j, enum conf_log_level level, int64_t now_ns)
{
	struct journal_rate *r = &j->rate[level];

	if (now_ns / NS_PER_S != r->second) {
		say_suppressed(j, level, now_ns);
		r->second = now_ns / NS_PER_S;
		r->num = 0;
	}
	if (r->num >= JOURNAL_EVENTS_PER_SECOND) {
		r->suppressed++;
		return false;
	}
	r->num++;
	return true;
}

void journal_event(struct journal *j, enum conf_log_level level, const char *format, ...)
{
	struct record_event e;
	va_list args;

	if (level > j->level)
		return;
	e.type = RECORD_EVENT;
	e.worker = j->worker;
	e.time_ns = wall_clock_ns();
	e.level = level;
	if (!take(j, level, e.time_ns))
		return;
	va_start(args, format);
	put_event(j, &e, vsnprintf(e.text, sizeof(e.text), format, args));
	va_end(args);
}

void journal_flush_suppressed(struct journal *j)
{
	int64_t now_ns = wall_clock_ns();

	for (unsigned i = 0; i < JOURNAL_LEVELS; i++)
		say_suppressed(j, (enum conf_log_level)i, now_ns);
}
