#include "proxy/net/sni.h"

#include <string.h>

/* How well `host` fits: its length, one more where it is the name itself; 0: not at all. */
static size_t fit(const char *host, struct span name)
{
	size_t n = strlen(host);

	if (host[0] != '*')
		return span_eq(span_of(host, n), name) ? n + 1 : 0;
	/* "*.a" takes what ends in ".a", and has something before that. */
	return name.n > n - 1 && memcmp(name.p + name.n - (n - 1), host + 1, n - 1) == 0 ? n - 1
											 : 0;
}

const struct conf_sni_route *sni_find(const struct conf_listener *l, struct span name)
{
	const struct conf_sni_route *best = NULL, *any = NULL;
	size_t most = 0;

	for (size_t i = 0; i < l->num_sni_routes; i++) {
		const struct conf_sni_route *r = &l->sni_routes[i];

		if (r->num_hosts == 0 && any == NULL)
			any = r;
		for (size_t k = 0; k < r->num_hosts; k++) {
			size_t n = fit(r->hosts[k], name);

			if (n > most) {
				most = n;
				best = r;
			}
		}
	}
	return best != NULL ? best : any;
}

bool sni_must_look(const struct conf_listener *l)
{
	for (size_t i = 0; i < l->num_sni_routes; i++) {
		if (l->sni_routes[i].passthrough)
			return true;
	}
	return false;
}
