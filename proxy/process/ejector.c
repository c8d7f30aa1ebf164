#include "proxy/process/ejector.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/net/loop.h"
#include "proxy/observe/cause.h"
#include "proxy/pool/eject.h"

enum { LOOK_MS = 250 };

struct watched_pool {
	char name[SNAPSHOT_TEXT];
	struct eject_rule rule;
	unsigned max_percent, panic_percent;
	uint32_t slot;
	unsigned num, out; /* servers */
	unsigned idle;	   /* of them, what is out of use for whatever cause, as counted now */
	bool panics;
};

struct watched {
	char name[SNAPSHOT_TEXT];
	uint32_t slot;
	uint32_t pool;
};

struct ejector {
	const struct board *board;
	struct logwriter *log;
	struct event *timer;
	struct watched_pool *pools;
	struct watched *servers;
	uint32_t num_servers, num_pools;
	struct eject_server states[METRICS_SERVERS]; /* by slot */
};

/* ---- what is found */

/* A server of HTTP has succeeded when it has answered, whatever; of another only connecting is
 * known. */
static struct eject_counts counts_of(const struct board *b, uint32_t slot)
{
	uint64_t answers = 0, unanswered = 0, connects = 0;
	struct eject_counts c = { 0 };

	for (unsigned w = 0; w < board_workers(b); w++) {
		const struct metrics_server *m = &board_worker(b, w)->metrics.servers[slot];

		for (unsigned i = 0; i < CAUSE_COUNT; i++)
			c.failures += i == CAUSE_MEMORY ? 0 : metrics_read(&m->failures[i]);
		for (unsigned i = 1; i < METRICS_CLASSES; i++)
			answers += metrics_read(&m->requests[i]);
		unanswered += metrics_read(&m->requests[0]);
		connects += metrics_read(&m->connects);
	}
	c.successes = answers + unanswered > 0 ? answers : connects;
	return c;
}

static void set_out(struct ejector *e, uint32_t slot, bool out)
{
	struct board_server *to = &board_steward(e->board)->servers[slot];

	__atomic_store_n(&to->back_ns, e->states[slot].back_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&to->out, out, __ATOMIC_RELEASE);
}

static void take_out(struct ejector *e, const struct watched *w, int64_t now)
{
	struct metrics_steward *metrics = &board_steward(e->board)->metrics;
	struct watched_pool *p = &e->pools[w->pool];

	p->out++;
	set_out(e, w->slot, true);
	metrics_add(&metrics->ejections, 1);
	metrics_add(&metrics->ejected, 1);
	logwriter_say(e->log, CONF_LOG_WARNING,
		      "pool %s: server %s failed %u times in a row and gets nothing for %.1f s (%u "
		      "of %u are out)",
		      p->name, w->name, p->rule.failures,
		      (double)(e->states[w->slot].until_ns - now) / 1e9, p->out, p->num);
}

static void take_back(struct ejector *e, const struct watched *w)
{
	struct watched_pool *p = &e->pools[w->pool];

	p->out--;
	set_out(e, w->slot, false);
	metrics_sub(&board_steward(e->board)->metrics.ejected, 1);
	logwriter_say(e->log, CONF_LOG_INFO, "pool %s: server %s is in use again", p->name,
		      w->name);
}

/* Of a pool without `panic_percent`, whoever chooses finds out by itself that nothing is left. */
static void look_for_panic(struct ejector *e, struct watched_pool *p)
{
	uint32_t *to = &board_steward(e->board)->panics[p->slot];
	unsigned used = p->num - p->idle;
	bool panics = p->idle > 0 && used * 100 < p->panic_percent * p->num;

	__atomic_store_n(to, panics, __ATOMIC_RELAXED);
	if (panics == p->panics)
		return;
	p->panics = panics;
	logwriter_say(
		e->log, panics ? CONF_LOG_WARNING : CONF_LOG_INFO,
		panics ? "pool %s: only %u of %u servers are in use: all of them are asked"
		       : "pool %s: %u of %u servers are in use: the others are no longer asked",
		p->name, used, p->num);
}

static bool is_idle(const struct ejector *e, uint32_t slot)
{
	const struct board_server *s = &board_steward(e->board)->servers[slot];

	return s->out != 0 || s->down != 0;
}

