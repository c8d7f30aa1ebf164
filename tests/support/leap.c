#include "tests/support/leap.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SECOND_NS = 1000000000 };

static int64_t ahead_ns;

void leap(int64_t ns)
{
	ahead_ns += ns;
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	int64_t ns;

	if (syscall(SYS_clock_gettime, clock, ts) != 0)
		return -1;
	if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || ahead_ns == 0)
		return 0;
	ns = ts->tv_nsec + ahead_ns;
	ts->tv_sec += (time_t)(ns / SECOND_NS);
	ts->tv_nsec = (long)(ns % SECOND_NS);
	return 0;
}
