/* traffic: what a worker lends to the code that moves bytes: its loop, the snapshot in use, the
 * page it counts on, its limits and its journal. One per worker, on its thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "proxy/net/limits.h"
#include "proxy/net/loop.h"
#include "proxy/net/site.h"
#include "proxy/observe/journal.h"

struct relay;
struct listener;
TAILQ_HEAD(relay_list, relay);
TAILQ_HEAD(listener_list, listener);

struct traffic {
	struct loop *loop;
	struct snapshot *now; /* in use for what begins; NULL before the first */
	struct board_worker *page;
	struct limits limits;
	struct journal journal;
	struct relay_list relays;
	size_t num_relays;
	struct listener_list listeners;
	size_t num_listeners;
	bool accept_paused;
	struct timer accept_timer; /* looks again while accepting is paused */
	/* Called when a relay has ended, at most once each. */
	void (*relay_ended)(void *arg);
	void *relay_ended_arg;
};
