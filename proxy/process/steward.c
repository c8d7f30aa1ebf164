/* steward: the process beside the traffic: writes the logs, answers the admin endpoint, keeps the
 * addresses of servers' names up to date, asks servers whether they are well, takes those that fail
 * out of use. Knows what
 * the supervisor tells it over the channel; may die and come back without a connection noticing. */

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certs/compat.h"
#include "conf/must.h"
#include "conf/problems.h"
#include "proxy/net/loop.h"
#include "proxy/observe/admin.h"
#include "proxy/observe/exposition.h"
#include "proxy/observe/logwriter.h"
#include "proxy/observe/names.h"
#include "proxy/process/board.h"
#include "proxy/process/channel.h"
#include "proxy/process/discovery.h"
#include "proxy/process/ejector.h"
#include "proxy/process/name_files.h"
#include "proxy/process/prober.h"
#include "proxy/process/role.h"
#include "proxy/process/sandbox.h"
#include "proxy/process/snapshot.h"
#include "proxy/process/status.h"
#include "version.h"

enum {
	STEWARD_MAGIC = 0x73746577,
	STEWARD_BOARD_FDS = CONF_MAX_WORKERS + 2,
	ORPHAN_LOOK_MS = 200,
	LOGS_ERROR = 1, /* flags of CHANNEL_LOGS */
	LOGS_ACCESS = 2,
};

#define FLUSH_NS INT64_C(5000000000)
#define ORPHAN_NS INT64_C(30000000000) /* the workers have 25 s, see worker.c */

struct steward {
	unsigned magic;
	struct loop *loop;
	struct event_base *base; /* the loop's */
	struct event *channel;
	uint32_t protection;  /* enum sandbox_part */
	struct event *orphan; /* set when the supervisor has gone */
	int64_t orphan_end_ns;
	int fds[STEWARD_BOARD_FDS]; /* of the board, while START comes in parts */
	size_t num_fds;
	struct board *board;
	struct logwriter *log;
	struct names *names;
	struct admin *admin;
	struct ejector *ejector;
	struct prober *prober;
	struct resolver *resolver;
	struct discovery *discovery;
	const struct metrics_worker *workers[CONF_MAX_WORKERS];
	struct exposition_source from;
	int64_t flush_ns; /* how long writing what is left may take */
	bool finished;	  /* in good order */
};

static void drop_fds(const int *fds, size_t num_fds)
{
	for (size_t i = 0; i < num_fds; i++)
		(void)close(fds[i]);
}

static void tell(struct steward *s, const struct channel_message *m)
{
	/* A full queue means that the supervisor hangs: it will ask again by killing us. */
	if (!channel_send(CHANNEL_FD, m, NULL, 0))
		logwriter_say(s->log, CONF_LOG_ERROR, "cannot answer the supervisor: %s",
			      strerror(errno));
}

static void stop(struct steward *s)
{
	loop_stop(s->loop);
}

/* ---- start */

static bool take_place(struct steward *s, const struct channel_message *m)
{
	struct logwriter_ring rings[CONF_MAX_WORKERS];

	if (m->num_workers == 0 || m->num_workers > CONF_MAX_WORKERS ||
	    s->num_fds != board_num_fds(m->num_workers))
		return false;
	s->board = board_map(BOARD_STEWARD, 0, m->num_workers, s->fds);
	s->num_fds = 0;
	if (s->board == NULL)
		return false;
	for (unsigned i = 0; i < m->num_workers; i++) {
		s->workers[i] = &board_worker(s->board, i)->metrics;
		rings[i] = (struct logwriter_ring){
			.head = &board_worker(s->board, i)->ring,
			.tail = &board_steward(s->board)->tails[i],
		};
	}
	s->from = (struct exposition_source){
		.workers = s->workers,
		.num_workers = m->num_workers,
		.supervisor = &board_supervisor(s->board)->metrics,
		.steward = &board_steward(s->board)->metrics,
		.version = SALLYPORT_VERSION,
		.crypto = compat_library(),
	};
	s->log = logwriter_new(rings, m->num_workers, &board_steward(s->board)->metrics);
	if (s->log == NULL || (s->ejector = ejector_new(s->base, s->board, s->log)) == NULL ||
	    (s->prober = prober_new(s->loop, s->board, s->log)) == NULL ||
	    (s->discovery = discovery_new(s->base, s->board, s->log, s->resolver)) == NULL)
		return false;
	tell(s, &(struct channel_message){ .type = CHANNEL_READY, .flags = s->protection });
	return true;
}

