#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proxy/net/limits.h"
#include "proxy/process/notify.h"
#include "proxy/process/spawn.h"
#include "proxy/process/supervision.h"

enum { RELOAD_MESSAGES_PER_TURN = 64 };

static bool reload_is_first(const struct supervisor *s)
{
	return s->board == NULL;
}

/* ---- what is said about it */

/* One finding of this load. Before anything serves, there is a person at a terminal: as the command
 * line says such things. */
static void reload_say(struct supervisor *s, enum conf_log_level level, const char *text)
{
	struct reload *r = &s->reload;

	if (level == CONF_LOG_ERROR) {
		size_t n = strlen(r->said);

		if (r->num_errors++ == 0)
			(void)snprintf(r->reason, sizeof(r->reason), "%s", text);
		(void)snprintf(r->said + n, sizeof(r->said) - n, "%s%s", n == 0 ? "" : "\n", text);
	}
	if (reload_is_first(s))
		(void)fprintf(stderr, "%s\n", text);
	else
		logs_say(&s->logs, level, "%s", text);
}

static void reload_say_problems(struct supervisor *s, const struct problems *why)
{
	char text[1100];

	for (size_t i = 0; i < why->num; i++) {
		bool warning = why->list[i].level == PROBLEM_WARNING;

		(void)snprintf(text, sizeof(text), "%s: %s%s", why->list[i].where,
			       warning ? "warning: " : "", why->list[i].what);
		reload_say(s, warning ? CONF_LOG_WARNING : CONF_LOG_ERROR, text);
	}
}

static void reload_note(struct supervisor *s, bool done)
{
	struct board_supervisor *page = board_supervisor(s->board);
	struct metrics_supervisor *m = &page->metrics;

	metrics_add(done ? &m->reloads_done : &m->reloads_refused, 1);
	__atomic_store_n(&m->reload_last_s, (uint64_t)time(NULL), __ATOMIC_RELAXED);
	__atomic_store_n(&m->reload_last_ok, done ? 1 : 0, __ATOMIC_RELAXED);
	memset(page->reload_reason, 0, sizeof(page->reload_reason));
	if (!done)
		(void)snprintf(page->reload_reason, sizeof(page->reload_reason), "%s",
			       s->reload.reason);
}

/* A service manager waits for READY after it, and tells them apart by the time (sd_notify(3)). */
static void reload_notify(void)
{
	char text[80];

	(void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
		       supervision_now() / 1000);
	notify_send(text);
}

/* ---- the end of one */

static void reload_forget_loader(struct reload *r)
{
	if (r->input != NULL)
		event_free(r->input);
	r->input = NULL;
	if (r->fd >= 0)
		(void)close(r->fd);
	r->fd = -1;
	(void)evtimer_del(r->patience);
	if (r->loader != 0)
		(void)kill(r->loader, SIGKILL);
}

void reload_resume(struct supervisor *s)
{
	struct reload *r = &s->reload;

	/* The last loader must have been reaped; and what a new binary has inherited must not
	 * change under it. */
	if (!r->again || r->state != RELOAD_IDLE || r->loader != 0 || s->upgrade.pid != 0 ||
	    s->stage != STAGE_SERVING)
		return;
	r->again = false;
	reload_begin(s);
}

static void reload_idle(struct supervisor *s)
{
	struct reload *r = &s->reload;

	reload_forget_loader(r);
	r->state = RELOAD_IDLE;
	if (s->served)
		notify_send("READY=1");
	r->ticket = 0;
	reload_resume(s);
}

/* The load ends here; nothing has changed. */
static void reload_refuse(struct supervisor *s, int exit_code)
{
	struct reload *r = &s->reload;

	if (reload_is_first(s)) {
		reload_forget_loader(r);
		r->state = RELOAD_IDLE;
		supervisor_fail(s, exit_code);
		return;
	}
	logs_say(&s->logs, CONF_LOG_ERROR,
		 "reload refused: %u problem%s; the old configuration keeps serving", r->num_errors,
		 r->num_errors == 1 ? "" : "s");
	reload_note(s, false);
	commands_outcome(s, r->ticket, false, r->said);
	reload_idle(s);
}

