#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proxy/observe/admin.h"

static struct metrics_worker *worker;
static struct metrics_supervisor supervisor;
static struct metrics_steward steward;
static struct exposition_source from;
static struct event_base *base;
static struct admin *admin;
static char *status(void *self);
static bool command(void *self, enum admin_command what, uint32_t ticket);
static struct admin_owner owner = { .status = status, .command = command };
static struct sockaddr_storage address;
static socklen_t address_len;
static char response[1 << 20];

/* What was commanded, and what is to be said of it at once. */
static struct {
	enum admin_command what;
	uint32_t ticket;
	bool deaf;
} commanded;

static char *status(void *self)
{
	(void)self;
	return strdup("{\"a\":1}");
}

static bool command(void *self, enum admin_command what, uint32_t ticket)
{
	(void)self;
	commanded.what = what;
	commanded.ticket = ticket;
	return !commanded.deaf;
}

static void serve(int family)
{
	const struct metrics_worker **list = malloc(sizeof(*list));
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in *in = (void *)&address;
	struct sockaddr_un *un = (void *)&address;

	worker = calloc(1, sizeof(*worker));
	cr_assert(worker != NULL && list != NULL && fd >= 0);
	list[0] = worker;
	from = (struct exposition_source){ .workers = list,
					   .num_workers = 1,
					   .supervisor = &supervisor,
					   .steward = &steward,
					   .version = "1",
					   .crypto = "x" };
	if (family == AF_INET) {
		*in = (struct sockaddr_in){ .sin_family = AF_INET,
					    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		address_len = sizeof(*in);
	} else {
		un->sun_family = AF_UNIX;
		/* Abstract, so that nothing is left behind. */
		address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
					  (size_t)snprintf(un->sun_path + 1, 64, "sallyport-%d",
							   getpid()));
	}
	cr_assert_eq(bind(fd, (void *)&address, address_len), 0);
	cr_assert_eq(listen(fd, 128), 0);
	address_len = sizeof(address);
	cr_assert_eq(getsockname(fd, (void *)&address, &address_len), 0);
	base = event_base_new();
	admin = admin_new(base, fd, &from, &owner, 2);
	cr_assert_not_null(admin);
}

static void serve_tcp(void)
{
	serve(AF_INET);
}

static void finish(void)
{
	admin_free(admin);
	(void)event_base_loop(base, EVLOOP_NONBLOCK);
	event_base_free(base);
	free((void *)(uintptr_t)from.workers);
	free(worker);
}

TestSuite(admin, .init = serve_tcp, .fini = finish, .timeout = 60);

static int client(void)
{
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_geq(fd, 0);
	cr_assert_eq(connect(fd, (void *)&address, address_len), 0);
	cr_assert_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Runs the server until the peer of `fd` has closed; the answer is in `response`. */
static void hear(int fd)
{
	size_t n = 0;

	for (int i = 0; i < 20000; i++) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t got;

		(void)event_base_loop(base, EVLOOP_NONBLOCK);
		if (poll(&p, 1, 1) <= 0)
			continue;
		got = recv(fd, response + n, sizeof(response) - 1 - n, 0);
		if (got <= 0) {
			response[n] = '\0';
			return;
		}
		n += (size_t)got;
	}
	cr_assert_fail("no end of the answer");
}

static void ask(const char *request)
{
	int fd = client();

	say(fd, request);
	hear(fd);
	(void)close(fd);
}

static const char *body(void)
{
	const char *p = strstr(response, "\r\n\r\n");

	cr_assert_not_null(p, "%s", response);
	return p + 4;
}

static void expect(const char *request, const char *status)
{
	ask(request);
	cr_assert_eq(strncmp(response, status, strlen(status)), 0, "%s: %s", request, response);
	cr_assert_not_null(strstr(response, "Connection: close\r\n"));
}

Test(admin, metrics)
{
	worker->log_dropped = 7;
	expect("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 ");
	cr_assert_not_null(strstr(response, "Content-Type: text/plain; version=0.0.4"));
	cr_assert_not_null(strstr(body(), "\nsallyport_log_records_dropped_total 7\n"));
	expect("GET /metrics?x=y HTTP/1.1\r\nHost: a\r\nAccept: application/openmetrics-text\r\n\r\n",
	       "HTTP/1.1 200 ");
	cr_assert_not_null(strstr(response, "Content-Type: application/openmetrics-text; "
					    "version=1.0.0; charset=utf-8\r\n"));
	cr_assert_str_eq(body() + strlen(body()) - 6, "# EOF\n");
}

static void serve_unix(void)
{
	serve(AF_UNIX);
}

Test(admin_unix, works_over_a_unix_socket, .init = serve_unix, .fini = finish)
{
	for (int i = 0; i < 100; i++)
		expect("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 ");
}

