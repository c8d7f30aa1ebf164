/* route: which route of a listener a request takes. An index over the routes, made once for a
 * snapshot; choosing costs a pass over the host, and one over the path as far as the longest path
 * configured, however many routes there are and whatever the client sends. Pure; any thread reads.
 *
 * Order: the exact host, then wildcards (the longest first, of any depth, never the bare domain),
 * then any host. Within a host: the exact path, then prefixes, the longest first, none being the
 * shortest; then the order of the configuration. A route whose other conditions do not hold is
 * passed over, and the search goes on, also to the next host. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "conf/span.h"
#include "proxy/http/head.h"

struct routes;

/* What is asked about a request. */
struct route_query {
	struct span host;	 /* as uri_host gives it; empty: only routes for any host */
	struct span path;	 /* as uri_normalise gives it, without the query */
	struct span method_name; /* case-sensitive */
	const struct head *head;
	uint8_t family; /* of the client: AF_INET, AF_INET6; any other lies in no network */
	uint8_t address[16];
};

/* routes_new makes the index of `num` routes, which are borrowed and outlive it. Hosts and paths
 * are brought into the form of uri.h first, where they have one. NULL: out of memory. */
struct routes *routes_new(const struct conf_route *list, size_t num);

/* routes_free drops the index. NULL is fine. */
void routes_free(struct routes *r);

/* routes_find returns the route for a request, one of the list that routes_new got, or NULL: there
 * is none. A prefix matches whole segments: "/api" is the beginning of "/api" and "/api/x", not of
 * "/apix"; "/api/" is that of all that begins with these bytes. */
const struct conf_route *routes_find(const struct routes *r, const struct route_query *q);
