#include "proxy/net/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <time.h>

#include "conf/must.h"

/* Tasks a turn. A handshake step costs ten times what a piece of traffic does. */
static const unsigned quantum[LOOP_CLASSES] = {
	[LOOP_TRAFFIC] = 256,
	[LOOP_ACCEPT] = 4,
	[LOOP_HANDSHAKE] = 16,
};

/* Handshakes under way past which a worker accepts in one turn of ACCEPT_RARELY only: what cannot
 * be served soon is better off in the kernel's queue, where it costs nothing. */
enum { BACKLOG = 256, ACCEPT_RARELY = 16 };

int64_t loop_clock_ns(void)
{
	struct timespec ts;

	MUST(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void alarm_fired(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd;
	(void)what;
	l->alarm_ns = INT64_MAX; /* the turn looks at the wheel anyway */
}

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));
	struct event_config *config = NULL;

	if (l == NULL)
		return NULL;
	for (unsigned i = 0; i < LOOP_QUEUES; i++)
		TAILQ_INIT(&l->queues[i]);
	TAILQ_INIT(&l->orphans);
	TAILQ_INIT(&l->free_chunks);
	l->now_ns = loop_clock_ns();
	wheel_init(&l->wheel, l->now_ns);
	l->alarm_ns = INT64_MAX;
	if ((config = event_config_new()) == NULL)
		goto fail;
	/* Not the changelist: it would act on a descriptor number that was closed and given out
	 * again within one turn. */
	if (event_config_require_features(config, EV_FEATURE_ET) != 0 ||
	    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) != 0)
		goto fail;
	if ((l->base = event_base_new_with_config(config)) == NULL)
		goto fail;
	if ((l->alarm = evtimer_new(l->base, alarm_fired, l)) == NULL)
		goto fail;
	event_config_free(config);
	return l;
fail:
	if (config != NULL)
		event_config_free(config);
	loop_free(l);
	return NULL;
}

void loop_free(struct loop *l)
{
	struct chunk *c;

	if (l == NULL)
		return;
	while ((c = TAILQ_FIRST(&l->free_chunks)) != NULL) {
		TAILQ_REMOVE(&l->free_chunks, c, entry);
		free(c);
	}
	if (l->bio_method != NULL)
		l->bio_method_free(l->bio_method);
	if (l->alarm != NULL)
		event_free(l->alarm);
	if (l->base != NULL)
		event_base_free(l->base);
	free(l);
}

void loop_queue(struct loop *l, struct loop_task *t, unsigned queue)
{
	MUST(queue < LOOP_QUEUES);
	if (t->queued != 0)
		return;
	TAILQ_INSERT_TAIL(&l->queues[queue], t, entry);
	t->queued = (uint8_t)(queue + 1);
	l->num_queued[queue]++;
}

void loop_unqueue(struct loop *l, struct loop_task *t)
{
	if (t->queued == 0)
		return;
	TAILQ_REMOVE(&l->queues[t->queued - 1], t, entry);
	l->num_queued[t->queued - 1]--;
	t->queued = 0;
}

static struct loop_task *pop(struct loop *l, unsigned queue)
{
	struct loop_task *t = TAILQ_FIRST(&l->queues[queue]);

	if (t != NULL)
		loop_unqueue(l, t);
	return t;
}

/* Links that always have more to read queue themselves again within the turn, and a piece of a
 * body costs much more than a request: whoever has just spoken is heard after this long. While
 * that happens the other classes have one turn of TRAFFIC_TURNS, or they would get most of it. */
enum { TRAFFIC_TURNS = 4 };
#define TRAFFIC_NS INT64_C(1000000)

/* False: its time was over before its work. */
static bool run_traffic(struct loop *l)
{
	int64_t until = l->now_ns + TRAFFIC_NS;
	struct loop_task *t;

	for (unsigned i = 0; i < quantum[LOOP_TRAFFIC] && (t = pop(l, LOOP_TRAFFIC)) != NULL; i++) {
		t->run(t);
		if (loop_clock_ns() > until)
			return false;
	}
	return true;
}

/* A step of a handshake may cost as much as fifty requests: after this long whoever has spoken
 * meanwhile is heard. */
#define NEWCOMERS_NS INT64_C(100000)

/* One at least. False: the time was over before the work. */
static bool run_class(struct loop *l, enum loop_class class, int64_t until)
{
	struct loop_task *t;

	for (unsigned i = 0; i < quantum[class] && (t = pop(l, class)) != NULL; i++) {
		t->run(t);
		if (loop_clock_ns() > until)
			return false;
	}
	return true;
}

/* Runs what is queued now; what that queues again is for the next turn. */
static void run_all(struct loop *l, unsigned queue)
{
	struct loop_task mark = { .run = NULL };
	struct loop_task *t;

	loop_queue(l, &mark, queue);
	while ((t = pop(l, queue)) != &mark)
		t->run(t);
}

