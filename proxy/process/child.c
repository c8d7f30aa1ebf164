#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "conf/must.h"
#include "proxy/process/role.h"
#include "proxy/process/spawn.h"
#include "proxy/process/supervision.h"

enum { CHILD_MESSAGES_PER_TURN = 32, CHILD_SEND_TRIES = 20 };
#define CHILD_STABLE_NS (10000 * SUPERVISION_MS) /* who lived this long starts again at once */
#define CHILD_FIRST_DELAY_NS (50 * SUPERVISION_MS)
#define CHILD_MAX_DELAY_NS (400 * SUPERVISION_MS) /* nobody shall miss it for a second */
#define CHILD_RETRY_NS (10 * SUPERVISION_MS)
#define CHILD_GONE_NS (1000 * SUPERVISION_MS) /* from closing its channel to its end */

const char *child_title(const struct child *c, char title[32])
{
	switch (c->kind) {
	case CHILD_WORKER:
		(void)snprintf(title, 32, "worker %u", c->number);
		break;
	case CHILD_STEWARD:
		(void)snprintf(title, 32, "steward");
		break;
	case CHILD_KEEPER:
		(void)snprintf(title, 32, "keeper");
		break;
	}
	return title;
}

bool child_serving(const struct child *c)
{
	return c->pid != 0 && !c->killed && !c->stuck && c->adopted > 0;
}

void child_note(struct child *c)
{
	struct board_supervisor *page = board_supervisor(c->supervisor->board);
	struct board_process *p = c->kind == CHILD_WORKER    ? &page->workers[c->number]
				  : c->kind == CHILD_STEWARD ? &page->steward
							     : &page->keeper;

	__atomic_store_n(&p->protection, c->protection, __ATOMIC_RELAXED);
	__atomic_store_n(&p->started_s, (uint64_t)c->started_s, __ATOMIC_RELAXED);
	__atomic_store_n(&p->pid, (uint32_t)c->pid, __ATOMIC_RELAXED);
}

void child_kill(struct child *c)
{
	if (c->pid != 0 && !c->killed && kill(c->pid, SIGKILL) == 0)
		c->killed = true;
}

/* ---- sending */

static void child_flush(struct child *c)
{
	char title[32];

	if (c->fd < 0)
		return;
	switch (outbox_flush(&c->outbox, c->fd)) {
	case OUTBOX_EMPTY:
		break;
	case OUTBOX_FULL:
		(void)event_add(c->output, NULL);
		break;
	case OUTBOX_LATER:
		supervision_after(c->retry, CHILD_RETRY_NS);
		break;
	case OUTBOX_GONE:
		logs_say(&c->supervisor->logs, CONF_LOG_DEBUG, "%s does not listen: %s",
			 child_title(c, title), strerror(errno));
		child_kill(c);
		break;
	}
}

static void child_output(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	child_flush(arg);
}

void child_send(struct child *c, const struct channel_message *m, struct handle *const *handles,
		size_t num_handles)
{
	bool waits = c->outbox.num > 0;
	char title[32];

	if (c->pid == 0 || c->fd < 0 || c->killed)
		return;
	if (!outbox_put(&c->outbox, m, handles, num_handles)) {
		logs_say(&c->supervisor->logs, CONF_LOG_ERROR,
			 "%s is killed: it does not take what it is sent", child_title(c, title));
		child_kill(c);
		return;
	}
	/* Else an event is set that will flush. */
	if (!waits)
		child_flush(c);
}

void child_send_socket(struct child *c, const struct listening *l, unsigned owner)
{
	struct channel_message m = { .type = CHANNEL_SOCKET, .number = l->id, .owner = owner };
	struct handle *h = sockets_handle(l, owner);

	child_send(c, &m, &h, 1);
}

void child_send_snapshot(struct child *c)
{
	struct supervisor *s = c->supervisor;
	struct channel_message m = { .type = CHANNEL_SNAPSHOT, .generation = s->generation };
	struct handle *handles[2] = { s->now.snapshot, s->now.keys };
	bool with_keys = c->kind == CHILD_WORKER && !s->isolated;

	c->sent = s->generation;
	supervision_after(c->patience, SUPERVISION_ANSWER_NS);
	child_send(c, &m, handles, with_keys ? 2 : 1);
}

