#include "proxy/net/relay.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/must.h"
#include "proxy/net/link.h"
#include "proxy/net/relay_record.h"

enum { RELAY_MAGIC = 0x72656c61 };

struct relay {
	unsigned magic;
	bool client_done, server_done; /* their links have ended in good order */
	bool client_eof, server_eof;   /* they have said all they had to say */
	bool joined;
	uint16_t cause; /* of the last failed connect; joined: of a side that was lost */
	TAILQ_ENTRY(relay) entry;
	struct traffic *traffic;
	struct link *client, *server;
	struct snapshot *snapshot; /* until joined: of the handshake, then of the connect */
	struct metrics_listener *listener_cells;
	struct metrics_server *server_cells;  /* NULL: no server counted */
	uint32_t listener, pool, server_slot; /* slots */
	struct limits_seat seat;
	struct relay_client from;
	struct timer timer; /* idle, or retired */
	int64_t idle_ns;
	int64_t retire_ns; /* when it must be over; 0: no such time */
	int64_t began_ns, connect_began_ns, connect_ns;
	struct pool *choosing; /* while connecting */
	struct pool_tries tries;
};

static const struct link_events server_events;

/* ---- the end ---- */

static void leave_server(struct relay *r)
{
	if (r->server_cells == NULL)
		return;
	metrics_sub(&r->server_cells->active, 1);
	r->server_cells = NULL;
}

static void record(struct relay *r, enum cause cause, const char *detail)
{
	struct relay_story story = {
		.client = r->client,
		.from = &r->from,
		.listener = r->listener,
		.pool = r->pool,
		.server = r->server_slot,
		.cause = cause,
		.detail = detail,
		.connect_ns = r->connect_ns,
		.duration_ns = loop_clock_ns() - r->began_ns,
	};

	relay_record(&r->traffic->journal, &story);
}

/* Counts, records, and frees the relay. The links have been looked at for the last time. The
 * reference to the snapshot is the caller's now: what is left of a handshake lives in its site. */
static void finish(struct relay *r, enum cause cause, const char *detail)
{
	struct traffic *t = r->traffic;
	struct link_facts facts;

	link_facts(r->client, &facts);
	record(r, cause, detail);
	if (r->snapshot != NULL && facts.handshake_ns == 0 && r->choosing == NULL)
		metrics_add(&r->listener_cells->handshake_failures[cause], 1);
	metrics_add(&r->listener_cells->ended[cause], 1);
	/* The gauges last: at zero their slots may be given to others. */
	metrics_sub(&t->page->metrics.connections, 1);
	if (r->pool != RECORD_NONE)
		metrics_sub(&t->page->metrics.pools_active[r->pool], 1);
	leave_server(r);
	metrics_sub(&r->listener_cells->active, 1);
	limits_leave(&t->limits, &r->seat);
	loop_cancel(t->loop, &r->timer);
	TAILQ_REMOVE(&t->relays, r, entry);
	t->num_relays--;
	r->magic = 0;
	free(r);
	t->relay_ended(t->relay_ended_arg);
}

/* Ends both directions so that neither peer takes its stream for complete. */
static void fail(struct relay *r, enum cause cause, const char *detail)
{
	struct link *client = r->client, *server = r->server;
	struct snapshot *snapshot = r->snapshot;

	finish(r, cause, detail);
	link_abort(server);
	link_abort(client);
	snapshot_unref(snapshot);
}

/* Ends both in good order; joined relays only. */
static void done(struct relay *r)
{
	struct link *client = r->client, *server = r->server;

	finish(r, r->cause == CAUSE_NONE ? CAUSE_CLOSED : (enum cause)r->cause, "");
	link_close(server);
	link_close(client);
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

	if (r->retire_ns != 0 && r->retire_ns < deadline)
		deadline = r->retire_ns;
	wheel_set(&r->traffic->loop->wheel, &r->timer, deadline);
}

