/* lookup: all addresses of one server's name: of a host both families, of a service those of all
 * that provide it. What hosts says goes before name servers. One thread, on the resolver's loop. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proxy/process/board_name.h"
#include "proxy/process/resolver.h"

struct event;
struct lookup_part;

/* Lives in its owner's object, zero at first. */
struct lookup {
	void (*done)(struct lookup *l); /* from the loop; may begin again */
	/* What came of it, until it begins again. */
	enum resolver_verdict verdict;
	const char *words;	    /* constant; where nothing was found */
	struct named_address *list; /* sorted */
	uint32_t num;
	uint32_t ttl_s;
	bool lacks_v4, lacks_v6; /* of these not all, or none: a name server failed */
	/* private */
	struct resolver *resolver;
	struct event *soon;
	const struct plan_server *server;
	struct resolver_question service;
	struct lookup_part *parts;
	unsigned num_parts, open;
	bool no_name;
};

/* lookup_begin asks for the name of `server`, which must stay until it is done. False: out of
 * memory. */
bool lookup_begin(struct lookup *l, struct resolver *r, struct event_base *base,
		  const struct plan_server *server);

/* lookup_is_on tells whether it has begun and is not done. */
bool lookup_is_on(const struct lookup *l);

/* lookup_fini gives it up, and frees what came of it. */
void lookup_fini(struct lookup *l);
