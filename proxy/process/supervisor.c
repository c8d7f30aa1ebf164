#include "proxy/process/supervisor.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proxy/process/notify.h"
#include "proxy/process/privileges.h"
#include "proxy/process/spawn.h"
#include "proxy/process/supervision.h"

#define ROTATE_NS (INT64_C(12) * 3600 * 1000 * SUPERVISION_MS)
#define DRAIN_MARGIN_NS (2000 * SUPERVISION_MS) /* for workers to end after drain_timeout */
#define FLUSH_NS (7000 * SUPERVISION_MS)	/* for the steward to write what is left */
#define FLUSH_BRIEFLY_NS (1000 * SUPERVISION_MS)
#define STOP_NS (500 * SUPERVISION_MS) /* for workers to break connections off aloud */
#define NS_PER_S INT64_C(1000000000)

int64_t supervision_now(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

void supervision_after(struct event *e, int64_t ns)
{
	struct timeval in = { .tv_sec = (time_t)(ns / NS_PER_S),
			      .tv_usec = (suseconds_t)(ns % NS_PER_S / 1000) };

	(void)evtimer_add(e, &in);
}

/* ---- stages */

static void supervisor_end(struct supervisor *s, int exit_code)
{
	s->stage = STAGE_ENDED;
	s->exit_code = exit_code;
	(void)event_base_loopbreak(s->base);
}

void supervisor_fail(struct supervisor *s, int exit_code)
{
	supervisor_end(s, exit_code);
}

static bool supervisor_make_board(struct supervisor *s)
{
	struct board_supervisor *page;

	if ((s->board = board_new(s->num_workers)) == NULL)
		return false;
	page = board_supervisor(s->board);
	page->metrics.started_s = (uint64_t)time(NULL);
	page->metrics.reload_last_s = page->metrics.started_s;
	page->metrics.reload_last_ok = 1;
	page->pid = (uint32_t)getpid();
	s->logs.dropped = &page->metrics.log_dropped;
	return getrandom(page->address_key, sizeof(page->address_key), 0) ==
	       (ssize_t)sizeof(page->address_key);
}

bool supervisor_begin(struct supervisor *s)
{
	if (supervisor_make_board(s) && (s->tickets.num > 0 || ticket_ring_rotate(&s->tickets)) &&
	    children_init(s)) {
		s->stage = STAGE_SERVING;
		supervision_after(s->rotate, ROTATE_NS);
		supervision_after(s->beat, SUPERVISION_BEAT_NS);
		return true;
	}
	(void)fprintf(stderr, "sallyport: cannot start: %s\n", strerror(errno));
	supervisor_fail(s, 3);
	return false;
}

void supervisor_serving(struct supervisor *s)
{
	s->served = true;
	notify_send("READY=1");
	if (!s->isolated && s->now.plan->num_certificates > 0)
		logs_say(&s->logs, CONF_LOG_WARNING,
			 "key_isolation is off: the processes that face the network hold the "
			 "private keys");
	if (s->now.plan->sandbox == CONF_SANDBOX_OFF)
		logs_say(&s->logs, CONF_LOG_WARNING,
			 "sandbox is off: landlock and seccomp confine no process");
	logs_say(&s->logs, CONF_LOG_INFO,
		 "serving: generation %u, %u listeners, %u pools, %u workers", s->generation,
		 s->now.plan->num_listeners, s->now.plan->num_pools, s->num_workers);
	inherit_end(s);
	if (s->ready_fd >= 0) {
		/* Nobody may be there any more to read it. */
		if (write(s->ready_fd, "\n", 1) < 0)
			logs_say(&s->logs, CONF_LOG_DEBUG, "nobody waits: %s", strerror(errno));
		(void)close(s->ready_fd);
		s->ready_fd = -1;
	}
}

/* The workers have gone: the steward writes what they left, and ends. */
static void supervisor_end_steward(struct supervisor *s, int64_t within_ns)
{
	struct channel_message m = { .type = CHANNEL_DRAIN, .ns = within_ns };

	s->stage = STAGE_ENDING;
	if (s->keeper.restart != NULL)
		(void)evtimer_del(s->keeper.restart);
	child_kill(&s->keeper); /* nobody is left to sign for */
	if (s->steward.restart != NULL)
		(void)evtimer_del(s->steward.restart);
	if (s->steward.pid == 0) {
		supervisor_end(s, s->exit_code);
		return;
	}
	supervision_after(s->deadline, within_ns);
	child_send(&s->steward, &m, NULL, 0);
}

void supervisor_child_gone(struct supervisor *s)
{
	if (s->stage == STAGE_DRAINING && children_alive(s) == 0)
		supervisor_end_steward(s, s->stopping ? FLUSH_BRIEFLY_NS : FLUSH_NS);
	else if (s->stage == STAGE_ENDING && s->steward.pid == 0 && children_alive(s) == 0)
		supervisor_end(s, s->exit_code);
}

static void supervisor_stop_restarts(struct supervisor *s)
{
	for (unsigned i = 0; i < s->num_workers; i++)
		(void)evtimer_del(s->workers[i].restart);
}

/* Until now we were ready. */
static void supervisor_say_draining(struct supervisor *s)
{
	__atomic_store_n(&board_supervisor(s->board)->metrics.draining, 1, __ATOMIC_RELAXED);
}

static void supervisor_drain_now(struct supervisor *s)
{
	int64_t within = s->now.plan->drain_timeout_ns;
	struct channel_message m = { .type = CHANNEL_DRAIN, .ns = within };

	logs_say(&s->logs, CONF_LOG_INFO, "draining: connections have %lld s to end",
		 (long long)(within / NS_PER_S));
	s->stage = STAGE_DRAINING;
	supervisor_say_draining(s);
	reload_stop(s);
	upgrade_stop(s);
	if (!s->upgrade.is_done)
		notify_send("STOPPING=1");
	supervisor_stop_restarts(s);
	children_send(s, &m);
	/* Workers accept what is queued and close theirs; from then on clients are refused. */
	sockets_fini(&s->sockets);
	s->drain_end_ns = supervision_now() + within;
	supervision_after(s->deadline, within + DRAIN_MARGIN_NS);
	supervisor_child_gone(s);
}

void supervisor_drain(struct supervisor *s)
{
	int64_t delay = s->now.plan->drain_delay_ns;

	if (s->stage != STAGE_SERVING)
		return;
	if (delay == 0 || s->drain_waits || s->upgrade.is_done) {
		supervisor_drain_now(s);
		return;
	}
	/* Whoever balances in front of us looks at that, and sends the next ones elsewhere. */
	s->drain_waits = true;
	supervisor_say_draining(s);
	upgrade_stop(s); /* else it would serve on, where an end was asked for */
	logs_say(&s->logs, CONF_LOG_INFO,
		 "not ready any more; draining begins in %lld s, or when asked again",
		 (long long)(delay / NS_PER_S));
	supervision_after(s->deadline, delay);
}

/* Ends at once: connections are broken off, so that nobody takes them for complete, and what was
 * logged is written if that is soon done. */
static void supervisor_stop(struct supervisor *s)
{
	struct channel_message m = { .type = CHANNEL_DRAIN, .ns = 1 };

	logs_say(&s->logs, CONF_LOG_INFO, "stopping at once");
	s->stage = STAGE_DRAINING;
	s->stopping = true;
	reload_stop(s);
	upgrade_stop(s);
	supervisor_stop_restarts(s);
	children_send(s, &m);
	sockets_fini(&s->sockets);
	supervision_after(s->deadline, STOP_NS);
	supervisor_child_gone(s);
}

static void supervisor_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)fd;
	(void)what;
	if (s->stage == STAGE_SERVING) {
		supervisor_drain_now(s);
		return;
	}
	if (s->stage == STAGE_DRAINING)
		logs_say(&s->logs, CONF_LOG_WARNING, "%u workers do not end and are killed",
			 children_alive(s));
	children_kill(s);
	if (s->stage == STAGE_ENDING)
		child_kill(&s->steward);
}

