#include "tests/support/http2_fuzz.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/must.h"

enum { MAX_TURNS = 100000, QUIET_TURNS = 4 };
#define A_WHILE_NS INT64_C(100000000000)

static size_t between_waiting(const void *arg)
{
	(void)arg;
	loop_stop(fuzz_loop());
	return 1;
}

static void between(void *arg)
{
	(void)arg;
}

struct loop *fuzz_loop(void)
{
	static struct loop *loop;

	if (loop == NULL) {
		loop = loop_new();
		MUST(loop != NULL);
		loop->between = between;
		loop->between_waiting = between_waiting;
	}
	return loop;
}

/* Turns until nothing happens any more. */
static void rest(int fd)
{
	struct loop *loop = fuzz_loop();
	int quiet = 0;

	for (int turns = 0; quiet < QUIET_TURNS; turns++) {
		bool busy = false;
		char buf[16384];

		MUST(turns < MAX_TURNS);
		MUST(loop_run(loop));
		loop->stopping = false;
		while (fd >= 0 && recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
			busy = true;
		for (unsigned i = 0; i < LOOP_QUEUES; i++)
			busy = busy || !TAILQ_EMPTY(&loop->queues[i]);
		quiet = busy ? 0 : quiet + 1;
	}
}

static void say(int fd, const uint8_t *data, size_t size, uint8_t cuts)
{
	uint32_t x = cuts;

	while (size > 0) {
		size_t n = size;
		ssize_t sent;

		if (cuts != 0) { /* 0: all at once */
			x = x * 1664525 + 1013904223;
			n = (x >> 24) % (cuts < 128 ? 8 : 200) + 1;
		}
		if (n > size)
			n = size;
		sent = send(fd, data, n, MSG_NOSIGNAL);
		if (sent > 0) {
			data += sent;
			size -= (size_t)sent;
		}
		rest(fd);
		if (sent <= 0) /* it is full, or gone: nobody reads any more */
			return;
	}
}

/* All times run out, one after the other. */
static void pass_time(int fd)
{
	struct loop *loop = fuzz_loop();

	for (int i = 1; i < 6; i++) {
		loop->now_ns = loop_clock_ns() + i * A_WHILE_NS;
		while (wheel_run(&loop->wheel, loop->now_ns))
			continue;
		rest(fd);
	}
}

void fuzz_run(const struct fuzz_role *role, const uint8_t *data, size_t size)
{
	struct loop *loop = fuzz_loop();
	struct link *link;
	int fds[2];

	if (size < 2)
		return;
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	loop->now_ns = loop_clock_ns();
	link = link_accept(loop, fds[0], NULL, A_WHILE_NS, role->events, NULL);
	MUST(link != NULL);
	role->begin(link);
	rest(fds[1]);
	if ((data[0] & 1) == 0)
		say(fds[1], (const uint8_t *)role->preface, role->preface_len, 0);
	if (data[0] & 2) {
		size_t half = (size - 2) / 2;

		say(fds[1], data + 2, half, data[1]);
		role->nudge();
		rest(fds[1]);
		say(fds[1], data + 2 + half, size - 2 - half, data[1]);
	} else {
		say(fds[1], data + 2, size - 2, data[1]);
	}
	if (data[0] & 4) {
		(void)shutdown(fds[1], SHUT_WR);
		rest(fds[1]);
	}
	if (data[0] & 8)
		pass_time(fds[1]);
	MUST(close(fds[1]) == 0);
	rest(-1);
	pass_time(-1); /* what waits for a window waits in vain */
	MUST(role->is_over());
	role->end();
	loop_bury(loop);
	MUST(loop->wheel.num == 0);
	wheel_init(&loop->wheel, loop_clock_ns());
}