void child_send_logs(struct child *c)
{
	struct logs *logs = &c->supervisor->logs;
	struct channel_message m = { .type = CHANNEL_LOGS };
	struct handle *handles[2];
	size_t n = 0;

	if (logs->error.handle != NULL) {
		m.flags |= 1;
		handles[n++] = logs->error.handle;
	}
	if (logs->access.handle != NULL) {
		m.flags |= 2;
		handles[n++] = logs->access.handle;
	}
	child_send(c, &m, handles, n);
}

/* ---- receiving */

static void child_adopted(struct child *c, const struct channel_message *m)
{
	struct supervisor *s = c->supervisor;

	c->adopted = m->generation;
	c->down_ns = 0;
	if (m->generation == c->sent)
		(void)evtimer_del(c->patience);
	if (c->kind == CHILD_STEWARD)
		return;
	if (c->kind == CHILD_KEEPER) {
		if ((m->flags & CHANNEL_NOT_LOCKED) != 0 && !s->not_locked) {
			s->not_locked = true;
			logs_say(&s->logs, CONF_LOG_WARNING,
				 "private keys may be swapped out: raise the limit of locked "
				 "memory (ulimit -l, LimitMEMLOCK=)");
		}
		reload_keys_adopted(s);
		return;
	}
	cover_update(s);
	reload_progress(s);
	/* Of the first generation none had stayed alive until now. */
	if (!s->served && s->reload.state == RELOAD_IDLE)
		supervisor_serving(s);
}

/* False: no role of ours says this. */
static bool child_take(struct child *c, const struct channel_message *m)
{
	struct logs *logs = &c->supervisor->logs;
	char title[32];

	switch (m->type) {
	case CHANNEL_READY:
		if (c->ready)
			return false;
		c->ready = true;
		child_protected(c, m->flags);
		return true;
	case CHANNEL_VIOLATION:
		child_violated(c, m->number);
		return true;
	case CHANNEL_STACK:
		watchdog_stack(c, m->text);
		return true;
	case CHANNEL_ADOPTED:
		if (m->generation <= c->adopted || m->generation > c->sent)
			return false;
		child_adopted(c, m);
		return true;
	case CHANNEL_RELEASED:
		if (m->generation > c->sent)
			return false;
		if (m->generation > c->released) {
			c->released = m->generation;
			if (c->kind == CHILD_WORKER)
				children_released(c->supervisor);
		}
		return true;
	case CHANNEL_FAILED:
		logs_say(logs, CONF_LOG_ERROR, "%s cannot use generation %u: %s; it is replaced",
			 child_title(c, title), m->generation, m->text);
		child_kill(c);
		return true;
	case CHANNEL_COMMAND:
		return c->kind == CHILD_STEWARD && commands_take(c->supervisor, m);
	default:
		return c->kind == CHILD_KEEPER && child_keeper_said(c, m);
	}
}

static void child_input(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;
	struct channel_message m;
	int fds[CHANNEL_MAX_FDS];
	size_t num_fds;
	char title[32];

	(void)what;
	for (int i = 0; i < CHILD_MESSAGES_PER_TURN && !c->killed; i++) {
		switch (channel_receive(fd, &m, fds, &num_fds)) {
		case CHANNEL_AGAIN:
			return;
		case CHANNEL_GONE:
			/* It is about to end; if not, it is of no use. */
			(void)event_del(c->input);
			supervision_after(c->patience, CHILD_GONE_NS);
			return;
		case CHANNEL_GOT:
			break;
		}
		/* Nobody passes us descriptors. */
		while (num_fds > 0)
			(void)close(fds[--num_fds]);
		if (!child_take(c, &m)) {
			logs_say(&c->supervisor->logs, CONF_LOG_ERROR,
				 "%s is killed: it sent a message that makes no sense",
				 child_title(c, title));
			child_kill(c);
		}
	}
}

static void child_impatient(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;
	char title[32];

	(void)fd;
	(void)what;
	if (c->supervisor->stage == STAGE_SERVING)
		logs_say(&c->supervisor->logs, CONF_LOG_ERROR, "%s is killed: it does not answer",
			 child_title(c, title));
	child_kill(c);
}

/* ---- starting */

static void child_restart(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	child_start(arg);
}

bool child_init(struct child *c, struct supervisor *s, enum child_kind kind, unsigned number)
{
	*c = (struct child){
		.supervisor = s, .kind = kind, .number = number, .fd = -1, .cover = -1
	};
	outbox_init(&c->outbox);
	c->retry = evtimer_new(s->base, child_output, c);
	c->restart = evtimer_new(s->base, child_restart, c);
	c->patience = evtimer_new(s->base, child_impatient, c);
	return c->retry != NULL && c->restart != NULL && c->patience != NULL;
}

