/* arena: memory that is freed all at once, up to a limit. Everything that one parsed
 * configuration is made of comes from here. Allocates with the functions that jansson was told to
 * use, so that one hook can fail any allocation of this room. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "conf/span.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks; /* newest first */
	size_t total;		    /* bytes of all chunks */
	size_t limit;
	bool over_limit; /* an allocation was refused for the limit, not for memory */
	json_malloc_t malloc_fn;
	json_free_t free_fn;
};

/* arena_init makes an empty arena in place that will hold up to `limit` bytes. */
void arena_init(struct arena *a, size_t limit);

/* arena_fini frees all that came from `a`. */
void arena_fini(struct arena *a);

/* arena_alloc returns zeroed room for `num` objects of `size` bytes, aligned for any type; never
 * NULL for none. NULL: out of memory, or the limit is reached. */
void *arena_alloc(struct arena *a, size_t num, size_t size);

/* arena_copy returns a NUL-terminated copy of `s`. NULL: as arena_alloc. */
char *arena_copy(struct arena *a, struct span s);
