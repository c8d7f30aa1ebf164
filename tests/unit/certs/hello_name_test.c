#include "certs/hello_name.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* A ClientHello with these extensions, in records of `each` bytes. */
struct made {
	char bytes[HELLO_MAX_BYTES + 4096];
	size_t n;
};

static void put(struct made *m, const void *p, size_t n)
{
	cr_assert(m->n + n <= sizeof(m->bytes));
	memcpy(m->bytes + m->n, p, n);
	m->n += n;
}

static void put_number(struct made *m, size_t value, unsigned bytes)
{
	for (unsigned i = bytes; i-- > 0;)
		put(m, &(char){ (char)(value >> (8 * i)) }, 1);
}

/* server_name; NULL: none. `padding`: bytes of another extension before it. */
static void make(struct made *out, const char *name, size_t padding, size_t each)
{
	static struct made body, message;
	static const char zeros[HELLO_MAX_BYTES];
	size_t len = name == NULL ? 0 : strlen(name);

	body.n = message.n = out->n = 0;
	put(&body, "\3\3", 2);
	put(&body, zeros, 32);
	put(&body, "\0\0\2\x13\1\1\0", 7);
	put_number(&body, (padding > 0 ? padding + 4 : 0) + (name == NULL ? 0 : len + 9), 2);
	if (padding > 0) {
		put_number(&body, 21, 2);
		put_number(&body, padding, 2);
		put(&body, zeros, padding);
	}
	if (name != NULL) {
		put_number(&body, 0, 2);
		put_number(&body, len + 5, 2);
		put_number(&body, len + 3, 2);
		put_number(&body, 0, 1);
		put_number(&body, len, 2);
		put(&body, name, len);
	}
	put_number(&message, 1, 1);
	put_number(&message, body.n, 3);
	put(&message, body.bytes, body.n);
	for (size_t at = 0; at < message.n; at += each) {
		size_t n = message.n - at < each ? message.n - at : each;

		put(out, "\x16\3\1", 3);
		put_number(out, n, 2);
		put(out, message.bytes + at, n);
	}
}

static enum hello_verdict look(const struct made *m, size_t n, char *name)
{
	return hello_name(span_of(m->bytes, n), name);
}

static char name[HELLO_NAME_MAX + 1];
static struct made hello;

Test(hello_name, it_is_found_however_it_is_cut)
{
	static const size_t records[] = { 1, 3, 4, 50, 16384 };

	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		make(&hello, "A.Example", 300, records[i]);
		for (size_t n = 0; n < hello.n; n++)
			cr_assert_eq(look(&hello, n, name), HELLO_MORE, "%zu of %zu", n, hello.n);
		cr_assert_eq(look(&hello, hello.n, name), HELLO_WHOLE);
		cr_assert_str_eq(name, "a.example");
		put(&hello, "more", 4);
		cr_assert_eq(look(&hello, hello.n, name), HELLO_WHOLE,
			     "what follows is nothing to us");
	}
}

Test(hello_name, it_may_be_missing)
{
	make(&hello, NULL, 0, 16384);
	cr_assert_eq(look(&hello, hello.n, name), HELLO_WHOLE);
	cr_assert_str_eq(name, "");
}

Test(hello_name, a_dot_at_its_end_is_no_part_of_it)
{
	make(&hello, "a.example.", 0, 16384);
	cr_assert_eq(look(&hello, hello.n, name), HELLO_WHOLE);
	cr_assert_str_eq(name, "a.example");
}

Test(hello_name, large_ones_are_taken_up_to_a_bound)
{
	make(&hello, "a.example", 60000, 16384);
	cr_assert_eq(look(&hello, hello.n, name), HELLO_WHOLE);
	make(&hello, "a.example", 65000, 16384);
	hello.bytes[6] = 1; /* it says that it is larger still */
	cr_assert_eq(look(&hello, 100, name), HELLO_BAD);
}

Test(hello_name, what_is_none_is_told_at_once)
{
	cr_assert_eq(hello_name(span_str("GET / HTTP/1.1"), name), HELLO_BAD);
	cr_assert_eq(hello_name(span_str("S"), name), HELLO_BAD);
	cr_assert_eq(hello_name(span_str("\x16\2\1"), name), HELLO_MORE);
	cr_assert_eq(hello_name(span_of("\x16\2\1\0\5", 5), name), HELLO_BAD, "SSL 2 or so");
	cr_assert_eq(hello_name(span_of("\x16\3\1\0\0", 5), name), HELLO_BAD, "an empty record");
	cr_assert_eq(hello_name(span_of("\x16\3\1\x40\1", 5), name), HELLO_BAD,
		     "too long a record");
	cr_assert_eq(hello_name(span_of("\x16\3\1\0\5\2", 6), name), HELLO_BAD, "a ServerHello");
	make(&hello, "a b", 0, 16384);
	cr_assert_eq(look(&hello, hello.n, name), HELLO_BAD, "no name of a host");
	make(&hello, "", 0, 16384);
	cr_assert_eq(look(&hello, hello.n, name), HELLO_BAD);
	make(&hello, "a.example", 0, 16384);
	hello.bytes[hello.n - 10]++; /* its length */
	cr_assert_eq(look(&hello, hello.n, name), HELLO_BAD);
}
