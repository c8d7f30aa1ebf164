#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proxy/observe/journal.h"
#include "proxy/process/board.h"
#include "proxy/process/channel.h"
#include "proxy/process/role.h"
#include "proxy/process/snapshot_build.h"

enum { WORKERS = 2 };

/* We are the supervisor and the workers of a steward in a process of its own. */
static struct board *board;
static struct journal journal;
static pid_t steward;
static int channel = -1;
static int error_log, access_log;

static void start_steward(void)
{
	int pair[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	steward = fork();
	cr_assert_geq(steward, 0);
	if (steward == 0) {
		(void)close(pair[0]);
		if (pair[1] != CHANNEL_FD && dup2(pair[1], CHANNEL_FD) != CHANNEL_FD)
			_exit(99);
		_exit(steward_main(false));
	}
	(void)close(pair[1]);
	channel = pair[0];
}

static void make(void)
{
	board = board_new(WORKERS);
	cr_assert_not_null(board);
	journal = (struct journal){ .head = &board_worker(board, 1)->ring,
				    .tail = &board_steward(board)->tails[1],
				    .dropped = &board_worker(board, 1)->metrics.log_dropped,
				    .worker = 1,
				    .access = true,
				    .level = CONF_LOG_INFO };
	error_log = memfd_create("error", MFD_CLOEXEC);
	access_log = memfd_create("access", MFD_CLOEXEC);
	start_steward();
}

static void drop(void)
{
	if (steward > 0) {
		(void)kill(steward, SIGKILL);
		(void)waitpid(steward, NULL, 0);
	}
	(void)close(channel);
	(void)close(error_log);
	(void)close(access_log);
	board_free(board);
}

TestSuite(steward, .init = make, .fini = drop, .timeout = 60);

static void send_message(struct channel_message *m, const int *fds, size_t num)
{
	cr_assert(channel_send(channel, m, fds, num), "%s", strerror(errno));
}

static void nap(void)
{
	(void)nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
}

static void hear(enum channel_type type, struct channel_message *m)
{
	int fds[CHANNEL_MAX_FDS];
	size_t num;

	for (int i = 0; i < 2000; i++) {
		enum channel_result result = channel_receive(channel, m, fds, &num);

		cr_assert_neq(result, CHANNEL_GONE);
		if (result == CHANNEL_GOT) {
			cr_assert_eq(m->type, type, "%u: %s", m->type, m->text);
			return;
		}
		nap();
	}
	cr_assert_fail("the steward does not answer");
}

/* In two parts, as a large board comes. */
static void send_start(void)
{
	struct channel_message m = { .type = CHANNEL_START, .num_workers = WORKERS, .parts = 2 };
	int fds[WORKERS + 2];

	board_fds(board, BOARD_STEWARD, 0, fds);
	send_message(&m, fds, 3);
	m.part = 1;
	send_message(&m, fds + 3, 1);
	hear(CHANNEL_READY, &m);
}

static void send_logs(int error, int access)
{
	struct channel_message m = { .type = CHANNEL_LOGS, .flags = 3 };

	send_message(&m, (int[]){ error, access }, 2);
}

static int snapshot_fd(const char *name, uint32_t slot)
{
	struct conf_source from = { .file = "test.json", .folder = "/tmp" };
	struct server_addresses addresses = { .num = 0 };
	struct span roots = { .n = 0 };
	struct snapshot_source source = {
		.file = "test.json", .servers = &addresses, .roots = &roots, .workers = WORKERS
	};
	struct plan_socket socket = { .text = ":1" };
	struct sockaddr_in *in = (void *)&socket.address;
	struct problems why;
	struct plan *plan;
	struct stat st;
	struct conf *conf;
	char json[512];
	int fd;

	(void)snprintf(json, sizeof(json),
		       "{\"listeners\":[{\"name\":\"%s\",\"address\":\":1\",\"pool\":\"web\","
		       "\"mode\":\"tcp\"}],\"pools\":{\"web\":{\"servers\":[\"127.0.0.1:2\"]}}}",
		       name);
	problems_init(&why);
	conf = conf_parse(span_str(json), &from, &why);
	cr_assert_not_null(conf, "%s", why.num > 0 ? why.list[0].what : "");
	*in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(1) };
	socket.len = sizeof(*in);
	source.conf = conf;
	source.sockets = &socket;
	source.num_sockets = 1;
	fd = snapshot_build(&source, &why);
	cr_assert_geq(fd, 0, "%s", why.num > 0 ? why.list[0].what : "");
	cr_assert_eq(fstat(fd, &st), 0);
	plan = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cr_assert_neq(plan, MAP_FAILED);
	plan->generation = 7;
	plan_listeners(plan)[0].slot = slot;
	(void)munmap(plan, (size_t)st.st_size);
	cr_assert_eq(
		fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
		0);
	conf_free(conf);
	problems_fini(&why);
	return fd;
}

