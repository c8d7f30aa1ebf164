/* certificate: makes a self-signed certificate and its key for the demo. Never used for anything
 * else. */
#pragma once

#include <stdbool.h>

/* demo_certificate writes a new P-256 key and a certificate for localhost, 127.0.0.1, ::1 and
 * `host` (NULL: no other), good for 30 days, as PEM to new files; the key's has mode 0600. False
 * with errno. */
bool demo_certificate(const char *host, const char *cert_path, const char *key_path);
