/* What is agreed on by ALPN, on either side; and whether two hosts are served alike. */
#include <criterion/criterion.h>
#include <string.h>

#include "certs/client.h"
#include "tests/support/tls_pair.h"

#define OFFER_BOTH "\x02h2\x08http/1.1"
#define OFFER_HTTP1 "\x08http/1.1"
#define OFFER_HTTP2 "\x02h2"
#define OFFER_OTHER "\x04imap\x03h2c"

static const uint64_t usual[] = { CONF_HTTP2, CONF_HTTP1 };
static const uint64_t turned[] = { CONF_HTTP1, CONF_HTTP2 };

struct fixture {
	struct made cert;
	struct tls_side side;
	SSL_CTX *client;
};

static void fixture_make(struct fixture *f, const uint64_t *versions, size_t num)
{
	f->cert = make_cert(&(struct make_options){ .type = MAKE_P256 });
	tls_side_init(&f->side, "https");
	f->side.listener.mode = num == 0 ? CONF_MODE_TCP : CONF_MODE_HTTP;
	f->side.listener.http.versions = versions;
	f->side.listener.http.num_versions = num;
	tls_side_add(&f->side, &f->cert, INDEX_KEY_ECDSA_P256, "a.example");
	tls_side_start(&f->side, NULL);
	f->client = tls_client();
}

static void fixture_fini(struct fixture *f)
{
	SSL_CTX_free(f->client);
	tls_side_fini(&f->side);
	made_fini(&f->cert);
}

/* What is agreed on with a client that makes `offer`; "-": the handshake failed, rightly. */
static const char *agreed(struct fixture *f, const char *offer)
{
	static char name[32];
	struct tls_pair p;
	SSL *failed;

	tls_pair_init(&p, &f->side, f->client);
	cr_assert_eq(SSL_set_alpn_protos(p.client, (const uint8_t *)offer, strlen(offer)), 0);
	if (tls_pair_run(&p, f->side.keys, &failed)) {
		struct span s = server_tls_protocol(p.server), c = server_tls_protocol(p.client);

		cr_assert(span_eq(s, c), "both ends know");
		cr_assert_lt(s.n, sizeof(name));
		if (s.n > 0)
			memcpy(name, s.p, s.n);
		name[s.n] = '\0';
	} else {
		cr_assert_eq(failed, p.server);
		ERR_clear_error();
		cr_assert_lt(SSL_do_handshake(p.client), 0);
		cr_assert_eq(ERR_GET_REASON(ERR_peek_error()) - 1000,
			     SSL_AD_NO_APPLICATION_PROTOCOL);
		ERR_clear_error();
		name[0] = '-';
		name[1] = '\0';
	}
	tls_pair_fini(&p);
	return name;
}

Test(protocol, the_listener_prefers_and_refuses)
{
	static const struct {
		const uint64_t *versions;
		size_t num;
		const char *both, *http1, *http2, *other;
	} cases[] = {
		{ usual, 2, "h2", "http/1.1", "h2", "-" },
		{ turned, 2, "http/1.1", "http/1.1", "h2", "-" },
		{ usual, 1, "h2", "-", "h2", "-" },
		{ turned, 1, "http/1.1", "http/1.1", "-", "-" },
		{ NULL, 0, "", "", "", "" }, /* mode tcp: what is inside is nobody's business */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static const uint16_t tls[] = { TLS1_2_VERSION, TLS1_3_VERSION };
		struct fixture f;

		fixture_make(&f, cases[i].versions, cases[i].num);
		for (size_t k = 0; k < 2; k++) {
			cr_assert(SSL_CTX_set_max_proto_version(f.client, tls[k]));
			cr_expect_str_eq(agreed(&f, OFFER_BOTH), cases[i].both, "case %zu", i);
			cr_expect_str_eq(agreed(&f, "\x08http/1.1\x02h2"), cases[i].both,
					 "the client's order is not asked for");
			cr_expect_str_eq(agreed(&f, OFFER_HTTP1), cases[i].http1, "case %zu", i);
			cr_expect_str_eq(agreed(&f, OFFER_HTTP2), cases[i].http2, "case %zu", i);
			cr_expect_str_eq(agreed(&f, OFFER_OTHER), cases[i].other, "case %zu", i);
			cr_expect_str_eq(agreed(&f, ""), "", "no offer is no mistake");
		}
		fixture_fini(&f);
	}
}

