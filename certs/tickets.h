/* tickets: keys for session tickets (RFC 5077, RFC 8446 4.6.1) that all workers share, so that a
 * session resumes with any of them and across reloads. The newest seals, all open. One per
 * worker, on its thread; outlives every server_tls that uses it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/compat.h"

enum { TICKETS_KEYS = 3 }; /* the newest, and two before it */

/* One key: its public name, and AES-256-GCM key material. */
struct ticket_key {
	uint8_t name[16];
	uint8_t secret[32];
};

struct tickets;

/* tickets_new returns a set without keys: nothing is sealed, every ticket is ignored. NULL: out
 * of memory. */
struct tickets *tickets_new(void);

/* tickets_free wipes and frees it. NULL is fine. */
void tickets_free(struct tickets *t);

/* tickets_set replaces the keys, newest first; `num` is 1 to TICKETS_KEYS. */
void tickets_set(struct tickets *t, const struct ticket_key *keys, size_t num);

/* tickets_ready tells whether there is a key to seal with. Where there is none, a connection must
 * have SSL_OP_NO_TICKET, or its handshake fails. */
bool tickets_ready(const struct tickets *t);

/* tickets_install makes `ctx` seal and open tickets with `t`, which becomes its app data. False:
 * out of memory. */
bool tickets_install(struct tickets *t, SSL_CTX *ctx);
