/* Fuzzes the server's role of HTTP/1 with a client's bytes, cut into pieces. What it takes is
 * passed on by the client's role to a server of the same code, which must understand the same:
 * nothing that was let in may mean something else to whoever is behind. And whatever comes, the
 * connection ends once the client has gone, and nothing is left over.
 *
 * Input: a byte of flags, a byte that says how the rest is cut, and the rest. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/must.h"
#include "tests/support/http1_bridge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_TURNS = 20000, QUIET_TURNS = 4 };
#define A_WHILE_NS INT64_C(3000000000)

struct bench {
	struct loop *loop;
	struct bridge bridge;
	struct bridge_origin origin;
	int fd;
};

/* Asked at the beginning of a turn: keeps it from waiting, and makes it the last one. */
static size_t between_waiting(const void *arg)
{
	const struct bench *b = arg;

	loop_stop(b->loop);
	return 1;
}

static void between(void *arg)
{
	(void)arg;
}

/* What came whole through the bridge has come to the origin, and as the same. */
static void compare(const struct bench *b)
{
	const struct record_text *said = &b->bridge.request, *heard = &b->origin.request;

	if (!b->bridge.response.whole || said->overflown || heard->overflown)
		return;
	MUST(said->whole && heard->whole && !b->origin.broken);
	MUST(said->len == heard->len && memcmp(said->bytes, heard->bytes, said->len) == 0);
}

/* Turns until nothing happens any more. */
static void rest(struct bench *b)
{
	int quiet = 0;

	for (int turns = 0; quiet < QUIET_TURNS; turns++) {
		unsigned before = b->bridge.num_requests;
		bool busy = false;
		char buf[4096];

		MUST(turns < MAX_TURNS);
		MUST(loop_run(b->loop));
		b->loop->stopping = false;
		while (b->fd >= 0 && recv(b->fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
			busy = true;
		for (unsigned i = 0; i < LOOP_QUEUES; i++)
			busy = busy || !TAILQ_EMPTY(&b->loop->queues[i]);
		busy = busy || before != b->bridge.num_requests;
		quiet = busy ? 0 : quiet + 1;
		compare(b);
	}
}

static void pair(int fds[2])
{
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
}

static void say(struct bench *b, const uint8_t *data, size_t size, uint8_t cuts)
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
		sent = send(b->fd, data, n, MSG_NOSIGNAL);
		if (sent > 0) {
			data += sent;
			size -= (size_t)sent;
		}
		rest(b);
		if (sent <= 0) /* it is full, or gone: nobody reads any more */
			return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bench *b;
	int front[2];
	int back[2];

	if (size < 2)
		return 0;
	if (b == NULL) {
		b = calloc(1, sizeof(*b));
		MUST(b != NULL && (b->loop = loop_new()) != NULL);
		b->loop->between = between;
		b->loop->between_waiting = between_waiting;
		b->loop->between_arg = b;
	}
	pair(front);
	pair(back);
	b->fd = front[1];
	bridge_init(&b->bridge, b->loop, front[0], back[0]);
	bridge_origin_init(&b->origin, b->loop, back[1]);
	rest(b);
	say(b, data + 2, size - 2, data[1]);
	if ((data[0] & 1) && b->bridge.front.server != NULL) {
		http1_server_drain(b->bridge.front.server);
		rest(b);
	}
	if (data[0] & 2) {
		(void)shutdown(b->fd, SHUT_WR);
	} else {
		MUST(close(b->fd) == 0);
		b->fd = -1;
	}
	rest(b);
	(void)wheel_run(&b->loop->wheel, loop_clock_ns() + A_WHILE_NS);
	rest(b);
	MUST(b->bridge.front.is_over && b->bridge.front_stream == NULL);
	bridge_fini(&b->bridge);
	bridge_origin_fini(&b->origin);
	if (b->fd >= 0)
		MUST(close(b->fd) == 0);
	loop_bury(b->loop);
	MUST(b->loop->wheel.num == 0);
	wheel_init(&b->loop->wheel, loop_clock_ns());
	return 0;
}
