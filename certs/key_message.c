#include "certs/key_message.h"

#include <string.h>

#include "certs/compat.h"

enum {
	PADDING = 64,	   /* RFC 8446 4.4.3: so many spaces come first */
	RANDOM_BYTES = 32, /* of either hello */
	NAMED_CURVE = 3,   /* RFC 8422 5.4 */
};

static const char verify_context[] = "TLS 1.3, server CertificateVerify"; /* with its NUL */

/* The groups of TLS 1.2 (secp256r1, secp384r1, secp521r1, x25519), and the bytes of a public key in
 * each (RFC 8422 5.1.1, 5.4, 5.11). */
static const struct group {
	uint16_t id;
	uint8_t len;
} groups[] = { { 23, 65 }, { 24, 97 }, { 25, 133 }, { 29, 32 } };

static bool is_pkcs1(uint16_t algorithm)
{
	return algorithm == SSL_SIGN_RSA_PKCS1_SHA256 || algorithm == SSL_SIGN_RSA_PKCS1_SHA384 ||
	       algorithm == SSL_SIGN_RSA_PKCS1_SHA512;
}

/* Then the hash of the handshake, of the cipher suite's function. */
static bool is_certificate_verify(const uint8_t *p, size_t n)
{
	enum {
		HEAD = PADDING + sizeof(verify_context),
		AFTER_SHA256 = HEAD + 32,
		AFTER_SHA384 = HEAD + 48
	};

	if (n != AFTER_SHA256 && n != AFTER_SHA384)
		return false;
	for (size_t i = 0; i < PADDING; i++) {
		if (p[i] != ' ')
			return false;
	}
	return memcmp(p + PADDING, verify_context, sizeof(verify_context)) == 0;
}

/* Both randoms, then the parameters. */
static bool is_server_key_exchange(const uint8_t *p, size_t n)
{
	enum { HEAD = 2 * RANDOM_BYTES + 4 };
	const uint8_t *params = p + HEAD - 4;

	if (n <= HEAD || params[0] != NAMED_CURVE || params[3] != n - HEAD)
		return false;
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		if (groups[i].id == (params[1] << 8 | params[2]))
			return groups[i].len == params[3];
	}
	return false;
}

bool key_message_fits(uint16_t algorithm, struct span message)
{
	const uint8_t *p = (const uint8_t *)message.p;

	/* RFC 8446 4.2.3: RSASSA-PKCS1-v1_5 signs no TLS 1.3 handshake. */
	return is_server_key_exchange(p, message.n) ||
	       (!is_pkcs1(algorithm) && is_certificate_verify(p, message.n));
}
