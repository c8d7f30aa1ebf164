/* Signatures by a keeper: asked, answered, asked again of the next one; cheap before dear. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "certs/compat.h"
#include "certs/keeper_area.h"
#include "certs/keys.h"

enum { ALIGN = 64, EC = SSL_SIGN_ECDSA_SECP256R1_SHA256, RSA_ = SSL_SIGN_RSA_PSS_RSAE_SHA256 };

static struct keeper_area *area;
static struct keeper_end keeper;
static struct keys *keys;
static unsigned num_wakes;

static void wake(void *arg)
{
	(void)arg;
	num_wakes++;
}

static struct keeper_area *new_area(void)
{
	size_t n = (keeper_area_size() + ALIGN - 1) / ALIGN * ALIGN;
	struct keeper_area *made = aligned_alloc(ALIGN, n);

	memset(made, 0, n);
	return made;
}

static void setup(void)
{
	num_wakes = 0;
	area = new_area();
	keys = keys_new();
	keys_use_keeper(keys, area, wake, NULL);
	keeper_end_init(&keeper, area);
}

static void teardown(void)
{
	keys_free(keys);
	free(area);
}

TestSuite(keys_keeper, .init = setup, .fini = teardown);

struct asker {
	unsigned num;
	char got[16];
	size_t n;
};

static void take(void *owner, struct span signature)
{
	struct asker *a = owner;

	a->num++;
	a->n = signature.n;
	memcpy(a->got, signature.p, signature.n);
}

static struct keys_job *ask(uint16_t algorithm, const char *message, struct asker *a)
{
	*a = (struct asker){ .num = 0 };
	return keys_sign(keys, (struct key_id){ 1, 2 }, algorithm, span_str(message), take, a);
}

/* The keeper answers one; its signature is the message. Returns the message; "": there is none. */
static const char *sign_one(void)
{
	static char message[KEY_MESSAGE_MAX + 1];
	struct keeper_request r;
	struct keeper_answer a = { .verdict = KEEPER_SIGNED };
	bool sleeps;

	message[0] = '\0';
	if (!keeper_asked(&keeper, &r))
		return message;
	memcpy(message, r.message, r.len);
	message[r.len] = '\0';
	a.slot = r.slot;
	a.generation = r.generation;
	a.len = r.len;
	memcpy(a.signature, r.message, r.len);
	cr_assert(keeper_answer(&keeper, &a, &sleeps));
	return message;
}

Test(keys_keeper, a_signature_goes_there_and_back)
{
	struct asker a;

	cr_assert_not(keys_ready(keys));
	cr_assert_not_null(ask(EC, "hello", &a));
	cr_assert(keys_ready(keys));
	keys_run(keys, 1);
	cr_assert_eq(num_wakes, 1);
	cr_assert_not(keys_ready(keys), "it is the keeper's turn");
	cr_assert_eq(keys_waiting(keys), 1);
	cr_assert_str_eq(sign_one(), "hello");
	cr_assert(keys_ready(keys));
	keys_run(keys, 1);
	cr_assert(a.num == 1 && a.n == 5 && memcmp(a.got, "hello", 5) == 0);
	cr_assert_eq(keys_waiting(keys), 0);
}

Test(keys_keeper, many_are_asked_with_one_wake)
{
	struct asker a[20];

	for (int i = 0; i < 20; i++)
		cr_assert_not_null(ask(EC, "m", &a[i]));
	keys_run(keys, 1);
	cr_assert_eq(num_wakes, 1);
	for (int i = 0; i < 20; i++)
		cr_assert_str_eq(sign_one(), "m");
	keys_run(keys, 5);
	cr_assert_eq(keys_waiting(keys), 15);
	keys_run(keys, 100);
	cr_assert_eq(keys_waiting(keys), 0);
}

