/* Handshakes in memory: which certificate is shown, what is refused and how, what resumes. */
#include "certs/server.h"

#include <criterion/criterion.h>
#include <string.h>

#include "certs/reason.h"
#include "tests/support/tls_pair.h"

/* A server with an RSA and an ECDSA certificate for a.example, a wildcard, and a default. */
struct fixture {
	struct made ec, rsa, wild, first;
	struct tls_side side;
	SSL_CTX *client;
};

static void fixture_make(struct fixture *f)
{
	f->first = make_cert(
		&(struct make_options){ .type = MAKE_P256, .san = "DNS:default.example" });
	f->ec = make_cert(&(struct make_options){ .type = MAKE_P256, .san = "DNS:a.example" });
	f->wild = make_cert(&(struct make_options){ .type = MAKE_P256, .san = "DNS:*.w.example" });
	f->rsa = make_cert(&(struct make_options){ .type = MAKE_RSA_2048, .san = "DNS:a.example" });
	tls_side_init(&f->side, "https");
	tls_side_add(&f->side, &f->first, INDEX_KEY_ECDSA_P256, "default.example");
	tls_side_add(&f->side, &f->ec, INDEX_KEY_ECDSA_P256, "a.example");
	tls_side_add(&f->side, &f->wild, INDEX_KEY_ECDSA_P256, "*.w.example");
	tls_side_add(&f->side, &f->rsa, INDEX_KEY_RSA, "a.example");
	f->client = tls_client();
}

static void fixture_fini(struct fixture *f)
{
	SSL_CTX_free(f->client);
	tls_side_fini(&f->side);
	made_fini(&f->ec);
	made_fini(&f->rsa);
	made_fini(&f->wild);
	made_fini(&f->first);
}

/* Shakes hands as `sni` and tells whether `m` was shown. */
static bool shows(struct fixture *f, const char *sni, const struct made *m)
{
	struct tls_pair p;
	bool same;

	tls_pair_init(&p, &f->side, f->client);
	if (sni != NULL)
		cr_assert(SSL_set_tlsext_host_name(p.client, sni));
	cr_assert(tls_pair_run(&p, f->side.keys, NULL));
	cr_assert_eq(p.ready, 1);
	same = tls_peer_is(&p, m);
	tls_pair_fini(&p);
	return same;
}

Test(server, name_chooses_the_certificate)
{
	struct fixture f;

	fixture_make(&f);
	tls_side_start(&f.side, NULL);
	cr_assert(shows(&f, "a.example", &f.ec));
	cr_assert(shows(&f, "A.Example", &f.ec));
	cr_assert(shows(&f, "a.example.", &f.ec));
	cr_assert(shows(&f, "x.w.example", &f.wild));
	cr_assert(shows(&f, "x.y.w.example", &f.first), "a wildcard is one label");
	cr_assert(shows(&f, "w.example", &f.first));
	cr_assert(shows(&f, "unknown.example", &f.first));
	cr_assert(shows(&f, NULL, &f.first));
	fixture_fini(&f);
}

