#include "proxy/net/relay.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certs/hello_name.h"
#include "conf/must.h"
#include "proxy/net/client_record.h"
#include "proxy/net/dial.h"
#include "proxy/net/link.h"
#include "proxy/net/pending.h"
#include "proxy/net/sni.h"

enum { RELAY_MAGIC = 0x72656c61 };

struct relay {
	struct client client; /* first */
	unsigned magic;
	bool client_done, server_done; /* their links have ended in good order */
	bool client_eof, server_eof;   /* they have said all they had to say */
	bool joined;
	uint16_t cause; /* of the last failed connect; joined: of a side that was lost */
	struct traffic *traffic;
	struct link *near, *server; /* the client's link, and the server's */
	struct snapshot *snapshot;  /* until joined: of the handshake, then of the connect */
	struct metrics_server *server_cells; /* NULL: no server counted */
	uint32_t pool, server_slot;	     /* slots */
	struct timer timer;		     /* idle, or retired */
	int64_t idle_ns;
	int64_t connect_began_ns, connect_ns;
	struct pool *choosing;		  /* while connecting */
	const struct plan_server *target; /* the same */
	struct pending_wait pending;	  /* for a server that has room */
	struct pool_tries tries;
	bool looking; /* for the name that the client asks for, before anything else */
	char *name;   /* what was found; NULL: it was not looked for */
	char *hello;  /* what it has sent meanwhile; or NULL */
	size_t hello_len;
};

static const struct link_events server_events;

/* ---- the end ---- */

static void leave_server(struct relay *r)
{
	if (r->server_cells == NULL)
		return;
	dial_left(r->traffic, r->server_slot);
	metrics_sub(&r->server_cells->requests_active, 1);
	r->server_cells = NULL;
}

static void record(struct relay *r, enum cause cause, const char *detail)
{
	struct client_story story = {
		.client = r->near,
		.from = &r->client.from,
		.listener = r->client.listener,
		.pool = r->pool,
		.server = r->server_slot,
		.cause = cause,
		.detail = detail,
		.name = r->name,
		.connect_ns = r->connect_ns,
		.duration_ns = loop_clock_ns() - r->client.began_ns,
	};

	client_record(&r->traffic->journal, &story);
}

/* Counts, records, and frees the relay. The links have been looked at for the last time. The
 * reference to the snapshot is the caller's now: what is left of a handshake lives in its site. */
static void finish(struct relay *r, enum cause cause, const char *detail)
{
	struct traffic *t = r->traffic;
	struct link_facts facts;

	link_facts(r->near, &facts);
	record(r, cause, detail);
	if (r->snapshot != NULL && facts.handshake_ns == 0 && r->choosing == NULL)
		metrics_add(&r->client.cells->handshake_failures[cause], 1);
	if (r->pool != RECORD_NONE)
		metrics_sub(&t->page->metrics.pools_active[r->pool], 1);
	leave_server(r);
	loop_cancel(t->loop, &r->timer);
	pending_leave(&r->pending);
	client_leave(&r->client, cause);
	r->magic = 0;
	free(r->hello);
	free(r->name);
	free(r);
	client_gone(t);
}

/* Ends both directions so that neither peer takes its stream for complete. */
static void fail(struct relay *r, enum cause cause, const char *detail)
{
	struct link *near = r->near, *server = r->server;
	struct snapshot *snapshot = r->snapshot;

	finish(r, cause, detail);
	link_abort(server);
	link_abort(near);
	snapshot_unref(snapshot);
}

/* Ends both in good order; joined relays only. */
static void done(struct relay *r)
{
	struct link *near = r->near, *server = r->server;

	finish(r, r->cause == CAUSE_NONE ? CAUSE_CLOSED : (enum cause)r->cause, "");
	link_close(server);
	link_close(near);
}

/* A side broke off. Where it had said all it had to say, the other is still to hear that, whole;
 * what the other says goes nowhere, and keeps nothing alive. */
