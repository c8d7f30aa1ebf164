#include "conf/must.h"
#include "proxy/http/exchange_private.h"

enum { AGAIN_MAX = 4 }; /* times that a server may refuse before we take it at its word */

static void opened(struct upstream_wait *w, struct stream *s);
static void failed(struct upstream_wait *w, enum cause why);
static const struct upstream_events upstream_events = { .opened = opened, .failed = failed };

static bool is_on(const struct conf_retry *r, enum conf_retry_on what)
{
	for (size_t i = 0; i < r->num_on; i++) {
		if (r->on[i] == what)
			return true;
	}
	return false;
}

void exchange_leave_server(struct exchange *x)
{
	struct metrics_server *cells = x->server_cells;

	if (cells == NULL)
		return;
	x->server_cells = NULL;
	metrics_add(&cells->requests[metrics_class(x->server_status)], 1);
	metrics_sub(&cells->requests_active, 1);
}

static void enter_server(struct exchange *x, const struct plan_server *server)
{
	x->server_slot = server->slot;
	x->server_cells = &x->at.traffic->page->metrics.servers[server->slot];
	metrics_add(&x->server_cells->requests_active, 1);
	if (x->attempts++ > 0)
		metrics_add(&x->server_cells->retries, 1);
}

unsigned exchange_status_of(enum cause why)
{
	switch (why) {
	case CAUSE_RESPONSE_TIMEOUT:
	case CAUSE_CONNECT_TIMEOUT:
	case CAUSE_SERVER_IDLE:
		return 504;
	case CAUSE_MEMORY:
		return 503;
	default:
		return 502;
	}
}

static void room_ready(struct pending_wait *w)
{
	struct exchange *x = (struct exchange *)((char *)w - offsetof(struct exchange, pending));

	CHECK(x, EXCHANGE_MAGIC);
	pool_tries_anew(&x->tries);
	exchange_try(x);
}

static void room_late(struct pending_wait *w)
{
	struct exchange *x = (struct exchange *)((char *)w - offsetof(struct exchange, pending));

	CHECK(x, EXCHANGE_MAGIC);
	exchange_fail(x, 503, CAUSE_POOL_FULL, PENDING_LATE);
}

/* Waits until a server has room, or waits on. False: too many do. */
static bool wait_for_room(struct exchange *x)
{
	x->pending.ready = room_ready;
	x->pending.late = room_late;
	return pending_join(x->at.traffic->pending, x->pool_slot, pool_max_pending(x->pool),
			    pool_conf(x->pool)->pending_ns, &x->pending);
}

static void no_server(struct exchange *x, enum pool_verdict verdict)
{
	if (x->cause == CAUSE_NONE && verdict == POOL_FULL && wait_for_room(x))
		return;
	if (x->cause != CAUSE_NONE)
		exchange_fail(x, exchange_status_of(x->cause), x->cause, "");
	else if (verdict == POOL_FULL)
		exchange_fail(x, 503, CAUSE_POOL_FULL, PENDING_FULL);
	else
		exchange_fail(x, 503, CAUSE_NO_SERVER, "no server of the pool has an address");
}

void exchange_try(struct exchange *x)
{
	struct upstreams *all = x->at.traffic->upstreams;
	enum pool_verdict verdict;
	struct pool_choice to;

	if (x->pending.until_ns == 0 && pending_has(x->at.traffic->pending, x->pool_slot) &&
	    wait_for_room(x))
		return;
	for (;;) {
		struct stream *s = NULL;

		x->last_tries = x->tries;
		if ((verdict = pool_next(x->pool, &x->tries, &to)) != POOL_FOUND)
			break;
		if (!x->fresh_only)
			s = upstream_reuse(all, x->pool, &to, &x->conn);
		if (s != NULL) {
			enter_server(x, to.server);
			metrics_add(&x->server_cells->reuses, 1);
			x->reused = true;
			x->cause = CAUSE_NONE;
			exchange_start(x, s);
			return;
		}
		x->reused = false;
		x->conn = upstream_connect(all, x->pool, &to, &upstream_events, &x->wait);
		if (x->conn != NULL) {
			enter_server(x, to.server);
			return;
		}
		if (!to.full)
			x->cause = CAUSE_MEMORY;
	}
	no_server(x, verdict);
}

static struct exchange *from_wait(struct upstream_wait *w)
{
	struct exchange *x = (struct exchange *)((char *)w - offsetof(struct exchange, wait));

	CHECK(x, EXCHANGE_MAGIC);
	return x;
}