static void timer_fired(struct timer *t)
{
	struct relay *r = (struct relay *)((char *)t - offsetof(struct relay, timer));

	CHECK(r, RELAY_MAGIC);
	if (r->retire_ns != 0 && r->traffic->loop->now_ns >= r->retire_ns)
		fail(r, CAUSE_RETIRED, "");
	else
		fail(r, CAUSE_IDLE_TIMEOUT, "");
}

/* ---- the server's side ---- */

static enum cause connect_cause(enum link_end why)
{
	switch (why) {
	case LINK_END_REFUSED:
		return CAUSE_CONNECT_REFUSED;
	case LINK_END_TIMEOUT:
		return CAUSE_CONNECT_TIMEOUT;
	case LINK_END_UNREACHABLE:
		return CAUSE_CONNECT_UNREACHABLE;
	case LINK_END_TLS:
		return CAUSE_CONNECT_TLS;
	case LINK_END_MEMORY:
		return CAUSE_MEMORY;
	default:
		return CAUSE_CONNECT_FAILED;
	}
}

/* Tries servers until a connect is under way; else the relay has ended. */
static void connect_next(struct relay *r)
{
	struct traffic *t = r->traffic;
	struct pool_choice to;
	enum pool_verdict verdict;

	while ((verdict = pool_next(r->choosing, &r->tries, &to)) == POOL_FOUND) {
		struct link_target target = {
			.address = (const struct sockaddr *)&to.address->address,
			.address_len = to.address->len,
			.tls = to.tls,
			.name = to.name,
			.timeout_ns = to.connect_timeout_ns,
		};

		r->server_slot = to.server->slot;
		r->connect_began_ns = t->loop->now_ns;
		r->server = link_connect(t->loop, &target, &server_events, r);
		r->server_cells = &t->page->metrics.servers[to.server->slot];
		if (r->server != NULL) {
			metrics_add(&r->server_cells->active, 1);
			return;
		}
		metrics_add(&r->server_cells->failures[CAUSE_MEMORY], 1);
		r->server_cells = NULL;
		r->cause = CAUSE_MEMORY;
	}
	if (verdict == POOL_FULL)
		fail(r, CAUSE_POOL_FULL, "every server of the pool has connections.max");
	else if (r->cause != CAUSE_NONE)
		fail(r, r->cause, "");
	else
		fail(r, CAUSE_NO_SERVER, "no server of the pool has an address");
}

static void connect_failed(struct relay *r, enum link_end why)
{
	enum cause cause = connect_cause(why);
	const char *words = "";

	if (why == LINK_END_TLS || why == LINK_END_FAILED) {
		const SSL *ssl = link_ssl(r->server);
		const char *verify = ssl == NULL ? NULL : client_tls_failure(ssl);

		(void)link_reason(r->server, &words);
		if (verify != NULL)
			words = verify;
	}
	metrics_add(&r->server_cells->failures[cause], 1);
	journal_event(&r->traffic->journal, CONF_LOG_WARNING, "pool %s: server %s: %s%s%s",
		      pool_plan(r->choosing)->name, relay_server_name(r->snapshot, r->server_slot),
		      cause_name(cause), *words == '\0' ? "" : ": ", words);
	leave_server(r);
	r->cause = (uint16_t)cause;
	link_close(r->server);
	r->server = NULL;
	connect_next(r);
}

static void server_opened(void *owner)
{
	struct relay *r = owner;
	int64_t now;

	CHECK(r, RELAY_MAGIC);
	now = loop_clock_ns();
	r->connect_ns = now - r->connect_began_ns;
	metrics_add(&r->server_cells->connects, 1);
	metrics_observe(&r->server_cells->connect, r->connect_ns);
	r->joined = true;
	r->cause = CAUSE_NONE;
	r->choosing = NULL;
	snapshot_unref(r->snapshot);
	r->snapshot = NULL;
	touch(r);
	link_resume(r->client);
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
	metrics_add(&r->listener_cells->bytes_sent, bytes.n);
	if (!link_write(r->client, bytes))
		link_pause(r->server);
}

