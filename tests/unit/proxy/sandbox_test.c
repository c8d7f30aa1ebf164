#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "certs/compat.h"
#include "proxy/process/channel.h"
#include "proxy/process/privileges.h"
#include "proxy/process/sandbox.h"

/* A child's outcome: the call was made, and failed with the error that its sandbox gives, or did
 * not fail so; or it was never made. */
enum { MADE = 0, DENIED = 1, NOT_SET_UP = 2, VIOLATION = 128 + SIGSYS };

/* What a child finds there before it is confined. */
static struct {
	int listening; /* TCP, at `port` */
	uint16_t port;
	int unbound; /* TCP as well */
	int pair[2]; /* unix */
	pid_t parent;
	char folder[64];
} around;

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void set_up(void)
{
	struct sockaddr_in a = loopback(0);
	socklen_t len = sizeof(a);

	(void)snprintf(around.folder, sizeof(around.folder), "/tmp/sp-sandbox-XXXXXX");
	cr_assert_not_null(mkdtemp(around.folder));
	around.listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	cr_assert_eq(bind(around.listening, (struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(listen(around.listening, 8), 0);
	cr_assert_eq(getsockname(around.listening, (struct sockaddr *)&a, &len), 0);
	around.port = ntohs(a.sin_port);
	around.unbound = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_geq(around.unbound, 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, around.pair), 0);
	around.parent = getpid();
}

static void tear_down(void)
{
	cr_assert_eq(rmdir(around.folder), 0, "%s: a child made something", around.folder);
	(void)close(around.listening);
	(void)close(around.unbound);
	(void)close(around.pair[0]);
	(void)close(around.pair[1]);
}

TestSuite(sandbox, .init = set_up, .fini = tear_down);

/* ---- what is tried: 0 or more where it was done, -1 with errno where not */

static long read_a_file(void)
{
	return open("/etc/passwd", O_RDONLY);
}

static long write_a_file(void)
{
	char path[96];

	(void)snprintf(path, sizeof(path), "%s/written", around.folder);
	return open(path, O_WRONLY | O_CREAT, 0600);
}

static long remove_a_folder(void)
{
	return rmdir(around.folder);
}

static long run_a_program(void)
{
	char name[] = "true", *argv[] = { name, NULL }, *environment[] = { NULL };

	return execve("/bin/true", argv, environment);
}

static long make_a_process(void)
{
	long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		_exit(0);
	return pid;
}

static long kill_the_parent(void)
{
	return kill(around.parent, 0);
}

static long abort_the_parent(void)
{
	return syscall(SYS_tgkill, around.parent, around.parent, SIGABRT);
}

static long trace_the_parent(void)
{
	return ptrace(PTRACE_ATTACH, around.parent, NULL, NULL);
}

static long read_the_parent(void)
{
	char byte;
	struct iovec own = { .iov_base = &byte, .iov_len = 1 };
	struct iovec other = { .iov_base = &around, .iov_len = 1 };

	return process_vm_readv(around.parent, &own, 1, &other, 1, 0);
}

static long make_memory_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -1 : mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static long map_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -1 : 0;
}

static long become_root(void)
{
	return setuid(0);
}

static long leave_the_namespace(void)
{
	return unshare(CLONE_NEWUSER);
}

static long mount_something(void)
{
	return mount("none", around.folder, "tmpfs", 0, NULL);
}

static long be_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long take_other_signals(void)
{
	struct sigaction ignored = { .sa_handler = SIG_IGN };

	return sigaction(SIGSYS, &ignored, NULL);
}

static long have_more_descriptors(void)
{
	struct rlimit all = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };

	return setrlimit(RLIMIT_NOFILE, &all);
}

static long make_shared_memory(void)
{
	return memfd_create("own", 0);
}

static long load_a_program_into_the_kernel(void)
{
	return syscall(SYS_bpf, 5, NULL, 0);
}

static long have_a_ring_of_calls(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL);
}

static long listen_at_a_port(void)
{
	struct sockaddr_in a = loopback((uint16_t)(around.port == 65535 ? 65534 : around.port + 1));

	return bind(around.unbound, (struct sockaddr *)&a, sizeof(a));
}

static long send_datagrams(void)
{
	return socket(AF_INET, SOCK_DGRAM, 0);
}

static long have_raw_packets(void)
{
	return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

static long talk_to_the_kernel(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0);
}

