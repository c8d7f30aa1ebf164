#include "certs/client.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/exdata.h"
#include "certs/pem.h"
#include "certs/sessions.h"
#include "certs/signing.h"
#include "certs/verify.h"
#include "conf/must.h"

enum { CLIENT_MAGIC = 0x636c6e74, CLIENT_MAX_NAME = 253, CLIENT_MAX_WHERE = 512 };

struct client_tls {
	unsigned magic;
	SSL_CTX *ctx;
	struct verify *verify; /* NULL: any certificate is taken */
	struct keys *keys;     /* NULL: it shows no certificate */
	struct key_id key;
	struct sessions *sessions; /* NULL: none is resumed */
};

/* What hangs on each SSL. */
struct peer {
	struct exdata x;
	struct verify *verify;
	struct signing signing;
	struct sessions *sessions; /* of its server: `place`; NULL: none is kept */
	uint32_t place;
	char *failure; /* why verification failed; NULL: it did not */
	char name[CLIENT_MAX_NAME + 1];
};

/* No SHA-1. */
static const uint16_t verify_algorithms[] = {
	SSL_SIGN_ECDSA_SECP256R1_SHA256, SSL_SIGN_ED25519,
	SSL_SIGN_RSA_PSS_RSAE_SHA256,	 SSL_SIGN_RSA_PKCS1_SHA256,
	SSL_SIGN_ECDSA_SECP384R1_SHA384, SSL_SIGN_RSA_PSS_RSAE_SHA384,
	SSL_SIGN_RSA_PKCS1_SHA384,	 SSL_SIGN_ECDSA_SECP521R1_SHA512,
	SSL_SIGN_RSA_PSS_RSAE_SHA512,	 SSL_SIGN_RSA_PKCS1_SHA512,
};

static void peer_drop(struct exdata *x)
{
	struct peer *p = (struct peer *)x;

	signing_fini(&p->signing);
	sessions_unref(p->sessions);
	verify_unref(p->verify);
	free(p->failure);
	free(p);
}

/* Only client_tls_connect hangs anything on the SSLs of a client. */
static struct peer *peer_of(const SSL *ssl)
{
	return SSL_is_server(ssl) ? NULL : (struct peer *)exdata_get(ssl);
}

static enum ssl_verify_result_t verify_peer(SSL *ssl, uint8_t *out_alert)
{
	struct peer *p = peer_of(ssl);
	char words[VERIFY_WORDS];

	if (p == NULL)
		return ssl_verify_invalid;
	if (p->verify == NULL ||
	    verify_server(p->verify, SSL_get0_peer_certificates(ssl), p->name, out_alert, words))
		return ssl_verify_ok;
	free(p->failure);
	p->failure = strdup(words);
	return ssl_verify_invalid;
}

static bool client_configure(struct client_tls *c, const struct conf_pool_tls *t)
{
	SSL_CTX_set_custom_verify(c->ctx, SSL_VERIFY_PEER, verify_peer);
	(void)SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF);
	return SSL_CTX_set_min_proto_version(c->ctx, t->min_version) &&
	       SSL_CTX_set_max_proto_version(c->ctx, TLS1_3_VERSION) &&
	       SSL_CTX_set_verify_algorithm_prefs(c->ctx, verify_algorithms,
						  sizeof(verify_algorithms) /
							  sizeof(verify_algorithms[0]));
}

struct client_tls *client_tls_new(const struct conf_pool_tls *t, struct span ca_pem,
				  const char *pointer, struct problems *why)
{
	const char *from = t->ca == NULL ? "the system's" : t->ca;
	struct client_tls *c = calloc(1, sizeof(*c));
	char where[CLIENT_MAX_WHERE];
	char what[VERIFY_WORDS];

	if (c == NULL)
		return NULL;
	c->magic = CLIENT_MAGIC;
	if ((c->ctx = SSL_CTX_new(TLS_with_buffers_method())) == NULL)
		goto fail;
	if (!client_configure(c, t)) {
		(void)snprintf(where, sizeof(where), "%s/tls/min_version", pointer);
		problems_add(why, PROBLEM_ERROR, where, "is not known to the library (%s)",
			     compat_library());
		goto fail;
	}
	if (t->verify &&
	    (c->verify = verify_new(ca_pem, from, t->server_uri, what, sizeof(what))) == NULL) {
		(void)snprintf(where, sizeof(where), "%s/tls/ca", pointer);
		problems_add(why, PROBLEM_ERROR, where, "%s: %s", from, what);
		goto fail;
	}
	return c;
fail:
	client_tls_free(c);
	ERR_clear_error();
	return NULL;
}

void client_tls_free(struct client_tls *c)
{
	if (c == NULL)
		return;
	CHECK(c, CLIENT_MAGIC);
	SSL_CTX_free(c->ctx);
	verify_unref(c->verify);
	sessions_unref(c->sessions);
	c->magic = 0;
	free(c);
}

