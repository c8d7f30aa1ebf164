/* lazy: an array of pointers that takes memory only where it is written, so that making one for
 * 100,000 entries costs nothing to speak of. One thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct lazy {
	void ***pages; /* NULL where nothing was written */
	uint32_t num;  /* entries, all NULL at first */
};

/* lazy_new makes an array of `num` NULLs. NULL: out of memory. */
struct lazy *lazy_new(uint32_t num);

/* lazy_free calls `drop` for every entry that is not NULL and frees the array. NULL is fine. */
void lazy_free(struct lazy *l, void (*drop)(void *entry));

/* lazy_at returns the place of entry `i` to read and write. NULL: there is none, or memory was
 * short. */
void **lazy_at(struct lazy *l, uint32_t i);
