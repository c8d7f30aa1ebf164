#include "proxy/pool/sticky.h"

#include <openssl/base64.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

enum { ID = 8, MAC = 16, RAW = ID + MAC };

/* One server's, with the NUL that the encoder writes. */
struct token {
	char text[STICKY_TOKEN + 1];
};

struct sticky {
	uint32_t num;
	struct token tokens[];
};

/* Another pool's token for a server of the same name is not ours. */
static bool make_key(const struct conf_pool *pool, struct span secret,
		     uint8_t key[SHA256_DIGEST_LENGTH])
{
	return HMAC(EVP_sha256(), secret.p, secret.n, (const uint8_t *)pool->name,
		    strlen(pool->name), key, NULL) != NULL;
}

static bool make_token(const char *name, const uint8_t key[SHA256_DIGEST_LENGTH], struct token *out)
{
	uint8_t digest[SHA256_DIGEST_LENGTH], raw[RAW];

	(void)SHA256((const uint8_t *)name, strlen(name), digest);
	memcpy(raw, digest, ID);
	if (HMAC(EVP_sha256(), key, SHA256_DIGEST_LENGTH, (const uint8_t *)name, strlen(name),
		 digest, NULL) == NULL)
		return false;
	memcpy(raw + ID, digest, MAC);
	return EVP_EncodeBlock((uint8_t *)out->text, raw, RAW) == STICKY_TOKEN;
}

struct sticky *sticky_new(const struct conf_pool *pool, struct span secret)
{
	struct sticky *s = calloc(1, sizeof(*s) + pool->num_servers * sizeof(s->tokens[0]));
	uint8_t key[SHA256_DIGEST_LENGTH];
	bool ok = s != NULL && make_key(pool, secret, key);

	for (size_t i = 0; ok && i < pool->num_servers; i++)
		ok = make_token(pool->servers[i].name, key, &s->tokens[s->num++]);
	OPENSSL_cleanse(key, sizeof(key));
	if (ok)
		return s;
	free(s);
	return NULL;
}

void sticky_free(struct sticky *s)
{
	free(s);
}

struct span sticky_token(const struct sticky *s, uint32_t place)
{
	return span_of(s->tokens[place].text, STICKY_TOKEN);
}

bool sticky_find(const struct sticky *s, struct span token, uint32_t *place)
{
	if (token.n != STICKY_TOKEN)
		return false;
	for (uint32_t i = 0; i < s->num; i++) {
		/* Its identity anybody may find out; of the signature nothing shows. */
		if (memcmp(s->tokens[i].text, token.p, ID) != 0)
			continue;
		if (CRYPTO_memcmp(s->tokens[i].text, token.p, STICKY_TOKEN) != 0)
			continue;
		*place = i;
		return true;
	}
	return false;
}
