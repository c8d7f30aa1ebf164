#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/process/logs.h"
#include "proxy/process/privileges.h"
#include "proxy/process/spawn.h"
#include "tests/support/in_child.h"

enum { SKIPPED = 77 };

static int drop_for_good(void)
{
	static const gid_t extra[] = { 1, 2 };

	if (geteuid() != 0)
		return SKIPPED;
	if (setgroups(2, extra) != 0)
		return 1;
	if (!privileges_drop(4242, 4343))
		return 2;
	if (getuid() != 4242 || geteuid() != 4242 || getgid() != 4343 || getegid() != 4343)
		return 3;
	if (getgroups(0, NULL) != 0)
		return 4;
	if (setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0)
		return 5;
	/* And who is not root cannot become another. */
	return privileges_drop(4244, 4343) ? 6 : 0;
}

Test(privileges, root_is_dropped_for_good)
{
	int code = in_child(drop_for_good);

	if (code == SKIPPED)
		cr_skip("needs root");
	cr_assert_eq(code, 0, "step %d", code);
}

/* The line of /proc/self/status with that name holds `value`. */
static bool status_is(const char *name, const char *value)
{
	FILE *f = fopen("/proc/self/status", "r");
	bool found = false;
	char line[256];

	while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL)
		found = strncmp(line, name, strlen(name)) == 0 && strstr(line, value) != NULL;
	if (f != NULL)
		(void)fclose(f);
	return found;
}

static int lock(void)
{
	if (!privileges_lock())
		return 1;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 2;
	if (!status_is("CapEff:", "0000000000000000") || !status_is("CapPrm:", "0000000000000000"))
		return 3;
	/* Root without its capabilities. */
	return setuid(0) != 0 && geteuid() == 0 ? 4 : 0;
}

Test(privileges, capabilities_are_given_up)
{
	int code = in_child(lock);

	cr_assert_eq(code, 0, "step %d", code);
}

static int end_with_stranger(void)
{
	return privileges_end_with(getpid()) ? 1 : 0;
}

Test(privileges, another_parent_is_noticed)
{
	cr_assert_eq(in_child(end_with_stranger), 0);
}

static int raise_fds(void)
{
	struct rlimit limit = { .rlim_cur = 64, .rlim_max = 128 };

	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 1;
	if (privileges_raise_fds() != 128 || privileges_raise_fds() != 128)
		return 2;
	return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == 128 ? 0 : 3;
}

Test(privileges, the_limit_of_descriptors_is_raised)
{
	cr_assert_eq(in_child(raise_fds), 0);
}

/* ---- spawn */

Test(spawn, ends_are_told_in_words)
{
	char words[64];

	spawn_say_end(SIGSEGV, words, sizeof(words));
	cr_assert_str_eq(words, "was killed by SIGSEGV");
	spawn_say_end(3 << 8, words, sizeof(words));
	cr_assert_str_eq(words, "exited with code 3");
	spawn_say_end(SPAWN_CANNOT_EXECUTE << 8, words, sizeof(words));
	cr_assert_str_eq(words, "could not be executed");
}

Test(spawn, a_role_gets_its_channel_and_nothing_else)
{
	/* Any program that says what it was given: here a shell. */
	static const char script[] = "test $# = 0 && test -z \"$SECRET\" && "
				     "ls /proc/self/fd | tr '\\n' ' ' >&3; kill -0 $PPID";
	const char *const argv[] = { "role", "-c", script, NULL };
	struct spawn_role role = { .argv = argv, .ends_with_us = true };
	int exe = open("/bin/sh", O_PATH | O_CLOEXEC), channel = -1, status;
	struct pollfd ready;
	char told[64] = "";
	pid_t pid;

	cr_assert_eq(setenv("SECRET", "x", 1), 0);
	(void)fcntl(0, F_DUPFD, 20); /* one that would be inherited */
	cr_assert(spawn_start(exe, &role, &pid, &channel));
	cr_assert_eq(fcntl(channel, F_GETFD), FD_CLOEXEC);
	cr_assert_neq(fcntl(channel, F_GETFL) & O_NONBLOCK, 0);
	ready = (struct pollfd){ .fd = channel, .events = POLLIN };
	cr_assert_eq(poll(&ready, 1, 5000), 1);
	cr_assert_gt(read(channel, told, sizeof(told) - 1), 0);
	/* Two of them belong to ls and its pipe. */
	cr_assert_eq(strncmp(told, "0 1 2 3", 7), 0, "%s", told);
	cr_assert_null(strstr(told, "20"), "%s", told);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	(void)close(channel);
	(void)close(exe);
}