/* ---- signals */

static void supervisor_reopen(struct supervisor *s)
{
	struct problems why;

	problems_init(&why);
	if (logs_reopen(&s->logs, &why))
		logs_say(&s->logs, CONF_LOG_INFO, "logs reopened");
	for (size_t i = 0; i < why.num; i++)
		logs_say(&s->logs, CONF_LOG_ERROR, "%s: %s; the old file stays open",
			 why.list[i].where, why.list[i].what);
	problems_fini(&why);
	child_send_logs(&s->steward);
}

static void supervisor_reap(struct supervisor *s)
{
	int status;
	pid_t pid;

	/* As process 1 of a container we also get strangers. */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *c = children_find(s, pid);

		if (c != NULL)
			child_ended(c, status);
		else if (pid == s->reload.loader)
			reload_loader_ended(s, status);
		else if (pid == s->upgrade.pid)
			upgrade_ended(s, status);
	}
}

static void supervisor_signal(evutil_socket_t number, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)what;
	if (number == SIGCHLD) {
		supervisor_reap(s);
		return;
	}
	if (s->stage == STAGE_STARTING) {
		/* Nothing serves yet, so there is nothing to end in good order. */
		if (number == SIGTERM || number == SIGINT || number == SIGQUIT) {
			reload_stop(s);
			supervisor_end(s, 0);
		} else if (number == SIGHUP) {
			reload_begin(s);
		}
		return;
	}
	switch (number) {
	case SIGHUP:
		if (s->stage == STAGE_SERVING)
			reload_begin(s);
		break;
	case SIGTERM:
		supervisor_drain(s);
		break;
	case SIGINT:
	case SIGQUIT:
		if (!s->stopping && (s->stage == STAGE_SERVING || s->stage == STAGE_DRAINING))
			supervisor_stop(s);
		break;
	case SIGUSR2:
		if (s->stage == STAGE_SERVING)
			upgrade_begin(s);
		break;
	case SIGUSR1:
		if (s->stage == STAGE_SERVING || s->stage == STAGE_DRAINING)
			supervisor_reopen(s);
		break;
	default:
		break;
	}
}

