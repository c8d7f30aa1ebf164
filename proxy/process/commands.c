/* What comes over the admin socket. The steward, which hears it, has looked at who asks. */

#include <stdio.h>

#include "proxy/observe/admin.h"
#include "proxy/process/supervision.h"

void commands_outcome(struct supervisor *s, uint32_t ticket, bool done, const char *text)
{
	struct channel_message m = { .type = CHANNEL_OUTCOME, .number = ticket, .flags = done };

	if (ticket == 0)
		return;
	(void)snprintf(m.text, sizeof(m.text), "%s", text);
	child_send(&s->steward, &m, NULL, 0);
}

bool commands_take(struct supervisor *s, const struct channel_message *m)
{
	if (m->number == 0)
		return false;
	switch (m->flags) {
	case ADMIN_RELOAD:
		logs_say(&s->logs, CONF_LOG_INFO, "a reload is asked for over the admin socket");
		reload_command(s, m->number);
		return true;
	case ADMIN_DRAIN:
		logs_say(&s->logs, CONF_LOG_INFO, "a drain is asked for over the admin socket");
		commands_outcome(s, m->number, true, "draining");
		supervisor_drain(s);
		return true;
	default:
		return false;
	}
}
