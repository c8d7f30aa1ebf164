/* relay_record: what a relay puts on record when it ends, and the look-ups by slot that it needs.
 * Counts nothing, ends nothing. */
#pragma once

#include <stdint.h>
#include <sys/socket.h>

#include "proxy/net/link.h"
#include "proxy/observe/cause.h"
#include "proxy/observe/journal.h"
#include "proxy/process/snapshot.h"

/* A client's address, as a record has it. */
struct relay_client {
	uint8_t family; /* AF_INET, AF_INET6, AF_UNIX */
	uint16_t port;	/* host order */
	uint8_t address[16];
};

/* relay_client_of takes it from a socket address. */
void relay_client_of(const struct sockaddr *from, struct relay_client *out);

/* What a relay knows at its end. */
struct relay_story {
	const struct link *client;
	const struct relay_client *from;
	uint32_t listener, pool, server; /* slots, or RECORD_NONE */
	enum cause cause;
	const char *detail;
	int64_t connect_ns, duration_ns;
};

/* relay_record writes the record of an ended connection; of a failed handshake, where the client's
 * link is TLS and has not got through it. */
void relay_record(struct journal *j, const struct relay_story *story);

/* relay_listener_place returns the index in `s` of the listener with `slot`; -1: not in it. */
int64_t relay_listener_place(const struct snapshot *s, uint32_t slot);

/* relay_server_name returns the name of the server with `slot`; never NULL. */
const char *relay_server_name(const struct snapshot *s, uint32_t slot);
