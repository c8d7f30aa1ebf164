#include "certs/key_store.h"

#include <openssl/digest.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "certs/compat.h"
#include "certs/key_layout.h"
#include "certs/lazy.h"
#include "conf/must.h"

enum { KEY_STORE_MAGIC = 0x6b73746f };

/* One generation of keys. There are two or three at a time: the current one, and those that last
 * handshakes still use. */
struct load {
	LIST_ENTRY(load) link;
	uint32_t number;
	uint32_t num_keys;
	struct span table;
	struct lazy *parsed; /* EVP_PKEY of each key that was used */
};

struct key_store {
	unsigned magic;
	pthread_mutex_t lock; /* of the list and what is parsed; not held to sign */
	LIST_HEAD(, load) loads;
};

/* How TLS names an algorithm, and what the library wants for it. SHA-1 is left out on purpose. */
struct algorithm {
	uint16_t id;
	int type; /* EVP_PKEY_* */
	const EVP_MD *(*digest)(void);
	bool pss;
};

static const struct algorithm algorithms[] = {
	{ SSL_SIGN_ECDSA_SECP256R1_SHA256, EVP_PKEY_EC, EVP_sha256, false },
	{ SSL_SIGN_ECDSA_SECP384R1_SHA384, EVP_PKEY_EC, EVP_sha384, false },
	{ SSL_SIGN_ECDSA_SECP521R1_SHA512, EVP_PKEY_EC, EVP_sha512, false },
	{ SSL_SIGN_ED25519, EVP_PKEY_ED25519, NULL, false },
	{ SSL_SIGN_RSA_PSS_RSAE_SHA256, EVP_PKEY_RSA, EVP_sha256, true },
	{ SSL_SIGN_RSA_PSS_RSAE_SHA384, EVP_PKEY_RSA, EVP_sha384, true },
	{ SSL_SIGN_RSA_PSS_RSAE_SHA512, EVP_PKEY_RSA, EVP_sha512, true },
	{ SSL_SIGN_RSA_PKCS1_SHA256, EVP_PKEY_RSA, EVP_sha256, false },
	{ SSL_SIGN_RSA_PKCS1_SHA384, EVP_PKEY_RSA, EVP_sha384, false },
	{ SSL_SIGN_RSA_PKCS1_SHA512, EVP_PKEY_RSA, EVP_sha512, false },
};

static const struct algorithm *find_algorithm(uint16_t id)
{
	for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
		if (algorithms[i].id == id)
			return &algorithms[i];
	}
	return NULL;
}

/* ---- loads */

struct key_store *key_store_new(void)
{
	struct key_store *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	if (pthread_mutex_init(&s->lock, NULL) != 0) {
		free(s);
		return NULL;
	}
	s->magic = KEY_STORE_MAGIC;
	LIST_INIT(&s->loads);
	return s;
}

static void key_drop(void *entry)
{
	EVP_PKEY_free(entry); /* the library wipes what it frees */
}

static void load_free(struct load *l)
{
	if (l == NULL)
		return;
	lazy_free(l->parsed, key_drop);
	free(l);
}

void key_store_free(struct key_store *s)
{
	struct load *l;

	if (s == NULL)
		return;
	CHECK(s, KEY_STORE_MAGIC);
	while ((l = LIST_FIRST(&s->loads)) != NULL) {
		LIST_REMOVE(l, link);
		load_free(l);
	}
	(void)pthread_mutex_destroy(&s->lock);
	s->magic = 0;
	free(s);
}

static struct load *find_load(const struct key_store *s, uint32_t number)
{
	struct load *l;

	LIST_FOREACH(l, &s->loads, link) {
		if (l->number == number)
			return l;
	}
	return NULL;
}

static struct load *load_new(uint32_t number, struct span table)
{
	struct key_table_head head;
	struct load *l;

	if (table.n < sizeof(head))
		return NULL;
	memcpy(&head, table.p, sizeof(head));
	if (head.magic != KEY_TABLE_MAGIC || head.len != table.n ||
	    (head.num + UINT64_C(1)) * sizeof(uint32_t) + head.num > table.n - sizeof(head))
		return NULL;
	if ((l = calloc(1, sizeof(*l))) == NULL)
		return NULL;
	*l = (struct load){ .number = number, .num_keys = head.num, .table = table };
	if ((l->parsed = lazy_new(head.num)) == NULL) {
		load_free(l);
		return NULL;
	}
	return l;
}

bool key_store_adopt(struct key_store *s, uint32_t load, struct span table)
{
	struct load *l;
	bool known;

	CHECK(s, KEY_STORE_MAGIC);
	if ((l = load_new(load, table)) == NULL)
		return false;
	MUST(pthread_mutex_lock(&s->lock) == 0);
	known = find_load(s, load) != NULL;
	if (!known)
		LIST_INSERT_HEAD(&s->loads, l, link);
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	if (known)
		load_free(l);
	return !known;
}

