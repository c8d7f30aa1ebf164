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
