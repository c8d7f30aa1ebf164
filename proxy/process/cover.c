#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "proxy/process/supervision.h"

#define COVER_NOBODY UINT32_MAX /* no worker's number */

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
	logs_say(&s->logs, CONF_LOG_WARNING, "worker %d accepts for worker %u, which %s", sibling,
		 down->number, down->stuck ? "hangs" : "is down");
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

static int64_t cover_sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

void cover_update(struct supervisor *s)
{
	int64_t now = supervision_now(), soonest = INT64_MAX;

	if (s->stage != STAGE_SERVING)
		return;
	for (unsigned i = 0; i < s->num_workers; i++) {
		struct child *c = &s->workers[i];

		if (child_serving(c)) {
			/* Who crashes in a loop would each time take what has queued up, and lose
			 * it: the sibling stays until the worker has shown that it lives. */
			if (c->cover >= 0 && now - c->started_ns >= SUPERVISION_PROVEN_NS)
				cover_end(s, c);
			else if (c->cover >= 0)
				soonest = cover_sooner(soonest,
						       c->started_ns + SUPERVISION_PROVEN_NS - now);
			continue;
		}
		/* One that never ended is on its way. */
		if (c->cover >= 0 || (c->down_ns == 0 && !c->stuck))
			continue;
		if (c->stuck || now - c->down_ns >= SUPERVISION_COVER_NS)
			cover_begin(s, c);
		else
			soonest = cover_sooner(soonest, c->down_ns + SUPERVISION_COVER_NS - now);
	}
	if (soonest != INT64_MAX)
		supervision_after(s->cover, soonest);
}

/* Whether the last beat is still unread. */
static bool cover_is_stuck(const struct child *c)
{
	int unread = 0;

	return c->outbox.num > 0 || (ioctl(c->fd, SIOCOUTQ, &unread) == 0 && unread > 0);
}

static void cover_beat_child(struct child *c)
{
	/* Say nothing, but whoever is well reads them. */
	static const struct channel_message beats[] = {
		[CHILD_WORKER] = { .type = CHANNEL_SOCKET_DROP, .owner = COVER_NOBODY },
		[CHILD_STEWARD] = { .type = CHANNEL_OUTCOME },
		[CHILD_KEEPER] = { .type = CHANNEL_KEYS_DROP },
	};

	if (c->pid == 0 || c->fd < 0 || c->killed || c->adopted == 0)
		return;
	c->stuck = cover_is_stuck(c);
	watchdog_look(c);
	if (!c->stuck)
		child_send(c, &beats[c->kind], NULL, 0);
}

void cover_beat(struct supervisor *s)
{
	if (s->stage != STAGE_SERVING)
		return;
	for (unsigned i = 0; i < s->num_workers; i++)
		cover_beat_child(&s->workers[i]);
	cover_beat_child(&s->steward);
	if (s->isolated)
		cover_beat_child(&s->keeper);
	cover_update(s);
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
