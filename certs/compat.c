#include "certs/compat.h"

#include <string.h>

#define STRING_OF(x) #x
#define STRING(x) STRING_OF(x)

struct group {
	const char *name;
	uint16_t id;
};

/* What may be configured. P-224 and drafts of post-quantum groups are left out on purpose. */
static const struct group groups[] = {
	{ "X25519MLKEM768", 0x11ec },
	{ "SecP256r1MLKEM768", 0x11eb },
	{ "SecP384r1MLKEM1024", 0x11ed },
	{ "X25519", 0x001d },
	{ "P-256", 0x0017 },
	{ "P-384", 0x0018 },
	{ "P-521", 0x0019 },
};

enum { NUM_GROUPS = sizeof(groups) / sizeof(groups[0]) };

_Static_assert((int)NUM_GROUPS <= (int)COMPAT_MAX_GROUPS, "raise COMPAT_MAX_GROUPS");

void compat_warm_up(void)
{
	uint8_t byte;

	(void)RAND_bytes(&byte, sizeof(byte)); /* never fails */
}

const char *compat_library(void)
{
	return COMPAT_LIBRARY ", API " STRING(COMPAT_API);
}

/* The library knows by itself what it has: a list with an unknown name is refused. */
static bool group_usable(SSL_CTX *ctx, const struct group *g)
{
	bool usable = SSL_CTX_set1_curves_list(ctx, g->name) == 1;

	ERR_clear_error();
	return usable;
}

uint16_t compat_group_id(const char *name)
{
	SSL_CTX *ctx;
	uint16_t id = 0;

	for (size_t i = 0; i < NUM_GROUPS; i++) {
		if (strcmp(groups[i].name, name) != 0)
			continue;
		if ((ctx = SSL_CTX_new(TLS_with_buffers_method())) == NULL)
			return 0;
		if (group_usable(ctx, &groups[i]))
			id = groups[i].id;
		SSL_CTX_free(ctx);
		break;
	}
	return id;
}

const char *compat_group_name(uint16_t id)
{
	for (size_t i = 0; i < NUM_GROUPS; i++) {
		if (groups[i].id == id)
			return groups[i].name;
	}
	return NULL;
}

const char *compat_ssl_group(const SSL *ssl)
{
	return compat_group_name(compat_ssl_group_id(ssl));
}

size_t compat_groups(const char *out[COMPAT_MAX_GROUPS])
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_with_buffers_method());
	size_t n = 0;

	if (ctx == NULL)
		return 0;
	for (size_t i = 0; i < NUM_GROUPS; i++) {
		if (group_usable(ctx, &groups[i]))
			out[n++] = groups[i].name;
	}
	SSL_CTX_free(ctx);
	return n;
}