static void lost(struct relay *r, enum cause cause, bool eof, bool *side_done, bool other_done)
{
	if (!eof) {
		fail(r, cause, "");
		return;
	}
	r->cause = (uint16_t)cause;
	*side_done = true;
	if (other_done)
		done(r);
}

/* ---- time ---- */

static void touch(struct relay *r)
{
	int64_t deadline = r->traffic->loop->now_ns + r->idle_ns;

	if (r->client.retire_ns != 0 && r->client.retire_ns < deadline)
		deadline = r->client.retire_ns;
	wheel_set(&r->traffic->loop->wheel, &r->timer, deadline);
}

static void timer_fired(struct timer *t)
{
	struct relay *r = (struct relay *)((char *)t - offsetof(struct relay, timer));

	CHECK(r, RELAY_MAGIC);
	if (r->client.retire_ns != 0 && r->traffic->loop->now_ns >= r->client.retire_ns)
		fail(r, CAUSE_RETIRED, "");
	else if (r->looking)
		fail(r, CAUSE_HANDSHAKE_TIMEOUT, "the client did not say what it asks for");
	else
		fail(r, CAUSE_IDLE_TIMEOUT, "");
}

/* ---- the server's side ---- */

static void connect_next(struct relay *r);

static void room_ready(struct pending_wait *w)
{
	struct relay *r = (struct relay *)((char *)w - offsetof(struct relay, pending));

	CHECK(r, RELAY_MAGIC);
	pool_tries_anew(&r->tries);
	connect_next(r);
}

static void room_late(struct pending_wait *w)
{
	struct relay *r = (struct relay *)((char *)w - offsetof(struct relay, pending));

	CHECK(r, RELAY_MAGIC);
	fail(r, CAUSE_POOL_FULL, PENDING_LATE);
}

/* Waits until a server has room, or waits on. False: too many do. */
static bool wait_for_room(struct relay *r)
{
	r->pending.ready = room_ready;
	r->pending.late = room_late;
	return pending_join(r->traffic->pending, r->pool, pool_max_pending(r->choosing),
			    pool_conf(r->choosing)->pending_ns, &r->pending);
}

/* Tries servers until a connect is under way; else the relay has ended. */
static void connect_next(struct relay *r)
{
	struct traffic *t = r->traffic;
	struct pool_choice to;
	enum pool_verdict verdict;

	if (r->pending.until_ns == 0 && pending_has(t->pending, r->pool) && wait_for_room(r))
		return;
	while ((verdict = pool_next(r->choosing, &r->tries, &to)) == POOL_FOUND) {
		if (to.full)
			continue;
		r->target = to.server;
		r->server_slot = to.server->slot;
		r->connect_began_ns = t->loop->now_ns;
		r->server = dial(t, &to, &server_events, r);
		if (r->server != NULL) {
			r->server_cells = &t->page->metrics.servers[to.server->slot];
			metrics_add(&r->server_cells->requests_active, 1);
			return;
		}
		r->cause = CAUSE_MEMORY;
	}
	if (verdict == POOL_FULL && wait_for_room(r))
		return;
	if (verdict == POOL_FULL)
		fail(r, CAUSE_POOL_FULL, PENDING_FULL);
	else if (r->cause != CAUSE_NONE)
		fail(r, r->cause, "");
	else
		fail(r, CAUSE_NO_SERVER, "no server of the pool has an address");
}

static void connect_failed(struct relay *r, enum link_end why)
{
	r->cause = (uint16_t)dial_failed(r->traffic, pool_plan(r->choosing)->name, r->target,
					 r->server, why);
	metrics_sub(&r->server_cells->requests_active, 1);
	r->server_cells = NULL;
	link_close(r->server);
	r->server = NULL;
	connect_next(r);
}