Test(spawn, what_cannot_be_executed_says_so)
{
	const char *const argv[] = { "role", NULL };
	struct spawn_role role = { .argv = argv };
	int exe = open("/", O_PATH | O_CLOEXEC), channel = -1, status;
	pid_t pid;

	cr_assert(spawn_start(exe, &role, &pid, &channel));
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status));
	cr_assert_eq(WEXITSTATUS(status), SPAWN_CANNOT_EXECUTE);
	(void)close(channel);
	(void)close(exe);
	cr_assert_geq(exe = spawn_open(), 10);
	(void)close(exe);
}

/* ---- logs */

static char folder[64], path[128];
static struct problems why;
static struct logs logs;

static void make_folder(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/logs_test.XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/error.log", folder);
	problems_init(&why);
}

static void remove_folder(void)
{
	logs_fini(&logs);
	problems_fini(&why);
	(void)unlink(path);
	(void)rmdir(folder);
}

TestSuite(logs, .init = make_folder, .fini = remove_folder);

static void expect_line(const char *words)
{
	FILE *f = fopen(path, "r");
	char line[LOGS_MAX_LINE] = "";

	cr_assert_not_null(f);
	cr_assert_not_null(fgets(line, sizeof(line), f));
	cr_assert_not_null(strstr(line, words), "%s", line);
	cr_assert_null(fgets(line, sizeof(line), f));
	(void)fclose(f);
}

Test(logs, lines_go_to_the_file_by_level)
{
	struct stat st;

	cr_assert(logs_open(&logs, path, "", CONF_LOG_WARNING, &why));
	cr_assert_null(logs.access.handle);
	logs_say(&logs, CONF_LOG_INFO, "too small");
	logs_say(&logs, CONF_LOG_ERROR, "number %d\nsecond", 7);
	expect_line("error supervisor: number 7?second\n");
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777 & ~0640u, 0);
}

Test(logs, reopening_makes_a_new_file)
{
	char old[160];

	cr_assert(logs_open(&logs, path, "stdout", CONF_LOG_INFO, &why));
	logs_say(&logs, CONF_LOG_INFO, "before");
	(void)snprintf(old, sizeof(old), "%s.1", path);
	cr_assert_eq(rename(path, old), 0);
	cr_assert(logs_reopen(&logs, &why));
	logs_say(&logs, CONF_LOG_INFO, "after");
	expect_line("after");
	cr_assert_eq(unlink(old), 0);
}

Test(logs, what_cannot_be_opened_leaves_what_was_open)
{
	struct logs fresh;

	cr_assert(logs_open(&logs, path, "", CONF_LOG_INFO, &why));
	cr_assert_not(logs_open(&fresh, path, "/nonexistent/x", CONF_LOG_INFO, &why));
	cr_assert_null(fresh.error.handle);
	cr_assert_eq(why.num_errors, 1);
	/* Its path is a folder now. */
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(mkdir(path, 0700), 0);
	cr_assert_not(logs_reopen(&logs, &why));
	cr_assert_eq(why.num_errors, 2);
	cr_assert_geq(fcntl(logs.error.handle->fd, F_GETFD), 0);
	cr_assert_eq(rmdir(path), 0);
}

Test(logs, a_pipe_that_nobody_reads_does_not_stop_us)
{
	uint64_t dropped = 0;
	int reader;

	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_assert_not(logs_open(&logs, path, "", CONF_LOG_INFO, &why));
	cr_assert_not_null(strstr(why.list[0].what, "nobody reads"));
	cr_assert_geq(reader = open(path, O_RDONLY | O_NONBLOCK), 0);
	cr_assert(logs_open(&logs, path, "", CONF_LOG_INFO, &why));
	logs.dropped = &dropped;
	for (int i = 0; i < 100; i++)
		logs_say(&logs, CONF_LOG_INFO, "%3000d", i);
	cr_assert_gt(dropped, 50);
	cr_assert_lt(dropped, 100);
	(void)close(reader);
}
