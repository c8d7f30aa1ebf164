/* logsink: one log being written: a buffer of whole lines, a descriptor, and what goes wrong with
 * it. Never waits for a pipe, socket or terminal; a file may stall the caller. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/observe/record.h"

enum {
	LOGSINK_BATCH = 64 << 10, /* written out before more is taken */
	LOGSINK_BYTES = LOGSINK_BATCH + 4 * RECORD_LINE_MAX,
};

struct logsink {
	int fd; /* -1: no log */
	bool is_file;
	size_t start, n;	/* of `buf`: what is not written yet */
	int64_t stuck_since_ns; /* when writing last began to fail; 0: it does not */
	int64_t retry_ns;	/* no attempt before; 0: now */
	bool wants_poll;	/* waits until the descriptor is writable */
	int64_t polled_ns;	/* when it was found not to be */
	int last_error;		/* errno of the last failed write */
	uint64_t num_errors;	/* failed writes, ever */
	uint64_t num_lost;	/* lines, ever */
	char buf[LOGSINK_BYTES];
};

/* logsink_init makes a sink without a log. */
void logsink_init(struct logsink *s);

/* logsink_fini closes the descriptor; what was not written is lost. */
void logsink_fini(struct logsink *s);

/* logsink_swap writes what it can to the old log, closes it and goes on with `fd`, which becomes
 * the sink's (-1: none). A line that was half written is not continued elsewhere: it counts as
 * lost. */
void logsink_swap(struct logsink *s, int fd, int64_t now_ns);

/* logsink_room returns where a line of up to RECORD_LINE_MAX bytes may be put, writing out first
 * where that is needed; NULL: full, and the log takes nothing now. */
char *logsink_room(struct logsink *s, int64_t now_ns);

/* logsink_add keeps `n` bytes that were put there. */
void logsink_add(struct logsink *s, size_t n);

/* logsink_flush writes what the log takes now. */
void logsink_flush(struct logsink *s, int64_t now_ns);

/* logsink_stuck returns for how long the log has taken nothing, in ns; 0: it does. */
int64_t logsink_stuck(const struct logsink *s, int64_t now_ns);
