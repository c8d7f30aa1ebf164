#include "tests/support/play.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf/must.h"

/* ---- what was done ---- */

__attribute__((format(printf, 2, 3))) static void note(struct watch *w, const char *format, ...)
{
	va_list args;
	int n;

	MUST(!w->gone);
	if (w->len > 0 && w->len < sizeof(w->story) - 1)
		w->story[w->len++] = ' ';
	w->in_data = false;
	va_start(args, format);
	n = vsnprintf(w->story + w->len, sizeof(w->story) - w->len, format, args);
	va_end(args);
	MUST(n >= 0 && (size_t)n < sizeof(w->story) - w->len);
	w->len += (size_t)n;
}

static void note_fields(struct watch *w, const struct head *h)
{
	size_t n = 0;

	w->fields[0] = '\0';
	w->last = h->last;
	for (uint32_t i = 0; i < h->num && n < sizeof(w->fields); i++)
		n += (size_t)snprintf(w->fields + n, sizeof(w->fields) - n, "%.*s=%.*s\n",
				      (int)h->fields[i].name.n, h->fields[i].name.p,
				      (int)h->fields[i].value.n, h->fields[i].value.p);
}

static void note_head(struct watch *w, const struct head *h, bool end)
{
	note_fields(w, h);
	if (h->status != 0)
		note(w, "head:%u%s", h->status, end ? ":end" : "");
	else
		note(w, "head:%.*s%s", (int)h->method_name.n, h->method_name.p, end ? ":end" : "");
}

/* Long bodies are told by their length only. */
static bool note_data(struct watch *w, struct span bytes)
{
	MUST(!w->gone);
	if (!w->in_data)
		note(w, "data:");
	w->in_data = true;
	if (bytes.n <= 64 && w->len + bytes.n < sizeof(w->story)) {
		memcpy(w->story + w->len, bytes.p, bytes.n);
		w->len += bytes.n;
		w->story[w->len] = '\0';
	}
	w->sent += bytes.n;
	return !w->full;
}

static void note_end(struct watch *w, const struct head *trailers)
{
	note(w, trailers == NULL ? "end" : "end:%u", trailers == NULL ? 0 : trailers->num);
}

static void note_gone(struct watch *w, enum cause why)
{
	if (why == CAUSE_NONE)
		note(w, "release");
	else
		note(w, "abort:%s", cause_name(why));
	w->gone = true;
	w->why = why;
}

/* ---- the client's stream ---- */

static struct watch *watch_of(struct stream *s)
{
	return &((struct fake *)(void *)((char *)s - offsetof(struct fake, stream)))->watch;
}

static void fake_informational(struct stream *s, const struct head *h)
{
	note(watch_of(s), "%u", h->status);
}

static void fake_head(struct stream *s, const struct head *h, bool end)
{
	note_head(watch_of(s), h, end);
}

static bool fake_data(struct stream *s, struct span bytes)
{
	return note_data(watch_of(s), bytes);
}

static void fake_end(struct stream *s, const struct head *trailers)
{
	note_end(watch_of(s), trailers);
}

static void fake_consumed(struct stream *s, size_t n)
{
	MUST(!watch_of(s)->gone);
	watch_of(s)->consumed += n;
}

static void fake_stop(struct stream *s)
{
	note(watch_of(s), "stop");
}

static void fake_release(struct stream *s)
{
	note_gone(watch_of(s), CAUSE_NONE);
}

static void fake_abort(struct stream *s, enum cause why)
{
	note_gone(watch_of(s), why);
}

static const struct stream_ops fake_ops = {
	.send_informational = fake_informational,
	.send_head = fake_head,
	.send_data = fake_data,
	.send_end = fake_end,
	.consumed = fake_consumed,
	.stop_reading = fake_stop,
	.release = fake_release,
	.abort = fake_abort,
};

/* ---- the server's ---- */

static struct spy *spy_of(struct stream *s)
{
	return (struct spy *)(uintptr_t)s->ops;
}

static void spy_informational(struct stream *s, const struct head *h)
{
	(void)h;
	MUST(s == NULL); /* never to a server */
}

static void spy_head(struct stream *s, const struct head *h, bool end)
{
	struct spy *spy = spy_of(s);

	note_head(&spy->watch, h, end);
	if (spy->real_too)
		spy->real->send_head(s, h, end);
}

static bool spy_data(struct stream *s, struct span bytes)
{
	struct spy *spy = spy_of(s);
	bool room = note_data(&spy->watch, bytes);

	return (!spy->real_too || spy->real->send_data(s, bytes)) && room;
}

static void spy_end(struct stream *s, const struct head *trailers)
{
	struct spy *spy = spy_of(s);

	note_end(&spy->watch, trailers);
	if (spy->real_too)
		spy->real->send_end(s, trailers);
}

static void spy_consumed(struct stream *s, size_t n)
{
	struct spy *spy = spy_of(s);

	MUST(!spy->watch.gone);
	spy->watch.consumed += n;
	if (spy->real_too)
		spy->real->consumed(s, n);
}

static void spy_stop(struct stream *s)
{
	struct spy *spy = spy_of(s);

	note(&spy->watch, "stop");
	if (spy->real_too)
		spy->real->stop_reading(s);
}

static void spy_release(struct stream *s)
{
	struct spy *spy = spy_of(s);

	note_gone(&spy->watch, CAUSE_NONE);
	s->ops = spy->real;
	s->ops->release(s);
}

static void spy_abort(struct stream *s, enum cause why)
{
	struct spy *spy = spy_of(s);

	note_gone(&spy->watch, why);
	s->ops = spy->real;
	s->ops->abort(s, why);
}

