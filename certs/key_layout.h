/* key_layout: how the bytes of a key table lie; shared by its builder and by whoever signs. Host
 * byte order, like the index. Secret. */
#pragma once

#include <stdint.h>

#define KEY_TABLE_MAGIC 0x3273796b79707331ull

/* Then num + 1 offsets of 4 bytes, from the first byte: where each key starts and the last ends.
 * Then a byte for each key: its roles (enum key_role). Then the keys, PKCS#8 DER. */
struct key_table_head {
	uint64_t magic;
	uint32_t num;
	uint32_t len; /* of the whole table */
};
