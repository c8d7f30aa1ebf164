/* How a pool's server is verified: what is accepted, and in which words the rest is refused. */
#include "certs/client.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "certs/reason.h"
#include "tests/support/make_certs.h"

static struct made root, other_root;
static char *root_pem;

static void setup(void)
{
	root = make_cert(
		&(struct make_options){ .type = MAKE_P256, .ca = true, .cn = "Good Root" });
	other_root = make_cert(
		&(struct make_options){ .type = MAKE_P256, .ca = true, .cn = "Strange Root" });
	root_pem = made_cert_pem(&root);
}

static void teardown(void)
{
	made_fini(&root);
	made_fini(&other_root);
	free(root_pem);
}

TestSuite(client, .init = setup, .fini = teardown);

/* A server that shows `chain`, up to two certificates. */
static SSL_CTX *server_of(const struct made *leaf, const struct made *issuer)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_with_buffers_method());
	CRYPTO_BUFFER *chain[2];
	size_t n = 0;

	for (const struct made *m = leaf; m != NULL; m = m == leaf ? issuer : NULL) {
		size_t len;
		uint8_t *der = made_cert_der(m, &len);

		chain[n++] = CRYPTO_BUFFER_new(der, len, NULL);
		free(der);
	}
	cr_assert(SSL_CTX_set_chain_and_key(ctx, chain, n, leaf->key, NULL));
	while (n > 0)
		CRYPTO_BUFFER_free(chain[--n]);
	return ctx;
}

struct outcome {
	bool ok;
	int alert; /* that the server got */
	enum tls_reason reason;
	char words[700];
	char sni[64];
};

static void shake(SSL *client, SSL_CTX *server_ctx, struct outcome *o)
{
	SSL *server = SSL_new(server_ctx);
	BIO *a;
	BIO *b;
	int c = 0;
	int s = 0;

	cr_assert(BIO_new_bio_pair(&a, 0, &b, 0));
	SSL_set_accept_state(server);
	SSL_set_bio(server, a, a);
	SSL_set_bio(client, b, b);
	for (int turn = 0; turn < 20 && (c != 1 || s != 1); turn++) {
		if (c != 1 && (c = SSL_do_handshake(client)) != 1 &&
		    SSL_get_error(client, c) == SSL_ERROR_SSL)
			break;
		ERR_clear_error();
		if (s != 1)
			s = SSL_do_handshake(server);
		ERR_clear_error();
	}
	o->ok = c == 1 && s == 1;
	if (SSL_get_servername(server, TLSEXT_NAMETYPE_host_name) != NULL)
		strncpy(o->sni, SSL_get_servername(server, TLSEXT_NAMETYPE_host_name), 63);
	if (!o->ok) {
		o->reason = tls_reason_take(client, o->words, sizeof(o->words));
		(void)SSL_do_handshake(server);
		o->alert = ERR_GET_REASON(ERR_peek_error()) - 1000;
		ERR_clear_error();
	}
	SSL_free(server);
}

static const char *wanted_uri; /* NULL: the name counts */

/* Connects as `name` to a server with `leaf`, trusting the root. */
static struct outcome connect_to(const struct made *leaf, const struct made *issuer,
				 const char *name, bool verify)
{
	struct conf_pool_tls t = {
		.verify = verify, .ca = "/ca.pem", .server_uri = wanted_uri, .min_version = 0x0303
	};
	struct problems why;
	struct client_tls *c;
	SSL_CTX *server = server_of(leaf, issuer);
	struct outcome o = { 0 };
	SSL *ssl;

	problems_init(&why);
	c = client_tls_new(&t, span_str(root_pem), "/pools/x", &why);
	cr_assert_not_null(c);
	ssl = client_tls_connect(c, name, NULL, NULL);
	cr_assert_not_null(ssl);
	client_tls_free(c); /* a connection outlives its pool */
	shake(ssl, server, &o);
	cr_assert_eq(client_tls_failure(ssl) == NULL, o.ok);
	if (!o.ok)
		cr_assert_str_eq(client_tls_failure(ssl), o.words);
	SSL_free(ssl);
	SSL_CTX_free(server);
	problems_fini(&why);
	return o;
}