/* The kernel bounds the descriptors that are on their way to all processes, unless we are root:
 * they arrive within milliseconds. */
static bool child_send_patiently(int fd, const struct channel_message *m, const int *fds,
				 unsigned n)
{
	static const struct timespec moment = { .tv_nsec = 5 * 1000 * 1000 };

	for (int i = 0; i < CHILD_SEND_TRIES; i++) {
		if (channel_send(fd, m, fds, n))
			return true;
		if (errno != ETOOMANYREFS)
			return false;
		(void)nanosleep(&moment, NULL);
	}
	return false;
}

/* The board's descriptors, in as many messages as they take; the channel is new and has room. */
static bool child_send_board(struct child *c)
{
	struct supervisor *s = c->supervisor;
	int fds[CONF_MAX_WORKERS + 2];
	unsigned total = board_num_fds(s->num_workers);
	struct channel_message m = { .type = CHANNEL_START,
				     .number = c->number,
				     .num_workers = s->num_workers,
				     .max_fds = s->max_fds,
				     .parts = (total + CHANNEL_MAX_FDS - 1) / CHANNEL_MAX_FDS };

	MUST(total <= sizeof(fds) / sizeof(fds[0]));
	board_fds(s->board, c->kind == CHILD_STEWARD ? BOARD_STEWARD : BOARD_WORKER, c->number,
		  fds);
	for (; m.part < m.parts; m.part++) {
		unsigned at = m.part * CHANNEL_MAX_FDS, n = total - at;

		if (n > CHANNEL_MAX_FDS)
			n = CHANNEL_MAX_FDS;
		if (!child_send_patiently(c->fd, &m, fds + at, n))
			return false;
	}
	return true;
}

static void child_send_all(struct child *c)
{
	struct supervisor *s = c->supervisor;
	struct channel_message m = { .type = CHANNEL_ADMIN, .owner = geteuid() };
	struct listening *l;

	if (c->kind == CHILD_KEEPER) {
		child_send_all_keys(c);
		return;
	}
	if (c->kind == CHILD_STEWARD) {
		child_send_logs(c);
		name_watch_send(c);
		if (s->admin.socket != NULL)
			child_send(c, &m, &s->admin.socket, 1);
	} else {
		if (s->isolated)
			child_join_keeper(c);
		ticket_ring_message(&s->tickets, &m);
		child_send(c, &m, NULL, 0);
		explicit_bzero(&m, sizeof(m));
		TAILQ_FOREACH(l, &s->sockets.list, entry) {
			if (l->state == SOCKETS_LIVE)
				child_send_socket(c, l, c->number);
		}
	}
	child_send_snapshot(c);
	/* Of what came before it, it has nothing. */
	c->released = c->sent;
}

static bool child_spawn(struct child *c)
{
	struct supervisor *s = c->supervisor;
	char title[32], full[64], uid[16], gid[16];
	static const char *const roles[] = {
		[CHILD_WORKER] = "@worker", [CHILD_STEWARD] = "@steward", [CHILD_KEEPER] = "@keeper"
	};
	const char *sandboxed = s->now.plan->sandbox != CONF_SANDBOX_OFF ? ROLE_SANDBOXED : "";
	const char *argv[] = { full, roles[c->kind], uid, gid, sandboxed, NULL };
	struct spawn_role role = { .argv = argv };

	(void)snprintf(full, sizeof(full), "sallyport: %s", child_title(c, title));
	(void)snprintf(uid, sizeof(uid), "%u", s->now.plan->uid);
	(void)snprintf(gid, sizeof(gid), "%u", s->now.plan->gid);
	if (!s->is_root)
		uid[0] = gid[0] = '\0';
	if (!spawn_start(s->exe_fd, &role, &c->pid, &c->fd))
		return false;
	c->killed = c->stuck = c->ready = c->reported = c->stack_asked = false;
	c->stuck_since_ns = 0;
	c->adopted = c->sent = c->released = 0;
	c->input = event_new(s->base, c->fd, EV_READ | EV_PERSIST, child_input, c);
	c->output = event_new(s->base, c->fd, EV_WRITE, child_output, c);
	if (c->input == NULL || c->output == NULL || event_add(c->input, NULL) != 0 ||
	    (c->kind != CHILD_KEEPER && !child_send_board(c))) {
		/* Its end is noticed, and it is started again. */
		logs_say(&s->logs, CONF_LOG_ERROR, "%s cannot be told what to do: %s",
			 child_title(c, title), strerror(errno));
		child_kill(c);
		return true;
	}
	child_send_all(c);
	return true;
}

