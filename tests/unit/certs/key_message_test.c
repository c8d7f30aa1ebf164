/* What may be signed, and everything near it. */
#include "certs/key_message.h"

#include <criterion/criterion.h>
#include <string.h>

#include "certs/compat.h"

enum { SPACES = 64 };

struct message {
	uint8_t bytes[512];
	size_t n;
};

static void add(struct message *m, const void *p, size_t n)
{
	memcpy(m->bytes + m->n, p, n);
	m->n += n;
}

static struct message verify(const char *context, size_t hash)
{
	struct message m = { .n = SPACES };

	memset(m.bytes, ' ', SPACES);
	add(&m, context, strlen(context) + 1);
	m.n += hash;
	return m;
}

static struct message exchange(unsigned curve, uint8_t len)
{
	uint8_t params[] = { 3, (uint8_t)(curve >> 8), (uint8_t)curve, len };
	struct message m = { .n = 64 };

	add(&m, params, sizeof(params));
	m.n += len;
	return m;
}

static bool fits(uint16_t algorithm, const struct message *m)
{
	return key_message_role(algorithm, span_of(m->bytes, m->n)) == KEY_ROLE_SERVER;
}

static bool fits_client(uint16_t algorithm, const struct message *m)
{
	return key_message_role(algorithm, span_of(m->bytes, m->n)) == KEY_ROLE_CLIENT;
}

/* Messages of a handshake, of these types and `len` bytes each. */
static struct message transcript(const char *types, uint8_t len)
{
	struct message m = { .n = 0 };

	for (; *types != '\0'; types++) {
		uint8_t head[] = { (uint8_t)*types, 0, 0, len };

		add(&m, head, sizeof(head));
		m.n += len;
	}
	return m;
}

#define SERVER "TLS 1.3, server CertificateVerify"

Test(key_message, what_a_server_signs_fits)
{
	struct message sha256 = verify(SERVER, 32), sha384 = verify(SERVER, 48);
	struct message p256 = exchange(23, 65), p521 = exchange(25, 133), x = exchange(29, 32);

	cr_assert(fits(SSL_SIGN_ECDSA_SECP256R1_SHA256, &sha256));
	cr_assert(fits(SSL_SIGN_RSA_PSS_RSAE_SHA256, &sha384));
	cr_assert(fits(SSL_SIGN_ED25519, &sha256));
	cr_assert(fits(SSL_SIGN_RSA_PKCS1_SHA256, &p256));
	cr_assert(fits(SSL_SIGN_RSA_PSS_RSAE_SHA512, &p521));
	cr_assert(fits(SSL_SIGN_ECDSA_SECP384R1_SHA384, &x));
	cr_assert_leq(p521.n, (size_t)KEY_MESSAGE_MAX);
}

Test(key_message, no_other_length_fits)
{
	enum { FORM = SPACES + sizeof(SERVER) };
	struct message v = verify(SERVER, 0), x = exchange(24, 97);
	size_t n = x.n;

	for (v.n = 0; v.n < sizeof(v.bytes); v.n++)
		cr_assert_eq(fits(SSL_SIGN_ED25519, &v), v.n == FORM + 32 || v.n == FORM + 48,
			     "%zu", v.n);
	for (x.n = 0; x.n < sizeof(x.bytes); x.n++)
		cr_assert_eq(fits(SSL_SIGN_ED25519, &x), x.n == n, "%zu", x.n);
}

Test(key_message, every_byte_of_the_form_counts)
{
	struct message v = verify(SERVER, 32), x = exchange(29, 32);

	for (size_t i = 0; i < SPACES + sizeof(SERVER); i++) {
		v.bytes[i] ^= 1;
		cr_assert_not(fits(SSL_SIGN_ECDSA_SECP256R1_SHA256, &v), "%zu", i);
		v.bytes[i] ^= 1;
	}
	for (size_t i = 64; i < 68; i++) {
		x.bytes[i] ^= 1;
		cr_assert_not(fits(SSL_SIGN_ECDSA_SECP256R1_SHA256, &x), "%zu", i);
		x.bytes[i] ^= 1;
	}
	cr_assert(fits(SSL_SIGN_ECDSA_SECP256R1_SHA256, &v));
	cr_assert(fits(SSL_SIGN_ECDSA_SECP256R1_SHA256, &x));
}

Test(key_message, what_others_sign_does_not_fit)
{
	struct message tls13 = verify(SERVER, 32);
	struct message curve = exchange(0x100, 32), p224 = exchange(21, 57);
	struct message empty = { .n = 0 };

	cr_assert_not(fits_client(SSL_SIGN_ECDSA_SECP256R1_SHA256, &tls13));
	cr_assert_not(fits(SSL_SIGN_RSA_PKCS1_SHA256, &tls13), "RFC 8446 4.2.3");
	cr_assert_not(fits(SSL_SIGN_ECDSA_SECP256R1_SHA256, &curve));
	cr_assert_not(fits(SSL_SIGN_ECDSA_SECP256R1_SHA256, &p224));
	cr_assert_not(fits(SSL_SIGN_ECDSA_SECP256R1_SHA256, &empty));
}

Test(key_message, what_a_client_signs_is_told_apart)
{
	struct message client = verify("TLS 1.3, client CertificateVerify", 32);
	/* RFC 5246 7.3, with RFC 6066 8 and RFC 8422 5.4 */
	struct message full = transcript("\1\2\x0b\x16\x0c\x0d\x0e\x0b\x10", 20);
	struct message least = transcript("\1\2\x0b\x0d\x0e\x0b\x10", 0);

	cr_assert(fits_client(SSL_SIGN_ECDSA_SECP256R1_SHA256, &client));
	cr_assert_not(fits(SSL_SIGN_ECDSA_SECP256R1_SHA256, &client));
	cr_assert_not(fits_client(SSL_SIGN_RSA_PKCS1_SHA256, &client), "RFC 8446 4.2.3");
	cr_assert(fits_client(SSL_SIGN_RSA_PKCS1_SHA256, &full));
	cr_assert(fits_client(SSL_SIGN_ECDSA_SECP256R1_SHA256, &least));
	cr_assert_not(fits(SSL_SIGN_ECDSA_SECP256R1_SHA256, &full));
}

Test(key_message, no_other_transcript_fits)
{
	static const char *const others[] = {
		"\1\2\x0b\x0c\x0d\x0e\x0b",	    /* cut */
		"\1\2\x0b\x0c\x0d\x0e\x0b\x10\x0f", /* goes on */
		"\1\2\x0b\x0c\x0e\x0b\x10",	    /* nobody asked for it */
		"\2\x0b\x0c\x0d\x0e\x0b\x10",	    /* no beginning */
		"\1\2\x0b\x0c\x0c\x0d\x0e\x0b\x10", /* twice */
		"\1\2\x0b\x0c\x16\x0d\x0e\x0b\x10", /* another order */
		"\1\1\2\x0b\x0c\x0d\x0e\x0b\x10",
	};
	struct message m = transcript("\1\2\x0b\x0c\x0d\x0e\x0b\x10", 9);

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct message other = transcript(others[i], 9);

		cr_assert_not(fits_client(SSL_SIGN_ED25519, &other), "%zu", i);
	}
	for (size_t n = m.n; m.n-- > 0;)
		cr_assert_not(fits_client(SSL_SIGN_ED25519, &m), "%zu of %zu", m.n, n);
}
