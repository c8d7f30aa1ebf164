#include "conf/arena.h"

#include <stdalign.h>
#include <string.h>

enum { ARENA_CHUNK = 16000, ARENA_ALIGN = alignof(max_align_t) };

struct arena_chunk {
	struct arena_chunk *next;
	size_t used, room;
	alignas(max_align_t) char bytes[];
};

void arena_init(struct arena *a, size_t limit)
{
	*a = (struct arena){ .limit = limit };
	json_get_alloc_funcs(&a->malloc_fn, &a->free_fn);
}

void arena_fini(struct arena *a)
{
	struct arena_chunk *c;

	while ((c = a->chunks) != NULL) {
		a->chunks = c->next;
		a->free_fn(c);
	}
	a->total = 0;
}

static struct arena_chunk *arena_grow(struct arena *a, size_t need)
{
	size_t room = need > ARENA_CHUNK ? need : ARENA_CHUNK;
	struct arena_chunk *c;

	if (need > a->limit || a->total > a->limit - need) {
		a->over_limit = true;
		return NULL;
	}
	if ((c = a->malloc_fn(sizeof(*c) + room)) == NULL)
		return NULL;
	c->used = 0;
	c->room = room;
	c->next = a->chunks;
	a->chunks = c;
	a->total += room;
	return c;
}

void *arena_alloc(struct arena *a, size_t num, size_t size)
{
	struct arena_chunk *c = a->chunks;
	size_t need;
	void *p;

	if (!size_mul(&need, num, size) || !size_add(&need, need, ARENA_ALIGN)) {
		a->over_limit = true;
		return NULL;
	}
	need -= need % ARENA_ALIGN;
	if (c == NULL || c->room - c->used < need) {
		if ((c = arena_grow(a, need)) == NULL)
			return NULL;
	}
	p = c->bytes + c->used;
	c->used += need;
	memset(p, 0, need);
	return p;
}

char *arena_copy(struct arena *a, struct span s)
{
	size_t room;
	char *copy;

	if (!size_add(&room, s.n, 1) || (copy = arena_alloc(a, room, 1)) == NULL)
		return NULL;
	if (s.n > 0)
		memcpy(copy, s.p, s.n);
	return copy;
}
