/* key_message: whether what is to be signed is what TLS signs in a handshake, as server or as
 * client, and nothing else. Whoever asks for signatures may have been captured: with this a key is
 * of no use for anything but a handshake that the asker takes part in. Pure; safe with any input.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "certs/keys.h"
#include "conf/span.h"

/* Bytes; none that fits is longer. What a TLS 1.2 client signs holds the server's certificates and
 * the names of the authorities that the server would take: a server that sends more than this is
 * not connected to with a certificate. */
enum { KEY_MESSAGE_MAX = 32 << 10 };

/* key_message_role returns as what `message` is signed: KEY_ROLE_SERVER for the content of a
 * TLS 1.3 server CertificateVerify (RFC 8446 4.4.3) or of a TLS 1.2 ServerKeyExchange with
 * ephemeral elliptic-curve Diffie-Hellman (RFC 8422 5.4), KEY_ROLE_CLIENT for that of a client's
 * CertificateVerify (RFC 8446 4.4.3, RFC 5246 7.4.8), each in its exact length and with an
 * `algorithm` (SSL_SIGN_*) that may sign it. 0: it is none of these. */
enum key_role key_message_role(uint16_t algorithm, struct span message);