/* What was looked at goes to the server first. False: it waits for room there. */
static bool pass_hello(struct relay *r)
{
	char *hello = r->hello;
	bool room;

	if (hello == NULL)
		return true;
	r->hello = NULL;
	metrics_add(&r->client.cells->bytes_received, r->hello_len);
	metrics_add(&r->server_cells->bytes_sent, r->hello_len);
	room = link_write(r->server, span_of(hello, r->hello_len));
	free(hello);
	return room;
}

static void server_opened(void *owner)
{
	struct relay *r = owner;

	CHECK(r, RELAY_MAGIC);
	r->connect_ns = dial_opened(r->traffic, r->server_slot, r->server, r->connect_began_ns);
	r->joined = true;
	r->cause = CAUSE_NONE;
	r->choosing = NULL;
	r->target = NULL;
	snapshot_unref(r->snapshot);
	r->snapshot = NULL;
	touch(r);
	if (pass_hello(r))
		link_resume(r->near);
}

static void server_data(void *owner, struct span bytes)
{
	struct relay *r = owner;

	CHECK(r, RELAY_MAGIC);
	if (r->client_done) { /* nobody is left to say it to */
		done(r);
		return;
	}
	touch(r);
	metrics_add(&r->server_cells->bytes_received, bytes.n);
	metrics_add(&r->client.cells->bytes_sent, bytes.n);
	if (!link_write(r->near, bytes))
		link_pause(r->server);
}

static void server_eof(void *owner)
{
	struct relay *r = owner;

	CHECK(r, RELAY_MAGIC);
	touch(r);
	r->server_eof = true;
	link_end(r->near);
}

static void server_drained(void *owner)
{
	struct relay *r = owner;

	CHECK(r, RELAY_MAGIC);
	touch(r);
	link_resume(r->near);
}

static void server_ended(void *owner, enum link_end why)
{
	struct relay *r = owner;
	const char *words = "";

	CHECK(r, RELAY_MAGIC);
	if (!r->joined) {
		connect_failed(r, why);
		return;
	}
	switch (why) {
	case LINK_END_CLOSED:
		r->server_done = true;
		if (r->client_done)
			done(r);
		return;
	case LINK_END_TRUNCATED:
		fail(r, CAUSE_SERVER_TRUNCATED, "");
		return;
	case LINK_END_TLS:
		(void)link_reason(r->server, &words);
		fail(r, CAUSE_SERVER_TLS, words);
		return;
	case LINK_END_MEMORY:
		fail(r, CAUSE_MEMORY, "");
		return;
	default:
		lost(r, CAUSE_SERVER_RESET, r->server_eof, &r->server_done, r->client_done);
		return;
	}
}

static const struct link_events server_events = {
	.opened = server_opened,
	.data = server_data,
	.eof = server_eof,
	.drained = server_drained,
	.ended = server_ended,
};

/* ---- the client's side ---- */

/* Connects to a server of `pool`, which is one of r->snapshot. */
static void choose(struct relay *r, struct pool *pool)
{
	link_pause(r->near); /* until there is a server to write to */
	r->choosing = pool;
	r->tries.key =
		pool_key(span_of((const char *)r->client.from.bytes, sizeof(r->client.from.bytes)));
	r->pool = pool_plan(pool)->slot;
	metrics_add(&r->traffic->page->metrics.pools_active[r->pool], 1);
	connect_next(r);
}

/* The pool of `l` for what the client asked for. NULL: there is none. */
static struct pool *pool_for(const struct relay *r, const struct site_listener *l)
{
	const struct conf_sni_route *route;
	char name[HELLO_NAME_MAX + 1] = "";

	if (l->pool != NULL)
		return l->pool;
	if (link_ssl(r->near) != NULL)
		server_tls_name(link_ssl(r->near), name, sizeof(name));
	/* Where TLS was ended the server would not know what to do with what was in it. */
	route = sni_find(l->conf, span_str(name));
	return route == NULL || route->passthrough ? NULL
						   : site_of(r->snapshot)->pools[route->pool];
}

