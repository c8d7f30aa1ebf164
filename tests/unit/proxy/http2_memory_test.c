/* HTTP/2 when memory runs out: allocation 1, 2, 3... fails, until none does. What breaks, breaks in
 * good order, and nothing is lost. */
#include "tests/support/fail_alloc.h"
#include "tests/unit/proxy/http2_stage.h"

enum { ENOUGH = 500 };

static bool is_over(void *arg)
{
	struct h2_side *s = arg;

	(void)h2_hear(s);
	return s->ended;
}

Test(http2_memory, a_server_whose_allocations_fail)
{
	bool failed = true;
	unsigned n = 0;

	while (failed && ++n < ENOUGH) {
		struct stage *t = open_stage();
		struct h2_side *s = &t->side;

		h2_headers(s, END, 1, GET "a=1\ncookie=b\ncookie=c\npriority=u=1\n");
		h2_headers(s, 0, 3, POST "content-length=2\n");
		h2_data(s, 0, 3, "ab");
		h2_headers(s, END, 3, "t=1\n");
		fail_alloc_at(n);
		h2_send(s);
		rig_rest(&t->rig, 3);
		failed = fail_alloc_done() != 0;
		(void)shutdown(s->fd, SHUT_WR);
		cr_assert(rig_until(&t->rig, is_over, s), "%u: %s %s", n, s->story, s->heard);
		if (!failed) {
			cr_assert_not_null(strstr(s->heard, "DATA 1 2 ok END"), "%s", s->heard);
			cr_assert_not_null(strstr(s->heard, "DATA 3 2 ok END"), "%s", s->heard);
			cr_assert_not_null(strstr(s->story, "#2 end\n  t=1\n"), "%s", s->story);
		}
		close_stage(t);
	}
	cr_assert_gt(n, 8);
	cr_assert_lt(n, ENOUGH);
}

Test(http2_memory, a_client_whose_allocations_fail)
{
	bool failed = true;
	unsigned n = 0;

	while (failed && ++n < ENOUGH) {
		struct stage *t = stage_new();
		struct h2_side *s = &t->side;

		h2_ask(s, &t->rig, false);
		h2_begin(s);
		cr_assert_not_null(h2_request(s, "GET", "/", 0, true));
		cr_assert(h2_until_heard(s, "HEADERS 1 "));
		h2_headers(s, 0, 1, ":status=103\n");
		h2_headers(s, 0, 1, ":status=200\na=1\n");
		h2_data(s, 0, 1, "x");
		h2_headers(s, END, 1, "t=1\n");
		fail_alloc_at(n);
		h2_send(s);
		rig_rest(&t->rig, 3);
		failed = fail_alloc_done() != 0;
		cr_assert_eq(strstr(s->story, "#1 end\n  t=1\n") != NULL, !failed, "%u: %s", n,
			     s->story);
		cr_assert_eq(strstr(s->story, "aborted no_memory") != NULL, failed, "%u: %s", n,
			     s->story);
		close_stage(t);
	}
	cr_assert_gt(n, 4);
	cr_assert_lt(n, ENOUGH);
}

Test(http2_memory, a_request_that_finds_none)
{
	bool failed = true;
	unsigned n = 0;

	while (failed && ++n < ENOUGH) {
		struct stage *t = stage_new();
		struct h2_side *s = &t->side;
		struct stream *stream;
		struct head *h = head_new(0);

		cr_assert_not_null(h);
		h->method = METHOD_POST;
		h->method_name = span_str("POST");
		h->path = span_str("/");
		h->authority = span_str("a");
		h->length = HEAD_UNKNOWN;
		h2_ask(s, &t->rig, false);
		h2_begin(s);
		fail_alloc_at(n);
		stream = http2_client_open(s->client, &s->client_limits);
		if (stream != NULL) {
			static const struct stream_events silent = { 0 };

			stream_attach(stream, &silent, NULL);
			stream_send_head(stream, h, false);
			(void)stream_send_data(stream, span_str("body"));
			stream_send_end(stream, h);
			stream_release(stream);
		}
		failed = fail_alloc_done() != 0;
		head_free(h);
		rig_rest(&t->rig, 2);
		close_stage(t);
	}
	cr_assert_gt(n, 1);
	cr_assert_lt(n, ENOUGH);
}