void key_store_retire(struct key_store *s, uint32_t load)
{
	struct load *l;

	CHECK(s, KEY_STORE_MAGIC);
	MUST(pthread_mutex_lock(&s->lock) == 0);
	if ((l = find_load(s, load)) != NULL)
		LIST_REMOVE(l, link);
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	load_free(l);
}

/* Finds the bytes of a key; an empty span where the table has no such key or is damaged. */
static struct span load_der(const struct load *l, uint32_t number)
{
	const char *offsets = l->table.p + sizeof(struct key_table_head);
	uint32_t at[2];

	if (number >= l->num_keys)
		return span_of(NULL, 0);
	memcpy(at, offsets + (size_t)number * sizeof(at[0]), sizeof(at));
	if (at[0] > at[1] || at[1] > l->table.n)
		return span_of(NULL, 0);
	return span_of(l->table.p + at[0], at[1] - at[0]);
}

/* Returns a reference to the parsed key; NULL where it is gone or unusable. */
static EVP_PKEY *take_key(struct key_store *s, struct key_id id)
{
	EVP_PKEY *key = NULL;
	struct load *l;
	void **place;
	CBS cbs;

	MUST(pthread_mutex_lock(&s->lock) == 0);
	l = find_load(s, id.load);
	place = l == NULL ? NULL : lazy_at(l->parsed, id.number);
	if (place != NULL && *place == NULL) {
		struct span der = load_der(l, id.number);

		CBS_init(&cbs, (const uint8_t *)der.p, der.n);
		*place = EVP_parse_private_key(&cbs);
	}
	if (place != NULL && *place != NULL) {
		key = *place;
		(void)EVP_PKEY_up_ref(key);
	}
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	return key;
}

unsigned key_store_roles(struct key_store *s, struct key_id id)
{
	unsigned roles = 0;
	struct load *l;

	CHECK(s, KEY_STORE_MAGIC);
	MUST(pthread_mutex_lock(&s->lock) == 0);
	if ((l = find_load(s, id.load)) != NULL && id.number < l->num_keys)
		roles = (uint8_t)l->table
				.p[sizeof(struct key_table_head) +
				   (l->num_keys + (size_t)1) * sizeof(uint32_t) + id.number];
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	return roles;
}

/* ---- signing */

static bool set_padding(const struct algorithm *a, EVP_PKEY_CTX *pctx)
{
	return !a->pss || (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) &&
			   EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, -1));
}

static size_t sign_by(const struct algorithm *a, EVP_PKEY *key, struct span message, uint8_t *out)
{
	size_t len = KEYS_MAX_SIGNATURE;
	EVP_PKEY_CTX *pctx;
	EVP_MD_CTX ctx;
	bool ok;

	EVP_MD_CTX_init(&ctx);
	ok = EVP_DigestSignInit(&ctx, &pctx, a->digest == NULL ? NULL : a->digest(), NULL, key) &&
	     set_padding(a, pctx) &&
	     EVP_DigestSign(&ctx, out, &len, (const uint8_t *)message.p, message.n);
	(void)EVP_MD_CTX_cleanup(&ctx);
	return ok ? len : 0;
}

static bool verifies(const struct algorithm *a, EVP_PKEY *key, struct span message,
		     const uint8_t *signature, size_t len)
{
	EVP_PKEY_CTX *pctx;
	EVP_MD_CTX ctx;
	bool ok;

	EVP_MD_CTX_init(&ctx);
	ok = EVP_DigestVerifyInit(&ctx, &pctx, a->digest == NULL ? NULL : a->digest(), NULL, key) &&
	     set_padding(a, pctx) &&
	     EVP_DigestVerify(&ctx, signature, len, (const uint8_t *)message.p, message.n);
	(void)EVP_MD_CTX_cleanup(&ctx);
	return ok;
}

size_t key_store_sign(struct key_store *s, struct key_id id, uint16_t algorithm,
		      struct span message, uint8_t *out)
{
	const struct algorithm *a = find_algorithm(algorithm);
	EVP_PKEY *key = a == NULL ? NULL : take_key(s, id);
	size_t len = 0;

	CHECK(s, KEY_STORE_MAGIC);
	if (key == NULL)
		return 0;
	if (EVP_PKEY_id(key) == a->type)
		len = sign_by(a, key, message, out);
	/* One of ECDSA that went wrong does not give the key away as RSA's does, and to verify it
	 * costs more than twice what it cost to make. */
	if (len > 0 && a->type != EVP_PKEY_EC && !verifies(a, key, message, out, len)) {
		OPENSSL_cleanse(out, len);
		len = 0;
	}
	EVP_PKEY_free(key);
	ERR_clear_error();
	return len;
}
