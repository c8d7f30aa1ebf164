/* spawn: starts a role as a process of its own: the running binary is executed again from a
 * descriptor of it, so that no role inherits another's memory, with its end of a channel at
 * CHANNEL_FD and no other descriptor but the standard ones. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What to start. */
struct spawn_role {
	const char *const *argv; /* argv[0] is the title; ended by NULL */
	bool environment;	 /* pass all of it on, not just what sanitizers want */
	bool ends_with_us;	 /* the kernel kills it when this process ends */
};

/* spawn_open opens the running binary, to be executed later even when its file has been replaced.
 * Returns the descriptor, which is 10 or above; -1 with errno. */
int spawn_open(void);

/* spawn_start starts `role` from the binary `exe_fd`. On success `*pid` is the process and
 * `*channel` our end (close-on-exec, never blocks). False with errno. That the binary could not be
 * executed shows as exit code SPAWN_CANNOT_EXECUTE. */
bool spawn_start(int exe_fd, const struct spawn_role *role, pid_t *pid, int *channel);

enum { SPAWN_CANNOT_EXECUTE = 127 };

/* spawn_say_end writes how a process ended ("was killed by SIGSEGV", "exited with code 3") from
 * what waitpid said. */
void spawn_say_end(int status, char *out, size_t len);
