#include "tests/support/tls_pair.h"

#include <stdlib.h>
#include <string.h>

#include "conf/must.h"

static const char *const default_groups[] = { "X25519MLKEM768", "X25519", "P-256", "P-384" };

void tls_side_init(struct tls_side *s, const char *name)
{
	*s = (struct tls_side){
		.builder = index_builder_new(1),
		.table = key_table_new(),
		.tls = { .min_version = TLS1_2_VERSION,
			 .max_version = TLS1_3_VERSION,
			 .ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256",
			 .groups = default_groups,
			 .num_groups = sizeof(default_groups) / sizeof(default_groups[0]),
			 .pointer = "/listeners/0/tls" },
		.listener = { .name = name },
	};
	MUST(s->builder != NULL && s->table != NULL);
}

void tls_side_add(struct tls_side *s, const struct made *m, enum index_key_type type,
		  const char *names)
{
	size_t key_len;
	size_t cert_len;
	uint8_t *key = made_key_der(m, &key_len);
	uint8_t *cert = made_cert_der(m, &cert_len);
	struct span chain = span_of(cert, cert_len);
	struct index_certificate c = { .chain = &chain, .chain_len = 1, .type = type };
	uint32_t number;

	MUST(key_table_add(s->table, span_of(key, key_len), &c.key) &&
	     index_builder_add(s->builder, &c, &number) &&
	     index_builder_default(s->builder, 0, number));
	while (*names != '\0') {
		size_t n = strcspn(names, ",");

		MUST(index_builder_name(s->builder, 0, span_of(names, n), number));
		names += n;
		names += *names == ',';
	}
	free(key);
	free(cert);
}

void tls_side_start(struct tls_side *s, struct tickets *tickets)
{
	struct problems why;
	struct server_tls_parts parts = { .tickets = tickets, .load = 7 };
	size_t key_len = key_table_size(s->table);

	problems_init(&why);
	MUST(index_builder_finish(s->builder, &s->index_bytes, &s->index_len));
	MUST((s->key_bytes = malloc(key_len)) != NULL);
	key_table_write(s->table, s->key_bytes);
	MUST((s->keys = keys_new()) != NULL);
	MUST(keys_adopt(s->keys, parts.load, span_of(s->key_bytes, key_len)));
	MUST((s->index = index_open(span_of(s->index_bytes, s->index_len))) != NULL);
	parts.index = s->index;
	parts.keys = s->keys;
	s->listener.tls = &s->tls;
	s->server = server_tls_new(&s->listener, &parts, &why);
	problems_print(&why, stderr);
	problems_fini(&why);
	MUST(s->server != NULL);
}

void tls_side_fini(struct tls_side *s)
{
	server_tls_free(s->server);
	keys_free(s->keys);
	index_close(s->index);
	free(s->index_bytes);
	free(s->key_bytes);
	key_table_free(s->table);
	index_builder_free(s->builder);
}

static void pair_ready(void *owner)
{
	((struct tls_pair *)owner)->ready++;
}

void tls_pair_init(struct tls_pair *p, struct tls_side *s, SSL_CTX *client)
{
	BIO *a;
	BIO *b;

	p->ready = 0;
	MUST(BIO_new_bio_pair(&a, 0, &b, 0));
	MUST((p->server = server_tls_accept(s->server, pair_ready, p)) != NULL);
	MUST((p->client = SSL_new(client)) != NULL);
	SSL_set_connect_state(p->client);
	SSL_set_bio(p->server, a, a);
	SSL_set_bio(p->client, b, b);
}

/* One step; false where it failed for good. */
static bool step(SSL *ssl, bool *done)
{
	int n = SSL_do_handshake(ssl);

	*done = n == 1;
	if (n == 1)
		return true;
	switch (SSL_get_error(ssl, n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
	case SSL_ERROR_WANT_PRIVATE_KEY_OPERATION:
		return true;
	default:
		return false;
	}
}

bool tls_pair_run(struct tls_pair *p, struct keys *keys, SSL **failed)
{
	SSL *ignored;
	bool server_done = false;
	bool client_done = false;
	char byte;

	if (failed == NULL)
		failed = &ignored;
	for (int turn = 0; turn < 50 && !(server_done && client_done); turn++) {
		*failed = p->client;
		if (!client_done && !step(p->client, &client_done))
			return false;
		*failed = p->server;
		if (!server_done && !step(p->server, &server_done))
			return false;
		keys_run(keys, 10);
	}
	if (!server_done || !client_done)
		return false;
	server_tls_finished(p->server);
	/* TLS 1.3: tickets leave with the server's first write, and arrive with the first read. */
	(void)SSL_write(p->server, "", 0);
	(void)SSL_read(p->client, &byte, 1);
	ERR_clear_error();
	return true;
}

void tls_pair_fini(struct tls_pair *p)
{
	SSL_free(p->server);
	SSL_free(p->client);
}

static enum ssl_verify_result_t take_any(SSL *ssl, uint8_t *alert)
{
	(void)ssl;
	(void)alert;
	return ssl_verify_ok;
}

SSL_CTX *tls_client(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_with_buffers_method());

	MUST(ctx != NULL);
	SSL_CTX_set_custom_verify(ctx, SSL_VERIFY_PEER, take_any);
	return ctx;
}

bool tls_peer_is(const struct tls_pair *p, const struct made *m)
{
	const STACK_OF(CRYPTO_BUFFER) *chain = SSL_get0_peer_certificates(p->client);
	const CRYPTO_BUFFER *leaf = chain == NULL || sk_CRYPTO_BUFFER_num(chain) == 0
					    ? NULL
					    : sk_CRYPTO_BUFFER_value(chain, 0);
	size_t len;
	uint8_t *der = made_cert_der(m, &len);
	bool same = leaf != NULL && CRYPTO_BUFFER_len(leaf) == len &&
		    memcmp(CRYPTO_BUFFER_data(leaf), der, len) == 0;

	free(der);
	return same;
}
