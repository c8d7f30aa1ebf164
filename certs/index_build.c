/* The builder's half of index.h: collects, then lays out. */
#include <openssl/siphash.h>
#include <stdlib.h>

#include "certs/compat.h"
#include "certs/index.h"
#include "certs/index_layout.h"
#include "certs/map.h"

/* Bytes that grow; offsets into them stay. */
struct buffer {
	char *p;
	size_t n, room;
};

/* A name in a set. */
struct name {
	uint32_t set;
	struct index_blob text; /* in `texts` */
	uint32_t certs[INDEX_KEY_TYPES];
};

struct index_builder {
	uint64_t secret[2];
	uint32_t num_sets;
	uint32_t (*defaults)[INDEX_KEY_TYPES]; /* of each set */
	struct buffer blobs;		       /* struct index_blob, into `data` */
	struct buffer data;		       /* DER */
	struct buffer certs;  /* struct index_cert; chain counts in `chains`, file in `texts` */
	struct buffer chains; /* uint32_t, numbers of blobs */
	struct buffer names;  /* struct name */
	struct buffer texts;  /* names and file names */
	struct map blob_map;  /* DER to number in `blobs` */
	struct map name_map;  /* set and text to number in `names` */
};

/* Appends, keeping all within what 32 bits can count. */
static bool buffer_add(struct buffer *b, const void *p, size_t n)
{
	size_t end;

	if (!size_add(&end, b->n, n) || end > UINT32_MAX)
		return false;
	if (end > b->room) {
		size_t room = b->room == 0 ? 4096 : b->room;
		char *grown;

		while (room < end)
			room *= 2;
		if ((grown = realloc(b->p, room)) == NULL)
			return false;
		b->p = grown;
		b->room = room;
	}
	if (n > 0)
		memcpy(b->p + b->n, p, n);
	b->n = end;
	return true;
}

static uint32_t buffer_count(const struct buffer *b, size_t each)
{
	return (uint32_t)(b->n / each);
}

static bool texts_add(struct index_builder *b, struct span text, struct index_blob *out)
{
	*out = (struct index_blob){ .at = (uint32_t)b->texts.n, .len = (uint32_t)text.n };
	return buffer_add(&b->texts, text.p, text.n);
}

struct index_builder *index_builder_new(uint32_t num_sets)
{
	struct index_builder *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	(void)RAND_bytes((uint8_t *)b->secret, sizeof(b->secret)); /* never fails */
	map_init(&b->blob_map);
	map_init(&b->name_map);
	b->num_sets = num_sets;
	b->defaults = calloc((size_t)num_sets + 1, sizeof(*b->defaults));
	if (b->defaults == NULL) {
		index_builder_free(b);
		return NULL;
	}
	for (size_t s = 0; s < num_sets; s++) {
		for (size_t t = 0; t < INDEX_KEY_TYPES; t++)
			b->defaults[s][t] = INDEX_NONE;
	}
	return b;
}

void index_builder_free(struct index_builder *b)
{
	if (b == NULL)
		return;
	free(b->defaults);
	free(b->blobs.p);
	free(b->data.p);
	free(b->certs.p);
	free(b->chains.p);
	free(b->names.p);
	free(b->texts.p);
	map_fini(&b->blob_map);
	map_fini(&b->name_map);
	free(b);
}

static bool blob_equal(const void *owner, uint32_t value, struct span der)
{
	const struct index_builder *b = owner;
	const struct index_blob *blob = (const struct index_blob *)(const void *)b->blobs.p + value;

	return span_eq(span_of(b->data.p + blob->at, blob->len), der);
}

static bool blob_add(struct index_builder *b, struct span der, uint32_t *number)
{
	struct index_blob blob = { .at = (uint32_t)b->data.n, .len = (uint32_t)der.n };

	if (map_find(&b->blob_map, der, blob_equal, b, number))
		return true;
	*number = buffer_count(&b->blobs, sizeof(blob));
	return buffer_add(&b->data, der.p, der.n) && buffer_add(&b->blobs, &blob, sizeof(blob)) &&
	       map_add(&b->blob_map, der, *number);
}

bool index_builder_add(struct index_builder *b, const struct index_certificate *c, uint32_t *number)
{
	struct index_cert cert = {
		.not_before_s = c->not_before_s,
		.not_after_s = c->not_after_s,
		.type = (uint32_t)c->type,
		.key_bits = c->key_bits,
		.key = c->key,
		.chain_len = (uint32_t)c->chain_len,
		.chain = buffer_count(&b->chains, sizeof(uint32_t)),
	};

	if (!texts_add(b, c->file, &cert.file))
		return false;
	for (size_t i = 0; i < c->chain_len; i++) {
		uint32_t blob;

		if (!blob_add(b, c->chain[i], &blob) ||
		    !buffer_add(&b->chains, &blob, sizeof(blob)))
			return false;
	}
	*number = buffer_count(&b->certs, sizeof(cert));
	return buffer_add(&b->certs, &cert, sizeof(cert));
}

