/* Signatures: asked, answered, cancelled, refused; key tables good and bad. */
#include "certs/keys.h"

#include <criterion/criterion.h>
#include <openssl/digest.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "certs/compat.h"
#include "tests/support/make_certs.h"

enum { EC, RSA_KEY, ED, NUM };

static struct made made[NUM];
static struct key_table *table;
static char *bytes;
static size_t len;
static struct keys *keys;

static void setup(void)
{
	static const enum make_key types[NUM] = { MAKE_P256, MAKE_RSA_2048, MAKE_ED25519 };

	table = key_table_new();
	for (uint32_t i = 0; i < NUM; i++) {
		uint32_t number;
		size_t n;
		uint8_t *der;

		made[i] = make_cert(&(struct make_options){ .type = types[i] });
		der = made_key_der(&made[i], &n);
		cr_assert(key_table_add(table, span_of(der, n), &number));
		cr_assert_eq(number, i);
		cr_assert(key_table_add(table, span_of(der, n), &number));
		cr_assert_eq(number, i, "equal keys share a number");
		free(der);
	}
	len = key_table_size(table);
	bytes = malloc(len);
	key_table_write(table, bytes);
	keys = keys_new();
	cr_assert(keys_adopt(keys, 3, span_of(bytes, len)));
}

static void teardown(void)
{
	keys_free(keys);
	key_table_free(table);
	free(bytes);
	for (int i = 0; i < NUM; i++)
		made_fini(&made[i]);
}

TestSuite(keys, .init = setup, .fini = teardown);

struct answer {
	int num;
	size_t n;
	uint8_t signature[KEYS_MAX_SIGNATURE];
};

static void take(void *owner, struct span signature)
{
	struct answer *a = owner;

	a->num++;
	a->n = signature.n;
	memcpy(a->signature, signature.p, signature.n);
}

static bool was_shed;

static void take_shed(void *owner, struct span signature)
{
	was_shed = keys_is_shedding(keys) && signature.n == 0;
	take(owner, signature);
}

static struct keys_job *ask(uint32_t load, uint32_t key, uint16_t algorithm, struct answer *a)
{
	*a = (struct answer){ 0 };
	return keys_sign(keys, (struct key_id){ load, key }, algorithm, span_str("message"), take,
			 a);
}

static bool verifies(const struct answer *a, EVP_PKEY *key, const EVP_MD *md, bool pss)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx;
	bool ok = EVP_DigestVerifyInit(ctx, &pctx, md, NULL, key) &&
		  (!pss || (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) &&
			    EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, -1))) &&
		  EVP_DigestVerify(ctx, a->signature, a->n, (const uint8_t *)"message", 7);

	EVP_MD_CTX_free(ctx);
	return ok;
}

Test(keys, every_algorithm_signs_what_verifies)
{
	const struct {
		uint16_t algorithm;
		int key;
		const EVP_MD *md;
		bool pss;
	} all[] = {
		{ SSL_SIGN_ECDSA_SECP256R1_SHA256, EC, EVP_sha256(), false },
		{ SSL_SIGN_ECDSA_SECP384R1_SHA384, EC, EVP_sha384(), false },
		{ SSL_SIGN_ECDSA_SECP521R1_SHA512, EC, EVP_sha512(), false },
		{ SSL_SIGN_ED25519, ED, NULL, false },
		{ SSL_SIGN_RSA_PSS_RSAE_SHA256, RSA_KEY, EVP_sha256(), true },
		{ SSL_SIGN_RSA_PSS_RSAE_SHA384, RSA_KEY, EVP_sha384(), true },
		{ SSL_SIGN_RSA_PSS_RSAE_SHA512, RSA_KEY, EVP_sha512(), true },
		{ SSL_SIGN_RSA_PKCS1_SHA256, RSA_KEY, EVP_sha256(), false },
		{ SSL_SIGN_RSA_PKCS1_SHA384, RSA_KEY, EVP_sha384(), false },
		{ SSL_SIGN_RSA_PKCS1_SHA512, RSA_KEY, EVP_sha512(), false },
	};
	struct answer a;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		cr_assert_not_null(ask(3, (uint32_t)all[i].key, all[i].algorithm, &a));
		cr_assert_eq(a.num, 0, "never from within keys_sign");
		keys_run(keys, 1);
		cr_assert_eq(a.num, 1);
		cr_assert(verifies(&a, made[all[i].key].key, all[i].md, all[i].pss), "%x",
			  all[i].algorithm);
	}
}

Test(keys, what_does_not_fit_is_answered_empty)
{
	static const struct {
		uint32_t load, key;
		uint16_t algorithm;
	} all[] = {
		{ 3, EC, SSL_SIGN_RSA_PSS_RSAE_SHA256 },
		{ 3, EC, SSL_SIGN_ED25519 },
		{ 3, RSA_KEY, SSL_SIGN_ECDSA_SECP256R1_SHA256 },
		{ 3, EC, SSL_SIGN_ECDSA_SHA1 },
		{ 3, RSA_KEY, SSL_SIGN_RSA_PKCS1_SHA1 },
		{ 3, EC, 0 },
		{ 3, NUM, SSL_SIGN_ED25519 },
		{ 4, ED, SSL_SIGN_ED25519 },
		{ 3, UINT32_MAX, SSL_SIGN_ED25519 },
	};
	struct answer a;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		cr_assert_not_null(ask(all[i].load, all[i].key, all[i].algorithm, &a));
		keys_run(keys, 9);
		cr_assert(a.num == 1 && a.n == 0, "case %zu", i);
		cr_assert_eq(ERR_peek_error(), 0);
	}
}

