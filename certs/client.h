/* client: TLS as a pool speaks it to its servers: chain and name verified by default. One per
 * pool and snapshot, on one thread. No sockets. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/compat.h"
#include "certs/index.h"
#include "certs/keys.h"
#include "conf/conf.h"
#include "conf/problems.h"
#include "conf/span.h"

struct client_tls;

/* client_tls_new makes the context. `ca_pem` holds the roots that verification trusts (borrowed
 * for the call; parsed at the first verification, so a copy is kept). NULL: no usable root or an
 * unknown version, added to `why` under `pointer`; or memory was short. */
struct client_tls *client_tls_new(const struct conf_pool_tls *t, struct span ca_pem,
				  const char *pointer, struct problems *why);

/* client_tls_offer makes connections offer what `protocol` says by ALPN; of HTTP/1.1 alone nothing
 * is said, as servers of any protocol may be behind it. False: out of memory. */
bool client_tls_offer(struct client_tls *c, enum conf_protocol protocol);

/* client_tls_resume lets connections to `places` servers resume sessions that they had before, and
 * the verification that those went through. False: out of memory. */
bool client_tls_resume(struct client_tls *c, uint32_t places);

/* What a client's certificate is taken from; borrowed for the call, but for `keys`, which outlives
 * every SSL. */
struct client_tls_certificate {
	struct index *index;
	uint32_t set;  /* its first default is the certificate */
	uint32_t load; /* of its key */
	struct keys *keys;
};

/* client_tls_show lets connections show a certificate to servers that ask for one (RFC 8446 4.3.2),
 * signed for by `keys`. False: there is none in the set, or out of memory. */
bool client_tls_show(struct client_tls *c, const struct client_tls_certificate *from);

/* client_tls_free drops it; SSLs made from it live on. NULL is fine. */
void client_tls_free(struct client_tls *c);

/* client_tls_connect returns a new SSL in connect state without a BIO. `name` is sent as SNI
 * unless it is an IP address, and must be in the server's certificate (RFC 9525). While
 * SSL_do_handshake says SSL_ERROR_WANT_PRIVATE_KEY_OPERATION, which only one that shows a
 * certificate does, `ready(owner)` will be called once, from keys_run, when it should be called
 * again. SSL_free cancels what waits. NULL: out of memory, or `name` is not usable. */
SSL *client_tls_connect(struct client_tls *c, const char *name, void (*ready)(void *owner),
			void *owner);

/* client_tls_place says that `ssl`, which is about to begin, is a connection to server `place`: it
 * resumes a session of that one if there is any, and keeps what it is given. Nothing without
 * client_tls_resume. */
void client_tls_place(struct client_tls *c, SSL *ssl, uint32_t place);

/* client_tls_failure returns why verification of this peer failed, in words and with the names
 * or dates concerned, or NULL where it did not. Lives until SSL_free. */
const char *client_tls_failure(const SSL *ssl);
