#include "conf/reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conf/values.h"

enum { READER_MAX_FILE = 240, READER_WHAT = 512 };

void reader_where(const char *file, const char *pointer, char *out, size_t len)
{
	size_t n = strlen(file);
	const char *cut = "";

	/* The end of a long path says more than its start, and the pointer must fit. */
	if (n > READER_MAX_FILE) {
		file += n - READER_MAX_FILE;
		cut = "...";
	}
	(void)snprintf(out, len, "%s%s%s%s", cut, file, pointer[0] == '\0' ? "" : ": ", pointer);
}

__attribute__((format(printf, 4, 0))) static void reader_add(struct reader *r,
							     enum problem_level level,
							     const char *pointer, const char *what,
							     va_list args)
{
	char where[READER_POINTER], text[READER_WHAT];

	reader_where(r->from->file, pointer, where, sizeof(where));
	(void)vsnprintf(text, sizeof(text), what, args);
	problems_add(r->why, level, where, "%s", text);
}

void reader_error(struct reader *r, const char *what, ...)
{
	va_list args;

	va_start(args, what);
	reader_add(r, PROBLEM_ERROR, r->pointer, what, args);
	va_end(args);
}

void reader_error_at(struct reader *r, const char *pointer, const char *what, ...)
{
	va_list args;

	va_start(args, what);
	reader_add(r, PROBLEM_ERROR, pointer, what, args);
	va_end(args);
}

void reader_warn_at(struct reader *r, const char *pointer, const char *what, ...)
{
	va_list args;

	va_start(args, what);
	reader_add(r, PROBLEM_WARNING, pointer, what, args);
	va_end(args);
}

static void reader_put(struct reader *r, const char *s, size_t n)
{
	if (n > sizeof(r->pointer) - 1 - r->pointer_len)
		n = sizeof(r->pointer) - 1 - r->pointer_len;
	memcpy(r->pointer + r->pointer_len, s, n);
	r->pointer_len += n;
	r->pointer[r->pointer_len] = '\0';
}

size_t reader_enter(struct reader *r, const char *name)
{
	size_t back = r->pointer_len;

	reader_put(r, "/", 1);
	for (const char *c = name; *c != '\0' && r->pointer_len < sizeof(r->pointer) - 1; c++) {
		if (*c == '~')
			reader_put(r, "~0", 2);
		else if (*c == '/')
			reader_put(r, "~1", 2);
		else
			reader_put(r, c, 1);
	}
	return back;
}

size_t reader_enter_index(struct reader *r, size_t i)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%zu", i);
	return reader_enter(r, text);
}

void reader_leave(struct reader *r, size_t back)
{
	r->pointer_len = back;
	r->pointer[back] = '\0';
}

void *reader_alloc(struct reader *r, size_t num, size_t size)
{
	void *p = arena_alloc(r->arena, num, size);

	if (p == NULL)
		r->failed = true;
	return p;
}

char *reader_copy(struct reader *r, struct span s)
{
	char *p = arena_copy(r->arena, s);

	if (p == NULL)
		r->failed = true;
	return p;
}

void *reader_scratch(struct reader *r, size_t num, size_t size)
{
	void *p = NULL;
	size_t n;

	if (!size_mul(&n, num, size) || (p = r->arena->malloc_fn(n == 0 ? 1 : n)) == NULL)
		r->failed = true;
	return p;
}

void reader_scratch_free(struct reader *r, void *p)
{
	r->arena->free_fn(p);
}
