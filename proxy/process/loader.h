/* loader: one load: reads the configuration, the certificates and the names it needs, checks all
 * of it as a worker would use it, and makes a snapshot. `check` runs it in process; for the
 * supervisor it is a process of its own (role.h) that exits after one load. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "conf/problems.h"

/* Where a configuration comes from. */
struct loader_source {
	const char *file;   /* path to read; or, with `text_fd`, only a name for messages */
	const char *folder; /* absolute: relative paths are taken from here */
	int text_fd;	    /* the text, read from its start; -1: read `file` */
};

/* What a load made. */
struct loaded {
	int snapshot_fd; /* not sealed yet */
	int keys_fd;
	size_t num_listeners, num_pools, num_certificates;
};

/* What CHANNEL_START's flags say of its descriptors, which come in this order. */
enum loader_given { LOADER_TEXT = 1, LOADER_PREVIOUS = 2 };

/* loader_load does one load. `previous`, unless NULL, is what serves now: keys that are taken only
 * at start must not differ. False: every error found has been added to `why`; warnings may be
 * added on success, too. The descriptors are the caller's. */
bool loader_load(const struct loader_source *from, const struct conf *previous, struct loaded *out,
		 struct problems *why);
