#include "proxy/net/pending.h"

#include <stddef.h>
#include <stdlib.h>

#include "conf/must.h"
#include "proxy/net/loop.h"
#include "proxy/observe/metrics.h"

enum { AT_A_TIME = 32 };

/* How long what another worker has let go of may lie there. */
#define LOOK_NS INT64_C(10000000)

struct queue {
	TAILQ_HEAD(, pending_wait) waiting;
	unsigned num;
};

struct pending {
	struct loop *loop;
	struct loop_task task;
	struct timer timer;
	unsigned num; /* in all queues */
	struct queue queues[METRICS_POOLS];
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

static void look(struct loop_task *t)
{
	struct pending *p = (struct pending *)((char *)t - offsetof(struct pending, task));

	for (unsigned i = 0; p->num > 0 && i < METRICS_POOLS; i++) {
		if (p->queues[i].num > 0)
			serve(&p->queues[i]);
	}
	if (p->num > 0)
		loop_after(p->loop, &p->timer, LOOK_NS);
}

static void time_to_look(struct timer *t)
{
	pending_look((struct pending *)((char *)t - offsetof(struct pending, timer)));
}

void pending_look(struct pending *p)
{
	if (p->num > 0)
		loop_queue(p->loop, &p->task, LOOP_TRAFFIC);
}

/* ---- waiting */

static void late(struct timer *t)
{
	struct pending_wait *w =
		(struct pending_wait *)((char *)t - offsetof(struct pending_wait, timer));

	pending_leave(w);
	w->late(w);
}

static void enter(struct pending *p, struct pending_wait *w)
{
	w->in = p;
	p->queues[w->pool].num++;
	if (p->num++ == 0)
		loop_after(p->loop, &p->timer, LOOK_NS);
}

bool pending_join(struct pending *p, uint32_t pool, unsigned most, int64_t for_ns,
		  struct pending_wait *w)
{
	struct queue *q = &p->queues[pool];

	MUST(w->in == NULL && pool < METRICS_POOLS);
	if (q->num >= most)
		return false;
	w->pool = pool;
	w->timer.fire = late;
	w->until_ns = p->loop->now_ns + for_ns;
	TAILQ_INSERT_TAIL(&q->waiting, w, entry);
	wheel_set(&p->loop->wheel, &w->timer, w->until_ns);
	enter(p, w);
	return true;
}

void pending_return(struct pending *p, struct pending_wait *w)
{
	MUST(w->in == NULL);
	TAILQ_INSERT_HEAD(&p->queues[w->pool].waiting, w, entry);
	wheel_set(&p->loop->wheel, &w->timer, w->until_ns);
	enter(p, w);
}

void pending_leave(struct pending_wait *w)
{
	struct pending *p = w->in;

	if (p == NULL)
		return;
	TAILQ_REMOVE(&p->queues[w->pool].waiting, w, entry);
	p->queues[w->pool].num--;
	loop_cancel(p->loop, &w->timer);
	if (--p->num == 0)
		loop_cancel(p->loop, &p->timer);
	w->in = NULL;
}

/* ---- the whole */

struct pending *pending_new(struct loop *loop)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->loop = loop;
	p->task.run = look;
	p->timer.fire = time_to_look;
	for (unsigned i = 0; i < METRICS_POOLS; i++)
		TAILQ_INIT(&p->queues[i].waiting);
	return p;
}

void pending_free(struct pending *p)
{
	if (p == NULL)
		return;
	MUST(p->num == 0);
	loop_unqueue(p->loop, &p->task);
	loop_cancel(p->loop, &p->timer);
	free(p);
}