static void send_snapshot(const char *name, uint32_t slot, bool good)
{
	struct channel_message m = { .type = CHANNEL_SNAPSHOT, .generation = 7 };
	int fd = snapshot_fd(name, slot);

	send_message(&m, &fd, 1);
	(void)close(fd);
	if (!good) {
		hear(CHANNEL_FAILED, &m);
		cr_assert_gt(strlen(m.text), 0);
		return;
	}
	hear(CHANNEL_ADOPTED, &m);
	cr_assert_eq(m.generation, 7);
	hear(CHANNEL_RELEASED, &m);
	cr_assert_eq(m.generation, 7);
}

static void connection(void)
{
	struct record_connection c = { .type = RECORD_CONNECTION,
				       .client_family = AF_UNIX,
				       .listener = 5,
				       .pool = 0,
				       .server = 0 };

	journal_connection(&journal, &c);
}

static char *slurp(int fd)
{
	struct stat st;
	char *text;

	cr_assert_eq(fstat(fd, &st), 0);
	text = calloc(1, (size_t)st.st_size + 1);
	cr_assert_not_null(text);
	cr_assert_eq(pread(fd, text, (size_t)st.st_size, 0), st.st_size);
	return text;
}

static size_t count(int fd, const char *what)
{
	char *text = slurp(fd);
	size_t n = 0;

	for (const char *p = text; (p = strstr(p, what)) != NULL; p++)
		n++;
	free(text);
	return n;
}

static void wait_for(int fd, const char *what)
{
	for (int i = 0; i < 2000 && count(fd, what) == 0; i++)
		nap();
	cr_assert_gt(count(fd, what), 0, "%s", what);
}

/* The exit code; the steward ends within the suite's time. */
static int exit_code(void)
{
	int status;

	cr_assert_eq(waitpid(steward, &status, 0), steward);
	steward = 0;
	cr_assert(WIFEXITED(status), "%d", status);
	return WEXITSTATUS(status);
}

static void drain(void)
{
	struct channel_message m = { .type = CHANNEL_DRAIN };

	send_message(&m, NULL, 0);
	cr_assert_eq(exit_code(), 0);
}

Test(steward, writes_what_workers_say)
{
	send_start();
	send_logs(error_log, access_log);
	connection();
	send_snapshot("https", 5, true);
	journal_event(&journal, CONF_LOG_WARNING, "odd");
	wait_for(access_log, "\"listener\":\"https\"");
	wait_for(access_log, "\"pool\":\"web\",\"server\":\"127.0.0.1:2\"");
	wait_for(error_log, " warning worker 1: odd\n");
	for (int i = 0; i < 5000; i++)
		connection();
	drain();
	cr_assert_eq(count(access_log, "\n"), 5001);
}

Test(steward, reopens_logs)
{
	int second = memfd_create("second", MFD_CLOEXEC);

	send_start();
	send_logs(error_log, access_log);
	send_snapshot("https", 5, true);
	connection();
	wait_for(access_log, "https");
	send_logs(error_log, second);
	connection();
	drain();
	cr_assert_eq(count(access_log, "\n") + count(second, "\n"), 2);
	(void)close(second);
}

