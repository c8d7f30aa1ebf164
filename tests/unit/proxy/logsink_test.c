#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/observe/logsink.h"

static struct logsink *s;

static void make(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	cr_assert_eq(sigaction(SIGPIPE, &ignore, NULL), 0);
	s = malloc(sizeof(*s));
	cr_assert_not_null(s);
	logsink_init(s);
}

static void drop(void)
{
	logsink_fini(s);
	free(s);
}

TestSuite(logsink, .init = make, .fini = drop);

static bool add(const char *line, int64_t now_ns)
{
	char *p = logsink_room(s, now_ns);

	if (p == NULL)
		return false;
	memcpy(p, line, strlen(line));
	logsink_add(s, strlen(line));
	return true;
}

/* A line of `n` bytes. */
static bool add_long(char byte, size_t n, int64_t now_ns)
{
	char *p = logsink_room(s, now_ns);

	if (p == NULL)
		return false;
	memset(p, byte, n - 1);
	p[n - 1] = '\n';
	logsink_add(s, n);
	return true;
}

static char *slurp(int fd, size_t *len)
{
	struct stat st;
	char *text;

	cr_assert_eq(fstat(fd, &st), 0);
	*len = (size_t)st.st_size;
	text = malloc(*len + 1);
	cr_assert_not_null(text);
	cr_assert_eq(pread(fd, text, *len, 0), (ssize_t)*len);
	text[*len] = '\0';
	return text;
}

Test(logsink, writes_lines_in_order_to_a_file)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	char *text;
	size_t len;

	logsink_swap(s, dup(fd), 1);
	cr_assert(add("one\n", 1));
	cr_assert(add("two\n", 1));
	logsink_flush(s, 1);
	text = slurp(fd, &len);
	cr_assert_str_eq(text, "one\ntwo\n");
	cr_assert_eq(s->n, 0);
	free(text);
	(void)close(fd);
}

Test(logsink, a_file_takes_any_number_of_lines)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct stat st;

	logsink_swap(s, dup(fd), 1);
	for (int i = 0; i < 2000; i++)
		cr_assert(add_long('x', 1000, 1));
	logsink_flush(s, 1);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(st.st_size, 2000000);
	(void)close(fd);
}

/* Reads all there is, into `*seen`; false where a line is torn or out of order. */
static void check_lines(int fd, char *rest, size_t *rest_len, unsigned *next)
{
	char buf[8192];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			rest[(*rest_len)++] = buf[i];
			cr_assert_leq(*rest_len, 300u);
			if (buf[i] != '\n')
				continue;
			cr_assert_eq(*rest_len, 300u);
			cr_assert_eq(rest[0], (char)('a' + *next % 26));
			cr_assert_eq(rest[298], rest[0]);
			(*next)++;
			*rest_len = 0;
		}
	}
}

Test(logsink, a_full_pipe_is_not_waited_for_and_loses_nothing)
{
	char rest[301];
	size_t rest_len = 0;
	unsigned next = 0, added = 0;
	int64_t now = 1;
	int fds[2];

	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0); /* blocking, as we get it */
	cr_assert_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	logsink_swap(s, fds[1], now);
	for (int round = 0; round < 50; round++) {
		now++;
		while (added < 20000 && add_long((char)('a' + added % 26), 300, now))
			added++;
		logsink_flush(s, now);
		if (round == 0) {
			cr_assert(s->wants_poll);
			cr_assert_gt(logsink_stuck(s, now + 5), 0);
		}
		check_lines(fds[0], rest, &rest_len, &next);
	}
	for (int i = 0; i < 50; i++) {
		logsink_flush(s, ++now);
		check_lines(fds[0], rest, &rest_len, &next);
	}
	cr_assert_gt(added, 1000u);
	cr_assert_eq(next, added);
	cr_assert_eq(logsink_stuck(s, now), 0);
	cr_assert_eq(s->num_lost, 0);
	cr_assert_eq(s->num_errors, 0);
	(void)close(fds[0]);
}

Test(logsink, a_pipe_without_reader_is_an_error_that_is_tried_again_later)
{
	int fds[2];

	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	(void)close(fds[0]);
	logsink_swap(s, fds[1], 1);
	cr_assert(add("line\n", 1));
	logsink_flush(s, 1);
	cr_assert_eq(s->num_errors, 1);
	cr_assert_eq(s->last_error, EPIPE);
	for (int i = 0; i < 100; i++)
		logsink_flush(s, 2 + i);
	cr_assert_eq(s->num_errors, 1);
	logsink_flush(s, 1500000000);
	cr_assert_eq(s->num_errors, 2);
	cr_assert_eq(logsink_stuck(s, 1500000000), 1499999999);
}

