#include "proxy/process/supervision.h"

/* The next sibling that serves; -1: nobody does. */
static int cover_find(const struct supervisor *s, unsigned number)
{
	for (unsigned i = 1; i < s->num_workers; i++) {
		unsigned sibling = (number + i) % s->num_workers;

		if (child_serving(&s->workers[sibling]))
			return (int)sibling;
	}
	return -1;
}

static void cover_begin(struct supervisor *s, struct child *down)
{
	int sibling = cover_find(s, down->number);
	struct listening *l;

	if (sibling < 0)
		return;
	logs_say(&s->logs, CONF_LOG_WARNING, "worker %d accepts for worker %u, which is down",
		 sibling, down->number);
	down->cover = sibling;
	TAILQ_FOREACH(l, &s->sockets.list, entry) {
		if (l->state == SOCKETS_LIVE && !l->shared)
			child_send_socket(&s->workers[sibling], l, down->number);
	}
}

static void cover_end(struct supervisor *s, struct child *up)
{
	struct channel_message m = { .type = CHANNEL_SOCKET_DROP, .owner = up->number };

	child_send(&s->workers[up->cover], &m, NULL, 0);
	up->cover = -1;
}

void cover_update(struct supervisor *s)
{
	int64_t now = supervision_now(), soonest = INT64_MAX;

	if (s->stage != STAGE_SERVING)
		return;
	for (unsigned i = 0; i < s->num_workers; i++) {
		struct child *c = &s->workers[i];

		if (child_serving(c)) {
			if (c->cover >= 0)
				cover_end(s, c);
			continue;
		}
		/* One that never ended is on its way. */
		if (c->cover >= 0 || c->down_ns == 0)
			continue;
		if (now - c->down_ns >= SUPERVISION_COVER_NS)
			cover_begin(s, c);
		else if (c->down_ns + SUPERVISION_COVER_NS - now < soonest)
			soonest = c->down_ns + SUPERVISION_COVER_NS - now;
	}
	if (soonest != INT64_MAX)
		supervision_after(s->cover, soonest);
}

void cover_lost(struct supervisor *s, unsigned number)
{
	for (unsigned i = 0; i < s->num_workers; i++) {
		if (s->workers[i].cover == (int)number)
			s->workers[i].cover = -1;
	}
}

void cover_new_socket(struct supervisor *s, const struct listening *l)
{
	for (unsigned i = 0; !l->shared && i < s->num_workers; i++) {
		int sibling = s->workers[i].cover;

		if (sibling >= 0)
			child_send_socket(&s->workers[sibling], l, i);
	}
}
