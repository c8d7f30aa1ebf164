/* balance_round_robin: servers in turn, each as often as its weight says, evenly mixed (smooth
 * weighted round robin). One per pool and worker. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct balance_round_robin;

/* balance_round_robin_new takes `num` weights (1 or more each); `start` sets where it begins, so
 * that workers do not go in step. NULL: out of memory. */
struct balance_round_robin *balance_round_robin_new(const unsigned *weights, size_t num,
						    unsigned start);

/* balance_round_robin_free drops it. NULL is fine. */
void balance_round_robin_free(struct balance_round_robin *b);

/* balance_round_robin_pick returns the next server's number. */
size_t balance_round_robin_pick(struct balance_round_robin *b);
