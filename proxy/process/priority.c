#include "proxy/process/priority.h"

#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATIENCE = 5, MOST_NICE = 19 };

/* From Linux 6.12 on it is heeded: whoever wants less at a time has it sooner. */
#define PROMPT_SLICE_NS 100000

/* As the kernel has it (sched_setattr(2)); libc of Debian 12 does not. */
struct attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

void priority_prompt(void)
{
	struct attributes a = { .size = sizeof(a),
				.policy = SCHED_OTHER,
				.nice = getpriority(PRIO_PROCESS, 0),
				.runtime = PROMPT_SLICE_NS };

	(void)syscall(SYS_sched_setattr, 0, &a, 0);
}

void priority_patient(void)
{
	struct sched_param none = { .sched_priority = 0 };
	int nice = getpriority(PRIO_PROCESS, 0) + PATIENCE; /* never less: that is root's */

	(void)sched_setscheduler(0, SCHED_BATCH, &none);
	(void)setpriority(PRIO_PROCESS, 0, nice < MOST_NICE ? nice : MOST_NICE);
}
