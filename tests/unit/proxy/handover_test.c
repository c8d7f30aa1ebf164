#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/process/handover.h"
#include "proxy/process/notify.h"
#include "tests/support/in_child.h"

enum { WORKERS = 2 };

/* An old supervisor's things. */
static struct sockets sockets;
static struct endpoint endpoint;
static struct ticket_ring tickets;
static int ready[2];
static struct handover_source source = {
	.sockets = &sockets, .admin = &endpoint, .admin_text = "127.0.0.1:1", .tickets = &tickets
};

static int listening(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(listen(fd, 8), 0);
	return fd;
}

static void set_up(void)
{
	int fds[WORKERS] = { listening(), listening() };
	char why[256];

	sockets_init(&sockets, WORKERS);
	cr_assert(sockets_adopt(&sockets, "127.0.0.1:443", false, fds, WORKERS, why, sizeof(why)));
	TAILQ_FIRST(&sockets.list)->wanted = true;
	sockets_commit(&sockets);
	endpoint_init(&endpoint);
	endpoint.socket = handle_new(listening());
	cr_assert(ticket_ring_rotate(&tickets) && ticket_ring_rotate(&tickets));
	cr_assert_eq(pipe(ready), 0);
	source.ready_fd = ready[1];
}

static void tear_down(void)
{
	sockets_fini(&sockets);
	endpoint_fini(&endpoint);
	(void)close(ready[0]);
	(void)close(ready[1]);
}

TestSuite(handover, .init = set_up, .fini = tear_down);

/* In the new process: 0 where all has come. */
static int heir(void)
{
	struct handover h;
	char why[256];
	int i = 0;

	if (!handover_take(&h, why, sizeof(why)))
		return 1;
	if (getenv(HANDOVER_VARIABLE) != NULL || h.from != getppid())
		return 2;
	if (h.num != 1 || strcmp(h.addresses[0].text, "127.0.0.1:443") != 0 ||
	    h.addresses[0].shared || h.addresses[0].num != WORKERS)
		return 3;
	for (; i < WORKERS; i++) {
		if ((fcntl(h.addresses[0].fds[i], F_GETFD) & FD_CLOEXEC) == 0)
			return 4;
	}
	if (strcmp(h.admin_text, "127.0.0.1:1") != 0 || h.admin_fd < 0 || h.lock_fd >= 0)
		return 5;
	if (h.tickets.num != 2 || memcmp(&h.tickets.keys, &tickets.keys, sizeof(tickets.keys)) != 0)
		return 6;
	if (write(h.ready_fd, "\n", 1) != 1)
		return 7;
	i = h.addresses[0].fds[0];
	handover_fini(&h);
	return fcntl(i, F_GETFD) < 0 && h.num == 0 ? 0 : 8;
}

static void name(int fd)
{
	char number[16];

	(void)snprintf(number, sizeof(number), "%d", fd);
	cr_assert_eq(setenv(HANDOVER_VARIABLE, number, 1), 0);
}

Test(handover, what_is_left_is_found)
{
	int fd = handover_write(&source);
	char byte;

	cr_assert_geq(fd, 0);
	handover_keep(&source, fd);
	cr_assert_eq(fcntl(fd, F_GETFD), 0);
	cr_assert_eq(fcntl(ready[1], F_GETFD), 0);
	name(fd);
	cr_assert_eq(in_child(heir), 0);
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	(void)close(fd);
}

static int heir_of_nothing(void)
{
	struct handover h;
	char why[256] = "";

	if (handover_take(&h, why, sizeof(why)))
		return h.from == 0 && h.num == 0 ? 1 : 2;
	return strstr(why, HANDOVER_VARIABLE) != NULL && getenv(HANDOVER_VARIABLE) == NULL ? 0 : 3;
}

Test(handover, an_empty_one_closes_nothing)
{
	struct handover h;

	handover_init(&h);
	handover_fini(&h);
	for (int fd = 0; fd < 3; fd++)
		cr_assert_geq(fcntl(fd, F_GETFD), 0, "%d", fd);
}

Test(handover, who_starts_alone_finds_nothing)
{
	(void)unsetenv(HANDOVER_VARIABLE);
	cr_assert_eq(in_child(heir_of_nothing), 1);
}