Test(admin, status_is_the_owners)
{
	expect("GET /status HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 ");
	cr_assert_not_null(strstr(response, "Content-Type: application/json\r\n"));
	cr_assert_str_eq(body(), "{\"a\":1}");
}

/* ---- commands */

#define RELOAD "POST /reload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"

/* Runs the server until a command with that number has come. */
static void until_commanded(uint32_t ticket)
{
	for (int i = 0; i < 5000 && commanded.ticket != ticket; i++) {
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
		(void)poll(NULL, 0, 1);
	}
	cr_assert_eq(commanded.ticket, ticket);
}

Test(admin_unix, a_command_waits_for_its_outcome, .init = serve_unix, .fini = finish)
{
	int first = client(), second = client();

	say(first, RELOAD);
	until_commanded(1);
	cr_assert_eq(commanded.what, ADMIN_RELOAD);
	say(second, RELOAD);
	until_commanded(2);
	/* Of the first load alone: the other goes on waiting. */
	admin_outcome(admin, 1, true, "reloaded");
	hear(first);
	cr_assert_not_null(strstr(response, " 200 "));
	cr_assert_str_eq(body(), "reloaded\n");
	admin_outcome(admin, 2, false, "one\ntwo");
	hear(second);
	cr_assert_not_null(strstr(response, " 409 "));
	cr_assert_str_eq(body(), "one\ntwo\n");
	admin_outcome(admin, 9, true, "nobody waits");
	(void)close(first);
	(void)close(second);
}

Test(admin_unix, one_outcome_answers_all_before_it, .init = serve_unix, .fini = finish)
{
	int first = client(), second = client();

	say(first, RELOAD);
	until_commanded(1);
	say(second, "POST /drain HTTP/1.1\r\nHost: a\r\n\r\n");
	until_commanded(2);
	cr_assert_eq(commanded.what, ADMIN_DRAIN);
	admin_outcome(admin, 2, true, "both");
	hear(first);
	cr_assert_str_eq(body(), "both\n");
	hear(second);
	cr_assert_str_eq(body(), "both\n");
	(void)close(first);
	(void)close(second);
}

Test(admin_unix, who_waits_may_go, .init = serve_unix, .fini = finish)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	int fd = client();

	cr_assert_eq(sigaction(SIGPIPE, &ignore, NULL), 0); /* as all roles do */
	say(fd, RELOAD);
	until_commanded(1);
	(void)close(fd);
	for (int i = 0; i < 50; i++) {
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
		(void)poll(NULL, 0, 1);
	}
	admin_outcome(admin, 1, true, "to nobody");
	expect("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 ");
}

Test(admin_unix, an_endpoint_may_end_while_somebody_waits, .init = serve_unix, .fini = finish)
{
	int fd = client();

	say(fd, RELOAD);
	until_commanded(1);
	(void)close(fd);
}

Test(admin_unix, a_deaf_supervisor_is_an_outcome, .init = serve_unix, .fini = finish)
{
	commanded.deaf = true;
	expect(RELOAD, "HTTP/1.1 409 ");
	cr_assert_not_null(strstr(body(), "does not answer"));
}

Test(admin_unix, commands_are_posted, .init = serve_unix, .fini = finish)
{
	expect("GET /reload HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 405 ");
	cr_assert_not_null(strstr(response, "Allow: POST\r\n"));
	cr_assert_eq(commanded.ticket, 0);
}

Test(admin_unix, a_stranger_commands_nothing, .init = serve_unix, .fini = finish)
{
	char said[512] = "";
	int fds[2];
	pid_t pid;

	if (geteuid() != 0)
		return; /* only root can become a stranger */
	cr_assert_eq(pipe(fds), 0);
	(void)fflush(NULL);
	if ((pid = fork()) == 0) {
		int fd = setuid(65534) == 0 ? client() : -1;
		ssize_t n;

		say(fd, RELOAD);
		(void)fcntl(fd, F_SETFL, 0);
		n = recv(fd, said, sizeof(said), MSG_WAITALL);
		_exit(n > 0 && write(fds[1], said, (size_t)n) == n ? 0 : 1);
	}
	(void)close(fds[1]);
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 5000 && read(fds[0], said, sizeof(said) - 1) < 0; i++) {
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
		(void)poll(NULL, 0, 1);
	}
	(void)close(fds[0]);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	cr_assert_not_null(strstr(said, " 403 "), "%s", said);
	cr_assert_eq(commanded.ticket, 0);
}

Test(admin, nobody_commands_over_tcp)
{
	expect(RELOAD, "HTTP/1.1 403 ");
	cr_assert_eq(commanded.ticket, 0);
}

Test(admin, health_is_about_draining)
{
	supervisor.draining = 0;
	expect("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 ");
	cr_assert_str_eq(body(), "ok\n");
	supervisor.draining = 1;
	expect("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 503 ");
	cr_assert_str_eq(body(), "draining\n");
}