Test(steward, a_successor_goes_on_where_it_died)
{
	send_start();
	send_logs(error_log, access_log);
	send_snapshot("https", 5, true);
	connection();
	wait_for(access_log, "https");
	cr_assert_eq(kill(steward, SIGKILL), 0);
	cr_assert_eq(waitpid(steward, NULL, 0), steward);
	for (int i = 0; i < 100; i++)
		connection();
	(void)close(channel);
	start_steward();
	send_start();
	send_logs(error_log, access_log);
	send_snapshot("https", 5, true);
	drain();
	cr_assert_eq(count(access_log, "\"listener\":\"https\""), 101);
}

Test(steward, a_snapshot_that_cannot_be_used_is_refused_and_the_old_one_stays)
{
	send_start();
	send_logs(error_log, access_log);
	send_snapshot("https", 5, true);
	send_snapshot("other", METRICS_LISTENERS, false);
	connection();
	wait_for(access_log, "\"listener\":\"https\"");
	drain();
}

Test(steward, signals_are_not_for_it)
{
	static const int signals[] = {
		SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGPIPE
	};

	send_start();
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		cr_assert_eq(kill(steward, signals[i]), 0);
	send_logs(error_log, access_log);
	send_snapshot("https", 5, true);
	drain();
}

Test(steward, without_a_supervisor_it_stays_until_the_workers_are_done)
{
	int status;

	send_start();
	send_logs(error_log, access_log);
	send_snapshot("https", 5, true);
	board_worker(board, 0)->metrics.connections = 1;
	cr_assert_eq(shutdown(channel, SHUT_RDWR), 0);
	for (int i = 0; i < 100; i++)
		nap();
	cr_assert_eq(waitpid(steward, &status, WNOHANG), 0);
	connection();
	metrics_sub(&board_worker(board, 0)->metrics.connections, 1);
	cr_assert_eq(exit_code(), 0);
	cr_assert_eq(count(access_log, "\n"), 1);
}

Test(steward, what_makes_no_sense_ends_it)
{
	struct channel_message m = { .type = CHANNEL_LOGS, .flags = 3 };

	send_start();
	send_message(&m, &error_log, 1); /* says two */
	cr_assert_eq(exit_code(), 3);
}

Test(steward, a_board_of_the_wrong_size_ends_it)
{
	struct channel_message m = { .type = CHANNEL_START, .num_workers = WORKERS, .parts = 1 };
	int fds[WORKERS + 2];

	board_fds(board, BOARD_STEWARD, 0, fds);
	send_message(&m, fds, WORKERS + 1);
	cr_assert_eq(exit_code(), 3);
}

Test(steward, anything_before_its_start_ends_it)
{
	struct channel_message m = { .type = CHANNEL_LOGS, .flags = 1 };

	send_message(&m, &error_log, 1);
	cr_assert_eq(exit_code(), 3);
}

static void ask(const struct sockaddr_in *address, const char *path, const char *status)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[65536];
	size_t n = 0;
	ssize_t got;

	cr_assert_eq(connect(fd, (const void *)address, sizeof(*address)), 0);
	n = (size_t)snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
	cr_assert_eq(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
	n = 0;
	while ((got = recv(fd, text + n, sizeof(text) - 1 - n, 0)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	cr_assert_not_null(strstr(text, status), "%s: %s", path, text);
	(void)close(fd);
}

Test(steward, serves_the_admin_endpoint)
{
	struct channel_message m = { .type = CHANNEL_ADMIN };
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(bind(fd, (void *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(fd, 16), 0);
	cr_assert_eq(getsockname(fd, (void *)&address, &len), 0);
	send_start();
	send_logs(error_log, access_log);
	send_message(&m, &fd, 1);
	ask(&address, "/readyz", " 503 ");
	send_snapshot("https", 5, true);
	board_worker(board, 0)->metrics.generation = 7;
	board_supervisor(board)->metrics.generation = 7;
	board_worker(board, 0)->metrics.listeners[5].accepted = 3;
	ask(&address, "/readyz", " 200 ");
	ask(&address, "/healthz", " 200 ");
	ask(&address, "/metrics", "sallyport_connections_accepted_total{listener=\"https\"} 3\n");
	board_supervisor(board)->metrics.draining = 1;
	ask(&address, "/healthz", " 503 ");
	drain();
	(void)close(fd);
}
