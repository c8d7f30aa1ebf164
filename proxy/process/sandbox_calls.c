#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/process/channel.h"
#include "proxy/process/sandbox.h"

/* What any process of ours needs: memory, time, chance, waiting, its descriptors, its end. */
static const int common_calls[] = {
	SCMP_SYS(brk),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(close),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(fstat),
	SCMP_SYS(futex),
	SCMP_SYS(getpid),
	SCMP_SYS(getrandom),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(gettid),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(lseek),
	SCMP_SYS(madvise),
	SCMP_SYS(mremap),
	SCMP_SYS(munmap),
	SCMP_SYS(nanosleep),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(recvmsg),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rseq), /* of a thread that begins while the filter comes */
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sendmsg),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(sysinfo), /* how much memory there is, asks a sort */
	SCMP_SYS(time),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_wait),
};

/* Sockets that are there, or come by accept. */
static const int socket_calls[] = {
	SCMP_SYS(accept4),    SCMP_SYS(eventfd2), SCMP_SYS(getpeername), SCMP_SYS(getsockname),
	SCMP_SYS(getsockopt), SCMP_SYS(recvfrom), SCMP_SYS(sendto),
};
/* The steward has sockets of its own only: who commands it, and whom it asks. */
static const int steward_socket_calls[] = { SCMP_SYS(setsockopt), SCMP_SYS(shutdown) };

static struct scmp_arg_cmp is(unsigned arg, scmp_datum_t value)
{
	return (struct scmp_arg_cmp){ .arg = arg, .op = SCMP_CMP_EQ, .datum_a = value };
}

/* Of the bits in `mask`, these. */
static struct scmp_arg_cmp has(unsigned arg, scmp_datum_t mask, scmp_datum_t value)
{
	return (struct scmp_arg_cmp){
		.arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value
	};
}

static bool allow(scmp_filter_ctx ctx, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		/* One that this machine does not have is none to allow. */
		if (calls[i] >= 0 && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0) != 0)
			return false;
	}
	return true;
}

#define ALLOW(ctx, calls) allow(ctx, calls, sizeof(calls) / sizeof((calls)[0]))

/* Memory, but nothing in it that could be run. */
static bool allow_memory(scmp_filter_ctx ctx)
{
	struct scmp_arg_cmp no_exec = has(2, PROT_EXEC, 0);

	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, no_exec) == 0 &&
	       seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_exec) == 0;
}

/* An assertion that failed tells of itself by its own signal. */
static bool allow_abort(scmp_filter_ctx ctx)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 2,
				is(0, (scmp_datum_t)getpid()), is(2, SIGABRT)) == 0;
}

/* What libc calls fstat is one of them with an empty name, which it asks the kernel for by flag.
 * With that a name is not looked at. */
static bool allow_stat_of_descriptor(scmp_filter_ctx ctx)
{
	enum { EMPTY_PATH = 0x1000 };
	struct scmp_arg_cmp empty = has(3, EMPTY_PATH, EMPTY_PATH);

	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1, empty) == 0;
}

/* Of calls that do many things, these. */
static bool allow_some(scmp_filter_ctx ctx, int call, const unsigned *wishes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 1, is(1, wishes[i])) != 0)
			return false;
	}
	return true;
}

/* Flags are shared with whoever has the same open file: nobody shall come to wait there, such as
 * the keeper, in what wakes a worker, or a sibling that accepts from the same socket. */
static bool allow_nonblocking(scmp_filter_ctx ctx)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 2, is(1, F_SETFL),
				has(2, O_NONBLOCK, O_NONBLOCK)) == 0;
}

static bool allow_sockets(scmp_filter_ctx ctx)
{
	static const unsigned fcntls[] = { F_GETFD, F_SETFD, F_GETFL, F_GET_SEALS };
	static const unsigned ioctls[] = { FIONREAD };

	return ALLOW(ctx, socket_calls) && allow_nonblocking(ctx) &&
	       allow_some(ctx, SCMP_SYS(fcntl), fcntls, sizeof(fcntls) / sizeof(fcntls[0])) &&
	       allow_some(ctx, SCMP_SYS(ioctl), ioctls, sizeof(ioctls) / sizeof(ioctls[0]));
}

