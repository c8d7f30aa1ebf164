#include "proxy/process/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HANDOVER_VERSION = 1, HANDOVER_MAX = 8 << 20, HANDOVER_ADDRESSES = 4096 };

/* ---- keys, as hexadecimal digits */

enum { KEY_DIGITS = 2 * sizeof(struct ticket_key) };

static void key_to_digits(const struct ticket_key *key, char digits[KEY_DIGITS + 1])
{
	const uint8_t *bytes = (const uint8_t *)key;

	for (size_t i = 0; i < sizeof(*key); i++)
		(void)snprintf(digits + 2 * i, 3, "%02x", bytes[i]);
}

static bool key_from_digits(const char *digits, struct ticket_key *key)
{
	uint8_t *bytes = (uint8_t *)key;

	if (digits == NULL || strlen(digits) != KEY_DIGITS ||
	    strspn(digits, "0123456789abcdef") != KEY_DIGITS)
		return false;
	for (size_t i = 0; i < sizeof(*key); i++) {
		char byte[3] = { digits[2 * i], digits[2 * i + 1], '\0' };

		bytes[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return true;
}

/* ---- writing */

static json_t *write_addresses(const struct sockets *s)
{
	json_t *list = json_array();
	const struct listening *l;

	TAILQ_FOREACH(l, &s->list, entry) {
		json_t *fds = json_array();
		int failed = 0;

		for (unsigned i = 0; i < l->num; i++)
			failed |= json_array_append_new(fds, json_integer(l->handles[i]->fd));
		if (l->state != SOCKETS_LIVE) {
			json_decref(fds);
			continue;
		}
		if (json_array_append_new(list, json_pack("{s:s, s:b, s:o}", "address", l->text,
							  "shared", l->shared, "fds", fds)) != 0 ||
		    failed != 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *write_keys(const struct ticket_ring *r)
{
	char digits[KEY_DIGITS + 1];
	json_t *list = json_array();

	for (size_t i = 0; i < r->num; i++) {
		key_to_digits(&r->keys[i], digits);
		if (json_array_append_new(list, json_string(digits)) != 0) {
			json_decref(list);
			list = NULL;
			break;
		}
	}
	explicit_bzero(digits, sizeof(digits));
	return list;
}

static int write_text(const char *text, size_t n)
{
	int fd = memfd_create("handover", MFD_CLOEXEC);
	int error;

	if (fd >= 0 && write(fd, text, n) == (ssize_t)n)
		return fd;
	error = errno;
	if (fd >= 0)
		(void)close(fd);
	errno = error;
	return -1;
}

int handover_write(const struct handover_source *from)
{
	const struct endpoint *e = from->admin;
	json_t *all = json_pack("{s:i, s:i, s:i, s:o, s:o, s:{s:s, s:i, s:i}}", "version",
				HANDOVER_VERSION, "pid", (int)getpid(), "ready", from->ready_fd,
				"sockets", write_addresses(from->sockets), "ticket_keys",
				write_keys(from->tickets), "admin", "address", from->admin_text,
				"fd", e->socket == NULL ? -1 : e->socket->fd, "lock", e->lock_fd);
	char *text = all == NULL ? NULL : json_dumps(all, JSON_COMPACT);
	int fd = -1;

	errno = ENOMEM;
	if (text != NULL) {
		fd = write_text(text, strlen(text));
		explicit_bzero(text, strlen(text));
	}
	free(text);
	json_decref(all);
	return fd;
}

static void keep(int fd)
{
	if (fd >= 0)
		(void)fcntl(fd, F_SETFD, 0);
}

void handover_keep(const struct handover_source *from, int fd)
{
	const struct listening *l;

	TAILQ_FOREACH(l, &from->sockets->list, entry) {
		for (unsigned i = 0; l->state == SOCKETS_LIVE && i < l->num; i++)
			keep(l->handles[i]->fd);
	}
	if (from->admin->socket != NULL)
		keep(from->admin->socket->fd);
	keep(from->admin->lock_fd);
	keep(from->ready_fd);
	keep(fd);
}

/* ---- reading */

/* Whether an inherited descriptor is there; it is no other's from here on. */
static bool take_fd(const json_t *o, int *fd)
{
	json_int_t n = json_integer_value(o);

	*fd = -1;
	if (!json_is_integer(o) || n < 3 || n > INT_MAX || fcntl((int)n, F_SETFD, FD_CLOEXEC) != 0)
		return false;
	*fd = (int)n;
	return true;
}

static bool take_listening(const json_t *o, int *fd)
{
	int listens = 0;
	socklen_t len = sizeof(listens);

	return take_fd(o, fd) && getsockopt(*fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 &&
	       listens == 1;
}

static bool take_text(const json_t *o, char *out, size_t len)
{
	const char *text = json_string_value(o);

	return text != NULL && strlen(text) < len && snprintf(out, len, "%s", text) >= 0;
}

static bool take_address(const json_t *o, struct handover_address *a)
{
	const json_t *fds = json_object_get(o, "fds");
	size_t num = json_array_size(fds);
	bool ok = true;

	if (!take_text(json_object_get(o, "address"), a->text, sizeof(a->text)) || num == 0 ||
	    num > CONF_MAX_WORKERS)
		return false;
	a->shared = json_is_true(json_object_get(o, "shared"));
	for (a->num = 0; a->num < num; a->num++)
		ok = take_listening(json_array_get(fds, a->num), &a->fds[a->num]) && ok;
	return ok;
}

static bool take_addresses(const json_t *list, struct handover *h)
{
	size_t num = json_array_size(list);
	bool ok = true;

	if (!json_is_array(list) || num > HANDOVER_ADDRESSES ||
	    (h->addresses = calloc(num + 1, sizeof(h->addresses[0]))) == NULL)
		return false;
	for (h->num = 0; h->num < num; h->num++)
		ok = take_address(json_array_get(list, h->num), &h->addresses[h->num]) && ok;
	return ok;
}

/* Keys of another make are none: sessions then do not resume, and that is all. */
static void take_keys(const json_t *list, struct ticket_ring *r)
{
	size_t num = json_array_size(list);

	for (size_t i = 0; i < num && r->num < TICKETS_KEYS; i++) {
		if (!key_from_digits(json_string_value(json_array_get(list, i)), &r->keys[r->num]))
			return;
		r->num++;
	}
}

static bool take_admin(const json_t *o, struct handover *h)
{
	const json_t *fd = json_object_get(o, "fd"), *lock = json_object_get(o, "lock");
	bool ok = take_text(json_object_get(o, "address"), h->admin_text, sizeof(h->admin_text));

	if (json_integer_value(fd) >= 0)
		ok = take_listening(fd, &h->admin_fd) && ok;
	if (json_integer_value(lock) >= 0)
		ok = take_fd(lock, &h->lock_fd) && ok;
	return ok;
}

static bool take_all(const json_t *all, struct handover *h)
{
	bool ok = json_integer_value(json_object_get(all, "version")) == HANDOVER_VERSION;

	/* All of it, whatever is wrong with some: what was inherited must not stay open. */
	ok = take_fd(json_object_get(all, "ready"), &h->ready_fd) && ok;
	ok = take_addresses(json_object_get(all, "sockets"), h) && ok;
	ok = take_admin(json_object_get(all, "admin"), h) && ok;
	take_keys(json_object_get(all, "ticket_keys"), &h->tickets);
	h->from = (pid_t)json_integer_value(json_object_get(all, "pid"));
	return ok && h->from > 0;
}

static char *read_memory(int fd)
{
	struct stat st;
	char *text = NULL;

	if (fstat(fd, &st) == 0 && st.st_size > 0 && st.st_size <= HANDOVER_MAX &&
	    (text = calloc(1, (size_t)st.st_size + 1)) != NULL &&
	    pread(fd, text, (size_t)st.st_size, 0) != st.st_size) {
		free(text);
		text = NULL;
	}
	return text;
}

void handover_init(struct handover *h)
{
	*h = (struct handover){ .admin_fd = -1, .lock_fd = -1, .ready_fd = -1 };
}

bool handover_take(struct handover *h, char *why, size_t why_len)
{
	const char *named = getenv(HANDOVER_VARIABLE);
	char *text = NULL, *end;
	json_t *all = NULL;
	bool ok = false;
	long fd;

	handover_init(h);
	if (named == NULL)
		return true;
	fd = strtol(named, &end, 10);
	if (end != named && *end == '\0' && fd > 2 && fd <= INT_MAX)
		text = read_memory((int)fd);
	if (text != NULL) {
		(void)close((int)fd);
		all = json_loads(text, 0, NULL);
		explicit_bzero(text, strlen(text));
	}
	(void)unsetenv(HANDOVER_VARIABLE);
	if (all != NULL)
		ok = take_all(all, h);
	json_decref(all);
	free(text);
	if (ok)
		return true;
	handover_fini(h);
	(void)snprintf(why, why_len,
		       "what %s names is no upgrade that this version can take over: unset it, or "
		       "start anew instead of upgrading",
		       HANDOVER_VARIABLE);
	return false;
}

static void drop(int fd)
{
	if (fd >= 0)
		(void)close(fd);
}

void handover_fini(struct handover *h)
{
	for (size_t i = 0; i < h->num; i++) {
		for (unsigned k = 0; k < h->addresses[i].num; k++)
			drop(h->addresses[i].fds[k]);
	}
	free(h->addresses);
	drop(h->admin_fd);
	drop(h->lock_fd);
	drop(h->ready_fd);
	ticket_ring_fini(&h->tickets);
	handover_init(h);
}