Test(keys, oldest_first_and_no_more_than_asked)
{
	struct answer a[3];

	for (int i = 0; i < 3; i++)
		(void)ask(3, ED, SSL_SIGN_ED25519, &a[i]);
	cr_assert_eq(keys_waiting(keys), 3);
	keys_run(keys, 2);
	cr_assert(a[0].num == 1 && a[1].num == 1 && a[2].num == 0);
	cr_assert_eq(keys_waiting(keys), 1);
	keys_run(keys, 0);
	cr_assert_eq(a[2].num, 0);
	keys_run(keys, 2);
	cr_assert_eq(a[2].num, 1);
}

Test(keys, cancelled_is_never_answered)
{
	struct answer a;
	struct answer b;
	struct keys_job *job = ask(3, ED, SSL_SIGN_ED25519, &a);

	(void)ask(3, ED, SSL_SIGN_ED25519, &b);
	keys_cancel(job);
	keys_cancel(NULL);
	cr_assert_eq(keys_waiting(keys), 1);
	keys_run(keys, 9);
	cr_assert(a.num == 0 && b.num == 1);
}

Test(keys, waiting_jobs_go_with_the_signer)
{
	struct answer a;

	(void)ask(3, ED, SSL_SIGN_ED25519, &a);
	keys_free(keys);
	keys = NULL;
	cr_assert_eq(a.num, 0);
}

Test(keys, loads_come_and_go)
{
	struct answer a;

	cr_assert_not(keys_adopt(keys, 3, span_of(bytes, len)), "known already");
	cr_assert(keys_adopt(keys, 4, span_of(bytes, len)));
	(void)ask(3, ED, SSL_SIGN_ED25519, &a);
	keys_retire(keys, 3);
	keys_retire(keys, 99);
	keys_run(keys, 1);
	cr_assert(a.num == 1 && a.n == 0);
	(void)ask(4, ED, SSL_SIGN_ED25519, &a);
	keys_run(keys, 1);
	cr_assert_eq(a.n, 64);
}

Test(keys, long_message_is_refused)
{
	char *text = calloc(1, KEYS_MAX_MESSAGE + 1);
	struct answer a = { 0 };
	struct key_id id = { 3, ED };

	cr_assert_null(keys_sign(keys, id, SSL_SIGN_ED25519, span_of(text, KEYS_MAX_MESSAGE + 1),
				 take, &a));
	cr_assert_not_null(
		keys_sign(keys, id, SSL_SIGN_ED25519, span_of(text, KEYS_MAX_MESSAGE), take, &a));
	keys_run(keys, 1);
	cr_assert_eq(a.n, 64);
	free(text);
}

Test(keys, foreign_table_is_refused)
{
	cr_assert_not(keys_adopt(keys, 9, span_of(bytes, 0)));
	cr_assert_not(keys_adopt(keys, 9, span_of(bytes, 15)));
	cr_assert_not(keys_adopt(keys, 9, span_of(bytes, len - 1)));
	bytes[0] ^= 1;
	cr_assert_not(keys_adopt(keys, 9, span_of(bytes, len)));
}

/* Offsets and lengths with other values: no signature perhaps, but nothing is read outside. */
Test(keys, damaged_table_is_harmless)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0xff };
	char *copy = malloc(len);
	struct answer a;

	for (size_t at = 8; at < 40; at++) {
		for (size_t v = 0; v < sizeof(values); v++) {
			memcpy(copy, bytes, len);
			copy[at] = (char)values[v];
			if (!keys_adopt(keys, 9, span_of(copy, len)))
				continue;
			for (uint32_t k = 0; k < NUM; k++)
				(void)ask(9, k, SSL_SIGN_ED25519, &a);
			keys_run(keys, NUM);
			keys_retire(keys, 9);
		}
	}
	free(copy);
}

/* ---- too many of them */

static struct answer crowd[KEYS_SHED_PAST + 4];

static void ask_crowd(unsigned num, int64_t deadline_ns)
{
	for (unsigned i = 0; i < num; i++) {
		struct keys_job *job;

		crowd[i] = (struct answer){ 0 };
		job = keys_sign(keys, (struct key_id){ 1, 0 },
				i % 2 == 0 ? SSL_SIGN_RSA_PSS_RSAE_SHA256
					   : SSL_SIGN_ECDSA_SECP256R1_SHA256,
				span_str("message"), take_shed, &crowd[i]);
		cr_assert_not_null(job);
		/* The older, the sooner. */
		keys_set_deadline(job, deadline_ns + i);
	}
}

Test(keys, what_cannot_finish_any_more_is_shed_where_many_wait)
{
	enum { OVER = 3, NOW = 1000 };

	ask_crowd(KEYS_SHED_PAST, NOW + 5);
	cr_assert_eq(keys_shed(keys, NOW), 0, "not past the bound");
	keys_free(keys);
	keys = keys_new();
	ask_crowd(KEYS_SHED_PAST + OVER, NOW + KEYS_TO_FINISH_NS);
	cr_assert_eq(keys_shed(keys, NOW), 0, "they can still finish");
	cr_assert_eq(keys_shed(keys, NOW + 2), 2, "two cannot");
	cr_assert(was_shed);
	cr_assert_not(keys_is_shedding(keys));
	/* The oldest of either class. */
	for (unsigned n = 0; n < 4; n++)
		cr_assert_eq(crowd[n].num, n < 2, "%u", n);
	cr_assert_eq(keys_waiting(keys), KEYS_SHED_PAST + OVER - 2);
	/* Down to the bound, and no further. */
	cr_assert_eq(keys_shed(keys, NOW + KEYS_TO_FINISH_NS), 1);
	cr_assert_eq(keys_waiting(keys), KEYS_SHED_PAST);
	cr_assert_eq(keys_shed(keys, NOW + KEYS_TO_FINISH_NS), 0);
}