static size_t between_waiting(const struct loop *l)
{
	return l->between == NULL ? 0 : l->between_waiting(l->between_arg);
}

static bool work_left(const struct loop *l)
{
	for (unsigned i = 0; i < LOOP_QUEUES; i++)
		if (!TAILQ_EMPTY(&l->queues[i]))
			return true;
	return between_waiting(l) > 0;
}

static bool set_alarm(struct loop *l)
{
	int64_t next = wheel_next(&l->wheel);
	int64_t wait_ns;
	struct timeval tv;

	if (next == INT64_MAX || next == l->alarm_ns)
		return true;
	/* A timer that was put off leaves the alarm early; that wakes the loop once, for nothing,
	 * and costs less than moving it each time. */
	if (l->alarm_ns != INT64_MAX && l->alarm_ns <= next && l->alarm_ns > l->now_ns)
		return true;
	wait_ns = next > l->now_ns ? next - l->now_ns : 0;
	tv.tv_sec = (time_t)(wait_ns / 1000000000);
	tv.tv_usec = (suseconds_t)(wait_ns % 1000000000 / 1000 + 1);
	if (event_add(l->alarm, &tv) != 0)
		return false;
	l->alarm_ns = next;
	return true;
}

static void run_newcomers(struct loop *l)
{
	int64_t until;
	bool in_time;

	if (l->num_queued[LOOP_ACCEPT] + l->num_queued[LOOP_HANDSHAKE] + between_waiting(l) == 0)
		return;
	until = loop_clock_ns() + NEWCOMERS_NS;
	if (l->num_queued[LOOP_HANDSHAKE] + between_waiting(l) < BACKLOG ||
	    l->turns % ACCEPT_RARELY == 0)
		(void)run_class(l, LOOP_ACCEPT, until);
	in_time = run_class(l, LOOP_HANDSHAKE, until);
	/* Answers of `between` continue handshakes: let them leave with this turn. */
	if (between_waiting(l) > 0) {
		l->between(l->between_arg);
		if (in_time)
			(void)run_class(l, LOOP_HANDSHAKE, until);
	}
}

bool loop_run(struct loop *l)
{
	bool more = false;

	while (!l->stopping && !(l->finishing && l->num_orphans == 0)) {
		int flags = EVLOOP_ONCE;

		if (more || work_left(l))
			flags |= EVLOOP_NONBLOCK;
		else if (!set_alarm(l))
			return false;
		if (event_base_loop(l->base, flags) < 0 && errno != EINTR)
			return false;
		l->now_ns = loop_clock_ns();
		l->turns++;
		more = wheel_run(&l->wheel, l->now_ns);
		if (run_traffic(l) || l->turns % TRAFFIC_TURNS == 0)
			run_newcomers(l);
		run_all(l, LOOP_FLUSH);
		run_all(l, LOOP_GRAVE);
	}
	return true;
}

void loop_orphan(struct loop *l, struct loop_orphan *o)
{
	TAILQ_INSERT_TAIL(&l->orphans, o, entry);
	if (++l->num_orphans <= LOOP_MAX_ORPHANS || l->dropping)
		return;
	/* What is dropped may linger as another one, which pushes nobody out: else all idle
	 * connections would go, one for the other. */
	l->dropping = true;
	loop_drop_orphan(l);
	l->dropping = false;
}

void loop_unorphan(struct loop *l, struct loop_orphan *o)
{
	TAILQ_REMOVE(&l->orphans, o, entry);
	l->num_orphans--;
}

void loop_drop_orphan(struct loop *l)
{
	struct loop_orphan *oldest = TAILQ_FIRST(&l->orphans);

	MUST(oldest != NULL);
	oldest->drop(oldest);
}

void loop_bury(struct loop *l)
{
	while (l->num_orphans > 0)
		loop_drop_orphan(l);
	run_all(l, LOOP_GRAVE);
}

void loop_stop(struct loop *l)
{
	l->stopping = true;
}

void loop_finish(struct loop *l)
{
	l->finishing = true;
}

void loop_after(struct loop *l, struct timer *t, int64_t ns)
{
	wheel_set(&l->wheel, t, l->now_ns + ns);
}

void loop_cancel(struct loop *l, struct timer *t)
{
	wheel_cancel(&l->wheel, t);
}

struct chunk *loop_chunk(struct loop *l)
{
	struct chunk *c = TAILQ_FIRST(&l->free_chunks);

	if (c != NULL) {
		TAILQ_REMOVE(&l->free_chunks, c, entry);
		l->num_free_chunks--;
	} else if ((c = malloc(sizeof(*c))) == NULL) {
		return NULL;
	}
	c->start = 0;
	c->end = 0;
	return c;
}

void loop_chunk_free(struct loop *l, struct chunk *c)
{
	if (l->num_free_chunks >= LOOP_CHUNKS_KEPT) {
		free(c);
		return;
	}
	TAILQ_INSERT_HEAD(&l->free_chunks, c, entry);
	l->num_free_chunks++;
}
