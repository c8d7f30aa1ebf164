/* sni: which of a listener's `sni_routes` takes a name. Pure. */
#pragma once

#include "conf/conf.h"
#include "conf/span.h"

/* sni_find returns the route of `l` for `name` (lower case; empty: the client named none): one with
 * exactly that host, else the longest wildcard, else one for any. NULL: there is none. */
const struct conf_sni_route *sni_find(const struct conf_listener *l, struct span name);

/* sni_must_look tells whether the name has to be known before TLS can begin: some routes leave it
 * to the servers. */
bool sni_must_look(const struct conf_listener *l);
