/* keeper: holds the private keys and signs with them. No network, no file. This thread listens to
 * the supervisor, the others (signers) compute. It yields to workers, which serve those who have
 * come before. */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certs/key_store.h"
#include "proxy/process/channel.h"
#include "proxy/process/host.h"
#include "proxy/process/priority.h"
#include "proxy/process/role.h"
#include "proxy/process/sandbox.h"
#include "proxy/process/signers.h"

struct load {
	LIST_ENTRY(load) entry;
	uint32_t generation;
	void *table;
	size_t len;
};

struct keeper {
	struct key_store *store;
	struct signers *signers;
	LIST_HEAD(, load) loads;
};

static void tell(const struct channel_message *m)
{
	/* Not taken: the supervisor hangs, and will look for itself. */
	(void)channel_send(CHANNEL_FD, m, NULL, 0);
}

static void refused(void *arg, unsigned number, unsigned count)
{
	struct channel_message m = { .type = CHANNEL_REFUSED,
				     .number = number,
				     .flags = count >= SIGNERS_MAX_REFUSED };

	(void)arg;
	tell(&m);
}

/* ---- keys */

/* Locked, where that is allowed; the supervisor says so where it is not. */
static void *map_table(int fd, size_t *len, bool *locked)
{
	struct stat st;
	void *at;

	if (fstat(fd, &st) != 0 || st.st_size <= 0)
		return MAP_FAILED;
	*len = (size_t)st.st_size;
	at = mmap(NULL, *len, PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return at;
	(void)madvise(at, *len, MADV_DONTDUMP);
	*locked = mlock(at, *len) == 0;
	return at;
}

/* Owns the descriptor. */
static struct load *load_new(uint32_t generation, int fd, bool *locked)
{
	struct load *l = calloc(1, sizeof(*l));

	if (l != NULL) {
		l->generation = generation;
		l->table = map_table(fd, &l->len, locked);
	}
	(void)close(fd);
	if (l != NULL && l->table == MAP_FAILED) {
		free(l);
		return NULL;
	}
	return l;
}

static void load_free(struct load *l)
{
	(void)munmap(l->table, l->len);
	free(l);
}

static void take_keys(struct keeper *k, uint32_t generation, int fd)
{
	struct channel_message said = { .type = CHANNEL_ADOPTED, .generation = generation };
	bool locked = false;
	struct load *l = load_new(generation, fd, &locked);

	if (l != NULL &&
	    key_store_adopt(k->store, generation, span_of((const char *)l->table, l->len))) {
		LIST_INSERT_HEAD(&k->loads, l, entry);
		said.flags = locked ? 0 : CHANNEL_NOT_LOCKED;
	} else {
		said.type = CHANNEL_FAILED;
		(void)snprintf(said.text, sizeof(said.text), "its keys cannot be used: %s",
			       l == NULL ? strerror(errno) : "damaged, or out of memory");
		if (l != NULL)
			load_free(l);
	}
	tell(&said);
}

static void drop_keys(struct keeper *k, uint32_t below)
{
	struct load *l, *next;

	for (l = LIST_FIRST(&k->loads); l != NULL; l = next) {
		next = LIST_NEXT(l, entry);
		if (l->generation >= below)
			continue;
		key_store_retire(k->store, l->generation);
		LIST_REMOVE(l, entry);
		load_free(l);
	}
}

/* ---- the channel */

/* False: the supervisor does not speak our language. */
static bool take(struct keeper *k, const struct channel_message *m, int *fds, size_t num_fds)
{
	if (m->type == CHANNEL_KEEPER && num_fds == SIGNERS_FDS)
		return signers_join(k->signers, m->number, fds);
	if (m->type == CHANNEL_KEYS && num_fds == 1) {
		take_keys(k, m->generation, fds[0]);
		return true;
	}
	while (num_fds > 0)
		(void)close(fds[--num_fds]);
	if (m->type != CHANNEL_KEYS_DROP)
		return false;
	drop_keys(k, m->generation);
	return true;
}

/* Returns the exit code. */
static int listen_to_supervisor(struct keeper *k)
{
	struct pollfd ready = { .fd = CHANNEL_FD, .events = POLLIN };
	struct channel_message m;
	int fds[CHANNEL_MAX_FDS];
	size_t num_fds;

	for (;;) {
		if (poll(&ready, 1, -1) < 0 && errno != EINTR)
			return 3;
		switch (channel_receive(CHANNEL_FD, &m, fds, &num_fds)) {
		case CHANNEL_AGAIN:
			break;
		case CHANNEL_GONE:
			return 0;
		case CHANNEL_GOT:
			if (!take(k, &m, fds, num_fds))
				return 3;
			break;
		}
	}
}

int keeper_main(bool sandboxed)
{
	/* Threads end with the process, and use it until then: it is never freed. */
	struct keeper *k = calloc(1, sizeof(*k));
	struct channel_message ready = { .type = CHANNEL_READY };
	uint32_t num_cpus = host_cpus(); /* by files: while there are any */
	int code;

	if (k == NULL || (k->store = key_store_new()) == NULL)
		return 3;
	LIST_INIT(&k->loads);
	/* Before the threads are made: each has a priority of its own. */
	priority_patient();
	ready.flags = sandbox_enter(SANDBOX_KEEPER, sandboxed ? SANDBOX_FILES : 0);
	if ((k->signers = signers_new(k->store, num_cpus, refused, NULL)) == NULL)
		return 3;
	/* It makes no more threads. */
	ready.flags |= sandbox_enter(SANDBOX_KEEPER, sandboxed ? SANDBOX_CALLS : 0);
	tell(&ready);
	if ((code = listen_to_supervisor(k)) == 0)
		signers_outlive(k->signers); /* workers finish what they have */
	_exit(code);
}
