#include "proxy/process/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/process/channel.h"
#include "proxy/process/privileges.h"

enum { SPAWN_FIRST_FD = 10, SPAWN_MAX_ENV = 16 };

int spawn_open(void)
{
	int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC), moved;

	if (fd < 0)
		return -1;
	/* Out of the way of CHANNEL_FD. */
	moved = fcntl(fd, F_DUPFD_CLOEXEC, SPAWN_FIRST_FD);
	(void)close(fd);
	return moved;
}

/* Variables may hold secrets of the configuration, which only a loader reads. */
static void spawn_environment(char *out[SPAWN_MAX_ENV])
{
	static const char *const kept[] = {
		"ASAN_OPTIONS=", "LSAN_OPTIONS=",    "TSAN_OPTIONS=",
		"TZ=",		 "UBSAN_OPTIONS=",   "LLVM_PROFILE_FILE=",
		"PATH=",	 "LD_LIBRARY_PATH=", "LD_PRELOAD=" /* another allocator, say */
	};
	size_t n = 0;

	for (char **e = environ; *e != NULL && n < SPAWN_MAX_ENV - 1; e++) {
		for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
			if (strncmp(*e, kept[i], strlen(kept[i])) == 0 && n < SPAWN_MAX_ENV - 1)
				out[n++] = *e;
		}
	}
	out[n] = NULL;
}

/* What is sent to the whole process group (a terminal's keys, a service manager) is for the
 * supervisor, who decides what becomes of the others. */
static bool spawn_signals(void)
{
	static const int ignored[] = {
		SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGPIPE
	};
	struct sigaction action = { .sa_handler = SIG_IGN };
	sigset_t none;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
		if (sigaction(ignored[i], &action, NULL) != 0)
			return false;
	}
	action.sa_handler = SIG_DFL;
	return sigaction(SIGCHLD, &action, NULL) == 0 && sigemptyset(&none) == 0 &&
	       sigprocmask(SIG_SETMASK, &none, NULL) == 0;
}

static bool spawn_channel(int end)
{
	if (end == CHANNEL_FD) {
		if (fcntl(end, F_SETFD, 0) != 0)
			return false;
	} else if (dup2(end, CHANNEL_FD) < 0) {
		return false;
	}
	/* All of ours close by themselves; those we were started with may not. */
	(void)close_range(CHANNEL_FD + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	return true;
}

/* No role needs a terminal, and a captured one could type into it. Errors still go to where ours
 * go. */
static bool spawn_detach(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	bool ok = null >= 0 && setsid() >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
		  dup2(null, STDOUT_FILENO) >= 0;

	if (null > STDERR_FILENO)
		(void)close(null);
	return ok;
}

/* In the new process: becomes the role or ends. Only what is safe after fork. */
static _Noreturn void spawn_become(int exe_fd, const struct spawn_role *role, int end, pid_t parent)
{
	char *env[SPAWN_MAX_ENV];

	spawn_environment(env);
	if ((!role->ends_with_us || privileges_end_with(parent)) && spawn_detach() &&
	    spawn_channel(end) && spawn_signals())
		(void)fexecve(exe_fd, (char *const *)role->argv, role->environment ? environ : env);
	_exit(SPAWN_CANNOT_EXECUTE);
}

bool spawn_start(int exe_fd, const struct spawn_role *role, pid_t *pid, int *channel)
{
	pid_t parent = getpid(), child;
	sigset_t all, before;
	int ends[2], error;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
		return false;
	/* Our handlers must not run in the child: they would tell us of its signals. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	child = fork();
	if (child == 0)
		spawn_become(exe_fd, role, ends[1], parent);
	error = errno;
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	(void)close(ends[1]);
	if (child < 0) {
		(void)close(ends[0]);
		errno = error;
		return false;
	}
	*pid = child;
	*channel = ends[0];
	return true;
}

void spawn_say_end(int status, char *out, size_t len)
{
	if (WIFSIGNALED(status)) {
		const char *name = sigabbrev_np(WTERMSIG(status));

		(void)snprintf(out, len, "was killed by %s%s", name == NULL ? "a signal" : "SIG",
			       name == NULL ? "" : name);
	} else if (WIFEXITED(status) && WEXITSTATUS(status) == SPAWN_CANNOT_EXECUTE) {
		(void)snprintf(out, len, "could not be executed");
	} else {
		(void)snprintf(out, len, "exited with code %d",
			       WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	}
}