Test(admin, ready_is_about_snapshots)
{
	supervisor.generation = 1;
	expect("GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 503 ");
	worker->generation = 1;
	expect("GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 ");
	supervisor.draining = 1;
	expect("GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 503 ");
}

Test(admin, head_is_get_without_the_body)
{
	char length[64];

	ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	(void)snprintf(length, sizeof(length), "Content-Length: %zu\r\n", strlen(body()));
	cr_assert_not_null(strstr(response, length));
	expect("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 ");
	cr_assert_not_null(strstr(response, length));
	cr_assert_str_empty(body());
}

Test(admin, http_1_0_works)
{
	expect("GET /healthz HTTP/1.0\r\n\r\n", "HTTP/1.0 ");
}

Test(admin, other_methods_are_refused)
{
	static const char *const methods[] = { "POST", "PUT", "DELETE", "OPTIONS", "PATCH" };

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		char request[128];

		(void)snprintf(request, sizeof(request), "%s /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
			       methods[i]);
		expect(request, "HTTP/1.1 405 ");
		cr_assert_not_null(strstr(response, "Allow: GET, HEAD\r\n"));
	}
}

Test(admin, unknown_pages_are_not_found)
{
	expect("GET /metricss HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 ");
	expect("GET /../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 ");
	expect("GET //metrics HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 ");
}

static void expect_error(const char *request)
{
	ask(request);
	cr_assert(response[0] == '\0' || strstr(response, " 40") != NULL ||
			  strstr(response, " 41") != NULL || strstr(response, " 50") != NULL,
		  "%s: %s", request, response);
}

Test(admin, what_is_not_a_request_is_refused)
{
	char *big = malloc(100000);

	cr_assert_not_null(big);
	expect_error("\x16\x03\x01\x02\x01\x01\r\n\r\n");
	expect_error("GET\r\n\r\n");
	expect_error("FOO / HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_error("GET / HTTP/1.1\r\nno colon\r\n\r\n");
	expect_error("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
	memset(big, 'a', 99999);
	memcpy(big, "GET / HTTP/1.1\r\nX: ", 19);
	big[60000] = '\0';
	expect_error(big);
	free(big);
	expect("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 ");
}

Test(admin, silent_peers_cannot_pile_up_and_do_not_lock_out_for_ever)
{
	int silent[100];
	unsigned open = 0;
	int fd;

	for (int i = 0; i < 100; i++)
		silent[i] = client();
	for (int i = 0; i < 50; i++)
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
	for (int i = 3; i < 1000; i++) { /* ours are 100 of them */
		struct sockaddr_storage peer;
		socklen_t len = sizeof(peer), own_len = sizeof(peer);
		struct sockaddr_storage own;

		if (getpeername(i, (void *)&peer, &len) == 0 &&
		    getsockname(i, (void *)&own, &own_len) == 0 &&
		    memcmp(&own, &address, address_len) == 0)
			open++;
	}
	cr_assert(open > 0 && open <= 32, "%u open", open);
	for (int i = 0; i < 100; i++)
		(void)close(silent[i]);
	fd = client();
	say(fd, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
	hear(fd);
	cr_assert_not_null(strstr(response, " 200 "));
	(void)close(fd);
}

Test(admin, a_slow_drip_ends)
{
	time_t end = time(NULL) + 8;
	int fd = client();

	say(fd, "GET / HTTP/1.1\r\nX: ");
	for (;;) {
		char byte;
		ssize_t got;

		cr_assert_lt(time(NULL), end, "still connected");
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
		got = recv(fd, &byte, 1, 0);
		if (got == 0 || (got < 0 && errno != EAGAIN))
			break;
		if (got < 0 && send(fd, "a", 1, MSG_NOSIGNAL) != 1)
			break;
		(void)poll(NULL, 0, 50);
	}
	(void)close(fd);
}

Test(admin, running_out_of_descriptors_does_not_spin)
{
	struct rlimit limit, few;
	struct timespec begin, end;
	int next, fd;

	fd = client();
	next = dup(0);
	(void)close(next);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	few = (struct rlimit){ .rlim_cur = (rlim_t)next, .rlim_max = limit.rlim_max };
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	for (int i = 0; i < 50; i++) {
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
		(void)poll(NULL, 0, 5);
	}
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	say(fd, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
	hear(fd); /* after the pause */
	cr_assert_not_null(strstr(response, " 200 "));
	(void)close(fd);
}

Test(admin, freeing_with_connections_open_is_fine)
{
	int fds[10];

	for (int i = 0; i < 10; i++) {
		fds[i] = client();
		say(fds[i], "GET / HTTP/1.1\r\n");
	}
	for (int i = 0; i < 20; i++)
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
	admin_free(admin);
	admin = NULL;
	(void)event_base_loop(base, EVLOOP_NONBLOCK);
	for (int i = 0; i < 10; i++)
		(void)close(fds[i]);
}
