/* logs: where lines go: opens the log files, for the steward to write, and writes the supervisor's
 * own lines without ever waiting for a slow disk or reader. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "conf/problems.h"
#include "proxy/process/handle.h"

enum { LOGS_MAX_LINE = 4096 };

struct log_file {
	char path[4096];       /* or "stderr", "stdout"; "": none */
	struct handle *handle; /* NULL: none */
};

struct logs {
	enum conf_log_level level;
	struct log_file error, access;
	uint64_t *dropped; /* cell of the metrics: lines that found no room; NULL: uncounted */
};

/* logs_init makes in place what is used before a configuration is there: standard error. False:
 * out of memory. */
bool logs_init(struct logs *l);

/* logs_fini closes all; zero bytes are fine. */
void logs_fini(struct logs *l);

/* logs_open opens what a configuration wants into `fresh`, which replaces whatever it was. False:
 * each that cannot be opened was added to `why`; `fresh` is empty. */
bool logs_open(struct logs *fresh, const char *error, const char *access, enum conf_log_level level,
	       struct problems *why);

/* logs_reopen opens the same paths anew. False: what could not be opened was added to `why` and
 * goes on in the file that was open. */
bool logs_reopen(struct logs *l, struct problems *why);

/* logs_say writes a line of the supervisor unless it is less important than the level. `format` is
 * printf's. */
__attribute__((format(printf, 3, 4))) void logs_say(struct logs *l, enum conf_log_level level,
						    const char *format, ...);
