/* tls_pair: a server and a client that shake hands in memory, for tests. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "certs/compat.h"
#include "certs/index.h"
#include "certs/keys.h"
#include "certs/server.h"
#include "certs/tickets.h"
#include "conf/conf.h"
#include "tests/support/make_certs.h"

/* Everything a server_tls borrows. */
struct tls_side {
	struct index_builder *builder;
	struct key_table *table;
	void *index_bytes, *key_bytes;
	size_t index_len;
	struct index *index;
	struct keys *keys;
	struct tickets *tickets;
	struct conf_tls tls;
	struct conf_listener listener;
	struct server_tls *server;
};

/* tls_side_init starts a listener called `name` with the default settings. */
void tls_side_init(struct tls_side *s, const char *name);

/* tls_side_add adds a certificate that answers for `names` (separated by ','); the first for each
 * key type is also a default. */
void tls_side_add(struct tls_side *s, const struct made *m, enum index_key_type type,
		  const char *names);

/* tls_side_start lays out the tables and makes the server; `tickets` is lent, or NULL. Change
 * s->tls before. */
void tls_side_start(struct tls_side *s, struct tickets *tickets);

/* tls_side_fini frees all. */
void tls_side_fini(struct tls_side *s);

/* A connection, and how often the server was told that its signature is there. */
struct tls_pair {
	SSL *server, *client;
	int ready;
};

/* tls_pair_init joins a new server SSL of `s` with a new client SSL of `client`. */
void tls_pair_init(struct tls_pair *p, struct tls_side *s, SSL_CTX *client);

/* tls_pair_run takes turns until both have finished. False: one of them failed; its error is on
 * the thread's queue. `*failed` (may be NULL) is then the one. */
bool tls_pair_run(struct tls_pair *p, struct keys *keys, SSL **failed);

/* tls_pair_fini frees both. */
void tls_pair_fini(struct tls_pair *p);

/* tls_client returns a client context that verifies nothing. */
SSL_CTX *tls_client(void);

/* tls_peer_is tells whether the client was shown `m`. */
bool tls_peer_is(const struct tls_pair *p, const struct made *m);
