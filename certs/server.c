#include "certs/server.h"

#include <openssl/nid.h>
#include <openssl/sha.h>
#include <openssl/siphash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/choose.h"
#include "certs/exdata.h"
#include "certs/pem.h"
#include "certs/reason_raise.h"
#include "certs/server_setup.h"
#include "certs/signing.h"
#include "conf/must.h"

enum {
	SERVER_MAGIC = 0x73727672,
	CONTEXT_LEN = 24,	       /* leaves 8 bytes of a session id context for the name */
	MAX_HOST_NAME = 254,	       /* with its trailing dot */
	TICKET_LIFETIME_S = 12 * 3600, /* as long as a ticket key is the newest */
};

struct server_tls {
	unsigned magic;
	SSL_CTX *ctx;
	struct server_tls_parts parts;
	struct choose_policy policy;
	uint8_t context[CONTEXT_LEN];
};

/* What a handshake needs that the SSL does not keep for it. */
struct handshake {
	struct exdata x;
	struct server_tls *server;
	struct signing signing;
	uint8_t name_len;
	char name[MAX_HOST_NAME]; /* in lower case */
};

static void handshake_drop(struct exdata *x)
{
	struct handshake *h = (struct handshake *)x;

	signing_fini(&h->signing);
	free(h);
}

/* Only server_tls_accept hangs anything on the SSLs of a server. */
static struct handshake *handshake_of(const SSL *ssl)
{
	return SSL_is_server(ssl) ? (struct handshake *)exdata_get(ssl) : NULL;
}

