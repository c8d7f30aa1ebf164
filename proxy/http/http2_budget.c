#include "proxy/http/http2_budget.h"

#define SECOND INT64_C(1000000000)

void http2_budget_init(struct http2_budget *b, int64_t max, int64_t per_second, int64_t now_ns)
{
	int64_t full = max * SECOND / per_second;

	*b = (struct http2_budget){
		.per_second = per_second, .max_ns = full, .left_ns = full, .at_ns = now_ns
	};
}

bool http2_budget_spend(struct http2_budget *b, int64_t n, int64_t now_ns)
{
	int64_t price = n * SECOND / b->per_second;

	if (now_ns > b->at_ns) {
		int64_t gained = now_ns - b->at_ns, room = b->max_ns - b->left_ns;

		b->left_ns += gained < room ? gained : room;
		b->at_ns = now_ns;
	}
	if (price > b->left_ns)
		return false;
	b->left_ns -= price;
	return true;
}