static struct made leaf(const char *san, int64_t starts, int64_t ends, const struct made *issuer)
{
	return make_cert(&(struct make_options){ .type = MAKE_P256,
						 .cn = "leaf.example",
						 .san = san,
						 .starts_s = starts,
						 .ends_s = ends,
						 .issuer = issuer });
}

static void refused(struct made m, const char *name, int alert, const char *words)
{
	struct outcome o = connect_to(&m, NULL, name, true);

	cr_assert_not(o.ok, "%s", words);
	cr_assert_eq(o.reason, TLS_REASON_VERIFY);
	cr_assert(strstr(o.words, words) != NULL, "\"%s\" lacks \"%s\"", o.words, words);
	cr_assert_eq(o.alert, alert, "%d", o.alert);
	made_fini(&m);
}

static void accepted(struct made m, const char *name, bool verify, const char *sni)
{
	struct outcome o = connect_to(&m, NULL, name, verify);

	cr_assert(o.ok, "%s", o.words);
	cr_assert_str_eq(o.sni, sni);
	made_fini(&m);
}

Test(client, right_name_is_accepted)
{
	accepted(leaf("DNS:a.example", 0, 0, &root), "a.example", true, "a.example");
	accepted(leaf("DNS:a.example", 0, 0, &root), "A.example.", true, "A.example");
	accepted(leaf("DNS:*.b.example", 0, 0, &root), "a.b.example", true, "a.b.example");
}

Test(client, addresses_are_checked_as_addresses)
{
	accepted(leaf("IP:127.0.0.1", 0, 0, &root), "127.0.0.1", true, "");
	accepted(leaf("IP:::1", 0, 0, &root), "::1", true, "");
	refused(leaf("IP:127.0.0.1", 0, 0, &root), "127.0.0.2", SSL_AD_BAD_CERTIFICATE,
		"certificate is for 127.0.0.1, not for 127.0.0.2");
	refused(leaf("DNS:127.0.0.1", 0, 0, &root), "127.0.0.1", SSL_AD_BAD_CERTIFICATE, "not for");
}

Test(client, wrong_name_is_refused_with_the_right_ones)
{
	refused(leaf("DNS:a.example,DNS:b.example", 0, 0, &root), "c.example",
		SSL_AD_BAD_CERTIFICATE,
		"certificate is for a.example, b.example, not for c.example");
	refused(leaf("DNS:a.example,DNS:b.example,DNS:c.example,DNS:d.example", 0, 0, &root), "x",
		SSL_AD_BAD_CERTIFICATE, "a.example, b.example, c.example, ..., not for x");
	refused(leaf("DNS:*.b.example", 0, 0, &root), "a.a.b.example", SSL_AD_BAD_CERTIFICATE,
		"not for");
	/* RFC 9525: the common name does not count. */
	refused(leaf(NULL, 0, 0, &root), "leaf.example", SSL_AD_BAD_CERTIFICATE, "not for");
}

Test(client, a_uri_counts_in_place_of_the_name)
{
	wanted_uri = "spiffe://example.org/web";
	accepted(leaf("URI:spiffe://example.org/web", 0, 0, &root), "a.example", true, "a.example");
	accepted(leaf("DNS:b.example,URI:spiffe://example.org/web", 0, 0, &root), "a.example", true,
		 "a.example");
	refused(leaf("URI:spiffe://example.org/we", 0, 0, &root), "a.example",
		SSL_AD_BAD_CERTIFICATE,
		"certificate is for spiffe://example.org/we, not for spiffe://example.org/web");
	refused(leaf("URI:spiffe://example.org/webs", 0, 0, &root), "a.example",
		SSL_AD_BAD_CERTIFICATE, "not for");
	refused(leaf("URI:spiffe://EXAMPLE.org/web", 0, 0, &root), "a.example",
		SSL_AD_BAD_CERTIFICATE, "not for");
	refused(leaf("URI:spiffe://example.org/web,URI:spiffe://example.org/db", 0, 0, &root),
		"a.example", SSL_AD_BAD_CERTIFICATE, "not for");
	refused(leaf("DNS:a.example", 0, 0, &root), "a.example", SSL_AD_BAD_CERTIFICATE,
		"certificate is for a.example, not for");
	refused(leaf(NULL, 0, 0, &root), "a.example", SSL_AD_BAD_CERTIFICATE, "not for");
	refused(leaf("URI:spiffe://example.org/web", 0, 0, &other_root), "a.example",
		SSL_AD_UNKNOWN_CA, "not among the trusted roots");
}

