/* server: TLS as a listener offers it: one SSL_CTX a listener, the certificate chosen for each
 * ClientHello from the index, signatures by `keys`, tickets by `tickets`. Made by a loader to
 * check a configuration, and by each worker for each snapshot. One thread. No sockets. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/compat.h"
#include "certs/index.h"
#include "certs/keys.h"
#include "certs/tickets.h"
#include "conf/conf.h"
#include "conf/problems.h"
#include "conf/span.h"

struct server_tls;

/* What a server_tls borrows; all outlive it. */
struct server_tls_parts {
	struct index *index; /* its buffers are made as they are used */
	uint32_t set;	     /* the listener's set in the index */
	uint32_t load;	     /* of its keys */
	struct keys *keys;
	struct tickets *tickets; /* NULL: no tickets */
};

/* server_tls_new makes the context of TLS listener `l`. NULL: what is wrong was added to `why`
 * (versions, ciphers, groups the library does not know), or memory was short. */
struct server_tls *server_tls_new(const struct conf_listener *l,
				  const struct server_tls_parts *parts, struct problems *why);

/* server_tls_free drops it; SSLs made from it keep what they need of the library's, but no
 * handshake may still be in progress. NULL is fine. */
void server_tls_free(struct server_tls *s);

/* server_tls_accept returns a new SSL in accept state, without a BIO, with its handshake state
 * attached. While SSL_do_handshake says SSL_ERROR_WANT_PRIVATE_KEY_OPERATION, `ready(owner)` will
 * be called once, from keys_run, when it should be called again. SSL_free cancels what waits.
 * NULL: out of memory. */
SSL *server_tls_accept(struct server_tls *s, void (*ready)(void *owner), void *owner);

/* server_tls_deadline says when the handshake of `ssl` is given up, on the clock of keys_shed: past
 * help, it may fail before. */
void server_tls_deadline(SSL *ssl, int64_t deadline_ns);

/* server_tls_finished frees the handshake state; call it once the handshake has ended well. The
 * SSL no longer needs `s`, its index or its keys after this. (In TLS 1.3 the library holds the
 * tickets back until the first SSL_write, which may be of 0 bytes.) */
void server_tls_finished(SSL *ssl);

/* server_tls_name writes the host name that the client asked for (SNI), in lower case and cut to
 * `len` - 1 bytes, to `name`; empty where there was none (yet). Works during, after and after a
 * failed handshake, until SSL_free. */
void server_tls_name(const SSL *ssl, char *name, size_t len);

/* server_tls_same tells whether `host` is served by the certificates that are served to who asks
 * for `name` (SNI; empty: none), so that a connection made for one may carry what is for the other
 * (RFC 9110 7.4). */
bool server_tls_same(const struct server_tls *s, struct span name, struct span host);

/* server_tls_protocol returns what was agreed on by ALPN; empty: nothing. Borrowed from `ssl`. */
struct span server_tls_protocol(const SSL *ssl);

/* server_tls_context fills `context` (SSL_MAX_SID_CTX_LENGTH bytes at most, `*len` of them used)
 * with the session id context of a listener: tickets of one context do not resume in another.
 * `policy` describes which client certificates it wants ("" for none). */
void server_tls_context(const char *listener, const char *policy, uint8_t context[32], size_t *len);
