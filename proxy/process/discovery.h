/* discovery: keeps the addresses of servers' names up to date: asks again when their time to live
 * is over, writes what has changed on the board, and says it in the log. Where name servers fail,
 * or say that there is nothing, the last good answer stays. In the steward. One thread, on a
 * libevent loop. */
#pragma once

#include <stdbool.h>

#include "proxy/observe/logwriter.h"
#include "proxy/process/board.h"
#include "proxy/process/resolver.h"
#include "proxy/process/snapshot.h"

struct discovery;
struct event_base;

/* discovery_new makes one that looks after no name. Borrows all. NULL: out of memory. */
struct discovery *discovery_new(struct event_base *base, const struct board *board,
				struct logwriter *log, struct resolver *resolver);

/* discovery_free drops it. NULL is fine. */
void discovery_free(struct discovery *d);

/* discovery_adopt looks after the names of `s` from now on, of which nothing is kept; what is known
 * of those that stay is still known. False: out of memory, all is as before. */
bool discovery_adopt(struct discovery *d, const struct snapshot *s);

/* discovery_again asks for all names anew: other name servers are there. */
void discovery_again(struct discovery *d);