Test(keys_keeper, what_is_dear_waits_here_and_lets_cheap_ones_pass)
{
	struct asker dear[12], cheap[9];
	char order[64] = "";
	size_t n = 0;

	for (int i = 0; i < 12; i++)
		cr_assert_not_null(ask(RSA_, "d", &dear[i]));
	keys_run(keys, 1);
	for (int i = 0; i < 9; i++)
		cr_assert_not_null(ask(EC, "c", &cheap[i]));
	for (const char *m; (m = sign_one())[0] != '\0'; keys_run(keys, 9))
		order[n++] = m[0];
	/* Eight dear ones are there first; once one of them is done, one that waits goes in
	 * between. */
	cr_assert_str_eq(order, "ddddddddccccdcccccddd");
	cr_assert_eq(keys_waiting(keys), 0);
}

Test(keys_keeper, a_new_keeper_is_asked_what_the_old_one_owes)
{
	struct keeper_area *old = area;
	struct asker a, b, c;
	struct keys_job *cancelled;

	cr_assert_not_null(ask(EC, "a", &a));
	cancelled = ask(EC, "b", &b);
	keys_run(keys, 1);
	keys_cancel(cancelled);
	cr_assert_not_null(ask(EC, "c", &c));
	area = new_area();
	keys_use_keeper(keys, area, wake, NULL);
	free(old);
	keeper_end_init(&keeper, area);
	keys_run(keys, 1);
	cr_assert_eq(num_wakes, 2);
	cr_assert_str_eq(sign_one(), "a");
	cr_assert_str_eq(sign_one(), "c");
	cr_assert_str_eq(sign_one(), "");
	keys_run(keys, 9);
	cr_assert(a.num == 1 && b.num == 0 && c.num == 1);
}

Test(keys_keeper, an_answer_to_what_was_cancelled_finds_nobody)
{
	struct asker a, b;
	struct keys_job *job = ask(EC, "a", &a);

	keys_run(keys, 1);
	keys_cancel(job);
	cr_assert_eq(keys_waiting(keys), 0);
	cr_assert_not_null(ask(EC, "b", &b));
	cr_assert_str_eq(sign_one(), "a");
	keys_run(keys, 9);
	cr_assert_eq(a.num, 0);
	cr_assert_str_eq(sign_one(), "b");
	keys_run(keys, 9);
	cr_assert_eq(b.num, 1);
}

Test(keys_keeper, answers_that_nobody_asked_for_are_thrown_away)
{
	struct keeper_answer bad[] = {
		{ .slot = UINT32_MAX, .generation = 1, .verdict = KEEPER_SIGNED, .len = 1 },
		{ .slot = 0, .generation = 99, .verdict = KEEPER_SIGNED, .len = 1 },
		{ .slot = 1, .generation = 0, .verdict = KEEPER_SIGNED, .len = 1 },
	};
	struct asker a;
	bool sleeps;

	cr_assert_not_null(ask(EC, "a", &a));
	keys_run(keys, 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert(keeper_answer(&keeper, &bad[i], &sleeps));
	keys_run(keys, 9);
	cr_assert_eq(a.num, 0);
	(void)sign_one();
	keys_run(keys, 9);
	cr_assert_eq(a.num, 1);
}

Test(keys_keeper, a_refusal_is_an_empty_answer)
{
	struct keeper_answer no = { .verdict = KEEPER_REFUSED, .len = 5 };
	struct keeper_request r;
	struct asker a;
	bool sleeps;

	cr_assert_not_null(ask(EC, "a", &a));
	keys_run(keys, 1);
	cr_assert(keeper_asked(&keeper, &r));
	no.slot = r.slot;
	no.generation = r.generation;
	cr_assert(keeper_answer(&keeper, &no, &sleeps));
	keys_run(keys, 1);
	cr_assert(a.num == 1 && a.n == 0);
}

Test(keys_keeper, bounds)
{
	static struct asker a;
	char text[KEY_MESSAGE_MAX + 1] = "";

	cr_assert_null(keys_sign(keys, (struct key_id){ 1, 2 }, EC, span_of(text, sizeof(text)),
				 take, &a));
	for (int i = 0; i < KEYS_MAX_WAITING; i++)
		cr_assert_not_null(ask(EC, "x", &a));
	cr_assert_null(ask(EC, "x", &a));
}
