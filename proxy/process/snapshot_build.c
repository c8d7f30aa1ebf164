#include "proxy/process/snapshot_build.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the next part goes; parts are written as they come. */
struct writer {
	int fd;
	uint64_t at;
	int error; /* errno of the first failure; 0: none */
};

static void writer_put(struct writer *w, uint64_t at, const void *bytes, size_t n)
{
	const char *p = bytes;

	while (n > 0 && w->error == 0) {
		ssize_t done = pwrite(w->fd, p, n, (off_t)at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0) {
			w->error = done < 0 ? errno : EIO;
			return;
		}
		p += done;
		at += (uint64_t)done;
		n -= (size_t)done;
	}
}

/* Appends `n` bytes and returns where they are. */
static uint64_t writer_add(struct writer *w, const void *bytes, size_t n)
{
	uint64_t at = (w->at + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;

	writer_put(w, at, bytes, n);
	w->at = at + n;
	return at;
}

/* Copies a name into the plan. False: it does not fit. */
static bool plan_copy(char *to, size_t room, const char *from)
{
	size_t n = strlen(from) + 1;

	if (n > room)
		return false;
	memcpy(to, from, n);
	return true;
}

static bool build_name(char *to, const char *from, const char *pointer,
		       const struct snapshot_source *s, struct problems *why)
{
	char where[512];

	if (plan_copy(to, SNAPSHOT_TEXT, from))
		return true;
	(void)snprintf(where, sizeof(where), "%s: %s", s->file, pointer);
	problems_add(why, PROBLEM_ERROR, where,
		     "\"%.64s...\" is too long for logs and metrics: give it a `name` of its own",
		     from);
	return false;
}

static void build_listeners(struct writer *w, struct plan *p, const struct snapshot_source *s,
			    struct problems *why)
{
	size_t n = s->conf->num_listeners;
	struct plan_listener *list = calloc(n + 1, sizeof(*list));

	if (list == NULL) {
		w->error = ENOMEM;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const struct conf_listener *l = &s->conf->listeners[i];

		(void)build_name(list[i].name, l->name, l->pointer, s, why);
		list[i].set = (uint32_t)i;
	}
	p->num_listeners = (uint32_t)n;
	p->listeners = writer_add(w, list, n * sizeof(*list));
	p->num_sockets = s->num_sockets;
	p->sockets = writer_add(w, s->sockets, s->num_sockets * sizeof(*s->sockets));
	free(list);
}

/* Roots are large and often the same: pools that share them share their place. */
static void build_roots(struct writer *w, struct plan_pool *list, size_t i,
			const struct snapshot_source *s)
{
	for (size_t k = 0; k < i; k++) {
		if (s->roots[k].p == s->roots[i].p && s->roots[k].n == s->roots[i].n) {
			list[i].roots_offset = list[k].roots_offset;
			list[i].roots_len = list[k].roots_len;
			return;
		}
	}
	list[i].roots_len = s->roots[i].n;
	list[i].roots_offset = writer_add(w, s->roots[i].p, s->roots[i].n);
}

static void build_pools(struct writer *w, struct plan *p, const struct snapshot_source *s,
			struct problems *why)
{
	size_t n = s->conf->num_pools;
	struct plan_pool *list = calloc(n + 1, sizeof(*list));
	uint32_t first = 0;

	if (list == NULL) {
		w->error = ENOMEM;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const struct conf_pool *pool = &s->conf->pools[i];

		(void)build_name(list[i].name, pool->name, pool->pointer, s, why);
		list[i].first_server = first;
		list[i].num_servers = (uint32_t)pool->num_servers;
		first += list[i].num_servers;
		list[i].set = (uint32_t)(s->conf->num_listeners + i);
		build_roots(w, list, i, s);
	}
	p->num_pools = (uint32_t)n;
	p->pools = writer_add(w, list, n * sizeof(*list));
	p->num_servers = first;
	free(list);
}

static bool has_name(const struct conf_address *a)
{
	unsigned char bytes[sizeof(struct in6_addr)];

	return !a->is_unix && a->host != NULL && inet_pton(AF_INET, a->host, bytes) != 1 &&
	       inet_pton(AF_INET6, a->host, bytes) != 1;
}

static void build_server(struct plan_server *to, const struct conf_pool *pool, size_t i,
			 const struct snapshot_source *s, struct problems *why)
{
	const struct conf_server *server = &pool->servers[i];
	char pointer[320];

	(void)snprintf(pointer, sizeof(pointer), "%s/servers/%zu", pool->pointer, i);
	(void)build_name(to->name, server->name, pointer, s, why);
	to->port = server->address.port;
	to->discovery =
		(uint8_t)(has_name(&server->address) ? pool->discovery : CONF_DISCOVERY_ONCE);
	if (server->address.host != NULL &&
	    !plan_copy(to->host, sizeof(to->host), server->address.host))
		(void)build_name(to->host, server->address.host, pointer, s, why);
}

static void build_servers(struct writer *w, struct plan *p, const struct snapshot_source *s,
			  struct problems *why)
{
	struct plan_server *list = calloc((size_t)p->num_servers + 1, sizeof(*list));
	uint32_t at = 0, num_addresses = 0;

	if (list == NULL) {
		w->error = ENOMEM;
		return;
	}
	for (uint32_t i = 0; i < p->num_pools; i++) {
		const struct conf_pool *pool = &s->conf->pools[i];

		for (size_t k = 0; k < pool->num_servers; k++, at++) {
			build_server(&list[at], pool, k, s, why);
			list[at].pool = i;
			list[at].first_address = num_addresses;
			list[at].num_addresses = s->servers[at].num;
			num_addresses += s->servers[at].num;
		}
	}
	p->servers = writer_add(w, list, at * sizeof(*list));
	p->num_addresses = num_addresses;
	p->addresses = writer_add(w, NULL, 0);
	for (at = 0; at < p->num_servers; at++) {
		size_t n = s->servers[at].num * sizeof(s->servers[at].list[0]);

		writer_put(w, w->at, s->servers[at].list, n);
		w->at += n;
	}
	free(list);
}

static void build_settings(struct plan *p, const struct snapshot_source *s)
{
	const struct conf *c = s->conf;

	p->num_certificates = s->num_certificates;
	p->first_expiry_s = s->first_expiry_s;
	p->workers = s->workers;
	p->uid = s->uid;
	p->gid = s->gid;
	p->drain_delay_ns = c->drain_delay_ns;
	p->drain_timeout_ns = c->drain_timeout_ns;
	p->log_level = c->log.level;
	/* Paths of the configuration are shorter than PATH_MAX. */
	(void)plan_copy(p->log_error, sizeof(p->log_error), c->log.error);
	if (c->log.access != NULL)
		(void)plan_copy(p->log_access, sizeof(p->log_access), c->log.access);
	p->key_isolation = c->key_isolation;
	p->sandbox = (uint8_t)c->sandbox;
	p->admin_on = s->admin_on;
	p->admin_default = s->admin_default;
	if (s->admin_on) {
		p->admin = s->admin.address;
		p->admin_len = s->admin.len;
		memcpy(p->admin_text, s->admin.text, sizeof(p->admin_text));
	}
}

int snapshot_build(const struct snapshot_source *from, struct problems *why)
{
	const char *json = conf_canonical(from->conf);
	struct writer w = { .fd = -1, .at = sizeof(struct plan) };
	struct plan *p = calloc(1, sizeof(*p));
	size_t errors = why->num_errors;

	if (p == NULL) {
		w.error = ENOMEM;
		goto fail;
	}
	*p = (struct plan){ .magic = PLAN_MAGIC, .version = PLAN_VERSION };
	if ((w.fd = memfd_create("snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING)) < 0) {
		w.error = errno;
		goto fail;
	}
	build_listeners(&w, p, from, why);
	build_pools(&w, p, from, why);
	build_servers(&w, p, from, why);
	build_settings(p, from);
	p->json_len = strlen(json);
	p->json_offset = writer_add(&w, json, p->json_len);
	p->file_len = strlen(from->file);
	p->file_offset = writer_add(&w, from->file, p->file_len);
	p->index_len = from->index.n;
	p->index_offset = writer_add(&w, from->index.p, from->index.n);
	p->size = w.at;
	writer_put(&w, 0, p, sizeof(*p));
	/* An empty last part leaves the file shorter than the plan says. */
	if (w.error == 0 && ftruncate(w.fd, (off_t)p->size) != 0)
		w.error = errno;
	if (w.error == 0 && why->num_errors == errors) {
		free(p);
		return w.fd;
	}
fail:
	if (w.error != 0)
		problems_add(why, PROBLEM_ERROR, from->file, "the snapshot cannot be made: %s",
			     strerror(w.error));
	if (w.fd >= 0)
		(void)close(w.fd);
	free(p);
	return -1;
}

int snapshot_build_keys(const struct key_table *keys, struct problems *why)
{
	size_t n = key_table_size(keys);
	int fd = memfd_create("keys", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *at = MAP_FAILED;

	/* fallocate: a lack of memory is an error here, not a signal later. */
	if (fd < 0 || fchmod(fd, 0600) != 0 ||
	    (n > 0 && (errno = posix_fallocate(fd, 0, (off_t)n)) != 0) ||
	    (at = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) == MAP_FAILED) {
		problems_add(why, PROBLEM_ERROR, "keys", "no memory for them: %s", strerror(errno));
		if (fd >= 0)
			(void)close(fd);
		return -1;
	}
	key_table_write(keys, at);
	(void)munmap(at, n);
	return fd;
}
