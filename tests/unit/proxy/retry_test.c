/* The budget of requests that are sent again. */
#include "proxy/pool/retry.h"

#include <criterion/criterion.h>

#define SECOND INT64_C(1000000000)

static unsigned spend_all(struct retry_budget *b, int64_t now_ns)
{
	unsigned n = 0;

	while (n < 10000 && retry_budget_spend(b, now_ns))
		n++;
	return n;
}

Test(retry, a_burst_and_then_no_more)
{
	struct retry_budget b;

	retry_budget_init(&b, 5 * SECOND);
	cr_assert_eq(spend_all(&b, 5 * SECOND), RETRY_BURST);
	cr_assert_not(retry_budget_spend(&b, 6 * SECOND - 1));
}

Test(retry, a_share_of_the_traffic)
{
	struct retry_budget b;
	unsigned again = 0;

	retry_budget_init(&b, 0);
	(void)spend_all(&b, 0);
	for (int i = 0; i < 1000; i++) {
		retry_budget_earn(&b, 20, 0);
		again += retry_budget_spend(&b, 0);
	}
	cr_assert_eq(again, 200);
}

Test(retry, what_is_saved_up_is_of_the_last_seconds)
{
	struct retry_budget b;
	unsigned n;

	retry_budget_init(&b, 0);
	for (int64_t i = 0; i < 100000; i++) /* 1,000 a second for long */
		retry_budget_earn(&b, 20, i * SECOND / 1000);
	n = spend_all(&b, 100 * SECOND);
	cr_assert(n >= 190 + RETRY_BURST && n <= 400 + RETRY_BURST, "%u", n);
	for (int64_t i = 0; i < 1000; i++)
		retry_budget_earn(&b, 100, 100 * SECOND);
	n = spend_all(&b, 110 * SECOND);
	cr_assert(n >= RETRY_BURST && n <= RETRY_BURST + 1, "%u", n);
	cr_assert_eq(spend_all(&b, INT64_MAX / 2), RETRY_BURST, "nor is time saved up");
}

Test(retry, one_a_second_where_there_is_little_traffic)
{
	struct retry_budget b;
	unsigned again = 0;

	retry_budget_init(&b, 0);
	(void)spend_all(&b, 0);
	for (int64_t now = 0; now <= 20 * SECOND; now += SECOND / 10) {
		retry_budget_earn(&b, 0, now);
		again += retry_budget_spend(&b, now);
	}
	cr_assert_eq(again, 20 * RETRY_PER_SECOND);
}
