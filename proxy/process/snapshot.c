#include "proxy/process/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/must.h"
#include "proxy/process/plan.h"

enum { SNAPSHOT_MAGIC = 0x534e4150 };
enum { SNAPSHOT_SEALS = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

/* Maps all of `fd` read-only. NULL, with a problem: it is not sealed, is empty, or memory is
 * short. */
static void *snapshot_map(int fd, size_t *len, const char *what, struct problems *why)
{
	struct stat st;
	void *at;

	/* Without seals, whoever has it could change it under us or cut it off. */
	if ((fcntl(fd, F_GET_SEALS) & SNAPSHOT_SEALS) != SNAPSHOT_SEALS || fstat(fd, &st) != 0 ||
	    st.st_size <= 0) {
		problems_add(why, PROBLEM_ERROR, what, "is not sealed memory");
		return NULL;
	}
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED) {
		problems_add(why, PROBLEM_ERROR, what, "cannot be mapped: %s", strerror(errno));
		return NULL;
	}
	*len = (size_t)st.st_size;
	return at;
}

/* The file's name, NUL-terminated, to be freed. */
static char *snapshot_file(const struct plan *p)
{
	return strndup((const char *)p + p->file_offset, p->file_len);
}

static bool snapshot_parse(struct snapshot *s, struct problems *why)
{
	const struct plan *p = s->plan;
	struct conf_source from = { .folder = "/" };
	size_t num_servers = 0;
	char *file = snapshot_file(p);

	if (file == NULL) {
		problems_add(why, PROBLEM_ERROR, "snapshot", "out of memory");
		return false;
	}
	from.file = file;
	s->conf = conf_parse(span_of((const char *)p + p->json_offset, p->json_len), &from, why);
	free(file);
	if (s->conf == NULL)
		return false;
	for (size_t i = 0; i < s->conf->num_pools; i++)
		num_servers += s->conf->pools[i].num_servers;
	if (s->conf->num_listeners != p->num_listeners || s->conf->num_pools != p->num_pools ||
	    num_servers != p->num_servers) {
		problems_add(why, PROBLEM_ERROR, "snapshot",
			     "its plan and its configuration differ");
		return false;
	}
	for (size_t i = 0; i < s->conf->num_pools; i++) {
		if (plan_pools(p)[i].num_servers != s->conf->pools[i].num_servers) {
			problems_add(why, PROBLEM_ERROR, "snapshot",
				     "its plan and its configuration differ");
			return false;
		}
	}
	return true;
}

struct snapshot *snapshot_open(int fd, int keys_fd, struct problems *why)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	const char *wrong;
	size_t len = 0;
	void *at;

	if (s == NULL) {
		problems_add(why, PROBLEM_ERROR, "snapshot", "out of memory");
		goto done;
	}
	*s = (struct snapshot){ .magic = SNAPSHOT_MAGIC, .refs = 1 };
	if ((at = snapshot_map(fd, &len, "snapshot", why)) == NULL)
		goto fail;
	if ((wrong = plan_check(at, len)) != NULL) {
		problems_add(why, PROBLEM_ERROR, "snapshot", "%s", wrong);
		(void)munmap(at, len);
		goto fail;
	}
	s->plan = at;
	if (keys_fd >= 0) {
		s->keys = snapshot_map(keys_fd, &s->keys_len, "keys", why);
		if (s->keys == NULL)
			goto fail;
		(void)madvise(s->keys, s->keys_len, MADV_DONTDUMP);
	}
	if (!snapshot_parse(s, why))
		goto fail;
	goto done;
fail:
	snapshot_unref(s);
	s = NULL;
done:
	(void)close(fd);
	if (keys_fd >= 0)
		(void)close(keys_fd);
	return s;
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
	CHECK(s, SNAPSHOT_MAGIC);
	MUST(s->refs > 0 && s->refs < UINT_MAX);
	s->refs++;
	return s;
}

void snapshot_unref(struct snapshot *s)
{
	if (s == NULL)
		return;
	CHECK(s, SNAPSHOT_MAGIC);
	MUST(s->refs > 0);
	if (--s->refs > 0)
		return;
	/* What the process attached may point into the mappings. */
	if (s->owned_free != NULL)
		s->owned_free(s->owned);
	conf_free(s->conf);
	if (s->plan != NULL)
		(void)munmap((void *)(uintptr_t)s->plan, s->plan->size);
	if (s->keys != NULL)
		(void)munmap(s->keys, s->keys_len);
	s->magic = 0;
	free(s);
}

const struct plan_socket *snapshot_socket(const struct snapshot *s, uint32_t i)
{
	MUST(i < s->plan->num_sockets);
	return &plan_sockets(s->plan)[i];
}

const struct plan_listener *snapshot_listener(const struct snapshot *s, uint32_t i)
{
	MUST(i < s->plan->num_listeners);
	return &plan_listeners(s->plan)[i];
}

const struct plan_pool *snapshot_pool(const struct snapshot *s, uint32_t i)
{
	MUST(i < s->plan->num_pools);
	return &plan_pools(s->plan)[i];
}

const struct plan_server *snapshot_server(const struct snapshot *s, uint32_t i)
{
	MUST(i < s->plan->num_servers);
	return &plan_servers(s->plan)[i];
}

const struct plan_address *snapshot_address(const struct snapshot *s, uint32_t i)
{
	MUST(i < s->plan->num_addresses);
	return &plan_addresses(s->plan)[i];
}

struct span snapshot_index(const struct snapshot *s)
{
	return span_of((const char *)s->plan + s->plan->index_offset, s->plan->index_len);
}

struct span snapshot_roots(const struct snapshot *s, uint32_t pool)
{
	const struct plan_pool *p = snapshot_pool(s, pool);

	return span_of((const char *)s->plan + p->roots_offset, p->roots_len);
}
