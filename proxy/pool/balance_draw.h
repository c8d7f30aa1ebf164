/* balance_draw: what policies share: random numbers, a draw by weight, and the way out where a few
 * draws found nothing. Only balance_*.c include it. */
#pragma once

#include "proxy/pool/balance.h"

enum { BALANCE_DRAWS = 8 }; /* before all servers are looked at */

/* A generator of random numbers: who could guess them would gain nothing. */
struct balance_chance {
	uint64_t state; /* never 0 */
};

/* balance_chance_init seeds it. */
void balance_chance_init(struct balance_chance *c, unsigned start);

/* balance_chance_below returns a number below `n`, which is 1 or more. */
uint32_t balance_chance_below(struct balance_chance *c, uint32_t n);

/* balance_usable asks the view whether `i` may be chosen. */
bool balance_usable(const struct balance_view *view, size_t i);

/* balance_share asks it for the share of `i`, BALANCE_WHOLE at most. */
unsigned balance_share(const struct balance_view *view, size_t i);

/* balance_load asks it for the load of `i`. */
uint64_t balance_load(const struct balance_view *view, size_t i);

/* Servers to draw from, each as likely as its weight says (Walker's alias method). */
struct balance_urn {
	struct balance_chance chance;
	uint32_t num;
	uint32_t total; /* of the weights */
	struct balance_slip {
		uint32_t weight;
		uint32_t cut; /* below it, of `total`: this one; else `other` */
		uint32_t other;
	} slips[];
};

/* balance_urn_new makes one. NULL: out of memory. Free it with free(). */
struct balance_urn *balance_urn_new(const struct balance_server *servers, size_t num,
				    unsigned start);

/* balance_urn_make and balance_urn_drop are `make` and `drop` of a policy that keeps an urn and
 * nothing else: its balance is one. */
struct balance *balance_urn_make(const struct balance_server *servers, size_t num, unsigned start);
void balance_urn_drop(struct balance *b);

/* balance_urn_of returns the urn that such a balance is. */
struct balance_urn *balance_urn_of(struct balance *b);

/* balance_urn_draw returns a usable server, each as likely as its weight and its share say;
 * BALANCE_NONE where there is none. */
size_t balance_urn_draw(struct balance_urn *u, const struct balance_view *view);
