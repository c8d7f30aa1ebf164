#include "proxy/process/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "certs/client.h"
#include "certs/index.h"
#include "certs/server.h"
#include "certs/store.h"
#include "proxy/process/channel.h"
#include "proxy/process/host.h"
#include "proxy/process/loader_addresses.h"
#include "proxy/process/role.h"
#include "proxy/process/snapshot_build.h"

/* ---- the text */

/* Reads all of `fd`. NULL, with a problem: it cannot be read, or is too long. */
static char *loader_read(int fd, const char *file, size_t *len, struct problems *why)
{
	size_t room = 64 << 10, n = 0;
	char *text = malloc(room);

	while (text != NULL) {
		ssize_t got = read(fd, text + n, room - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			problems_add(why, PROBLEM_ERROR, file, "cannot be read: %s",
				     strerror(errno));
			goto fail;
		}
		n += (size_t)got;
		if (n > CONF_MAX_TEXT) {
			problems_add(why, PROBLEM_ERROR, file, "is larger than the %d MiB allowed",
				     CONF_MAX_TEXT >> 20);
			goto fail;
		}
		if (got == 0) {
			*len = n;
			return text;
		}
		if (n == room) {
			char *grown = realloc(text, room *= 2);

			if (grown == NULL)
				break;
			text = grown;
		}
	}
	problems_add(why, PROBLEM_ERROR, file, "out of memory");
fail:
	free(text);
	return NULL;
}

static const char *loader_getenv(const char *name)
{
	return getenv(name);
}

static struct conf *loader_parse(const struct loader_source *from, struct problems *why)
{
	struct conf_source source = { .file = from->file,
				      .folder = from->folder,
				      .getenv = loader_getenv };
	struct conf *c = NULL;
	size_t len = 0;
	char *text;
	int fd;

	if (from->text_fd >= 0)
		fd = lseek(from->text_fd, 0, SEEK_SET) == 0
			     ? fcntl(from->text_fd, F_DUPFD_CLOEXEC, 3)
			     : -1;
	else
		fd = open(from->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		problems_add(why, PROBLEM_ERROR, from->file, "cannot be opened: %s",
			     strerror(errno));
		return NULL;
	}
	if ((text = loader_read(fd, from->file, &len, why)) != NULL)
		c = conf_parse(span_of(text, len), &source, why);
	free(text);
	(void)close(fd);
	return c;
}

/* ---- the checks */

static void loader_check_listeners(const struct conf *c, struct index *index, struct keys *keys,
				   struct problems *why)
{
	for (size_t i = 0; i < c->num_listeners; i++) {
		struct server_tls_parts parts = { .index = index,
						  .set = (uint32_t)i,
						  .keys = keys };
		size_t errors = why->num_errors;
		struct server_tls *tls;

		if (c->listeners[i].tls == NULL)
			continue;
		tls = server_tls_new(&c->listeners[i], &parts, why);
		if (tls == NULL && why->num_errors == errors)
			problems_add(why, PROBLEM_ERROR, c->listeners[i].pointer,
				     "out of memory for its TLS context");
		server_tls_free(tls);
	}
}

static void loader_check_pools(const struct conf *c, const struct store *store, struct index *index,
			       struct keys *keys, struct problems *why)
{
	for (size_t i = 0; i < c->num_pools; i++) {
		const struct client_tls_certificate own = { .index = index,
							    .set = (uint32_t)(c->num_listeners + i),
							    .keys = keys };
		const struct conf_pool *p = &c->pools[i];
		size_t errors = why->num_errors;
		struct client_tls *tls;
		bool ok;

		if (p->tls == NULL)
			continue;
		tls = client_tls_new(p->tls, store_roots(store, i), p->pointer, why);
		ok = tls != NULL && (p->tls->certificate == NULL || client_tls_show(tls, &own));
		if (!ok && why->num_errors == errors)
			problems_add(why, PROBLEM_ERROR, p->pointer,
				     "out of memory for its TLS context");
		client_tls_free(tls);
	}
}

