#include <stdlib.h>

#include "conf/must.h"
#include "proxy/http/answer.h"
#include "proxy/http/exchange_private.h"
#include "proxy/http/forward.h"
#include "proxy/http/grpc.h"

enum { RETRY_AFTER_S = 1 }; /* of a pool that has nothing free: it may soon */

#define CONTINUE_NS INT64_C(1000000000) /* for a server that does not know Expect */

static const struct stream_events down_events, up_events;

/* ---- the end ---- */

/* Everything but the streams, which have been given up. */
static void finish(struct exchange *x)
{
	struct exchange_place at = x->at;
	struct snapshot *snapshot = x->snapshot;

	loop_cancel(at.traffic->loop, &x->timer);
	loop_cancel(at.traffic->loop, &x->deadline);
	exchange_leave_server(x);
	exchange_record(x);
	buffer_drop(&x->body, at.traffic->loop, x->body.len);
	head_free(x->request);
	head_free(x->request_trailers);
	LIST_REMOVE(x, entry);
	free(x->detail);
	x->magic = 0;
	free(x);
	at.over(at.owner);
	snapshot_unref(snapshot);
}

static void leave_up(struct exchange *x, enum cause why)
{
	if (x->up != NULL && why == CAUSE_NONE)
		stream_release(x->up);
	else if (x->up != NULL)
		stream_abort(x->up, why);
	else if (x->conn != NULL)
		upstream_cancel(x->conn, &x->wait);
	else
		pending_leave(&x->pending);
	x->up = NULL;
	x->conn = NULL;
}

/* Both messages are as whole as they will ever be. */
static void done(struct exchange *x)
{
	struct stream *down = x->down;

	leave_up(x, CAUSE_NONE);
	stream_release(down);
	finish(x);
}

/* Neither peer may take its part for complete. */
static void break_off(struct exchange *x, enum cause why, const char *detail)
{
	struct stream *down = x->down;

	exchange_note(x, why, detail);
	leave_up(x, why);
	if (x->down_gone)
		stream_release(down);
	else
		stream_abort(down, why);
	finish(x);
}

void exchanges_abandon(struct exchange_list *list, enum cause why)
{
	struct exchange *x;

	while ((x = LIST_FIRST(list)) != NULL) {
		CHECK(x, EXCHANGE_MAGIC);
		break_off(x, why, "");
	}
}

/* ---- answers made here ---- */

static void response_over(struct exchange *x)
{
	if (!x->request_whole)
		stream_stop_reading(x->down);
	done(x);
}

void exchange_answer(struct exchange *x, struct head *h, struct span body)
{
	bool empty = body.n == 0 || (x->request != NULL && x->request->method == METHOD_HEAD);

	leave_up(x, x->cause == CAUSE_NONE ? CAUSE_CLOSED : x->cause);
	if (h != NULL)
		exchange_dress(x, h);
	if (h == NULL || h->failed) {
		head_free(h);
		break_off(x, CAUSE_MEMORY, "");
		return;
	}
	x->status = h->status;
	x->first_byte_ns = loop_clock_ns() - x->began_ns;
	x->head_sent = true;
	stream_send_head(x->down, h, empty);
	if (!empty) {
		x->bytes_sent += body.n;
		(void)stream_send_data(x->down, body);
		stream_send_end(x->down, NULL);
	}
	head_free(h);
	response_over(x);
}

void exchange_fail(struct exchange *x, unsigned status, enum cause why, const char *detail)
{
	struct span body;
	struct head *h;

	if (x->head_sent) {
		break_off(x, why, detail);
		return;
	}
	exchange_note(x, why, detail);
	if (grpc_is_request(x->request)) {
		h = grpc_answer(status,
				detail != NULL && *detail != '\0' ? detail : cause_name(why));
		body = span_of("", 0);
	} else {
		h = answer_error(status, x->request,
				 why == CAUSE_POOL_FULL || why == CAUSE_NO_SERVER ? RETRY_AFTER_S
										  : 0,
				 &body);
	}
	/* Who asks what cannot be understood may be misunderstood in what follows. And a
	 * listener that speaks something else now has to be met anew. */
	if (h != NULL)
		h->last = status == 400 || why == CAUSE_RETIRED;
	exchange_answer(x, h, body);
}

void exchange_refuse(struct exchange *x, unsigned status, enum cause why, const char *detail)
{
	CHECK(x, EXCHANGE_MAGIC);
	x->request_whole = true; /* or never will be: the codec sees to the rest */
	exchange_fail(x, status, why, detail);
}

/* ---- the request's body ---- */

/* May be the end of the exchange. */
static void end_request(struct exchange *x)
{
	if (!x->request_whole || x->request_sent || x->body_sent < x->body.len)
		return;
	x->request_sent = true;
	x->sent_ns = loop_clock_ns();
	stream_send_end(x->up, x->request_trailers);
	if (x->tunnel && x->response_whole)
		done(x);
}

static void forget_sent(struct exchange *x)
{
	buffer_drop(&x->body, x->at.traffic->loop, x->body_sent);
	x->body_sent = 0;
}