static bool allow_connections(scmp_filter_ctx ctx)
{
	static const int families[] = { AF_INET, AF_INET6, AF_UNIX };
	enum { TYPE = 0xf };

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		if (seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
				     is(0, (scmp_datum_t)families[i]),
				     has(1, TYPE, SOCK_STREAM)) != 0)
			return false;
	}
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(connect), 0) == 0;
}

/* Datagrams, to ask name servers; a connection where an answer is too long for one is among the
 * others. */
static bool allow_lookups(scmp_filter_ctx ctx)
{
	static const int families[] = { AF_INET, AF_INET6 };
	enum { TYPE = 0xf };

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		if (seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
				     is(0, (scmp_datum_t)families[i]),
				     has(1, TYPE, SOCK_DGRAM)) != 0)
			return false;
	}
	return true;
}

/* A listening socket outlives the worker that accepts from it: whoever is its next shall find it as
 * it was. Ending our direction does nothing to one. */
static bool allow_ends(scmp_filter_ctx ctx)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(shutdown), 1, is(1, SHUT_WR)) == 0 &&
	       seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 2, is(1, SOL_SOCKET),
				is(2, SO_LINGER)) == 0 &&
	       seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 2, is(1, IPPROTO_TCP),
				is(2, TCP_NODELAY)) == 0;
}

/* Threads, no processes. libc takes the older call where there is no newer one, and of that the
 * flags can be seen; and it sets up two signals of its own with the first thread. */
static bool allow_threads(scmp_filter_ctx ctx)
{
	enum { LIBC_FIRST = 32, LIBC_LAST = 33 };

	for (scmp_datum_t signal = LIBC_FIRST; signal <= LIBC_LAST; signal++) {
		if (seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(rt_sigaction), 1,
				     is(0, signal)) != 0)
			return false;
	}
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				has(0, CLONE_THREAD, CLONE_THREAD)) == 0 &&
	       seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
}

static bool allow_role(scmp_filter_ctx ctx, enum sandbox_role role)
{
	static const int keeper_calls[] = { SCMP_SYS(mlock) };
	static const int steward_calls[] = { SCMP_SYS(fsync), SCMP_SYS(fdatasync) };

	if (!ALLOW(ctx, common_calls) || !allow_memory(ctx) || !allow_stat_of_descriptor(ctx) ||
	    !allow_abort(ctx))
		return false;
	switch (role) {
	case SANDBOX_WORKER:
		return allow_sockets(ctx) && allow_connections(ctx) && allow_ends(ctx);
	case SANDBOX_STEWARD:
		return allow_sockets(ctx) && ALLOW(ctx, steward_socket_calls) &&
		       allow_connections(ctx) && allow_lookups(ctx) && ALLOW(ctx, steward_calls) &&
		       allow_threads(ctx);
	case SANDBOX_KEEPER:
		return ALLOW(ctx, keeper_calls);
	}
	return false;
}

/* Says what was tried, and ends: the call has not been made. Only what is safe in a handler. */
static void violated(int signal, siginfo_t *info, void *context)
{
	enum { EXIT_VIOLATION = 128 + SIGSYS };
	struct channel_message m = { .type = CHANNEL_VIOLATION,
				     .number = (uint32_t)info->si_syscall };

	(void)signal;
	(void)context;
	(void)channel_send(CHANNEL_FD, &m, NULL, 0);
	_exit(EXIT_VIOLATION);
}

uint32_t sandbox_calls(enum sandbox_role role)
{
	struct sigaction action = { .sa_sigaction = violated, .sa_flags = SA_SIGINFO };
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_TRAP);
	int error = ENOMEM;

	if (ctx == NULL)
		return 0;
	if (sigaction(SIGSYS, &action, NULL) != 0 || !allow_role(ctx, role))
		goto done;
	/* A tree to search, not a list: it is gone through with each call. */
	if ((error = -seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1)) == 0 &&
	    (error = -seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2)) == 0)
		error = -seccomp_load(ctx);
done:
	seccomp_release(ctx);
	errno = error;
	return error == 0 ? SANDBOX_CALLS : 0;
}

void sandbox_call_name(uint32_t number, char *out, uint32_t len)
{
	char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int)number);

	if (name != NULL)
		(void)snprintf(out, len, "%s", name);
	else
		(void)snprintf(out, len, "system call %u", number);
	free(name);
}
