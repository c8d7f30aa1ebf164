/* Fuzzes the server's role of HTTP/2 with a client's bytes. Its user echoes, opens the tunnels that
 * it is asked for, and takes bodies sooner or later. Whatever comes, the connection ends once the
 * client has gone, every stream has been given back, and what a user may hold unconsumed stays
 * within the windows. */
#include <stdlib.h>

#include "conf/must.h"
#include "proxy/http/http2_server.h"
#include "tests/support/http2_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WINDOW = 1 << 20 };
#define SECOND INT64_C(1000000000)

struct user {
	struct stream *stream;
	size_t unconsumed;
	bool keeps, head_sent, upgrade;
};

static struct http2_server *server;
static struct link *server_link;
static size_t unconsumed;
static unsigned num_open;

static void let_go(struct user *u)
{
	unconsumed -= u->unconsumed;
	num_open--;
	stream_release(u->stream);
	free(u);
}

static void send_head(struct user *u, unsigned status, bool end)
{
	struct head *h = head_new(0);

	MUST(h != NULL);
	h->status = (uint16_t)status;
	h->length = HEAD_UNKNOWN;
	head_add(h, span_str("X-A"), span_str("1"));
	if (status == 101)
		h->upgrade = span_str("websocket");
	u->head_sent = true;
	stream_send_head(u->stream, h, end);
	head_free(h);
}

static void consume(struct user *u)
{
	size_t n = u->unconsumed;

	u->unconsumed = 0;
	unconsumed -= n;
	stream_consumed(u->stream, n);
}

static void data(void *owner, struct span bytes)
{
	struct user *u = owner;

	MUST(bytes.n > 0);
	u->unconsumed += bytes.n;
	unconsumed += bytes.n;
	MUST(unconsumed <= WINDOW);
	if (!u->head_sent)
		send_head(u, 200, false);
	if (stream_send_data(u->stream, bytes) && !u->keeps)
		consume(u);
	if (bytes.n % 7 == 3 && !u->upgrade) { /* an early answer */
		stream_stop_reading(u->stream);
		stream_send_end(u->stream, NULL);
		let_go(u);
	}
}

static void end(void *owner, struct head *trailers)
{
	struct user *u = owner;

	if (!u->head_sent)
		send_head(u, 200, false);
	stream_send_end(u->stream, trailers);
	head_free(trailers);
	let_go(u);
}

static void aborted(void *owner, enum cause why, const char *detail)
{
	struct user *u = owner;

	MUST(why != CAUSE_NONE && detail != NULL);
	if (!u->head_sent)
		send_head(u, 408, true);
	let_go(u);
}

static void drained(void *owner)
{
	consume(owner);
}

static const struct stream_events stream_events = {
	.data = data,
	.end = end,
	.aborted = aborted,
	.drained = drained,
};

static struct user *take(struct stream *s)
{
	struct user *u = calloc(1, sizeof(*u));

	MUST(u != NULL);
	u->stream = s;
	num_open++;
	stream_attach(s, &stream_events, u);
	return u;
}

/* Nothing that HTTP/1.1 could not carry comes out of it. */
static void check(const struct head *h)
{
	MUST(h->method_name.n > 0 && h->path.n > 0 && h->authority.n > 0);
	MUST(memchr(h->path.p, ' ', h->path.n) == NULL &&
	     memchr(h->path.p, '\n', h->path.n) == NULL);
	MUST(memchr(h->authority.p, '@', h->authority.n) == NULL);
	for (uint32_t i = 0; i < h->num; i++) {
		struct span name = h->fields[i].name, value = h->fields[i].value;

		MUST(name.n > 0 && memchr(name.p, ':', name.n) == NULL &&
		     memchr(name.p, ' ', name.n) == NULL && memchr(name.p, '\n', name.n) == NULL);
		MUST(value.n == 0 || (memchr(value.p, '\r', value.n) == NULL &&
				      memchr(value.p, '\n', value.n) == NULL &&
				      memchr(value.p, '\0', value.n) == NULL));
		MUST(h->fields[i].id != HEADER_TRANSFER_ENCODING &&
		     h->fields[i].id != HEADER_CONTENT_LENGTH &&
		     h->fields[i].id != HEADER_CONNECTION && h->fields[i].id != HEADER_UPGRADE &&
		     h->fields[i].id != HEADER_HOST);
	}
}

static void request(void *owner, struct stream *s, struct head *h, bool is_end)
{
	struct user *u = take(s);
	char first = h->path.n > 1 ? h->path.p[1] : '\0';

	(void)owner;
	check(h);
	u->keeps = first == 'k';
	u->upgrade = h->upgrade.n > 0;
	head_free(h);
	if (u->upgrade) {
		send_head(u, 101, false);
	} else if (first == 'a') {
		num_open--;
		stream_abort(s, CAUSE_SERVER_RESET);
		free(u);
	} else if (is_end) {
		end(u, NULL);
	}
}

static void refused(void *owner, struct stream *s, struct head *h, unsigned status, enum cause why,
		    const char *detail)
{
	struct user *u = take(s);

	(void)owner;
	MUST(status >= 400 && why != CAUSE_NONE && detail != NULL);
	head_free(h);
	send_head(u, status, true);
	let_go(u);
}

static void ended(void *owner, enum cause why, const char *detail)
{
	(void)owner;
	MUST(why != CAUSE_NONE && detail != NULL && num_open == 0 && unconsumed == 0);
	http2_server_free(server);
	server = NULL;
}

static const struct server_codec_events codec_events = {
	.request = request,
	.refused = refused,
	.ended = ended,
};

/* ---- the link */

static void link_opened(void *owner)
{
	static const struct http2_limits limits = {
		.max_header_size = 2048,
		.max_headers = 16,
		.max_concurrent_streams = 8,
		.max_requests = 100,
		.minimum_rate = 100,
		.minimum_rate_over_ns = 30 * SECOND,
		.request_header_ns = 10 * SECOND,
		.request_body_ns = 10 * SECOND,
		.keepalive_ns = 10 * SECOND,
		.response_write_ns = 10 * SECOND,
		.tunnel_idle_ns = 10 * SECOND,
	};

	(void)owner;
	server = http2_server_new(fuzz_loop(), server_link, &limits, &codec_events, NULL);
	MUST(server != NULL);
}

static void link_data(void *owner, struct span bytes)
{
	(void)owner;
	if (server != NULL)
		http2_server_data(server, bytes);
}

static void link_eof(void *owner)
{
	(void)owner;
	if (server != NULL)
		http2_server_eof(server);
}

static void link_drained(void *owner)
{
	(void)owner;
	if (server != NULL)
		http2_server_drained(server);
}

static void link_is_over(void *owner, enum link_end why)
{
	(void)owner;
	if (server != NULL)
		http2_server_link_ended(
			server, why == LINK_END_CLOSED ? CAUSE_CLOSED : CAUSE_CLIENT_RESET, "");
}

static const struct link_events link_events = {
	.opened = link_opened,
	.data = link_data,
	.eof = link_eof,
	.drained = link_drained,
	.ended = link_is_over,
};

static void begin(struct link *link)
{
	server_link = link;
}

static bool is_over(void)
{
	return server == NULL;
}

static void finish(void)
{
}

static void nudge(void)
{
	if (server != NULL)
		http2_server_drain(server);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	static const struct fuzz_role role = {
		.begin = begin,
		.events = &link_events,
		.is_over = is_over,
		.end = finish,
		.nudge = nudge,
		.preface = preface,
		.preface_len = sizeof(preface) - 1,
	};

	fuzz_run(&role, input, size);
	return 0;
}
