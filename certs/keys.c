#include "certs/keys.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "certs/compat.h"
#include "certs/keeper_area.h"
#include "certs/key_store.h"
#include "conf/must.h"

enum {
	KEYS_MAGIC = 0x6b657973,
	/* Requests that the keeper has at a time. What is dear is kept short, or what is cheap
	 * would wait behind it: of the queues here the cheap one goes first, but for one in so
	 * many. */
	MAX_ASKED = 64,
	MAX_DEAR_ASKED = 8,
	CHEAP_IN_A_ROW = 4,
};

enum keys_class { KEYS_CHEAP, KEYS_DEAR, KEYS_CLASSES };

TAILQ_HEAD(jobs, keys_job);

struct keys_job {
	TAILQ_ENTRY(keys_job) link;
	struct keys *keys;
	struct key_id key;
	uint16_t algorithm;
	uint8_t class;
	bool asked; /* the keeper has it, as that slot */
	uint32_t slot;
	int64_t deadline_ns; /* INT64_MAX: none */
	keys_answer *answer;
	void *owner;
	size_t len;
	uint8_t message[];
};

/* A request that the keeper has. */
struct slot {
	uint32_t generation; /* one more each time: an old answer finds nobody */
	bool taken;
	uint8_t class;
	struct keys_job *job; /* NULL: cancelled, its answer is still to come */
};

struct keys {
	unsigned magic;
	struct key_store *store;
	struct jobs waiting[KEYS_CLASSES]; /* oldest first */
	size_t num_jobs;
	bool shedding;
	unsigned num_cheap; /* in a row, while something dear waits */
	/* With a keeper: */
	struct keeper_end end; /* `area` NULL: without */
	void (*wake)(void *arg);
	void *wake_arg;
	unsigned num_asked, num_dear_asked;
	struct slot slots[MAX_ASKED];
};

struct keys *keys_new(void)
{
	struct keys *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return NULL;
	k->magic = KEYS_MAGIC;
	for (unsigned i = 0; i < KEYS_CLASSES; i++)
		TAILQ_INIT(&k->waiting[i]);
	if ((k->store = key_store_new()) == NULL) {
		free(k);
		return NULL;
	}
	return k;
}

void keys_free(struct keys *k)
{
	struct keys_job *job;

	if (k == NULL)
		return;
	CHECK(k, KEYS_MAGIC);
	for (unsigned i = 0; i < MAX_ASKED; i++)
		keys_cancel(k->slots[i].job);
	for (unsigned i = 0; i < KEYS_CLASSES; i++) {
		while ((job = TAILQ_FIRST(&k->waiting[i])) != NULL)
			keys_cancel(job);
	}
	key_store_free(k->store);
	k->magic = 0;
	free(k);
}

bool keys_adopt(struct keys *k, uint32_t load, struct span table)
{
	CHECK(k, KEYS_MAGIC);
	return key_store_adopt(k->store, load, table);
}

void keys_retire(struct keys *k, uint32_t load)
{
	CHECK(k, KEYS_MAGIC);
	key_store_retire(k->store, load);
}

/* ---- jobs */

bool keys_is_dear(uint16_t algorithm)
{
	return SSL_get_signature_algorithm_key_type(algorithm) == EVP_PKEY_RSA;
}

struct keys_job *keys_sign(struct keys *k, struct key_id key, uint16_t algorithm,
			   struct span message, keys_answer *answer, void *owner)
{
	size_t most = k->end.area == NULL ? (size_t)KEYS_MAX_MESSAGE : (size_t)KEY_MESSAGE_MAX;
	struct keys_job *job;

	CHECK(k, KEYS_MAGIC);
	if (message.n > most || k->num_jobs >= KEYS_MAX_WAITING ||
	    (job = malloc(sizeof(*job) + message.n)) == NULL)
		return NULL;
	*job = (struct keys_job){ .keys = k,
				  .key = key,
				  .algorithm = algorithm,
				  .class = keys_is_dear(algorithm) ? KEYS_DEAR : KEYS_CHEAP,
				  .deadline_ns = INT64_MAX,
				  .answer = answer,
				  .owner = owner,
				  .len = message.n };
	if (message.n > 0)
		memcpy(job->message, message.p, message.n);
	TAILQ_INSERT_TAIL(&k->waiting[job->class], job, link);
	k->num_jobs++;
	return job;
}

void keys_cancel(struct keys_job *job)
{
	struct keys *k;

	if (job == NULL)
		return;
	k = job->keys;
	if (job->asked)
		k->slots[job->slot].job = NULL;
	else
		TAILQ_REMOVE(&k->waiting[job->class], job, link);
	k->num_jobs--;
	free(job);
}

void keys_set_deadline(struct keys_job *job, int64_t deadline_ns)
{
	job->deadline_ns = deadline_ns;
}

size_t keys_waiting(const struct keys *k)
{
	CHECK(k, KEYS_MAGIC);
	return k->num_jobs;
}

/* The job whose turn it is; NULL: none that may go. */
static struct keys_job *next_job(struct keys *k)
{
	struct keys_job *cheap = TAILQ_FIRST(&k->waiting[KEYS_CHEAP]);
	struct keys_job *dear = TAILQ_FIRST(&k->waiting[KEYS_DEAR]);

	if (k->num_dear_asked >= MAX_DEAR_ASKED)
		dear = NULL;
	if (cheap == NULL || (dear != NULL && k->num_cheap >= CHEAP_IN_A_ROW)) {
		k->num_cheap = 0;
		return dear;
	}
	k->num_cheap += dear != NULL;
	return cheap;
}

