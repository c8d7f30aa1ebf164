#include <errno.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proxy/process/sandbox.h"

/* Debian 12's header is older than what kernels have; the numbers are fixed. */
enum {
	BIND_TCP = 1 << 0,
	CONNECT_TCP = 1 << 1,
	SCOPE_ABSTRACT_UNIX = 1 << 0,
	SCOPE_SIGNAL = 1 << 1,
	RULE_NET_PORT = 2,
	VERSION_NET = 4,
	VERSION_SCOPE = 6,
};

struct ruleset {
	uint64_t files, net, scope;
};

struct net_port {
	uint64_t access;
	uint64_t port;
};

/* All that a version knows of files: with no rule none of it is allowed. */
static uint64_t file_rights(long version)
{
	static const uint8_t bits[] = { 13, 14, 15, 15, 16 };
	long known = (long)sizeof(bits);

	return (UINT64_C(1) << bits[(version > known ? known : version) - 1]) - 1;
}

static bool allow_port_0(int fd)
{
	struct net_port any = { .access = BIND_TCP, .port = 0 };

	return syscall(SYS_landlock_add_rule, fd, RULE_NET_PORT, &any, 0) == 0;
}

uint32_t sandbox_files(enum sandbox_role role)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset rules = { .files = 0 };
	size_t size = offsetof(struct ruleset, net);
	bool done;
	int fd;

	if (version < 1)
		return 0;
	rules.files = file_rights(version);
	if (version >= VERSION_NET) {
		size = offsetof(struct ruleset, scope);
		/* A worker connects to servers, wherever they are, and the steward to name
		 * servers. Unix sockets that have a path are not landlock's. */
		rules.net = role == SANDBOX_KEEPER ? BIND_TCP | CONNECT_TCP : BIND_TCP;
	}
	if (version >= VERSION_SCOPE) {
		size = sizeof(rules);
		rules.scope = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
	}
	fd = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
	if (fd < 0)
		return 0;
	done = (version < VERSION_NET || role != SANDBOX_WORKER || allow_port_0(fd)) &&
	       syscall(SYS_landlock_restrict_self, fd, 0) == 0;
	(void)close(fd);
	return done ? SANDBOX_FILES : 0;
}
