#include "proxy/process/slots.h"

#include <stdlib.h>
#include <string.h>

struct slot {
	char *key;	 /* NULL: free */
	uint32_t last;	 /* newest generation that uses it */
	uint32_t before; /* `last` before the generation being assigned; 0: free */
};

struct slots {
	uint32_t num;
	uint64_t *hashes;
	struct slot *slots;
};

struct slots *slots_new(uint32_t num)
{
	struct slots *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->num = num;
	s->hashes = calloc(num, sizeof(*s->hashes));
	s->slots = calloc(num, sizeof(*s->slots));
	if (s->hashes == NULL || s->slots == NULL) {
		slots_free(s);
		return NULL;
	}
	return s;
}

void slots_free(struct slots *s)
{
	if (s == NULL)
		return;
	for (uint32_t i = 0; s->slots != NULL && i < s->num; i++)
		free(s->slots[i].key);
	free(s->slots);
	free(s->hashes);
	free(s);
}

/* FNV-1a: keys are the operator's, nobody chooses them to collide. */
static uint64_t slots_hash(const char *key)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; *key != '\0'; key++)
		h = (h ^ (unsigned char)*key) * UINT64_C(0x100000001b3);
	return h == 0 ? 1 : h;
}

static void slot_clear(struct slots *s, uint32_t i)
{
	free(s->slots[i].key);
	s->slots[i] = (struct slot){ .key = NULL };
	s->hashes[i] = 0;
}

bool slots_assign(struct slots *s, uint32_t generation, const char *key, uint32_t *slot,
		  bool *fresh)
{
	uint64_t hash = slots_hash(key);
	uint32_t found = s->num, empty = s->num;

	for (uint32_t i = 0; i < s->num && found == s->num; i++) {
		if (s->hashes[i] == hash && strcmp(s->slots[i].key, key) == 0)
			found = i;
		else if (s->hashes[i] == 0 && empty == s->num)
			empty = i;
	}
	*fresh = found == s->num;
	if (*fresh) {
		char *copy;

		if (empty == s->num || (copy = strdup(key)) == NULL)
			return false;
		found = empty;
		s->slots[found].key = copy;
		s->hashes[found] = hash;
	}
	if (s->slots[found].last != generation) {
		s->slots[found].before = s->slots[found].last;
		s->slots[found].last = generation;
	}
	*slot = found;
	return true;
}

void slots_abandon(struct slots *s, uint32_t generation)
{
	for (uint32_t i = 0; i < s->num; i++) {
		struct slot *one = &s->slots[i];

		if (one->key == NULL || one->last != generation)
			continue;
		one->last = one->before;
		if (one->last == 0)
			slot_clear(s, i);
	}
}

void slots_release(struct slots *s, uint32_t below, bool (*busy)(const void *arg, uint32_t slot),
		   const void *arg)
{
	for (uint32_t i = 0; i < s->num; i++) {
		const struct slot *one = &s->slots[i];

		if (one->key != NULL && one->last < below && !busy(arg, i))
			slot_clear(s, i);
	}
}
