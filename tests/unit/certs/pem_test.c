/* PEM text as people and tools write it, and what is wrong with the rest. */
#include "certs/pem.h"

#include <criterion/criterion.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/make_certs.h"

static struct made made;
static char *cert, *key;

static void setup(void)
{
	made = make_cert(&(struct make_options){ .type = MAKE_P256 });
	cert = made_cert_pem(&made);
	key = made_key_pem(&made);
}

static void teardown(void)
{
	made_fini(&made);
	free(cert);
	free(key);
}

TestSuite(pem, .init = setup, .fini = teardown);

/* Joins up to four texts; to be freed. */
static char *join(const char *a, const char *b, const char *c, const char *d)
{
	char *text;

	cr_assert_gt(asprintf(&text, "%s%s%s%s", a, b, c, d), 0);
	return text;
}

/* Reads `text` and frees it; false with `why`. */
static bool take(char *text, struct pem_file *f, char why[256])
{
	bool ok = pem_read(span_str(text), "f.pem", f, why, 256);

	free(text);
	return ok;
}

static void check_good(char *text, size_t certificates, bool with_key)
{
	struct pem_file f;
	char why[256];
	size_t n;
	uint8_t *der = made_cert_der(&made, &n);
	uint8_t *pkcs8;

	cr_assert(take(text, &f, why), "%s", why);
	cr_assert_eq(f.chain.num, certificates);
	for (size_t i = 0; i < certificates; i++)
		cr_assert(span_eq(f.chain.der[i], span_of(der, n)));
	free(der);
	cr_assert_eq(f.key != NULL, with_key);
	if (with_key) {
		pkcs8 = made_key_der(&made, &n);
		cr_assert(span_eq(span_of(f.key, f.key_len), span_of(pkcs8, n)));
		cr_assert_eq(EVP_PKEY_cmp(f.parsed, made.key), 1);
		free(pkcs8);
	}
	pem_file_fini(&f);
}

static void check_bad(char *text, const char *word)
{
	struct pem_file f;
	char why[256] = "";

	cr_assert_not(take(text, &f, why));
	cr_assert(strstr(why, word) != NULL, "\"%s\" lacks \"%s\"", why, word);
}

/* Puts `with` in place of every `what` in `text`; to be freed. */
static char *replace(const char *text, const char *what, const char *with)
{
	char *out = calloc(1, strlen(text) * (1 + strlen(with)) + 1);
	char *to = out;

	while (*text != '\0') {
		if (strncmp(text, what, strlen(what)) == 0) {
			memcpy(to, with, strlen(with));
			to += strlen(with);
			text += strlen(what);
		} else {
			*to++ = *text++;
		}
	}
	return out;
}

static char *write_key(int (*write)(BIO *b, EVP_PKEY *k))
{
	BIO *b = BIO_new(BIO_s_mem());
	const uint8_t *p;
	size_t n;
	char *text;

	cr_assert(write(b, made.key) == 1 && BIO_mem_contents(b, &p, &n));
	text = strndup((const char *)p, n);
	BIO_free(b);
	return text;
}

static int write_ec(BIO *b, EVP_PKEY *k)
{
	return PEM_write_bio_ECPrivateKey(b, EVP_PKEY_get0_EC_KEY(k), NULL, NULL, 0, NULL, NULL);
}

static int write_rsa(BIO *b, EVP_PKEY *k)
{
	return PEM_write_bio_RSAPrivateKey(b, EVP_PKEY_get0_RSA(k), NULL, NULL, 0, NULL, NULL);
}

static int write_rsa_encrypted(BIO *b, EVP_PKEY *k)
{
	return PEM_write_bio_RSAPrivateKey(b, EVP_PKEY_get0_RSA(k), EVP_aes_128_cbc(),
					   (unsigned char *)(uintptr_t) "pass", 4, NULL, NULL);
}

static int write_encrypted(BIO *b, EVP_PKEY *k)
{
	return PEM_write_bio_PKCS8PrivateKey(b, k, EVP_aes_256_cbc(), (char *)(uintptr_t) "pass", 4,
					     NULL, NULL);
}

Test(pem, chain_and_key_in_any_order)
{
	check_good(join(cert, "", "", ""), 1, false);
	check_good(join(cert, cert, key, ""), 2, true);
	check_good(join(key, cert, "", ""), 1, true);
	check_good(strdup(""), 0, false);
}

