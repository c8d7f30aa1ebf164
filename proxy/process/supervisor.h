/* supervisor: the process that starts everything and owns signals, sockets, logs and what is
 * published. Parses no file and sees no peer's byte: a loader reads, workers serve. One thread. */
#pragma once

#include "proxy/process/loader.h"

/* What to run. */
struct supervisor_options {
	struct loader_source source; /* descriptors and texts stay the caller's */
	/* The program's name or path and its words, to start a newer one of; NULL: never. */
	const char *program;
	const char *const *argv;
	int ready_fd; /* gets a byte once everything serves, and is closed then; -1: none */
};

/* supervisor_run runs until it is told to end. Returns the exit code: 0 ended in good order, 1 the
 * first configuration was refused, 3 it could not bind or start; the reason is on stderr. */
int supervisor_run(const struct supervisor_options *options);
