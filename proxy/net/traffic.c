#include "proxy/net/traffic.h"

#include <string.h>
#include <time.h>

#include "proxy/http/forward.h"

/* xoroshiro128+ */
static uint64_t draw(uint64_t s[2])
{
	uint64_t a = s[0], b = s[1], sum = a + b;

	b ^= a;
	s[0] = (a << 24 | a >> 40) ^ b ^ b << 16;
	s[1] = b << 37 | b >> 27;
	return sum;
}

void traffic_random(struct traffic *t, uint8_t bytes[16])
{
	uint64_t drawn[2] = { draw(t->random), draw(t->random) };

	memcpy(bytes, drawn, sizeof(drawn));
}

struct span traffic_date(struct traffic *t)
{
	struct timespec now;

	/* The coarse clock is a memory access, and may be a tick behind. */
	(void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (now.tv_sec != t->date_s) {
		t->date_s = now.tv_sec;
		http_date(now.tv_sec, t->date);
	}
	return span_of(t->date, sizeof(t->date) - 1);
}
