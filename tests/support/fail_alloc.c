#include "tests/support/fail_alloc.h"

#include <errno.h>
#include <stddef.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t num, size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t num, size_t n);
void *__wrap_realloc(void *p, size_t n);
char *__real_strndup(const char *s, size_t n);
char *__wrap_strndup(const char *s, size_t n);

static unsigned left;
static int happened;

static int fails(void)
{
	if (left == 0 || --left > 0)
		return 0;
	happened = 1;
	errno = ENOMEM;
	return 1;
}

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t num, size_t n)
{
	return fails() ? NULL : __real_calloc(num, n);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails() ? NULL : __real_realloc(p, n);
}

void fail_alloc_at(unsigned n)
{
	left = n;
	happened = 0;
}

char *__wrap_strndup(const char *s, size_t n)
{
	return fails() ? NULL : __real_strndup(s, n);
}

int fail_alloc_happened(void)
{
	return happened;
}

int fail_alloc_done(void)
{
	left = 0;
	return happened;
}
