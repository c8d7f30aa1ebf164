/* The timer wheel by itself: times are made up. */
#include "proxy/net/wheel.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define TICK ((int64_t)WHEEL_TICK_NS)
#define START (INT64_C(1000000007) * 13)
#define REVOLUTION (TICK * WHEEL_SLOTS)

/* A timer that notes when it fired. */
struct note {
	struct timer t;
	struct wheel *w;
	const int64_t *now;
	int64_t fired_ns; /* last time; 0: never */
	int times;
	int64_t again_ns; /* sets itself again that far ahead; 0: not */
	struct note *cancels;
	unsigned *order;
	unsigned place;
};

static void note_fired(struct timer *t)
{
	struct note *n = (struct note *)t;

	n->fired_ns = *n->now;
	n->times++;
	if (n->order != NULL)
		n->place = (*n->order)++;
	if (n->again_ns != 0)
		wheel_set(n->w, t, *n->now + n->again_ns);
	if (n->cancels != NULL)
		wheel_cancel(n->w, &n->cancels->t);
}

static struct note note_of(struct wheel *w, const int64_t *now)
{
	return (struct note){ .t = { .fire = note_fired }, .w = w, .now = now };
}

static struct wheel w; /* 33 KB */

/* Runs at every tick up to `until`. */
static void run_to(int64_t *now, int64_t until)
{
	while (*now < until) {
		*now += TICK;
		while (wheel_run(&w, *now))
			;
	}
}

Test(wheel, fires_never_early_and_at_most_a_tick_late)
{
	static const int64_t ahead[] = { 1, TICK - 1, TICK, TICK + 1, 7 * TICK + 3, 100 * TICK };

	for (size_t i = 0; i < sizeof(ahead) / sizeof(ahead[0]); i++) {
		int64_t now = START;
		struct note n = note_of(&w, &now);

		wheel_init(&w, now);
		wheel_set(&w, &n.t, START + ahead[i]);
		for (; n.times == 0 && now < START + ahead[i] + REVOLUTION; now += TICK / 7)
			(void)wheel_run(&w, now);
		cr_assert_eq(n.times, 1);
		cr_assert_geq(n.fired_ns, START + ahead[i], "case %zu", i);
		cr_assert_leq(n.fired_ns, START + ahead[i] + TICK + TICK / 7, "case %zu", i);
	}
}

Test(wheel, a_deadline_that_is_past_fires_with_the_next_tick)
{
	int64_t now = START;
	struct note n = note_of(&w, &now);

	wheel_init(&w, now);
	wheel_set(&w, &n.t, 1);
	cr_assert_not(wheel_run(&w, now));
	cr_assert_eq(n.times, 0);
	run_to(&now, START + TICK);
	cr_assert_eq(n.times, 1);
}

Test(wheel, extending_keeps_the_old_place_and_the_new_time)
{
	int64_t now = START;
	struct note n = note_of(&w, &now);
	uint32_t place;

	wheel_init(&w, now);
	wheel_set(&w, &n.t, START + 10 * TICK);
	place = n.t.slot_plus_1;
	for (int i = 1; i < 50; i++)
		wheel_set(&w, &n.t, START + (10 + i) * TICK);
	cr_assert_eq(n.t.slot_plus_1, place, "a store, no move");
	run_to(&now, START + 59 * TICK - 1);
	cr_assert_eq(n.times, 0);
	run_to(&now, START + 61 * TICK);
	cr_assert_eq(n.times, 1);
	cr_assert_eq(w.num, 0u);
}

Test(wheel, bringing_forward_moves_it)
{
	int64_t now = START;
	struct note n = note_of(&w, &now);

	wheel_init(&w, now);
	wheel_set(&w, &n.t, START + 1000 * TICK);
	wheel_set(&w, &n.t, START + 2 * TICK);
	cr_assert_eq(w.num, 1u);
	run_to(&now, START + 4 * TICK);
	cr_assert_eq(n.times, 1);
	run_to(&now, START + 1010 * TICK);
	cr_assert_eq(n.times, 1);
}

