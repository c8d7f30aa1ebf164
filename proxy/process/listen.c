#include "proxy/process/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* What is wrong, and what to do about it. */
static void listen_say(int error, char *why, size_t why_len)
{
	static const struct {
		int error;
		const char *words;
	} known[] = {
		{ EADDRINUSE, "address already in use: is another instance, or another server, "
			      "running?" },
		{ EACCES,
		  "permission denied: ports below 1024 need root or CAP_NET_BIND_SERVICE, a "
		  "unix socket a folder that is writable" },
		{ EADDRNOTAVAIL, "no interface of this machine has this address" },
		{ EAFNOSUPPORT, "the kernel has no IPv6: give an IPv4 address" },
		{ EMFILE, "too many open files: raise the limit (ulimit -n, LimitNOFILE=)" },
		{ ENOENT, "its folder does not exist: create it first" },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].error == error) {
			(void)snprintf(why, why_len, "%s", known[i].words);
			return;
		}
	}
	(void)snprintf(why, why_len, "%s", strerror(error));
}

static bool listen_set(int fd, int level, int option)
{
	int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on)) == 0;
}

/* ---- TCP */

/* Opens and binds one socket. Only the first is bound without the flag to share, and gets it then:
 * so it is refused where anybody else listens. */
static int listen_bind(const struct sockaddr_storage *address, socklen_t len, bool both_families,
		       bool first)
{
	int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int only_v6 = both_families ? 0 : 1, error;

	if (fd < 0)
		return -1;
	if (listen_set(fd, SOL_SOCKET, SO_REUSEADDR) &&
	    (address->ss_family != AF_INET6 ||
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof(only_v6)) == 0) &&
	    (first || listen_set(fd, SOL_SOCKET, SO_REUSEPORT)) &&
	    bind(fd, (const struct sockaddr *)address, len) == 0 &&
	    (!first || listen_set(fd, SOL_SOCKET, SO_REUSEPORT)))
		return fd;
	error = errno;
	(void)close(fd);
	errno = error;
	return -1;
}

static void listen_close(int *fds, unsigned num)
{
	while (num > 0)
		(void)close(fds[--num]);
}

bool listen_tcp(const struct listen_how *how, unsigned num, int *fds, char *why, size_t why_len)
{
	struct sockaddr_storage address = *how->address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)how->address;
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = v6->sin6_port };
	bool both = how->both_families, first = !how->beside_ours;
	socklen_t len = how->len;
	unsigned n = 0;

	fds[0] = listen_bind(&address, len, both, first);
	if (fds[0] < 0 && both && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
		memset(&address, 0, sizeof(address));
		memcpy(&address, &any, sizeof(any));
		len = sizeof(any);
		both = false;
		fds[0] = listen_bind(&address, len, both, first);
	}
	if (fds[0] < 0)
		goto fail;
	for (n = 1; n < num; n++) {
		if ((fds[n] = listen_bind(&address, len, both, false)) < 0)
			goto fail;
	}
	for (unsigned i = 0; i < num; i++) {
		/* A captured worker shall not steer its siblings' connections by a filter. */
		if (!listen_set(fds[i], SOL_SOCKET, SO_LOCK_FILTER) ||
		    listen(fds[i], LISTEN_BACKLOG) != 0)
			goto fail;
	}
	return true;
fail:
	listen_say(errno, why, why_len);
	listen_close(fds, n);
	return false;
}

/* ---- unix */

/* Whether somebody answers at `path`, or might. */
static bool listen_answers(const struct sockaddr_un *at)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool answers;

	if (fd < 0)
		return true;
	answers =
		connect(fd, (const struct sockaddr *)at, sizeof(*at)) == 0 || errno != ECONNREFUSED;
	(void)close(fd);
	return answers;
}

/* Makes the path free. False, with errno and perhaps words of its own: it is not. */
static bool listen_clear(const struct sockaddr_un *at, char *why, size_t why_len)
{
	struct stat st;

	if (lstat(at->sun_path, &st) != 0)
		return errno == ENOENT;
	if (!S_ISSOCK(st.st_mode)) {
		(void)snprintf(why, why_len, "there is a file of that name, and it is no socket");
		return false;
	}
	if (listen_answers(at)) {
		(void)snprintf(why, why_len,
			       "somebody answers there: is another instance running?");
		return false;
	}
	return unlink(at->sun_path) == 0 || errno == ENOENT;
}

bool listen_folder(const struct sockaddr_storage *address, char *why, size_t why_len)
{
	const struct sockaddr_un *at = (const struct sockaddr_un *)address;
	char folder[sizeof(at->sun_path)];
	char *slash;

	memcpy(folder, at->sun_path, sizeof(folder));
	slash = strrchr(folder, '/');
	if (slash == NULL || slash == folder)
		return true;
	*slash = '\0';
	if (mkdir(folder, 0755) == 0 || errno == EEXIST)
		return true;
	listen_say(errno, why, why_len);
	return false;
}

/* Binds so that the file has its mode from its first moment. */
static bool listen_bind_file(int fd, const struct sockaddr_un *at, socklen_t len, mode_t mode)
{
	mode_t before = umask(0);
	bool ok = fchmod(fd, mode) == 0 && bind(fd, (const struct sockaddr *)at, len) == 0;
	int error = errno;

	(void)umask(before);
	errno = error;
	return ok;
}

int listen_unix(const struct listen_how *how, struct listen_file *file, char *why, size_t why_len)
{
	struct sockaddr_un at;
	struct stat st;
	int fd = -1;

	memcpy(&at, how->address, sizeof(at));
	*file = (struct listen_file){ .path = "" };
	why[0] = '\0';
	if (!listen_clear(&at, why, why_len))
		goto fail;
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0 ||
	    !listen_bind_file(fd, &at, how->len, how->mode))
		goto fail;
	if (lstat(at.sun_path, &st) == 0) {
		file->device = st.st_dev;
		file->inode = st.st_ino;
		memcpy(file->path, at.sun_path, sizeof(file->path));
	}
	if (listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
fail:
	if (why[0] == '\0')
		listen_say(errno, why, why_len);
	listen_unlink(file);
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

void listen_adopt_file(int fd, struct listen_file *file)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(at);
	struct stat st;

	*file = (struct listen_file){ .path = "" };
	if (getsockname(fd, (struct sockaddr *)&at, &len) != 0 || at.sun_family != AF_UNIX ||
	    memchr(at.sun_path, '\0', sizeof(at.sun_path)) == NULL ||
	    lstat(at.sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return;
	file->device = st.st_dev;
	file->inode = st.st_ino;
	memcpy(file->path, at.sun_path, sizeof(file->path));
}

void listen_unlink(struct listen_file *file)
{
	struct stat st;

	if (file->path[0] != '\0' && lstat(file->path, &st) == 0 && st.st_dev == file->device &&
	    st.st_ino == file->inode)
		(void)unlink(file->path);
	file->path[0] = '\0';
}
