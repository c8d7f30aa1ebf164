#include "certs/index.h"

#include <openssl/siphash.h>
#include <stdlib.h>

#include "certs/compat.h"
#include "certs/index_layout.h"
#include "certs/lazy.h"

struct index {
	struct span bytes;
	struct index_head head;
	struct lazy *buffers; /* CRYPTO_BUFFER of each blob */
};

const char *index_key_type_name(enum index_key_type type)
{
	static const char *const names[INDEX_KEY_TYPES] = {
		[INDEX_KEY_ECDSA_P256] = "ECDSA P-256",
		[INDEX_KEY_ECDSA_P384] = "ECDSA P-384",
		[INDEX_KEY_ECDSA_P521] = "ECDSA P-521",
		[INDEX_KEY_ED25519] = "Ed25519",
		[INDEX_KEY_RSA] = "RSA",
	};

	return (unsigned)type < INDEX_KEY_TYPES ? names[type] : "unknown";
}

/* Copies `n` bytes at `at`, so that neither bounds nor alignment need trust. */
static bool index_read(const struct index *i, uint64_t at, void *out, size_t n)
{
	if (at > i->bytes.n || n > i->bytes.n - at)
		return false;
	memcpy(out, i->bytes.p + at, n);
	return true;
}

static struct span index_span(const struct index *i, struct index_blob b)
{
	if (b.at > i->bytes.n || b.len > i->bytes.n - b.at)
		return span_of(NULL, 0);
	return span_of(i->bytes.p + b.at, b.len);
}

struct index *index_open(struct span bytes)
{
	struct index *i = calloc(1, sizeof(*i));

	if (i == NULL)
		return NULL;
	i->bytes = bytes;
	if (!index_read(i, 0, &i->head, sizeof(i->head)) || i->head.magic != INDEX_MAGIC ||
	    i->head.len != bytes.n || i->head.num_blobs > bytes.n / sizeof(struct index_blob))
		goto fail;
	if ((i->buffers = lazy_new(i->head.num_blobs)) == NULL)
		goto fail;
	return i;
fail:
	index_close(i);
	return NULL;
}

static void buffer_drop(void *entry)
{
	CRYPTO_BUFFER_free(entry);
}

void index_close(struct index *i)
{
	if (i == NULL)
		return;
	lazy_free(i->buffers, buffer_drop);
	free(i);
}

uint32_t index_count(const struct index *i)
{
	return i->head.num_certs;
}

static bool set_read(const struct index *i, uint32_t set, struct index_set *out)
{
	return set < i->head.num_sets &&
	       index_read(i, i->head.sets + (uint64_t)set * sizeof(*out), out, sizeof(*out));
}

/* Copies the certificates of one name; false where that is none. */
static bool found_any(const uint32_t certs[INDEX_KEY_TYPES], uint32_t found[INDEX_KEY_TYPES])
{
	bool any = false;

	for (size_t t = 0; t < INDEX_KEY_TYPES; t++) {
		found[t] = certs[t];
		any = any || certs[t] != INDEX_NONE;
	}
	return any;
}

static bool find_exact(const struct index *i, const struct index_set *s, struct span name,
		       uint32_t found[INDEX_KEY_TYPES])
{
	uint64_t hash = SIPHASH_24(i->head.secret, (const uint8_t *)name.p, name.n);
	uint32_t tag = (uint32_t)(hash >> 32);
	uint32_t mask = s->num_slots - 1;

	for (uint32_t n = 0; n < INDEX_MAX_PROBES; n++) {
		uint64_t slot_at = s->slots + (uint64_t)(((uint32_t)hash + n) & mask) *
						      sizeof(struct index_slot);
		struct index_slot slot;
		struct index_name entry;

		if (!index_read(i, slot_at, &slot, sizeof(slot)) || slot.name == 0)
			return false;
		if (slot.tag != tag)
			continue;
		if (!index_read(i, slot.name, &entry, sizeof(entry)) || entry.len != name.n ||
		    slot.name + sizeof(entry) + name.n > i->bytes.n ||
		    memcmp(i->bytes.p + slot.name + sizeof(entry), name.p, name.n) != 0)
			continue;
		return found_any(entry.certs, found);
	}
	return false;
}