Test(protocol, a_pool_offers_what_it_speaks)
{
	static const struct {
		enum conf_protocol protocol;
		const char *with_both, *with_http1;
	} cases[] = {
		{ CONF_PROTOCOL_HTTP1, "", "" },
		{ CONF_PROTOCOL_HTTP2, "h2", "-" },
		{ CONF_PROTOCOL_AUTO, "h2", "http/1.1" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t k = 0; k < 2; k++) {
			struct conf_pool_tls t = { .min_version = TLS1_2_VERSION };
			const char *want = k == 0 ? cases[i].with_both : cases[i].with_http1;
			struct problems why;
			struct client_tls *c;
			struct fixture f;
			struct tls_pair p;
			bool ok;

			fixture_make(&f, k == 0 ? usual : turned, k == 0 ? 2 : 1);
			problems_init(&why);
			c = client_tls_new(&t, span_of(NULL, 0), "/pools/x", &why);
			cr_assert_not_null(c);
			cr_assert(client_tls_offer(c, cases[i].protocol));
			tls_pair_init(&p, &f.side, f.client);
			SSL_set_bio(p.server, NULL, NULL);
			SSL_free(p.client);
			cr_assert_not_null(p.client =
						   client_tls_connect(c, "a.example", NULL, NULL));
			{
				BIO *a, *b;

				cr_assert(BIO_new_bio_pair(&a, 0, &b, 0));
				SSL_set_bio(p.server, a, a);
				SSL_set_bio(p.client, b, b);
			}
			ok = tls_pair_run(&p, f.side.keys, NULL);
			cr_expect_eq(ok, strcmp(want, "-") != 0, "case %zu %zu", i, k);
			if (ok)
				cr_expect(span_eq(server_tls_protocol(p.client), span_str(want)),
					  "case %zu %zu", i, k);
			ERR_clear_error();
			tls_pair_fini(&p);
			client_tls_free(c);
			problems_fini(&why);
			fixture_fini(&f);
		}
	}
}

/* ---- one connection for several hosts */

Test(protocol, hosts_of_one_certificate_are_served_alike)
{
	static const struct {
		const char *name, *host;
		bool same;
	} cases[] = {
		{ "a.example", "a.example", true },
		{ "a.example", "b.example", true }, /* names of one certificate */
		{ "a.example", "c.example", false },
		{ "c.example", "a.example", false },
		{ "x.w.example", "y.w.example", true },	   /* one wildcard */
		{ "x.w.example", "x.y.w.example", false }, /* which is one label: the default's */
		{ "x.w.example", "w.example", false },
		{ "x.w.example", "own.w.example", false }, /* has one of its own */
		{ "own.w.example", "x.w.example", false },
		{ "unknown.example", "other.example", true }, /* both the default's */
		{ "unknown.example", "d.example", true },
		{ "unknown.example", "a.example", false },
		{ "", "unknown.example", true }, /* no SNI */
		{ "", "d.example", true },
		{ "", "10.0.0.1", true },
		{ "", "a.example", false },
		{ "", "", true },
		{ "two.example", "a.example", true }, /* has another one of RSA beside */
	};
	struct made first, a, c, wild, own, rsa;
	struct tls_side s;

	first = make_cert(&(struct make_options){ .type = MAKE_P256 });
	a = make_cert(&(struct make_options){ .type = MAKE_P256 });
	c = make_cert(&(struct make_options){ .type = MAKE_P256 });
	wild = make_cert(&(struct make_options){ .type = MAKE_P256 });
	own = make_cert(&(struct make_options){ .type = MAKE_P256 });
	rsa = make_cert(&(struct make_options){ .type = MAKE_RSA_2048 });
	tls_side_init(&s, "https");
	tls_side_add(&s, &first, INDEX_KEY_ECDSA_P256, "d.example");
	tls_side_add(&s, &a, INDEX_KEY_ECDSA_P256, "a.example,b.example,two.example");
	tls_side_add(&s, &c, INDEX_KEY_ECDSA_P256, "c.example");
	tls_side_add(&s, &wild, INDEX_KEY_ECDSA_P256, "*.w.example");
	tls_side_add(&s, &own, INDEX_KEY_ECDSA_P256, "own.w.example");
	tls_side_add(&s, &rsa, INDEX_KEY_RSA, "two.example");
	tls_side_start(&s, NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(
			server_tls_same(s.server, span_str(cases[i].name), span_str(cases[i].host)),
			cases[i].same, "%s, %s", cases[i].name, cases[i].host);
	tls_side_fini(&s);
	made_fini(&first);
	made_fini(&a);
	made_fini(&c);
	made_fini(&wild);
	made_fini(&own);
	made_fini(&rsa);
}