/* At once the first time; who dies young again and again waits longer each time, never for ever. */
static void child_start_later(struct child *c)
{
	supervision_after(c->restart, c->next_delay_ns);
	if (c->next_delay_ns == 0)
		c->next_delay_ns = CHILD_FIRST_DELAY_NS;
	else if (c->next_delay_ns < CHILD_MAX_DELAY_NS / 2)
		c->next_delay_ns *= 2;
	else
		c->next_delay_ns = CHILD_MAX_DELAY_NS;
}

void child_start(struct child *c)
{
	struct supervisor *s = c->supervisor;
	char title[32];

	MUST(c->pid == 0);
	c->started_ns = supervision_now();
	c->started_s = time(NULL);
	c->protection = 0;
	if (child_spawn(c)) {
		child_note(c);
		if (c->down_ns != 0)
			logs_say(&s->logs, CONF_LOG_INFO, "%s is started again as process %ld",
				 child_title(c, title), (long)c->pid);
		return;
	}
	logs_say(&s->logs, CONF_LOG_ERROR, "%s cannot be started: %s", child_title(c, title),
		 strerror(errno));
	if (c->down_ns == 0)
		c->down_ns = c->started_ns;
	child_start_later(c);
	cover_update(s);
}

/* ---- the end */

static void child_forget(struct child *c)
{
	if (c->input != NULL)
		event_free(c->input);
	if (c->output != NULL)
		event_free(c->output);
	c->input = c->output = NULL;
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
	c->pid = 0;
	outbox_fini(&c->outbox);
	if (c->retry != NULL)
		(void)evtimer_del(c->retry);
	if (c->patience != NULL)
		(void)evtimer_del(c->patience);
}

void child_fini(struct child *c)
{
	if (c->supervisor == NULL)
		return;
	child_kill(c);
	child_forget(c);
	if (c->retry != NULL)
		event_free(c->retry);
	if (c->restart != NULL)
		event_free(c->restart);
	if (c->patience != NULL)
		event_free(c->patience);
	c->supervisor = NULL;
}

/* What the dead one counted as present is present no more. */
static void child_clear_board(struct child *c)
{
	struct board_worker *page = board_worker(c->supervisor->board, c->number);

	metrics_clear_gauges(&page->metrics);
	memset(page->addresses, 0, sizeof(page->addresses));
}

static uint64_t *restarts_of(struct metrics_supervisor *m, enum child_kind kind)
{
	if (kind == CHILD_STEWARD)
		return &m->steward_restarts;
	return kind == CHILD_KEEPER ? &m->keeper_restarts : &m->worker_restarts;
}

void child_ended(struct child *c, int status)
{
	struct supervisor *s = c->supervisor;
	struct metrics_supervisor *metrics = &board_supervisor(s->board)->metrics;
	bool again = s->stage == STAGE_SERVING ||
		     (c->kind != CHILD_WORKER && s->stage == STAGE_DRAINING);
	/* Killed by us at the end, why has been said. */
	bool fine = !again && (c->killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
	char title[32], how[64];

	spawn_say_end(status, how, sizeof(how));
	logs_say(&s->logs, fine ? CONF_LOG_DEBUG : CONF_LOG_ERROR, "%s (process %ld) %s",
		 child_title(c, title), (long)c->pid, how);
	if (c->down_ns == 0)
		c->down_ns = supervision_now();
	child_forget(c);
	child_note(c);
	if (c->kind == CHILD_STEWARD)
		reload_forget_commands(s);
	if (c->kind == CHILD_WORKER) {
		child_clear_board(c);
		cover_lost(s, c->number);
	}
	if (!again) {
		supervisor_child_gone(s);
		return;
	}
	metrics_add(restarts_of(metrics, c->kind), 1);
	if (supervision_now() - c->started_ns >= CHILD_STABLE_NS)
		c->next_delay_ns = 0;
	child_start_later(c);
	if (c->kind == CHILD_WORKER) {
		cover_update(s);
		children_released(s);
		reload_progress(s);
	}
}
