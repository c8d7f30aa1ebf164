#include "proxy/net/network.h"

#include <string.h>

enum { MAPPED_BITS = 96 };

static bool is_mapped(const uint8_t bytes[16])
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(bytes, prefix, sizeof(prefix)) == 0;
}

static bool starts_alike(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

static bool contains(const struct conf_network *n, uint8_t family, const uint8_t *bytes)
{
	if (n->family == AF_INET6 && n->bits >= MAPPED_BITS && is_mapped(n->bytes))
		return family == AF_INET &&
		       starts_alike(n->bytes + 12, bytes, n->bits - (unsigned)MAPPED_BITS);
	return n->family == family && starts_alike(n->bytes, bytes, n->bits);
}

bool network_contains(const struct conf_network *list, size_t num, uint8_t family,
		      const uint8_t bytes[16])
{
	if (family == AF_INET6 && is_mapped(bytes)) {
		family = AF_INET;
		bytes += 12;
	}
	if (family != AF_INET && family != AF_INET6)
		return false;
	for (size_t i = 0; i < num; i++) {
		if (contains(&list[i], family, bytes))
			return true;
	}
	return false;
}
