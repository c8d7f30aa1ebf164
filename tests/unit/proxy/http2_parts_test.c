/* The small parts of HTTP/2: budgets and priorities. */
#include <criterion/criterion.h>

#include "proxy/http/http2_budget.h"
#include "proxy/http/http2_priority.h"

#define SECOND INT64_C(1000000000)

Test(http2_budget, is_spent_and_fills_up_with_time)
{
	struct http2_budget b;
	int64_t now = 5 * SECOND;

	http2_budget_init(&b, 10, 2, now);
	for (int i = 0; i < 10; i++)
		cr_assert(http2_budget_spend(&b, 1, now));
	cr_assert(!http2_budget_spend(&b, 1, now));
	cr_assert(!http2_budget_spend(&b, 1, now + SECOND / 2 - 1));
	cr_assert(http2_budget_spend(&b, 1, now + SECOND / 2));
	cr_assert(!http2_budget_spend(&b, 1, now + SECOND / 2));
	cr_assert(!http2_budget_spend(&b, 3, now + SECOND + SECOND / 2));
	cr_assert(http2_budget_spend(&b, 2, now + SECOND + SECOND / 2));
	/* Never more than it began with. */
	cr_assert(!http2_budget_spend(&b, 11, now + 1000 * SECOND));
	cr_assert(http2_budget_spend(&b, 10, now + 1000 * SECOND));
}

Test(http2_budget, time_that_goes_back_gives_nothing)
{
	struct http2_budget b;

	http2_budget_init(&b, 1, 1, 10 * SECOND);
	cr_assert(http2_budget_spend(&b, 1, 10 * SECOND));
	cr_assert(!http2_budget_spend(&b, 1, 5 * SECOND));
	cr_assert(!http2_budget_spend(&b, 1, 10 * SECOND));
	cr_assert(http2_budget_spend(&b, 1, 11 * SECOND));
}

struct given {
	const char *value;
	uint32_t urgency;
	int incremental;
};
static const struct given givens[] = {
	{ "", 3, 0 },
	{ "u=0", 0, 0 },
	{ "u=7", 7, 0 },
	{ "i", 3, 1 },
	{ "u=1, i", 1, 1 },
	{ "i,u=2", 2, 1 },
	{ "i=?1", 3, 1 },
	{ "i=?0", 3, 0 },
	{ "i, i=?0", 3, 0 },
	{ "u=5;x=1,i;y", 5, 1 },
	{ "u=4, u=6", 6, 0 },
	{ "a=b, u=2", 2, 0 },
	/* what is not understood */
	{ "u=8", 3, 0 },
	{ "u=-1", 3, 0 },
	{ "u=", 3, 0 },
	{ "u", 3, 0 },
	{ "u=10", 3, 0 },
	{ "i=1", 3, 0 },
	{ "U=1", 3, 0 },
	{ ";;,,", 3, 0 },
	{ "u=\"1\"", 3, 0 },
};

Test(http2_priority, urgency_and_incremental)
{
	for (size_t i = 0; i < sizeof(givens) / sizeof(givens[0]); i++) {
		nghttp2_extpri p = http2_priority_parse(span_str(givens[i].value));

		cr_expect_eq(p.urgency, givens[i].urgency, "%s", givens[i].value);
		cr_expect_eq(p.inc, givens[i].incremental, "%s", givens[i].value);
	}
}
