#include "proxy/process/name_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const paths[NAME_FILES] = {
	[NAME_FILE_RESOLV_CONF] = "/etc/resolv.conf",
	[NAME_FILE_HOSTS] = "/etc/hosts",
};

const char *name_files_path(enum name_file which)
{
	return paths[which];
}

int name_files_open(enum name_file which)
{
	int fd = open(paths[which], O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

/* What can be read of it is better than nothing. */
static size_t read_all(int fd, char *text)
{
	size_t n = 0;

	while (fd >= 0 && n < RESOLV_MAX_TEXT) {
		ssize_t got = read(fd, text + n, RESOLV_MAX_TEXT - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	return n;
}

bool name_files_tell(struct resolver *r, const int fds[NAME_FILES])
{
	char *resolv_conf = malloc(RESOLV_MAX_TEXT), *hosts = malloc(RESOLV_MAX_TEXT);
	bool ok = false;

	if (resolv_conf != NULL && hosts != NULL)
		ok = resolver_system(
			r, span_of(resolv_conf, read_all(fds[NAME_FILE_RESOLV_CONF], resolv_conf)),
			span_of(hosts, read_all(fds[NAME_FILE_HOSTS], hosts)));
	free(resolv_conf);
	free(hosts);
	return ok;
}
