#include "proxy/process/host.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- CPUs */

enum { HOST_MAX_CPUS = 8192, HOST_MAX_DEPTH = 32 };

static uint32_t host_affinity(void)
{
	size_t size = CPU_ALLOC_SIZE(HOST_MAX_CPUS);
	cpu_set_t *set = CPU_ALLOC(HOST_MAX_CPUS);
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	int n = online < 1 ? 1 : online > HOST_MAX_CPUS ? HOST_MAX_CPUS : (int)online;

	if (set != NULL && sched_getaffinity(0, size, set) == 0)
		n = CPU_COUNT_S(size, set);
	CPU_FREE(set);
	return n < 1 ? 1 : (uint32_t)n;
}

/* Reads the first line of a small file. */
static bool host_line(const char *path, char *line, size_t len)
{
	FILE *f = fopen(path, "re");
	bool ok;

	if (f == NULL)
		return false;
	ok = fgets(line, (int)len, f) != NULL;
	(void)fclose(f);
	return ok;
}

static uint32_t host_round_up(int64_t quota, int64_t period)
{
	if (quota <= 0 || period <= 0)
		return 0;
	if (quota / period >= CONF_MAX_WORKERS)
		return CONF_MAX_WORKERS;
	return (uint32_t)((quota + period - 1) / period);
}

/* What one group of version 2 grants: "QUOTA PERIOD" or "max PERIOD". */
static uint32_t host_quota_v2(const char *folder)
{
	char path[4200], line[64], *end;
	int64_t quota;

	(void)snprintf(path, sizeof(path), "%s/cpu.max", folder);
	if (!host_line(path, line, sizeof(line)))
		return 0;
	quota = strtoll(line, &end, 10);
	return end == line ? 0 : host_round_up(quota, strtoll(end, NULL, 10));
}

static uint32_t host_quota_v1(const char *folder)
{
	char path[4200], line[64];
	int64_t quota;

	(void)snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", folder);
	if (!host_line(path, line, sizeof(line)))
		return 0;
	quota = strtoll(line, NULL, 10);
	(void)snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", folder);
	if (!host_line(path, line, sizeof(line)))
		return 0;
	return host_round_up(quota, strtoll(line, NULL, 10));
}

/* The least that a group and those above it grant. A container may see its path from outside, so
 * that only the top is there. */
static uint32_t host_quota_up(const char *mount, const char *group,
			      uint32_t (*quota)(const char *folder))
{
	char folder[4096];
	size_t root = strlen(mount);
	uint32_t least = 0;
	int n = snprintf(folder, sizeof(folder), "%s%s", mount, group);

	if (n < 0 || (size_t)n >= sizeof(folder) || strstr(group, "..") != NULL)
		folder[root < sizeof(folder) ? root : 0] = '\0';
	for (int depth = 0; depth < HOST_MAX_DEPTH; depth++) {
		uint32_t cpus = quota(folder);
		char *slash;

		if (cpus > 0 && (least == 0 || cpus < least))
			least = cpus;
		if (strlen(folder) <= root || (slash = strrchr(folder, '/')) == NULL ||
		    slash < folder + root)
			break;
		*slash = '\0';
	}
	return least;
}

/* Whether the comma-separated `list` has the controller "cpu". */
static bool host_has_cpu(const char *list)
{
	for (const char *at = list; at != NULL; at = strchr(at, ',')) {
		if (*at == ',')
			at++;
		if (strncmp(at, "cpu", 3) == 0 && (at[3] == '\0' || at[3] == ','))
			return true;
	}
	return false;
}