Test(client, dates_are_checked)
{
	refused(leaf("DNS:a.example", -7200, -3600, &root), "a.example", SSL_AD_CERTIFICATE_EXPIRED,
		"certificate expired on 20");
	refused(leaf("DNS:a.example", 3600, 7200, &root), "a.example",
		SSL_alert_from_verify_result(X509_V_ERR_CERT_NOT_YET_VALID),
		"certificate is not valid before 20");
}

Test(client, untrusted_issuer_is_named)
{
	refused(leaf("DNS:a.example", 0, 0, &other_root), "a.example", SSL_AD_UNKNOWN_CA,
		"issuer \"Strange Root\" is not among the trusted roots (/ca.pem)");
	refused(leaf("DNS:a.example", 0, 0, NULL), "a.example", SSL_AD_UNKNOWN_CA,
		"certificate is self-signed (a.example) and not among the trusted roots");
}

Test(client, certificate_for_clients_is_refused)
{
	refused(make_cert(&(struct make_options){ .type = MAKE_P256,
						  .san = "DNS:a.example",
						  .usage = "clientAuth",
						  .issuer = &root }),
		"a.example", SSL_AD_UNSUPPORTED_CERTIFICATE, "not meant for TLS servers");
}

Test(client, chain_with_an_intermediate_is_accepted)
{
	struct made middle = make_cert(&(struct make_options){
		.type = MAKE_P384, .ca = true, .cn = "Middle", .issuer = &root });
	struct made m = leaf("DNS:a.example", 0, 0, &middle);
	struct outcome o = connect_to(&m, &middle, "a.example", true);

	cr_assert(o.ok, "%s", o.words);
	o = connect_to(&m, NULL, "a.example", true);
	cr_assert_not(o.ok);
	cr_assert(strstr(o.words, "\"Middle\"") != NULL);
	made_fini(&middle);
	made_fini(&m);
}

Test(client, verify_false_accepts_any)
{
	accepted(leaf("DNS:a.example", -7200, -3600, NULL), "other.example", false,
		 "other.example");
}

Test(client, unusable_names_are_refused)
{
	static const char *const bad[] = { "", ".", "a b", "a\nb", "\xff" };
	struct conf_pool_tls t = { .min_version = 0x0303 };
	struct problems why;
	struct client_tls *c;
	char longest[300];

	problems_init(&why);
	c = client_tls_new(&t, span_of(NULL, 0), "/pools/x", &why);
	cr_assert_not_null(c);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_null(client_tls_connect(c, bad[i], NULL, NULL));
	memset(longest, 'a', sizeof(longest));
	longest[254] = '\0';
	cr_assert_null(client_tls_connect(c, longest, NULL, NULL));
	client_tls_free(c);
	problems_fini(&why);
}

Test(client, no_root_and_odd_version_are_told)
{
	struct conf_pool_tls t = { .verify = true, .min_version = 0x0303 };
	struct problems why;

	problems_init(&why);
	cr_assert_null(client_tls_new(&t, span_str("nothing"), "/pools/x", &why));
	cr_assert_str_eq(why.list[0].where, "/pools/x/tls/ca");
	t.min_version = 0x0999;
	cr_assert_null(client_tls_new(&t, span_str(root_pem), "/pools/x", &why));
	cr_assert_str_eq(why.list[1].where, "/pools/x/tls/min_version");
	problems_fini(&why);
}
