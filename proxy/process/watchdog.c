/* Who turns its loop reads its channel. One that does not for a while is replaced; a worker is
 * asked before where it stands. */

#include <signal.h>

#include "proxy/process/stack.h"
#include "proxy/process/supervision.h"

#define WATCHDOG_REPORT_NS (5000 * SUPERVISION_MS)
#define WATCHDOG_REPLACE_NS (30000 * SUPERVISION_MS)
#define WATCHDOG_REPLACE_KEEPER_NS (5000 * SUPERVISION_MS) /* handshakes wait, and have 10 s */

static void watchdog_report(struct child *c, long long s)
{
	char title[32];

	logs_say(&c->supervisor->logs, CONF_LOG_ERROR,
		 "%s (process %ld) has not turned its loop for %lld s", child_title(c, title),
		 (long)c->pid, s);
	c->reported = true;
	c->stack_asked = c->kind == CHILD_WORKER && kill(c->pid, STACK_SIGNAL) == 0;
}

void watchdog_look(struct child *c)
{
	int64_t most_ns =
		c->kind == CHILD_KEEPER ? WATCHDOG_REPLACE_KEEPER_NS : WATCHDOG_REPLACE_NS;
	int64_t now = supervision_now(), for_ns;
	long long s;
	char title[32];

	if (!c->stuck) {
		if (c->reported)
			logs_say(&c->supervisor->logs, CONF_LOG_INFO, "%s turns its loop again",
				 child_title(c, title));
		c->stuck_since_ns = 0;
		c->reported = false;
		return;
	}
	/* The beat that it has not read was sent one beat ago. */
	if (c->stuck_since_ns == 0)
		c->stuck_since_ns = now - SUPERVISION_BEAT_NS;
	for_ns = now - c->stuck_since_ns;
	s = for_ns / SUPERVISION_MS / 1000;
	if (for_ns >= most_ns) {
		logs_say(&c->supervisor->logs, CONF_LOG_ERROR,
			 "%s is killed: it has not turned its loop for %lld s",
			 child_title(c, title), s);
		child_kill(c);
	} else if (for_ns >= WATCHDOG_REPORT_NS && !c->reported) {
		watchdog_report(c, s);
	}
}

void watchdog_stack(struct child *c, const char *text)
{
	char title[32];

	/* One answer to one question: a captured process shall not fill the log. */
	if (!c->stack_asked)
		return;
	c->stack_asked = false;
	logs_say(&c->supervisor->logs, CONF_LOG_ERROR, "%s stands at %s", child_title(c, title),
		 text);
}
