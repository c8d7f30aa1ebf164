/* The loop: quanta, order within a turn, waiting. */
#include "proxy/net/loop.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MS INT64_C(1000000)

/* A task that writes its letter and may queue itself again. */
struct job {
	struct loop_task task;
	struct loop *loop;
	char letter;
	unsigned queue;
	bool again;
	unsigned runs;
	unsigned stop_after; /* 0: never */
	char *log;
};

static void job_run(struct loop_task *t)
{
	struct job *j = (struct job *)t;
	size_t n;

	j->runs++;
	if (j->log != NULL && (n = strlen(j->log)) < 60)
		j->log[n] = j->letter;
	if (j->again)
		loop_queue(j->loop, t, j->queue);
	if (j->stop_after != 0 && j->runs >= j->stop_after)
		loop_stop(j->loop);
}

static struct job job_of(struct loop *l, char letter, unsigned queue, char *log)
{
	return (struct job){
		.task = { .run = job_run }, .loop = l, .letter = letter, .queue = queue, .log = log
	};
}

static void start(struct job *j)
{
	loop_queue(j->loop, &j->task, j->queue);
}

Test(loop, no_class_starves_another)
{
	enum { FLOOD = 2000 };
	static struct job traffic[FLOOD], shakes[FLOOD];
	struct loop *l = loop_new();
	struct job accept = job_of(l, 'a', LOOP_ACCEPT, NULL);
	unsigned most[2] = { 0, 0 };

	for (int i = 0; i < FLOOD; i++) {
		traffic[i] = job_of(l, 't', LOOP_TRAFFIC, NULL);
		shakes[i] = job_of(l, 'h', LOOP_HANDSHAKE, NULL);
		traffic[i].again = shakes[i].again = true;
		start(&traffic[i]);
		start(&shakes[i]);
	}
	accept.again = true;
	accept.stop_after = 40; /* four a turn, every 16th turn in such a flood */
	start(&accept);
	cr_assert(loop_run(l));
	for (int i = 0; i < FLOOD; i++) {
		most[0] += traffic[i].runs;
		most[1] += shakes[i].runs;
	}
	/* More only where the machine was elsewhere for so long that a turn's time was over. */
	cr_assert(l->turns >= 160u && l->turns <= 320u, "%u", (unsigned)l->turns);
	cr_assert(most[0] > 35000 && most[0] <= l->turns * 256, "%u", most[0]);
	cr_assert(most[1] > 2000 && most[1] <= l->turns * 16, "%u", most[1]);
	cr_assert_gt(shakes[1500].runs, 0u, "first come, first served");
	loop_free(l);
}

Test(loop, accepts_every_turn_while_handshakes_keep_up)
{
	struct loop *l = loop_new();
	struct job accept = job_of(l, 'a', LOOP_ACCEPT, NULL);
	struct job shake = job_of(l, 'h', LOOP_HANDSHAKE, NULL);

	accept.again = shake.again = true;
	accept.stop_after = 40;
	start(&shake);
	start(&accept);
	cr_assert(loop_run(l));
	cr_assert(l->turns >= 10u && l->turns <= 20u, "%u", (unsigned)l->turns);
	loop_free(l);
}

Test(loop, a_turn_goes_traffic_accept_handshake_flush_grave)
{
	char log[64] = "";
	struct loop *l = loop_new();
	struct job jobs[LOOP_QUEUES];

	for (unsigned i = 0; i < LOOP_QUEUES; i++)
		jobs[i] = job_of(l, "tahfg"[i], i, log);
	for (unsigned i = LOOP_QUEUES; i-- > 0;)
		start(&jobs[i]);
	jobs[LOOP_GRAVE].stop_after = 1;
	cr_assert(loop_run(l));
	cr_assert_str_eq(log, "tahfg");
	cr_assert_eq(l->turns, 1u);
	loop_free(l);
}

Test(loop, a_flush_that_queues_itself_waits_for_the_next_turn)
{
	struct loop *l = loop_new();
	struct job flush = job_of(l, 'f', LOOP_FLUSH, NULL);

	flush.again = true;
	flush.stop_after = 3;
	start(&flush);
	cr_assert(loop_run(l));
	cr_assert_eq(flush.runs, 3u);
	cr_assert_eq(l->turns, 3u);
	loop_unqueue(l, &flush.task);
	loop_free(l);
}

Test(loop, a_task_is_in_one_queue_at_a_time)
{
	char log[64] = "";
	struct loop *l = loop_new();
	struct job j = job_of(l, 'x', LOOP_TRAFFIC, log), k = job_of(l, 'k', LOOP_GRAVE, log);

	start(&j);
	loop_queue(l, &j.task, LOOP_FLUSH);
	loop_unqueue(l, &j.task);
	loop_unqueue(l, &j.task);
	k.stop_after = 1;
	start(&k);
	cr_assert(loop_run(l));
	cr_assert_str_eq(log, "k");
	loop_free(l);
}

/* What signs: work that comes from outside the queues. */
struct signer {
	struct loop *loop;
	unsigned wanted, done;
	struct job *then;
};