static bool is_relay(const struct site_listener *l)
{
	return l != NULL && l->conf->mode == CONF_MODE_TCP;
}

static void client_opened(void *owner)
{
	struct relay *r = owner;
	struct traffic *t = r->traffic;
	const struct site_listener *now;
	struct pool *pool;

	CHECK(r, RELAY_MAGIC);
	if (r->looking)
		return;
	client_count_handshake(&r->client, r->near);
	/* The handshake's snapshot has done its part; where to go is decided by the present one. */
	now = site_find(site_of(t->now), r->client.listener);
	if (is_relay(now) && t->now != r->snapshot) {
		struct snapshot *old = r->snapshot;

		r->snapshot = snapshot_ref(t->now);
		snapshot_unref(old);
	}
	/* A listener that is gone, or speaks HTTP now, is what it was for this connection. */
	now = site_find(site_of(r->snapshot), r->client.listener);
	MUST(is_relay(now));
	if ((pool = pool_for(r, now)) != NULL)
		choose(r, pool);
	else
		fail(r, CAUSE_NO_ROUTE, "no route takes the name that the client asks for");
}

/* ---- looking for the name, before TLS is ended here or elsewhere ---- */

static void refuse_hello(struct relay *r, const char *why)
{
	/* RFC 6066 3: unrecognized_name, fatal; in a record of TLS 1.2, as before any agreement. */
	static const char alert[] = { 21, 3, 3, 0, 2, 2, 112 };
	struct snapshot *snapshot = r->snapshot;
	struct link *near = r->near;

	(void)link_write(near, span_of(alert, sizeof(alert)));
	finish(r, CAUSE_NO_ROUTE, why);
	link_close(near);
	snapshot_unref(snapshot);
}

static void looked(struct relay *r, struct span name)
{
	const struct site_listener *l = site_find(site_of(r->snapshot), r->client.listener);
	const struct conf_sni_route *route = sni_find(l->conf, name);
	int64_t left_ns =
		l->conf->timeouts.handshake_ns - (r->traffic->loop->now_ns - r->client.began_ns);
	char *hello = r->hello;

	r->looking = false;
	r->name = strdup(name.p); /* for the record, which can do without */
	loop_cancel(r->traffic->loop, &r->timer);
	if (route != NULL && route->passthrough) {
		choose(r, site_of(r->snapshot)->pools[route->pool]);
	} else if (l->tls == NULL) {
		refuse_hello(r, "no route takes the name that the client asks for");
	} else if (link_start_tls(r->near, l->tls, span_of(hello, r->hello_len),
				  left_ns > 0 ? left_ns : 1)) {
		r->hello = NULL;
		free(hello);
	} else {
		fail(r, CAUSE_MEMORY, "");
	}
}

/* What is no ClientHello is for whoever ends TLS to refuse; without that it has no name. */
static void look(struct relay *r, struct span bytes)
{
	char name[HELLO_NAME_MAX + 1];
	char *grown = realloc(r->hello, r->hello_len + bytes.n);

	if (grown == NULL) {
		fail(r, CAUSE_MEMORY, "");
		return;
	}
	r->hello = grown;
	memcpy(r->hello + r->hello_len, bytes.p, bytes.n);
	r->hello_len += bytes.n;
	switch (hello_name(span_of(r->hello, r->hello_len), name)) {
	case HELLO_MORE:
		break;
	case HELLO_WHOLE:
		looked(r, span_str(name));
		break;
	case HELLO_BAD:
		if (site_find(site_of(r->snapshot), r->client.listener)->tls == NULL)
			fail(r, CAUSE_NO_ROUTE, "the client does not begin with a ClientHello");
		else
			looked(r, span_of("", 0));
		break;
	}
}

static void client_data(void *owner, struct span bytes)
{
	struct relay *r = owner;

	CHECK(r, RELAY_MAGIC);
	if (r->looking) {
		look(r, bytes);
		return;
	}
	if (r->server_done)
		return;
	touch(r);
	metrics_add(&r->client.cells->bytes_received, bytes.n);
	metrics_add(&r->server_cells->bytes_sent, bytes.n);
	if (!link_write(r->server, bytes))
		link_pause(r->near);
}

