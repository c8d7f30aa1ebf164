#include "proxy/process/key_loads.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

void key_loads_init(struct key_loads *l)
{
	TAILQ_INIT(&l->list);
}

bool key_loads_add(struct key_loads *l, uint32_t generation, struct handle *table)
{
	struct key_load *load = calloc(1, sizeof(*load));

	if (load == NULL)
		return false;
	load->generation = generation;
	load->table = handle_ref(table);
	TAILQ_INSERT_TAIL(&l->list, load, entry);
	return true;
}

/* Whoever still maps it sees zeros: nobody does who needs it. */
static void wipe(int fd)
{
	struct stat st;
	void *at;

	if (fstat(fd, &st) != 0 || st.st_size <= 0)
		return;
	at = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return;
	explicit_bzero(at, (size_t)st.st_size);
	(void)munmap(at, (size_t)st.st_size);
}

static void drop_first(struct key_loads *l)
{
	struct key_load *load = TAILQ_FIRST(&l->list);

	TAILQ_REMOVE(&l->list, load, entry);
	wipe(load->table->fd);
	handle_unref(load->table);
	free(load);
}

bool key_loads_drop(struct key_loads *l, uint32_t below)
{
	struct key_load *load;
	bool any = false;

	while ((load = TAILQ_FIRST(&l->list)) != NULL && load->generation < below) {
		drop_first(l);
		any = true;
	}
	return any;
}

void key_loads_fini(struct key_loads *l)
{
	while (!TAILQ_EMPTY(&l->list))
		drop_first(l);
}