static void sign(void *arg)
{
	struct signer *s = arg;

	s->done++;
	s->wanted--;
	start(s->then);
}

static size_t sign_wanted(const void *arg)
{
	return ((const struct signer *)arg)->wanted;
}

Test(loop, what_was_signed_goes_on_within_the_turn)
{
	char log[64] = "";
	struct loop *l = loop_new();
	struct job shake = job_of(l, 'h', LOOP_HANDSHAKE, log);
	struct job flush = job_of(l, 'f', LOOP_FLUSH, log);
	struct signer s = { .loop = l, .wanted = 3, .then = &shake };

	l->between = sign;
	l->between_waiting = sign_wanted;
	l->between_arg = &s;
	shake.stop_after = 3;
	start(&flush);
	cr_assert(loop_run(l));
	cr_assert_eq(l->turns, 3u, "and the loop does not wait while there is more");
	cr_assert_str_eq(log, "hfhh");
	loop_free(l);
}

struct alarm_clock {
	struct timer timer;
	struct loop *loop;
	int64_t fired_ns;
};

static void stop_now(struct timer *t)
{
	struct alarm_clock *a = (struct alarm_clock *)t;

	a->fired_ns = loop_clock_ns();
	loop_stop(a->loop);
}

static int64_t cpu_ns(void)
{
	struct rusage use;

	cr_assert_eq(getrusage(RUSAGE_SELF, &use), 0);
	return (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000 * MS +
	       (use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1000;
}

Test(loop, waits_for_its_timers_and_does_not_spin)
{
	struct loop *l = loop_new();
	struct alarm_clock a = { .timer = { .fire = stop_now }, .loop = l };
	int64_t began = loop_clock_ns(), cpu = cpu_ns();

	loop_after(l, &a.timer, 500 * MS);
	cr_assert(loop_run(l));
	cr_assert_geq(a.fired_ns - began, 500 * MS);
	cr_assert_leq(a.fired_ns - began, 600 * MS);
	cr_assert_leq(l->turns, 12u, "%lu turns", (unsigned long)l->turns);
	cr_assert_leq(cpu_ns() - cpu, 100 * MS);
	loop_free(l);
}

Test(loop, a_timer_that_is_put_off_wakes_it_only_now_and_then)
{
	struct loop *l = loop_new();
	struct alarm_clock a = { .timer = { .fire = stop_now }, .loop = l };
	int64_t began = loop_clock_ns();

	loop_after(l, &a.timer, 100 * MS);
	loop_after(l, &a.timer, 400 * MS);
	cr_assert(loop_run(l));
	cr_assert_geq(a.fired_ns - began, 400 * MS);
	cr_assert_leq(a.fired_ns - began, 500 * MS);
	cr_assert_leq(l->turns, 20u);
	loop_free(l);
}

Test(loop, a_timer_that_comes_before_the_others_is_in_time)
{
	struct loop *l = loop_new();
	struct alarm_clock far = { .timer = { .fire = stop_now }, .loop = l }, near = far;
	int64_t began = loop_clock_ns();

	loop_after(l, &far.timer, 5000 * MS);
	loop_after(l, &near.timer, 60 * MS);
	cr_assert(loop_run(l));
	cr_assert_neq(near.fired_ns, 0);
	cr_assert_leq(loop_clock_ns() - began, 200 * MS);
	loop_cancel(l, &far.timer);
	loop_free(l);
}

/* Waiting on a descriptor costs no turns either. */
static void readable(evutil_socket_t fd, short what, void *arg)
{
	char byte;

	(void)what;
	cr_assert_eq(read(fd, &byte, 1), 1);
	loop_stop(arg);
}

Test(loop, descriptors_wake_it)
{
	struct loop *l = loop_new();
	int fds[2];
	struct event *e;

	cr_assert_eq(pipe(fds), 0);
	e = event_new(l->base, fds[0], EV_READ | EV_PERSIST, readable, l);
	cr_assert_eq(event_add(e, NULL), 0);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	cr_assert(loop_run(l));
	cr_assert_eq(l->turns, 1u);
	event_free(e);
	(void)close(fds[0]);
	(void)close(fds[1]);
	loop_free(l);
}

/* A link in a flood of bytes: there always is more. */
struct bulk {
	struct loop_task task;
	struct loop *loop;
	int wake; /* written to, so that somebody else has something to say */
	unsigned runs;
};

static void bulk_run(struct loop_task *t)
{
	struct bulk *b = (struct bulk *)t;
	int64_t until = loop_clock_ns() + MS / 5;

	if (b->runs++ == 0)
		cr_assert_eq(write(b->wake, "x", 1), 1);
	while (loop_clock_ns() < until)
		continue;
	loop_queue(b->loop, t, LOOP_TRAFFIC);
}

Test(loop, a_flood_of_bytes_lets_others_be_heard)
{
	struct loop *l = loop_new();
	struct bulk bulk = { .task = { .run = bulk_run }, .loop = l };
	struct job shake = job_of(l, 'h', LOOP_HANDSHAKE, NULL);
	struct event *e;
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	e = event_new(l->base, fds[0], EV_READ | EV_PERSIST, readable, l);
	cr_assert_eq(event_add(e, NULL), 0);
	bulk.wake = fds[1];
	loop_queue(l, &bulk.task, LOOP_TRAFFIC);
	cr_assert(loop_run(l));
	cr_assert_leq(bulk.runs, 16u);
	/* And newcomers get on, too. */
	l->stopping = false;
	bulk.runs = 1;
	shake.stop_after = 1;
	start(&shake);
	cr_assert(loop_run(l));
	cr_assert_leq(bulk.runs, 60u);
	event_free(e);
	(void)close(fds[0]);
	(void)close(fds[1]);
	loop_free(l);
}

/* ---- orphans */

struct waif {
	struct loop_orphan orphan;
	struct loop *loop;
	bool dropped;
};

static void waif_drop(struct loop_orphan *o)
{
	struct waif *w = (struct waif *)o;

	w->dropped = true;
	loop_unorphan(w->loop, o);
}

static void drop_first(struct timer *t)
{
	struct alarm_clock *a = (struct alarm_clock *)t;
	struct loop_orphan *o = TAILQ_FIRST(&a->loop->orphans);

	a->fired_ns = loop_clock_ns();
	o->drop(o);
}

Test(loop, finishing_waits_for_orphans)
{
	struct loop *l = loop_new();
	struct waif w = { .orphan = { .drop = waif_drop }, .loop = l };
	struct alarm_clock a = { .timer = { .fire = drop_first }, .loop = l };

	loop_orphan(l, &w.orphan);
	loop_after(l, &a.timer, 60 * MS);
	loop_finish(l);
	cr_assert(loop_run(l));
	cr_assert(w.dropped);
	cr_assert_neq(a.fired_ns, 0);
	cr_assert_eq(l->num_orphans, 0u);
	loop_free(l);
}

Test(loop, finishing_without_orphans_ends_at_once)
{
	struct loop *l = loop_new();

	loop_finish(l);
	cr_assert(loop_run(l));
	loop_free(l);
}

Test(loop, orphans_are_bounded_and_the_oldest_goes_first)
{
	static struct waif waifs[LOOP_MAX_ORPHANS + 2];
	struct loop *l = loop_new();

	for (int i = 0; i < LOOP_MAX_ORPHANS + 2; i++) {
		waifs[i] = (struct waif){ .orphan = { .drop = waif_drop }, .loop = l };
		loop_orphan(l, &waifs[i].orphan);
	}
	cr_assert_eq(l->num_orphans, (size_t)LOOP_MAX_ORPHANS);
	cr_assert(waifs[0].dropped && waifs[1].dropped && !waifs[2].dropped);
	loop_bury(l);
	cr_assert_eq(l->num_orphans, 0u);
	cr_assert(waifs[LOOP_MAX_ORPHANS + 1].dropped);
	loop_free(l);
}

static struct waif lingering[8];
static int num_lingering;

/* As a connection does that is closed in good order. */
static void waif_linger(struct loop_orphan *o)
{
	struct waif *w = (struct waif *)o;
	struct waif *after = &lingering[num_lingering++];

	waif_drop(o);
	*after = (struct waif){ .orphan = { .drop = waif_drop }, .loop = w->loop };
	loop_orphan(w->loop, &after->orphan);
}

Test(loop, orphans_that_linger_push_nobody_out)
{
	static struct waif waifs[LOOP_MAX_ORPHANS + 1];
	struct loop *l = loop_new();

	for (int i = 0; i < LOOP_MAX_ORPHANS + 1; i++) {
		waifs[i] = (struct waif){ .orphan = { .drop = i < 8 ? waif_linger : waif_drop },
					  .loop = l };
		loop_orphan(l, &waifs[i].orphan);
	}
	cr_assert_eq(num_lingering, 1);
	cr_assert_not(waifs[1].dropped);
	cr_assert_leq(l->num_orphans, (size_t)LOOP_MAX_ORPHANS + 1);
	loop_bury(l);
	cr_assert_eq(l->num_orphans, 0u);
	loop_free(l);
}

Test(loop, chunks_are_kept_up_to_a_bound)
{
	static struct chunk *chunks[LOOP_CHUNKS_KEPT + 10];
	struct loop *l = loop_new();

	for (int i = 0; i < LOOP_CHUNKS_KEPT + 10; i++)
		cr_assert_not_null(chunks[i] = loop_chunk(l));
	for (int i = 0; i < LOOP_CHUNKS_KEPT + 10; i++)
		loop_chunk_free(l, chunks[i]);
	cr_assert_eq(l->num_free_chunks, (unsigned)LOOP_CHUNKS_KEPT);
	chunks[0] = loop_chunk(l);
	cr_assert_eq(chunks[0]->start, 0u);
	cr_assert_eq(chunks[0]->end, 0u);
	loop_chunk_free(l, chunks[0]);
	loop_free(l);
}
