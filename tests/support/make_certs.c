#include "tests/support/make_certs.h"

#include <ftw.h>
#include <openssl/bio.h>
#include <openssl/bytestring.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "conf/must.h"

static EVP_PKEY *make_ec(int nid)
{
	EC_KEY *ec = EC_KEY_new_by_curve_name(nid);
	EVP_PKEY *key = EVP_PKEY_new();

	MUST(ec != NULL && key != NULL && EC_KEY_generate_key(ec) && EVP_PKEY_set1_EC_KEY(key, ec));
	EC_KEY_free(ec);
	return key;
}

static EVP_PKEY *make_rsa(int bits)
{
	RSA *rsa = RSA_new();
	BIGNUM *e = BN_new();
	EVP_PKEY *key = EVP_PKEY_new();

	MUST(rsa != NULL && e != NULL && key != NULL && BN_set_word(e, RSA_F4) &&
	     RSA_generate_key_ex(rsa, bits, e, NULL) && EVP_PKEY_set1_RSA(key, rsa));
	BN_free(e);
	RSA_free(rsa);
	return key;
}

static EVP_PKEY *make_ed25519(void)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, NULL);
	EVP_PKEY *key = NULL;

	MUST(ctx != NULL && EVP_PKEY_keygen_init(ctx) && EVP_PKEY_keygen(ctx, &key));
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static EVP_PKEY *make_key(enum make_key type)
{
	switch (type) {
	case MAKE_P256:
		return make_ec(NID_X9_62_prime256v1);
	case MAKE_P384:
		return make_ec(NID_secp384r1);
	case MAKE_P521:
		return make_ec(NID_secp521r1);
	case MAKE_P224:
		return make_ec(NID_secp224r1);
	case MAKE_RSA_1024:
		return make_rsa(1024);
	case MAKE_RSA_2048:
		return make_rsa(2048);
	case MAKE_ED25519:
	default:
		return make_ed25519();
	}
}

static void add_extension(X509 *x, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;

	X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
	e = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
	MUST(e != NULL && X509_add_ext(x, e, -1));
	X509_EXTENSION_free(e);
}

static const EVP_MD *digest_of(const EVP_PKEY *key)
{
	return EVP_PKEY_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
}

struct made make_cert(const struct make_options *o)
{
	struct made m = { .key = o->key == NULL ? make_key(o->type) : o->key, .cert = X509_new() };
	const struct made *issuer = o->issuer == NULL ? &m : o->issuer;
	bool dated = o->starts_s != 0 || o->ends_s != 0;
	const char *cn = o->cn == NULL ? "test" : o->cn;
	X509_NAME *name = X509_NAME_new();
	static long serial;

	if (o->key != NULL)
		MUST(EVP_PKEY_up_ref(o->key));
	MUST(m.cert != NULL && name != NULL && X509_set_version(m.cert, 2) &&
	     ASN1_INTEGER_set(X509_get_serialNumber(m.cert), ++serial + (long)time(NULL) * 1000) &&
	     X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const uint8_t *)cn,
					-1, -1, 0) &&
	     X509_set_subject_name(m.cert, name) && X509_set_pubkey(m.cert, m.key) &&
	     X509_set_issuer_name(m.cert, X509_get_subject_name(issuer->cert)) &&
	     X509_gmtime_adj(X509_getm_notBefore(m.cert), dated ? o->starts_s : -3600) &&
	     X509_gmtime_adj(X509_getm_notAfter(m.cert), dated ? o->ends_s : 30L * 86400));
	X509_NAME_free(name);
	if (o->ca) {
		add_extension(m.cert, NID_basic_constraints, "critical,CA:TRUE");
		add_extension(m.cert, NID_key_usage, "critical,keyCertSign,digitalSignature");
	}
	if (o->san != NULL)
		add_extension(m.cert, NID_subject_alt_name, o->san);
	if (o->key_usage != NULL)
		add_extension(m.cert, NID_key_usage, o->key_usage);
	if (o->usage != NULL)
		add_extension(m.cert, NID_ext_key_usage, o->usage);
	MUST(X509_sign(m.cert, issuer->key, digest_of(issuer->key)) > 0);
	return m;
}

void made_fini(struct made *m)
{
	EVP_PKEY_free(m->key);
	X509_free(m->cert);
	*m = (struct made){ 0 };
}

static char *bio_text(BIO *b)
{
	const uint8_t *p;
	size_t n;
	char *text;

	MUST(BIO_mem_contents(b, &p, &n) && (text = malloc(n + 1)) != NULL);
	memcpy(text, p, n);
	text[n] = '\0';
	BIO_free(b);
	return text;
}

char *made_cert_pem(const struct made *m)
{
	BIO *b = BIO_new(BIO_s_mem());

	MUST(b != NULL && PEM_write_bio_X509(b, m->cert));
	return bio_text(b);
}

char *made_key_pem(const struct made *m)
{
	BIO *b = BIO_new(BIO_s_mem());

	MUST(b != NULL && PEM_write_bio_PKCS8PrivateKey(b, m->key, NULL, NULL, 0, NULL, NULL));
	return bio_text(b);
}

uint8_t *made_cert_der(const struct made *m, size_t *len)
{
	uint8_t *library_owned = NULL;
	int n = i2d_X509(m->cert, &library_owned);
	uint8_t *der;

	MUST(n > 0 && (der = malloc((size_t)n)) != NULL);
	memcpy(der, library_owned, (size_t)n);
	OPENSSL_free(library_owned);
	*len = (size_t)n;
	return der;
}

uint8_t *made_key_der(const struct made *m, size_t *len)
{
	uint8_t *library_owned;
	uint8_t *der;
	CBB cbb;

	MUST(CBB_init(&cbb, 256) && EVP_marshal_private_key(&cbb, m->key) &&
	     CBB_finish(&cbb, &library_owned, len) && (der = malloc(*len)) != NULL);
	memcpy(der, library_owned, *len);
	OPENSSL_free(library_owned);
	return der;
}

char *make_file(const char *folder, const char *name, ...)
{
	char *path;
	const char *part;
	va_list parts;
	FILE *f;

	MUST(asprintf(&path, "%s/%s", folder, name) > 0);
	f = fopen(path, "w");
	MUST(f != NULL && fchmod(fileno(f), 0600) == 0);
	va_start(parts, name);
	while ((part = va_arg(parts, const char *)) != NULL)
		MUST(fputs(part, f) >= 0);
	va_end(parts);
	MUST(fclose(f) == 0);
	return path;
}

char *make_folder(void)
{
	const char *tmp = getenv("TMPDIR");
	char *path;

	MUST(asprintf(&path, "%s/sallyport-test-XXXXXX", tmp == NULL ? "/tmp" : tmp) > 0);
	MUST(mkdtemp(path) != NULL);
	return path;
}

static int drop_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

void drop_folder(char *path)
{
	(void)nftw(path, drop_one, 16, FTW_DEPTH | FTW_PHYS);
	free(path);
}
