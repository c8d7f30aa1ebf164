#include "certs/keys.h"

#include <openssl/digest.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "certs/compat.h"
#include "certs/key_layout.h"
#include "certs/lazy.h"
#include "conf/must.h"

enum { KEYS_MAGIC = 0x6b657973 };

/* One generation of keys. There are two or three at a time: the current one, and those that last
 * handshakes still use. */
struct load {
	LIST_ENTRY(load) link;
	uint32_t number;
	uint32_t num_keys;
	struct span table;
	struct lazy *parsed; /* EVP_PKEY of each key that was used */
};

struct keys_job {
	TAILQ_ENTRY(keys_job) link;
	struct keys *keys;
	struct key_id key;
	uint16_t algorithm;
	keys_answer *answer;
	void *owner;
	size_t len;
	uint8_t message[];
};

struct keys {
	unsigned magic;
	LIST_HEAD(, load) loads;
	TAILQ_HEAD(, keys_job) jobs; /* oldest first */
	size_t num_jobs;
};

/* How TLS names an algorithm, and what the library wants for it. SHA-1 is left out on purpose. */
struct algorithm {
	uint16_t id;
	int type; /* EVP_PKEY_* */
	const EVP_MD *(*digest)(void);
	bool pss;
};

static const struct algorithm algorithms[] = {
	{ SSL_SIGN_ECDSA_SECP256R1_SHA256, EVP_PKEY_EC, EVP_sha256, false },
	{ SSL_SIGN_ECDSA_SECP384R1_SHA384, EVP_PKEY_EC, EVP_sha384, false },
	{ SSL_SIGN_ECDSA_SECP521R1_SHA512, EVP_PKEY_EC, EVP_sha512, false },
	{ SSL_SIGN_ED25519, EVP_PKEY_ED25519, NULL, false },
	{ SSL_SIGN_RSA_PSS_RSAE_SHA256, EVP_PKEY_RSA, EVP_sha256, true },
	{ SSL_SIGN_RSA_PSS_RSAE_SHA384, EVP_PKEY_RSA, EVP_sha384, true },
	{ SSL_SIGN_RSA_PSS_RSAE_SHA512, EVP_PKEY_RSA, EVP_sha512, true },
	{ SSL_SIGN_RSA_PKCS1_SHA256, EVP_PKEY_RSA, EVP_sha256, false },
	{ SSL_SIGN_RSA_PKCS1_SHA384, EVP_PKEY_RSA, EVP_sha384, false },
	{ SSL_SIGN_RSA_PKCS1_SHA512, EVP_PKEY_RSA, EVP_sha512, false },
};

struct keys *keys_new(void)
{
	struct keys *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return NULL;
	k->magic = KEYS_MAGIC;
	LIST_INIT(&k->loads);
	TAILQ_INIT(&k->jobs);
	return k;
}

static void key_drop(void *entry)
{
	EVP_PKEY_free(entry); /* the library wipes what it frees */
}

static void load_free(struct load *l)
{
	if (l == NULL)
		return;
	lazy_free(l->parsed, key_drop);
	free(l);
}

static void job_unlink(struct keys_job *job)
{
	TAILQ_REMOVE(&job->keys->jobs, job, link);
	job->keys->num_jobs--;
}

void keys_free(struct keys *k)
{
	struct load *l;
	struct keys_job *job;

	if (k == NULL)
		return;
	CHECK(k, KEYS_MAGIC);
	while ((job = TAILQ_FIRST(&k->jobs)) != NULL)
		keys_cancel(job);
	while ((l = LIST_FIRST(&k->loads)) != NULL) {
		LIST_REMOVE(l, link);
		load_free(l);
	}
	k->magic = 0;
	free(k);
}

static struct load *find_load(const struct keys *k, uint32_t number)
{
	struct load *l;

	LIST_FOREACH(l, &k->loads, link) {
		if (l->number == number)
			return l;
	}
	return NULL;
}

bool keys_adopt(struct keys *k, uint32_t load, struct span table)
{
	struct key_table_head head;
	struct load *l;

	CHECK(k, KEYS_MAGIC);
	if (find_load(k, load) != NULL || table.n < sizeof(head))
		return false;
	memcpy(&head, table.p, sizeof(head));
	if (head.magic != KEY_TABLE_MAGIC || head.len != table.n ||
	    head.num >= (table.n - sizeof(head)) / sizeof(uint32_t))
		return false;
	if ((l = calloc(1, sizeof(*l))) == NULL)
		return false;
	*l = (struct load){ .number = load, .num_keys = head.num, .table = table };
	if ((l->parsed = lazy_new(head.num)) == NULL) {
		load_free(l);
		return false;
	}
	LIST_INSERT_HEAD(&k->loads, l, link);
	return true;
}