Test(logsink, a_full_disk_keeps_the_lines_until_there_is_room)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	int fd = memfd_create("log", MFD_CLOEXEC);
	char *text;
	size_t len;

	cr_assert_geq(full, 0);
	logsink_swap(s, full, 1);
	cr_assert(add("line\n", 1));
	logsink_flush(s, 1);
	cr_assert_eq(s->last_error, ENOSPC);
	cr_assert_eq(dup3(fd, s->fd, O_CLOEXEC), s->fd); /* someone tidied up */
	logsink_flush(s, 2000000000);
	text = slurp(fd, &len);
	cr_assert_str_eq(text, "line\n");
	cr_assert_eq(s->num_lost, 0);
	cr_assert_eq(logsink_stuck(s, 3000000000), 0);
	free(text);
	(void)close(fd);
}

Test(logsink, is_full_at_last_and_says_so)
{
	size_t num = 0;

	logsink_swap(s, open("/dev/full", O_WRONLY | O_CLOEXEC), 1);
	while (add_long('x', RECORD_LINE_MAX, 1))
		cr_assert_lt(++num, 100u);
	cr_assert_geq(num, (size_t)LOGSINK_BATCH / RECORD_LINE_MAX);
	cr_assert_null(logsink_room(s, 2));
}

Test(logsink, swap_writes_to_the_old_log_first)
{
	int old = memfd_create("old", MFD_CLOEXEC), now = memfd_create("new", MFD_CLOEXEC);
	char *text;
	size_t len;

	logsink_swap(s, dup(old), 1);
	cr_assert(add("before\n", 1));
	logsink_swap(s, dup(now), 1);
	cr_assert(add("after\n", 1));
	logsink_flush(s, 1);
	text = slurp(old, &len);
	cr_assert_str_eq(text, "before\n");
	free(text);
	text = slurp(now, &len);
	cr_assert_str_eq(text, "after\n");
	free(text);
	(void)close(old);
	(void)close(now);
}

Test(logsink, swap_takes_whole_lines_along_and_counts_a_torn_one)
{
	int fds[2], now = memfd_create("new", MFD_CLOEXEC);
	char *text;
	size_t len;

	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	logsink_swap(s, fds[1], 1);
	for (int i = 0; i < 20; i++)
		cr_assert(add_long((char)('a' + i), 4999, 1));
	logsink_flush(s, 1); /* the pipe is full in the middle of a line */
	cr_assert(s->start > 0 && s->buf[s->start - 1] != '\n');
	logsink_swap(s, dup(now), 2);
	cr_assert_eq(s->num_lost, 1);
	logsink_flush(s, 2);
	text = slurp(now, &len);
	cr_assert_gt(len, 0u);
	cr_assert_eq(len % 4999, 0u);
	cr_assert_eq(text[0], text[4997]);
	cr_assert_eq(text[len - 2], 't');
	free(text);
	(void)close(fds[0]);
	(void)close(now);
}

/* As by a reload, or USR1 without a rename. */
Test(logsink, swap_for_the_same_pipe_goes_on_within_a_line)
{
	static char got[20 * 4999 + 1];
	size_t len = 0;
	int fds[2];

	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	logsink_swap(s, dup(fds[1]), 1);
	for (int i = 0; i < 20; i++)
		cr_assert(add_long((char)('a' + i), 4999, 1));
	logsink_flush(s, 1); /* the pipe is full in the middle of a line */
	cr_assert(s->start > 0 && s->buf[s->start - 1] != '\n');
	logsink_swap(s, fds[1], 2);
	cr_assert_eq(s->num_lost, 0);
	for (int64_t now = 3; len < sizeof(got) - 1; now++) {
		ssize_t n = read(fds[0], got + len, sizeof(got) - len);

		cr_assert_gt(n, 0);
		len += (size_t)n;
		logsink_flush(s, now);
	}
	for (size_t i = 0; i < 20; i++)
		cr_assert(got[i * 4999] == (char)('a' + i) && got[i * 4999 + 4998] == '\n');
	(void)close(fds[0]);
}

Test(logsink, without_a_log_nothing_is_kept)
{
	logsink_swap(s, memfd_create("log", MFD_CLOEXEC), 1);
	cr_assert(add("x\n", 1));
	logsink_swap(s, -1, 1);
	cr_assert_eq(s->n, 0);
	logsink_flush(s, 1);
}