static long push_into_a_terminal(void)
{
	return ioctl(0, TIOCSTI, "x");
}

static long connect_to_a_port(void)
{
	struct sockaddr_in a = loopback(around.port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&a, sizeof(a));
}

static long accept_a_client(void)
{
	int fd = accept4(around.listening, NULL, NULL, SOCK_CLOEXEC);

	return fd < 0 && errno == EAGAIN ? 0 : fd;
}

static long change_a_socket(void)
{
	int one = 1;

	return setsockopt(around.pair[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0 ||
			       errno == EOPNOTSUPP
		       ? 0
		       : -1;
}

/* Whoever accepts there afterwards would get fewer clients, or none. */
static long change_how_others_accept(void)
{
	int ttl = 255;

	return setsockopt(around.listening, IPPROTO_IP, IP_MINTTL, &ttl, sizeof(ttl));
}

static long close_for_others(void)
{
	int fd = around.pair[0];

	return shutdown(fd, SHUT_RD);
}

/* Who shares it would wait as well: the keeper for room in what wakes a worker, for ever. */
static long let_writers_wait(void)
{
	return fcntl(around.pair[0], F_SETFL, 0);
}

static long let_nobody_wait(void)
{
	return fcntl(around.pair[0], F_SETFL, O_NONBLOCK);
}

static void *thread(void *arg)
{
	return arg;
}

static long make_a_thread(void)
{
	pthread_t made;

	/* Which libc makes while signals are blocked; alone it can be told. */
	if (syscall(SYS_clone3, NULL, 0) >= 0)
		return -1;
	if ((errno = pthread_create(&made, NULL, thread, NULL)) != 0)
		return -1;
	errno = pthread_join(made, NULL);
	return errno == 0 ? 0 : -1;
}

static long talk_over_what_it_has(void)
{
	char byte = 'x';
	struct iovec part = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
	struct pollfd ready = { .fd = around.pair[1], .events = POLLIN };

	if (sendmsg(around.pair[0], &m, 0) != 1 || poll(&ready, 1, 1000) != 1)
		return -1;
	return recvmsg(around.pair[1], &m, 0);
}

static long have_memory(void)
{
	void *p = malloc(8 << 20);

	if (p == NULL)
		return -1;
	memset(p, 1, 8 << 20);
	free(p);
	return 0;
}

static long sync_a_file(void)
{
	return fsync(around.pair[0]) != 0 && errno == EINVAL ? 0 : -1;
}

static int cmp_int(const void *a, const void *b)
{
	const int *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Of a size at which libc asks how much memory there is. */
static long sort_much(void)
{
	enum { MANY = 20000 };
	int *v = malloc(MANY * sizeof(*v));

	if (v == NULL)
		return -1;
	for (int i = 0; i < MANY; i++)
		v[i] = MANY - i;
	qsort(v, MANY, sizeof(*v), cmp_int);
	free(v);
	return 0;
}

static long write_a_date(void)
{
	time_t now = time(NULL);
	struct tm tm;

	return localtime_r(&now, &tm) != NULL && gmtime_r(&now, &tm) != NULL ? 0 : -1;
}

static long have_chance(void)
{
	uint8_t bytes[64];

	return RAND_bytes(bytes, sizeof(bytes)) == 1 ? 0 : -1;
}

/* Who may: a worker, the steward, the keeper. */
enum { W = 1 << SANDBOX_WORKER, S = 1 << SANDBOX_STEWARD, K = 1 << SANDBOX_KEEPER };

static const struct attempt {
	const char *what;
	long (*make)(void);
	const char *call; /* that is named when it ends the process */
	unsigned allowed;
} attempts[] = {
	{ "read a file", read_a_file, "openat", 0 },
	{ "write a file", write_a_file, "openat", 0 },
	{ "remove a folder", remove_a_folder, "rmdir", 0 },
	{ "run a program", run_a_program, "execve", 0 },
	{ "make a process", make_a_process, "clone", 0 },
	{ "kill the parent", kill_the_parent, "kill", 0 },
	{ "abort the parent", abort_the_parent, "tgkill", 0 },
	{ "trace the parent", trace_the_parent, "ptrace", 0 },
	{ "read the parent", read_the_parent, "process_vm_readv", 0 },
	{ "make memory code", make_memory_code, "mprotect", 0 },
	{ "map code", map_code, "mmap", 0 },
	{ "become root", become_root, "setuid", 0 },
	{ "leave the namespace", leave_the_namespace, "unshare", 0 },
	{ "mount something", mount_something, "mount", 0 },
	{ "be dumpable", be_dumpable, "prctl", 0 },
	{ "take other signals", take_other_signals, "rt_sigaction", 0 },
	{ "have more descriptors", have_more_descriptors, "prlimit64", 0 },
	{ "make shared memory", make_shared_memory, "memfd_create", 0 },
	{ "load a program into the kernel", load_a_program_into_the_kernel, "bpf", 0 },
	{ "have a ring of calls", have_a_ring_of_calls, "io_uring_setup", 0 },
	{ "listen at a port", listen_at_a_port, "bind", 0 },
	{ "send datagrams", send_datagrams, "socket", S },
	{ "have raw packets", have_raw_packets, "socket", 0 },
	{ "talk to the kernel", talk_to_the_kernel, "socket", 0 },
	{ "push into a terminal", push_into_a_terminal, "ioctl", 0 },
	{ "connect to a port", connect_to_a_port, "socket", W | S },
	{ "accept a client", accept_a_client, "accept4", W | S },
	{ "change a socket", change_a_socket, "setsockopt", W | S },
	{ "change how others accept", change_how_others_accept, "setsockopt", S },
	{ "close for others", close_for_others, "shutdown", S },
	{ "let writers wait", let_writers_wait, "fcntl", 0 },
	{ "let nobody wait", let_nobody_wait, "fcntl", W | S },
	{ "make a thread", make_a_thread, "clone3", S },
	{ "sync a file", sync_a_file, "fsync", S },
	{ "talk over what it has", talk_over_what_it_has, NULL, W | S | K },
	{ "have memory", have_memory, NULL, W | S | K },
	{ "sort much", sort_much, NULL, W | S | K },
	{ "write a date", write_a_date, NULL, W | S | K },
	{ "have chance", have_chance, NULL, W | S | K },
};

static const char *const roles[] = { "worker", "steward", "keeper" };

/* Makes an attempt in a child that `confine` has confined. Returns how it ended; `m` is what it
 * told its supervisor, of no type where nothing. */
static int try(const struct attempt *a, enum sandbox_role role,
	       uint32_t (*confine)(enum sandbox_role role), struct channel_message *m)
{
	int ends[2], fds[CHANNEL_MAX_FDS], status;
	size_t num_fds;
	pid_t pid;

	memset(m, 0, sizeof(*m));
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	(void)fflush(NULL);
	if ((pid = fork()) == 0) {
		/* What is around stays where it is: descriptor 3 is the channel's. */
		if (dup2(ends[1], CHANNEL_FD) != CHANNEL_FD || !privileges_lock() ||
		    confine(role) == 0)
			_exit(NOT_SET_UP);
		if (a->make() >= 0)
			_exit(MADE);
		_exit(errno == EACCES || errno == EPERM ? DENIED : NOT_SET_UP);
	}
	(void)close(ends[1]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	(void)channel_receive(ends[0], m, fds, &num_fds);
	(void)close(ends[0]);
	cr_assert(WIFEXITED(status), "%s, %s: %d", roles[role], a->what, status);
	return WEXITSTATUS(status);
}

/* As sandbox_enter, without landlock. */
static uint32_t calls(enum sandbox_role role)
{
	(void)sandbox_enter(role, 0);
	return sandbox_calls(role);
}

Test(sandbox, an_assertion_that_fails_is_no_violation)
{
	struct sigaction usual = { .sa_handler = SIG_DFL };
	int status;
	pid_t pid;

	if ((sandbox_possible() & SANDBOX_CALLS) == 0)
		return; /* a sanitizer needs what is forbidden */
	for (int role = SANDBOX_WORKER; role <= SANDBOX_KEEPER; role++) {
		if ((pid = fork()) == 0) {
			(void)sigaction(SIGABRT, &usual, NULL);
			if (privileges_lock() && calls((enum sandbox_role)role) != 0)
				abort();
			_exit(NOT_SET_UP);
		}
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "%s: %d", roles[role],
			  status);
	}
}

Test(sandbox, a_call_that_a_role_does_not_need_ends_it)
{
	struct channel_message m;
	char name[64];

	if ((sandbox_possible() & SANDBOX_CALLS) == 0)
		return; /* a sanitizer needs what is forbidden */
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		for (int role = SANDBOX_WORKER; role <= SANDBOX_KEEPER; role++) {
			const struct attempt *a = &attempts[i];
			int got = try(a, (enum sandbox_role)role, calls, &m);

			if ((a->allowed >> role & 1) != 0) {
				cr_expect_eq(got, MADE, "%s, %s: %d", roles[role], a->what, got);
				continue;
			}
			cr_expect_eq(got, VIOLATION, "%s, %s: %d", roles[role], a->what, got);
			cr_expect_eq(m.type, CHANNEL_VIOLATION, "%s, %s", roles[role], a->what);
			sandbox_call_name(m.number, name, sizeof(name));
			cr_expect(a->call == NULL || strcmp(name, a->call) == 0, "%s, %s: %s",
				  roles[role], a->what, name);
		}
	}
}

/* What landlock forbids by itself, were seccomp not there; of a version and later. */
static const struct attempt unreachable[] = {
	{ "read a file", read_a_file, NULL, 0 },
	{ "write a file", write_a_file, NULL, 0 },
	{ "remove a folder", remove_a_folder, NULL, 0 },
	{ "run a program", run_a_program, NULL, 0 },
};
static const struct attempt unreachable_net[] = {
	{ "listen at a port", listen_at_a_port, NULL, 0 },
	{ "connect to a port", connect_to_a_port, NULL, W | S },
};

/* A name without a file. */
static long connect_to_an_abstract_name(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "%s", around.folder);
	return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&a, sizeof(a));
}

