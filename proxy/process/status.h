/* status: what `sallyport status` shows, as JSON: processes, configuration, connections, listeners
 * and pools. What it reads may be changing, and a captured worker may have written anything:
 * numbers are only shown. */
#pragma once

#include "proxy/observe/exposition.h"
#include "proxy/process/board.h"

/* status_json returns the state, to be freed with free(). NULL: out of memory. */
char *status_json(const struct board *b, const struct exposition_source *from);
