/* Both roles of HTTP/1 with each other, through the bridge that the fuzz targets use, and over
 * TLS. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/http1_bridge.h"
#include "tests/support/http1_side.h"

/* ---- the bridge does what the fuzz targets rely on */

struct chain {
	struct rig rig;
	struct bridge bridge;
	struct bridge_origin origin;
	int fd;
};

static void pair(int fds[2])
{
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

Test(http1_bridge, what_comes_whole_is_the_same_at_the_origin)
{
	static const char first[] = "PUT http://a/x?y HTTP/1.1\r\nhost: a\r\nA:b\r\n"
				    "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
				    "5\r\nhello\r\n0\r\nT:1\r\n\r\n";
	static const char second[] = "GET /2 HTTP/1.0\r\n\r\n";
	struct chain *c = calloc(1, sizeof(*c));
	int front[2];
	int back[2];

	cr_assert_not_null(c);
	rig_init(&c->rig, false);
	pair(front);
	pair(back);
	bridge_init(&c->bridge, c->rig.loop, front[0], back[0]);
	bridge_origin_init(&c->origin, c->rig.loop, back[1]);
	rig_rest(&c->rig, 10);
	cr_assert_eq(send(front[1], first, sizeof(first) - 1, 0), (ssize_t)sizeof(first) - 1);
	rig_rest(&c->rig, 30);
	cr_assert_eq(c->bridge.num_requests, 1);
	cr_assert(c->bridge.request.whole && c->bridge.response.whole && c->origin.request.whole);
	cr_assert_eq(c->bridge.request.len, c->origin.request.len);
	cr_assert_eq(
		memcmp(c->bridge.request.bytes, c->origin.request.bytes, c->origin.request.len), 0);
	cr_assert_eq(strncmp(c->origin.request.bytes, "PUT a /x?y -1 expect\nA=b\n\nhello\nT=1\n\n",
			     c->origin.request.len),
		     0, "%.*s", (int)c->origin.request.len, c->origin.request.bytes);
	cr_assert_eq(send(front[1], second, sizeof(second) - 1, 0), (ssize_t)sizeof(second) - 1);
	rig_rest(&c->rig, 30);
	cr_assert_eq(c->bridge.num_requests, 2);
	cr_assert_eq(strncmp(c->origin.request.bytes, "GET  /2 0\n\n", c->origin.request.len), 0);
	(void)close(front[1]);
	rig_rest(&c->rig, 60);
	cr_assert(c->bridge.front.is_over);
	bridge_fini(&c->bridge);
	bridge_origin_fini(&c->origin);
	rig_fini(&c->rig);
	free(c);
}

/* ---- over TLS */

struct duo {
	struct rig rig;
	struct side server, client;
};

static void duo_begin(struct duo *t)
{
	*t = (struct duo){ 0 };
	rig_init(&t->rig, true);
	side_limits(&t->server);
	side_limits(&t->client);
	side_pair(&t->server, &t->client, &t->rig);
}

static void duo_end(struct duo *t)
{
	side_fini(&t->client);
	side_fini(&t->server);
	rig_rest(&t->rig, 30);
	rig_fini(&t->rig);
}

#define told(s, text) \
	cr_assert(side_until_story(s, text), "wanted <%s>, story <%s>", text, (s)->story)

Test(http1_bridge, exchanges_over_tls)
{
	struct duo t;
	char *much = rig_fill(100000);

	duo_begin(&t);
	t.server.answer = "ok";
	for (int i = 0; i < 3; i++) {
		t.server.story_len = t.client.story_len = 0;
		memset(t.server.story, 0, sizeof(t.server.story));
		memset(t.client.story, 0, sizeof(t.client.story));
		cr_assert(
			side_request(&t.client, "PUT", "/", i == 1 ? HEAD_UNKNOWN : 100000, false));
		(void)stream_send_data(t.client.stream, span_of(much, 100000));
		stream_send_end(t.client.stream, NULL);
		told(&t.client, "head 200 OK length=2\ndata ok\nend\n");
		cr_assert_eq(t.server.num_bytes, 100000u * (size_t)(i + 1));
		side_release(&t.client);
		told(&t.client, "idle");
	}
	free(much);
	duo_end(&t);
}

Test(http1_bridge, a_response_cut_off_under_tls_is_never_whole)
{
	/* Until the end of the connection, counted, and in chunks: none may look whole. */
	for (int how = 0; how < 2; how++) {
		struct duo t;
		struct head *h = head_new(0);

		duo_begin(&t);
		cr_assert(side_request(&t.client, "GET", "/", 0, true));
		told(&t.server, "request ");
		h->status = 200;
		h->length = how == 0 ? 5 : HEAD_UNKNOWN;
		stream_send_head(t.server.stream, h, false);
		(void)stream_send_data(t.server.stream, span_str("hel"));
		head_free(h);
		told(&t.client, "data hel");
		t.server.is_open = false;
		stream_abort(t.server.stream, CAUSE_SERVER_RESET);
		told(&t.client, "aborted server_");
		cr_assert_null(strstr(t.client.story, "end\n"));
		duo_end(&t);
	}
}

Test(http1_bridge, draining_over_tls_ends_both_in_good_order)
{
	struct duo t;

	duo_begin(&t);
	t.server.answer = "ok";
	cr_assert(side_request(&t.client, "GET", "/", 0, true));
	told(&t.client, "end\n");
	side_release(&t.client);
	told(&t.client, "idle");
	http1_server_drain(t.server.server);
	told(&t.client, "ended\n");
	told(&t.server, "ended closed");
	duo_end(&t);
}