static const struct attempt unreachable_scope[] = {
	{ "kill the parent", kill_the_parent, NULL, 0 },
	{ "connect to an abstract name", connect_to_an_abstract_name, NULL, 0 },
};

static void all_unreachable(const struct attempt *list, size_t n)
{
	struct channel_message m;

	for (size_t i = 0; i < n; i++) {
		for (int role = SANDBOX_WORKER; role <= SANDBOX_KEEPER; role++) {
			bool is_allowed = (list[i].allowed >> role & 1) != 0;
			int got = try(&list[i], (enum sandbox_role)role, sandbox_files, &m);

			cr_expect_eq(got, is_allowed ? MADE : DENIED, "%s, %s: %d", roles[role],
				     list[i].what, got);
		}
	}
}

Test(sandbox, files_ports_and_others_are_out_of_reach)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (version < 1)
		return; /* this kernel has no landlock */
	(void)snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "%s", around.folder);
	cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(listen(fd, 8), 0);
	all_unreachable(unreachable, sizeof(unreachable) / sizeof(unreachable[0]));
	if (version >= 4)
		all_unreachable(unreachable_net,
				sizeof(unreachable_net) / sizeof(unreachable_net[0]));
	if (version >= 6)
		all_unreachable(unreachable_scope,
				sizeof(unreachable_scope) / sizeof(unreachable_scope[0]));
	(void)close(fd);
}

