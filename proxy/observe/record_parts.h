/* record_parts: the members that JSON lines of several kinds of records have in common. Appends to
 * a text; values come from shared memory and may be anything. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proxy/observe/text.h"

/* An address of a peer, as records have it. */
struct record_address {
	uint8_t family; /* AF_INET, AF_INET6, AF_UNIX */
	const uint8_t *bytes;
};

/* What was agreed on in a TLS handshake, as on the wire; 0: not known. */
struct record_tls {
	uint16_t version, cipher, group;
};

/* PUT_STRING appends a member whose value is not ours, where there is one. */
#define PUT_STRING(t, key, value)                       \
	do {                                            \
		struct span put_value = (value);        \
		if (put_value.n > 0) {                  \
			TEXT_PUT((t), ",\"" key "\":"); \
			text_json((t), put_value);      \
		}                                       \
	} while (0)

/* record_put_address appends an address without quotes: "192.0.2.1", also where IPv6 carries it,
 * "2001:db8::1" or "unix". False: there is no such family, nothing was appended. */
bool record_put_address(struct text *t, struct record_address a);

/* record_put_endpoint appends an address with its port: "[2001:db8::1]:443"; of a unix socket
 * "unix". False as record_put_address. */
bool record_put_endpoint(struct text *t, struct record_address a, uint16_t port);

/* record_same_address tells whether two are the same address, in whatever form. */
bool record_same_address(struct record_address a, struct record_address b);

/* record_put_ms appends a time in milliseconds with three decimals; below zero counts as zero. */
void record_put_ms(struct text *t, int64_t ns);

/* record_put_tls appends the members "tls", "cipher" and "group", those that are known. */
void record_put_tls(struct text *t, const struct record_tls *tls);

/* record_put_resumed appends the member "resumed". */
void record_put_resumed(struct text *t, bool resumed);