static bool take_start(struct steward *s, const struct channel_message *m, const int *fds,
		       size_t num_fds)
{
	if (s->board != NULL || num_fds > STEWARD_BOARD_FDS - s->num_fds) {
		drop_fds(fds, num_fds);
		return false;
	}
	memcpy(s->fds + s->num_fds, fds, num_fds * sizeof(fds[0]));
	s->num_fds += num_fds;
	return m->part + 1 < m->parts || take_place(s, m);
}

/* ---- what the supervisor says later */

static struct names *names_of(const struct snapshot *snapshot, const struct names *old)
{
	const struct plan *plan = snapshot->plan;
	struct names *names = names_new(old);
	bool ok = names != NULL;

	for (uint32_t i = 0; ok && i < plan->num_listeners; i++) {
		const struct plan_listener *l = snapshot_listener(snapshot, i);

		ok = names_set_listener(names, l->slot, l->name);
	}
	for (uint32_t i = 0; ok && i < plan->num_pools; i++) {
		const struct plan_pool *p = snapshot_pool(snapshot, i);

		ok = names_set_pool(names, p->slot, p->name);
	}
	for (uint32_t i = 0; ok && i < plan->num_servers; i++) {
		const struct plan_server *v = snapshot_server(snapshot, i);

		ok = v->pool < plan->num_pools &&
		     names_set_server(names, v->slot, snapshot_pool(snapshot, v->pool)->slot,
				      v->name);
	}
	if (ok && names_seal(names))
		return names;
	names_unref(names);
	return NULL;
}

/* What is needed of a snapshot is copied: it is let go of at once. */
static void take_snapshot(struct steward *s, const struct channel_message *m, int fd)
{
	struct channel_message answer = { .type = CHANNEL_FAILED, .generation = m->generation };
	struct snapshot *snapshot = NULL;
	struct names *names = NULL;
	struct problems why;

	problems_init(&why);
	if ((snapshot = snapshot_open(fd, -1, &why)) != NULL)
		names = names_of(snapshot, s->names);
	if (names != NULL && ejector_adopt(s->ejector, snapshot) &&
	    discovery_adopt(s->discovery, snapshot) && prober_adopt(s->prober, snapshot)) {
		logwriter_set_names(s->log, names,
				    (struct logwriter_style){ snapshot->conf->log.level,
							      snapshot->conf->log.format });
		names_unref(s->names);
		s->names = names;
		s->from.names = names;
		answer.type = CHANNEL_ADOPTED;
	} else {
		(void)snprintf(answer.text, sizeof(answer.text), "%.400s: %.511s",
			       why.num > 0 ? why.list[0].where : "snapshot",
			       why.num > 0 ? why.list[0].what : "no memory for its names");
	}
	if (answer.type != CHANNEL_ADOPTED)
		names_unref(names);
	snapshot_unref(snapshot);
	problems_fini(&why);
	tell(s, &answer);
	if (answer.type == CHANNEL_ADOPTED) {
		answer.type = CHANNEL_RELEASED;
		tell(s, &answer);
	}
}

