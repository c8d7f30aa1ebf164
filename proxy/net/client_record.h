/* client_record: what is put on record of a client connection at its end: of every relay, and of a
 * handshake that failed. Counts nothing, ends nothing. */
#pragma once

#include <stdint.h>

#include "proxy/net/client.h"
#include "proxy/net/link.h"
#include "proxy/observe/cause.h"
#include "proxy/observe/journal.h"
#include "proxy/process/snapshot.h"

/* What is known of it then. */
struct client_story {
	const struct link *client;
	const struct client_address *from;
	uint32_t listener, pool, server; /* slots, or RECORD_NONE */
	enum cause cause;
	const char *detail;
	const char *name; /* that it asked for, where that is known without TLS of ours; or NULL */
	int64_t connect_ns, duration_ns;
};

/* client_record writes the record of an ended connection; of a failed handshake, where the client's
 * link is TLS and has not got through it. */
void client_record(struct journal *j, const struct client_story *story);