/* Sends what has been kept back, as far as the server takes it. May be the end of the exchange. */
static void flush_body(struct exchange *x)
{
	while (!x->up_blocked && x->body_sent < x->body.len) {
		struct span bytes = buffer_at(&x->body, x->body_sent);

		x->body_sent += bytes.n;
		x->up_blocked = !stream_send_data(x->up, bytes);
	}
	if (!x->keeps)
		forget_sent(x);
	if (!x->up_blocked && x->owed_down > 0) {
		size_t owed = x->owed_down;

		x->owed_down = 0;
		stream_consumed(x->down, owed);
	}
	end_request(x);
}

/* What has been answered, or is too long to be sent again, need not be kept. */
static void keep_no_more(struct exchange *x)
{
	x->keeps = false;
	if (x->up != NULL)
		forget_sent(x);
}

static void down_data(void *owner, struct span bytes)
{
	struct exchange *x = owner;

	CHECK(x, EXCHANGE_MAGIC);
	x->bytes_received += bytes.n;
	if (!x->tunnel && x->max_body > 0 && x->bytes_received > x->max_body) {
		exchange_fail(x, 413, CAUSE_BODY_TOO_LARGE, "past http.max_body_size");
		return;
	}
	/* A client that sends needs no leave. */
	loop_cancel(x->at.traffic->loop, &x->timer);
	if (x->keeps && x->body.len + bytes.n > EXCHANGE_REPLAY_BYTES && x->up != NULL)
		keep_no_more(x);
	if (x->up != NULL && !x->keeps && x->body.len == 0) {
		if (stream_send_data(x->up, bytes)) {
			stream_consumed(x->down, bytes.n);
		} else {
			x->up_blocked = true;
			x->owed_down += bytes.n;
		}
		return;
	}
	x->owed_down += bytes.n;
	if (!buffer_append(&x->body, x->at.traffic->loop, bytes)) {
		exchange_fail(x, 503, CAUSE_MEMORY, "");
		return;
	}
	if (x->up != NULL)
		flush_body(x);
}

static void down_end(void *owner, struct head *trailers)
{
	struct exchange *x = owner;

	CHECK(x, EXCHANGE_MAGIC);
	x->request_whole = true;
	x->request_trailers = trailers;
	if (trailers != NULL)
		forward_trailers(trailers);
	if (x->up != NULL)
		end_request(x);
}

/* The status of an answer to a client that may still be there to read it; 0: it is not. */
static unsigned blame(enum cause why)
{
	switch (why) {
	case CAUSE_BAD_REQUEST:
	case CAUSE_BAD_FRAMING:
		return 400;
	case CAUSE_BODY_TIMEOUT:
	case CAUSE_TOO_SLOW:
		return 408;
	case CAUSE_HEADER_TOO_LARGE: /* of trailers */
		return 431;
	default:
		return 0;
	}
}

static void down_aborted(void *owner, enum cause why, const char *detail)
{
	struct exchange *x = owner;

	CHECK(x, EXCHANGE_MAGIC);
	x->request_whole = true; /* nothing more will come of it */
	if (blame(why) != 0 && !x->head_sent) {
		exchange_fail(x, blame(why), why, detail);
		return;
	}
	x->down_gone = true;
	break_off(x, why, detail);
}

static void down_drained(void *owner)
{
	struct exchange *x = owner;
	size_t owed = x->owed_up;

	CHECK(x, EXCHANGE_MAGIC);
	x->down_blocked = false;
	x->owed_up = 0;
	if (x->up != NULL && owed > 0)
		stream_consumed(x->up, owed);
}

static const struct stream_events down_events = {
	.data = down_data,
	.end = down_end,
	.aborted = down_aborted,
	.drained = down_drained,
};

/* ---- the response ---- */

static void send_continue(struct exchange *x)
{
	struct head *h = head_new(0);

	loop_cancel(x->at.traffic->loop, &x->timer);
	/* Nor is another server asked for leave, if it comes to that. */
	x->request->expect_continue = false;
	if (h == NULL)
		return; /* the client will not wait for ever, either */
	h->status = 100;
	stream_send_informational(x->down, h);
	head_free(h);
}

static void timer_fired(struct timer *t)
{
	send_continue((struct exchange *)((char *)t - offsetof(struct exchange, timer)));
}

static void deadline_fired(struct timer *t)
{
	struct exchange *x = (struct exchange *)((char *)t - offsetof(struct exchange, deadline));

	CHECK(x, EXCHANGE_MAGIC);
	exchange_fail(x, 504, CAUSE_ROUTE_TIMEOUT, "past the route's timeout");
}

static void up_informational(void *owner, struct head *h)
{
	struct exchange *x = owner;

	CHECK(x, EXCHANGE_MAGIC);
	/* A 100 that nobody waits for has nothing to say. */
	if (h->status != 100)
		stream_send_informational(x->down, h);
	else if (x->timer.deadline_ns != 0)
		send_continue(x);
	head_free(h);
}