static bool take_logs(struct steward *s, const struct channel_message *m, const int *fds,
		      size_t num_fds)
{
	int logs[LOGWRITER_SINKS] = { -1, -1 };
	size_t n = 0;

	if (num_fds != (size_t)__builtin_popcount(m->flags & (LOGS_ERROR | LOGS_ACCESS))) {
		drop_fds(fds, num_fds);
		return false;
	}
	if ((m->flags & LOGS_ERROR) != 0)
		logs[LOGWRITER_ERROR] = fds[n++];
	if ((m->flags & LOGS_ACCESS) != 0)
		logs[LOGWRITER_ACCESS] = fds[n++];
	logwriter_set_logs(s->log, logs[LOGWRITER_ERROR], logs[LOGWRITER_ACCESS]);
	return true;
}

static bool take_name_files(struct steward *s, const struct channel_message *m, const int *fds,
			    size_t num_fds)
{
	int files[NAME_FILES];
	size_t n = 0;

	if (m->flags >= 1U << NAME_FILES || num_fds != (size_t)__builtin_popcount(m->flags)) {
		drop_fds(fds, num_fds);
		return false;
	}
	for (unsigned i = 0; i < NAME_FILES; i++)
		files[i] = (m->flags & 1U << i) != 0 ? fds[n++] : -1;
	if (name_files_tell(s->resolver, files))
		discovery_again(s->discovery);
	else
		logwriter_say(s->log, CONF_LOG_ERROR, "%s cannot be taken: out of memory",
			      name_files_path(NAME_FILE_RESOLV_CONF));
	drop_fds(fds, num_fds);
	return true;
}

static char *status(void *self)
{
	struct steward *s = self;

	CHECK(s, STEWARD_MAGIC);
	return status_json(s->board, &s->from);
}

static bool command(void *self, enum admin_command what, uint32_t ticket)
{
	struct steward *s = self;

	CHECK(s, STEWARD_MAGIC);
	return channel_send(CHANNEL_FD,
			    &(struct channel_message){
				    .type = CHANNEL_COMMAND, .number = ticket, .flags = what },
			    NULL, 0);
}

static void take_admin(struct steward *s, const struct channel_message *m, int fd)
{
	struct admin_owner owner = {
		.self = s, .status = status, .command = command, .uid = m->owner
	};

	admin_free(s->admin);
	s->admin = NULL;
	if (fd >= 0 && (s->admin = admin_new(s->base, fd, &s->from, &owner, ADMIN_TOTAL_S)) == NULL)
		logwriter_say(s->log, CONF_LOG_ERROR,
			      "the admin endpoint cannot be served: out of memory");
}

/* False: the supervisor does not speak our language; nothing good can come of going on. */
static bool take(struct steward *s, const struct channel_message *m, const int *fds, size_t num_fds)
{
	if (m->type == CHANNEL_START)
		return take_start(s, m, fds, num_fds);
	if (s->board == NULL) {
		drop_fds(fds, num_fds);
		return false;
	}
	if (m->type == CHANNEL_LOGS)
		return take_logs(s, m, fds, num_fds);
	if (m->type == CHANNEL_NAMES)
		return take_name_files(s, m, fds, num_fds);
	if (m->type == CHANNEL_SNAPSHOT && num_fds == 1) {
		take_snapshot(s, m, fds[0]);
		return true;
	}
	if (m->type == CHANNEL_ADMIN && num_fds <= 1) {
		take_admin(s, m, num_fds == 1 ? fds[0] : -1);
		return true;
	}
	if (m->type == CHANNEL_OUTCOME && num_fds == 0) {
		if (s->admin != NULL)
			admin_outcome(s->admin, m->number, (m->flags & 1) != 0, m->text);
		return true;
	}
	drop_fds(fds, num_fds);
	if (m->type != CHANNEL_DRAIN)
		return false;
	if (m->ns > 0 && m->ns < s->flush_ns)
		s->flush_ns = m->ns;
	s->finished = true;
	stop(s);
	return true;
}

/* ---- the end */