static bool supervisor_catch(struct supervisor *s)
{
	static const int caught[] = { SIGCHLD, SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2 };
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++) {
		struct event *e = evsignal_new(s->base, caught[i], supervisor_signal, s);

		if (e == NULL)
			return false;
		s->signals[s->num_signals++] = e;
		if (event_add(e, NULL) != 0)
			return false;
	}
	return sigaction(SIGPIPE, &ignore, NULL) == 0;
}

/* ---- timers */

static void supervisor_rotate(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;
	struct channel_message m;

	(void)fd;
	(void)what;
	supervision_after(s->rotate, ROTATE_NS);
	if (s->stage != STAGE_SERVING)
		return;
	if (!ticket_ring_rotate(&s->tickets)) {
		logs_say(&s->logs, CONF_LOG_ERROR, "no new key for session tickets: %s",
			 strerror(errno));
		return;
	}
	ticket_ring_message(&s->tickets, &m);
	children_send(s, &m);
	explicit_bzero(&m, sizeof(m));
}

static void supervisor_cover(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	cover_update(arg);
}

static void supervisor_say_what_is_left(struct supervisor *s)
{
	int64_t left_ns = s->drain_end_ns - supervision_now();
	uint64_t connections = 0;

	for (unsigned i = 0; i < s->num_workers; i++)
		connections += metrics_read(&board_worker(s->board, i)->metrics.connections);
	logs_say(&s->logs, CONF_LOG_INFO, "draining: %llu connections are left, %lld s",
		 (unsigned long long)connections,
		 (long long)(left_ns > 0 ? (left_ns + NS_PER_S - 1) / NS_PER_S : 0));
}

