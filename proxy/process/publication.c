#include "proxy/process/publication.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PUBLICATION_SEALS = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

static struct plan *publication_map(int fd, uint64_t size, int protection)
{
	/* A private mapping of sealed memory is allowed everywhere; a shared one is not. */
	int kind = (protection & PROT_WRITE) != 0 ? MAP_SHARED : MAP_PRIVATE;
	void *at = mmap(NULL, size, protection, kind, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

bool publication_take(struct publication *p, int snapshot_fd, int keys_fd, const char **why)
{
	struct stat st;

	*p = (struct publication){ .snapshot = handle_new(snapshot_fd) };
	p->keys = handle_new(keys_fd);
	*why = "out of memory";
	if (p->snapshot == NULL || p->keys == NULL)
		goto fail;
	/* First, so that it cannot become shorter while it is read. */
	*why = "what the loader made is no memory of its own";
	if (fcntl(snapshot_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0 ||
	    fstat(snapshot_fd, &st) != 0 || st.st_size < (off_t)sizeof(struct plan))
		goto fail;
	p->size = (uint64_t)st.st_size;
	*why = "the snapshot cannot be mapped";
	if ((p->plan = publication_map(snapshot_fd, p->size, PROT_READ | PROT_WRITE)) == NULL)
		goto fail;
	if ((*why = plan_check(p->plan, p->size)) == NULL)
		return true;
fail:
	publication_fini(p);
	return false;
}

bool publication_seal(struct publication *p, const char **why)
{
	/* Those that only a keeper gets are wiped in the end; nobody else could write them. */
	int keys = PUBLICATION_SEALS & ~(p->plan->key_isolation != 0 ? F_SEAL_WRITE : 0);

	(void)munmap(p->plan, p->size);
	p->plan = NULL;
	*why = "the snapshot cannot be sealed";
	if (fcntl(p->snapshot->fd, F_ADD_SEALS, PUBLICATION_SEALS) != 0 ||
	    fcntl(p->keys->fd, F_ADD_SEALS, keys) != 0)
		return false;
	*why = "the snapshot cannot be mapped";
	if ((p->plan = publication_map(p->snapshot->fd, p->size, PROT_READ)) == NULL)
		return false;
	return (*why = plan_check(p->plan, p->size)) == NULL;
}

void publication_fini(struct publication *p)
{
	if (p->plan != NULL)
		(void)munmap(p->plan, p->size);
	handle_unref(p->snapshot);
	handle_unref(p->keys);
	*p = (struct publication){ .plan = NULL };
}