static void opened(struct upstream_wait *w, struct stream *s)
{
	struct exchange *x = from_wait(w);

	x->connect_ns = upstream_connect_ns(x->conn);
	x->cause = CAUSE_NONE;
	exchange_start(x, s);
}

/* What had not been begun may be begun anew. */
static void begin_anew(struct exchange *x, enum cause why)
{
	x->up = NULL;
	x->conn = NULL;
	x->cause = why;
	exchange_leave_server(x);
	x->server_status = 0;
	x->request_sent = false;
	exchange_try(x);
}

/* With the same server first. */
static void again(struct exchange *x, enum cause why)
{
	x->tries = x->last_tries;
	begin_anew(x, why);
}

/* ---- what may have been acted upon, and may be done twice */

static bool has_attempts(const struct exchange *x)
{
	return x->num_retries + 1 < x->retry->attempts;
}

bool exchange_keeps(const struct exchange *x)
{
	bool twice = method_is_idempotent(x->request->method);

	/* A fresh connection that breaks has seen the request; an old one may not have, and one
	 * that is shared may refuse it. */
	return x->body.len <= EXCHANGE_REPLAY_BYTES &&
	       (upstream_shares(x->conn) || (twice && x->reused) ||
		(twice && has_attempts(x) &&
		 (is_on(x->retry, CONF_RETRY_RESET) || is_on(x->retry, CONF_RETRY_503))));
}

/* Takes a retry by another server: one that fails would fail again. False: it is not to be. */
static bool may_retry(struct exchange *x, enum conf_retry_on what, struct pool_tries *tries)
{
	struct pool_choice to;
	struct pool_tries look;

	if (!x->keeps || !method_is_idempotent(x->request->method) || !is_on(x->retry, what) ||
	    !has_attempts(x))
		return false;
	*tries = x->tries;
	look = *tries;
	if (pool_next(x->pool, &look, &to) != POOL_FOUND ||
	    !retry_budget_spend(pool_budget(x->pool), loop_clock_ns()))
		return false;
	x->num_retries++;
	x->fresh_only = false;
	return true;
}

bool exchange_unavailable(struct exchange *x, bool whole)
{
	struct pool_tries tries;

	if (!may_retry(x, CONF_RETRY_503, &tries))
		return false;
	x->server_status = 503;
	if (whole)
		stream_release(x->up);
	else
		upstream_discard(x->conn, x->up);
	x->tries = tries;
	begin_anew(x, CAUSE_NONE);
	return true;
}

static void failed(struct upstream_wait *w, enum cause why)
{
	struct exchange *x = from_wait(w);

	if (why == CAUSE_SERVER_REFUSED && x->num_again++ < AGAIN_MAX) {
		again(x, CAUSE_NONE); /* others were first: no failure of the server's */
		return;
	}
	x->conn = NULL;
	x->cause = why;
	exchange_leave_server(x);
	if (is_on(x->retry, CONF_RETRY_CONNECT))
		exchange_try(x);
	else
		exchange_fail(x, exchange_status_of(why), why, "");
}

static bool is_broken(enum cause why)
{
	return why == CAUSE_SERVER_CLOSED || why == CAUSE_SERVER_RESET ||
	       why == CAUSE_SERVER_TRUNCATED || why == CAUSE_SERVER_TLS;
}

/* A server may refuse a request before it has looked at it, and says so. And it may close a
 * connection at the moment that we use it: whether it has seen the request then cannot be known, so
 * only what may be done twice is sent again (RFC 9110 9.2.2). All of the body must still be here.
 * The like of it on a fresh connection is the server's failure, and counts against the budget. */
bool exchange_again(struct exchange *x, enum cause why)
{
	struct pool_tries tries;

	if (!x->keeps || x->head_sent || stream_answered(x->up))
		return false;
	if (why == CAUSE_SERVER_REFUSED) {
		if (x->num_again++ >= AGAIN_MAX)
			return false;
	} else if (!is_broken(why) || !method_is_idempotent(x->request->method)) {
		return false;
	} else if (x->reused && !x->retried) {
		x->retried = true;
		x->fresh_only = !upstream_shares(x->conn);
	} else if (may_retry(x, CONF_RETRY_RESET, &tries)) {
		metrics_add(&x->server_cells->failures[why], 1);
		upstream_discard(x->conn, x->up);
		x->tries = tries;
		begin_anew(x, why);
		return true;
	} else {
		return false;
	}
	upstream_discard(x->conn, x->up);
	again(x, why);
	return true;
}