/* Refuses for a reason of the supervisor's own. */
__attribute__((format(printf, 3, 4))) static void
reload_refuse_for(struct supervisor *s, int exit_code, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	reload_say(s, CONF_LOG_ERROR, text);
	reload_refuse(s, exit_code);
}

/* ---- slots */

/* A slot that is new to its owner starts from nothing. */
static void reload_clear_listener(struct supervisor *s, uint32_t slot)
{
	for (unsigned i = 0; s->board != NULL && i < s->num_workers; i++)
		memset(&board_worker(s->board, i)->metrics.listeners[slot], 0,
		       sizeof(struct metrics_listener));
}

static void reload_clear_server(struct supervisor *s, uint32_t slot)
{
	for (unsigned i = 0; s->board != NULL && i < s->num_workers; i++)
		memset(&board_worker(s->board, i)->metrics.servers[slot], 0,
		       sizeof(struct metrics_server));
}

static bool reload_server_slots(struct supervisor *s, struct plan *p, uint32_t generation)
{
	char key[2 * SNAPSHOT_TEXT];
	bool fresh;

	for (uint32_t i = 0; i < p->num_servers; i++) {
		struct plan_server *server = &plan_servers(p)[i];

		/* Names have no control characters. */
		(void)snprintf(key, sizeof(key), "%s\n%s", plan_pools(p)[server->pool].name,
			       server->name);
		if (!slots_assign(s->server_slots, generation, key, &server->slot, &fresh))
			return false;
		if (fresh)
			reload_clear_server(s, server->slot);
	}
	return true;
}

static void reload_abandon_slots(struct supervisor *s, uint32_t generation)
{
	slots_abandon(s->listener_slots, generation);
	slots_abandon(s->pool_slots, generation);
	slots_abandon(s->server_slots, generation);
}

static bool reload_assign_slots(struct supervisor *s, struct plan *p, uint32_t generation)
{
	bool fresh, ok = true;

	for (uint32_t i = 0; ok && i < p->num_listeners; i++) {
		struct plan_listener *l = &plan_listeners(p)[i];

		ok = slots_assign(s->listener_slots, generation, l->name, &l->slot, &fresh);
		if (ok && fresh)
			reload_clear_listener(s, l->slot);
	}
	for (uint32_t i = 0; ok && i < p->num_pools; i++) {
		struct plan_pool *pool = &plan_pools(p)[i];

		ok = slots_assign(s->pool_slots, generation, pool->name, &pool->slot, &fresh);
	}
	if (ok && reload_server_slots(s, p, generation))
		return true;
	reload_abandon_slots(s, generation);
	return false;
}

/* ---- what changed */

static uint32_t reload_common(const char *a, size_t a_step, uint32_t a_num, const char *b,
			      size_t b_step, uint32_t b_num)
{
	uint32_t common = 0;

	for (uint32_t i = 0; i < a_num; i++) {
		for (uint32_t k = 0; k < b_num; k++) {
			if (strcmp(a + i * a_step, b + k * b_step) == 0) {
				common++;
				break;
			}
		}
	}
	return common;
}

static void reload_count(struct reload *r, const struct plan *old, const struct plan *new)
{
	size_t listener = sizeof(struct plan_listener), pool = sizeof(struct plan_pool);
	uint32_t common = reload_common(plan_listeners(old)->name, listener, old->num_listeners,
					plan_listeners(new)->name, listener, new->num_listeners);

	r->listeners = (struct reload_counts){ new->num_listeners - common,
					       old->num_listeners - common, new->num_listeners };
	common = reload_common(plan_pools(old)->name, pool, old->num_pools, plan_pools(new)->name,
			       pool, new->num_pools);
	r->pools = (struct reload_counts){ new->num_pools - common, old->num_pools - common,
					   new->num_pools };
	r->certificates_before = old->num_certificates;
}

