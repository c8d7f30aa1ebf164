/* privileges: what a process may still do: user and group, capabilities, dumps, descriptors. Each
 * call is for the whole process and cannot be taken back. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* privileges_drop makes the process of root become `uid` and `gid` with no other groups, and checks
 * that there is no way back. False with errno: it is not sure; the process must end. */
bool privileges_drop(uid_t uid, gid_t gid);

/* privileges_lock gives up all capabilities, lets no program run from here gain any, and keeps
 * memory from dumps and debuggers. False with errno. */
bool privileges_lock(void);

/* privileges_hide keeps memory from dumps and debuggers, and no more. False with errno. */
bool privileges_hide(void);

/* privileges_bound lets neither this process nor any program that is run from here have
 * capabilities again but, with `supervisor`, those that a supervisor needs as root. Where it may
 * not decide that, it has none to give. */
void privileges_bound(bool supervisor);

/* privileges_end_with makes the kernel kill this process when its parent, which is `parent`, ends.
 * False: it has ended already. Changing user undoes it. */
bool privileges_end_with(pid_t parent);

/* privileges_lock_memory lets the process keep memory from being swapped out, as much as it wants,
 * where it may still decide that: as root. */
void privileges_lock_memory(void);

/* privileges_raise_fds raises the limit of descriptors as far as it goes and returns it. */
uint64_t privileges_raise_fds(void);
