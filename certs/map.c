#include "certs/map.h"

#include <openssl/siphash.h>
#include <stdlib.h>

#include "certs/compat.h"

struct map_slot {
	uint64_t hash; /* 0: free */
	uint32_t value;
};

enum { MAP_FIRST_SLOTS = 64 };

static uint64_t map_hash(const struct map *m, struct span key)
{
	return SIPHASH_24(m->secret, (const uint8_t *)key.p, key.n) | 1;
}

void map_init(struct map *m)
{
	*m = (struct map){ 0 };
	(void)RAND_bytes((uint8_t *)m->secret, sizeof(m->secret)); /* never fails */
}

void map_fini(struct map *m)
{
	free(m->slots);
	*m = (struct map){ 0 };
}

bool map_find(const struct map *m, struct span key, map_equal *equal, const void *owner,
	      uint32_t *value)
{
	uint64_t hash;

	if (m->num == 0)
		return false;
	hash = map_hash(m, key);
	for (size_t i = hash >> 1;; i++) {
		const struct map_slot *s = &m->slots[i & (m->num_slots - 1)];

		if (s->hash == 0)
			return false;
		if (s->hash == hash && equal(owner, s->value, key)) {
			*value = s->value;
			return true;
		}
	}
}

static void map_put(struct map *m, struct map_slot new)
{
	size_t i = new.hash >> 1;

	while (m->slots[i & (m->num_slots - 1)].hash != 0)
		i++;
	m->slots[i & (m->num_slots - 1)] = new;
}

/* Never more than half full, so a search ends soon. */
static bool map_grow(struct map *m)
{
	struct map bigger = *m;

	bigger.num_slots = m->num_slots == 0 ? MAP_FIRST_SLOTS : m->num_slots * 2;
	bigger.slots = calloc(bigger.num_slots, sizeof(*bigger.slots));
	if (bigger.slots == NULL)
		return false;
	for (size_t i = 0; i < m->num_slots; i++) {
		if (m->slots[i].hash != 0)
			map_put(&bigger, m->slots[i]);
	}
	free(m->slots);
	*m = bigger;
	return true;
}

bool map_add(struct map *m, struct span key, uint32_t value)
{
	if ((m->num + 1) * 2 > m->num_slots && !map_grow(m))
		return false;
	map_put(m, (struct map_slot){ .hash = map_hash(m, key), .value = value });
	m->num++;
	return true;
}
