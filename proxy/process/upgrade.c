/* SIGUSR2: a new binary takes over. It inherits what handover.h says and serves beside us; once it
 * says that it does, we drain. Where it fails, nothing has changed. */

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/process/handover.h"
#include "proxy/process/notify.h"
#include "proxy/process/spawn.h"
#include "proxy/process/supervision.h"

#define UPGRADE_NS (90000 * SUPERVISION_MS) /* a load, and workers that adopt it */

static struct handover_source upgrade_source(const struct supervisor *s, int ready_fd)
{
	return (struct handover_source){ .sockets = &s->sockets,
					 .admin = &s->admin,
					 .admin_text = s->now.plan->admin_text,
					 .tickets = &s->tickets,
					 .ready_fd = ready_fd };
}

static void upgrade_forget(struct upgrade *u)
{
	if (u->input != NULL)
		event_free(u->input);
	u->input = NULL;
	if (u->fd >= 0)
		(void)close(u->fd);
	u->fd = -1;
	(void)evtimer_del(u->patience);
}

/* ---- the outcome */

static void upgrade_done(struct supervisor *s)
{
	struct channel_message close_admin = { .type = CHANNEL_ADMIN };
	struct upgrade *u = &s->upgrade;
	char main_pid[64];

	upgrade_forget(u);
	u->is_done = true;
	logs_say(&s->logs, CONF_LOG_INFO, "upgraded: process %ld serves in our place",
		 (long)u->pid);
	(void)snprintf(main_pid, sizeof(main_pid), "MAINPID=%ld", (long)u->pid);
	notify_send(main_pid);
	/* Paths are the other's from now on. */
	sockets_hand_over(&s->sockets);
	endpoint_hand_over(&s->admin);
	child_send(&s->steward, &close_admin, NULL, 0);
	supervisor_drain(s);
}

static void upgrade_failed(struct supervisor *s, const char *why)
{
	upgrade_forget(&s->upgrade);
	logs_say(&s->logs, CONF_LOG_ERROR,
		 "the upgrade failed: process %ld %s; this one goes on serving",
		 (long)s->upgrade.pid, why);
}

static void upgrade_input(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;
	char byte;
	ssize_t n;

	(void)what;
	n = read(fd, &byte, 1);
	if (n == 1) {
		upgrade_done(s);
	} else if (n == 0) {
		/* It ends, and its end tells why; or it lives on without a way to say that it
		 * serves. */
		(void)event_del(s->upgrade.input);
		supervision_after(s->upgrade.patience, 2000 * SUPERVISION_MS);
	}
}

static void upgrade_impatient(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)fd;
	(void)what;
	upgrade_failed(s, "did not say that it serves, and is killed");
	(void)kill(s->upgrade.pid, SIGKILL);
}

void upgrade_ended(struct supervisor *s, int status)
{
	struct upgrade *u = &s->upgrade;
	char how[64];

	spawn_say_end(status, how, sizeof(how));
	if (u->fd >= 0)
		upgrade_failed(s, how);
	u->pid = 0;
	reload_resume(s);
}

/* ---- the start */

/* In the new process. Signals stay blocked: until the binary is the other one, they would be told
 * to us. */
static _Noreturn void upgrade_become(const struct supervisor *s,
				     const struct handover_source *source, int memory)
{
	handover_keep(source, memory);
	(void)execvp(s->options->program, (char *const *)s->options->argv);
	_exit(SPAWN_CANNOT_EXECUTE);
}

static bool upgrade_spawn(struct supervisor *s, const struct handover_source *source, int memory)
{
	sigset_t all, before;
	char number[16];

	(void)snprintf(number, sizeof(number), "%d", memory);
	if (setenv(HANDOVER_VARIABLE, number, 1) != 0)
		return false;
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	s->upgrade.pid = fork();
	if (s->upgrade.pid == 0)
		upgrade_become(s, source, memory);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	(void)unsetenv(HANDOVER_VARIABLE);
	if (s->upgrade.pid > 0)
		return true;
	s->upgrade.pid = 0;
	return false;
}

static bool upgrade_start(struct supervisor *s)
{
	struct handover_source source;
	int ends[2], memory = -1;
	bool ok = false;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return false;
	source = upgrade_source(s, ends[1]);
	s->upgrade.fd = ends[0];
	s->upgrade.input = event_new(s->base, ends[0], EV_READ | EV_PERSIST, upgrade_input, s);
	if (s->upgrade.input != NULL && event_add(s->upgrade.input, NULL) == 0 &&
	    (memory = handover_write(&source)) >= 0)
		ok = upgrade_spawn(s, &source, memory);
	(void)close(ends[1]);
	if (memory >= 0)
		(void)close(memory);
	if (!ok)
		upgrade_forget(&s->upgrade);
	return ok;
}

void upgrade_begin(struct supervisor *s)
{
	const char *refused = NULL;

	if (s->upgrade.pid != 0)
		refused = "one is on its way";
	else if (s->options->program == NULL)
		refused = "the demo is not made for it";
	else if (getpid() == 1)
		refused = "as process 1 of a container we cannot be replaced: start a container "
			  "with the new version";
	else if (s->reload.state != RELOAD_IDLE || !s->served || s->drain_waits)
		refused = "a reload or the end is on its way; try again";
	if (refused != NULL) {
		logs_say(&s->logs, CONF_LOG_ERROR, "no upgrade: %s", refused);
		return;
	}
	if (!upgrade_start(s)) {
		logs_say(&s->logs, CONF_LOG_ERROR, "no upgrade: %s", strerror(errno));
		return;
	}
	logs_say(&s->logs, CONF_LOG_INFO, "upgrading: %s runs as process %ld", s->options->program,
		 (long)s->upgrade.pid);
	supervision_after(s->upgrade.patience, UPGRADE_NS);
}

void upgrade_stop(struct supervisor *s)
{
	if (s->upgrade.pid == 0 || s->upgrade.is_done)
		return;
	upgrade_failed(s, "is killed: we are to end");
	(void)kill(s->upgrade.pid, SIGKILL);
}

bool upgrade_init(struct supervisor *s)
{
	s->upgrade = (struct upgrade){ .fd = -1 };
	s->upgrade.patience = evtimer_new(s->base, upgrade_impatient, s);
	return s->upgrade.patience != NULL;
}

void upgrade_fini(struct supervisor *s)
{
	if (s->upgrade.patience == NULL)
		return;
	upgrade_stop(s);
	upgrade_forget(&s->upgrade);
	event_free(s->upgrade.patience);
	s->upgrade.patience = NULL;
}
