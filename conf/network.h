/* network: the spelling of networks in CIDR notation (RFC 4632 3.1, RFC 4291 2.3). Pure. Any
 * thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "conf/span.h"

enum { NETWORK_MAX_TEXT = sizeof("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128") };

/* network_read reads "10.0.0.0/8", "2001:db8::/32" or a plain address. IPv4 in IPv6 clothes
 * (::ffff:0:0/96) becomes IPv4, as addresses of clients do. False, leaving `*out` alone, with a
 * sentence in `why` (`why_len` bytes) where it is none. */
bool network_read(struct span text, struct conf_network *out, char *why, size_t why_len);

/* network_text writes the canonical spelling to `out` (NETWORK_MAX_TEXT bytes): a network of all
 * bits is a plain address. */
void network_text(const struct conf_network *n, char *out);
