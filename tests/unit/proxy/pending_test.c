/* Who waits for a connection: in which order they try, how many, and for how long. */
#include "proxy/net/pending.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/net/traffic.h"

struct waiter {
	struct pending_wait wait;
	char name;
	unsigned misses; /* times that it finds nothing */
};

static struct traffic traffic;
static struct board *board;
static struct loop *loop;
static struct pending *pending;
static char story[256];

static void setup(void)
{
	loop = loop_new();
	board = board_new(2);
	traffic = (struct traffic){ .loop = loop,
				    .page = board_worker(board, 0),
				    .limits = { .board = board } };
	cr_assert_not_null(pending = pending_new(&traffic));
	story[0] = '\0';
}

static void teardown(void)
{
	pending_free(pending);
	board_free(board);
	loop_free(loop);
}

TestSuite(pending, .init = setup, .fini = teardown, .timeout = 20);

static void say(char c)
{
	size_t n = strlen(story);

	cr_assert_lt(n, sizeof(story) - 1);
	story[n] = c;
	story[n + 1] = '\0';
}

static void ready(struct pending_wait *wait)
{
	struct waiter *w = (struct waiter *)wait;

	say(w->name);
	if (w->misses == 0)
		return;
	w->misses--;
	cr_assert(pending_join(pending, wait->pool, 0, 0, wait), "who has waited is let wait on");
}

static void late(struct pending_wait *wait)
{
	say((char)(((struct waiter *)wait)->name - 'a' + 'A'));
}

static struct waiter waiter(char name)
{
	return (struct waiter){ .wait = { .ready = ready, .late = late }, .name = name };
}

static bool join(struct waiter *w, uint32_t pool, int ms)
{
	return pending_join(pending, pool, 2, ms * INT64_C(1000000), &w->wait);
}

static void stop(struct timer *t)
{
	(void)t;
	loop_stop(loop);
}

static void run_for(int ms)
{
	struct timer t = { .fire = stop };

	loop_after(loop, &t, ms * INT64_C(1000000));
	cr_assert(loop_run(loop));
	loop_cancel(loop, &t);
}

Test(pending, in_order_by_pool_and_bounded)
{
	struct waiter a = waiter('a'), b = waiter('b'), c = waiter('c'), d = waiter('d');

	cr_assert(join(&a, 0, 5000));
	cr_assert(join(&b, 0, 5000));
	cr_assert_not(join(&c, 0, 5000), "two wait already");
	cr_assert(join(&d, 7, 5000), "for another pool");
	pending_look(pending);
	run_for(60);
	cr_assert_str_eq(story, "abd");
}

Test(pending, who_finds_nothing_stays_first)
{
	struct waiter a = waiter('a'), b = waiter('b');

	a.misses = 3;
	cr_assert(join(&a, 0, 5000));
	cr_assert(join(&b, 0, 5000));
	pending_look(pending);
	run_for(200); /* others may have let go of something: it is looked for again */
	cr_assert_str_eq(story, "aaaab");
}

Test(pending, patience_ends_also_of_who_came_back)
{
	struct waiter a = waiter('a'), b = waiter('b');

	a.misses = b.misses = 1000;
	cr_assert(join(&a, 0, 60));
	cr_assert(join(&b, 0, 5000));
	run_for(200);
	cr_assert_not_null(strchr(story, 'A'));
	cr_assert_null(a.wait.in);
	cr_assert_not_null(b.wait.in);
	cr_assert_eq(story[strlen(story) - 1], 'b', "the next one is first now");
	pending_leave(&b.wait);
}

Test(pending, who_leaves_is_not_told)
{
	struct waiter a = waiter('a');

	cr_assert(join(&a, 0, 30));
	pending_leave(&a.wait);
	pending_leave(&a.wait);
	pending_look(pending);
	run_for(80);
	cr_assert_str_eq(story, "");
}

static void stop_now(struct loop_task *t)
{
	(void)t;
	loop_stop(loop);
}

Test(pending, what_is_gone_is_left_to_all_who_wait)
{
	struct loop_task last = { .run = stop_now };
	int64_t began = loop->now_ns;
	uint64_t *elsewhere = &board_worker(board, 1)->metrics.pools_pending[0];
	struct waiter a = waiter('a'), b = waiter('b');

	cr_assert(join(&a, 0, 5000));
	cr_assert(join(&b, 7, 5000));
	cr_assert_eq(board_worker(board, 0)->metrics.pools_pending[0], 1u);
	*elsewhere = 1;
	cr_assert(pending_elsewhere(pending, 0) && !pending_elsewhere(pending, 7));
	pending_freed(pending);
	loop_queue(loop, &last, LOOP_TRAFFIC);
	cr_assert(loop_run(loop));
	/* On a busy machine the time to look again may have come by then. */
	if (loop->now_ns - began < 10000000)
		cr_assert_str_eq(story, "b", "the other not at once");
	loop->stopping = false;
	run_for(80);
	cr_assert_eq(strlen(story), 2u, "but soon: %s", story);
	cr_assert_eq(board_worker(board, 0)->metrics.pools_pending[0], 0u);
	cr_assert_not(pending_has(pending, 0));
}