void keys_retire(struct keys *k, uint32_t load)
{
	struct load *l;

	CHECK(k, KEYS_MAGIC);
	if ((l = find_load(k, load)) == NULL)
		return;
	LIST_REMOVE(l, link);
	load_free(l);
}

/* Finds the bytes of a key; an empty span where the table has no such key or is damaged. */
static struct span load_der(const struct load *l, uint32_t number)
{
	const char *offsets = l->table.p + sizeof(struct key_table_head);
	uint32_t at[2];

	if (number >= l->num_keys)
		return span_of(NULL, 0);
	memcpy(at, offsets + (size_t)number * sizeof(at[0]), sizeof(at));
	if (at[0] > at[1] || at[1] > l->table.n)
		return span_of(NULL, 0);
	return span_of(l->table.p + at[0], at[1] - at[0]);
}

/* Returns the parsed key, borrowed; NULL where it is gone or unusable. */
static EVP_PKEY *find_key(const struct keys *k, struct key_id id)
{
	struct load *l = find_load(k, id.load);
	void **place = l == NULL ? NULL : lazy_at(l->parsed, id.number);
	struct span der;
	CBS cbs;

	if (place == NULL)
		return NULL;
	if (*place == NULL) {
		der = load_der(l, id.number);
		CBS_init(&cbs, (const uint8_t *)der.p, der.n);
		*place = EVP_parse_private_key(&cbs);
	}
	return *place;
}

struct keys_job *keys_sign(struct keys *k, struct key_id key, uint16_t algorithm,
			   struct span message, keys_answer *answer, void *owner)
{
	struct keys_job *job;

	CHECK(k, KEYS_MAGIC);
	if (message.n > KEYS_MAX_MESSAGE || (job = malloc(sizeof(*job) + message.n)) == NULL)
		return NULL;
	*job = (struct keys_job){ .keys = k,
				  .key = key,
				  .algorithm = algorithm,
				  .answer = answer,
				  .owner = owner,
				  .len = message.n };
	if (message.n > 0)
		memcpy(job->message, message.p, message.n);
	TAILQ_INSERT_TAIL(&k->jobs, job, link);
	k->num_jobs++;
	return job;
}

void keys_cancel(struct keys_job *job)
{
	if (job == NULL)
		return;
	job_unlink(job);
	free(job);
}

size_t keys_waiting(const struct keys *k)
{
	CHECK(k, KEYS_MAGIC);
	return k->num_jobs;
}

static const struct algorithm *find_algorithm(uint16_t id)
{
	for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
		if (algorithms[i].id == id)
			return &algorithms[i];
	}
	return NULL;
}

/* Signs into `out` (KEYS_MAX_SIGNATURE bytes); 0 where that cannot be done. */
static size_t job_sign(const struct keys_job *job, uint8_t *out)
{
	const struct algorithm *a = find_algorithm(job->algorithm);
	EVP_PKEY *key = find_key(job->keys, job->key);
	size_t len = KEYS_MAX_SIGNATURE;
	EVP_PKEY_CTX *pctx;
	EVP_MD_CTX ctx;
	bool ok;

	if (a == NULL || key == NULL || EVP_PKEY_id(key) != a->type)
		return 0;
	EVP_MD_CTX_init(&ctx);
	ok = EVP_DigestSignInit(&ctx, &pctx, a->digest == NULL ? NULL : a->digest(), NULL, key) &&
	     (!a->pss || (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) &&
			  EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, -1))) &&
	     EVP_DigestSign(&ctx, out, &len, job->message, job->len);
	(void)EVP_MD_CTX_cleanup(&ctx);
	return ok ? len : 0;
}

void keys_run(struct keys *k, unsigned max)
{
	uint8_t signature[KEYS_MAX_SIGNATURE];
	struct keys_job *job;

	CHECK(k, KEYS_MAGIC);
	for (unsigned i = 0; i < max && (job = TAILQ_FIRST(&k->jobs)) != NULL; i++) {
		size_t len = job_sign(job, signature);

		ERR_clear_error();
		job_unlink(job);
		job->answer(job->owner, span_of(signature, len));
		free(job);
	}
}
