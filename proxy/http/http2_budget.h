/* http2_budget: how much of what costs us more than the peer may be asked for: a store that is
 * spent, and fills up again with time. A peer that means well never comes to its end. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct http2_budget {
	int64_t per_second;
	int64_t max_ns; /* what is there when full, in the time that it takes to fill */
	int64_t left_ns;
	int64_t at_ns; /* when `left_ns` was true */
};

/* http2_budget_init makes a full one of `max` that gets `per_second`. */
void http2_budget_init(struct http2_budget *b, int64_t max, int64_t per_second, int64_t now_ns);

/* http2_budget_spend takes `n`. False: there is not as much left; nothing was taken. */
bool http2_budget_spend(struct http2_budget *b, int64_t n, int64_t now_ns);
