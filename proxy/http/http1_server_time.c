#include "conf/must.h"
#include "proxy/http/http1_server_private.h"

static void set_timer(struct http1_server *h, int64_t ns)
{
	loop_after(h->loop, &h->timer, ns);
}

void http1_server_await_progress(struct http1_server *h)
{
	h->queued_seen = SIZE_MAX;
	h->progress_ns = h->loop->now_ns;
}

/* Whether output has moved within the time that it has. */
static bool is_moving(struct http1_server *h)
{
	size_t queued = link_queued(h->link);

	if (queued < h->queued_seen)
		h->progress_ns = h->loop->now_ns;
	h->queued_seen = queued;
	return h->loop->now_ns - h->progress_ns < h->limits->response_write_ns;
}

/* The next look at a body: its next byte is due, or a window of the minimum rate ends. */
static void set_body_timer(struct http1_server *h)
{
	int64_t due = h->last_byte_ns + h->limits->request_body_ns;
	int64_t rate = h->rate_from_ns + h->limits->minimum_rate_over_ns;

	if (h->limits->minimum_rate > 0 && rate < due)
		due = rate;
	wheel_set(&h->loop->wheel, &h->timer, due);
}

void http1_server_await_body(struct http1_server *h)
{
	h->last_byte_ns = h->rate_from_ns = h->loop->now_ns;
	h->rate_bytes = 0;
	set_body_timer(h);
}

void http1_server_touch(struct http1_server *h)
{
	if (h->tunnel && !http1_server_is_dead(h))
		set_timer(h, h->limits->tunnel_idle_ns);
}

static void body_timer(struct http1_server *h)
{
	int64_t now = h->loop->now_ns;
	int64_t over = now - h->rate_from_ns;

	if (now - h->last_byte_ns >= h->limits->request_body_ns) {
		http1_server_tell_aborted(h, CAUSE_BODY_TIMEOUT, "the request's body stopped");
		return;
	}
	if (h->limits->minimum_rate > 0 && over >= h->limits->minimum_rate_over_ns) {
		if ((double)h->rate_bytes * 1e9 < (double)h->limits->minimum_rate * (double)over) {
			http1_server_tell_aborted(h, CAUSE_TOO_SLOW,
						  "the request's body is too slow");
			return;
		}
		h->rate_from_ns = now;
		h->rate_bytes = 0;
	}
	set_body_timer(h);
}

static void head_timer(struct http1_server *h)
{
	static const struct http1_fault late = { .status = 408,
						 .why = CAUSE_HEADER_TIMEOUT,
						 .detail = "the request's head took too long" };

	if (h->began) {
		http1_server_refuse(h, NULL, &late);
	} else if (h->num_requests == 0 && h->draining) {
		http1_server_close(h);
	} else if (h->num_requests == 0) {
		h->orderly = true;
		http1_server_end(h, CAUSE_HEADER_TIMEOUT, "no request came");
	} else if (link_queued(h->link) == 0) {
		http1_server_close(h);
	} else if (is_moving(h)) { /* it is not idle: it is still reading the last response */
		set_timer(h, h->limits->keepalive_ns < h->limits->response_write_ns
				     ? h->limits->keepalive_ns
				     : h->limits->response_write_ns);
	} else {
		http1_server_break_off(h, CAUSE_WRITE_TIMEOUT, "the response was not taken");
	}
}

static void closing_timer(struct http1_server *h)
{
	if (link_queued(h->link) == 0)
		http1_server_end(h, CAUSE_CLOSED, "");
	else if (is_moving(h))
		set_timer(h, HTTP1_CLOSING_TICK_NS);
	else
		http1_server_break_off(h, CAUSE_WRITE_TIMEOUT, "the response was not taken");
}

void http1_server_timer(struct timer *t)
{
	struct http1_server *h =
		(struct http1_server *)((char *)t - offsetof(struct http1_server, timer));

	CHECK(h, HTTP1_SERVER_MAGIC);
	if (h->tunnel && h->reading != HTTP1_READ_CLOSING) {
		if (h->attached && !h->aborted)
			http1_server_tell_aborted(h, CAUSE_IDLE_TIMEOUT,
						  "nothing came through the tunnel");
		return;
	}
	switch ((enum http1_reading)h->reading) {
	case HTTP1_READ_HEAD:
		head_timer(h);
		break;
	case HTTP1_READ_BODY:
		body_timer(h);
		break;
	case HTTP1_READ_CLOSING:
		closing_timer(h);
		break;
	default:
		break;
	}
}

void http1_server_write_timer(struct timer *t)
{
	struct http1_server *h =
		(struct http1_server *)((char *)t - offsetof(struct http1_server, write_timer));

	CHECK(h, HTTP1_SERVER_MAGIC);
	if (is_moving(h))
		loop_after(h->loop, t, h->limits->response_write_ns);
	else
		http1_server_break_off(h, CAUSE_WRITE_TIMEOUT, "the response was not taken");
}