/* Where it goes is settled: a long response shall not hold the snapshot back. */
static void settle(struct exchange *x)
{
	struct snapshot *snapshot = x->snapshot;

	x->snapshot = NULL;
	x->listener = NULL;
	x->route = NULL;
	x->pool = NULL;
	x->retry = NULL;
	snapshot_unref(snapshot);
}

static void up_head(void *owner, struct head *h, bool end)
{
	struct exchange *x = owner;
	int64_t now = loop_clock_ns();

	CHECK(x, EXCHANGE_MAGIC);
	loop_cancel(x->at.traffic->loop, &x->timer);
	if (h->status == 503 && exchange_unavailable(x, end)) {
		head_free(h);
		return;
	}
	keep_no_more(x);
	x->first_byte_ns = now - x->began_ns;
	if (x->request_sent)
		metrics_observe(&x->server_cells->response, now - x->sent_ns);
	exchange_dress(x, h);
	exchange_stick(x, h);
	if (h->failed) {
		head_free(h);
		exchange_fail(x, 503, CAUSE_MEMORY, "");
		return;
	}
	x->status = x->server_status = h->status;
	x->head_sent = true;
	if (h->status == 101) { /* both directions begin anew */
		head_free(x->request_trailers);
		x->request_trailers = NULL;
		x->tunnel = true;
		loop_cancel(x->at.traffic->loop, &x->deadline);
		x->request_whole = x->request_sent = false;
	}
	stream_send_head(x->down, h, end);
	head_free(h);
	settle(x);
	if (end)
		response_over(x);
}

static void up_data(void *owner, struct span bytes)
{
	struct exchange *x = owner;

	CHECK(x, EXCHANGE_MAGIC);
	x->bytes_sent += bytes.n;
	if (!stream_send_data(x->down, bytes))
		x->down_blocked = true;
	if (x->down_blocked)
		x->owed_up += bytes.n;
	else
		stream_consumed(x->up, bytes.n);
}

static void up_end(void *owner, struct head *trailers)
{
	struct exchange *x = owner;

	CHECK(x, EXCHANGE_MAGIC);
	x->response_whole = true;
	stream_send_end(x->down, trailers);
	head_free(trailers);
	if (!x->tunnel)
		response_over(x);
	else if (x->request_sent)
		done(x);
}

static void up_aborted(void *owner, enum cause why, const char *detail)
{
	struct exchange *x = owner;

	CHECK(x, EXCHANGE_MAGIC);
	/* Before the connection is let go, which knows whether it was answered. */
	if (exchange_again(x, why))
		return;
	metrics_add(&x->server_cells->failures[why], 1);
	stream_release(x->up);
	x->up = NULL;
	x->conn = NULL;
	exchange_fail(x, exchange_status_of(why), why, detail);
}

static void up_drained(void *owner)
{
	struct exchange *x = owner;

	CHECK(x, EXCHANGE_MAGIC);
	x->up_blocked = false;
	flush_body(x);
}

static const struct stream_events up_events = {
	.informational = up_informational,
	.head = up_head,
	.data = up_data,
	.end = up_end,
	.aborted = up_aborted,
	.drained = up_drained,
};

void exchange_start(struct exchange *x, struct stream *up)
{
	bool empty = x->request_whole && x->body.len == 0 && x->request_trailers == NULL;

	x->up = up;
	x->up_blocked = false;
	x->body_sent = 0;
	x->keeps = exchange_keeps(x);
	stream_attach(up, &up_events, x);
	stream_send_head(up, x->request, empty);
	if (empty) {
		x->request_sent = true;
		x->sent_ns = loop_clock_ns();
		return;
	}
	if (x->request->expect_continue && x->bytes_received == 0)
		loop_after(x->at.traffic->loop, &x->timer, CONTINUE_NS);
	flush_body(x);
}

/* ---- making one ---- */

struct exchange *exchange_new(const struct exchange_place *at, struct stream *down, struct head *h)
{
	struct exchange *x = calloc(1, sizeof(*x));
	struct snapshot *now = at->traffic->now;

	if (x == NULL)
		return NULL;
	x->magic = EXCHANGE_MAGIC;
	x->at = *at;
	x->snapshot = snapshot_ref(now);
	x->listener = site_find(site_of(now), at->client->listener);
	if (x->listener != NULL && x->listener->routes == NULL)
		x->listener = NULL; /* it speaks something else now */
	x->down = down;
	x->request = h;
	x->pool_slot = x->server_slot = RECORD_NONE;
	x->believed = at->client->from;
	x->began_ns = at->traffic->loop->now_ns;
	x->timer.fire = timer_fired;
	x->deadline.fire = deadline_fired;
	buffer_init(&x->body);
	if (h != NULL) {
		x->host = h->authority;
		x->path = h->path;
	}
	stream_attach(down, &down_events, x);
	LIST_INSERT_HEAD(at->list, x, entry);
	metrics_add(&at->client->cells->requests_active, 1);
	return x;
}
