/* sandbox: what the kernel lets a role still do. A role that is captured finds no file, no new
 * program, no other process and no socket but of the kinds that it needs. Each call is for the
 * whole process and cannot be taken back. What a kernel does not have is left out, and said. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum sandbox_role { SANDBOX_WORKER, SANDBOX_STEWARD, SANDBOX_KEEPER };

/* What protects a process, a bit each. */
enum sandbox_part {
	SANDBOX_PRIVILEGES = 1, /* no capabilities, none to gain, memory hidden (privileges_lock) */
	SANDBOX_FILES = 2,	/* landlock: no file, no port to listen on, nobody else's signals */
	SANDBOX_CALLS = 4,	/* seccomp: no system call that the role does not need */
	SANDBOX_ALL = 7,
};

/* sandbox_possible returns the parts that this build has: a sanitizer needs what is forbidden. */
uint32_t sandbox_possible(void);

/* sandbox_files takes away files and ports. It binds this thread and those that it makes from then
 * on. Returns SANDBOX_FILES, or 0 with errno where the kernel has no landlock. */
uint32_t sandbox_files(enum sandbox_role role);

/* sandbox_calls takes away system calls, of all threads; one that is tried nevertheless ends the
 * process, which tells the supervisor its number (CHANNEL_VIOLATION). Returns SANDBOX_CALLS, or 0
 * with errno. */
uint32_t sandbox_calls(enum sandbox_role role);

/* sandbox_enter takes away both, as far as `parts` names them and this build has them, from a role
 * with all its privileges given up. Returns all that protects it. */
uint32_t sandbox_enter(enum sandbox_role role, uint32_t parts);

/* sandbox_say writes the names of `parts`, separated by ", ". */
void sandbox_say(uint32_t parts, char *out, uint32_t len);

/* sandbox_call_name writes the name of a system call, or its number. */
void sandbox_call_name(uint32_t number, char *out, uint32_t len);
