#include "proxy/net/listener.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/must.h"
#include "proxy/http/front.h"
#include "proxy/net/relay.h"

enum { LISTENER_MAGIC = 0x6c697374, ACCEPTS_PER_TURN = 8, ACCEPTS_AT_CLOSE = 65536 };
#define LOOK_AGAIN_NS INT64_C(100000000)

struct listener {
	unsigned magic;
	TAILQ_ENTRY(listener) entry;
	struct traffic *traffic;
	int fd;
	uint32_t id, owner;
	uint16_t port; /* 0: none */
	int64_t place; /* of its configured listener in the snapshot in use; -1: none */
	bool listening;
	struct loop_task work;
	struct event event;
};

static void stop_listening(struct listener *l)
{
	if (!l->listening)
		return;
	(void)event_del(&l->event);
	loop_unqueue(l->traffic->loop, &l->work);
	l->listening = false;
}

static void start_listening(struct listener *l)
{
	if (l->listening || l->place < 0 || l->traffic->accept_paused)
		return;
	if (event_add(&l->event, NULL) != 0) {
		journal_event(&l->traffic->journal, CONF_LOG_ERROR,
			      "cannot watch a listening socket: %s", strerror(errno));
		return;
	}
	l->listening = true;
}

static void pause_all(struct traffic *t, unsigned why)
{
	struct listener *l;

	metrics_add(&t->page->metrics.accept_pauses[why], 1);
	metrics_add(&t->page->metrics.accept_paused, 1);
	t->accept_paused = true;
	TAILQ_FOREACH(l, &t->listeners, entry)
		stop_listening(l);
	/* Room may come from a sibling, or from the system, without our noticing. */
	loop_after(t->loop, &t->accept_timer, LOOK_AGAIN_NS);
}

/* Sockets that only linger make room for those that live, as many as are needed. */
static enum limits_room look_for_room(struct traffic *t)
{
	struct loop *loop = t->loop;
	enum limits_room room = limits_room(&t->limits, t->num_listeners);

	if (room != LIMITS_ROOM)
		return room;
	while (limits_room(&t->limits, t->num_listeners + loop->num_orphans) == LIMITS_DESCRIPTORS)
		loop_drop_orphan(loop);
	return LIMITS_ROOM;
}

void listener_room(struct traffic *t)
{
	struct listener *l;

	if (!t->accept_paused || look_for_room(t) != LIMITS_ROOM)
		return;
	t->accept_paused = false;
	metrics_sub(&t->page->metrics.accept_paused, 1);
	loop_cancel(t->loop, &t->accept_timer);
	TAILQ_FOREACH(l, &t->listeners, entry)
		start_listening(l);
}

static void look_again(struct timer *timer)
{
	struct traffic *t =
		(struct traffic *)((char *)timer - offsetof(struct traffic, accept_timer));

	listener_room(t);
	if (t->accept_paused)
		loop_after(t->loop, &t->accept_timer, LOOK_AGAIN_NS);
}

enum accepted { ACCEPTED, ACCEPT_EMPTY, ACCEPT_PAUSED };

static enum accepted accept_failed(struct listener *l, int error)
{
	switch (error) {
	case EAGAIN:
		return ACCEPT_EMPTY;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		journal_event(&l->traffic->journal, CONF_LOG_ERROR,
			      "accepting pauses: %s; raise the limit of open files",
			      strerror(error));
		pause_all(l->traffic, 2);
		return ACCEPT_PAUSED;
	case EBADF:
	case EINVAL:
	case ENOTSOCK:
		/* It will not get better, and the event is level triggered. */
		journal_event(&l->traffic->journal, CONF_LOG_ERROR, "cannot accept: %s",
			      strerror(error));
		stop_listening(l);
		return ACCEPT_EMPTY;
	default: /* the connection's own trouble, or EINTR */
		return ACCEPTED;
	}
}

static bool open_client(struct traffic *t, struct snapshot *s, uint32_t place, int fd,
			const struct client_arrival *arrival)
{
	if (s->conf->listeners[place].mode == CONF_MODE_HTTP)
		return front_open(t, s, place, fd, arrival);
	return relay_open(t, s, place, fd, arrival);
}

static enum accepted accept_one(struct listener *l, struct snapshot *s, uint32_t place)
{
	struct traffic *t = l->traffic;
	struct metrics_listener *m = &t->page->metrics.listeners[snapshot_listener(s, place)->slot];
	enum limits_room room = look_for_room(t);
	struct sockaddr_storage address = { 0 };
	socklen_t len = sizeof(address);
	struct limits_seat seat;
	struct client_arrival arrival = {
		.from = (const struct sockaddr *)&address,
		.local_port = l->port,
		.seat = &seat,
	};
	int fd;

