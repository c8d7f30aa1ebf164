#include <criterion/criterion.h>
#include <jansson.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/arena.h"
#include "conf/conf.h"
#include "tests/unit/conf/given.h"

/* An allocator that fails once, at number `fail_at`. jansson 2.14 ignores it when the buffer of
 * its scanner cannot grow (it always doubles from 16), and reads past its end then: those are let
 * through, for no caller can mend that. All else of powers of two in that range goes with them. */
static struct {
	size_t calls, fail_at, live;
	bool failed;
} heap;

static bool is_scanner_growth(size_t size)
{
	return size >= 32 && size <= (1u << 20) && (size & (size - 1)) == 0;
}

static void *failing_malloc(size_t size)
{
	if (!is_scanner_growth(size) && ++heap.calls == heap.fail_at) {
		heap.failed = true;
		return NULL;
	}
	heap.live++;
	return malloc(size);
}

static void counting_free(void *p)
{
	heap.live -= p == NULL ? 0 : 1;
	free(p);
}

static void fail_at(size_t n)
{
	memset(&heap, 0, sizeof(heap));
	heap.fail_at = n;
	json_set_alloc_funcs(failing_malloc, counting_free);
}

static void every_failure(const char *text)
{
	struct conf_source from = given_source();
	size_t n;

	for (n = 1;; n++) {
		struct problems why;
		struct conf *c;

		problems_init(&why);
		fail_at(n);
		c = conf_parse(span_str(text), &from, &why);
		cr_assert_eq(c == NULL, heap.failed, "failure %zu", n);
		if (c == NULL) {
			cr_assert_eq(why.num_errors, 1, "failure %zu", n);
			cr_expect_str_eq(why.list[0].where, "t.json", "failure %zu", n);
			cr_expect_str_eq(why.list[0].what, "out of memory", "failure %zu", n);
		}
		conf_free(c);
		problems_fini(&why);
		cr_assert_eq(heap.live, 0, "failure %zu leaks", n);
		if (c != NULL)
			break;
	}
	cr_expect_gt(n, 50);
}

Test(memory, every_failed_allocation_of_a_parse_is_told)
{
	static const char *const files[] = { "conf/examples/minimal.json", "conf/examples/tcp.json",
					     "conf/examples/sidecar.json",
					     "conf/examples/http.json" };

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char *text = given_file(files[i]);

		every_failure(text);
		free(text);
	}
}

Test(memory, every_failed_allocation_of_a_refusal_is_survived)
{
	static const char text[] = "{\"workers\":0,\"workers\":\"x\",\"listeners\":[{\"address\":"
				   "\"a\",\"pool\":\"nope\"}],\"pools\":{\"web\":{\"sevrers\":1}}}";
	struct conf_source from = given_source();
	bool failed = true;

	for (size_t n = 1; failed; n++) {
		struct problems why;

		problems_init(&why);
		fail_at(n);
		cr_assert_null(conf_parse(span_str(text), &from, &why));
		cr_expect_gt(why.num_errors, 0, "failure %zu", n);
		failed = heap.failed;
		problems_fini(&why);
		cr_assert_eq(heap.live, 0, "failure %zu leaks", n);
	}
}

Test(memory, every_failed_allocation_of_schema_and_sidecar_is_told)
{
	static const char *const listen[] = { ":1", ":2" }, *const backend[] = { "a:1" };
	const struct conf_sidecar flags = { .listen = listen,
					    .num_listen = 2,
					    .cert = "c",
					    .key = "k",
					    .backend = backend,
					    .num_backend = 1,
					    .mode = "tcp",
					    .admin = ":3",
					    .redirect_from = listen,
					    .num_redirect_from = 2 };

	for (int which = 0; which < 2; which++) {
		bool failed = true;

		for (size_t n = 1; failed; n++) {
			char *text;

			fail_at(n);
			text = which == 0 ? conf_schema() : conf_sidecar_json(&flags);
			failed = heap.failed;
			cr_assert_eq(text == NULL, failed, "failure %zu", n);
			counting_free(text);
			cr_assert_eq(heap.live, 0, "failure %zu leaks", n);
		}
	}
}

Test(memory, what_one_parse_may_take_is_bounded)
{
	/* 256 listeners with 10,000 certificates each: one text in range, a tree that is not. */
	static const char path[] = "\"a\"";
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	cr_assert_not_null(out);
	(void)fputs("{\"listeners\":[", out);
	for (int i = 0; i < CONF_MAX_LISTENERS; i++) {
		(void)fprintf(out,
			      "%s{\"address\":\":%d\",\"pool\":\"web\",\"tls\":{\"certificates\":[",
			      i == 0 ? "" : ",", i + 1);
		for (int j = 0; j < CONF_MAX_CERTIFICATES; j++)
			(void)fprintf(out, "%s%s", j == 0 ? "" : ",", path);
		(void)fputs("]}}", out);
	}
	(void)fputs("]," GIVEN_POOLS "}", out);
	cr_assert_eq(fclose(out), 0);
	cr_assert_lt(len, CONF_MAX_TEXT);
	given_refused(text, "", "is too large: read, it takes over 64 MiB");
	free(text);
}

Test(arena, aligns_zeroes_and_bounds)
{
	struct arena a;
	size_t taken = 0;

	arena_init(&a, 100000);
	for (size_t n = 1; n < 100; n++) {
		unsigned char *p = arena_alloc(&a, n, 1);

		cr_assert_not_null(p);
		cr_expect_eq((uintptr_t)p % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < n; i++)
			cr_expect_eq(p[i], 0);
		memset(p, 0xff, n);
	}
	cr_expect_not_null(arena_alloc(&a, 0, 8));
	cr_expect_null(arena_alloc(&a, SIZE_MAX / 2, 3));
	cr_expect_null(arena_alloc(&a, SIZE_MAX, 1));
	cr_expect(a.over_limit);
	while (arena_alloc(&a, 1, 10000) != NULL)
		taken += 10000;
	cr_expect_leq(taken, 100000);
	cr_expect_geq(taken, 40000);
	arena_fini(&a);
	arena_fini(&a);
}
