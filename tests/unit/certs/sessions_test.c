/* What is kept of sessions, how much, and how often one is given. */
#include "certs/sessions.h"

#include <criterion/criterion.h>

#include "certs/compat.h"

static SSL_CTX *ctx;

static void setup(void)
{
	ctx = SSL_CTX_new(TLS_with_buffers_method());
	cr_assert_not_null(ctx);
}

static void teardown(void)
{
	SSL_CTX_free(ctx);
}

TestSuite(sessions, .init = setup, .fini = teardown);

static SSL_SESSION *make(uint16_t version)
{
	SSL_SESSION *s = SSL_SESSION_new(ctx);

	cr_assert_not_null(s);
	cr_assert(SSL_SESSION_set_protocol_version(s, version));
	return s;
}

/* Takes one and gives its reference back. */
static SSL_SESSION *take(struct sessions *s, uint32_t place)
{
	SSL_SESSION *taken = sessions_take(s, place);

	SSL_SESSION_free(taken);
	return taken;
}

Test(sessions, each_place_has_its_own)
{
	struct sessions *s = sessions_new(2);
	SSL_SESSION *one = make(TLS1_2_VERSION);

	cr_assert_null(sessions_take(s, 0));
	sessions_put(s, 1, one);
	cr_assert_null(sessions_take(s, 0));
	cr_assert_eq(take(s, 1), one);
	sessions_unref(s);
}

Test(sessions, one_of_tls_1_3_is_given_once_the_newest_first)
{
	struct sessions *s = sessions_new(1);
	SSL_SESSION *made[SESSIONS_EACH + 2];

	for (unsigned i = 0; i < SESSIONS_EACH + 2; i++)
		sessions_put(s, 0, made[i] = make(TLS1_3_VERSION));
	for (unsigned i = SESSIONS_EACH + 2; i-- > 2;)
		cr_assert_eq(take(s, 0), made[i]);
	cr_assert_null(sessions_take(s, 0), "the oldest have made room");
	sessions_unref(s);
}

Test(sessions, one_of_tls_1_2_is_given_until_there_is_a_newer_one)
{
	struct sessions *s = sessions_new(1);
	SSL_SESSION *old = make(TLS1_2_VERSION), *new = make(TLS1_2_VERSION);

	sessions_put(s, 0, old);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(take(s, 0), old);
	sessions_put(s, 0, new);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(take(s, 0), new);
	sessions_unref(s);
}

Test(sessions, live_as_long_as_anybody_has_them)
{
	struct sessions *s = sessions_new(1);

	cr_assert_eq(sessions_ref(s), s);
	sessions_unref(s);
	sessions_put(s, 0, make(TLS1_3_VERSION));
	cr_assert_not_null(take(s, 0));
	sessions_unref(s);
	sessions_unref(NULL);
}