static bool has_cert(const struct index_builder *b, uint32_t number)
{
	return number < buffer_count(&b->certs, sizeof(struct index_cert));
}

static uint32_t type_of(const struct index_builder *b, uint32_t number)
{
	return ((const struct index_cert *)(const void *)b->certs.p)[number].type;
}

static struct name *name_at(const struct index_builder *b, uint32_t n)
{
	return (struct name *)(void *)b->names.p + n;
}

/* The key in name_map: the set's number, then the name. */
static bool name_equal(const void *owner, uint32_t value, struct span key)
{
	const struct index_builder *b = owner;
	const struct name *n = name_at(b, value);

	return memcmp(key.p, &n->set, sizeof(n->set)) == 0 &&
	       span_eq(span_of(key.p + sizeof(n->set), key.n - sizeof(n->set)),
		       span_of(b->texts.p + n->text.at, n->text.len));
}

bool index_builder_name(struct index_builder *b, uint32_t set, struct span name, uint32_t number)
{
	char key[sizeof(set) + INDEX_MAX_NAME];
	struct name new = { .set = set };
	struct span key_span = span_of(key, sizeof(set) + name.n);
	uint32_t *place;
	uint32_t at;

	if (set >= b->num_sets || !has_cert(b, number) || name.n == 0 || name.n > INDEX_MAX_NAME)
		return false;
	memcpy(key, &set, sizeof(set));
	memcpy(key + sizeof(set), name.p, name.n);
	if (!map_find(&b->name_map, key_span, name_equal, b, &at)) {
		for (size_t t = 0; t < INDEX_KEY_TYPES; t++)
			new.certs[t] = INDEX_NONE;
		at = buffer_count(&b->names, sizeof(new));
		if (!texts_add(b, name, &new.text) || !buffer_add(&b->names, &new, sizeof(new)) ||
		    !map_add(&b->name_map, key_span, at))
			return false;
	}
	place = &name_at(b, at)->certs[type_of(b, number)];
	if (*place == INDEX_NONE)
		*place = number;
	return true;
}

bool index_builder_default(struct index_builder *b, uint32_t set, uint32_t number)
{
	uint32_t *place;

	if (set >= b->num_sets || !has_cert(b, number))
		return false;
	place = &b->defaults[set][type_of(b, number)];
	if (*place == INDEX_NONE)
		*place = number;
	return true;
}

/* Where each part of the finished table lies. */
struct layout {
	struct index_head head;
	uint32_t chains, texts, data, names;
	uint32_t *num_slots; /* of each set */
};

/* Files the names of `set` into `slots`; false where one would lie too far from its place. */
static bool fill_slots(const struct index_builder *b, const struct layout *l, uint32_t set,
		       struct index_slot *slots, uint32_t num_slots)
{
	uint32_t at = l->names;

	for (uint32_t n = 0; n < buffer_count(&b->names, sizeof(struct name)); n++) {
		const struct name *name = name_at(b, n);
		const uint8_t *text = (const uint8_t *)b->texts.p + name->text.at;
		uint32_t probes = 0;
		uint64_t hash;
		struct index_slot *s;

		if (name->set == set) {
			hash = SIPHASH_24(b->secret, text, name->text.len);
			do {
				if (probes == INDEX_MAX_PROBES)
					return false;
				s = &slots[((uint32_t)hash + probes++) & (num_slots - 1)];
			} while (s->name != 0);
			*s = (struct index_slot){ .tag = (uint32_t)(hash >> 32), .name = at };
		}
		at += (uint32_t)sizeof(struct index_name) + name->text.len;
	}
	return true;
}

/* Finds a size for the table of `set` in which every search is short. False: out of memory. */
static bool size_slots(const struct index_builder *b, struct layout *l, uint32_t set, uint32_t num)
{
	uint32_t n = 4;

	if (num == 0) {
		l->num_slots[set] = 0;
		return true;
	}
	while (n < num * 2)
		n *= 2;
	for (int tries = 0; tries < 8; tries++, n *= 2) {
		struct index_slot *slots = calloc(n, sizeof(*slots));
		bool ok = slots != NULL && fill_slots(b, l, set, slots, n);

		free(slots);
		if (ok) {
			l->num_slots[set] = n;
			return true;
		}
		if (slots == NULL)
			return false;
	}
	return false;
}

