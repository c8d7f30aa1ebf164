/* exchange: one request and its response. Joins a server's stream (the client's request) with a
 * client's stream (to a backend), or answers by itself; passes bytes on as the other side takes
 * them; counts and records itself at its end. Cannot tell which version of HTTP either side
 * speaks. One thread. */
#pragma once

#include <stdbool.h>

#include "proxy/http/head.h"
#include "proxy/http/stream.h"
#include "proxy/net/client.h"
#include "proxy/net/link.h"
#include "proxy/net/traffic.h"
#include "proxy/observe/cause.h"

struct exchange;

/* Where a request came from. What is pointed to outlives the exchange. */
struct exchange_place {
	struct traffic *traffic;
	const struct client *client;
	const struct link *link; /* the client's, for what a log says of it */
	/* The exchange is over and has freed itself; may come from within exchange_begin and
	 * exchange_refuse. */
	void (*over)(void *owner);
	void *owner;
};

/* exchange_new makes one for the request `h`, which becomes its own (NULL: nothing is known of
 * it), on `down`, which it attaches to. One of the two functions below must be called next. NULL:
 * out of memory, and nothing was taken. */
struct exchange *exchange_new(const struct exchange_place *at, struct stream *down, struct head *h);

/* exchange_begin routes the request and answers it or passes it on. `end`: it has no body. */
void exchange_begin(struct exchange *x, bool end);

/* exchange_refuse answers with `status`, because of `why`. */
void exchange_refuse(struct exchange *x, unsigned status, enum cause why, const char *detail);

/* exchange_abandon ends it at once, so that neither peer takes what it got for complete. `over` is
 * not called. */
void exchange_abandon(struct exchange *x, enum cause why);