/* ---- the transaction */

/* Whether a worker can serve as much as one connection with the descriptors that it may open; its
 * listeners count twice, for the sibling that it may have to cover. */
static bool reload_has_descriptors(struct supervisor *s, const struct plan *p)
{
	uint64_t least =
		LIMITS_RESERVED_FDS + LIMITS_FDS_PER_CONNECTION + UINT64_C(2) * p->num_sockets;
	char text[160];

	if (s->max_fds >= least)
		return true;
	(void)snprintf(text, sizeof(text),
		       "the limit of open files is %" PRIu64 ", at least %" PRIu64
		       " are needed: raise it (ulimit -n, LimitNOFILE=)",
		       s->max_fds, least);
	reload_say(s, CONF_LOG_ERROR, text);
	return false;
}

/* Everything that can fail, done so that it can be taken back. */
static bool reload_prepare(struct supervisor *s, struct publication *p, struct logs *logs)
{
	uint32_t generation = s->generation + 1;
	const char *wrong = NULL;
	struct problems why;
	bool ok;

	problems_init(&why);
	ok = logs_open(logs, p->plan->log_error, p->plan->log_access,
		       (enum conf_log_level)p->plan->log_level, &why);
	if (reload_is_first(s))
		ok = inherit_sockets(s, &why) && ok;
	ok = sockets_prepare(&s->sockets, p->plan, &why) && ok;
	if (ok && reload_is_first(s))
		ok = inherit_admin(s, p->plan, &why);
	reload_say_problems(s, &why);
	problems_fini(&why);
	if (!ok || !reload_has_descriptors(s, p->plan))
		goto fail;
	children_released(s);
	if (!reload_assign_slots(s, p->plan, generation)) {
		reload_say(s, CONF_LOG_ERROR,
			   "too many listeners, pools or servers, with those that old connections "
			   "still use: try again when they have ended");
		goto fail;
	}
	p->plan->generation = generation;
	wrong = "no memory for the keys";
	if (publication_seal(p, &wrong) &&
	    (!p->plan->key_isolation || key_loads_add(&s->key_loads, generation, p->keys)))
		return true;
	reload_say(s, CONF_LOG_ERROR, wrong);
	reload_abandon_slots(s, generation);
fail:
	sockets_abandon(&s->sockets);
	logs_fini(logs);
	return false;
}

static void reload_publish_numbers(struct supervisor *s)
{
	struct metrics_supervisor *m = &board_supervisor(s->board)->metrics;

	__atomic_store_n(&m->generation, s->generation, __ATOMIC_RELAXED);
	__atomic_store_n(&m->certificates, s->now.plan->num_certificates, __ATOMIC_RELAXED);
	__atomic_store_n(&m->certificate_first_expiry_s, (uint64_t)s->now.plan->first_expiry_s,
			 __ATOMIC_RELAXED);
}

/* From here on nothing fails: workers that do are replaced. */
static void reload_commit(struct supervisor *s, struct publication *p, struct logs *logs)
{
	bool first = reload_is_first(s);

	if (!first) {
		reload_count(&s->reload, s->now.plan, p->plan);
		children_send_new_sockets(s);
	}
	sockets_commit(&s->sockets);
	logs->dropped = s->logs.dropped; /* the cell, not the lines */
	logs_fini(&s->logs);
	s->logs = *logs;
	publication_fini(&s->now);
	s->now = *p;
	s->generation++;
	s->reload.state = first || !s->isolated ? RELOAD_PUBLISHING : RELOAD_KEYS;
	if (first && !supervisor_begin(s))
		return;
	reload_publish_numbers(s);
	if (first) {
		children_start(s);
	} else {
		child_send_logs(&s->steward);
		if (s->isolated)
			child_send_keys(&s->keeper);
		else
			children_publish(s);
	}
	reload_progress(s);
}