static bool is_served(void *arg)
{
	const struct play *p = arg;

	return p->x == NULL || p->x->up != NULL;
}

static bool spy_answered(const struct stream *s)
{
	return ((const struct spy *)(uintptr_t)s->ops)->real->answered(s);
}

bool play_spy(struct play *p)
{
	struct stream *s;

	if (!rig_until(&p->scene.rig, is_served, p) || p->x == NULL)
		return false;
	s = p->x->up;
	p->up = (struct spy){ .real = s->ops,
			      .stream = s,
			      .ops = { .send_informational = spy_informational,
				       .send_head = spy_head,
				       .send_data = spy_data,
				       .send_end = spy_end,
				       .consumed = spy_consumed,
				       .stop_reading = spy_stop,
				       .release = spy_release,
				       .abort = spy_abort,
				       .answered = spy_answered } };
	s->ops = &p->up.ops;
	return true;
}

bool play_served(struct play *p, unsigned i, struct bare *server)
{
	return play_spy(p) && scene_accept(&p->scene, i, server);
}

/* ---- the stage ---- */

void play_init(struct play *p, const char *json, unsigned refused)
{
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_port = htons(4711) };
	struct limits_seat seat;
	struct client_arrival arrival = { .from = (struct sockaddr *)&from, .seat = &seat };
	static const struct client_ops none;
	int fds[2];

	memset(p, 0, sizeof(*p));
	scene_init(&p->scene, json, refused, false);
	p->party.rig = &p->scene.rig;
	rig_join(fds, false);
	p->peer = fds[1];
	party_accept(&p->party, fds[0]);
	MUST(rig_until(&p->scene.rig, party_open, &p->party));
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	MUST(limits_admit(&p->scene.w.traffic.limits, (struct sockaddr *)&from, &seat));
	client_enter(&p->client, &p->scene.w.traffic, &none, 0, &arrival);
}

void play_fini(struct play *p)
{
	if (p->x != NULL)
		exchanges_abandon(&p->list, CAUSE_DRAIN);
	client_leave(&p->client, CAUSE_CLOSED);
	party_fini(&p->party);
	(void)close(p->peer);
	scene_fini(&p->scene);
}

struct head *play_request(const char *method, const char *path, int64_t length)
{
	struct head *h = head_new(0);

	MUST(h != NULL);
	h->method = method_of(span_str(method));
	h->method_name = span_str(method);
	h->authority = span_str("a.example");
	h->path = span_str(path);
	h->length = length;
	h->version = 11;
	return h;
}

struct head *play_response(unsigned status, int64_t length)
{
	struct head *h = head_new(0);

	MUST(h != NULL);
	h->status = (uint16_t)status;
	h->length = length;
	h->version = 11;
	return h;
}

static void over(void *owner)
{
	struct play *p = owner;

	p->x = NULL;
	p->num_over++;
}

void play_begin(struct play *p, struct head *h, bool end)
{
	struct exchange_place at = {
		.traffic = &p->scene.w.traffic,
		.client = &p->client,
		.link = p->party.link,
		.list = &p->list,
		.over = over,
		.owner = p,
	};

	MUST(p->x == NULL);
	p->scene.rig.loop->now_ns = loop_clock_ns();
	p->down = (struct fake){ .stream = { .ops = &fake_ops } };
	p->num_over = 0;
	MUST((p->x = exchange_new(&at, &p->down.stream, h)) != NULL);
	exchange_begin(p->x, end);
}

static bool is_over(void *arg)
{
	return ((const struct play *)arg)->x == NULL;
}

bool play_over(struct play *p)
{
	return rig_until(&p->scene.rig, is_over, p);
}

/* ---- what either stream tells ---- */

void play_down_data(struct play *p, const char *bytes, size_t n)
{
	p->down.stream.events->data(p->down.stream.owner, span_of(bytes, n));
}

void play_down_end(struct play *p, struct head *trailers)
{
	p->down.stream.events->end(p->down.stream.owner, trailers);
}

void play_down_aborted(struct play *p, enum cause why)
{
	p->down.stream.events->aborted(p->down.stream.owner, why, "the client's");
}

void play_down_drained(struct play *p)
{
	p->down.watch.full = false;
	p->down.stream.events->drained(p->down.stream.owner);
}

void play_up_informational(struct play *p, unsigned status)
{
	struct stream *s = p->up.stream;

	s->events->informational(s->owner, play_response(status, 0));
}

void play_up_head(struct play *p, struct head *h, bool end)
{
	p->up.stream->events->head(p->up.stream->owner, h, end);
}

void play_up_data(struct play *p, const char *bytes, size_t n)
{
	p->up.stream->events->data(p->up.stream->owner, span_of(bytes, n));
}

void play_up_end(struct play *p, struct head *trailers)
{
	p->up.stream->events->end(p->up.stream->owner, trailers);
}

void play_up_aborted(struct play *p, enum cause why)
{
	p->up.stream->events->aborted(p->up.stream->owner, why, "the server's");
}

void play_up_drained(struct play *p)
{
	p->up.watch.full = false;
	p->up.stream->events->drained(p->up.stream->owner);
}

const char *play_text(const struct record_request *r, enum record_text which, char *buf, size_t len)
{
	const char *at = r->text;

	for (unsigned i = 0; i < which; i++)
		at += r->lens[i];
	MUST(r->lens[which] < len);
	memcpy(buf, at, r->lens[which]);
	buf[r->lens[which]] = '\0';
	return buf;
}
