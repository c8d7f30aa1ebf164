#include "proxy/net/pending.h"

#include <stddef.h>
#include <stdlib.h>

#include "conf/must.h"
#include "proxy/net/traffic.h"

enum { AT_A_TIME = 32 };

/* How long what another worker has let go of may lie there. */
#define LOOK_NS INT64_C(10000000)

struct queue {
	TAILQ_ENTRY(queue) entry; /* while somebody waits in it */
	TAILQ_HEAD(, pending_wait) waiting;
	unsigned num;
};
TAILQ_HEAD(queues, queue);

struct pending {
	struct traffic *traffic;
	struct loop_task task;
	struct timer timer;
	bool all;	    /* the next look is also for what others may wait for, too */
	struct queues busy; /* those in which somebody waits */
	unsigned num_busy;
	struct queue queues[METRICS_POOLS]; /* by slot */
};

/* ---- looking */

/* Until one finds nothing: then those behind it would not, either. */
static void serve(struct queue *q)
{
	for (unsigned i = 0; i < AT_A_TIME; i++) {
		struct pending_wait *w = TAILQ_FIRST(&q->waiting);

		if (w == NULL)
			return;
		pending_leave(w);
		w->ready(w); /* may be gone now, or back */
		if (TAILQ_FIRST(&q->waiting) == w)
			return;
	}
}

static uint32_t slot_of(const struct pending *p, const struct queue *q)
{
	return (uint32_t)(q - p->queues);
}

bool pending_has(const struct pending *p, uint32_t pool)
{
	return p->queues[pool].num > 0;
}

bool pending_elsewhere(const struct pending *p, uint32_t pool)
{
	const struct board *board = p->traffic->limits.board;

	for (unsigned i = 0; i < board_workers(board); i++) {
		const struct board_worker *w = board_worker(board, i);

		if (w != p->traffic->page && metrics_read(&w->metrics.pools_pending[pool]) > 0)
			return true;
	}
	return false;
}

static void look(struct loop_task *t)
{
	struct pending *p = (struct pending *)((char *)t - offsetof(struct pending, task));
	struct queue *q;

	/* Each once: what was looked at goes behind the others. */
	for (unsigned n = p->num_busy; n > 0 && (q = TAILQ_FIRST(&p->busy)) != NULL; n--) {
		TAILQ_REMOVE(&p->busy, q, entry);
		TAILQ_INSERT_TAIL(&p->busy, q, entry);
		if (p->all || !pending_elsewhere(p, slot_of(p, q)))
			serve(q);
	}
	p->all = false;
	if (p->num_busy > 0)
		loop_after(p->traffic->loop, &p->timer, LOOK_NS);
}

static void time_to_look(struct timer *t)
{
	pending_look((struct pending *)((char *)t - offsetof(struct pending, timer)));
}

void pending_look(struct pending *p)
{
	p->all = true;
	pending_freed(p);
}

void pending_freed(struct pending *p)
{
	if (p->num_busy > 0)
		loop_queue(p->traffic->loop, &p->task, LOOP_TRAFFIC);
}

/* ---- waiting */

static void late(struct timer *t)
{
	struct pending_wait *w =
		(struct pending_wait *)((char *)t - offsetof(struct pending_wait, timer));

	pending_leave(w);
	w->late(w);
}

bool pending_join(struct pending *p, uint32_t pool, unsigned most, int64_t for_ns,
		  struct pending_wait *w)
{
	struct queue *q = &p->queues[pool];
	bool again = w->until_ns != 0;

	MUST(w->in == NULL);
	if (!again && q->num >= most)
		return false;
	if (again) {
		TAILQ_INSERT_HEAD(&q->waiting, w, entry);
	} else {
		w->until_ns = p->traffic->loop->now_ns + for_ns;
		TAILQ_INSERT_TAIL(&q->waiting, w, entry);
	}
	w->in = p;
	w->pool = pool;
	w->timer.fire = late;
	wheel_set(&p->traffic->loop->wheel, &w->timer, w->until_ns);
	metrics_add(&p->traffic->page->metrics.pools_pending[pool], 1);
	if (q->num++ > 0)
		return true;
	TAILQ_INSERT_TAIL(&p->busy, q, entry);
	if (p->num_busy++ == 0)
		loop_after(p->traffic->loop, &p->timer, LOOK_NS);
	return true;
}

void pending_leave(struct pending_wait *w)
{
	struct pending *p = w->in;
	struct queue *q;

	if (p == NULL)
		return;
	q = &p->queues[w->pool];
	w->in = NULL;
	metrics_sub(&p->traffic->page->metrics.pools_pending[w->pool], 1);
	TAILQ_REMOVE(&q->waiting, w, entry);
	loop_cancel(p->traffic->loop, &w->timer);
	if (--q->num > 0)
		return;
	TAILQ_REMOVE(&p->busy, q, entry);
	if (--p->num_busy == 0)
		loop_cancel(p->traffic->loop, &p->timer);
}

/* ---- the whole */

struct pending *pending_new(struct traffic *t)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->traffic = t;
	p->task.run = look;
	p->timer.fire = time_to_look;
	TAILQ_INIT(&p->busy);
	for (unsigned i = 0; i < METRICS_POOLS; i++)
		TAILQ_INIT(&p->queues[i].waiting);
	return p;
}

void pending_free(struct pending *p)
{
	if (p == NULL)
		return;
	MUST(p->num_busy == 0);
	loop_unqueue(p->traffic->loop, &p->task);
	loop_cancel(p->traffic->loop, &p->timer);
	free(p);
}
