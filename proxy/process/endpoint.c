#include "proxy/process/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { ENDPOINT_UNIX_MODE = 0600, ENDPOINT_TRIES = 8 };

void endpoint_init(struct endpoint *e)
{
	*e = (struct endpoint){ .lock_fd = -1 };
}

/* ---- the lock */

/* Whether the file is still the one at `path`: its last owner removes it. */
static bool endpoint_is_at(int fd, const char *path)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 && ours.st_dev == there.st_dev &&
	       ours.st_ino == there.st_ino;
}

static bool endpoint_lock(struct endpoint *e, const struct sockaddr_storage *address, char *why,
			  size_t why_len)
{
	const struct sockaddr_un *at = (const struct sockaddr_un *)address;
	char path[sizeof(e->lock_path)];
	int fd = -1;

	(void)snprintf(path, sizeof(path), "%s.lock", at->sun_path);
	for (int i = 0; i < ENDPOINT_TRIES; i++) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY,
			  ENDPOINT_UNIX_MODE);
		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0)
			break;
		if (endpoint_is_at(fd, path)) {
			e->lock_fd = fd;
			memcpy(e->lock_path, path, sizeof(path));
			return true;
		}
		(void)close(fd);
		fd = -1;
	}
	if (errno == EWOULDBLOCK)
		(void)snprintf(why, why_len,
			       "another instance holds %s: give each an `admin` address of its own",
			       path);
	else
		(void)snprintf(why, why_len, "%s cannot be locked: %s", path, strerror(errno));
	if (fd >= 0)
		(void)close(fd);
	return false;
}

/* ---- the socket */

static int endpoint_bind(struct endpoint *e, const struct plan *p, char *why, size_t why_len)
{
	struct listen_how how = { .address = &p->admin,
				  .len = (socklen_t)p->admin_len,
				  .both_families = p->admin_text[0] == ':',
				  .mode = ENDPOINT_UNIX_MODE };
	int fd = -1;

	if (p->admin.ss_family != AF_UNIX)
		return listen_tcp(&how, 1, &fd, why, why_len) ? fd : -1;
	if (!listen_folder(&p->admin, why, why_len) || !endpoint_lock(e, &p->admin, why, why_len))
		return -1;
	return listen_unix(&how, &e->file, why, why_len);
}

bool endpoint_open(struct endpoint *e, const struct plan *p, struct problems *why)
{
	char what[256] = "out of memory";
	int fd;

	endpoint_init(e);
	if (!p->admin_on)
		return true;
	fd = endpoint_bind(e, p, what, sizeof(what));
	if (fd >= 0 && (e->socket = handle_new(fd)) != NULL)
		return true;
	endpoint_fini(e);
	if (p->admin_default) {
		problems_add(why, PROBLEM_WARNING, p->admin_text,
			     "there is no admin endpoint, for its default address cannot be had: "
			     "%s (give `admin` another `address`, or set it to false)",
			     what);
		return true;
	}
	problems_add(why, PROBLEM_ERROR, p->admin_text, "cannot listen: %s", what);
	return false;
}

bool endpoint_adopt(struct endpoint *e, int fd, int lock_fd)
{
	endpoint_init(e);
	e->lock_fd = lock_fd;
	e->socket = handle_new(fd);
	return e->socket != NULL;
}

void endpoint_own_files(struct endpoint *e)
{
	if (e->socket == NULL || e->file.path[0] != '\0')
		return;
	listen_adopt_file(e->socket->fd, &e->file);
	if (e->lock_fd >= 0 && e->file.path[0] != '\0')
		(void)snprintf(e->lock_path, sizeof(e->lock_path), "%s.lock", e->file.path);
}

void endpoint_hand_over(struct endpoint *e)
{
	handle_unref(e->socket);
	if (e->lock_fd >= 0)
		(void)close(e->lock_fd);
	endpoint_init(e);
}

void endpoint_fini(struct endpoint *e)
{
	listen_unlink(&e->file);
	handle_unref(e->socket);
	/* While it is still locked, so that nobody's is removed but ours. */
	if (e->lock_fd >= 0) {
		if (endpoint_is_at(e->lock_fd, e->lock_path))
			(void)unlink(e->lock_path);
		(void)close(e->lock_fd);
	}
	endpoint_init(e);
}
