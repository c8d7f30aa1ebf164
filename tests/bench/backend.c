/* The backend of a bench run: as little work as can be, so that the proxy is what is measured. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/load.h"

enum {
	HEAD_MAX = 2048,
	BLOCK_BYTES = 256 << 10, /* of a body, sent again and again: stays in the cache */
	SMALL_BODY = 64,
	ONE_PIECE = 4096, /* bodies up to this go with their head */
	EVENTS = 64,
};

struct peer {
	int fd;
	uint64_t left; /* of the body */
	size_t head_len;
	char head[HEAD_MAX];
};

static bool complain(const char *what)
{
	(void)fprintf(stderr, "bench_load backend: %s: %s\n", what, strerror(errno));
	return false;
}

static void drop(struct peer *p)
{
	(void)close(p->fd);
	free(p);
}

/* True: all is sent, or the socket is full. */
static bool send_body(int epoll, struct peer *p, const char *block)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = p };

	while (p->left > 0) {
		size_t n = p->left < BLOCK_BYTES ? (size_t)p->left : BLOCK_BYTES;
		ssize_t sent = send(p->fd, block, n, 0);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno != EAGAIN)
			return false;
		if (sent < 0) {
			e.events = EPOLLOUT;
			break;
		}
		p->left -= (uint64_t)sent;
	}
	return epoll_ctl(epoll, EPOLL_CTL_MOD, p->fd, &e) == 0;
}

static bool respond(int epoll, struct peer *p, const char *block)
{
	char text[256 + ONE_PIECE];
	uint64_t body = 0;
	size_t len;

	if (strncmp(p->head, "GET /", 5) == 0)
		body = strtoull(p->head + 5, NULL, 10);
	if (body == 0)
		body = SMALL_BODY;
	p->head_len = 0;
	len = (size_t)snprintf(text, sizeof(text),
			       "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
			       "Content-Length: %llu\r\n\r\n",
			       (unsigned long long)body);
	if (body <= ONE_PIECE) {
		memcpy(text + len, block, (size_t)body);
		len += (size_t)body;
	}
	if (send(p->fd, text, len, body <= ONE_PIECE ? 0 : MSG_MORE) != (ssize_t)len)
		return false;
	if (body <= ONE_PIECE)
		return true;
	p->left = body;
	return send_body(epoll, p, block);
}

/* False: the peer has gone, or is to go. */
static bool serve(int epoll, struct peer *p, const char *block)
{
	ssize_t n;

	if (p->left > 0)
		return send_body(epoll, p, block);
	n = recv(p->fd, p->head + p->head_len, HEAD_MAX - 1 - p->head_len, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	p->head_len += (size_t)n;
	p->head[p->head_len] = '\0';
	if (strcmp(p->head + (p->head_len < 4 ? 0 : p->head_len - 4), "\r\n\r\n") == 0)
		return respond(epoll, p, block);
	return p->head_len < HEAD_MAX - 1;
}

static void take(int epoll, int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct peer *p = calloc(1, sizeof(*p));

		if (p == NULL) {
			(void)close(fd);
			return;
		}
		p->fd = fd;
		if (!load_add_fd(epoll, fd, EPOLLIN, p))
			drop(p);
	}
}

static int listen_at(uint16_t port, uint16_t segment)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (load_tune_fd(fd, segment) && bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 &&
	    listen(fd, 4096) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

bool load_backend(uint16_t port, uint16_t segment)
{
	struct epoll_event events[EVENTS];
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int listener = listen_at(port, segment);
	char *block = malloc(BLOCK_BYTES);

	if (epoll < 0 || listener < 0 || block == NULL ||
	    !load_add_fd(epoll, listener, EPOLLIN, NULL))
		return complain("cannot start"); /* the process ends */
	for (size_t i = 0; i < BLOCK_BYTES; i++)
		block[i] = (char)('a' + i % 26);
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS, -1);

		if (n < 0 && errno != EINTR)
			return complain("epoll_wait");
		for (int i = 0; i < n; i++) {
			struct peer *p = events[i].data.ptr;

			if (p == NULL)
				take(epoll, listener);
			else if (!serve(epoll, p, block))
				drop(p);
		}
	}
}
