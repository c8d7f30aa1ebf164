/* traffic: what a worker lends to the code that moves bytes: its loop, the snapshot in use, the
 * page it counts on, its limits and its journal. One per worker, on its thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "proxy/net/client.h"
#include "proxy/net/limits.h"
#include "proxy/net/loop.h"
#include "proxy/net/site.h"
#include "proxy/observe/journal.h"

struct listener;
struct pending;
struct shun;
struct upstreams;
TAILQ_HEAD(listener_list, listener);

struct traffic {
	struct loop *loop;
	struct snapshot *now; /* in use for what begins; NULL before the first */
	struct board_worker *page;
	struct limits limits;
	struct journal journal;
	struct client_list clients;
	size_t num_clients;
	struct listener_list listeners;
	size_t num_listeners;
	uint64_t random[2]; /* traffic_random's, seeded by its owner; not both 0 */
	int64_t date_s;	    /* traffic_date's */
	char date[30];
	struct upstreams *upstreams; /* connections to servers, as HTTP keeps them */
	struct pending *pending;     /* who waits for one */
	struct shun *shun;	     /* addresses that others go before; or NULL */
	bool accept_paused;
	struct timer accept_timer; /* looks again while accepting is paused */
	/* Called when a client connection has ended, once each. */
	void (*client_ended)(void *arg);
	void *client_ended_arg;
};

/* traffic_random fills `bytes` with what nobody will meet twice; no secret. */
void traffic_random(struct traffic *t, uint8_t bytes[16]);

/* traffic_date returns the time for a Date field (RFC 9110 5.6.7), made once a second. */
struct span traffic_date(struct traffic *t);
