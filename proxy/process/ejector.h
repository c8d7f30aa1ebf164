/* ejector: takes servers that fail out of use, and back: as their pool's `eject` says, by what all
 * workers count. In the steward, which alone writes what the board says of servers. Says in the log
 * what it does. One thread, on a libevent loop. */
#pragma once

#include <stdbool.h>

#include "proxy/observe/logwriter.h"
#include "proxy/process/board.h"
#include "proxy/process/snapshot.h"

struct event_base;
struct ejector;

/* ejector_new makes one that looks after no server; what an earlier one had taken out is in use
 * again. Borrows all. NULL: out of memory. */
struct ejector *ejector_new(struct event_base *base, const struct board *board,
			    struct logwriter *log);

/* ejector_free drops it. NULL is fine. */
void ejector_free(struct ejector *e);

/* ejector_adopt looks after the servers of `s` from now on, of which nothing is kept. What is known
 * of those that stay is still known. False: out of memory, all is as before. */
bool ejector_adopt(struct ejector *e, const struct snapshot *s);