void reload_keys_adopted(struct supervisor *s)
{
	if (s->reload.state != RELOAD_KEYS || s->keeper.adopted != s->generation)
		return;
	s->reload.state = RELOAD_PUBLISHING;
	children_publish(s);
	reload_progress(s);
}

static void reload_take(struct supervisor *s, int snapshot_fd, int keys_fd)
{
	struct publication p;
	struct logs logs;
	const char *wrong;
	int exit_code = 3;

	if (!publication_take(&p, snapshot_fd, keys_fd, &wrong)) {
		reload_refuse_for(s, exit_code, "the load is of no use: %s", wrong);
		return;
	}
	if (reload_is_first(s)) {
		s->num_workers = p.plan->workers;
		sockets_init(&s->sockets, s->num_workers);
	}
	if (reload_prepare(s, &p, &logs)) {
		reload_commit(s, &p, &logs);
		return;
	}
	publication_fini(&p);
	reload_refuse(s, exit_code);
}

void reload_progress(struct supervisor *s)
{
	struct reload *r = &s->reload;
	char text[160], line[400];

	if (r->state != RELOAD_PUBLISHING || !children_adopted(s))
		return;
	if (!s->served && children_serving(s))
		supervisor_serving(s);
	/* Before that, the files of what we inherited are not ours to remove. */
	if (s->served)
		sockets_close_leaving(&s->sockets);
	if (s->generation > 1) {
		(void)snprintf(text, sizeof(text), "%" PRIu64 " (before: %" PRIu64 ")",
			       s->now.plan->num_certificates, r->certificates_before);
		(void)snprintf(line, sizeof(line),
			       "reloaded: generation %u, listeners +%u -%u =%u, pools +%u -%u =%u, "
			       "certificates %s, in %" PRId64 " ms",
			       s->generation, r->listeners.added, r->listeners.removed,
			       r->listeners.total, r->pools.added, r->pools.removed, r->pools.total,
			       text, (supervision_now() - r->began_ns) / SUPERVISION_MS);
		logs_say(&s->logs, CONF_LOG_INFO, "%s", line);
		reload_note(s, true);
		commands_outcome(s, r->ticket, true, line);
	}
	reload_idle(s);
}

/* ---- the loader */

/* True where more may come. */
static bool reload_message(struct supervisor *s, const struct channel_message *m, int *fds,
			   size_t num_fds)
{
	struct reload *r = &s->reload;
	size_t wanted = m->type == CHANNEL_LOADED && (m->flags & 1) != 0 ? 2 : 0;

	r->answered = m->type != CHANNEL_PROBLEM;
	if (r->answered)
		reload_forget_loader(r);
	if (num_fds != wanted || (m->type != CHANNEL_LOADED && m->type != CHANNEL_PROBLEM)) {
		while (num_fds > 0)
			(void)close(fds[--num_fds]);
		reload_refuse_for(s, 3, "the loader sent a message that makes no sense");
		return false;
	}
	if (m->type == CHANNEL_PROBLEM) {
		reload_say(s, m->flags == CONF_LOG_WARNING ? CONF_LOG_WARNING : CONF_LOG_ERROR,
			   m->text);
		return true;
	}
	if (wanted == 2)
		reload_take(s, fds[0], fds[1]);
	else
		reload_refuse(s, 1);
	return false;
}

/* Reads up to `max` messages. */
static void reload_read(struct supervisor *s, int max)
{
	struct reload *r = &s->reload;
	struct channel_message m;
	int fds[CHANNEL_MAX_FDS];
	size_t num_fds;

	for (int i = 0; i < max && r->fd >= 0 && !r->answered; i++) {
		switch (channel_receive(r->fd, &m, fds, &num_fds)) {
		case CHANNEL_AGAIN:
			return;
		case CHANNEL_GONE:
			/* Why, its end will tell. */
			(void)event_del(r->input);
			return;
		case CHANNEL_GOT:
			if (!reload_message(s, &m, fds, num_fds))
				return;
			break;
		}
	}
}