Test(pem, what_is_around_does_not_matter)
{
	check_good(join("Subject: CN=x\n-----garbage\n", cert, "\n\ntext\n", key), 1, true);
	check_good(join("\xef\xbb\xbf", cert, key, "trailing"), 1, true);
	check_good(join("-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n", cert,
			key, ""),
		   1, true);
}

Test(pem, line_ends_of_all_kinds)
{
	char *both = join(cert, key, "", "");

	check_good(replace(both, "\n", "\r\n"), 1, true);
	check_good(replace(both, "\n", "  \n"), 1, true);
	both[strlen(both) - 1] = '\0';
	check_good(both, 1, true);
}

Test(pem, old_key_forms)
{
	char *ec = write_key(write_ec);

	check_good(join(cert,
			"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
			"-----END EC PARAMETERS-----\n",
			ec, ""),
		   1, true);
	free(ec);
	made_fini(&made);
	free(cert);
	made = make_cert(&(struct make_options){ .type = MAKE_RSA_2048 });
	cert = made_cert_pem(&made);
	ec = write_key(write_rsa);
	check_good(join(ec, cert, "", ""), 1, true);
	free(ec);
	check_bad(write_key(write_rsa_encrypted), "is encrypted; decrypt it with: openssl pkey");
}

Test(pem, encrypted_key_is_refused_with_remedy)
{
	check_bad(write_key(write_encrypted),
		  "is encrypted; decrypt it with: openssl pkey -in f.pem -out f.pem.decrypted");
}

Test(pem, cut_short_is_refused)
{
	char *cut = strdup(cert);

	cut[strlen(cut) - 10] = '\0';
	check_bad(cut, "\"BEGIN CERTIFICATE\" has no \"END CERTIFICATE\"");
	cut = strdup(cert);
	cut[100] = '\0';
	check_bad(join(cut, "\n", key, ""), "cut short");
	free(cut);
	check_bad(replace(cert, "END CERTIFICATE", "END PRIVATE KEY"), "cut short");
	check_bad(strdup("-----BEGIN CERTIFICATE-----"), "cut short");
}

Test(pem, bad_base64_is_refused)
{
	char *text = strdup(cert);

	text[60] = '!';
	check_bad(text, "certificate 1 is not valid base64");
	text = strdup(key);
	text[60] = '!';
	check_bad(text, "private key is not valid base64");
	check_bad(strdup("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"),
		  "not valid base64");
}

Test(pem, damaged_key_is_refused)
{
	check_bad(strdup("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
		  "damaged");
	check_bad(strdup("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"),
		  "damaged");
	check_bad(strdup("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"),
		  "damaged");
	check_bad(strdup("-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n"),
		  "is not supported");
}

Test(pem, two_keys_and_long_chains_are_refused)
{
	char *five = join(cert, cert, cert, cert);

	check_bad(join(key, cert, key, ""), "more than one private key");
	check_good(join(five, five, cert, cert), 10, false);
	check_bad(join(five, five, five, ""), "more than 10 certificates");
	free(five);
}

Test(pem, trusted_certificate_is_refused_with_remedy)
{
	check_bad(replace(cert, "CERTIFICATE", "TRUSTED CERTIFICATE"), "openssl x509");
}

Test(pem, long_file_is_refused)
{
	char *text = malloc(PEM_MAX_FILE + 2);

	memset(text, '\n', PEM_MAX_FILE + 1);
	text[PEM_MAX_FILE + 1] = '\0';
	check_bad(text, "longer than 1 MiB");
}

Test(pem, roots_are_certificates_only)
{
	char *two = join("# comment\n", cert, "", cert);
	char *with_key = join(cert, key, "", "");
	struct pem_list l;
	char why[256];

	cr_assert(pem_read_roots(span_str(two), &l, why, sizeof(why)));
	cr_assert_eq(l.num, 2);
	pem_list_fini(&l);
	cr_assert_not(pem_read_roots(span_str(with_key), &l, why, sizeof(why)));
	cr_assert(strstr(why, "private key") != NULL);
	cr_assert_not(pem_read_roots(span_str("nothing"), &l, why, sizeof(why)));
	cr_assert(strstr(why, "no certificate") != NULL);
	cr_assert_not(pem_read_roots(span_of(two, strlen(two) - 9), &l, why, sizeof(why)));
	free(two);
	free(with_key);
}
