#include "tests/support/http_scene.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/must.h"
#include "proxy/http/front.h"
#include "proxy/http/upstream.h"

static void signs(void *arg)
{
	struct http_scene *s = arg;

	keys_run(s->w.keys, 16);
	if (s->rig.tls && !s->rig.hold_keys)
		keys_run(s->rig.side.keys, 16);
}

static size_t waiting(const void *arg)
{
	const struct http_scene *s = arg;

	return s->rig_waiting(&s->rig) + keys_waiting(s->w.keys);
}

void scene_init(struct http_scene *s, const char *json, unsigned refused, bool tls)
{
	memset(s, 0, sizeof(*s));
	rig_init(&s->rig, tls);
	world_init(&s->w, s->rig.loop);
	s->rig_waiting = s->rig.loop->between_waiting;
	s->rig.loop->between = signs;
	s->rig.loop->between_waiting = waiting;
	s->rig.loop->between_arg = s;
	for (unsigned i = 0; i < SCENE_SERVERS; i++) {
		struct sockaddr_in at;

		s->listeners[i] = rig_listen(&at);
		world_at(&s->servers[i], &at);
		if (i >= refused)
			continue;
		(void)close(s->listeners[i]);
		s->listeners[i] = -1;
	}
	scene_use(s, json, 0);
}

void scene_use(struct http_scene *s, const char *json, uint32_t shift)
{
	world_use(&s->w, world_snapshot(&s->w, json, s->servers, ++s->generation, shift));
}

struct metrics_worker *scene_cells(struct http_scene *s)
{
	return &s->w.traffic.page->metrics;
}

enum { SLOTS = 16 }; /* that a scene may have in use */

const char *scene_gauge(const struct http_scene *s)
{
	const struct metrics_worker *m = &s->w.traffic.page->metrics;

	if (m->connections != 0)
		return "connections";
	if (m->idle_connections != 0)
		return "idle_connections";
	for (unsigned i = 0; i < SLOTS; i++) {
		if (m->pools_active[i] != 0)
			return "pools_active";
		if (m->pools_pending[i] != 0)
			return "pools_pending";
		if (m->listeners[i].active != 0)
			return "listeners.active";
		if (m->listeners[i].requests_active != 0)
			return "listeners.requests_active";
		if (m->servers[i].active != 0)
			return "servers.active";
		if (m->servers[i].requests_active != 0)
			return "servers.requests_active";
	}
	return NULL;
}

void scene_fini(struct http_scene *s)
{
	clients_end_all(&s->w.traffic, CAUSE_DRAIN);
	upstreams_drain(s->w.traffic.upstreams);
	/* What has been given up is seen to by the loop. */
	rig_settle(&s->rig);
	MUST(scene_gauge(s) == NULL);
	world_fini(&s->w);
	for (unsigned i = 0; i < SCENE_SERVERS; i++)
		if (s->listeners[i] >= 0)
			(void)close(s->listeners[i]);
	rig_fini(&s->rig);
}

bool scene_enter(struct http_scene *s, uint32_t place, struct bare *client)
{
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_port = htons(4711) };
	struct limits_seat seat;
	struct client_arrival arrival = { .from = (struct sockaddr *)&from, .seat = &seat };
	struct limits *limits = &s->w.traffic.limits;
	int fds[2];

	rig_join(fds, false);
	*client = (struct bare){ .fd = fds[1] };
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->rig.loop->now_ns = loop_clock_ns();
	MUST(limits_admit(limits, (struct sockaddr *)&from, &seat));
	if (front_open(&s->w.traffic, s->w.traffic.now, place, fds[0], &arrival))
		return true;
	limits_leave(limits, &seat);
	return false;
}

struct knock {
	const struct http_scene *s;
	unsigned server;
	int fd;
};

static bool has_knocked(void *arg)
{
	struct knock *k = arg;

	k->fd = accept4(k->s->listeners[k->server], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	return k->fd >= 0;
}

bool scene_accept(struct http_scene *s, unsigned i, struct bare *server)
{
	struct knock k = { .s = s, .server = i, .fd = -1 };

	*server = (struct bare){ .fd = -1 };
	if (!rig_until(&s->rig, has_knocked, &k))
		return false;
	server->fd = k.fd;
	return true;
}

struct wish {
	struct bare *bare;
	const char *text;
};

static bool is_heard(void *arg)
{
	const struct wish *w = arg;
	bool over = bare_hear(w->bare);

	return over || (w->text != NULL && strstr(w->bare->got, w->text) != NULL);
}

bool scene_until(struct http_scene *s, struct bare *b, const char *text)
{
	struct wish w = { .bare = b, .text = text };

	return rig_until(&s->rig, is_heard, &w) && strstr(b->got, text) != NULL;
}

bool scene_until_ended(struct http_scene *s, struct bare *b)
{
	struct wish w = { .bare = b };

	return rig_until(&s->rig, is_heard, &w) && b->eof;
}

bool scene_record(struct http_scene *s, struct record_request *r)
{
	struct ring_tail *tail = &board_steward(s->w.board)->tails[0];
	uint8_t bytes[RING_RECORD_MAX];
	bool skipped;
	size_t len;

	while (ring_read(&s->w.traffic.page->ring, tail, bytes, &len, &skipped)) {
		if (!record_request_sound(span_of(bytes, len)))
			continue;
		memcpy(r, bytes, len);
		return true;
	}
	return false;
}

void bare_say(struct bare *b, const char *text)
{
	size_t n = strlen(text);
	ssize_t sent = send(b->fd, text, n, MSG_NOSIGNAL);

	MUST(sent == (ssize_t)n || (sent < 0 && errno != EAGAIN));
}

bool bare_hear(struct bare *b)
{
	char bytes[16384];
	ssize_t n;

	if (b->fd < 0 || b->eof || b->reset)
		return true;
	while ((n = recv(b->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
		size_t keep = sizeof(b->got) - 1 - b->len;

		if (keep > (size_t)n)
			keep = (size_t)n;
		memcpy(b->got + b->len, bytes, keep);
		b->len += keep;
		b->got[b->len] = '\0';
		b->total += (size_t)n;
	}
	b->eof = n == 0;
	b->reset = n < 0 && errno != EAGAIN;
	return b->eof || b->reset;
}

void bare_forget(struct bare *b)
{
	b->len = 0;
	b->total = 0;
	b->got[0] = '\0';
}

void bare_close(struct bare *b)
{
	if (b->fd >= 0)
		(void)close(b->fd);
	b->fd = -1;
}