	if (room != LIMITS_ROOM) {
		journal_event(&t->journal, CONF_LOG_WARNING, "accepting pauses: %s",
			      room == LIMITS_CONNECTIONS
				      ? "limits.connections is reached"
				      : "no descriptors left; raise the limit of open files");
		pause_all(t, room == LIMITS_CONNECTIONS ? 0 : 1);
		return ACCEPT_PAUSED;
	}
	fd = accept4(l->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return accept_failed(l, errno);
	metrics_add(&m->accepted, 1);
	if (!limits_admit(&t->limits, (const struct sockaddr *)&address, &seat)) {
		struct linger now = { .l_onoff = 1 };

		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		(void)close(fd);
		metrics_add(&m->ended[CAUSE_ADDRESS_LIMIT], 1);
		return ACCEPTED;
	}
	if (!open_client(t, s, place, fd, &arrival)) {
		limits_leave(&t->limits, &seat);
		metrics_add(&m->ended[CAUSE_MEMORY], 1);
	}
	return ACCEPTED;
}

static void work_run(struct loop_task *task)
{
	struct listener *l = (struct listener *)((char *)task - offsetof(struct listener, work));

	CHECK(l, LISTENER_MAGIC);
	if (l->place < 0)
		return;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++)
		if (accept_one(l, l->traffic->now, (uint32_t)l->place) != ACCEPTED)
			return;
	loop_queue(l->traffic->loop, &l->work, LOOP_ACCEPT);
}

static void fd_event(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd;
	(void)what;
	CHECK(l, LISTENER_MAGIC);
	loop_queue(l->traffic->loop, &l->work, LOOP_ACCEPT);
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage address = { 0 };
	socklen_t len = sizeof(address);
	struct client_address local;

	if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
		return 0;
	client_address_of((const struct sockaddr *)&address, &local);
	return local.port;
}

static int64_t find_place(const struct snapshot *s, uint32_t id)
{
	for (uint32_t i = 0; i < s->plan->num_sockets; i++)
		if (snapshot_socket(s, i)->id == id)
			return snapshot_socket(s, i)->listener;
	return -1;
}

bool listener_open(struct traffic *t, int fd, uint32_t id, uint32_t owner)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (l == NULL)
		goto fail;
	*l = (struct listener){
		.magic = LISTENER_MAGIC,
		.traffic = t,
		.fd = fd,
		.id = id,
		.owner = owner,
		.port = port_of(fd),
		.place = t->now == NULL ? -1 : find_place(t->now, id),
		.work = { .run = work_run },
	};
	if (event_assign(&l->event, t->loop->base, fd, EV_READ | EV_PERSIST, fd_event, l) != 0)
		goto fail;
	t->accept_timer.fire = look_again;
	TAILQ_INSERT_TAIL(&t->listeners, l, entry);
	t->num_listeners++;
	start_listening(l);
	return true;
fail:
	free(l);
	(void)close(fd);
	return false;
}

static void close_listener(struct listener *l)
{
	stop_listening(l);
	TAILQ_REMOVE(&l->traffic->listeners, l, entry);
	l->traffic->num_listeners--;
	(void)close(l->fd);
	l->magic = 0;
	free(l);
}

/* What completed its handshake with the kernel before the socket closes is served. */
static void accept_rest(struct listener *l, struct snapshot *s, int64_t place)
{
	if (s == NULL || place < 0 || l->traffic->accept_paused)
		return;
	/* Where there is no room left, nobody is told to wait: the socket goes. */
	for (int i = 0; i < ACCEPTS_AT_CLOSE && limits_room(&l->traffic->limits, 0) == LIMITS_ROOM;
	     i++)
		if (accept_one(l, s, (uint32_t)place) != ACCEPTED)
			return;
}

void listener_adopt(struct traffic *t, struct snapshot *before)
{
	struct listener *l = TAILQ_FIRST(&t->listeners);

	while (l != NULL) {
		struct listener *next = TAILQ_NEXT(l, entry);
		int64_t place = find_place(t->now, l->id);

		if (place < 0) {
			accept_rest(l, before, l->place);
			close_listener(l);
		} else {
			l->place = place;
			start_listening(l);
		}
		l = next;
	}
}

void listener_drop(struct traffic *t, uint32_t owner)
{
	struct listener *l = TAILQ_FIRST(&t->listeners);

	while (l != NULL) {
		struct listener *next = TAILQ_NEXT(l, entry);

		if (l->owner == owner)
			close_listener(l);
		l = next;
	}
}

void listener_leave(struct traffic *t)
{
	struct listener *l;

	while ((l = TAILQ_FIRST(&t->listeners)) != NULL)
		close_listener(l);
}

void listener_drain(struct traffic *t)
{
	struct listener *l;

	while ((l = TAILQ_FIRST(&t->listeners)) != NULL) {
		accept_rest(l, t->now, l->place);
		close_listener(l);
	}
}
