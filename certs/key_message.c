#include "certs/key_message.h"

#include <string.h>

#include "certs/compat.h"

enum {
	PADDING = 64,	   /* RFC 8446 4.4.3: so many spaces come first */
	RANDOM_BYTES = 32, /* of either hello */
	NAMED_CURVE = 3,   /* RFC 8422 5.4 */
	MESSAGE_HEAD = 4,  /* RFC 5246 7.4: type, and length in 3 bytes */
};

/* With its NUL; the client's differs in one word of the same length. */
static const char server_context[] = "TLS 1.3, server CertificateVerify";
static const char client_context[] = "TLS 1.3, client CertificateVerify";

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
static bool is_certificate_verify(const char *context, const uint8_t *p, size_t n)
{
	enum {
		HEAD = PADDING + sizeof(server_context),
		AFTER_SHA256 = HEAD + 32,
		AFTER_SHA384 = HEAD + 48
	};

	if (n != AFTER_SHA256 && n != AFTER_SHA384)
		return false;
	for (size_t i = 0; i < PADDING; i++) {
		if (p[i] != ' ')
			return false;
	}
	return memcmp(p + PADDING, context, sizeof(server_context)) == 0;
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

/* RFC 5246 7.4.8: what TLS 1.2 has a client sign is every message so far, as it was on the wire. In
 * a full handshake in which the server asks for a certificate these are: */
static const struct step {
	uint8_t type;
	bool optional;
} steps[] = {
	{ SSL3_MT_CLIENT_HELLO, false },	{ SSL3_MT_SERVER_HELLO, false },
	{ SSL3_MT_CERTIFICATE, false },		{ SSL3_MT_CERTIFICATE_STATUS, true },
	{ SSL3_MT_SERVER_KEY_EXCHANGE, true },	{ SSL3_MT_CERTIFICATE_REQUEST, false },
	{ SSL3_MT_SERVER_HELLO_DONE, false },	{ SSL3_MT_CERTIFICATE, false },
	{ SSL3_MT_CLIENT_KEY_EXCHANGE, false },
};

static bool is_client_transcript(const uint8_t *p, size_t n)
{
	size_t step = 0;

	for (size_t len; n > 0; p += len, n -= len) {
		while (step < sizeof(steps) / sizeof(steps[0]) && steps[step].type != p[0] &&
		       steps[step].optional)
			step++;
		if (step == sizeof(steps) / sizeof(steps[0]) || steps[step].type != p[0] ||
		    n < MESSAGE_HEAD)
			return false;
		len = MESSAGE_HEAD + ((size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]);
		if (len > n)
			return false;
		step++;
	}
	return step == sizeof(steps) / sizeof(steps[0]);
}

enum key_role key_message_role(uint16_t algorithm, struct span message)
{
	const uint8_t *p = (const uint8_t *)message.p;

	if (is_server_key_exchange(p, message.n))
		return KEY_ROLE_SERVER;
	if (is_client_transcript(p, message.n))
		return KEY_ROLE_CLIENT;
	if (is_pkcs1(algorithm)) /* RFC 8446 4.2.3: it signs no TLS 1.3 handshake */
		return 0;
	if (is_certificate_verify(server_context, p, message.n))
		return KEY_ROLE_SERVER;
	return is_certificate_verify(client_context, p, message.n) ? KEY_ROLE_CLIENT : 0;
}
