/* network: whether an address lies in one of the networks of the configuration. Pure; any
 * thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"

/* network_contains tells whether an address of `family`, its bytes in network order (IPv4: the
 * first four), lies in one of the `num` networks. IPv4 and what is mapped into IPv6 of it
 * (RFC 4291 2.5.5.2) are the same, on either side; so "::/0" has no IPv4 in it. No other family
 * lies anywhere. */
bool network_contains(const struct conf_network *list, size_t num, uint8_t family,
		      const uint8_t bytes[16]);
