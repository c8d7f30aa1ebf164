/* span: a borrowed run of bytes, passed by value, never NUL-terminated; and checked size
 * arithmetic. Used by every room. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const char *p;
	size_t n;
};

/* span_of borrows `n` bytes at `p`. */
static inline struct span span_of(const void *p, size_t n)
{
	return (struct span){ .p = (const char *)p, .n = n };
}

/* span_str borrows the NUL-terminated string `s` without its NUL; NULL gives an empty span. */
static inline struct span span_str(const char *s)
{
	return (struct span){ .p = s, .n = s == NULL ? 0 : strlen(s) };
}

/* span_eq tells whether both hold the same bytes. */
static inline bool span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* size_add sets `*sum` to a + b. False, leaving `*sum` alone, where that overflows. */
static inline bool size_add(size_t *sum, size_t a, size_t b)
{
	size_t r;

	if (__builtin_add_overflow(a, b, &r))
		return false;
	*sum = r;
	return true;
}

/* size_mul sets `*product` to a * b. False, leaving `*product` alone, where that overflows. */
static inline bool size_mul(size_t *product, size_t a, size_t b)
{
	size_t r;

	if (__builtin_mul_overflow(a, b, &r))
		return false;
	*product = r;
	return true;
}
