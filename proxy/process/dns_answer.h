/* dns_answer: what the answer of a name server says (RFC 1035, RFC 2782, RFC 3596), as far as
 * addresses and services go. It is whoever's, so every byte is looked at with suspicion. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "conf/address.h"
#include "conf/span.h"

enum {
	DNS_MAX_ADDRESSES = 256, /* of one name and family; what is above is left out */
	DNS_MAX_SERVICES = 32,	 /* likewise */
};

struct dns_addresses {
	uint8_t list[DNS_MAX_ADDRESSES][16]; /* IPv4 takes the first four bytes */
	uint32_t num;
	uint32_t ttl_s; /* the shortest, aliases included */
};

/* Where a service is to be had. */
struct dns_service {
	char host[ADDRESS_MAX_HOST + 1];
	uint16_t port, priority, weight;
};

struct dns_services {
	struct dns_service list[DNS_MAX_SERVICES]; /* those to ask first, first */
	uint32_t num;
	uint32_t ttl_s;
};

/* dns_addresses reads the addresses of `family` (AF_INET, AF_INET6) from a message, each once. None
 * are fine. False: it is damaged. */
bool dns_addresses(struct span message, int family, struct dns_addresses *out);

/* dns_services reads services. One whose host is "." says that there are none, and is left out.
 * False: it is damaged. */
bool dns_services(struct span message, struct dns_services *out);
