#include "proxy/process/dns_answer.h"

#include <arpa/nameser.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* RFC 2181 8: one with the top bit set is none. */
static void note_ttl(uint32_t *shortest, uint32_t ttl_s)
{
	if (ttl_s > INT32_MAX)
		ttl_s = 0;
	if (ttl_s < *shortest)
		*shortest = ttl_s;
}

static bool begin(struct span message, ns_msg *m)
{
	return message.n <= INT_MAX &&
	       ns_initparse((const unsigned char *)message.p, (int)message.n, m) == 0;
}

static void add_address(struct dns_addresses *out, const uint8_t *bytes, size_t len)
{
	for (uint32_t i = 0; i < out->num; i++) {
		if (memcmp(out->list[i], bytes, len) == 0)
			return;
	}
	if (out->num < DNS_MAX_ADDRESSES)
		memcpy(out->list[out->num++], bytes, len);
}

bool dns_addresses(struct span message, int family, struct dns_addresses *out)
{
	ns_type type = family == AF_INET ? ns_t_a : ns_t_aaaa;
	size_t len = family == AF_INET ? 4 : 16;
	ns_msg m;

	*out = (struct dns_addresses){ .ttl_s = UINT32_MAX };
	if (!begin(message, &m))
		return false;
	for (int i = 0; i < ns_msg_count(m, ns_s_an); i++) {
		ns_rr rr;

		if (ns_parserr(&m, ns_s_an, i, &rr) != 0)
			return false;
		if (ns_rr_class(rr) != ns_c_in)
			continue;
		if (ns_rr_type(rr) == ns_t_cname || ns_rr_type(rr) == type)
			note_ttl(&out->ttl_s, ns_rr_ttl(rr));
		if (ns_rr_type(rr) != type)
			continue;
		if (ns_rr_rdlen(rr) != len)
			return false;
		add_address(out, ns_rr_rdata(rr), len);
	}
	return true;
}

/* RFC 2782: the lowest priority first; of one priority in any order, but always in the same. */
static int compare(const void *a, const void *b)
{
	const struct dns_service *x = a, *y = b;
	int names;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	if ((names = strcmp(x->host, y->host)) != 0)
		return names;
	return x->port < y->port ? -1 : x->port > y->port;
}

/* False: it is damaged. */
static bool add_service(struct dns_services *out, const ns_msg *m, const ns_rr *rr)
{
	enum { HEAD = 6 }; /* priority, weight, port */
	const unsigned char *data = ns_rr_rdata(*rr);
	struct dns_service *to = &out->list[out->num];
	char host[NS_MAXDNAME];

	if (ns_rr_rdlen(*rr) <= HEAD ||
	    ns_name_uncompress(ns_msg_base(*m), ns_msg_end(*m), data + HEAD, host, sizeof(host)) !=
		    (int)ns_rr_rdlen(*rr) - HEAD)
		return false;
	if (out->num == DNS_MAX_SERVICES)
		return true;
	*to = (struct dns_service){ .priority = (uint16_t)ns_get16(data),
				    .weight = (uint16_t)ns_get16(data + 2),
				    .port = (uint16_t)ns_get16(data + 4) };
	/* What is no name of a host is of no use. */
	if (to->port != 0 && address_host(span_str(host), to->host))
		out->num++;
	return true;
}

bool dns_services(struct span message, struct dns_services *out)
{
	ns_msg m;

	*out = (struct dns_services){ .ttl_s = UINT32_MAX };
	if (!begin(message, &m))
		return false;
	for (int i = 0; i < ns_msg_count(m, ns_s_an); i++) {
		ns_rr rr;

		if (ns_parserr(&m, ns_s_an, i, &rr) != 0)
			return false;
		if (ns_rr_class(rr) != ns_c_in)
			continue;
		if (ns_rr_type(rr) == ns_t_cname || ns_rr_type(rr) == ns_t_srv)
			note_ttl(&out->ttl_s, ns_rr_ttl(rr));
		if (ns_rr_type(rr) == ns_t_srv && !add_service(out, &m, &rr))
			return false;
	}
	qsort(out->list, out->num, sizeof(out->list[0]), compare);
	return true;
}
