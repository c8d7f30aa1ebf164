#include "conf/must.h"
#include "proxy/http/exchange_private.h"

static void opened(void *owner, struct stream *s);
static void failed(void *owner, enum cause why);
static const struct upstream_events upstream_events = { .opened = opened, .failed = failed };

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
	x->server = server;
	x->server_slot = server->slot;
	x->server_cells = &x->at.traffic->page->metrics.servers[server->slot];
	metrics_add(&x->server_cells->requests_active, 1);
	if (x->attempts++ > 0)
		metrics_add(&x->server_cells->retries, 1);
}

static unsigned status_of(enum cause why)
{
	return why == CAUSE_CONNECT_TIMEOUT ? 504 : why == CAUSE_MEMORY ? 503 : 502;
}

static void no_server(struct exchange *x, enum pool_verdict verdict)
{
	if (x->cause != CAUSE_NONE)
		exchange_fail(x, status_of(x->cause), x->cause, "");
	else if (verdict == POOL_FULL)
		exchange_fail(x, 503, CAUSE_POOL_FULL,
			      "every server of the pool has connections.max");
	else
		exchange_fail(x, 503, CAUSE_NO_SERVER, "no server of the pool has an address");
}

void exchange_try(struct exchange *x)
{
	struct upstreams *all = x->at.traffic->upstreams;
	enum pool_verdict verdict;
	struct pool_choice to;

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
		if (to.full)
			continue;
		enter_server(x, to.server);
		x->reused = false;
		x->conn = upstream_connect(all, x->pool, &to, &upstream_events, x);
		if (x->conn != NULL)
			return;
		x->cause = CAUSE_MEMORY;
		exchange_leave_server(x);
	}
	no_server(x, verdict);
}

static void opened(void *owner, struct stream *s)
{
	struct exchange *x = owner;

	CHECK(x, EXCHANGE_MAGIC);
	x->connect_ns = upstream_connect_ns(x->conn);
	x->cause = CAUSE_NONE;
	exchange_start(x, s);
}

static void failed(void *owner, enum cause why)
{
	struct exchange *x = owner;

	CHECK(x, EXCHANGE_MAGIC);
	x->conn = NULL;
	x->cause = why;
	exchange_leave_server(x);
	exchange_try(x);
}

/* A server may close a connection at the moment that we use it: then it has not seen the request.
 * Whether it has cannot be known, so only what may be done twice is sent again (RFC 9110 9.2.2),
 * and only if all of its body is still here. */
bool exchange_again(struct exchange *x, enum cause why)
{
	bool broken = why == CAUSE_SERVER_CLOSED || why == CAUSE_SERVER_RESET ||
		      why == CAUSE_SERVER_TRUNCATED || why == CAUSE_SERVER_TLS;

	if (!broken || !x->keeps || x->retried || x->head_sent || upstream_answered(x->conn))
		return false;
	upstream_discard(x->conn);
	x->up = NULL;
	x->conn = NULL;
	x->cause = why;
	exchange_leave_server(x);
	x->retried = true;
	x->fresh_only = true;
	x->request_sent = false;
	x->tries = x->last_tries;
	exchange_try(x);
	return true;
}