static void lower_copy(char *to, struct span from)
{
	for (size_t i = 0; i < from.n; i++) {
		char c = from.p[i];

		to[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
}

/* The library's own answer to a failed choice would be handshake_failure; ours goes out first. */
static enum ssl_select_cert_result_t refuse(SSL *ssl, uint8_t alert, enum tls_reason why)
{
	reason_raise(why);
	(void)SSL_send_fatal_alert(ssl, alert);
	return ssl_select_cert_error;
}

/* RFC 6066 3: a session is not resumed under another name. So the name is part of the context. */
static bool bind_to_name(SSL *ssl, const struct handshake *h)
{
	uint8_t context[CONTEXT_LEN + sizeof(uint64_t)];
	uint64_t key[2];
	uint64_t hash;

	memcpy(context, h->server->context, CONTEXT_LEN);
	memcpy(key, context, sizeof(key));
	hash = SIPHASH_24(key, (const uint8_t *)h->name, h->name_len);
	memcpy(context + CONTEXT_LEN, &hash, sizeof(hash));
	return SSL_set_session_id_context(ssl, context, sizeof(context));
}

static bool set_certificate(SSL *ssl, struct handshake *h, uint32_t number)
{
	struct index *index = h->server->parts.index;
	CRYPTO_BUFFER *chain[PEM_MAX_CHAIN];
	struct index_entry entry;
	size_t n;

	if (!index_entry(index, number, &entry))
		return false;
	n = index_buffers(index, number, chain, PEM_MAX_CHAIN);
	if (n == 0 || !SSL_set_chain_and_key(ssl, chain, n, NULL, &signing_method))
		return false;
	h->signing.key = (struct key_id){ .load = h->server->parts.load, .number = entry.key };
	return true;
}

static enum ssl_select_cert_result_t select_certificate(const SSL_CLIENT_HELLO *hello)
{
	SSL *ssl = hello->ssl;
	struct handshake *h = handshake_of(ssl);
	struct choose_hello wanted;
	uint32_t number;
	struct server_tls *s;

	if (h == NULL)
		return refuse(ssl, SSL_AD_INTERNAL_ERROR, TLS_REASON_OTHER);
	s = h->server;
	CHECK(s, SERVER_MAGIC);
	if (!choose_read(hello, s->policy.max_version, &wanted))
		return refuse(ssl, SSL_AD_DECODE_ERROR, TLS_REASON_DECODE);
	h->name_len = (uint8_t)wanted.name.n; /* choose_read lets no longer one through */
	lower_copy(h->name, wanted.name);
	if (choose_certificate(s->parts.index, s->parts.set, &s->policy, &wanted, &number) !=
	    CHOOSE_FOUND)
		return refuse(ssl, SSL_AD_UNRECOGNIZED_NAME, TLS_REASON_UNRECOGNIZED_NAME);
	if (!set_certificate(ssl, h, number) || !bind_to_name(ssl, h))
		return refuse(ssl, SSL_AD_INTERNAL_ERROR, TLS_REASON_MEMORY);
	if (s->parts.tickets == NULL || !tickets_ready(s->parts.tickets))
		(void)SSL_set_options(ssl, SSL_OP_NO_TICKET);
	return ssl_select_cert_success;
}

void server_tls_context(const char *listener, const char *policy, uint8_t context[32], size_t *len)
{
	uint64_t n = strlen(listener);
	SHA256_CTX sha;

	(void)SHA256_Init(&sha); /* none of these fails */
	(void)SHA256_Update(&sha, &n, sizeof(n));
	(void)SHA256_Update(&sha, listener, n);
	(void)SHA256_Update(&sha, policy, strlen(policy));
	(void)SHA256_Final(context, &sha);
	*len = CONTEXT_LEN;
}

static bool server_configure(struct server_tls *s, const struct conf_listener *l,
			     struct problems *why)
{
	uint8_t context[32];
	size_t len;

	if (!server_setup(s->ctx, l->tls, &s->policy, why))
		return false;
	if (l->mode == CONF_MODE_HTTP)
		server_setup_http(s->ctx, &l->http);
	server_tls_context(l->name, "", context, &len);
	memcpy(s->context, context, CONTEXT_LEN);
	SSL_CTX_set_select_certificate_cb(s->ctx, select_certificate);
	(void)SSL_CTX_set_session_cache_mode(s->ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_timeout(s->ctx, TICKET_LIFETIME_S);
	SSL_CTX_set_session_psk_dhe_timeout(s->ctx, TICKET_LIFETIME_S);
	(void)SSL_CTX_set_options(s->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION);
	if (s->parts.tickets == NULL)
		(void)SSL_CTX_set_options(s->ctx, SSL_OP_NO_TICKET);
	else if (!tickets_install(s->parts.tickets, s->ctx))
		return false;
	return SSL_CTX_set_session_id_context(s->ctx, s->context, CONTEXT_LEN);
}

struct server_tls *server_tls_new(const struct conf_listener *l,
				  const struct server_tls_parts *parts, struct problems *why)
{
	struct server_tls *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->magic = SERVER_MAGIC;
	s->parts = *parts;
	s->ctx = SSL_CTX_new(TLS_with_buffers_method());
	if (s->ctx == NULL || !server_configure(s, l, why)) {
		server_tls_free(s);
		s = NULL;
	}
	ERR_clear_error();
	return s;
}

void server_tls_free(struct server_tls *s)
{
	if (s == NULL)
		return;
	CHECK(s, SERVER_MAGIC);
	SSL_CTX_free(s->ctx);
	s->magic = 0;
	free(s);
}

SSL *server_tls_accept(struct server_tls *s, void (*ready)(void *owner), void *owner)
{
	SSL *ssl;
	struct handshake *h;

	CHECK(s, SERVER_MAGIC);
	ssl = SSL_new(s->ctx);
	h = malloc(sizeof(*h));
	if (ssl == NULL || h == NULL)
		goto fail;
	h->x = (struct exdata){ .drop = handshake_drop, .signing = &h->signing };
	h->server = s;
	signing_init(&h->signing, s->parts.keys, ready, owner);
	h->name_len = 0;
	if (!exdata_set(ssl, &h->x))
		goto fail;
	SSL_set_accept_state(ssl);
	SSL_set_shed_handshake_config(ssl, 1);
	return ssl;
fail:
	SSL_free(ssl);
	free(h);
	ERR_clear_error();
	return NULL;
}

void server_tls_deadline(SSL *ssl, int64_t deadline_ns)
{
	struct handshake *h = handshake_of(ssl);

	if (h != NULL)
		h->signing.deadline_ns = deadline_ns;
}

void server_tls_finished(SSL *ssl)
{
	exdata_drop(ssl);
}

void server_tls_name(const SSL *ssl, char *name, size_t len)
{
	const struct handshake *h = handshake_of(ssl);
	struct span from = h != NULL ? span_of(h->name, h->name_len)
				     : span_str(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));

	if (len == 0)
		return;
	if (from.n > len - 1)
		from.n = len - 1;
	lower_copy(name, from);
	name[from.n] = '\0';
}

/* The certificates for a name, by key type, as choose_certificate finds them. */
static bool serves(const struct server_tls *s, struct span name, uint32_t found[INDEX_KEY_TYPES])
{
	return index_find(s->parts.index, s->parts.set, name, found) ||
	       index_defaults(s->parts.index, s->parts.set, found);
}

bool server_tls_same(const struct server_tls *s, struct span name, struct span host)
{
	uint32_t for_name[INDEX_KEY_TYPES], for_host[INDEX_KEY_TYPES];

	CHECK(s, SERVER_MAGIC);
	if (span_eq(name, host))
		return true;
	if (!serves(s, name, for_name) || !serves(s, host, for_host))
		return false;
	for (size_t i = 0; i < INDEX_KEY_TYPES; i++) {
		if (for_name[i] != INDEX_NONE && for_name[i] == for_host[i])
			return true;
	}
	return false;
}

struct span server_tls_protocol(const SSL *ssl)
{
	const uint8_t *name;
	unsigned len;

	SSL_get0_alpn_selected(ssl, &name, &len);
	return span_of(name, len);
}
