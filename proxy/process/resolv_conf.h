/* resolv_conf: what /etc/resolv.conf and /etc/hosts say (resolv.conf(5), hosts(5)), as text that
 * somebody else has read. Pure. */
#pragma once

#include <stdint.h>

#include "conf/address.h"
#include "conf/span.h"

enum {
	RESOLV_MAX_TEXT = 256 << 10, /* bytes of either file that are looked at */
	RESOLV_MAX_SERVERS = 8,
	RESOLV_MAX_SEARCH = 8,
	RESOLV_MAX_ADDRESSES = 16, /* of one name in hosts */
};

struct resolv_conf {
	char servers[RESOLV_MAX_SERVERS][80]; /* IP addresses, of a link with "%" and its name */
	unsigned num_servers;		      /* one at least: what is said by saying nothing */
	char search[RESOLV_MAX_SEARCH][ADDRESS_MAX_HOST + 1];
	unsigned num_search;
	unsigned ndots;
};

/* An address that hosts has. */
struct hosts_address {
	int family;
	uint8_t bytes[16];
};

/* resolv_conf_read reads resolv.conf. What makes no sense in it is passed over. */
void resolv_conf_read(struct span text, struct resolv_conf *out);

/* hosts_find writes the addresses that hosts has for `name`, RESOLV_MAX_ADDRESSES at most, to
 * `out`; "localhost" has some in any case (RFC 6761 6.3). Returns how many. */
unsigned hosts_find(struct span text, const char *name, struct hosts_address *out);
