#include "certs/tickets.h"

#include <openssl/aead.h>
#include <stdlib.h>
#include <string.h>

#include "certs/compat.h"
#include "conf/must.h"

/* A ticket: name of the key (16) | nonce (12) | ciphertext | tag (16). */
enum {
	TICKETS_MAGIC = 0x7469636b,
	NAME_LEN = 16,
	NONCE_LEN = 12,
	TAG_LEN = 16,
	HEAD_LEN = NAME_LEN + NONCE_LEN,
};

struct key {
	uint8_t name[NAME_LEN];
	EVP_AEAD_CTX aead;
};

struct tickets {
	unsigned magic;
	size_t num;
	struct key keys[TICKETS_KEYS]; /* newest first */
};

struct tickets *tickets_new(void)
{
	struct tickets *t = calloc(1, sizeof(*t));

	if (t != NULL)
		t->magic = TICKETS_MAGIC;
	return t;
}

static void tickets_drop(struct tickets *t)
{
	for (size_t i = 0; i < t->num; i++)
		EVP_AEAD_CTX_cleanup(&t->keys[i].aead);
	OPENSSL_cleanse(t->keys, sizeof(t->keys));
	t->num = 0;
}

void tickets_free(struct tickets *t)
{
	if (t == NULL)
		return;
	CHECK(t, TICKETS_MAGIC);
	tickets_drop(t);
	t->magic = 0;
	free(t);
}

void tickets_set(struct tickets *t, const struct ticket_key *keys, size_t num)
{
	CHECK(t, TICKETS_MAGIC);
	MUST(num >= 1 && num <= TICKETS_KEYS);
	tickets_drop(t);
	for (size_t i = 0; i < num; i++) {
		struct key *k = &t->keys[t->num];

		memcpy(k->name, keys[i].name, NAME_LEN);
		EVP_AEAD_CTX_zero(&k->aead);
		/* Where memory is short this key seals and opens nothing. */
		if (EVP_AEAD_CTX_init(&k->aead, EVP_aead_aes_256_gcm(), keys[i].secret,
				      sizeof(keys[i].secret), TAG_LEN, NULL))
			t->num++;
	}
	ERR_clear_error();
}

bool tickets_ready(const struct tickets *t)
{
	CHECK(t, TICKETS_MAGIC);
	return t->num > 0;
}

static const struct tickets *tickets_of(const SSL *ssl)
{
	const struct tickets *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	CHECK(t, TICKETS_MAGIC);
	return t;
}

static size_t tickets_overhead(SSL *ssl)
{
	(void)ssl;
	return HEAD_LEN + TAG_LEN;
}

/* The library allows `in` and `out` to be one; they never are when sealing, since the head moves
 * the text. memmove and the AEAD's in-place form keep it right all the same. */
static int tickets_seal(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out_len,
			const uint8_t *in, size_t in_len)
{
	const struct tickets *t = tickets_of(ssl);
	const struct key *k = &t->keys[0];
	uint8_t nonce[NONCE_LEN];
	size_t len;

	if (t->num == 0 || max_out_len < HEAD_LEN + TAG_LEN + in_len)
		return 0;
	if (!RAND_bytes(nonce, sizeof(nonce)))
		return 0;
	memmove(out + HEAD_LEN, in, in_len);
	memcpy(out, k->name, NAME_LEN);
	memcpy(out + NAME_LEN, nonce, NONCE_LEN);
	if (!EVP_AEAD_CTX_seal(&k->aead, out + HEAD_LEN, &len, max_out_len - HEAD_LEN, nonce,
			       NONCE_LEN, out + HEAD_LEN, in_len, k->name, NAME_LEN))
		return 0;
	*out_len = HEAD_LEN + len;
	return 1;
}

/* Whatever is wrong with a ticket, the answer is a full handshake (RFC 5077 3.1). */
static enum ssl_ticket_aead_result_t tickets_open(SSL *ssl, uint8_t *out, size_t *out_len,
						  size_t max_out_len, const uint8_t *in,
						  size_t in_len)
{
	const struct tickets *t = tickets_of(ssl);
	uint8_t head[HEAD_LEN];

	if (in_len < HEAD_LEN + TAG_LEN)
		return ssl_ticket_aead_ignore_ticket;
	memcpy(head, in, HEAD_LEN);
	for (size_t i = 0; i < t->num; i++) {
		const struct key *k = &t->keys[i];

		if (memcmp(head, k->name, NAME_LEN) != 0)
			continue;
		memmove(out, in + HEAD_LEN, in_len - HEAD_LEN);
		if (EVP_AEAD_CTX_open(&k->aead, out, out_len, max_out_len, head + NAME_LEN,
				      NONCE_LEN, out, in_len - HEAD_LEN, k->name, NAME_LEN))
			return ssl_ticket_aead_success;
		break;
	}
	ERR_clear_error();
	return ssl_ticket_aead_ignore_ticket;
}

static const SSL_TICKET_AEAD_METHOD tickets_method = {
	.max_overhead = tickets_overhead,
	.seal = tickets_seal,
	.open = tickets_open,
};

bool tickets_install(struct tickets *t, SSL_CTX *ctx)
{
	CHECK(t, TICKETS_MAGIC);
	if (!SSL_CTX_set_app_data(ctx, t))
		return false;
	SSL_CTX_set_ticket_aead_method(ctx, &tickets_method);
	return true;
}