Test(server, both_versions_choose_by_what_the_client_verifies)
{
	static const uint16_t rsa_only[] = { SSL_SIGN_RSA_PSS_RSAE_SHA256,
					     SSL_SIGN_RSA_PKCS1_SHA256 };
	static const uint16_t both[] = { SSL_SIGN_RSA_PSS_RSAE_SHA256,
					 SSL_SIGN_ECDSA_SECP256R1_SHA256 };
	static const uint16_t versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct fixture f;

	fixture_make(&f);
	tls_side_start(&f.side, NULL);
	for (size_t i = 0; i < 2; i++) {
		cr_assert(SSL_CTX_set_max_proto_version(f.client, versions[i]));
		cr_assert(SSL_CTX_set_verify_algorithm_prefs(f.client, rsa_only, 2));
		cr_assert(shows(&f, "a.example", &f.rsa), "version %x", versions[i]);
		cr_assert(SSL_CTX_set_verify_algorithm_prefs(f.client, both, 2));
		cr_assert(shows(&f, "a.example", &f.ec), "version %x", versions[i]);
	}
	/* TLS 1.2 suites alone can rule ECDSA out, and so can a missing curve. */
	cr_assert(SSL_CTX_set_max_proto_version(f.client, TLS1_2_VERSION));
	cr_assert(SSL_CTX_set_strict_cipher_list(f.client, "ECDHE-RSA-AES128-GCM-SHA256"));
	cr_assert(shows(&f, "a.example", &f.rsa));
	cr_assert(SSL_CTX_set_strict_cipher_list(
		f.client, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"));
	cr_assert(SSL_CTX_set1_curves_list(f.client, "X25519"));
	cr_assert(shows(&f, "a.example", &f.rsa));
	fixture_fini(&f);
}

Test(server, every_key_type_signs_in_both_versions)
{
	static const struct {
		enum make_key make;
		enum index_key_type type;
	} kinds[] = {
		{ MAKE_P256, INDEX_KEY_ECDSA_P256 }, { MAKE_P384, INDEX_KEY_ECDSA_P384 },
		{ MAKE_P521, INDEX_KEY_ECDSA_P521 }, { MAKE_ED25519, INDEX_KEY_ED25519 },
		{ MAKE_RSA_2048, INDEX_KEY_RSA },
	};
	static const uint16_t all[] = {
		SSL_SIGN_ECDSA_SECP256R1_SHA256, SSL_SIGN_ECDSA_SECP384R1_SHA384,
		SSL_SIGN_ECDSA_SECP521R1_SHA512, SSL_SIGN_ED25519,
		SSL_SIGN_RSA_PSS_RSAE_SHA256,	 SSL_SIGN_RSA_PKCS1_SHA256,
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct fixture f = { .client = tls_client() };

		f.ec = make_cert(&(struct make_options){ .type = kinds[i].make });
		tls_side_init(&f.side, "https");
		tls_side_add(&f.side, &f.ec, kinds[i].type, "a.example");
		tls_side_start(&f.side, NULL);
		cr_assert(SSL_CTX_set_verify_algorithm_prefs(f.client, all, 6));
		cr_assert(SSL_CTX_set1_curves_list(f.client, "X25519:P-256:P-384:P-521"));
		cr_assert(shows(&f, "a.example", &f.ec), "type %zu", i);
		cr_assert(SSL_CTX_set_max_proto_version(f.client, TLS1_2_VERSION));
		cr_assert(shows(&f, "a.example", &f.ec), "type %zu", i);
		fixture_fini(&f);
	}
}

/* Shakes hands, expecting the server to refuse; returns why, and the alert that the client saw. */
static enum tls_reason refused(struct fixture *f, const char *sni, int *alert)
{
	enum tls_reason why;
	struct tls_pair p;
	char words[256];
	char name[64];
	SSL *failed;

	tls_pair_init(&p, &f->side, f->client);
	if (sni != NULL)
		cr_assert(SSL_set_tlsext_host_name(p.client, sni));
	cr_assert_not(tls_pair_run(&p, f->side.keys, &failed));
	cr_assert_eq(failed, p.server);
	why = tls_reason_take(p.server, words, sizeof(words));
	cr_assert_gt(strlen(words), 10);
	server_tls_name(p.server, name, sizeof(name));
	cr_assert_str_eq(name, sni == NULL ? "" : sni);
	cr_assert_lt(SSL_do_handshake(p.client), 0);
	*alert = ERR_GET_REASON(ERR_peek_error()) - 1000;
	cr_assert(tls_reason_take(p.client, words, sizeof(words)) == TLS_REASON_PEER_ALERT);
	tls_pair_fini(&p);
	return why;
}

Test(server, strict_sni_sends_unrecognized_name)
{
	struct fixture f;
	int alert;

	fixture_make(&f);
	f.side.tls.strict_sni = true;
	tls_side_start(&f.side, NULL);
	cr_assert_eq(refused(&f, "unknown.example", &alert), TLS_REASON_UNRECOGNIZED_NAME);
	cr_assert_eq(alert, SSL_AD_UNRECOGNIZED_NAME);
	cr_assert_eq(refused(&f, NULL, &alert), TLS_REASON_UNRECOGNIZED_NAME);
	cr_assert_eq(alert, SSL_AD_UNRECOGNIZED_NAME);
	cr_assert(shows(&f, "a.example", &f.ec));
	fixture_fini(&f);
}

Test(server, old_version_is_refused)
{
	struct fixture f;
	int alert;

	fixture_make(&f);
	tls_side_start(&f.side, NULL);
	cr_assert(SSL_CTX_set_min_proto_version(f.client, TLS1_VERSION));
	cr_assert(SSL_CTX_set_max_proto_version(f.client, TLS1_1_VERSION));
	cr_assert_eq(refused(&f, "a.example", &alert), TLS_REASON_VERSION);
	cr_assert_eq(alert, SSL_AD_PROTOCOL_VERSION);
	fixture_fini(&f);
}

Test(server, no_common_signature_is_named)
{
	static const uint16_t ed[] = { SSL_SIGN_ED25519 };
	struct fixture f;
	int alert;

	fixture_make(&f);
	tls_side_start(&f.side, NULL);
	cr_assert(SSL_CTX_set_verify_algorithm_prefs(f.client, ed, 1));
	cr_assert_eq(refused(&f, "a.example", &alert), TLS_REASON_NO_SHARED_SIGALG);
	fixture_fini(&f);
}

Test(server, nothing_in_common_is_named)
{
	struct fixture f;
	int alert;

	fixture_make(&f);
	tls_side_start(&f.side, NULL);
	cr_assert(SSL_CTX_set1_curves_list(f.client, "P-521"));
	cr_assert_eq(refused(&f, "a.example", &alert), TLS_REASON_NO_SHARED_GROUP);
	cr_assert(SSL_CTX_set1_curves_list(f.client, "X25519:P-256"));
	cr_assert(SSL_CTX_set_max_proto_version(f.client, TLS1_2_VERSION));
	cr_assert(SSL_CTX_set_strict_cipher_list(f.client, "ECDHE-ECDSA-AES256-GCM-SHA384"));
	cr_assert_eq(refused(&f, "a.example", &alert), TLS_REASON_NO_SHARED_CIPHER);
	cr_assert_eq(alert, SSL_AD_HANDSHAKE_FAILURE);
	fixture_fini(&f);
}

/* Feeds raw bytes to a server; returns why it refused. */
static enum tls_reason feed(struct fixture *f, const void *bytes, size_t n)
{
	SSL *ssl = server_tls_accept(f->side.server, NULL, NULL);
	BIO *in = BIO_new_mem_buf(bytes, (int)n);
	BIO *out = BIO_new(BIO_s_mem());
	enum tls_reason why;
	char words[256];

	cr_assert(ssl != NULL && in != NULL && out != NULL);
	SSL_set_bio(ssl, in, out);
	cr_assert_leq(SSL_do_handshake(ssl), 0);
	why = tls_reason_take(ssl, words, sizeof(words));
	SSL_free(ssl);
	return why;
}

Test(server, plain_http_and_noise_are_told_apart)
{
	static const uint8_t empty_hello[] = { 22, 3, 1, 0, 4, 1, 0, 0, 0 };
	struct fixture f;

	fixture_make(&f);
	tls_side_start(&f.side, NULL);
	cr_assert_eq(feed(&f, "GET / HTTP/1.1\r\n\r\n", 18), TLS_REASON_HTTP_REQUEST);
	cr_assert_eq(feed(&f, "CONNECT a:1 HTTP/1.1\r\n", 22), TLS_REASON_HTTP_REQUEST);
	cr_assert_eq(feed(&f, "\x16\x09\x09\x00\x01\x01", 6), TLS_REASON_NOT_TLS);
	cr_assert_eq(feed(&f, "SSH-2.0-OpenSSH_9.2p1\r\n", 23), TLS_REASON_NOT_TLS);
	cr_assert_eq(feed(&f, empty_hello, sizeof(empty_hello)), TLS_REASON_DECODE);
	fixture_fini(&f);
}

Test(server, name_is_known_during_and_after)
{
	struct fixture f;
	struct tls_pair p;
	char name[64];

	fixture_make(&f);
	tls_side_start(&f.side, NULL);
	tls_pair_init(&p, &f.side, f.client);
	cr_assert(SSL_set_tlsext_host_name(p.client, "A.exaMPLE"));
	server_tls_name(p.server, name, sizeof(name));
	cr_assert_str_eq(name, "");
	cr_assert_lt(SSL_do_handshake(p.client), 1);
	cr_assert_lt(SSL_do_handshake(p.server), 1);
	server_tls_name(p.server, name, sizeof(name));
	cr_assert_str_eq(name, "a.example");
	cr_assert(tls_pair_run(&p, f.side.keys, NULL));
	server_tls_name(p.server, name, sizeof(name));
	cr_assert_str_eq(name, "a.example");
	server_tls_name(p.server, name, 4);
	cr_assert_str_eq(name, "a.e");
	tls_pair_fini(&p);
	fixture_fini(&f);
}

/* Takes a handshake to where it waits for its signature. */
static void until_waiting(struct fixture *f, struct tls_pair *p)
{
	int n;

	tls_pair_init(p, &f->side, f->client);
	cr_assert_lt(SSL_do_handshake(p->client), 1);
	n = SSL_do_handshake(p->server);
	cr_assert_eq(SSL_get_error(p->server, n), SSL_ERROR_WANT_PRIVATE_KEY_OPERATION);
	cr_assert_eq(keys_waiting(f->side.keys), 1);
}

Test(server, free_while_waiting_cancels_the_signature)
{
	struct fixture f;
	struct tls_pair p;

	fixture_make(&f);
	tls_side_start(&f.side, NULL);
	until_waiting(&f, &p);
	SSL_free(p.server);
	p.server = NULL;
	cr_assert_eq(keys_waiting(f.side.keys), 0);
	keys_run(f.side.keys, 10);
	cr_assert_eq(p.ready, 0);
	tls_pair_fini(&p);
	fixture_fini(&f);
}

Test(server, asking_again_before_the_answer_waits_on)
{
	struct fixture f;
	struct tls_pair p;
	int n;

	fixture_make(&f);
	tls_side_start(&f.side, NULL);
	until_waiting(&f, &p);
	n = SSL_do_handshake(p.server);
	cr_assert_eq(SSL_get_error(p.server, n), SSL_ERROR_WANT_PRIVATE_KEY_OPERATION);
	cr_assert_eq(keys_waiting(f.side.keys), 1);
	cr_assert(tls_pair_run(&p, f.side.keys, NULL));
	tls_pair_fini(&p);
	fixture_fini(&f);
}

Test(server, retired_key_fails_the_handshake_that_waits)
{
	struct fixture f;
	struct tls_pair p;
	char words[128];

	fixture_make(&f);
	tls_side_start(&f.side, NULL);
	until_waiting(&f, &p);
	keys_retire(f.side.keys, 7);
	keys_run(f.side.keys, 10);
	cr_assert_eq(p.ready, 1);
	cr_assert_not(tls_pair_run(&p, f.side.keys, NULL));
	cr_assert_eq(tls_reason_take(p.server, words, sizeof(words)), TLS_REASON_KEY);
	tls_pair_fini(&p);
	fixture_fini(&f);
}

Test(server, connection_outlives_server_and_index)
{
	struct fixture f;
	struct tls_pair p;
	char text[8] = "";

	fixture_make(&f);
	tls_side_start(&f.side, NULL);
	tls_pair_init(&p, &f.side, f.client);
	cr_assert(tls_pair_run(&p, f.side.keys, NULL));
	server_tls_free(f.side.server);
	f.side.server = NULL;
	index_close(f.side.index);
	f.side.index = NULL;
	memset(f.side.index_bytes, 0xaa, f.side.index_len);
	cr_assert_eq(SSL_write(p.client, "hello", 5), 5);
	cr_assert_eq(SSL_read(p.server, text, 8), 5);
	cr_assert_str_eq(text, "hello");
	tls_pair_fini(&p);
	fixture_fini(&f);
}

/* What server_tls_new says about a listener; NULL where it was content. */
static const char *complaint(const struct conf_tls *t, struct problems *why)
{
	struct conf_listener l = { .name = "x", .tls = t };
	struct server_tls_parts parts = { 0 };
	struct server_tls *s = server_tls_new(&l, &parts, why);

	server_tls_free(s);
	cr_assert_eq(s == NULL, why->num_errors > 0);
	return why->num > 0 ? why->list[0].what : NULL;
}

Test(server, unknown_words_are_named_with_what_there_is)
{
	static const char *const odd[] = { "X25519", "X448" };
	static const char *const twice[] = { "X25519", "X25519" };
	struct tls_side s;
	struct conf_tls t;
	struct problems why;

	tls_side_init(&s, "x");
	problems_init(&why);
	cr_assert_null(complaint(&s.tls, &why));
	t = s.tls;
	t.groups = odd;
	t.num_groups = 2;
	t.groups_given = true;
	cr_assert(strstr(complaint(&t, &why), "X448") != NULL);
	cr_assert(strstr(why.list[0].what, "P-256") != NULL);
	cr_assert_str_eq(why.list[0].where, "/listeners/0/tls/groups");
	problems_fini(&why);
	problems_init(&why);
	t.groups_given = false;
	cr_assert_null(complaint(&t, &why), "a default is left out in silence");
	t.groups = twice;
	cr_assert_not_null(complaint(&t, &why));
	problems_fini(&why);
	problems_init(&why);
	t = s.tls;
	t.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256:NOPE";
	cr_assert(strstr(complaint(&t, &why), "\"NOPE\"") != NULL);
	problems_fini(&why);
	problems_init(&why);
	t.ciphers = "AES128-GCM-SHA256";
	cr_assert(strstr(complaint(&t, &why), "forward secret") != NULL);
	problems_fini(&why);
	problems_init(&why);
	t = s.tls;
	t.min_version = TLS1_3_VERSION;
	t.max_version = TLS1_2_VERSION;
	cr_assert_not_null(complaint(&t, &why));
	problems_fini(&why);
	tls_side_fini(&s);
}

Test(server, context_tells_listeners_and_policies_apart)
{
	uint8_t a[32];
	uint8_t b[32];
	size_t len;

	server_tls_context("https", "", a, &len);
	cr_assert_leq(len, sizeof(a));
	server_tls_context("https", "", b, &len);
	cr_assert_arr_eq(a, b, len);
	server_tls_context("https", "require", b, &len);
	cr_assert_arr_neq(a, b, len);
	server_tls_context("httpsr", "equire", a, &len);
	cr_assert_arr_neq(a, b, len);
}