uint32_t host_quota_cpus(const char *groups, const char *mount)
{
	char line[4096], v1[4200];
	uint32_t least = 0;
	FILE *f = fopen(groups, "re");

	if (f == NULL)
		return 0;
	/* Lines are NUMBER:CONTROLLERS:PATH; version 2 has number 0 and no controllers. */
	while (fgets(line, sizeof(line), f) != NULL) {
		char *controllers = strchr(line, ':'), *path;
		uint32_t cpus = 0;

		if (controllers == NULL || (path = strchr(controllers + 1, ':')) == NULL)
			continue;
		*controllers++ = *path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		if (strcmp(path, "/") == 0)
			path[0] = '\0';
		if (controllers[0] == '\0') {
			cpus = host_quota_up(mount, path, host_quota_v2);
		} else if (host_has_cpu(controllers) && strlen(controllers) < 64) {
			(void)snprintf(v1, sizeof(v1), "%s/%s", mount, controllers);
			cpus = host_quota_up(v1, path, host_quota_v1);
		}
		if (cpus > 0 && (least == 0 || cpus < least))
			least = cpus;
	}
	(void)fclose(f);
	return least;
}

uint32_t host_cpus(void)
{
	uint32_t n = host_affinity();
	uint32_t quota = host_quota_cpus("/proc/self/cgroup", "/sys/fs/cgroup");

	if (quota > 0 && quota < n)
		n = quota;
	return n > CONF_MAX_WORKERS ? CONF_MAX_WORKERS : n;
}

/* ---- users and groups */

enum { HOST_ENTRY_BYTES = 64 << 10 };

static bool host_number(const char *name, uint32_t *id)
{
	unsigned long n;
	char *end;

	if (name[0] < '0' || name[0] > '9')
		return false;
	errno = 0;
	n = strtoul(name, &end, 10);
	/* The largest one means "unchanged" to the kernel. */
	if (errno != 0 || *end != '\0' || n >= UINT32_MAX)
		return false;
	*id = (uint32_t)n;
	return true;
}

static bool host_user(const char *name, char *room, uint32_t *uid, uint32_t *gid)
{
	struct passwd entry, *found = NULL;

	if (getpwnam_r(name, &entry, room, HOST_ENTRY_BYTES, &found) == 0 && found != NULL) {
		*uid = found->pw_uid;
		*gid = found->pw_gid;
		return true;
	}
	if (!host_number(name, uid))
		return false;
	*gid = *uid;
	if (getpwuid_r(*uid, &entry, room, HOST_ENTRY_BYTES, &found) == 0 && found != NULL)
		*gid = found->pw_gid;
	return true;
}

static bool host_group(const char *name, char *room, uint32_t *gid)
{
	struct group entry, *found = NULL;

	if (getgrnam_r(name, &entry, room, HOST_ENTRY_BYTES, &found) == 0 && found != NULL) {
		*gid = found->gr_gid;
		return true;
	}
	return host_number(name, gid);
}

bool host_identity(const struct conf *c, bool is_root, const char *file, uint32_t *uid,
		   uint32_t *gid, struct problems *why)
{
	char *room = malloc(HOST_ENTRY_BYTES);
	char where[512];
	bool ok = true;

	*uid = (uint32_t)geteuid();
	*gid = (uint32_t)getegid();
	if (room == NULL) {
		problems_add(why, PROBLEM_ERROR, file, "out of memory");
		return false;
	}
	(void)snprintf(where, sizeof(where), "%s: /user", file);
	if (c->user != NULL && !host_user(c->user, room, uid, gid)) {
		problems_add(why, PROBLEM_ERROR, where,
			     "there is no user \"%s\": create it, or name another", c->user);
		ok = false;
	} else if (c->user == NULL && is_root && !host_user("sallyport", room, uid, gid) &&
		   !host_user("nobody", room, uid, gid)) {
		problems_add(why, PROBLEM_ERROR, where,
			     "there is neither a user \"sallyport\" nor \"nobody\": name one "
			     "that workers shall become");
		ok = false;
	}
	if (c->group != NULL && !host_group(c->group, room, gid)) {
		(void)snprintf(where, sizeof(where), "%s: /group", file);
		problems_add(why, PROBLEM_ERROR, where,
			     "there is no group \"%s\": create it, or name another", c->group);
		ok = false;
	}
	if (ok && is_root && *uid == 0) {
		(void)snprintf(where, sizeof(where), "%s: /user", file);
		problems_add(why, PROBLEM_WARNING, where,
			     "workers will run as root: name an unprivileged user");
	}
	free(room);
	return ok;
}
