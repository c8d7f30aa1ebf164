#include "proxy/observe/logsink.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RETRY_NS = 1000000000 };

void logsink_init(struct logsink *s)
{
	*s = (struct logsink){ .fd = -1 };
}

void logsink_fini(struct logsink *s)
{
	if (s->fd >= 0)
		(void)close(s->fd);
	s->fd = -1;
}

static void failed(struct logsink *s, int error, int64_t now_ns)
{
	s->last_error = error;
	s->num_errors++;
	s->retry_ns = now_ns + RETRY_NS;
	if (s->stuck_since_ns == 0)
		s->stuck_since_ns = now_ns;
}

static void blocked(struct logsink *s, int64_t now_ns)
{
	s->wants_poll = true;
	s->polled_ns = now_ns;
	if (s->stuck_since_ns == 0)
		s->stuck_since_ns = now_ns;
}

/* How much may be written without waiting. The descriptor is shared with whoever gave it to us, so
 * it cannot be made non-blocking; but what poll calls writable takes PIPE_BUF bytes at once. */
static size_t writable(const struct logsink *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLOUT };

	if (s->is_file)
		return LOGSINK_BYTES;
	return poll(&p, 1, 0) > 0 ? PIPE_BUF : 0;
}

void logsink_flush(struct logsink *s, int64_t now_ns)
{
	if (now_ns < s->retry_ns || (s->wants_poll && s->polled_ns == now_ns))
		return;
	s->wants_poll = false;
	while (s->fd >= 0 && s->start < s->n) {
		size_t most = writable(s);
		size_t len = s->n - s->start < most ? s->n - s->start : most;
		ssize_t written;

		if (len == 0) {
			blocked(s, now_ns);
			return;
		}
		written = write(s->fd, s->buf + s->start, len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0 && errno == EAGAIN) {
			blocked(s, now_ns);
			return;
		}
		if (written <= 0) {
			failed(s, written == 0 ? EIO : errno, now_ns);
			return;
		}
		s->start += (size_t)written;
		s->stuck_since_ns = 0;
		s->retry_ns = 0;
	}
	if (s->start == s->n)
		s->start = s->n = 0;
}

/* Opened again, a pipe or a file that was not renamed is the same one: a half line goes on there.
 */
static bool same_file(int a, int b)
{
	struct stat one, other;

	return a >= 0 && b >= 0 && fstat(a, &one) == 0 && fstat(b, &other) == 0 &&
	       one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

void logsink_swap(struct logsink *s, int fd, int64_t now_ns)
{
	const char *rest;
	struct stat st;

	s->retry_ns = 0;
	s->wants_poll = false;
	logsink_flush(s, now_ns);
	if (s->start > 0 && s->start < s->n && s->buf[s->start - 1] != '\n' &&
	    !same_file(s->fd, fd)) {
		rest = memchr(s->buf + s->start, '\n', s->n - s->start);
		s->start = rest == NULL ? s->n : (size_t)(rest + 1 - s->buf);
		s->num_lost++;
	}
	logsink_fini(s);
	s->fd = fd;
	s->is_file = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	s->stuck_since_ns = s->retry_ns = 0;
	s->wants_poll = false;
	if (fd < 0)
		s->start = s->n = 0;
}

char *logsink_room(struct logsink *s, int64_t now_ns)
{
	if (s->n - s->start >= LOGSINK_BATCH)
		logsink_flush(s, now_ns);
	if (LOGSINK_BYTES - s->n >= RECORD_LINE_MAX)
		return s->buf + s->n;
	if (s->start >= RECORD_LINE_MAX) {
		/* The byte before says whether a line was half written: keep it. */
		memmove(s->buf, s->buf + s->start - 1, s->n - s->start + 1);
		s->n -= s->start - 1;
		s->start = 1;
		return s->buf + s->n;
	}
	return NULL;
}

void logsink_add(struct logsink *s, size_t n)
{
	s->n += n;
}

int64_t logsink_stuck(const struct logsink *s, int64_t now_ns)
{
	return s->stuck_since_ns == 0 ? 0 : now_ns - s->stuck_since_ns;
}
