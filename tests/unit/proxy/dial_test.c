/* What is counted and logged of a connection to a server, whoever wants it. */
#include "proxy/net/dial.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/http_scene.h"

static const char usual[] = SCENE_JSON("\"pool\":\"p\"", "");

struct dialler {
	bool opened, ended;
	enum link_end why;
};

static void opened(void *owner)
{
	((struct dialler *)owner)->opened = true;
}

static void data(void *owner, struct span bytes)
{
	(void)owner;
	(void)bytes;
}

static void nothing(void *owner)
{
	(void)owner;
}

static void ended(void *owner, enum link_end why)
{
	struct dialler *d = owner;

	d->ended = true;
	d->why = why;
}

static const struct link_events events = {
	.opened = opened, .data = data, .eof = nothing, .drained = nothing, .ended = ended
};

static bool is_settled(void *arg)
{
	const struct dialler *d = arg;

	return d->opened || d->ended;
}

static struct link *start(struct http_scene *s, struct dialler *d, struct pool_choice *to)
{
	struct pool_tries tries = { 0 };
	struct link *l;

	*d = (struct dialler){ 0 };
	s->rig.loop->now_ns = loop_clock_ns();
	cr_assert_eq(pool_next(site_of(s->w.traffic.now)->pools[0], &tries, to), POOL_FOUND);
	cr_assert_not_null(l = dial(&s->w.traffic, to, &events, d));
	return l;
}

Test(dial, a_connection_is_active_until_it_is_left)
{
	struct pool_choice to;
	struct http_scene s;
	struct metrics_server *cells;
	struct dialler d;
	struct link *l;
	int64_t began = loop_clock_ns();

	scene_init(&s, usual, 0, false);
	l = start(&s, &d, &to);
	cells = &scene_cells(&s)->servers[to.server->slot];
	cr_assert_eq(cells->active, 1u);
	cr_assert_eq(cells->connects, 0u);
	cr_assert(rig_until(&s.rig, is_settled, &d));
	cr_assert(d.opened);
	cr_assert_gt(dial_opened(&s.w.traffic, to.server->slot, l, began), 0);
	cr_assert_eq(cells->connects, 1u);
	cr_assert_gt(cells->connect.sum_ns, 0u);
	cr_assert_eq(cells->active, 1u);
	dial_left(&s.w.traffic, to.server->slot);
	cr_assert_eq(cells->active, 0u);
	link_close(l);
	scene_fini(&s);
}

Test(dial, every_failure_has_its_cause)
{
	static const struct {
		enum link_end why;
		enum cause cause;
	} cases[] = {
		{ LINK_END_REFUSED, CAUSE_CONNECT_REFUSED },
		{ LINK_END_TIMEOUT, CAUSE_CONNECT_TIMEOUT },
		{ LINK_END_UNREACHABLE, CAUSE_CONNECT_UNREACHABLE },
		{ LINK_END_TLS, CAUSE_CONNECT_TLS },
		{ LINK_END_MEMORY, CAUSE_MEMORY },
		{ LINK_END_FAILED, CAUSE_CONNECT_FAILED },
		{ LINK_END_RESET, CAUSE_CONNECT_FAILED },
		{ LINK_END_GONE, CAUSE_CONNECT_FAILED },
		{ LINK_END_TRUNCATED, CAUSE_CONNECT_FAILED },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pool_choice to;
		struct http_scene s;
		struct metrics_server *cells;
		struct dialler d;
		struct link *l;

		scene_init(&s, usual, 0, false);
		l = start(&s, &d, &to);
		cells = &scene_cells(&s)->servers[to.server->slot];
		cr_assert_eq(dial_failed(&s.w.traffic, "p", to.server, l, cases[i].why),
			     cases[i].cause);
		cr_assert_eq(cells->failures[cases[i].cause], 1u);
		cr_assert_eq(cells->active, 0u);
		cr_assert_gt(ring_used(&s.w.traffic.page->ring, s.w.traffic.journal.tail), 0u);
		link_close(l);
		scene_fini(&s);
	}
}