Test(wheel, cancelling_works_in_a_slot_twice_and_unset)
{
	int64_t now = START;
	struct note n = note_of(&w, &now), m = note_of(&w, &now);

	wheel_init(&w, now);
	wheel_cancel(&w, &n.t);
	wheel_set(&w, &n.t, START + 5 * TICK);
	wheel_set(&w, &m.t, START + 5 * TICK);
	wheel_cancel(&w, &n.t);
	wheel_cancel(&w, &n.t);
	cr_assert_eq(w.num, 1u);
	run_to(&now, START + 10 * TICK);
	cr_assert_eq(n.times, 0);
	cr_assert_eq(m.times, 1);
	cr_assert_eq(wheel_next(&w), INT64_MAX);
}

Test(wheel, one_that_fires_may_cancel_what_is_due_with_it)
{
	int64_t now = START;
	struct note n = note_of(&w, &now), m = note_of(&w, &now);

	wheel_init(&w, now);
	n.cancels = &m;
	m.cancels = &n;
	wheel_set(&w, &n.t, START + 5 * TICK);
	wheel_set(&w, &m.t, START + 5 * TICK);
	run_to(&now, START + 10 * TICK);
	cr_assert_eq(n.times + m.times, 1);
	cr_assert_eq(w.num, 0u);
}

Test(wheel, one_that_sets_itself_again_goes_on)
{
	int64_t now = START;
	struct note n = note_of(&w, &now);

	wheel_init(&w, now);
	n.again_ns = 3 * TICK;
	wheel_set(&w, &n.t, START + 3 * TICK);
	run_to(&now, START + 400 * TICK);
	cr_assert_geq(n.times, 99);
	cr_assert_leq(n.times, 133);
	n.again_ns = 0;
	run_to(&now, START + 410 * TICK);
	cr_assert_eq(w.num, 0u);
}

Test(wheel, one_that_is_due_at_once_again_does_not_hold_the_turn)
{
	int64_t now = START;
	struct note n = note_of(&w, &now);

	wheel_init(&w, now);
	n.again_ns = -TICK;
	wheel_set(&w, &n.t, START + TICK);
	now += 2 * TICK;
	for (int i = 0; i < 10; i++)
		(void)wheel_run(&w, now);
	cr_assert_leq(n.times, 2);
}

Test(wheel, far_deadlines_wait_more_than_a_revolution)
{
	int64_t now = START;
	struct note n = note_of(&w, &now);
	int64_t deadline = START + 3 * REVOLUTION + 17 * TICK;

	wheel_init(&w, now);
	wheel_set(&w, &n.t, deadline);
	run_to(&now, deadline);
	cr_assert_eq(n.times, 0);
	run_to(&now, deadline + 2 * TICK);
	cr_assert_eq(n.times, 1);
}

Test(wheel, a_long_sleep_misses_nothing)
{
	struct note n[3];
	int64_t now = START;

	wheel_init(&w, now);
	for (int i = 0; i < 3; i++) {
		n[i] = note_of(&w, &now);
		wheel_set(&w, &n[i].t, START + i * REVOLUTION + 5 * TICK);
	}
	now += 2 * REVOLUTION;
	while (wheel_run(&w, now))
		;
	cr_assert_eq(n[0].times, 1);
	cr_assert_eq(n[1].times, 1);
	cr_assert_eq(n[2].times, 0);
	run_to(&now, now + 10 * TICK);
	cr_assert_eq(n[2].times, 1);
}

