#include "proxy/demo/certificate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "certs/compat.h"

#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

enum { DEMO_BEFORE_S = 3600, DEMO_AFTER_S = 30 * 24 * 3600 };

static EVP_PKEY *demo_key(void)
{
	EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
	EVP_PKEY *key = EVP_PKEY_new();

	if (ec != NULL && key != NULL && EC_KEY_generate_key(ec) == 1 &&
	    EVP_PKEY_set1_EC_KEY(key, ec) == 1) {
		EC_KEY_free(ec);
		return key;
	}
	EC_KEY_free(ec);
	EVP_PKEY_free(key);
	return NULL;
}

/* Adds a DNS name or IP address to `names`. */
static bool demo_name(GENERAL_NAMES *names, const char *host)
{
	unsigned char bytes[sizeof(struct in6_addr)];
	int type = GEN_IPADD, n = 0;
	const void *from = bytes;
	GENERAL_NAME *name;
	ASN1_STRING *value;

	if (inet_pton(AF_INET, host, bytes) == 1) {
		n = sizeof(struct in_addr);
	} else if (inet_pton(AF_INET6, host, bytes) == 1) {
		n = sizeof(struct in6_addr);
	} else {
		type = GEN_DNS;
		from = host;
		n = (int)strlen(host);
	}
	name = GENERAL_NAME_new();
	value = ASN1_STRING_type_new(type == GEN_DNS ? V_ASN1_IA5STRING : V_ASN1_OCTET_STRING);
	if (name == NULL || value == NULL || ASN1_STRING_set(value, from, n) != 1) {
		ASN1_STRING_free(value);
		GENERAL_NAME_free(name);
		return false;
	}
	GENERAL_NAME_set0_value(name, type, value);
	if (sk_GENERAL_NAME_push(names, name) != 0)
		return true;
	GENERAL_NAME_free(name);
	return false;
}

static bool demo_names(X509 *x, const char *host)
{
	static const char *const always[] = { "localhost", "127.0.0.1", "::1" };
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	bool ok = names != NULL;

	for (size_t i = 0; ok && i < sizeof(always) / sizeof(always[0]); i++) {
		ok = demo_name(names, always[i]);
		if (host != NULL && strcmp(host, always[i]) == 0)
			host = NULL;
	}
	if (ok && host != NULL)
		ok = demo_name(names, host);
	ok = ok && X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0) == 1;
	GENERAL_NAMES_free(names);
	return ok;
}

static bool demo_fill(X509 *x, EVP_PKEY *key, const char *host)
{
	X509_NAME *name = X509_get_subject_name(x);
	uint64_t serial;

	return RAND_bytes((uint8_t *)&serial, sizeof(serial)) == 1 &&
	       ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1) == 1 &&
	       X509_set_version(x, 2) == 1 && /* that is version 3 */
	       X509_gmtime_adj(X509_getm_notBefore(x), -DEMO_BEFORE_S) != NULL &&
	       X509_gmtime_adj(X509_getm_notAfter(x), DEMO_AFTER_S) != NULL &&
	       X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
					  (const unsigned char *)"Sallyport demo", -1, -1,
					  0) == 1 &&
	       X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1 &&
	       demo_names(x, host) && X509_sign(x, key, EVP_sha256()) > 0;
}

/* Writes what `bio` holds to a new file. */
static bool demo_write(BIO *bio, const char *path, mode_t mode)
{
	const uint8_t *bytes;
	size_t n;
	int fd;
	bool ok;

	if (BIO_mem_contents(bio, &bytes, &n) != 1) {
		errno = ENOMEM;
		return false;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return false;
	ok = write(fd, bytes, n) == (ssize_t)n;
	return close(fd) == 0 && ok;
}

bool demo_certificate(const char *host, const char *cert_path, const char *key_path)
{
	EVP_PKEY *key = demo_key();
	X509 *x = X509_new();
	BIO *cert_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_mem());
	bool ok = false;

	errno = ENOMEM;
	if (key != NULL && x != NULL && cert_bio != NULL && key_bio != NULL &&
	    demo_fill(x, key, host) && PEM_write_bio_X509(cert_bio, x) == 1 &&
	    PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) == 1)
		ok = demo_write(cert_bio, cert_path, 0644) && demo_write(key_bio, key_path, 0600);
	(void)BIO_free(key_bio);
	(void)BIO_free(cert_bio);
	X509_free(x);
	EVP_PKEY_free(key);
	return ok;
}
