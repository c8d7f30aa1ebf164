/* exchange: one request and its response. Joins a server's stream (the client's request) with a
 * client's stream (to a backend), or answers by itself; passes bytes on as the other side takes
 * them; counts and records itself at its end. Cannot tell which version of HTTP either side
 * speaks. One thread. */
#pragma once

#include <stdbool.h>
#include <sys/queue.h>

#include "proxy/http/head.h"
#include "proxy/http/stream.h"
#include "proxy/net/client.h"
#include "proxy/net/link.h"
#include "proxy/net/traffic.h"
#include "proxy/observe/cause.h"

struct exchange;
LIST_HEAD(exchange_list, exchange); /* those of one connection */

/* Where a request came from. What is pointed to outlives the exchange. */
struct exchange_place {
	struct traffic *traffic;
	const struct client *client;
	const struct link *link;    /* the client's, for what a log says of it */
	struct exchange_list *list; /* it is in there until it has freed itself, */
	void (*over)(void *owner);  /* which this tells; may come from within any call */
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

/* exchanges_abandon ends all of `list` at once, so that no peer takes what it got for complete. */
void exchanges_abandon(struct exchange_list *list, enum cause why);
