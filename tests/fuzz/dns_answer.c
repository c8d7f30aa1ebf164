/* Any bytes as the answer of a name server. What is read of it fits, and is what it can be: names
 * are names of hosts, lists are sorted, no address is there twice. */
#include "proxy/process/dns_answer.h"

#include <string.h>
#include <sys/socket.h>

#include "conf/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void addresses(struct span message, int family)
{
	static struct dns_addresses a;

	if (!dns_addresses(message, family, &a))
		return;
	MUST(a.num <= DNS_MAX_ADDRESSES);
	for (uint32_t i = 1; i < a.num; i++)
		MUST(memcmp(a.list[i - 1], a.list[i], family == AF_INET ? 4 : 16) != 0);
	MUST(a.num == 0 || a.ttl_s <= INT32_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dns_services s;
	struct span message = span_of((const char *)data, size);
	char host[ADDRESS_MAX_HOST + 1];

	addresses(message, AF_INET);
	addresses(message, AF_INET6);
	if (!dns_services(message, &s))
		return 0;
	MUST(s.num <= DNS_MAX_SERVICES);
	for (uint32_t i = 0; i < s.num; i++) {
		MUST(address_host(span_str(s.list[i].host), host));
		MUST(s.list[i].port != 0);
		MUST(i == 0 || s.list[i - 1].priority <= s.list[i].priority);
	}
	return 0;
}