/* Without a supervisor the workers finish what they have; so long their logs are written. */
static void orphan_look(evutil_socket_t unused, short what, void *arg)
{
	static const struct timeval again = { .tv_usec = ORPHAN_LOOK_MS * 1000 };
	struct steward *s = arg;
	uint64_t connections;

	(void)unused;
	(void)what;
	CHECK(s, STEWARD_MAGIC);
	connections = metrics_sum(s->workers, s->from.num_workers,
				  offsetof(struct metrics_worker, connections));
	if (connections != 0 && loop_clock_ns() < s->orphan_end_ns &&
	    evtimer_add(s->orphan, &again) == 0)
		return;
	s->finished = true;
	stop(s);
}

static void orphaned(struct steward *s)
{
	static const struct timeval soon = { .tv_usec = ORPHAN_LOOK_MS * 1000 };

	(void)event_del(s->channel);
	/* The address is for whoever comes after. */
	admin_free(s->admin);
	s->admin = NULL;
	s->orphan_end_ns = loop_clock_ns() + ORPHAN_NS;
	if (s->board == NULL || evtimer_add(s->orphan, &soon) != 0)
		stop(s);
}

static void channel_event(evutil_socket_t fd, short what, void *arg)
{
	struct steward *s = arg;
	struct channel_message m;
	int fds[CHANNEL_MAX_FDS];
	size_t num_fds;

	(void)what;
	CHECK(s, STEWARD_MAGIC);
	switch (channel_receive(fd, &m, fds, &num_fds)) {
	case CHANNEL_AGAIN:
		return;
	case CHANNEL_GONE:
		orphaned(s);
		return;
	case CHANNEL_GOT:
		break;
	}
	if (!take(s, &m, fds, num_fds))
		stop(s);
}

/* Signals are for the supervisor, but a terminal or a service manager sends them to all. */
static bool ignore_signals(void)
{
	static const int ignored[] = {
		SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGPIPE
	};
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
		if (sigaction(ignored[i], &ignore, NULL) != 0)
			return false;
	}
	return true;
}

static bool begin(struct steward *s)
{
	s->magic = STEWARD_MAGIC;
	s->flush_ns = FLUSH_NS;
	if (!ignore_signals() || (s->loop = loop_new()) == NULL)
		return false;
	s->base = s->loop->base;
	s->loop->now_ns = loop_clock_ns();
	wheel_init(&s->loop->wheel, s->loop->now_ns);
	if ((s->resolver = resolver_new(s->base)) == NULL)
		return false;
	s->channel = event_new(s->base, CHANNEL_FD, EV_READ | EV_PERSIST, channel_event, s);
	s->orphan = evtimer_new(s->base, orphan_look, s);
	return s->channel != NULL && s->orphan != NULL && event_add(s->channel, NULL) == 0;
}

/* True: every line has been written. */
static bool end(struct steward *s)
{
	bool written;

	admin_free(s->admin);
	ejector_free(s->ejector);
	prober_free(s->prober);
	if (s->loop != NULL)
		loop_bury(s->loop);
	discovery_free(s->discovery);
	resolver_free(s->resolver);
	if (s->base != NULL) /* what libevent still frees */
		(void)event_base_loop(s->base, EVLOOP_NONBLOCK);
	written = s->log == NULL || logwriter_finish(s->log, s->flush_ns);
	if (s->channel != NULL)
		event_free(s->channel);
	if (s->orphan != NULL)
		event_free(s->orphan);
	loop_free(s->loop);
	names_unref(s->names);
	drop_fds(s->fds, s->num_fds);
	/* The thread that is still writing uses the board. */
	if (written)
		board_free(s->board);
	free(s);
	return written;
}

int steward_main(bool sandboxed)
{
	struct steward *s = calloc(1, sizeof(*s));
	bool good;

	if (s == NULL)
		return 3;
	good = begin(s);
	s->protection = sandbox_enter(SANDBOX_STEWARD, sandboxed ? SANDBOX_ALL : 0);
	good = good && loop_run(s->loop) && s->finished;
	/* Logs that take nothing are no failure of ours: what is left was counted. */
	(void)end(s);
	return good ? 0 : 3;
}
