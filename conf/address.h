/* address: the spelling of addresses, and of the host names in them. Pure: resolves nothing.
 * Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "conf/span.h"

enum {
	ADDRESS_MAX_HOST = 254, /* bytes: 253 and a trailing dot (RFC 1035 2.3.4) */
	ADDRESS_MAX_PATH = 107, /* bytes of a unix path: Linux's sun_path without its NUL */
	ADDRESS_MAX_TEXT = ADDRESS_MAX_HOST + sizeof("[]:65535"),
};

/* An address in parts, with room of its own. */
struct address {
	bool is_unix;
	bool has_host;
	uint16_t port;
	char host[ADDRESS_MAX_HOST + 1]; /* in lower case; IP addresses as RFC 5952 spells them */
	char path[ADDRESS_MAX_PATH + 1];
	char text[ADDRESS_MAX_TEXT + 1];
};

/* address_read takes `text` apart. `host_required`: ":443" is not enough, and the name of a service
 * such as "_http._tcp.example.com" (RFC 2782) is fine, with port 0. False, leaving `*out` alone,
 * with a sentence in `why` (`why_len` bytes) where it is no address. */
bool address_read(struct span text, bool host_required, struct address *out, char *why,
		  size_t why_len);

/* address_host checks a host name (RFC 1123 2.1, underscores allowed) or an IP address without
 * brackets and writes its canonical spelling to `out` (ADDRESS_MAX_HOST + 1 bytes). False: it is
 * none. */
bool address_host(struct span host, char *out);

/* address_room returns the bytes that address_store needs. */
size_t address_room(const struct address *a);

/* address_store fills `*out` from `a`, its strings in `room`, which address_room sized; `text`
 * comes first. */
void address_store(const struct address *a, char *room, struct conf_address *out);
