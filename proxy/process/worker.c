/* worker: one thread, one loop, all traffic of its share of the connections. Knows what the
 * supervisor tells it over the channel, and nothing else: opens no file, resolves no name. */

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "certs/keeper_area.h"
#include "certs/keys.h"
#include "certs/tickets.h"
#include "conf/must.h"
#include "conf/problems.h"
#include "proxy/http/upstream.h"
#include "proxy/net/listener.h"
#include "proxy/net/pending.h"
#include "proxy/net/traffic.h"
#include "proxy/process/board.h"
#include "proxy/process/channel.h"
#include "proxy/process/priority.h"
#include "proxy/process/role.h"
#include "proxy/process/sandbox.h"
#include "proxy/process/snapshot.h"
#include "proxy/process/stack.h"

enum { MESSAGES_PER_TURN = 32, ANSWERS_AT_ONCE = 16, KEEPER_FDS = 4 };
#define SIGN_NS_PER_TURN INT64_C(1000000)
#define ORPHAN_DRAIN_NS INT64_C(25000000000) /* without a supervisor, and no configuration yet */

struct worker {
	struct traffic traffic;
	struct board *board;
	struct keys *keys;
	struct keeper_area *keeper; /* NULL: this process signs */
	struct event *answered;	    /* the keeper has */
	int asked_fd;		    /* wakes the keeper */
	int alive_fd;		    /* closed when this process ends, which tells the keeper */
	struct tickets *tickets;
	struct sites sites;
	struct event *channel;
	uint32_t number, num_workers;
	uint32_t protection; /* enum sandbox_part */
	uint32_t released;   /* last generation that was reported */
	bool draining;
	struct timer drain_timer;
	int *fds; /* of the board, while START comes in parts */
	size_t num_fds;
};

static void tell(struct worker *w, struct channel_message *m)
{
	m->number = w->number;
	/* A full queue means that the supervisor hangs: it will ask again by killing us. */
	if (!channel_send(CHANNEL_FD, m, NULL, 0) && w->board != NULL)
		journal_event(&w->traffic.journal, CONF_LOG_ERROR,
			      "cannot answer the supervisor: %s", strerror(errno));
}

static void drop_fds(const int *fds, size_t num_fds)
{
	for (size_t i = 0; i < num_fds; i++)
		(void)close(fds[i]);
}

/* ---- signing, between the classes of a turn ---- */

static void sign(void *arg)
{
	struct worker *w = arg;
	int64_t now = loop_clock_ns(), until = now + SIGN_NS_PER_TURN;

	(void)keys_shed(w->keys, now);
	do
		keys_run(w->keys, w->keeper == NULL ? 1 : ANSWERS_AT_ONCE);
	while (keys_ready(w->keys) && loop_clock_ns() < until);
}

static size_t sign_waiting(const void *arg)
{
	const struct worker *w = arg;

	return keys_ready(w->keys) ? keys_waiting(w->keys) : 0;
}

/* ---- the keeper */

static void wake_keeper(void *arg)
{
	const struct worker *w = arg;

	/* It counts up to 2^64: it is never full. */
	(void)eventfd_write(w->asked_fd, 1);
}