Test(sandbox, without_it_all_of_that_can_be_done)
{
	/* So that what is denied above is the sandbox's doing. */
	const int fds[] = { (int)read_a_file(), (int)make_shared_memory(), (int)send_datagrams() };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		cr_expect_geq(fds[i], 0, "%zu", i);
		(void)close(fds[i]);
	}
	cr_expect_eq(connect_to_a_port(), 0);
	cr_expect_eq(kill_the_parent(), 0);
	cr_expect_eq(map_code(), 0);
	cr_expect_eq(make_memory_code(), 0);
}

Test(sandbox, its_parts_have_names)
{
	char text[64];

	sandbox_say(SANDBOX_ALL, text, sizeof(text));
	cr_expect_str_eq(text, "privileges, landlock, seccomp");
	sandbox_say(SANDBOX_CALLS, text, sizeof(text));
	cr_expect_str_eq(text, "seccomp");
	sandbox_say(0, text, sizeof(text));
	cr_expect_str_eq(text, "");
	sandbox_say(SANDBOX_ALL, text, 6);
	cr_expect_str_eq(text, "privi");
	sandbox_call_name(SYS_execve, text, sizeof(text));
	cr_expect_str_eq(text, "execve");
	sandbox_call_name(0xfffffff0, text, sizeof(text));
	cr_expect_str_eq(text, "system call 4294967280");
}