static bool place(uint64_t *end, uint32_t *at, size_t n)
{
	uint64_t start = (*end + 7) & ~7ull;

	*at = (uint32_t)start;
	*end = start + n;
	return *end <= UINT32_MAX;
}

static bool lay_out(const struct index_builder *b, struct layout *l, uint32_t *slots)
{
	uint32_t num_names = buffer_count(&b->names, sizeof(struct name));
	uint64_t end = sizeof(l->head);
	uint64_t names_len = 0;
	uint32_t *counts = calloc((size_t)b->num_sets + 1, sizeof(*counts));
	bool ok = counts != NULL;

	l->head = (struct index_head){
		.magic = INDEX_MAGIC,
		.secret = { b->secret[0], b->secret[1] },
		.num_sets = b->num_sets,
		.num_certs = buffer_count(&b->certs, sizeof(struct index_cert)),
		.num_blobs = buffer_count(&b->blobs, sizeof(struct index_blob)),
	};
	for (uint32_t n = 0; ok && n < num_names; n++) {
		names_len += sizeof(struct index_name) + name_at(b, n)->text.len;
		counts[name_at(b, n)->set]++;
	}
	ok = ok && place(&end, &l->head.sets, b->num_sets * sizeof(struct index_set)) &&
	     place(&end, &l->head.certs, b->certs.n) && place(&end, &l->head.blobs, b->blobs.n) &&
	     place(&end, &l->chains, b->chains.n) && place(&end, &l->texts, b->texts.n) &&
	     place(&end, &l->data, b->data.n) && place(&end, &l->names, names_len);
	for (uint32_t s = 0; ok && s < b->num_sets; s++)
		ok = size_slots(b, l, s, counts[s]) &&
		     place(&end, &slots[s], l->num_slots[s] * sizeof(struct index_slot));
	l->head.len = end;
	free(counts);
	return ok;
}

static void copy(char *to, const struct buffer *b)
{
	if (b->n > 0)
		memcpy(to, b->p, b->n);
}

/* Copies what was collected to its place and turns its offsets into those of the table. */
static void write_parts(const struct index_builder *b, const struct layout *l, char *to)
{
	struct index_cert *certs = (struct index_cert *)(void *)(to + l->head.certs);
	struct index_blob *blobs = (struct index_blob *)(void *)(to + l->head.blobs);
	char *name_at_byte = to + l->names;

	memcpy(to, &l->head, sizeof(l->head));
	copy(to + l->head.certs, &b->certs);
	copy(to + l->head.blobs, &b->blobs);
	copy(to + l->chains, &b->chains);
	copy(to + l->texts, &b->texts);
	copy(to + l->data, &b->data);
	for (uint32_t n = 0; n < l->head.num_certs; n++) {
		certs[n].chain = l->chains + certs[n].chain * (uint32_t)sizeof(uint32_t);
		certs[n].file.at += l->texts;
	}
	for (uint32_t n = 0; n < l->head.num_blobs; n++)
		blobs[n].at += l->data;
	for (uint32_t n = 0; n < buffer_count(&b->names, sizeof(struct name)); n++) {
		const struct name *name = name_at(b, n);
		struct index_name entry = { .len = name->text.len };

		memcpy(entry.certs, name->certs, sizeof(entry.certs));
		memcpy(name_at_byte, &entry, sizeof(entry));
		memcpy(name_at_byte + sizeof(entry), b->texts.p + name->text.at, name->text.len);
		name_at_byte += sizeof(entry) + name->text.len;
	}
}

bool index_builder_finish(const struct index_builder *b, void **bytes, size_t *len)
{
	struct layout l = { .num_slots = calloc((size_t)b->num_sets + 1, sizeof(*l.num_slots)) };
	uint32_t *slots = calloc((size_t)b->num_sets + 1, sizeof(*slots));
	char *to = NULL;

	if (l.num_slots == NULL || slots == NULL || !lay_out(b, &l, slots) ||
	    (to = calloc(1, l.head.len)) == NULL)
		goto done;
	write_parts(b, &l, to);
	for (uint32_t s = 0; s < b->num_sets; s++) {
		struct index_set set = { .num_slots = l.num_slots[s], .slots = slots[s] };

		memcpy(set.defaults, b->defaults[s], sizeof(set.defaults));
		memcpy(to + l.head.sets + s * sizeof(set), &set, sizeof(set));
		if (set.num_slots > 0)
			(void)fill_slots(b, &l, s, (struct index_slot *)(void *)(to + set.slots),
					 set.num_slots); /* fits: it was tried */
	}
	*bytes = to;
	*len = l.head.len;
done:
	free(l.num_slots);
	free(slots);
	return to != NULL;
}
