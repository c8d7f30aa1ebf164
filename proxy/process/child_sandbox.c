#include <stdio.h>

#include "proxy/process/sandbox.h"
#include "proxy/process/supervision.h"

/* Without what is required nothing is to serve. */
static void refuse_to_start(struct child *c, const char *lacking)
{
	struct supervisor *s = c->supervisor;
	char title[32];

	if (s->served) { /* the machine has changed under us: the others go on */
		child_kill(c);
		return;
	}
	(void)fprintf(stderr,
		      "sallyport: cannot start: the %s cannot have what \"sandbox\": \"required\" "
		      "asks for: %s\n",
		      child_title(c, title), lacking);
	supervisor_fail(s, 3);
}

void child_protected(struct child *c, uint32_t parts)
{
	struct supervisor *s = c->supervisor;
	bool is_off = s->now.plan->sandbox == CONF_SANDBOX_OFF;
	uint32_t wanted = is_off ? SANDBOX_PRIVILEGES : sandbox_possible();
	char there[64], lacking[64], title[32];
	uint8_t kind = (uint8_t)(1u << c->kind);

	c->protection = parts & SANDBOX_ALL;
	child_note(c);
	sandbox_say(c->protection, there, sizeof(there));
	sandbox_say(wanted & ~c->protection, lacking, sizeof(lacking));
	if ((s->said & kind) == 0) {
		s->said |= kind;
		logs_say(&s->logs, CONF_LOG_INFO, "%s: confined by %s", child_title(c, title),
			 there);
		if (lacking[0] != '\0')
			logs_say(&s->logs, CONF_LOG_WARNING, "%s: this kernel gives no %s",
				 child_title(c, title), lacking);
	}
	if (lacking[0] != '\0' && s->now.plan->sandbox == CONF_SANDBOX_REQUIRED)
		refuse_to_start(c, lacking);
}

void child_violated(struct child *c, uint32_t call)
{
	char title[32], name[64];

	sandbox_call_name(call, name, sizeof(name));
	logs_say(&c->supervisor->logs, CONF_LOG_ERROR,
		 "%s (process %ld) is ended: it called %s, which its sandbox forbids",
		 child_title(c, title), (long)c->pid, name);
	child_kill(c); /* one that only says so ends as well, and says it once */
}