static void server_eof(void *owner)
{
	struct relay *r = owner;

	CHECK(r, RELAY_MAGIC);
	touch(r);
	r->server_eof = true;
	link_end(r->client);
}

static void server_drained(void *owner)
{
	struct relay *r = owner;

	CHECK(r, RELAY_MAGIC);
	touch(r);
	link_resume(r->client);
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

static void count_handshake(struct relay *r)
{
	struct link_facts facts;

	link_facts(r->client, &facts);
	if (facts.handshake_ns == 0)
		return;
	metrics_add(
		&r->listener_cells->handshakes[facts.tls_version == TLS1_3_VERSION][facts.resumed],
		1);
	metrics_observe(&r->listener_cells->handshake, facts.handshake_ns);
}

static void client_opened(void *owner)
{
	struct relay *r = owner;
	struct traffic *t = r->traffic;
	int64_t place;

	CHECK(r, RELAY_MAGIC);
	count_handshake(r);
	link_pause(r->client); /* until there is a server to write to */
	/* The handshake's snapshot has done its part; where to go is decided by the present one. */
	place = relay_listener_place(t->now, r->listener);
	if (place < 0)
		place = relay_listener_place(r->snapshot, r->listener);
	else if (t->now != r->snapshot) {
		struct snapshot *old = r->snapshot;

		r->snapshot = snapshot_ref(t->now);
		snapshot_unref(old);
	}
	MUST(place >= 0);
	r->choosing = site_of(r->snapshot)->listeners[place].pool;
	r->pool = pool_plan(r->choosing)->slot;
	metrics_add(&t->page->metrics.pools_active[r->pool], 1);
	connect_next(r);
}

static void client_data(void *owner, struct span bytes)
{
	struct relay *r = owner;

	CHECK(r, RELAY_MAGIC);
	if (r->server_done)
		return;
	touch(r);
	metrics_add(&r->listener_cells->bytes_received, bytes.n);
	metrics_add(&r->server_cells->bytes_sent, bytes.n);
	if (!link_write(r->server, bytes))
		link_pause(r->client);
}

static void client_eof(void *owner)
{
	struct relay *r = owner;

	CHECK(r, RELAY_MAGIC);
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
		reason = link_reason(r->client, &words);
		fail(r, r->joined ? CAUSE_CLIENT_TLS : (enum cause)(CAUSE_TLS + reason), words);
		return;
	case LINK_END_MEMORY:
		fail(r, CAUSE_MEMORY, "");
		return;
	default:
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

bool relay_open(struct traffic *t, struct snapshot *s, uint32_t place, int fd,
		const struct sockaddr *client, const struct limits_seat *seat)
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
		.listener = l->plan->slot,
		.listener_cells = &t->page->metrics.listeners[l->plan->slot],
		.pool = RECORD_NONE,
		.server_slot = RECORD_NONE,
		.seat = *seat,
		.timer = { .fire = timer_fired },
		.idle_ns = l->conf->timeouts.idle_ns,
		.began_ns = t->loop->now_ns,
	};
	relay_client_of(client, &r->from);
	r->client =
		link_accept(t->loop, fd, l->tls, l->conf->timeouts.handshake_ns, &client_events, r);
	if (r->client == NULL) {
		free(r);
		return false;
	}
	r->snapshot = snapshot_ref(s);
	TAILQ_INSERT_TAIL(&t->relays, r, entry);
	t->num_relays++;
	metrics_add(&r->listener_cells->active, 1);
	metrics_add(&t->page->metrics.connections, 1);
	return true;
}

void relay_retire(struct traffic *t, int64_t within_ns)
{
	struct relay *r;

	TAILQ_FOREACH(r, &t->relays, entry) {
		if (r->retire_ns != 0 || relay_listener_place(t->now, r->listener) >= 0)
			continue;
		r->retire_ns = t->loop->now_ns + within_ns;
		touch(r);
	}
}

void relay_end_all(struct traffic *t, enum cause cause)
{
	struct relay *r;

	while ((r = TAILQ_FIRST(&t->relays)) != NULL)
		fail(r, cause, "");
}
