/* The keeper's threads: what they sign, what they refuse, and when they hear a worker no more. That
 * many sign at a time is watched by tests/tsan/signers.c. */
#include "proxy/process/signers.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "certs/compat.h"
#include "certs/keeper_area.h"
#include "certs/key_store.h"
#include "tests/support/make_certs.h"

enum { PATIENCE_MS = 5000, MESSAGE = 130 };

static struct made made;
static struct key_store *store;
static struct signers *signers;
static char *table;
static char handshake[MESSAGE];
static unsigned refusals[SIGNERS_MAX_REFUSED + 8], num_refusals;

static void refused(void *arg, unsigned number, unsigned count)
{
	(void)arg;
	cr_assert_eq(number, 5);
	refusals[__atomic_fetch_add(&num_refusals, 1, __ATOMIC_RELAXED)] = count;
}

struct side {
	struct keeper_area *area;
	struct keeper_end end;
	int asked, answered, alive;
};

static void join(struct side *s)
{
	int memory = memfd_create("area", 0);
	int fds[SIGNERS_FDS], pipes[2];

	cr_assert_eq(ftruncate(memory, (off_t)keeper_area_size()), 0);
	s->area = mmap(NULL, keeper_area_size(), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	cr_assert_neq(s->area, MAP_FAILED);
	s->asked = eventfd(0, EFD_NONBLOCK);
	s->answered = eventfd(0, EFD_NONBLOCK);
	keeper_end_init(&s->end, s->area);
	fds[0] = memory;
	fds[1] = dup(s->asked);
	fds[2] = dup(s->answered);
	cr_assert_eq(pipe(pipes), 0);
	fds[3] = pipes[0];
	s->alive = pipes[1];
	cr_assert(signers_join(signers, 5, fds));
}

static void setup(void)
{
	static const char context[] = "TLS 1.3, server CertificateVerify";
	struct key_table *keys = key_table_new();
	uint32_t number;
	size_t n, len;
	uint8_t *der;

	made = make_cert(&(struct make_options){ .type = MAKE_P256 });
	der = made_key_der(&made, &n);
	cr_assert(key_table_add(keys, span_of(der, n), &number));
	free(der);
	key_table_allow(keys, number, KEY_ROLE_SERVER);
	made_fini(&made);
	made = make_cert(&(struct make_options){ .type = MAKE_P256 });
	der = made_key_der(&made, &n);
	cr_assert(key_table_add(keys, span_of(der, n), &number));
	free(der);
	key_table_allow(keys, number, KEY_ROLE_CLIENT);
	len = key_table_size(keys);
	table = malloc(len);
	key_table_write(keys, table);
	key_table_free(keys);
	memset(handshake, ' ', 64);
	memcpy(handshake + 64, context, sizeof(context));
	store = key_store_new();
	cr_assert(key_store_adopt(store, 1, span_of(table, len)));
	cr_assert_not_null(signers = signers_new(store, 2, refused, NULL));
}

TestSuite(signers, .init = setup);

static void ask(struct side *s, struct key_id key, struct span message)
{
	struct keeper_request r = { .key = key,
				    .slot = 3,
				    .generation = 4,
				    .algorithm = SSL_SIGN_ECDSA_SECP256R1_SHA256,
				    .len = (uint16_t)message.n };
	bool wake;

	memcpy(r.message, message.p, message.n);
	cr_assert(keeper_ask(&s->end, &r, &wake));
	if (wake)
		cr_assert_eq(eventfd_write(s->asked, 1), 0);
}

/* False: nobody answers. */
static bool answer(struct side *s, struct keeper_answer *a, int patience_ms)
{
	while (!keeper_answered(&s->end, a)) {
		struct pollfd ready = { .fd = s->answered, .events = POLLIN };
		eventfd_t n;

		if (poll(&ready, 1, patience_ms) != 1)
			return false;
		(void)eventfd_read(s->answered, &n);
	}
	cr_assert(a->slot == 3 && a->generation == 4);
	return true;
}

Test(signers, a_handshake_is_signed_and_an_unknown_key_is_not)
{
	struct keeper_answer a;
	struct side s;

	join(&s);
	ask(&s, (struct key_id){ 1, 0 }, span_of(handshake, MESSAGE));
	cr_assert(answer(&s, &a, PATIENCE_MS));
	cr_assert(a.verdict == KEEPER_SIGNED && a.len > 60);
	for (uint32_t i = 0; i < 2 * SIGNERS_MAX_REFUSED; i++) {
		/* It may have been retired a moment ago: nobody's fault. */
		ask(&s, (struct key_id){ 1 + i % 2, 2 }, span_of(handshake, MESSAGE));
		cr_assert(answer(&s, &a, PATIENCE_MS));
		cr_assert(a.verdict == KEEPER_FAILED && a.len == 0);
	}
}

Test(signers, a_key_signs_in_its_role_only)
{
	uint8_t client[MESSAGE];
	struct keeper_answer a;
	struct side s;

	memcpy(client, handshake, MESSAGE);
	memcpy(client + 64, "TLS 1.3, client", 15);
	join(&s);
	ask(&s, (struct key_id){ 1, 1 }, span_of(client, MESSAGE));
	cr_assert(answer(&s, &a, PATIENCE_MS));
	cr_assert(a.verdict == KEEPER_SIGNED && a.len > 60);
	ask(&s, (struct key_id){ 1, 0 }, span_of(client, MESSAGE));
	cr_assert(answer(&s, &a, PATIENCE_MS));
	cr_assert(a.verdict == KEEPER_REFUSED && a.len == 0);
	ask(&s, (struct key_id){ 1, 1 }, span_of(handshake, MESSAGE));
	cr_assert(answer(&s, &a, PATIENCE_MS));
	cr_assert(a.verdict == KEEPER_REFUSED && a.len == 0);
	cr_assert_eq(refusals[1], 2, "both were told of");
}

Test(signers, who_asks_for_other_things_is_refused_and_then_not_heard)
{
	struct keeper_answer a;
	struct side s;

	join(&s);
	for (unsigned i = 0; i < SIGNERS_MAX_REFUSED; i++) {
		ask(&s, (struct key_id){ 1, 0 }, span_str("give me your key"));
		cr_assert(answer(&s, &a, PATIENCE_MS));
		cr_assert(a.verdict == KEEPER_REFUSED && a.len == 0);
		cr_assert_eq(refusals[i], i + 1);
	}
	ask(&s, (struct key_id){ 1, 0 }, span_of(handshake, MESSAGE));
	cr_assert_not(answer(&s, &a, 100));
	/* Another process in its place begins anew. */
	join(&s);
	ask(&s, (struct key_id){ 1, 0 }, span_of(handshake, MESSAGE));
	cr_assert(answer(&s, &a, PATIENCE_MS));
	cr_assert_eq(a.verdict, KEEPER_SIGNED);
}

Test(signers, memory_of_another_size_is_no_area)
{
	int fds[SIGNERS_FDS] = { memfd_create("small", 0), eventfd(0, 0), eventfd(0, 0),
				 eventfd(0, 0) };

	cr_assert_eq(ftruncate(fds[0], 4096), 0);
	cr_assert_not(signers_join(signers, 0, fds));
	for (int i = 0; i < SIGNERS_FDS; i++)
		cr_assert_eq(close(fds[i]), -1, "they are closed");
}

static void *end_soon(void *arg)
{
	struct side *s = arg;

	(void)poll(NULL, 0, 50);
	__atomic_store_n(&s->answered, -1, __ATOMIC_SEQ_CST);
	(void)close(s->alive);
	return NULL;
}

Test(signers, they_wait_for_workers_to_end)
{
	pthread_t thread;
	struct side s;

	join(&s);
	cr_assert_eq(pthread_create(&thread, NULL, end_soon, &s), 0);
	signers_outlive(signers);
	cr_assert_eq(__atomic_load_n(&s.answered, __ATOMIC_SEQ_CST), -1);
	cr_assert_eq(pthread_join(thread, NULL), 0);
}
