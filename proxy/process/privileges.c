#include "proxy/process/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* LeakSanitizer looks at its own process as a debugger would. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PRIVILEGES_DUMPABLE 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define PRIVILEGES_DUMPABLE 1
#endif
#if !defined(PRIVILEGES_DUMPABLE)
#define PRIVILEGES_DUMPABLE 0
#endif

bool privileges_drop(uid_t uid, gid_t gid)
{
	uid_t real, effective, saved;
	gid_t real_group, effective_group, saved_group;

	if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 ||
	    setresuid(uid, uid, uid) != 0)
		return false;
	if (getresuid(&real, &effective, &saved) != 0 ||
	    getresgid(&real_group, &effective_group, &saved_group) != 0)
		return false;
	if (real != uid || effective != uid || saved != uid || real_group != gid ||
	    effective_group != gid || saved_group != gid || getgroups(0, NULL) != 0 ||
	    (uid != 0 && setuid(0) == 0)) {
		errno = EPERM;
		return false;
	}
	return true;
}

bool privileges_hide(void)
{
	return prctl(PR_SET_DUMPABLE, PRIVILEGES_DUMPABLE, 0, 0, 0) == 0;
}

bool privileges_lock(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0, 0, 0 } };

	/* Clearing the permitted set clears the ambient one, too. glibc has no capset. */
	return syscall(SYS_capset, &head, none) == 0 &&
	       prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && privileges_hide();
}

/* Sockets below 1024; becoming somebody else, also without a way back; files, logs and the admin
 * socket of other users; ending children that are others by now; more locked memory. */
#define SUPERVISOR_NEEDS                                                                           \
	(1u << CAP_NET_BIND_SERVICE | 1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_SETPCAP |    \
	 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH | 1u << CAP_FOWNER | \
	 1u << CAP_KILL | 1u << CAP_SYS_RESOURCE)

void privileges_bound(bool supervisor)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct now[_LINUX_CAPABILITY_U32S_3] = { { 0, 0, 0 } };
	uint32_t keep = supervisor ? SUPERVISOR_NEEDS : 0;

	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if (cap >= 32 || (keep >> cap & 1) == 0)
			(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	}
	if (!supervisor || syscall(SYS_capget, &head, now) != 0)
		return; /* the others give up all of it once they are who they are to be */
	for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		uint32_t some = i == 0 ? keep : 0;

		now[i].effective &= some;
		now[i].permitted &= some;
		now[i].inheritable = 0;
	}
	(void)syscall(SYS_capset, &head, now);
}

bool privileges_end_with(pid_t parent)
{
	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == parent;
}

void privileges_lock_memory(void)
{
	struct rlimit none = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };

	(void)setrlimit(RLIMIT_MEMLOCK, &none); /* else the keeper sees what it gets */
}

uint64_t privileges_raise_fds(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 1024;
	if (limit.rlim_cur < limit.rlim_max) {
		rlim_t before = limit.rlim_cur;

		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			return before;
	}
	return limit.rlim_cur;
}