static void reload_input(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	reload_read(arg, RELOAD_MESSAGES_PER_TURN);
}

static void reload_impatient(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)fd;
	(void)what;
	s->reload.answered = true;
	reload_refuse_for(s, 3, "the load took longer than %" PRId64 " s and was given up",
			  SUPERVISION_LOAD_NS / 1000 / SUPERVISION_MS);
}

void reload_loader_ended(struct supervisor *s, int status)
{
	struct reload *r = &s->reload;
	char how[64];

	/* Its last words may still be on the channel: a bounded number. */
	r->loader = 0;
	if (r->state == RELOAD_LOADING && !r->answered)
		reload_read(s, PROBLEMS_MAX + 2);
	if (r->state == RELOAD_LOADING && !r->answered) {
		r->answered = true;
		spawn_say_end(status, how, sizeof(how));
		reload_refuse_for(s, 3, "the loader %s before it was done", how);
	}
	reload_resume(s);
}

static bool reload_spawn(struct supervisor *s)
{
	const struct loader_source *from = &s->options->source;
	const char *argv[] = { "sallyport: loader", "@loader", from->file, from->folder, NULL };
	struct spawn_role role = { .argv = argv, .environment = true, .ends_with_us = true };
	struct channel_message m = { .type = CHANNEL_START, .parts = 1 };
	struct reload *r = &s->reload;
	size_t n = 0;
	int fds[2];

	if (from->text_fd >= 0) {
		m.flags |= LOADER_TEXT;
		fds[n++] = from->text_fd;
	}
	if (s->now.snapshot != NULL) {
		m.flags |= LOADER_PREVIOUS;
		fds[n++] = s->now.snapshot->fd;
	}
	if (!spawn_start(s->exe_fd, &role, &r->loader, &r->fd))
		return false;
	r->input = event_new(s->base, r->fd, EV_READ | EV_PERSIST, reload_input, s);
	return r->input != NULL && event_add(r->input, NULL) == 0 &&
	       channel_send(r->fd, &m, fds, n);
}

void reload_begin(struct supervisor *s)
{
	struct reload *r = &s->reload;

	if (r->state != RELOAD_IDLE || r->loader != 0 || s->upgrade.pid != 0) {
		r->again = true;
		return;
	}
	r->began_ns = supervision_now();
	r->answered = false;
	r->num_errors = 0;
	r->reason[0] = r->said[0] = '\0';
	r->ticket = r->asked;
	r->asked = 0;
	r->state = RELOAD_LOADING;
	if (s->served)
		reload_notify();
	supervision_after(r->patience, SUPERVISION_LOAD_NS);
	if (!reload_spawn(s)) {
		r->answered = true;
		reload_refuse_for(s, 3, "the loader cannot be started: %s", strerror(errno));
	}
}

void reload_stop(struct supervisor *s)
{
	struct reload *r = &s->reload;

	reload_forget_loader(r);
	r->state = RELOAD_IDLE;
	r->again = false;
	/* The later number is for both. */
	commands_outcome(s, r->asked > r->ticket ? r->asked : r->ticket, false,
			 "not reloaded: the end has begun");
	reload_forget_commands(s);
}

void reload_command(struct supervisor *s, uint32_t ticket)
{
	if (s->stage != STAGE_SERVING) {
		commands_outcome(s, ticket, false, "not reloaded: the end has begun");
		return;
	}
	s->reload.asked = ticket;
	reload_begin(s);
}

void reload_forget_commands(struct supervisor *s)
{
	s->reload.asked = s->reload.ticket = 0;
}

bool reload_init(struct supervisor *s)
{
	s->reload = (struct reload){ .fd = -1 };
	s->reload.patience = evtimer_new(s->base, reload_impatient, s);
	return s->reload.patience != NULL;
}

void reload_fini(struct supervisor *s)
{
	if (s->reload.patience == NULL)
		return;
	reload_forget_loader(&s->reload);
	event_free(s->reload.patience);
	s->reload.patience = NULL;
}