/* Problems of TLS contexts say only where in the configuration; the reader wants the file, too. */
static void loader_name_file(struct problems *why, size_t from, const char *file)
{
	for (size_t i = from; i < why->num; i++) {
		char where[sizeof(why->list[i].where)];

		if (why->list[i].where[0] != '/' || strlen(file) + 3 > sizeof(where) / 2)
			continue;
		(void)snprintf(where, sizeof(where), "%s: %.*s", file, (int)sizeof(where) / 2,
			       why->list[i].where);
		memcpy(why->list[i].where, where, sizeof(where));
	}
}

/* The first day on which a certificate expires, or 0. */
static int64_t loader_first_expiry(const struct index *index)
{
	int64_t first = 0;

	for (uint32_t i = 0; i < index_count(index); i++) {
		struct index_entry e;

		if (index_entry(index, i, &e) && (first == 0 || e.not_after_s < first))
			first = e.not_after_s;
	}
	return first;
}

static void loader_check(const struct conf *c, const char *file, const struct store *store,
			 struct snapshot_source *s, struct problems *why)
{
	size_t before = why->num;
	struct index *index = index_open(store_index(store));
	struct keys *keys = keys_new();

	if (index == NULL || keys == NULL) {
		problems_add(why, PROBLEM_ERROR, file,
			     keys == NULL ? "out of memory" : "the certificate index is damaged");
		goto done;
	}
	s->index = store_index(store);
	s->num_certificates = store_count(store);
	s->first_expiry_s = loader_first_expiry(index);
	loader_check_listeners(c, index, keys, why);
	loader_check_pools(c, store, index, keys, why);
	loader_name_file(why, before, file);
done:
	keys_free(keys);
	index_close(index);
}

/* ---- one load */

static bool loader_build(const struct conf *c, const struct store *store, struct snapshot_source *s,
			 struct loaded *out, struct problems *why)
{
	struct span *roots = calloc(c->num_pools + 1, sizeof(*roots));
	struct loaded made = { .snapshot_fd = -1, .keys_fd = -1 };

	if (roots == NULL) {
		problems_add(why, PROBLEM_ERROR, s->file, "out of memory");
		return false;
	}
	for (size_t i = 0; i < c->num_pools; i++)
		roots[i] = store_roots(store, i);
	s->roots = roots;
	made.num_listeners = c->num_listeners;
	made.num_pools = c->num_pools;
	made.num_certificates = store_count(store);
	made.snapshot_fd = snapshot_build(s, why);
	free(roots);
	if (made.snapshot_fd < 0)
		return false;
	if ((made.keys_fd = snapshot_build_keys(store_keys(store), why)) < 0) {
		(void)close(made.snapshot_fd);
		return false;
	}
	*out = made;
	return true;
}

bool loader_load(const struct loader_source *from, const struct conf *previous, struct loaded *out,
		 struct problems *why)
{
	struct conf *c = loader_parse(from, why);
	struct snapshot_source s = { .conf = c, .file = from->file };
	struct loader_addresses addresses = { .sockets = NULL };
	struct store *store = NULL;
	size_t errors = why->num_errors;
	bool ok = false;

	if (c == NULL)
		return false;
	s.workers = c->workers != 0 ? c->workers : host_cpus();
	/* Each of these says what it finds; none stops the others. */
	if (previous != NULL)
		(void)conf_same_start(previous, c, from->file, why);
	(void)host_identity(c, geteuid() == 0, from->file, &s.uid, &s.gid, why);
	if ((store = store_load(c, (int64_t)time(NULL), why)) != NULL)
		loader_check(c, from->file, store, &s, why);
	if (loader_addresses_find(&addresses, c, from->file, why) && store != NULL &&
	    why->num_errors == errors) {
		loader_addresses_give(&addresses, &s);
		ok = loader_build(c, store, &s, out, why);
	}
	loader_addresses_fini(&addresses);
	store_free(store);
	conf_free(c);
	return ok;
}

