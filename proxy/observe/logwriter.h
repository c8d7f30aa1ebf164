/* logwriter: a thread of its own that empties the workers' rings, makes the lines and writes them
 * to the error and the access log. A log that is slow or full stalls this thread and nothing
 * else: first the rings fill, then a log that has been stuck for LOGWRITER_PATIENCE_NS loses
 * records, which are counted, so that it does not silence the other one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "proxy/observe/metrics.h"
#include "proxy/observe/names.h"
#include "proxy/observe/ring.h"

#define LOGWRITER_PATIENCE_NS INT64_C(5000000000)

enum { LOGWRITER_ERROR, LOGWRITER_ACCESS, LOGWRITER_SINKS };

/* One worker's ring. */
struct logwriter_ring {
	const struct ring_head *head;
	struct ring_tail *tail;
};

struct logwriter;

/* logwriter_new starts the thread. The array is copied; rings and `metrics` (which only the thread
 * writes) outlive it. Nothing is read before logs and names are set. The process ignores SIGPIPE.
 * NULL: out of memory or threads. */
struct logwriter *logwriter_new(const struct logwriter_ring *rings, size_t num,
				struct metrics_steward *metrics);

/* logwriter_set_logs replaces both descriptors, which become the writer's; -1: no such log. The
 * old ones are closed when what is being written to them has been. Never waits. */
void logwriter_set_logs(struct logwriter *w, int error_fd, int access_fd);

/* What lines are to be like. */
struct logwriter_style {
	enum conf_log_level level;   /* events above it are left out */
	enum conf_log_format format; /* of the access log; combined has lines for requests only */
};

/* logwriter_set_names replaces the names for lines, of which it takes a reference, and the
 * style. */
void logwriter_set_names(struct logwriter *w, struct names *names, struct logwriter_style style);

/* logwriter_say puts a line of the steward's own into the error log. Never waits; a flood is cut
 * short and counted. */
__attribute__((format(printf, 3, 4))) void
logwriter_say(struct logwriter *w, enum conf_log_level level, const char *format, ...);

/* logwriter_finish writes what the rings hold, ends the thread and frees `w`. False: that took
 * longer than `within_ns`, the thread still runs and `w` is lost: exit the process. */
bool logwriter_finish(struct logwriter *w, int64_t within_ns);
