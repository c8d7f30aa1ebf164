/* Which sessions resume, and where. */
#include "certs/tickets.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/tls_pair.h"

static const struct ticket_key key_a = { { 'a' }, { 1 } };
static const struct ticket_key key_b = { { 'b' }, { 2 } };
static const struct ticket_key key_c = { { 'c' }, { 3 } };

/* Same name as key_a, other secret. */
static const struct ticket_key key_false = { { 'a' }, { 9 } };

struct fixture {
	struct made cert;
	struct tls_side side;
	struct tickets *tickets;
	SSL_CTX *client;
	SSL_SESSION *session;
};

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct fixture *f = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	SSL_SESSION_free(f->session);
	f->session = session;
	return 1;
}

static void fixture_make(struct fixture *f, const char *listener, const struct ticket_key *key)
{
	*f = (struct fixture){ .tickets = tickets_new(), .client = tls_client() };
	f->cert = make_cert(&(struct make_options){ .type = MAKE_P256 });
	tls_side_init(&f->side, listener);
	tls_side_add(&f->side, &f->cert, INDEX_KEY_ECDSA_P256, "a.example,b.example");
	if (key != NULL)
		tickets_set(f->tickets, key, 1);
	tls_side_start(&f->side, f->tickets);
	SSL_CTX_set_app_data(f->client, f);
	SSL_CTX_set_session_cache_mode(f->client, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(f->client, keep_session);
}

static void fixture_fini(struct fixture *f)
{
	SSL_SESSION_free(f->session);
	SSL_CTX_free(f->client);
	tls_side_fini(&f->side);
	tickets_free(f->tickets);
	made_fini(&f->cert);
}

/* Connects with `session` (NULL: none) and tells whether it was resumed, by both sides. */
static bool resumes(struct fixture *f, SSL_SESSION *session, const char *sni)
{
	struct tls_pair p;
	bool reused;

	tls_pair_init(&p, &f->side, f->client);
	cr_assert(SSL_set_tlsext_host_name(p.client, sni));
	if (session != NULL)
		cr_assert(SSL_set_session(p.client, session));
	cr_assert(tls_pair_run(&p, f->side.keys, NULL));
	reused = SSL_session_reused(p.server);
	cr_assert_eq(SSL_session_reused(p.client), reused);
	cr_assert_eq(p.ready, reused ? 0 : 1);
	tls_pair_fini(&p);
	return reused;
}

/* A session from `f`, to be freed. */
static SSL_SESSION *get_session(struct fixture *f)
{
	SSL_SESSION *s;

	cr_assert_not(resumes(f, NULL, "a.example"));
	s = f->session;
	f->session = NULL;
	return s;
}

static const uint16_t versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

Test(tickets, resume_with_any_worker_of_the_listener)
{
	for (size_t i = 0; i < 2; i++) {
		struct fixture one;
		struct fixture two;
		SSL_SESSION *s;

		fixture_make(&one, "https", &key_a);
		fixture_make(&two, "https", &key_a);
		SSL_CTX_set_max_proto_version(one.client, versions[i]);
		SSL_CTX_set_max_proto_version(two.client, versions[i]);
		s = get_session(&one);
		cr_assert_not_null(s);
		cr_assert(resumes(&one, s, "a.example"));
		cr_assert(resumes(&two, s, "a.example"));
		SSL_SESSION_free(s);
		fixture_fini(&one);
		fixture_fini(&two);
	}
}

Test(tickets, do_not_resume_elsewhere)
{
	for (size_t i = 0; i < 2; i++) {
		struct fixture one;
		struct fixture other;
		SSL_SESSION *s;

		fixture_make(&one, "https", &key_a);
		fixture_make(&other, "imaps", &key_a);
		SSL_CTX_set_max_proto_version(one.client, versions[i]);
		SSL_CTX_set_max_proto_version(other.client, versions[i]);
		s = get_session(&one);
		cr_assert_not(resumes(&other, s, "a.example"), "another listener");
		cr_assert_not(resumes(&one, s, "b.example"), "another name (RFC 6066 3)");
		cr_assert(resumes(&one, s, "A.example"), "the same name");
		SSL_SESSION_free(s);
		fixture_fini(&one);
		fixture_fini(&other);
	}
}

Test(tickets, rotation_opens_old_and_seals_with_new)
{
	struct fixture f;
	SSL_SESSION *a;
	SSL_SESSION *b;

	fixture_make(&f, "https", &key_a);
	a = get_session(&f);
	tickets_set(f.tickets, (struct ticket_key[]){ key_b, key_a }, 2);
	cr_assert(resumes(&f, a, "a.example"));
	b = get_session(&f);
	tickets_set(f.tickets, (struct ticket_key[]){ key_c, key_b, key_a }, 3);
	cr_assert(resumes(&f, a, "a.example"));
	cr_assert(resumes(&f, b, "a.example"));
	tickets_set(f.tickets, (struct ticket_key[]){ key_c, key_b }, 2);
	cr_assert_not(resumes(&f, a, "a.example"), "its key is gone");
	cr_assert(resumes(&f, b, "a.example"));
	tickets_set(f.tickets, &key_false, 1);
	cr_assert_not(resumes(&f, a, "a.example"), "its key's name was taken by another");
	SSL_SESSION_free(a);
	SSL_SESSION_free(b);
	fixture_fini(&f);
}

Test(tickets, damaged_ticket_means_full_handshake)
{
	struct fixture f;
	const uint8_t *ticket;
	SSL_SESSION *s;
	size_t n;

	fixture_make(&f, "https", &key_a);
	SSL_CTX_set_max_proto_version(f.client, TLS1_2_VERSION);
	s = get_session(&f);
	SSL_SESSION_get0_ticket(s, &ticket, &n);
	cr_assert_gt(n, 44);
	for (size_t cut = 0; cut < 50; cut += 7) {
		uint8_t copy[1024];

		memcpy(copy, ticket, n);
		if (cut > 0) {
			copy[n - cut] ^= 1;
			cr_assert(SSL_SESSION_set_ticket(s, copy, n));
			cr_assert_not(resumes(&f, s, "a.example"), "%zu", cut);
			copy[n - cut] ^= 1;
		}
		cr_assert(SSL_SESSION_set_ticket(s, copy, cut + 1));
		cr_assert_not(resumes(&f, s, "a.example"), "%zu", cut);
		cr_assert(SSL_SESSION_set_ticket(s, copy, n));
		SSL_SESSION_get0_ticket(s, &ticket, &n);
		cr_assert(resumes(&f, s, "a.example"));
	}
	SSL_SESSION_free(s);
	fixture_fini(&f);
}

Test(tickets, none_without_keys)
{
	for (size_t i = 0; i < 2; i++) {
		struct fixture f;

		fixture_make(&f, "https", NULL);
		SSL_CTX_set_max_proto_version(f.client, versions[i]);
		cr_assert_not(tickets_ready(f.tickets));
		cr_assert_not(resumes(&f, NULL, "a.example"));
		cr_assert(f.session == NULL || !SSL_SESSION_has_ticket(f.session));
		tickets_set(f.tickets, &key_a, 1);
		cr_assert_not(resumes(&f, NULL, "a.example"));
		cr_assert(SSL_SESSION_has_ticket(f.session));
		fixture_fini(&f);
	}
}
