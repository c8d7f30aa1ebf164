/* A response's head as nghttp2 wants it. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "proxy/http/http2_head.h"

static void expect(const struct http2_fields *f, size_t at, const char *name, const char *value)
{
	const nghttp2_nv *v = &f->list[at];

	cr_assert_lt(at, f->num);
	cr_assert_eq(v->namelen, strlen(name));
	cr_assert_arr_eq(v->name, name, v->namelen);
	cr_assert_eq(v->valuelen, strlen(value), "%s", value);
	cr_assert_arr_eq(v->value, value, v->valuelen);
}

static void expect_numbers(uint16_t status, int64_t length, const char *said, const char *bytes)
{
	struct head *h = head_new(0);
	struct http2_fields f;

	cr_assert_not_null(h);
	h->status = status;
	http2_fields_response(&f, h, length);
	cr_assert_not_null(f.list);
	expect(&f, 0, ":status", said);
	if (bytes != NULL)
		expect(&f, 1, "content-length", bytes);
	else
		cr_assert_eq(f.num, 1);
	http2_fields_fini(&f);
	head_free(h);
}

Test(http2_fields, status_and_length_are_numbers_in_full)
{
	expect_numbers(200, 0, "200", "0");
	expect_numbers(599, 1024, "599", "1024");
	expect_numbers(103, HEAD_UNKNOWN, "103", NULL);
	expect_numbers(101, HEAD_UNKNOWN, "200", NULL); /* RFC 8441 */
	expect_numbers(204, INT64_MAX, "204", "9223372036854775807");
}

/* As many as have their place in the struct, and one more, and far more. */
Test(http2_fields, many_fields_find_room)
{
	const unsigned counts[] = { 1, HTTP2_FIELDS_FEW - 8, HTTP2_FIELDS_FEW - 7, 500 };

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct head *h = head_new(0);
		struct http2_fields f;
		char last[16];

		cr_assert_not_null(h);
		h->status = 200;
		for (unsigned n = 0; n < counts[i]; n++)
			head_add(h, span_str("x-number"), head_print(h, "%u", n));
		http2_fields_response(&f, h, 7);
		cr_assert_not_null(f.list);
		cr_assert_eq(f.num, counts[i] + 2);
		(void)snprintf(last, sizeof(last), "%u", counts[i] - 1);
		expect(&f, f.num - 1, "x-number", last);
		http2_fields_fini(&f);
		head_free(h);
	}
}
