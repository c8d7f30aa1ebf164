#include "proxy/process/board.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/must.h"

enum {
	BOARD_MAGIC = 0x626f6172,
	BOARD_SEALS = F_SEAL_SHRINK | F_SEAL_GROW, /* else a reader could get SIGBUS */
};

/* One memory: the page set of one writer. */
struct pages {
	void *map; /* NULL: not mapped */
	size_t size;
	int writable; /* descriptors, in the supervisor; -1: none */
	int readable;
};

/* Page sets lie in this order, in memory and in what is passed: workers, steward, supervisor. */
struct board {
	unsigned magic;
	unsigned num_workers;
	unsigned num_sets;
	struct pages sets[];
};

static size_t set_size(const struct board *b, unsigned set)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t n = sizeof(struct board_worker);

	if (set == b->num_workers)
		n = sizeof(struct board_steward);
	else if (set > b->num_workers)
		n = sizeof(struct board_supervisor);
	return (n + page - 1) / page * page;
}

static bool writes(enum board_role role, unsigned worker, unsigned num_workers, unsigned set)
{
	switch (role) {
	case BOARD_SUPERVISOR:
		return true;
	case BOARD_STEWARD:
		return set == num_workers;
	case BOARD_WORKER:
		return set == worker;
	}
	return false;
}

static struct board *board_alloc(unsigned num_workers)
{
	unsigned num_sets = board_num_fds(num_workers);
	struct board *b = calloc(1, sizeof(*b) + num_sets * sizeof(b->sets[0]));

	if (b == NULL)
		return NULL;
	b->magic = BOARD_MAGIC;
	b->num_workers = num_workers;
	b->num_sets = num_sets;
	for (unsigned i = 0; i < num_sets; i++) {
		b->sets[i].size = set_size(b, i);
		b->sets[i].writable = b->sets[i].readable = -1;
	}
	return b;
}

static bool map_pages(struct pages *p, int fd, int protection)
{
	void *map = mmap(NULL, p->size, protection, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return false;
	p->map = map;
	return true;
}

/* A descriptor for readers: of another open file, as whoever holds one open for writing can map
 * it for writing. Mode 0600 keeps other users from opening a writable one themselves. */
static int reopen_readable(int fd)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static bool make_pages(struct pages *p, const char *name)
{
	p->writable = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return p->writable >= 0 && fchmod(p->writable, 0600) == 0 &&
	       ftruncate(p->writable, (off_t)p->size) == 0 &&
	       fcntl(p->writable, F_ADD_SEALS, BOARD_SEALS | F_SEAL_SEAL) == 0 &&
	       (p->readable = reopen_readable(p->writable)) >= 0 &&
	       map_pages(p, p->writable, PROT_READ | PROT_WRITE);
}

struct board *board_new(unsigned num_workers)
{
	struct board *b;

	MUST(num_workers >= 1 && num_workers <= CONF_MAX_WORKERS);
	if ((b = board_alloc(num_workers)) == NULL)
		return NULL;
	for (unsigned i = 0; i < b->num_sets; i++) {
		if (!make_pages(&b->sets[i], i < num_workers	? "board-worker"
					     : i == num_workers ? "board-steward"
								: "board-supervisor")) {
			board_free(b);
			return NULL;
		}
	}
	return b;
}

void board_free(struct board *b)
{
	if (b == NULL)
		return;
	CHECK(b, BOARD_MAGIC);
	for (unsigned i = 0; i < b->num_sets; i++) {
		struct pages *p = &b->sets[i];

		if (p->map != NULL)
			(void)munmap(p->map, p->size);
		if (p->writable >= 0)
			(void)close(p->writable);
		if (p->readable >= 0)
			(void)close(p->readable);
	}
	b->magic = 0;
	free(b);
}

unsigned board_num_fds(unsigned num_workers)
{
	return num_workers + 2;
}

void board_fds(const struct board *b, enum board_role role, unsigned worker, int *fds)
{
	CHECK(b, BOARD_MAGIC);
	for (unsigned i = 0; i < b->num_sets; i++) {
		bool writable = writes(role, worker, b->num_workers, i);

		fds[i] = writable ? b->sets[i].writable : b->sets[i].readable;
	}
}

/* Whether `fd` is a memory of ours that cannot become shorter under us. */
static bool check_pages(const struct pages *p, int fd)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & BOARD_SEALS) == BOARD_SEALS && fstat(fd, &st) == 0 &&
	       st.st_size == (off_t)p->size;
}

struct board *board_map(enum board_role role, unsigned worker, unsigned num_workers, const int *fds)
{
	struct board *b = NULL;
	bool ok = num_workers >= 1 && num_workers <= CONF_MAX_WORKERS &&
		  (role != BOARD_WORKER || worker < num_workers) &&
		  (b = board_alloc(num_workers)) != NULL;

	for (unsigned i = 0; ok && i < b->num_sets; i++) {
		int protection = PROT_READ;

		if (writes(role, worker, num_workers, i))
			protection |= PROT_WRITE;
		ok = check_pages(&b->sets[i], fds[i]) && map_pages(&b->sets[i], fds[i], protection);
	}
	for (unsigned i = 0; i < board_num_fds(num_workers); i++)
		(void)close(fds[i]);
	if (ok)
		return b;
	board_free(b);
	return NULL;
}

unsigned board_workers(const struct board *b)
{
	CHECK(b, BOARD_MAGIC);
	return b->num_workers;
}

struct board_worker *board_worker(const struct board *b, unsigned n)
{
	CHECK(b, BOARD_MAGIC);
	MUST(n < b->num_workers);
	return b->sets[n].map;
}

struct board_steward *board_steward(const struct board *b)
{
	CHECK(b, BOARD_MAGIC);
	return b->sets[b->num_workers].map;
}

struct board_supervisor *board_supervisor(const struct board *b)
{
	CHECK(b, BOARD_MAGIC);
	return b->sets[b->num_workers + 1].map;
}