static bool is_ip(const char *name)
{
	uint8_t ip[16];

	return inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1;
}

/* Copies `name` without its trailing dot; false where it can be no host name. */
static bool take_name(const char *name, char out[CLIENT_MAX_NAME + 1])
{
	size_t n = strlen(name);

	if (n > 0 && name[n - 1] == '.')
		n--;
	if (n == 0 || n > CLIENT_MAX_NAME)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	}
	memcpy(out, name, n);
	out[n] = '\0';
	return true;
}

SSL *client_tls_connect(struct client_tls *c, const char *name, void (*ready)(void *owner),
			void *owner)
{
	struct peer *p;
	SSL *ssl = NULL;

	CHECK(c, CLIENT_MAGIC);
	if ((p = calloc(1, sizeof(*p))) == NULL || !take_name(name, p->name))
		goto fail;
	p->x = (struct exdata){ .drop = peer_drop, .signing = &p->signing };
	signing_init(&p->signing, c->keys, ready, owner);
	p->signing.key = c->key;
	if ((ssl = SSL_new(c->ctx)) == NULL ||
	    (!is_ip(p->name) && !SSL_set_tlsext_host_name(ssl, p->name)) || !exdata_set(ssl, &p->x))
		goto fail;
	if (c->verify != NULL)
		p->verify = verify_ref(c->verify);
	SSL_set_connect_state(ssl);
	SSL_set_shed_handshake_config(ssl, 1);
	return ssl;
fail:
	SSL_free(ssl);
	free(p);
	ERR_clear_error();
	return NULL;
}

const char *client_tls_failure(const SSL *ssl)
{
	const struct peer *p = peer_of(ssl);

	return p == NULL ? NULL : p->failure;
}

bool client_tls_offer(struct client_tls *c, enum conf_protocol protocol)
{
	static const char http2[] = "\x02h2", either[] = "\x02h2\x08http/1.1";
	const char *list = protocol == CONF_PROTOCOL_HTTP2 ? http2 : either;

	if (protocol == CONF_PROTOCOL_HTTP1)
		return true;
	return SSL_CTX_set_alpn_protos(c->ctx, (const uint8_t *)list, (unsigned)strlen(list)) == 0;
}

/* ---- a certificate of its own */

/* Copies: connections outlive the index. */
static bool set_chain(SSL_CTX *ctx, const struct span *der, size_t n)
{
	CRYPTO_BUFFER *chain[PEM_MAX_CHAIN] = { NULL };
	bool ok = n > 0;

	for (size_t i = 0; ok && i < n; i++) {
		chain[i] = CRYPTO_BUFFER_new((const uint8_t *)der[i].p, der[i].n, NULL);
		ok = chain[i] != NULL;
	}
	ok = ok && SSL_CTX_set_chain_and_key(ctx, chain, n, NULL, &signing_method);
	for (size_t i = 0; i < n; i++)
		CRYPTO_BUFFER_free(chain[i]);
	return ok;
}

bool client_tls_show(struct client_tls *c, const struct client_tls_certificate *from)
{
	uint32_t found[INDEX_KEY_TYPES], number = INDEX_NONE;
	struct span der[PEM_MAX_CHAIN];
	struct index_entry entry;

	CHECK(c, CLIENT_MAGIC);
	if (!index_defaults(from->index, from->set, found))
		return false;
	for (size_t i = 0; number == INDEX_NONE && i < INDEX_KEY_TYPES; i++)
		number = found[i];
	if (!index_entry(from->index, number, &entry) ||
	    !set_chain(c->ctx, der, index_chain(from->index, number, der, PEM_MAX_CHAIN)))
		return false;
	c->keys = from->keys;
	c->key = (struct key_id){ .load = from->load, .number = entry.key };
	return true;
}

/* ---- sessions */

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct peer *p = peer_of(ssl);

	if (p == NULL || p->sessions == NULL)
		return 0;
	sessions_put(p->sessions, p->place, session);
	return 1; /* it is ours */
}

bool client_tls_resume(struct client_tls *c, uint32_t places)
{
	CHECK(c, CLIENT_MAGIC);
	if ((c->sessions = sessions_new(places)) == NULL)
		return false;
	(void)SSL_CTX_set_session_cache_mode(c->ctx,
					     SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c->ctx, on_session);
	return true;
}

void client_tls_place(struct client_tls *c, SSL *ssl, uint32_t place)
{
	struct peer *p = peer_of(ssl);
	SSL_SESSION *session;

	CHECK(c, CLIENT_MAGIC);
	if (c->sessions == NULL)
		return;
	MUST(p != NULL && p->sessions == NULL);
	p->sessions = sessions_ref(c->sessions);
	p->place = place;
	if ((session = sessions_take(c->sessions, place)) == NULL)
		return;
	(void)SSL_set_session(ssl, session); /* else the handshake is a full one */
	SSL_SESSION_free(session);
	ERR_clear_error();
}
