/* host: what this machine grants the process: CPUs, users and groups by name. Asks the system;
 * runs in a loader. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "conf/problems.h"

/* host_cpus returns how many CPUs the process may use: by its affinity and by the CPU quota of its
 * cgroups (version 2 or 1), rounded up; 1 to CONF_MAX_WORKERS. */
uint32_t host_cpus(void);

/* host_quota_cpus returns the CPUs that cgroups grant, rounded up, 0 where they set no limit.
 * `groups` is a file like /proc/self/cgroup, `mount` where cgroup file systems are mounted. */
uint32_t host_quota_cpus(const char *groups, const char *mount);

/* host_identity finds the user and group that workers become when started as root (`is_root`):
 * the configured ones, else "sallyport", else "nobody". False: one does not exist, added to `why`
 * under `file`. */
bool host_identity(const struct conf *c, bool is_root, const char *file, uint32_t *uid,
		   uint32_t *gid, struct problems *why);
