/* An index and a key table of any bytes: whatever is asked of them, nothing outside is read. Some
 * of the head is made right, or the input would seldom get past it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "certs/compat.h"
#include "certs/index.h"
#include "certs/index_layout.h"
#include "certs/key_layout.h"
#include "certs/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *owner, struct span signature)
{
	(void)owner;
	(void)signature;
}

static void ask_index(struct span bytes)
{
	static const char *const names[] = { "a.example", "x.w.example", "w.example", "." };
	struct index *i = index_open(bytes);
	uint32_t found[INDEX_KEY_TYPES];
	CRYPTO_BUFFER *buffers[10];
	struct span chain[10];
	struct index_entry e;

	if (i == NULL)
		return;
	for (uint32_t set = 0; set < 2; set++) {
		for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
			(void)index_find(i, set, span_str(names[n]), found);
		(void)index_defaults(i, set, found);
	}
	for (uint32_t n = 0; n < 4; n++) {
		(void)index_entry(i, n, &e);
		(void)index_chain(i, n, chain, 10);
		(void)index_buffers(i, n, buffers, 10);
	}
	index_close(i);
}

static void ask_keys(struct span bytes)
{
	struct keys *k = keys_new();

	if (k != NULL && keys_adopt(k, 1, bytes)) {
		for (uint32_t n = 0; n < 3; n++)
			(void)keys_sign(k, (struct key_id){ 1, n }, SSL_SIGN_ED25519,
					span_str("message"), ignore, NULL);
		keys_run(k, 3);
	}
	keys_free(k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct index_head index_head;
	struct key_table_head key_head;
	uint8_t *copy = malloc(size + 1);

	if (copy == NULL)
		return 0;
	memcpy(copy, data, size);
	if (size >= sizeof(index_head)) {
		memcpy(&index_head, copy, sizeof(index_head));
		index_head.magic = INDEX_MAGIC;
		index_head.len = size;
		memcpy(copy, &index_head, sizeof(index_head));
		ask_index(span_of(copy, size));
	}
	if (size >= sizeof(key_head)) {
		memcpy(&key_head, data, sizeof(key_head));
		key_head.magic = KEY_TABLE_MAGIC;
		key_head.len = (uint32_t)size;
		memcpy(copy, data, size);
		memcpy(copy, &key_head, sizeof(key_head));
		ask_keys(span_of(copy, size));
	}
	free(copy);
	return 0;
}
