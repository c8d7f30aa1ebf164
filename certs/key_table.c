/* The key table's builder (keys.h). Every copy that it ever made of a key is wiped. */
#include <stdlib.h>

#include "certs/compat.h"
#include "certs/key_layout.h"
#include "certs/keys.h"
#include "certs/map.h"
#include "conf/must.h"

struct key_table {
	uint8_t *der; /* all keys, one after another */
	size_t len, room;
	uint32_t *ends; /* where each key ends in `der` */
	uint8_t *roles; /* of each key */
	uint32_t num, num_room;
	struct map map; /* DER to number */
};

struct key_table *key_table_new(void)
{
	struct key_table *t = calloc(1, sizeof(*t));

	if (t != NULL)
		map_init(&t->map);
	return t;
}

static void wipe_free(uint8_t *p, size_t n)
{
	if (p != NULL)
		OPENSSL_cleanse(p, n);
	free(p);
}

void key_table_free(struct key_table *t)
{
	if (t == NULL)
		return;
	wipe_free(t->der, t->room);
	free(t->ends);
	free(t->roles);
	map_fini(&t->map);
	free(t);
}

static struct span key_at(const struct key_table *t, uint32_t n)
{
	uint32_t start = n == 0 ? 0 : t->ends[n - 1];

	return span_of(t->der + start, t->ends[n] - start);
}

static bool key_equal(const void *owner, uint32_t value, struct span der)
{
	return span_eq(key_at(owner, value), der);
}

/* realloc would leave the old copy in the heap. */
static bool grow_der(struct key_table *t, size_t need)
{
	size_t room = t->room == 0 ? 4096 : t->room;
	uint8_t *grown;

	if (need <= t->room)
		return true;
	while (room < need)
		room *= 2;
	if ((grown = malloc(room)) == NULL)
		return false;
	if (t->len > 0)
		memcpy(grown, t->der, t->len);
	wipe_free(t->der, t->room);
	t->der = grown;
	t->room = room;
	return true;
}

static bool grow_places(struct key_table *t)
{
	uint32_t room = t->num_room == 0 ? 64 : t->num_room * 2;
	uint32_t *grown;
	uint8_t *roles;

	if (t->num < t->num_room)
		return true;
	if ((grown = realloc(t->ends, room * sizeof(*grown))) == NULL)
		return false;
	t->ends = grown;
	if ((roles = realloc(t->roles, room)) == NULL)
		return false;
	t->roles = roles;
	t->num_room = room;
	return true;
}

bool key_table_add(struct key_table *t, struct span pkcs8, uint32_t *number)
{
	size_t end;

	if (map_find(&t->map, pkcs8, key_equal, t, number))
		return true;
	if (!size_add(&end, t->len, pkcs8.n) || end > UINT32_MAX / 2 || pkcs8.n == 0 ||
	    !grow_der(t, end) || !grow_places(t) || !map_add(&t->map, pkcs8, t->num))
		return false;
	memcpy(t->der + t->len, pkcs8.p, pkcs8.n);
	t->len = end;
	t->ends[t->num] = (uint32_t)end;
	t->roles[t->num] = 0;
	*number = t->num++;
	return true;
}

void key_table_allow(struct key_table *t, uint32_t number, enum key_role role)
{
	MUST(number < t->num);
	t->roles[number] |= (uint8_t)role;
}

static size_t offsets_len(const struct key_table *t)
{
	return ((size_t)t->num + 1) * sizeof(uint32_t);
}

static size_t keys_at(const struct key_table *t)
{
	return sizeof(struct key_table_head) + offsets_len(t) + t->num;
}

size_t key_table_size(const struct key_table *t)
{
	return keys_at(t) + t->len;
}

void key_table_write(const struct key_table *t, void *to)
{
	struct key_table_head head = {
		.magic = KEY_TABLE_MAGIC,
		.num = t->num,
		.len = (uint32_t)key_table_size(t),
	};
	uint8_t *p = to;

	memcpy(p, &head, sizeof(head));
	p += sizeof(head);
	for (uint32_t n = 0; n <= t->num; n++) {
		uint32_t at = (uint32_t)keys_at(t) + (n == 0 ? 0 : t->ends[n - 1]);

		memcpy(p, &at, sizeof(at));
		p += sizeof(at);
	}
	if (t->num > 0)
		memcpy(p, t->roles, t->num);
	if (t->len > 0)
		memcpy(p + t->num, t->der, t->len);
}
