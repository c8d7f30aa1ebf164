/* Fuzzes the client's role of HTTP/2 with a server's bytes. Three requests are out: without a body,
 * with one, and HEAD. Whatever comes, the connection ends once the server has gone, every stream
 * has been told how it ended, and what a user may hold unconsumed stays within the windows. */
#include <stdlib.h>

#include "conf/must.h"
#include "proxy/http/http2_client.h"
#include "tests/support/http2_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAM_WINDOW = 128 << 10, STREAMS = 3, STREAMS_MAX = 64 };
#define SECOND INT64_C(1000000000)

struct user {
	struct stream *stream;
	size_t unconsumed;
	bool is_open, has_head, is_head;
};

static struct http2_client *client;
static struct link *client_link;
static struct user users[STREAMS_MAX];
static unsigned num_users;

static void let_go(struct user *u)
{
	MUST(u->is_open);
	u->is_open = false;
	stream_release(u->stream);
}

static void check(const struct head *h)
{
	for (uint32_t i = 0; i < h->num; i++) {
		struct span value = h->fields[i].value;

		MUST(h->fields[i].name.n > 0);
		MUST(value.n == 0 || (memchr(value.p, '\r', value.n) == NULL &&
				      memchr(value.p, '\n', value.n) == NULL &&
				      memchr(value.p, '\0', value.n) == NULL));
		MUST(h->fields[i].id != HEADER_TRANSFER_ENCODING &&
		     h->fields[i].id != HEADER_CONTENT_LENGTH &&
		     h->fields[i].id != HEADER_CONNECTION && h->fields[i].id != HEADER_UPGRADE);
	}
}

static void informational(void *owner, struct head *h)
{
	struct user *u = owner;

	MUST(u->is_open && !u->has_head && h->status >= 100 && h->status < 200 && h->status != 101);
	check(h);
	head_free(h);
}

static void head(void *owner, struct head *h, bool end)
{
	struct user *u = owner;

	MUST(u->is_open && !u->has_head && h->status >= 200 && h->status < 600);
	check(h);
	head_free(h);
	u->has_head = true;
	if (end)
		let_go(u);
}

static void data(void *owner, struct span bytes)
{
	struct user *u = owner;

	MUST(u->is_open && u->has_head && !u->is_head && bytes.n > 0);
	u->unconsumed += bytes.n;
	MUST(u->unconsumed <= STREAM_WINDOW);
	if (u->unconsumed % 5 == 2) {
		stream_consumed(u->stream, u->unconsumed);
		u->unconsumed = 0;
	}
}

static void end(void *owner, struct head *trailers)
{
	struct user *u = owner;

	MUST(u->is_open && u->has_head);
	if (trailers != NULL)
		check(trailers);
	head_free(trailers);
	let_go(u);
}

static void aborted(void *owner, enum cause why, const char *detail)
{
	struct user *u = owner;

	MUST(u->is_open && why != CAUSE_NONE && detail != NULL);
	let_go(u);
}

static void drained(void *owner)
{
	MUST(((const struct user *)owner)->is_open);
}

static const struct stream_events stream_events = {
	.informational = informational,
	.head = head,
	.data = data,
	.end = end,
	.aborted = aborted,
	.drained = drained,
};

static void ask(const char *method, bool with_body)
{
	static const struct client_codec_limits limits = {
		.max_header_size = 2048,
		.max_headers = 16,
		.response_head_ns = 20 * SECOND,
		.idle_ns = 20 * SECOND,
		.tunnel_idle_ns = 20 * SECOND,
	};
	struct stream *s;
	struct user *u;
	struct head *h;

	if (num_users == STREAMS_MAX || (s = http2_client_open(client, &limits)) == NULL)
		return;
	h = head_new(0);
	MUST(h != NULL);
	u = &users[num_users++];
	*u = (struct user){ .stream = s, .is_open = true, .is_head = method[0] == 'H' };
	stream_attach(s, &stream_events, u);
	h->method = method_of(span_str(method));
	h->method_name = span_str(method);
	h->authority = span_str("a");
	h->path = span_str("/");
	h->length = with_body ? HEAD_UNKNOWN : 0;
	stream_send_head(s, h, !with_body);
	head_free(h);
	if (with_body)
		(void)stream_send_data(s, span_str("body"));
}

static void room(void *owner)
{
	(void)owner;
	if (num_users >= STREAMS)
		ask("GET", num_users % 2 == 0);
}

static void ended(void *owner)
{
	(void)owner;
	for (unsigned i = 0; i < num_users; i++)
		MUST(!users[i].is_open);
	http2_client_free(client);
	client = NULL;
}

static const struct http2_client_events codec_events = { .room = room, .ended = ended };

/* ---- the link */

static void link_opened(void *owner)
{
	(void)owner;
	client = http2_client_new(fuzz_loop(), client_link, &codec_events, NULL);
	MUST(client != NULL);
	num_users = 0;
	ask("GET", false);
	ask("POST", true);
	ask("HEAD", false);
}

static void link_data(void *owner, struct span bytes)
{
	(void)owner;
	if (client != NULL)
		http2_client_data(client, bytes);
}

static void link_eof(void *owner)
{
	(void)owner;
	if (client != NULL)
		http2_client_eof(client);
}

static void link_drained(void *owner)
{
	(void)owner;
	if (client != NULL)
		http2_client_drained(client);
}

static void link_is_over(void *owner, enum link_end why)
{
	(void)owner;
	if (client != NULL)
		http2_client_link_ended(
			client, why == LINK_END_CLOSED ? CAUSE_CLOSED : CAUSE_SERVER_RESET, "");
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
	client_link = link;
}

static bool is_over(void)
{
	return client == NULL;
}

static void finish(void)
{
}

static void nudge(void)
{
	if (client != NULL)
		http2_client_retire(client);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	static const char preface[] = "\0\0\0\4\0\0\0\0\0";
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