static void supervisor_beat(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)fd;
	(void)what;
	supervision_after(s->beat, SUPERVISION_BEAT_NS);
	if (s->stage == STAGE_DRAINING && !s->stopping)
		supervisor_say_what_is_left(s);
	cover_beat(s);
	name_watch_beat(s);
}

/* ---- the whole */

static bool supervisor_init(struct supervisor *s, const struct supervisor_options *options)
{
	*s = (struct supervisor){ .options = options,
				  .stage = STAGE_STARTING,
				  .exe_fd = -1,
				  .ready_fd = options->ready_fd,
				  .is_root = geteuid() == 0 };
	s->reload.fd = -1;
	key_loads_init(&s->key_loads);
	sockets_init(&s->sockets, 1);
	endpoint_init(&s->admin);
	handover_init(&s->left);
	s->max_fds = privileges_raise_fds();
	privileges_bound(true);
	/* It holds ticket keys. */
	if (!privileges_hide() || !logs_init(&s->logs) || (s->exe_fd = spawn_open()) < 0 ||
	    (s->base = event_base_new()) == NULL)
		return false;
	s->listener_slots = slots_new(METRICS_LISTENERS);
	s->pool_slots = slots_new(METRICS_POOLS);
	s->server_slots = slots_new(METRICS_SERVERS);
	s->rotate = evtimer_new(s->base, supervisor_rotate, s);
	s->cover = evtimer_new(s->base, supervisor_cover, s);
	s->beat = evtimer_new(s->base, supervisor_beat, s);
	s->deadline = evtimer_new(s->base, supervisor_deadline, s);
	return s->listener_slots != NULL && s->pool_slots != NULL && s->server_slots != NULL &&
	       s->rotate != NULL && s->cover != NULL && s->beat != NULL && s->deadline != NULL &&
	       reload_init(s) && upgrade_init(s) && supervisor_catch(s);
}

static void supervisor_free_events(struct supervisor *s)
{
	if (s->base == NULL)
		return;
	while (s->num_signals > 0)
		event_free(s->signals[--s->num_signals]);
	if (s->rotate != NULL)
		event_free(s->rotate);
	if (s->cover != NULL)
		event_free(s->cover);
	if (s->beat != NULL)
		event_free(s->beat);
	if (s->deadline != NULL)
		event_free(s->deadline);
	event_base_free(s->base);
}

static void supervisor_fini(struct supervisor *s)
{
	reload_fini(s);
	upgrade_fini(s);
	handover_fini(&s->left);
	children_fini(s);
	key_loads_fini(&s->key_loads);
	sockets_fini(&s->sockets);
	endpoint_fini(&s->admin);
	publication_fini(&s->now);
	s->logs.dropped = NULL;
	board_free(s->board);
	slots_free(s->listener_slots);
	slots_free(s->pool_slots);
	slots_free(s->server_slots);
	ticket_ring_fini(&s->tickets);
	logs_fini(&s->logs);
	supervisor_free_events(s);
	if (s->ready_fd >= 0)
		(void)close(s->ready_fd);
	if (s->exe_fd >= 0)
		(void)close(s->exe_fd);
}

int supervisor_run(const struct supervisor_options *options)
{
	struct supervisor s;

	if (!supervisor_init(&s, options)) {
		(void)fprintf(stderr, "sallyport: cannot start: %s\n", strerror(errno));
		s.exit_code = 3;
		goto done;
	}
	if (!inherit_begin(&s)) {
		s.exit_code = 3;
		goto done;
	}
	reload_begin(&s);
	/* A first load that failed at once has ended the loop before it began. */
	if (s.stage != STAGE_ENDED && event_base_dispatch(s.base) < 0) {
		logs_say(&s.logs, CONF_LOG_ERROR, "cannot go on: %s", strerror(errno));
		s.exit_code = 3;
	}
done:
	supervisor_fini(&s);
	return s.exit_code;
}
