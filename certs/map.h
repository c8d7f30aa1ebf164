/* map: from bytes to a number, for whoever builds a table: a hash with a secret of its own, so
 * that nobody can choose names or certificates that collide. Keeps no copy of the keys: they lie
 * in what is being built, and the owner compares. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/span.h"

struct map_slot;

struct map {
	uint64_t secret[2];
	struct map_slot *slots;
	size_t num_slots; /* a power of two, or 0 */
	size_t num;
};

/* Whether what is stored under `value` has key `key`; `owner` is that of map_find. */
typedef bool map_equal(const void *owner, uint32_t value, struct span key);

/* map_init makes an empty map in place. */
void map_init(struct map *m);

/* map_fini frees what it holds; a map of zero bytes is fine. */
void map_fini(struct map *m);

/* map_find sets `*value` to what was added for `key`. False: nothing was. */
bool map_find(const struct map *m, struct span key, map_equal *equal, const void *owner,
	      uint32_t *value);

/* map_add stores `value` for `key`, which must not be there yet. False: out of memory. */
bool map_add(struct map *m, struct span key, uint32_t value);
