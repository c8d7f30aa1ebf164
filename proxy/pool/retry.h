/* retry: how many requests may be sent again, so that trouble with servers does not become a storm
 * of requests: a share of those that came of late, and a few more. Pure; the caller brings the
 * clock. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Retries that may come at a time after quiet, and how many a second there are besides the share,
 * for pools with little traffic. */
enum { RETRY_BURST = 32, RETRY_PER_SECOND = 1 };

struct retry_budget {
	int64_t hundredths; /* of a retry */
	int64_t second_ns;  /* when the second began that it is in */
};

/* retry_budget_init begins with a burst. `now_ns` is of any steady clock, here and below. */
void retry_budget_init(struct retry_budget *b, int64_t now_ns);

/* retry_budget_earn notes a request that has come, of which `percent` hundredths may be sent again.
 * What is above a burst and not used is halved each second: a server that goes takes what is on its
 * way to it along at once, which shall not find the budget of one moment only. */
void retry_budget_earn(struct retry_budget *b, unsigned percent, int64_t now_ns);

/* retry_budget_spend takes one retry. False: there is none left. */
bool retry_budget_spend(struct retry_budget *b, int64_t now_ns);