/* ---- the role */

enum { LOADER_START_WAIT_MS = 10000 };

/* Sends and waits while the supervisor reads more slowly. */
static bool loader_tell(const struct channel_message *m, const int *fds, size_t num_fds)
{
	while (!channel_send(CHANNEL_FD, m, fds, num_fds)) {
		struct pollfd room = { .fd = CHANNEL_FD, .events = POLLOUT };

		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return false;
		if (poll(&room, 1, -1) < 0 && errno != EINTR)
			return false;
	}
	return true;
}

static bool loader_tell_problems(const struct problems *why)
{
	struct channel_message m = { .type = CHANNEL_PROBLEM };

	for (size_t i = 0; i < why->num; i++) {
		const struct problem *one = &why->list[i];
		bool warning = one->level == PROBLEM_WARNING;

		m.flags = warning ? CONF_LOG_WARNING : CONF_LOG_ERROR;
		(void)snprintf(m.text, sizeof(m.text), "%s: %s%s", one->where,
			       warning ? "warning: " : "", one->what);
		if (!loader_tell(&m, NULL, 0))
			return false;
	}
	if (why->num_dropped == 0)
		return true;
	m.flags = why->num_errors > 0 ? CONF_LOG_ERROR : CONF_LOG_WARNING;
	(void)snprintf(m.text, sizeof(m.text), "... and %zu more", why->num_dropped);
	return loader_tell(&m, NULL, 0);
}

/* Takes what the supervisor gives with START; -1 for what is not given. */
static bool loader_start(int *text_fd, int *previous_fd)
{
	struct pollfd ready = { .fd = CHANNEL_FD, .events = POLLIN };
	int fds[CHANNEL_MAX_FDS];
	struct channel_message m;
	size_t num_fds, used = 0;

	*text_fd = *previous_fd = -1;
	if (poll(&ready, 1, LOADER_START_WAIT_MS) != 1 ||
	    channel_receive(CHANNEL_FD, &m, fds, &num_fds) != CHANNEL_GOT)
		return false;
	if ((m.flags & LOADER_TEXT) != 0 && used < num_fds)
		*text_fd = fds[used++];
	if ((m.flags & LOADER_PREVIOUS) != 0 && used < num_fds)
		*previous_fd = fds[used++];
	/* What is left over is closed with the process. */
	return m.type == CHANNEL_START && used == num_fds;
}

static bool loader_run(const struct loader_source *from, int previous_fd, struct loaded *out,
		       struct problems *why)
{
	struct snapshot *previous = NULL;
	bool ok = false;

	if (previous_fd < 0 || (previous = snapshot_open(previous_fd, -1, why)) != NULL)
		ok = loader_load(from, previous == NULL ? NULL : previous->conf, out, why);
	snapshot_unref(previous);
	return ok;
}

int loader_main(int argc, char **argv)
{
	struct loader_source from = { .text_fd = -1 };
	struct channel_message m = { .type = CHANNEL_LOADED };
	struct loaded made = { .snapshot_fd = -1, .keys_fd = -1 };
	struct problems why;
	int previous_fd, fds[2];
	bool ok;

	if (argc != 2 || !loader_start(&from.text_fd, &previous_fd))
		return 3;
	from.file = argv[0];
	from.folder = argv[1];
	problems_init(&why);
	ok = loader_run(&from, previous_fd, &made, &why);
	fds[0] = made.snapshot_fd;
	fds[1] = made.keys_fd;
	m.flags = ok ? 1 : 0;
	if (!loader_tell_problems(&why) || !loader_tell(&m, fds, ok ? 2 : 0))
		ok = false;
	problems_fini(&why);
	return ok ? 0 : 1;
}