static int memory_of(const char *text)
{
	int fd = memfd_create("test", 0);

	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

Test(handover, what_makes_no_sense_is_refused)
{
	static const char *const texts[] = {
		"{",
		"{}",
		"[]",
		"{\"version\":2,\"pid\":1,\"ready\":%d,\"sockets\":[],\"admin\":{\"address\":\"\","
		"\"fd\":-1,\"lock\":-1},\"ticket_keys\":[]}",
		"{\"version\":1,\"pid\":0,\"ready\":%d,\"sockets\":[],\"admin\":{\"address\":\"\","
		"\"fd\":-1,\"lock\":-1},\"ticket_keys\":[]}",
		/* a pipe listens to nobody */
		"{\"version\":1,\"pid\":1,\"ready\":%d,\"sockets\":[{\"address\":\"a\",\"fds\":[%d]}],"
		"\"admin\":{\"address\":\"\",\"fd\":-1,\"lock\":-1},\"ticket_keys\":[]}",
		"{\"version\":1,\"pid\":1,\"ready\":999,\"sockets\":[],\"admin\":{\"address\":\"\","
		"\"fd\":-1,\"lock\":-1},\"ticket_keys\":[]}",
		"{\"version\":1,\"pid\":1,\"ready\":1,\"sockets\":[],\"admin\":{\"address\":\"\","
		"\"fd\":-1,\"lock\":-1},\"ticket_keys\":[]}",
	};
	char text[512];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *at = texts[i];
		size_t n = 0;
		int fd;

		for (; *at != '\0' && n < sizeof(text) - 16; at++) {
			if (at[0] == '%' && at[1] == 'd') {
				n += (size_t)snprintf(text + n, 16, "%d", ready[1]);
				at++;
			} else {
				text[n++] = *at;
			}
		}
		text[n] = '\0';
		fd = memory_of(text);
		name(fd);
		cr_expect_eq(in_child(heir_of_nothing), 0, "%s", text);
		(void)close(fd);
	}
	cr_assert_eq(setenv(HANDOVER_VARIABLE, "no number", 1), 0);
	cr_expect_eq(in_child(heir_of_nothing), 0);
	cr_assert_eq(setenv(HANDOVER_VARIABLE, "9999", 1), 0);
	cr_expect_eq(in_child(heir_of_nothing), 0);
}

static int heir_of_odd_keys(void)
{
	struct handover h;
	char why[256];

	return handover_take(&h, why, sizeof(why)) ? 10 + (int)h.tickets.num : 0;
}

Test(handover, keys_of_another_make_are_none)
{
	char text[512];
	int fd;

	(void)snprintf(
		text, sizeof(text),
		"{\"version\":1,\"pid\":1,\"ready\":%d,\"sockets\":[],\"admin\":{\"address\":"
		"\"\",\"fd\":-1,\"lock\":-1},\"ticket_keys\":[\"00ff\"]}",
		ready[1]);
	fd = memory_of(text);
	name(fd);
	cr_expect_eq(in_child(heir_of_odd_keys), 10);
	(void)close(fd);
}

/* ---- adoption */

Test(handover, sockets_that_lack_are_bound_and_those_too_many_closed)
{
	struct sockets few, many;
	int fds[3] = { listening(), listening(), listening() }, type;
	socklen_t len = sizeof(type);
	struct listening *l;
	char why[256];

	sockets_init(&many, 4);
	cr_assert(sockets_adopt(&many, "127.0.0.1:1", false, fds, 1, why, sizeof(why)), "%s", why);
	l = TAILQ_FIRST(&many.list);
	cr_assert_eq(l->num, 4);
	cr_assert_neq(l->port, 0);
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(getsockopt(sockets_handle(l, i)->fd, SOL_SOCKET, SO_ACCEPTCONN, &type,
					&len) +
				     !type,
			     0);
	sockets_fini(&many);
	sockets_init(&few, 1);
	cr_assert(sockets_adopt(&few, "127.0.0.1:1", false, fds + 1, 2, why, sizeof(why)));
	cr_assert_eq(TAILQ_FIRST(&few.list)->num, 1);
	cr_assert_lt(fcntl(fds[2], F_GETFD), 0);
	sockets_fini(&few);
	cr_assert_lt(fcntl(fds[1], F_GETFD), 0);
}

Test(handover, what_was_not_wanted_goes)
{
	struct sockets s;
	int fd = listening();
	char why[256];

	sockets_init(&s, 1);
	cr_assert(sockets_adopt(&s, "127.0.0.1:1", false, &fd, 1, why, sizeof(why)));
	sockets_commit(&s);
	sockets_close_leaving(&s);
	cr_assert_null(TAILQ_FIRST(&s.list));
	cr_assert_lt(fcntl(fd, F_GETFD), 0);
	sockets_fini(&s);
}

Test(handover, a_socket_of_another_kind_is_not_adopted)
{
	struct sockets s;
	int pair[2];
	char why[256];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	sockets_init(&s, 1);
	cr_assert_not(sockets_adopt(&s, "127.0.0.1:1", false, pair, 1, why, sizeof(why)));
	cr_assert_lt(fcntl(pair[0], F_GETFD), 0);
	(void)close(pair[1]);
	sockets_fini(&s);
}

/* ---- the service manager */

Test(notify, sends_a_datagram_where_one_listens)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	char got[64] = "", path[64];
	size_t n = (size_t)snprintf(path, sizeof(path), "@sallyport-test-%d", (int)getpid());

	memcpy(at.sun_path, path, n);
	at.sun_path[0] = '\0';
	cr_assert_eq(bind(fd, (struct sockaddr *)&at,
			  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
		     0);
	cr_assert_eq(setenv("NOTIFY_SOCKET", path, 1), 0);
	notify_send("READY=1");
	cr_assert_eq(recv(fd, got, sizeof(got), MSG_DONTWAIT), 7);
	cr_assert_str_eq(got, "READY=1");
	/* Nobody, and nonsense, are no fault. */
	(void)close(fd);
	notify_send("READY=1");
	cr_assert_eq(setenv("NOTIFY_SOCKET", "relative", 1), 0);
	notify_send("READY=1");
	cr_assert_eq(unsetenv("NOTIFY_SOCKET"), 0);
	notify_send("READY=1");
}