/* Tells the owner; the job is in no queue any more. */
static void give(struct keys_job *job, struct span signature)
{
	job->keys->num_jobs--;
	job->answer(job->owner, signature);
	free(job);
}

/* ---- too many of them */

bool keys_is_shedding(const struct keys *k)
{
	CHECK(k, KEYS_MAGIC);
	return k->shedding;
}

unsigned keys_shed(struct keys *k, int64_t now_ns)
{
	unsigned shed = 0;

	CHECK(k, KEYS_MAGIC);
	k->shedding = true;
	for (unsigned i = 0; i < KEYS_CLASSES; i++) {
		struct keys_job *job;

		/* Those behind it have as much time as it or more, but for listeners whose
		 * limits differ. */
		while (k->num_jobs > KEYS_SHED_PAST &&
		       (job = TAILQ_FIRST(&k->waiting[i])) != NULL &&
		       job->deadline_ns - now_ns < KEYS_TO_FINISH_NS) {
			TAILQ_REMOVE(&k->waiting[i], job, link);
			give(job, span_of("", 0));
			shed++;
		}
	}
	k->shedding = false;
	return shed;
}

/* ---- signing here */

static void sign_some(struct keys *k, unsigned max)
{
	uint8_t signature[KEYS_MAX_SIGNATURE];
	struct keys_job *job;

	for (unsigned i = 0; i < max && (job = next_job(k)) != NULL; i++) {
		size_t len = key_store_sign(k->store, job->key, job->algorithm,
					    span_of(job->message, job->len), signature);

		TAILQ_REMOVE(&k->waiting[job->class], job, link);
		give(job, span_of(signature, len));
	}
}

/* ---- by the keeper */

void keys_use_keeper(struct keys *k, struct keeper_area *area, void (*wake)(void *arg), void *arg)
{
	CHECK(k, KEYS_MAGIC);
	for (unsigned i = MAX_ASKED; i > 0; i--) {
		struct slot *slot = &k->slots[i - 1];
		struct keys_job *job = slot->job;

		if (job != NULL) {
			job->asked = false;
			TAILQ_INSERT_HEAD(&k->waiting[job->class], job, link);
		}
		*slot = (struct slot){ .generation = slot->generation };
	}
	k->num_asked = k->num_dear_asked = 0;
	k->wake = wake;
	k->wake_arg = arg;
	keeper_end_init(&k->end, area);
}

static uint32_t free_slot(const struct keys *k)
{
	uint32_t i = 0;

	while (k->slots[i].taken)
		i++;
	return i;
}

/* False: the ring has no room, which a keeper that is in order always has. */
static bool ask(struct keys *k, struct keys_job *job, bool *wake)
{
	struct keeper_request r; /* large, and most of it unused */
	struct slot *slot;

	r.key = job->key;
	r.slot = free_slot(k);
	r.algorithm = job->algorithm;
	r.len = (uint16_t)job->len;
	slot = &k->slots[r.slot];
	r.generation = slot->generation + 1;
	if (job->len > 0)
		memcpy(r.message, job->message, job->len);
	if (!keeper_ask(&k->end, &r, wake))
		return false;
	*slot = (struct slot){
		.generation = r.generation, .taken = true, .class = job->class, .job = job
	};
	TAILQ_REMOVE(&k->waiting[job->class], job, link);
	job->asked = true;
	job->slot = r.slot;
	k->num_asked++;
	k->num_dear_asked += job->class == KEYS_DEAR;
	return true;
}

static void ask_all(struct keys *k)
{
	struct keys_job *job;
	bool wake = false;

	while (k->num_asked < MAX_ASKED && (job = next_job(k)) != NULL) {
		bool sleeps = false;

		if (!ask(k, job, &sleeps))
			break;
		wake = wake || sleeps;
	}
	if (wake)
		k->wake(k->wake_arg);
}

static void take_answer(struct keys *k, const struct keeper_answer *a)
{
	struct slot *slot = a->slot < MAX_ASKED ? &k->slots[a->slot] : NULL;
	struct keys_job *job;

	if (slot == NULL || !slot->taken || slot->generation != a->generation)
		return; /* the keeper errs; the handshake's time limit is what remains */
	job = slot->job;
	k->num_asked--;
	k->num_dear_asked -= slot->class == KEYS_DEAR;
	*slot = (struct slot){ .generation = slot->generation };
	if (job != NULL)
		give(job, span_of(a->signature, a->len));
}

bool keys_ready(const struct keys *k)
{
	CHECK(k, KEYS_MAGIC);
	if (k->end.area == NULL)
		return k->num_jobs > 0;
	return keeper_has_answer(&k->end) ||
	       (k->num_asked < MAX_ASKED &&
		(!TAILQ_EMPTY(&k->waiting[KEYS_CHEAP]) ||
		 (!TAILQ_EMPTY(&k->waiting[KEYS_DEAR]) && k->num_dear_asked < MAX_DEAR_ASKED)));
}

void keys_run(struct keys *k, unsigned max)
{
	struct keeper_answer a;

	CHECK(k, KEYS_MAGIC);
	if (k->end.area == NULL) {
		sign_some(k, max);
		return;
	}
	for (unsigned i = 0; i < max && keeper_answered(&k->end, &a); i++)
		take_answer(k, &a);
	ask_all(k);
}