/* Answers are looked for in each turn: this makes that there is one. */
static void answers_came(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static void leave_keeper(struct worker *w)
{
	if (w->answered != NULL) {
		(void)close(event_get_fd(w->answered));
		event_free(w->answered);
	}
	w->answered = NULL;
	if (w->asked_fd >= 0)
		(void)close(w->asked_fd);
	if (w->alive_fd >= 0)
		(void)close(w->alive_fd);
	w->asked_fd = w->alive_fd = -1;
	if (w->keeper != NULL)
		(void)munmap(w->keeper, keeper_area_size());
	w->keeper = NULL;
}

/* A keeper, or one that was started after it: asks it for all that the last one owes. False: there
 * is no way to speak to it. */
static bool join_keeper(struct worker *w, const int fds[KEEPER_FDS])
{
	struct keeper_area *area;

	area = mmap(NULL, keeper_area_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
	(void)close(fds[0]);
	if (area == MAP_FAILED) {
		drop_fds(fds + 1, KEEPER_FDS - 1);
		return false;
	}
	keys_use_keeper(w->keys, area, wake_keeper, w);
	leave_keeper(w);
	w->keeper = area;
	w->asked_fd = fds[1];
	w->alive_fd = fds[3];
	w->answered = event_new(w->traffic.loop->base, fds[2], EV_READ | EV_PERSIST | EV_ET,
				answers_came, w);
	if (w->answered == NULL)
		(void)close(fds[2]);
	return w->answered != NULL && event_add(w->answered, NULL) == 0;
}

/* ---- the end ---- */

static void look_for_end(struct worker *w)
{
	if (w->draining && w->traffic.num_clients == 0)
		loop_finish(w->traffic.loop);
}

static void client_ended(void *arg)
{
	struct worker *w = arg;

	listener_room(&w->traffic);
	look_for_end(w);
}

static void drain_over(struct timer *t)
{
	struct worker *w = (struct worker *)((char *)t - offsetof(struct worker, drain_timer));

	if (w->traffic.num_clients > 0)
		journal_event(&w->traffic.journal, CONF_LOG_WARNING,
			      "drain_timeout is over: ending %zu connections",
			      w->traffic.num_clients);
	clients_end_all(&w->traffic, CAUSE_DRAIN);
	loop_stop(w->traffic.loop);
}

static void drain(struct worker *w, int64_t within_ns)
{
	if (!w->draining) {
		listener_drain(&w->traffic);
		clients_drain(&w->traffic);
		upstreams_drain(w->traffic.upstreams);
	}
	w->draining = true; /* asked again, there is less time left */
	loop_after(w->traffic.loop, &w->drain_timer, within_ns > 0 ? within_ns : 1);
	look_for_end(w);
}

/* ---- snapshots ---- */

/* The oldest site tells which generations nobody here uses any more. */
static void site_gone(void *arg)
{
	struct worker *w = arg;
	const struct site *oldest = TAILQ_FIRST(&w->sites.list);
	struct channel_message m = { .type = CHANNEL_RELEASED };

	if (oldest == NULL || oldest->snapshot->plan->generation <= w->released)
		return;
	w->released = oldest->snapshot->plan->generation;
	m.generation = w->released;
	tell(w, &m);
}

static void use_settings(struct worker *w, const struct conf *c)
{
	struct traffic *t = &w->traffic;

	t->journal.access = c->log.access != NULL;
	t->journal.level = c->log.level;
	t->limits.connections = c->limits.connections;
	t->limits.connections_per_address = c->limits.connections_per_address;
}

static void adopt(struct worker *w, struct snapshot *s)
{
	struct traffic *t = &w->traffic;
	struct snapshot *before = t->now;
	struct channel_message m = { .type = CHANNEL_ADOPTED, .generation = s->plan->generation };

	t->now = s;
	use_settings(w, s->conf);
	listener_adopt(t, before);
	upstreams_adopt(t->upstreams);
	if (before != NULL)
		clients_retire(t, s->conf->drain_timeout_ns);
	__atomic_store_n(&t->page->metrics.generation, s->plan->generation, __ATOMIC_RELEASE);
	snapshot_unref(before);
	tell(w, &m);
	listener_room(t);
}

static void take_snapshot(struct worker *w, const struct channel_message *got, int *fds,
			  size_t num_fds)
{
	struct channel_message m = { .type = CHANNEL_FAILED, .generation = got->generation };
	struct site_parts parts = {
		.keys = w->keys,
		.tickets = w->tickets,
		.board = w->board,
		.worker = w->number,
		.now_ns = &w->traffic.loop->now_ns,
		.shun = w->traffic.shun,
		.sites = &w->sites,
	};
	struct snapshot *s = NULL;
	struct problems why;

	problems_init(&why);
	if (num_fds > 0)
		s = snapshot_open(fds[0], num_fds > 1 ? fds[1] : -1, &why);
	for (size_t i = 2; i < num_fds; i++)
		(void)close(fds[i]);
	if (s != NULL && w->draining) {
		snapshot_unref(s);
	} else if (s != NULL && site_new(s, &parts, &why) != NULL) {
		adopt(w, s);
	} else {
		(void)snprintf(m.text, sizeof(m.text), "%s: %s",
			       why.num > 0 ? why.list[0].where : "snapshot",
			       why.num > 0 ? why.list[0].what : "out of memory");
		snapshot_unref(s);
		tell(w, &m);
	}
	problems_fini(&why);
}

/* ---- the channel ---- */

/* True once all parts have come and the worker has its place. */
static bool take_start(struct worker *w, const struct channel_message *m, const int *fds,
		       size_t num_fds)
{
	struct traffic *t = &w->traffic;
	int *grown = realloc(w->fds, (w->num_fds + num_fds + 1) * sizeof(int));

	if (grown == NULL)
		return false;
	w->fds = grown;
	memcpy(w->fds + w->num_fds, fds, num_fds * sizeof(int));
	w->num_fds += num_fds;
	if (m->part + 1 < m->parts)
		return true;
	if (m->num_workers == 0 || m->number >= m->num_workers ||
	    w->num_fds != board_num_fds(m->num_workers))
		return false;
	w->number = m->number;
	w->num_workers = m->num_workers;
	w->board = board_map(BOARD_WORKER, w->number, w->num_workers, w->fds);
	if (w->board == NULL)
		return false;
	t->page = board_worker(w->board, w->number);
	t->limits =
		(struct limits){ .board = w->board, .worker = w->number, .max_fds = m->max_fds };
	t->journal = (struct journal){
		.head = &t->page->ring,
		.tail = &board_steward(w->board)->tails[w->number],
		.dropped = &t->page->metrics.log_dropped,
		.worker = w->number,
		.level = CONF_LOG_INFO,
	};
	tell(w, &(struct channel_message){ .type = CHANNEL_READY, .flags = w->protection });
	return true;
}

/* False: the supervisor does not speak our language; nothing good can come of going on. */
static bool take(struct worker *w, struct channel_message *m, int *fds, size_t num_fds)
{
	if (m->type == CHANNEL_START)
		return take_start(w, m, fds, num_fds);
	if (w->board == NULL) {
		drop_fds(fds, num_fds);
		return false;
	}
	switch (m->type) {
	case CHANNEL_SOCKET:
		if (num_fds != 1) {
			drop_fds(fds, num_fds);
			return false;
		}
		if (!w->draining)
			return listener_open(&w->traffic, fds[0], m->number, m->owner);
		(void)close(fds[0]);
		return true;
	case CHANNEL_SOCKET_DROP:
		listener_drop(&w->traffic, m->owner);
		return true;
	case CHANNEL_KEEPER:
		if (num_fds != KEEPER_FDS) {
			drop_fds(fds, num_fds);
			return false;
		}
		return join_keeper(w, fds);
	case CHANNEL_TICKETS:
		if (m->num_keys == 0 || m->num_keys > TICKETS_KEYS)
			return false;
		tickets_set(w->tickets, m->keys, m->num_keys);
		return true;
	case CHANNEL_SNAPSHOT:
		take_snapshot(w, m, fds, num_fds);
		return true;
	case CHANNEL_DRAIN:
		drain(w, m->ns);
		return true;
	default:
		drop_fds(fds, num_fds);
		return false;
	}
}

static void channel_event(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	struct channel_message m;
	int fds[CHANNEL_MAX_FDS];
	size_t num_fds;

	(void)what;
	/* The loop takes the time after its callbacks; what is set from here must not count from
	 * the last turn. */
	w->traffic.loop->now_ns = loop_clock_ns();
	for (int i = 0; i < MESSAGES_PER_TURN; i++) {
		bool fine;

		switch (channel_receive(fd, &m, fds, &num_fds)) {
		case CHANNEL_AGAIN:
			return;
		case CHANNEL_GONE:
			/* Finish what there is; a new supervisor has workers of its own. */
			(void)event_del(w->channel);
			drain(w, w->traffic.now == NULL ? ORPHAN_DRAIN_NS
							: w->traffic.now->conf->drain_timeout_ns);
			return;
		case CHANNEL_GOT:
			break;
		}
		fine = take(w, &m, fds, num_fds);
		OPENSSL_cleanse(m.keys, sizeof(m.keys));
		if (!fine) {
			loop_stop(w->traffic.loop);
			return;
		}
	}
}

static bool begin(struct worker *w)
{
	struct traffic *t = &w->traffic;

	w->asked_fd = w->alive_fd = -1;
	TAILQ_INIT(&t->clients);
	TAILQ_INIT(&t->listeners);
	TAILQ_INIT(&w->sites.list);
	w->sites.gone = site_gone;
	w->sites.gone_arg = w;
	t->client_ended = client_ended;
	t->client_ended_arg = w;
	w->drain_timer.fire = drain_over;
	if (!stack_listen() || getrandom(t->random, sizeof(t->random), 0) != sizeof(t->random))
		return false;
	t->random[0] |= 1;
	if ((t->loop = loop_new()) == NULL || (w->keys = keys_new()) == NULL ||
	    (w->tickets = tickets_new()) == NULL || (t->upstreams = upstreams_new(t)) == NULL ||
	    (t->pending = pending_new(t)) == NULL ||
	    (t->shun = calloc(1, sizeof(*t->shun))) == NULL)
		return false;
	t->loop->between = sign;
	t->loop->between_waiting = sign_waiting;
	t->loop->between_arg = w;
	w->channel = event_new(t->loop->base, CHANNEL_FD, EV_READ | EV_PERSIST, channel_event, w);
	return w->channel != NULL && event_add(w->channel, NULL) == 0;
}

static void end(struct worker *w)
{
	struct traffic *t = &w->traffic;

	if (t->loop != NULL && t->page != NULL) {
		listener_leave(t);
		clients_end_all(t, CAUSE_DRAIN);
		upstreams_free(t->upstreams);
		pending_free(t->pending);
		t->upstreams = NULL;
		t->pending = NULL;
		loop_bury(t->loop);
		journal_flush_suppressed(&t->journal);
	}
	snapshot_unref(t->now);
	upstreams_free(t->upstreams);
	pending_free(t->pending);
	free(t->shun);
	tickets_free(w->tickets);
	keys_free(w->keys);
	leave_keeper(w);
	if (w->channel != NULL)
		event_free(w->channel);
	loop_free(t->loop);
	board_free(w->board);
	free(w->fds);
	free(w);
}

int worker_main(bool sandboxed)
{
	struct worker *w = calloc(1, sizeof(*w));
	bool good;

	if (w == NULL)
		return 3;
	priority_prompt();
	good = begin(w);
	w->protection = sandbox_enter(SANDBOX_WORKER, sandboxed ? SANDBOX_ALL : 0);
	good = good && loop_run(w->traffic.loop) && w->draining;
	end(w);
	return good ? 0 : 3;
}
