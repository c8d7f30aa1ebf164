/* HTTP/1 when memory runs out: allocation 1, 2, 3... fails, until none does. What breaks, breaks
 * in good order, and nothing is lost. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>

#include "proxy/http/http1_head.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/http1_side.h"

enum { ENOUGH = 500 };

static const struct http1_bounds bounds = { .max_size = 8192, .max_fields = 64 };

static const char request[] =
	"GET http://a?q HTTP/1.1\r\nHost: a\r\n"
	"1:1\r\n2:2\r\n3:3\r\n4:4\r\n5:5\r\n6:6\r\n7:7\r\n8:8\r\n9:9\r\n10:1\r\n11:1\r\n12:1\r\n"
	"13:1\r\n14:1\r\n15:1\r\n16:1\r\n17:1\r\n18:1\r\n19:1\r\n20:1\r\n21:1\r\n22:1\r\n23:1\r\n"
	"24:1\r\n25:1\r\n26:1\r\n\r\n";

Test(http1_memory, heads)
{
	bool failed = true;
	unsigned n = 0;

	while (failed && ++n < ENOUGH) {
		struct http1_message m = { 0 };
		struct http1_fault f = { 0 };
		bool parsed;

		fail_alloc_at(n);
		parsed = http1_head_parse(HTTP1_REQUEST, span_str(request), &m, &f);
		failed = fail_alloc_done() != 0;
		cr_assert_eq(parsed, !failed);
		if (failed)
			cr_assert_eq(f.why, CAUSE_MEMORY);
		head_free(m.head);
	}
	cr_assert_gt(n, 3); /* head, fields, text, and room for more fields */
	cr_assert_lt(n, ENOUGH);
}

Test(http1_memory, trailers)
{
	static const char text[] = "A: 1\r\nB: 2\r\n\r\n";
	bool failed = true;
	unsigned n = 0;

	while (failed && ++n < ENOUGH) {
		struct head *h = NULL;
		struct http1_fault f = { 0 };
		bool parsed;

		fail_alloc_at(n);
		parsed = http1_trailers_parse(span_str(text), &h, &f);
		failed = fail_alloc_done() != 0;
		cr_assert_eq(parsed, !failed);
		cr_assert_eq(h != NULL, parsed);
		head_free(h);
	}
	cr_assert_gt(n, 2);
	cr_assert_lt(n, ENOUGH);
}

static bool is_over(void *arg)
{
	struct side *s = arg;

	(void)side_hear(s);
	return s->ended || s->got_eof || s->got_reset;
}

Test(http1_memory, a_server_whose_allocations_fail)
{
	bool failed = true;
	unsigned n = 0;

	while (failed && ++n < ENOUGH) {
		struct rig rig;
		struct side s = { 0 };

		rig_init(&rig, false);
		side_limits(&s);
		s.limits.max_header_size = bounds.max_size;
		s.limits.max_headers = bounds.max_fields;
		s.answer = "ok\n";
		side_serve(&s, &rig, false);
		/* In two pieces, so that some is kept. */
		side_say(&s, span_of(request, 50));
		fail_alloc_at(n);
		rig_rest(&rig, 1);
		side_say(&s, span_of(request + 50, strlen(request) - 50));
		side_say(&s, span_str("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
				      "\r\n1\r\nx\r\n0\r\nT: 1\r\n\r\n"));
		(void)shutdown(s.fd, SHUT_WR);
		cr_assert(rig_until(&rig, is_over, &s), "%u: %s", n, s.story);
		failed = fail_alloc_done() != 0;
		rig_rest(&rig, 1);
		if (!failed)
			cr_assert_eq(s.num_requests, 2, "%s", s.story);
		side_fini(&s);
		rig_fini(&rig);
	}
	cr_assert_gt(n, 5);
	cr_assert_lt(n, ENOUGH);
}

Test(http1_memory, a_client_whose_allocations_fail)
{
	bool failed = true;
	unsigned n = 0;

	while (failed && ++n < ENOUGH) {
		struct rig rig;
		struct side s = { 0 };

		rig_init(&rig, false);
		side_limits(&s);
		side_ask(&s, &rig, false);
		cr_assert(side_request(&s, "GET", "/", 0, true));
		side_say(&s, span_str("HTTP/1.1 200 OK\r\nTransfer-"));
		fail_alloc_at(n);
		rig_rest(&rig, 1);
		side_say(&s, span_str("Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: "));
		rig_rest(&rig, 1);
		side_say(&s, span_str("1\r\n\r\n"));
		rig_rest(&rig, 1);
		failed = fail_alloc_done() != 0;
		cr_assert_eq(strstr(s.story, "data x\nend\n  T=1\n") != NULL, !failed, "%u: %s", n,
			     s.story);
		cr_assert_eq(strstr(s.story, "aborted no_memory") != NULL, failed, "%u: %s", n,
			     s.story);
		side_fini(&s);
		rig_fini(&rig);
	}
	cr_assert_gt(n, 5);
	cr_assert_lt(n, ENOUGH);
}
