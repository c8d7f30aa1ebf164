/* Bodies of HTTP/1: counted and in chunks, cut at every place. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "proxy/http/http1_body.h"

static const struct http1_bounds bounds = { .max_size = 64, .max_fields = 2 };

struct outcome {
	char text[256]; /* the body, then how it ended */
	size_t left;	/* input that was not used */
};

static void note(struct outcome *o, struct span text)
{
	size_t n = strlen(o->text);

	cr_assert_lt(n + text.n, sizeof(o->text));
	memcpy(o->text + n, text.p, text.n);
}

/* Takes `in` on; what is left over stays at the front of it. */
static bool go_on(struct http1_body *b, struct span *in, struct outcome *o)
{
	for (;;) {
		struct head *trailers = NULL;
		struct http1_fault f;
		struct span data;

		switch (http1_body_next(b, bounds, in, &data, &trailers, &f)) {
		case HTTP1_BODY_MORE:
			return true;
		case HTTP1_BODY_DATA:
			cr_assert_gt(data.n, 0);
			note(o, data);
			break;
		case HTTP1_BODY_END:
			note(o, span_str("|end"));
			for (uint32_t i = 0; trailers != NULL && i < trailers->num; i++)
				note(o, trailers->fields[i].value);
			head_free(trailers);
			o->left = in->n;
			return false;
		case HTTP1_BODY_BROKEN:
			cr_assert_neq(f.status, 0);
			note(o, span_str("|broken"));
			return false;
		}
	}
}

static void read_cut(enum http1_body_kind kind, int64_t length, struct span text, size_t at,
		     struct outcome *o)
{
	struct http1_body b;
	struct span in = span_of(text.p, at);

	*o = (struct outcome){ 0 };
	http1_body_begin(&b, kind, length);
	if (!go_on(&b, &in, o))
		return;
	in = span_of(in.p, in.n + text.n - at); /* what was not used, and the rest */
	if (go_on(&b, &in, o))
		note(o, span_str("|more"));
}

static void same(enum http1_body_kind kind, int64_t length, const char *text, const char *want)
{
	for (size_t at = 0; at <= strlen(text); at++) {
		struct outcome o;

		read_cut(kind, length, span_str(text), at, &o);
		cr_assert_str_eq(o.text, want, "<%s> at %zu: <%s>", text, at, o.text);
	}
}

static void chunked(const char *text, const char *want)
{
	same(HTTP1_BODY_CHUNKED, 0, text, want);
}

Test(http1_body, counted)
{
	struct outcome o;

	same(HTTP1_BODY_SIZED, 5, "hello", "hello|end");
	same(HTTP1_BODY_SIZED, 5, "hell", "hell|more");
	same(HTTP1_BODY_SIZED, 0, "", "|end");
	same(HTTP1_BODY_OPEN, 0, "hello", "hello|more");
	read_cut(HTTP1_BODY_SIZED, 5, span_str("hellonext"), 9, &o);
	cr_assert_eq(o.left, 4);
}

Test(http1_body, in_chunks)
{
	struct outcome o;

	chunked("5\r\nhello\r\n0\r\n\r\n", "hello|end");
	chunked("1\r\nh\r\n000000000000004\r\nello\r\n00\r\n\r\n", "hello|end");
	chunked("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789|end");
	chunked("0\r\nA: 1\r\nB: 2\r\n\r\n", "|end12");
	chunked("0\r\nHost: 1\r\n\r\n", "|end");
	chunked("5\r\nhel", "hel|more");
	chunked("0\r\n", "|more");
	chunked("0\r\nA: 1\r\n", "|more");
	read_cut(HTTP1_BODY_CHUNKED, 0, span_str("0\r\n\r\nnext"), 9, &o);
	cr_assert_eq(o.left, 4);
}

Test(http1_body, malformed_chunks_break_it)
{
	chunked("\r\n", "|broken");
	chunked(" 5\r\nhello\r\n", "|broken");
	chunked("5 \r\nhello\r\n", "|broken");
	chunked("5 x\r\nhello\r\n", "|broken");
	chunked(";x\r\nhello\r\n", "|broken");
	chunked("5;x\nhello\r\n", "|broken");
	chunked("5;x\ry\r\nhello\r\n", "|broken");
	chunked("5;x=\"\r\nhello\"\r\n", "hello|broken");
	chunked("0x5\r\nhello\r\n", "|broken");
	chunked("+5\r\nhello\r\n", "|broken");
	chunked("-5\r\nhello\r\n", "|broken");
	chunked("g\r\n", "|broken");
	chunked("5\nhello\r\n", "|broken");
	chunked("5\r\r\nhello\r\n", "|broken");
	chunked("5\r\nhello\n", "hello|broken");
	chunked("5\r\nhello\r\r", "hello|broken");
	chunked("5\r\nhello0\r\n", "hello|broken");
	chunked("5\r\nhello\r\n;\r\n", "hello|broken");
	chunked("8000000000000000\r\n", "|broken");
	chunked("10000000000000000\r\n", "|broken");
	chunked("00000000000000001\r\n", "|broken");
	chunked("0\r\n\n", "|broken");
	chunked("0\r\nA\r\n\r\n", "|broken");
	chunked("0\r\nA : 1\r\n\r\n", "|broken");
	chunked("0\r\n A: 1\r\n\r\n", "|broken");
	chunked("0\r\nA: 1\r\n 2\r\n\r\n", "|broken");
	chunked("0\r\nContent-Length: 1\r\n\r\n", "|broken");
	chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n", "|broken");
	chunked("0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", "|broken");
	chunked("0\r\nA: 01234567890123456789012345678901234567890123456789012345678901234\r\n\r\n",
		"|broken");
}

Test(http1_body, extensions_are_thrown_away)
{
	chunked("5;x\r\nhello\r\n0;y=z\r\n\r\n", "hello|end");
	chunked("5 \t; x=\"a;b\"\r\nhello\r\n0\r\n\r\n", "hello|end");
	chunked("5;\r\nhello\r\n0\r\n\r\n", "hello|end");
}

Test(http1_body, extensions_without_end_are_not)
{
	static const char piece[] = "1;0123456789012345678901234567890123456789\r\nx\r\n";
	struct http1_body b;
	struct outcome o = { 0 };
	int num = 0;

	http1_body_begin(&b, HTTP1_BODY_CHUNKED, 0);
	for (struct span in = span_str(piece); num < 100 && go_on(&b, &in, &o); num++)
		in = span_str(piece);
	cr_assert(num > 10 && num < 50, "%d", num);
}

Test(http1_body, a_size_as_large_as_it_may_be)
{
	struct http1_body b;
	struct span in = span_str("7fffffffffffffff\r\nx");
	struct span data;
	struct head *trailers;
	struct http1_fault f;

	http1_body_begin(&b, HTTP1_BODY_CHUNKED, 0);
	cr_assert_eq(http1_body_next(&b, bounds, &in, &data, &trailers, &f), HTTP1_BODY_DATA);
	cr_assert_eq(b.left, (uint64_t)INT64_MAX - 1);
}
