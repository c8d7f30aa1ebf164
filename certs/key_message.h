/* key_message: whether what is to be signed is what a TLS server signs in a handshake, and nothing
 * else. Whoever asks for signatures may have been captured: with this a key is of no use for
 * anything but a handshake that the asker takes part in. Pure; safe with any input. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "conf/span.h"

enum { KEY_MESSAGE_MAX = 256 }; /* bytes; none that fits is longer */

/* key_message_fits tells whether `message` is the content of a TLS 1.3 server CertificateVerify
 * (RFC 8446 4.4.3) or of a TLS 1.2 ServerKeyExchange with ephemeral elliptic-curve Diffie-Hellman
 * (RFC 8422 5.4), in its exact length, and `algorithm` (SSL_SIGN_*) one that may sign it. */
bool key_message_fits(uint16_t algorithm, struct span message);