static void look(evutil_socket_t fd, short what, void *arg)
{
	struct ejector *e = arg;
	int64_t now = loop_clock_ns();

	(void)fd;
	(void)what;
	for (uint32_t i = 0; i < e->num_servers; i++) {
		const struct watched *w = &e->servers[i];
		const struct watched_pool *p = &e->pools[w->pool];
		struct eject_counts counts = counts_of(e->board, w->slot);
		bool room = eject_has_room(p->out, p->num, p->max_percent);
		enum eject_change change =
			eject_look(&e->states[w->slot], &p->rule, &counts, room, now);

		if (change == EJECT_OUT)
			take_out(e, w, now);
		else if (change == EJECT_BACK)
			take_back(e, w);
		e->pools[w->pool].idle += is_idle(e, w->slot);
	}
	for (uint32_t i = 0; i < e->num_pools; i++) {
		look_for_panic(e, &e->pools[i]);
		e->pools[i].idle = 0;
	}
}

/* ---- what is looked after */

static bool make_lists(const struct snapshot *s, struct watched_pool **pools,
		       struct watched **servers)
{
	const struct plan *plan = s->plan;

	*pools = calloc(plan->num_pools + (size_t)1, sizeof(**pools));
	*servers = calloc(plan->num_servers + (size_t)1, sizeof(**servers));
	if (*pools == NULL || *servers == NULL) {
		free(*pools);
		free(*servers);
		return false;
	}
	for (uint32_t i = 0; i < plan->num_pools; i++) {
		const struct conf_eject *conf = &s->conf->pools[i].eject;
		struct watched_pool *p = &(*pools)[i];

		memcpy(p->name, snapshot_pool(s, i)->name, sizeof(p->name));
		p->rule = (struct eject_rule){ .failures = conf->failures, .for_ns = conf->for_ns };
		p->max_percent = conf->max_percent;
		p->panic_percent = s->conf->pools[i].panic_percent;
		p->slot = snapshot_pool(s, i)->slot;
		p->num = snapshot_pool(s, i)->num_servers;
	}
	for (uint32_t i = 0; i < plan->num_servers; i++) {
		const struct plan_server *from = snapshot_server(s, i);
		struct watched *w = &(*servers)[i];

		memcpy(w->name, from->name, sizeof(w->name));
		w->slot = from->slot;
		w->pool = from->pool;
	}
	return true;
}

/* Those that are not looked after any more are in use, whoever gets the slot. */
static void forget_others(struct ejector *e)
{
	bool *stays = calloc(METRICS_SERVERS, sizeof(*stays));
	uint64_t *ejected = &board_steward(e->board)->metrics.ejected;

	for (uint32_t i = 0; stays != NULL && i < e->num_servers; i++)
		stays[e->servers[i].slot] = true;
	for (uint32_t slot = 0; stays != NULL && slot < METRICS_SERVERS; slot++) {
		if (stays[slot] || !e->states[slot].known)
			continue;
		if (e->states[slot].until_ns != 0)
			metrics_sub(ejected, 1);
		e->states[slot] = (struct eject_server){ .known = false };
		set_out(e, slot, false);
	}
	free(stays);
}

bool ejector_adopt(struct ejector *e, const struct snapshot *s)
{
	struct watched_pool *pools;
	struct watched *servers;

	if (!make_lists(s, &pools, &servers))
		return false;
	free(e->pools);
	free(e->servers);
	e->pools = pools;
	e->servers = servers;
	e->num_servers = s->plan->num_servers;
	e->num_pools = s->plan->num_pools;
	forget_others(e);
	for (uint32_t i = 0; i < e->num_servers; i++)
		pools[servers[i].pool].out += e->states[servers[i].slot].until_ns != 0;
	return true;
}

/* ---- the whole */

struct ejector *ejector_new(struct event_base *base, const struct board *board,
			    struct logwriter *log)
{
	static const struct timeval often = { .tv_usec = LOOK_MS * 1000 };
	struct ejector *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->board = board;
	e->log = log;
	e->timer = event_new(base, -1, EV_PERSIST, look, e);
	if (e->timer == NULL || event_add(e->timer, &often) != 0) {
		ejector_free(e);
		return NULL;
	}
	/* The one before us has died. */
	for (uint32_t slot = 0; slot < METRICS_SERVERS; slot++) {
		if (board_steward(board)->servers[slot].out != 0)
			set_out(e, slot, false);
	}
	board_steward(board)->metrics.ejected = 0;
	return e;
}

void ejector_free(struct ejector *e)
{
	if (e == NULL)
		return;
	if (e->timer != NULL)
		event_free(e->timer);
	free(e->pools);
	free(e->servers);
	free(e);
}
