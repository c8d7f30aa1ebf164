#include "proxy/process/board_name.h"

#include <arpa/inet.h>
#include <openssl/siphash.h>
#include <stdio.h>
#include <string.h>

#include "conf/must.h"

/* The last word: priority, weight, port, and the family. */
enum { IPV4 = 4, IPV6 = 6 };

bool named_address_same(const struct named_address *a, const struct named_address *b)
{
	return a->priority == b->priority && a->weight == b->weight && a->at.len == b->at.len &&
	       memcmp(&a->at.address, &b->at.address, a->at.len) == 0;
}

uint64_t board_name_identity(const struct plan_server *server)
{
	/* Nobody chooses names against us, and all processes must agree. */
	static const uint64_t fixed[2] = { UINT64_C(0x73616c6c79706f72),
					   UINT64_C(0x742f6e616d65732f) };
	char text[sizeof(server->host) + 32];
	int n = snprintf(text, sizeof(text), "%u %u %s", server->discovery, server->port,
			 server->host);
	uint64_t hash = SIPHASH_24(fixed, (const uint8_t *)text, (size_t)n);

	return hash == 0 ? 1 : hash;
}

static void pack(const struct named_address *a, uint64_t words[3])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a->at.address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a->at.address;
	bool is_v6 = a->at.address.ss_family == AF_INET6;

	words[0] = words[1] = 0;
	if (is_v6)
		memcpy(words, &v6->sin6_addr, sizeof(v6->sin6_addr));
	else
		memcpy(words, &v4->sin_addr, sizeof(v4->sin_addr));
	words[2] = (uint64_t)a->priority << 48 | (uint64_t)a->weight << 32 |
		   (uint64_t)ntohs(is_v6 ? v6->sin6_port : v4->sin_port) << 16 |
		   (is_v6 ? IPV6 : IPV4);
}

/* False: it is none. */
static bool unpack(const uint64_t words[3], struct named_address *out)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	in_port_t port = htons((uint16_t)(words[2] >> 16));

	*out = (struct named_address){ .priority = (uint16_t)(words[2] >> 48),
				       .weight = (uint16_t)(words[2] >> 32) };
	if (port == 0)
		return false;
	if ((words[2] & 0xffff) == IPV4) {
		memcpy(&v4.sin_addr, words, sizeof(v4.sin_addr));
		v4.sin_port = port;
		out->at.len = sizeof(v4);
		memcpy(&out->at.address, &v4, sizeof(v4));
		return true;
	}
	memcpy(&v6.sin6_addr, words, sizeof(v6.sin6_addr));
	v6.sin6_port = port;
	out->at.len = sizeof(v6);
	memcpy(&out->at.address, &v6, sizeof(v6));
	return (words[2] & 0xffff) == IPV6;
}

/* Each store is seen after those before it, and each load is made before those after it: so who
 * reads the same even sequence twice has read one list. */
static void put(uint64_t *to, uint64_t value)
{
	__atomic_store_n(to, value, __ATOMIC_RELEASE);
}

static uint64_t get(const uint64_t *from)
{
	return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}

void board_name_write(struct board_name *to, uint64_t identity, const struct named_address *list,
		      uint32_t num)
{
	/* It is odd where the one before us died at this. */
	uint64_t sequence = to->sequence | 1;

	MUST(num <= BOARD_NAME_ADDRESSES);
	put(&to->sequence, sequence);
	put(&to->identity, identity);
	put(&to->num, num);
	for (uint32_t i = 0; i < num; i++) {
		uint64_t words[3];

		pack(&list[i], words);
		for (unsigned w = 0; w < 3; w++)
			put(&to->words[i][w], words[w]);
	}
	put(&to->sequence, sequence + 1);
}

bool board_name_changed(const struct board_name *from, uint64_t seen)
{
	uint64_t sequence = get(&from->sequence);

	return sequence != seen && sequence % 2 == 0;
}

bool board_name_read(const struct board_name *from, uint64_t identity, struct named_address *out,
		     uint32_t *num, uint64_t *seen)
{
	uint64_t sequence = get(&from->sequence), found;

	*num = 0;
	if (sequence % 2 != 0 || get(&from->identity) != identity)
		return false;
	found = get(&from->num);
	for (uint64_t i = 0; i < found && i < BOARD_NAME_ADDRESSES; i++) {
		uint64_t words[3];

		for (unsigned w = 0; w < 3; w++)
			words[w] = get(&from->words[i][w]);
		if (unpack(words, &out[*num]))
			++*num;
	}
	if (get(&from->sequence) != sequence)
		return false;
	*seen = sequence;
	return true;
}
