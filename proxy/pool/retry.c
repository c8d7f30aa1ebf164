#include "proxy/pool/retry.h"

enum { ONE = 100, BURST = RETRY_BURST * ONE, LONG_AGO = 62 };

#define SECOND_NS INT64_C(1000000000)

void retry_budget_init(struct retry_budget *b, int64_t now_ns)
{
	*b = (struct retry_budget){ .hundredths = BURST, .second_ns = now_ns };
}

static void pass_time(struct retry_budget *b, int64_t now_ns)
{
	int64_t seconds = (now_ns - b->second_ns) / SECOND_NS;

	if (seconds <= 0)
		return;
	b->second_ns += seconds * SECOND_NS;
	if (seconds > LONG_AGO)
		seconds = LONG_AGO;
	if (b->hundredths > BURST) {
		b->hundredths = BURST + ((b->hundredths - BURST) >> seconds);
		return;
	}
	b->hundredths += seconds * RETRY_PER_SECOND * ONE;
	if (b->hundredths > BURST)
		b->hundredths = BURST;
}

void retry_budget_earn(struct retry_budget *b, unsigned percent, int64_t now_ns)
{
	pass_time(b, now_ns);
	b->hundredths += percent;
}

bool retry_budget_spend(struct retry_budget *b, int64_t now_ns)
{
	pass_time(b, now_ns);
	if (b->hundredths < ONE)
		return false;
	b->hundredths -= ONE;
	return true;
}
