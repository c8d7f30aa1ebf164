/* The threads of the keeper sign for two workers at a time, which ask as workers do, while keys
 * come and go and one worker's memory is replaced again and again. Fails where a signature is
 * wrong, or a wake is lost. */

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/digest.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>

#include "certs/compat.h"
#include "certs/keeper_area.h"
#include "certs/key_store.h"
#include "certs/keys.h"
#include "proxy/process/signers.h"

enum { WORKERS = 2, THREADS = 3, ROUNDS = 150, BATCH = 9, PATIENCE_MS = 20000, MESSAGE = 130 };

static struct signers *signers;
static EVP_PKEY *key;
static char message[MESSAGE];
static bool failed;

static void fail(const char *why)
{
	(void)fprintf(stderr, "%s\n", why);
	__atomic_store_n(&failed, true, __ATOMIC_RELAXED);
}

static void check(void *owner, struct span signature)
{
	EVP_MD_CTX ctx;

	++*(unsigned *)owner;
	EVP_MD_CTX_init(&ctx);
	if (!EVP_DigestVerifyInit(&ctx, NULL, EVP_sha256(), NULL, key) ||
	    !EVP_DigestVerify(&ctx, (const uint8_t *)signature.p, signature.n,
			      (const uint8_t *)message, sizeof(message)))
		fail("a signature is wrong");
	(void)EVP_MD_CTX_cleanup(&ctx);
}

static void wake(void *arg)
{
	(void)eventfd_write(*(int *)arg, 1);
}

struct joined {
	void *area;
	int asked, answered;
};

static bool join(struct joined *j, unsigned number)
{
	int memory = memfd_create("area", 0);
	int fds[SIGNERS_FDS];

	if (memory < 0 || ftruncate(memory, (off_t)keeper_area_size()) != 0)
		return false;
	j->area = mmap(NULL, keeper_area_size(), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	j->asked = eventfd(0, EFD_NONBLOCK);
	j->answered = eventfd(0, EFD_NONBLOCK);
	fds[0] = memory;
	fds[1] = dup(j->asked);
	fds[2] = dup(j->answered);
	fds[3] = eventfd(0, EFD_NONBLOCK); /* any will do */
	return j->area != MAP_FAILED && signers_join(signers, number, fds);
}

static void leave(struct joined *j)
{
	(void)munmap(j->area, keeper_area_size());
	(void)close(j->asked);
	(void)close(j->answered);
}

static void *worker(void *arg)
{
	unsigned number = *(unsigned *)arg, came = 0, wanted = 0;
	struct keys *keys = keys_new();
	struct joined now, next;

	if (keys == NULL || !join(&now, number)) {
		fail("a worker cannot begin");
		return NULL;
	}
	keys_use_keeper(keys, now.area, wake, &now.asked);
	for (unsigned round = 0; round < ROUNDS && !__atomic_load_n(&failed, __ATOMIC_RELAXED);
	     round++) {
		for (int i = 0; i < BATCH; i++, wanted++)
			(void)keys_sign(keys, (struct key_id){ 1, 0 },
					SSL_SIGN_ECDSA_SECP256R1_SHA256,
					span_of(message, sizeof(message)), check, &came);
		keys_run(keys, BATCH);
		if (number == 0 && round % 16 == 3) { /* as if a new keeper had come */
			if (!join(&next, number)) {
				fail("no other memory");
				break;
			}
			keys_use_keeper(keys, next.area, wake, &now.asked);
			leave(&now);
			now = next;
		}
		while (came < wanted) {
			struct pollfd ready = { .fd = now.answered, .events = POLLIN };
			eventfd_t n;

			if (!keys_ready(keys) && poll(&ready, 1, PATIENCE_MS) != 1) {
				fail("a wake was lost");
				break;
			}
			(void)eventfd_read(now.answered, &n);
			keys_run(keys, BATCH);
		}
	}
	keys_free(keys);
	leave(&now);
	return NULL;
}

static void refused(void *arg, unsigned number, unsigned count)
{
	(void)arg;
	(void)number;
	(void)count;
	fail("a handshake was refused");
}

static char *make_table(size_t *len)
{
	struct key_table *table = key_table_new();
	EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
	uint8_t *der = NULL;
	uint32_t number;
	size_t der_len;
	char *bytes = NULL;
	CBB cbb;

	key = EVP_PKEY_new();
	if (table == NULL || ec == NULL || key == NULL || !EC_KEY_generate_key(ec) ||
	    !EVP_PKEY_assign_EC_KEY(key, ec) || !CBB_init(&cbb, 256) ||
	    !EVP_marshal_private_key(&cbb, key) || !CBB_finish(&cbb, &der, &der_len) ||
	    !key_table_add(table, span_of(der, der_len), &number))
		return NULL;
	key_table_allow(table, number, KEY_ROLE_SERVER);
	*len = key_table_size(table);
	if ((bytes = malloc(*len)) != NULL)
		key_table_write(table, bytes);
	OPENSSL_free(der);
	key_table_free(table);
	return bytes;
}

int main(void)
{
	static const char context[] = "TLS 1.3, server CertificateVerify";
	unsigned numbers[WORKERS] = { 0, 1 };
	struct key_store *store = key_store_new();
	pthread_t threads[WORKERS];
	size_t len;
	char *table = make_table(&len);

	memset(message, ' ', 64);
	memcpy(message + 64, context, sizeof(context));
	if (store == NULL || table == NULL || !key_store_adopt(store, 1, span_of(table, len)) ||
	    (signers = signers_new(store, THREADS, refused, NULL)) == NULL)
		return 2;
	for (unsigned i = 0; i < WORKERS; i++) {
		if (pthread_create(&threads[i], NULL, worker, &numbers[i]) != 0)
			return 2;
	}
	for (uint32_t load = 2; load < 400; load++) {
		if (!key_store_adopt(store, load, span_of(table, len)))
			fail("keys are not adopted");
		key_store_retire(store, load);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		(void)pthread_join(threads[i], NULL);
	/* The threads that sign never end, and use what they have. */
	_exit(failed ? 1 : 0);
}