Test(wheel, a_crowd_is_worked_off_over_turns_the_earliest_first)
{
	enum { CROWD = 1000 };
	struct note *early = calloc(CROWD, sizeof(*early)), *late = calloc(CROWD, sizeof(*late));
	int64_t now = START;
	unsigned order = 0;
	int turns = 1;

	wheel_init(&w, now);
	for (int i = 0; i < CROWD; i++) {
		early[i] = note_of(&w, &now);
		late[i] = note_of(&w, &now);
		early[i].order = late[i].order = &order;
		wheel_set(&w, &early[i].t, START + TICK);
		wheel_set(&w, &late[i].t, START + 5 * TICK);
	}
	now = START + 3 * TICK;
	cr_assert(wheel_run(&w, now));
	cr_assert_eq(order, (unsigned)WHEEL_FIRES_PER_TURN);
	cr_assert_leq(wheel_next(&w), now, "there is more to do now");
	now = START + 7 * TICK; /* the next crowd does not push in */
	while (wheel_run(&w, now))
		turns++;
	cr_assert_eq(order, 2u * CROWD);
	cr_assert_leq(turns, 2 * CROWD / WHEEL_FIRES_PER_TURN + 3);
	for (int i = 0; i < CROWD; i++) {
		cr_assert_lt(early[i].place, (unsigned)CROWD);
		cr_assert_eq(early[i].times, 1);
		cr_assert_eq(late[i].times, 1);
	}
	free(early);
	free(late);
}

/* ---- against a model that looks at every timer every time */

enum { TIMERS = 300, OPERATIONS = 100000 };

struct model {
	struct note n;
	int64_t deadline; /* 0: not set */
	int64_t set;	  /* when it was set */
};

static uint64_t dice(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static int64_t how_far(uint64_t *seed)
{
	switch (dice(seed) % 4) {
	case 0:
		return (int64_t)(dice(seed) % (uint64_t)(3 * TICK)) - TICK;
	case 1:
		return (int64_t)(dice(seed) % (uint64_t)(60 * TICK));
	case 2:
		return (int64_t)(dice(seed) % (uint64_t)REVOLUTION);
	default:
		return (int64_t)(dice(seed) % (uint64_t)(3 * REVOLUTION));
	}
}

static int64_t first_deadline(const struct model *m)
{
	int64_t first = INT64_MAX;

	for (int i = 0; i < TIMERS; i++)
		if (m[i].deadline != 0 && m[i].deadline < first)
			first = m[i].deadline;
	return first;
}

static void check_run(struct model *m, int64_t now)
{
	for (int i = 0; i < TIMERS; i++) {
		if (m[i].n.times > 0) {
			cr_assert_neq(m[i].deadline, 0, "fired unset");
			cr_assert_leq(m[i].deadline, now, "fired early");
			cr_assert_eq(m[i].n.times, 1);
			m[i].deadline = 0;
			m[i].n.times = 0;
		}
		if (m[i].deadline != 0 && m[i].deadline > m[i].set)
			cr_assert_gt(m[i].deadline + TICK, now, "late");
		else if (m[i].deadline != 0)
			cr_assert_gt(m[i].set + TICK, now, "late");
	}
}

Test(wheel, agrees_with_a_model_over_100k_operations)
{
	struct model *m = calloc(TIMERS, sizeof(*m));
	uint64_t seed = 88172645463325252u;
	int64_t now = START;

	wheel_init(&w, now);
	for (int i = 0; i < TIMERS; i++)
		m[i].n = note_of(&w, &now);
	for (int i = 0; i < OPERATIONS; i++) {
		struct model *one = &m[dice(&seed) % TIMERS];
		int64_t next;

		switch (dice(&seed) % 8) {
		case 0:
			wheel_cancel(&w, &one->n.t);
			one->deadline = 0;
			break;
		case 1:
			now += (int64_t)(dice(&seed) % (uint64_t)(2 * TICK));
			goto run;
		case 2: /* as a loop does: sleep until the wheel asks */
			next = wheel_next(&w);
			if (next == INT64_MAX)
				break;
			now = next > now ? next : now;
		run:
			while (wheel_run(&w, now))
				;
			check_run(m, now);
			break;
		default:
			one->deadline = now + how_far(&seed);
			one->set = now;
			wheel_set(&w, &one->n.t, one->deadline);
			break;
		}
		next = wheel_next(&w);
		if (first_deadline(m) == INT64_MAX)
			cr_assert_eq(next, INT64_MAX);
		else
			cr_assert_leq(next,
				      (first_deadline(m) > now ? first_deadline(m) : now) + TICK,
				      "asked to come too late");
	}
	free(m);
}
