#include "proxy/process/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proxy/observe/metrics.h"
#include "proxy/observe/record.h"

enum { LOGS_MODE = 0640, LOGS_MAX_TEXT = 3072 };

static int log_open(const char *path)
{
	int fd, flags;

	if (strcmp(path, "stderr") == 0)
		return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 4);
	if (strcmp(path, "stdout") == 0)
		return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 4);
	/* Not to wait for the reader of a pipe; whoever writes later may. */
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
		  LOGS_MODE);
	if (fd < 0)
		return -1;
	if ((flags = fcntl(fd, F_GETFL)) < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static bool log_file_open(struct log_file *f, const char *path, struct problems *why)
{
	int fd;

	*f = (struct log_file){ .handle = NULL };
	(void)snprintf(f->path, sizeof(f->path), "%s", path);
	if (path[0] == '\0')
		return true;
	if ((fd = log_open(path)) < 0) {
		problems_add(why, PROBLEM_ERROR, path, "the log cannot be opened: %s%s",
			     strerror(errno),
			     errno == ENOENT  ? "; create its folder first"
			     : errno == ENXIO ? "; nobody reads from this pipe"
					      : "");
		return false;
	}
	if ((f->handle = handle_new(fd)) != NULL)
		return true;
	problems_add(why, PROBLEM_ERROR, path, "the log cannot be opened: out of memory");
	return false;
}

bool logs_init(struct logs *l)
{
	struct problems why;
	bool ok;

	*l = (struct logs){ .level = CONF_LOG_INFO };
	problems_init(&why);
	ok = log_file_open(&l->error, "stderr", &why);
	problems_fini(&why);
	return ok;
}

void logs_fini(struct logs *l)
{
	handle_unref(l->error.handle);
	handle_unref(l->access.handle);
	l->error.handle = l->access.handle = NULL;
}

bool logs_open(struct logs *fresh, const char *error, const char *access, enum conf_log_level level,
	       struct problems *why)
{
	bool ok;

	*fresh = (struct logs){ .level = level };
	ok = log_file_open(&fresh->error, error, why);
	ok = log_file_open(&fresh->access, access, why) && ok;
	if (!ok)
		logs_fini(fresh);
	return ok;
}

static bool log_file_reopen(struct log_file *f, struct problems *why)
{
	struct log_file fresh;

	if (!log_file_open(&fresh, f->path, why))
		return false;
	handle_unref(f->handle);
	*f = fresh;
	return true;
}

bool logs_reopen(struct logs *l, struct problems *why)
{
	bool ok = log_file_reopen(&l->error, why);

	return log_file_reopen(&l->access, why) && ok;
}

void logs_say(struct logs *l, enum conf_log_level level, const char *format, ...)
{
	char text[LOGS_MAX_TEXT], line[LOGS_MAX_LINE];
	struct timespec now;
	struct pollfd room;
	va_list args;
	size_t n;

	if (level > l->level || l->error.handle == NULL)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)clock_gettime(CLOCK_REALTIME, &now);
	n = record_log_text((int64_t)now.tv_sec * 1000000000 + now.tv_nsec, level, "supervisor",
			    span_str(text), line, sizeof(line));
	room = (struct pollfd){ .fd = l->error.handle->fd, .events = POLLOUT };
	/* A pipe that is ready takes a line of this length without waiting (pipe(7)). */
	if ((n == 0 || poll(&room, 1, 0) != 1 || (room.revents & POLLOUT) == 0 ||
	     write(room.fd, line, n) != (ssize_t)n) &&
	    l->dropped != NULL)
		metrics_add(l->dropped, 1);
}
