#include "proxy/pool/shun.h"

#include <openssl/siphash.h>

#define SHUN_NS INT64_C(10000000000)

static uint64_t key_of(const struct sockaddr_storage *address, socklen_t len)
{
	/* An address that meets another in its cell costs that one its note. */
	static const uint64_t fixed[2] = { 1, 2 };
	uint64_t key = SIPHASH_24(fixed, (const uint8_t *)address, len);

	return key == 0 ? 1 : key;
}

void shun_add(struct shun *s, const struct sockaddr_storage *address, socklen_t len, int64_t now_ns)
{
	uint64_t key = key_of(address, len);

	s->cells[key % SHUN_CELLS] = (struct shun_cell){ .key = key, .until_ns = now_ns + SHUN_NS };
}

bool shun_has(const struct shun *s, const struct sockaddr_storage *address, socklen_t len,
	      int64_t now_ns)
{
	uint64_t key = key_of(address, len);
	const struct shun_cell *c = &s->cells[key % SHUN_CELLS];

	return c->key == key && c->until_ns > now_ns;
}
