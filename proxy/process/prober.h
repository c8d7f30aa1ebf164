/* prober: asks the servers of pools with `health` whether they are well, again and again, and
 * writes what it finds on the board. In the steward. Says changes in the log. One thread, on a
 * loop. */
#pragma once

#include <stdbool.h>

#include "proxy/net/loop.h"
#include "proxy/observe/logwriter.h"
#include "proxy/process/board.h"
#include "proxy/process/snapshot.h"

struct prober;

/* prober_new makes one that looks after no server. Borrows all. NULL: out of memory. */
struct prober *prober_new(struct loop *loop, const struct board *board, struct logwriter *log);

/* prober_free drops it. NULL is fine. */
void prober_free(struct prober *p);

/* prober_adopt looks after the servers of `s` from now on, which it keeps a reference to. What is
 * known of those that stay is still known; so is what the board says of them, where the one before
 * us has died. False: out of memory, all is as before. */
bool prober_adopt(struct prober *p, struct snapshot *s);