static size_t lower(struct span name, char out[INDEX_MAX_NAME])
{
	if (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
	if (name.n > INDEX_MAX_NAME)
		return 0;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	return name.n;
}

bool index_find(const struct index *i, uint32_t set, struct span name,
		uint32_t found[INDEX_KEY_TYPES])
{
	char text[INDEX_MAX_NAME];
	size_t n = lower(name, text);
	struct index_set s;
	char *dot;

	/* A host never asks for "*", nor for a name that is itself a wildcard. */
	if (n == 0 || text[0] == '*' || !set_read(i, set, &s) || s.num_slots == 0)
		return false;
	if (find_exact(i, &s, span_of(text, n), found))
		return true;
	dot = memchr(text, '.', n);
	if (dot == NULL || dot == text)
		return false;
	dot[-1] = '*';
	return find_exact(i, &s, span_of(dot - 1, n - (size_t)(dot - 1 - text)), found);
}

bool index_defaults(const struct index *i, uint32_t set, uint32_t found[INDEX_KEY_TYPES])
{
	struct index_set s;

	return set_read(i, set, &s) && found_any(s.defaults, found);
}

static bool cert_read(const struct index *i, uint32_t number, struct index_cert *out)
{
	return number < i->head.num_certs &&
	       index_read(i, i->head.certs + (uint64_t)number * sizeof(*out), out, sizeof(*out));
}

bool index_entry(const struct index *i, uint32_t number, struct index_entry *out)
{
	struct index_cert c;

	if (!cert_read(i, number, &c) || c.type >= INDEX_KEY_TYPES)
		return false;
	*out = (struct index_entry){
		.type = (enum index_key_type)c.type,
		.key_bits = c.key_bits,
		.key = c.key,
		.chain_len = c.chain_len,
		.not_before_s = c.not_before_s,
		.not_after_s = c.not_after_s,
		.file = index_span(i, c.file),
	};
	return true;
}

/* Reads element `n` of a chain: its blob's number and bytes. */
static bool chain_blob(const struct index *i, const struct index_cert *c, uint32_t n,
		       uint32_t *number, struct span *out)
{
	struct index_blob b;
	uint32_t blob;

	if (!index_read(i, c->chain + (uint64_t)n * sizeof(blob), &blob, sizeof(blob)) ||
	    blob >= i->head.num_blobs ||
	    !index_read(i, i->head.blobs + (uint64_t)blob * sizeof(b), &b, sizeof(b)))
		return false;
	*number = blob;
	*out = index_span(i, b);
	return out->n > 0;
}

size_t index_chain(const struct index *i, uint32_t number, struct span *out, size_t max)
{
	struct index_cert c;
	uint32_t blob;

	if (!cert_read(i, number, &c) || c.chain_len > max)
		return 0;
	for (uint32_t n = 0; n < c.chain_len; n++) {
		if (!chain_blob(i, &c, n, &blob, &out[n]))
			return 0;
	}
	return c.chain_len;
}

size_t index_buffers(struct index *i, uint32_t number, CRYPTO_BUFFER **out, size_t max)
{
	struct index_cert c;

	if (!cert_read(i, number, &c) || c.chain_len > max)
		return 0;
	for (uint32_t n = 0; n < c.chain_len; n++) {
		uint32_t blob;
		struct span der;
		void **kept;

		if (!chain_blob(i, &c, n, &blob, &der) ||
		    (kept = lazy_at(i->buffers, blob)) == NULL)
			return 0;
		if (*kept == NULL)
			*kept = CRYPTO_BUFFER_new_from_static_data_unsafe((const uint8_t *)der.p,
									  der.n, NULL);
		if ((out[n] = *kept) == NULL)
			return 0;
	}
	return c.chain_len;
}
