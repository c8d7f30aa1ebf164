/* Any bytes as what a worker wants to have signed. What passes for a client's transcript is one: it
 * begins with a ClientHello, and neither more nor less of it passes. */
#include "certs/key_message.h"

#include "certs/compat.h"
#include "conf/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum key_role role = key_message_role(SSL_SIGN_ECDSA_SECP256R1_SHA256, span_of(data, size));
	enum key_role pkcs1 = key_message_role(SSL_SIGN_RSA_PKCS1_SHA256, span_of(data, size));

	MUST(pkcs1 == role || pkcs1 == 0);
	if (pkcs1 != KEY_ROLE_CLIENT)
		return 0;
	MUST(data[0] == SSL3_MT_CLIENT_HELLO);
	MUST(key_message_role(SSL_SIGN_ED25519, span_of(data, size - 1)) != KEY_ROLE_CLIENT);
	return 0;
}