static void client_eof(void *owner)
{
	struct relay *r = owner;

	CHECK(r, RELAY_MAGIC);
	if (r->looking) {
		fail(r, CAUSE_CLIENT_GONE, "");
		return;
	}
	touch(r);
	r->client_eof = true;
	link_end(r->server);
}

static void client_drained(void *owner)
{
	struct relay *r = owner;

	CHECK(r, RELAY_MAGIC);
	touch(r);
	link_resume(r->server);
}

static void client_ended(void *owner, enum link_end why)
{
	struct relay *r = owner;
	const char *words = "";
	enum tls_reason reason;

	CHECK(r, RELAY_MAGIC);
	switch (why) {
	case LINK_END_CLOSED:
		r->client_done = true;
		if (r->server_done)
			done(r);
		return;
	case LINK_END_GONE:
		fail(r, CAUSE_CLIENT_GONE, "");
		return;
	case LINK_END_TIMEOUT:
		fail(r, CAUSE_HANDSHAKE_TIMEOUT, "");
		return;
	case LINK_END_TRUNCATED:
		/* Many clients just go once they have everything. The server is told no lie:
		 * its stream from the client is broken off all the same. */
		fail(r, r->server_eof ? CAUSE_CLOSED : CAUSE_CLIENT_TRUNCATED, "");
		return;
	case LINK_END_TLS:
		reason = link_reason(r->near, &words);
		fail(r, r->joined ? CAUSE_CLIENT_TLS : (enum cause)(CAUSE_TLS + reason), words);
		return;
	case LINK_END_MEMORY:
		fail(r, CAUSE_MEMORY, "");
		return;
	default:
		if (r->looking) {
			fail(r, CAUSE_CLIENT_GONE, "");
			return;
		}
		lost(r, CAUSE_CLIENT_RESET, r->client_eof, &r->client_done, r->server_done);
		return;
	}
}

static const struct link_events client_events = {
	.opened = client_opened,
	.data = client_data,
	.eof = client_eof,
	.drained = client_drained,
	.ended = client_ended,
};

/* ---- making and ending ---- */

static void relay_retired(struct client *c)
{
	struct relay *r = (struct relay *)c;

	/* Within its time for a handshake it has a server, or is gone. */
	if (!r->looking)
		touch(r);
}

/* A stream of bytes has no place where it could end early in good order. */
static void relay_drained(struct client *c)
{
	(void)c;
}

static void relay_end(struct client *c, enum cause cause)
{
	fail((struct relay *)c, cause, "");
}

static const struct client_ops relay_ops = {
	.drain = relay_drained,
	.retire = relay_retired,
	.end = relay_end,
};

bool relay_open(struct traffic *t, struct snapshot *s, uint32_t place, int fd,
		const struct client_arrival *arrival)
{
	const struct site_listener *l = &site_of(s)->listeners[place];
	struct relay *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		(void)close(fd);
		return false;
	}
	*r = (struct relay){
		.magic = RELAY_MAGIC,
		.traffic = t,
		.pool = RECORD_NONE,
		.server_slot = RECORD_NONE,
		.timer = { .fire = timer_fired },
		.idle_ns = l->conf->timeouts.idle_ns,
	};
	r->looking = sni_must_look(l->conf);
	r->near = link_accept(t->loop, fd, r->looking ? NULL : l->tls,
			      l->conf->timeouts.handshake_ns, &client_events, r);
	if (r->near == NULL) {
		free(r);
		return false;
	}
	r->snapshot = snapshot_ref(s);
	if (r->looking)
		loop_after(t->loop, &r->timer, l->conf->timeouts.handshake_ns);
	client_enter(&r->client, t, &relay_ops, l->plan->slot, arrival);
	return true;
}
