/* index_layout: how the bytes of an index lie; shared by its builder and its reader. Host byte
 * order: a table never leaves the machine, and a version mark stands at its head. Every offset
 * counts from the first byte. */
#pragma once

#include <stdint.h>

#include "certs/index.h"

#define INDEX_MAGIC 0x3178644979707331ull /* also tells a foreign byte order */

/* A search looks at no more slots than this; the builder widens the table until that holds. */
enum { INDEX_MAX_PROBES = 64 };

enum { INDEX_MAX_NAME = 253 }; /* bytes of a host name (RFC 1035 2.3.4) */

struct index_head {
	uint64_t magic;
	uint64_t len; /* of the whole table */
	uint64_t secret[2];
	uint32_t num_sets, sets;   /* count, offset of struct index_set */
	uint32_t num_certs, certs; /* of struct index_cert */
	uint32_t num_blobs, blobs; /* of struct index_blob */
};

struct index_blob {
	uint32_t at, len;
};

struct index_cert {
	int64_t not_before_s, not_after_s;
	uint32_t type, key_bits, key;
	uint32_t chain_len, chain; /* offset of so many blob numbers */
	struct index_blob file;
	uint32_t unused;
};

struct index_set {
	uint32_t num_slots; /* a power of two, or 0 */
	uint32_t slots;	    /* offset of struct index_slot */
	uint32_t defaults[INDEX_KEY_TYPES];
	uint32_t unused;
};

struct index_slot {
	uint32_t tag;  /* of the name's hash */
	uint32_t name; /* offset of struct index_name; 0: free */
};

struct index_name {
	uint32_t certs[INDEX_KEY_TYPES];
	uint32_t len; /* of the name, which follows */
};
