/* must: assertions that stay in release builds. For our own mistakes only: nothing that a peer,
 * a file or the operator can cause may reach one. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

/* must_fail prints the failed claim with its place to stderr and aborts. */
static inline _Noreturn void must_fail(const char *claim, const char *file, int line)
{
	(void)fprintf(stderr, "sallyport: internal error: %s at %s:%d\n", claim, file, line);
	abort();
}

/* MUST aborts unless `cond` holds. */
#define MUST(cond) ((cond) ? (void)0 : must_fail(#cond, __FILE__, __LINE__))

/* CHECK aborts unless `ptr` points to an object whose `magic` is `value`. */
#define CHECK(ptr, value) MUST((ptr) != NULL && (ptr)->magic == (value))
