/* Connecting to one of several addresses (RFC 8305 5). The first one is tried by the link's own
 * socket; others have theirs, until one is connected: then it is the link's. */
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/must.h"
#include "proxy/net/link_private.h"

#define NEXT_NS INT64_C(250000000)

struct attempt {
	struct link_race *race;
	struct event event;
	int fd; /* -1: not begun, or over */
	bool ready;
};

struct link_race {
	struct link *link;
	struct timer timer; /* the next one's turn */
	struct loop_task work;
	bool running;
	unsigned num, begun;
	unsigned won;				     /* LINK_MAX_ADDRESSES: none has */
	struct attempt attempts[LINK_MAX_ADDRESSES]; /* the first one is the link's own */
	socklen_t lens[LINK_MAX_ADDRESSES];
	struct sockaddr_storage addresses[LINK_MAX_ADDRESSES];
};

static void stop(struct attempt *a)
{
	if (a->fd < 0)
		return;
	(void)event_del(&a->event);
	(void)close(a->fd);
	a->fd = -1;
	a->ready = false;
}

static bool any_on(const struct link_race *r)
{
	for (unsigned i = 1; i < r->begun; i++) {
		if (r->attempts[i].fd >= 0)
			return true;
	}
	return r->link->fd >= 0;
}

static void ready(evutil_socket_t fd, short what, void *arg)
{
	struct attempt *a = arg;

	(void)fd;
	(void)what;
	a->ready = true;
	loop_queue(a->race->link->loop, &a->race->work, LOOP_TRAFFIC);
}

/* False, with errno: it has failed already. */
static bool begin(struct link_race *r, unsigned i)
{
	struct attempt *a = &r->attempts[i];
	const struct sockaddr *to = (const struct sockaddr *)&r->addresses[i];

	a->race = r;
	a->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->fd < 0)
		return false;
	if (event_assign(&a->event, r->link->loop->base, a->fd, EV_WRITE | EV_PERSIST | EV_ET,
			 ready, a) != 0 ||
	    event_add(&a->event, NULL) != 0) {
		(void)close(a->fd);
		a->fd = -1;
		errno = ENOMEM;
		return false;
	}
	if (connect(a->fd, to, r->lens[i]) == 0 || errno == EINPROGRESS)
		return true;
	stop(a);
	return false;
}

/* Begins with the next one that can be begun with, if there is one. */
static void begin_next(struct link_race *r)
{
	while (r->begun < r->num && !begin(r, r->begun++))
		;
	if (r->begun < r->num)
		loop_after(r->link->loop, &r->timer, NEXT_NS);
}

static void timer_fired(struct timer *t)
{
	begin_next((struct link_race *)((char *)t - offsetof(struct link_race, timer)));
}

/* The link goes on with the socket of attempt `i`. */
static void win(struct link_race *r, unsigned i)
{
	struct link *l = r->link;
	struct attempt *a = &r->attempts[i];

	if (l->fd >= 0) {
		(void)event_del(&l->event);
		(void)close(l->fd);
	}
	(void)event_del(&a->event);
	l->fd = a->fd;
	a->fd = -1;
	r->won = i;
	l->readable = l->hung_up = false;
	l->writable = true;
	if (l->ssl == NULL)
		link_reset_at_close(l, true);
	if (!link_listen_to(l)) {
		link_tell_end(l, LINK_END_MEMORY);
		return;
	}
	link_connected(l);
}

static void work_run(struct loop_task *t)
{
	struct link_race *r = (struct link_race *)((char *)t - offsetof(struct link_race, work));
	struct link *l = r->link;
	int last = 0;

	CHECK(l, LINK_MAGIC);
	for (unsigned i = 1; i < r->begun; i++) {
		struct attempt *a = &r->attempts[i];
		int error = 0;
		socklen_t len = sizeof(error);

		if (!a->ready)
			continue;
		if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
			error = errno;
		if (error == 0) {
			win(r, i);
			return;
		}
		last = error;
		stop(a);
		begin_next(r);
	}
	if (!any_on(r))
		link_tell_end(l, link_connect_error(l, last));
}

bool link_race_begin(struct link *l, const struct link_target *to)
{
	struct link_race *r = calloc(1, sizeof(*r));

	MUST(to->num <= LINK_MAX_ADDRESSES);
	if (r == NULL)
		return false;
	r->link = l;
	r->timer.fire = timer_fired;
	r->work.run = work_run;
	r->running = true;
	r->num = to->num;
	r->begun = 1;
	r->won = LINK_MAX_ADDRESSES;
	for (unsigned i = 0; i < to->num; i++) {
		memcpy(&r->addresses[i], to->addresses[i], to->lens[i]);
		r->lens[i] = to->lens[i];
		r->attempts[i].fd = -1;
	}
	l->race = r;
	loop_after(l->loop, &r->timer, NEXT_NS);
	return true;
}

bool link_race_lost(struct link *l)
{
	struct link_race *r = l->race;

	if (r == NULL)
		return false;
	(void)event_del(&l->event);
	(void)close(l->fd);
	l->fd = -1;
	l->writable = false;
	begin_next(r);
	return any_on(r);
}

void link_race_won(struct link *l)
{
	if (l->race != NULL && l->race->won == LINK_MAX_ADDRESSES)
		l->race->won = 0;
}

void link_race_end(struct link *l)
{
	struct link_race *r = l->race;

	if (r == NULL || !r->running)
		return;
	r->running = false;
	loop_cancel(l->loop, &r->timer);
	loop_unqueue(l->loop, &r->work);
	for (unsigned i = 1; i < r->begun; i++)
		stop(&r->attempts[i]);
}

void link_race_free(struct link_race *r)
{
	free(r);
}

socklen_t link_peer(const struct link *l, struct sockaddr_storage *out)
{
	const struct link_race *r = l->race;

	if (r == NULL)
		return 0;
	*out = r->addresses[r->won];
	return r->lens[r->won];
}

bool link_outrun(const struct link *l, unsigned n, struct sockaddr_storage *out, socklen_t *len)
{
	const struct link_race *r = l->race;

	for (unsigned i = 0; r != NULL && i < r->begun; i++) {
		if (i == r->won || n-- > 0)
			continue;
		*out = r->addresses[i];
		*len = r->lens[i];
		return true;
	}
	return false;
}
