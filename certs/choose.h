/* choose: ClientHello to certificate: exact name, wildcard, default, and of those the best key
 * that the client says it can verify. Pure: reads the hello and the index. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/compat.h"
#include "certs/index.h"
#include "conf/span.h"

/* What of a ClientHello matters here; spans borrowed from it. */
struct choose_hello {
	struct span name;    /* host_name of server_name; empty: none */
	struct span sigalgs; /* signature_algorithms as sent, 2 bytes each; empty: absent */
	struct span groups;  /* supported_groups, 2 bytes each; empty: absent */
	struct span ciphers; /* cipher_suites, 2 bytes each */
	uint16_t version;    /* that will be negotiated: 0x0303 or 0x0304 */
};

enum { CHOOSE_MAX_CIPHERS = 32 };

/* What the listener wants. */
struct choose_policy {
	bool strict;	      /* refuse a name that no certificate has */
	uint16_t max_version; /* 0x0303 or 0x0304 */
	/* The suites of TLS 1.2 that are allowed, by the key they need. */
	uint16_t ecdsa[CHOOSE_MAX_CIPHERS], rsa[CHOOSE_MAX_CIPHERS];
	size_t num_ecdsa, num_rsa;
};

/* choose_read takes these from `hello`. False: an extension is malformed, or server_name is not a
 * host name (RFC 6066 3): the handshake should fail with decode_error. */
bool choose_read(const SSL_CLIENT_HELLO *hello, uint16_t max_version, struct choose_hello *out);

enum choose_result {
	CHOOSE_FOUND,
	CHOOSE_UNRECOGNIZED_NAME, /* strict, and no certificate has the name */
	CHOOSE_NONE,		  /* no certificate at all */
};

/* choose_certificate sets `*number` to the certificate for `hello` in `set`. Where the client can
 * verify none of the candidates, the first of them is taken, so that the library refuses with
 * its own alert. */
enum choose_result choose_certificate(const struct index *i, uint32_t set,
				      const struct choose_policy *policy,
				      const struct choose_hello *hello, uint32_t *number);
