/* make_certs: keys and certificates for tests, made when they are needed: none is ever kept. */
#pragma once

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum make_key {
	MAKE_P256,
	MAKE_P384,
	MAKE_P521,
	MAKE_ED25519,
	MAKE_RSA_2048,
	MAKE_RSA_1024,
	MAKE_P224,
};

struct made {
	EVP_PKEY *key;
	X509 *cert;
};

struct make_options {
	enum make_key type;
	EVP_PKEY *key;	       /* NULL: a new one of `type` */
	const char *cn;	       /* common name; NULL: "test" */
	const char *san;       /* "DNS:a.example,IP:127.0.0.1"; NULL: none */
	const char *key_usage; /* "digitalSignature"; NULL: none */
	const char *usage;     /* extended key usage, "serverAuth"; NULL: none */
	bool ca;
	int64_t starts_s, ends_s;  /* seconds from now; both 0: an hour ago to in 30 days */
	const struct made *issuer; /* NULL: self-signed */
};

/* make_cert makes one. Aborts where it cannot. */
struct made make_cert(const struct make_options *o);

/* made_fini frees both. */
void made_fini(struct made *m);

/* made_cert_pem and made_key_pem return PEM text to be freed with free(). */
char *made_cert_pem(const struct made *m);
char *made_key_pem(const struct made *m);

/* made_cert_der and made_key_der return DER (PKCS#8 for the key) to be freed with free(). */
uint8_t *made_cert_der(const struct made *m, size_t *len);
uint8_t *made_key_der(const struct made *m, size_t *len);

/* make_file writes `parts` one after another to `folder`/`name` with mode 0600 and returns the
 * path, to be freed with free(). Parts end with NULL. */
char *make_file(const char *folder, const char *name, ...) __attribute__((sentinel));

/* make_folder makes a new folder under the system's temporary one and returns its path, to be
 * given to drop_folder. */
char *make_folder(void);

/* drop_folder removes it with all that is in it, and frees the path. */
void drop_folder(char *path);
