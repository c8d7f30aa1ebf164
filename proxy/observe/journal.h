/* journal: the worker's pen: puts log records on its ring and counts what found no room. Never
 * waits, never allocates, never makes a line: the steward does. One thread. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "proxy/observe/record.h"
#include "proxy/observe/record_request.h"
#include "proxy/observe/ring.h"

enum {
	JOURNAL_EVENTS_PER_SECOND = 20, /* of each level */
	JOURNAL_LEVELS = CONF_LOG_DEBUG + 1,
};

/* Filled in by its owner; `rate` is the journal's own and starts as zero. */
struct journal {
	struct ring_head *head;
	const struct ring_tail *tail;
	uint64_t *dropped;	   /* cell of the metrics: records that found the ring full */
	uint32_t worker;	   /* number, for the lines */
	bool access;		   /* an access log is configured: else only events are recorded */
	enum conf_log_level level; /* events above it are not recorded */
	struct journal_rate {
		int64_t second;	     /* of the wall clock */
		uint32_t num;	     /* events in that second */
		uint64_t suppressed; /* since the last line that said how many */
	} rate[JOURNAL_LEVELS];
};

/* journal_connection records the end of a connection or a failed handshake (`c->type` says
 * which); fills in `c->worker`, and `c->time_ns` where it is 0. */
void journal_connection(struct journal *j, struct record_connection *c);

/* journal_request records an exchange that has ended; fills in `r->worker`, and `r->time_ns` where
 * it is 0. Who looks at `j->access` first saves making a record for nothing. */
void journal_request(struct journal *j, struct record_request *r);

/* journal_event records a line for the error log. `format` is printf's; a text past
 * RECORD_TEXT_MAX is cut. Past JOURNAL_EVENTS_PER_SECOND of its level in one second the event is
 * left out, and the next one of that level that is kept says how many were. */
__attribute__((format(printf, 3, 4))) void
journal_event(struct journal *j, enum conf_log_level level, const char *format, ...);

/* journal_flush_suppressed says now how many events were left out and not spoken of yet: for a
 * timer of the owner (seconds, not less), and before it exits. */
void journal_flush_suppressed(struct journal *j);
