#include "proxy/process/channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union channel_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * CHANNEL_MAX_FDS)];
};

bool channel_send(int fd, const struct channel_message *m, const int *fds, size_t num_fds)
{
	union channel_control control = { .bytes = { 0 } };
	struct iovec bytes = { .iov_base = (void *)m, .iov_len = sizeof(*m) };
	struct msghdr packet = { .msg_iov = &bytes, .msg_iovlen = 1 };
	ssize_t sent;

	if (num_fds > CHANNEL_MAX_FDS) {
		errno = EINVAL;
		return false;
	}
	if (num_fds > 0) {
		struct cmsghdr *c = &control.align;

		packet.msg_control = control.bytes;
		packet.msg_controllen = CMSG_SPACE(sizeof(int) * num_fds);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * num_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * num_fds);
	}
	do
		sent = sendmsg(fd, &packet, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	/* A packet goes whole or not at all. */
	return sent == (ssize_t)sizeof(*m);
}

/* Takes over the descriptors that came with a packet. False: more than there may be. */
static bool channel_take_fds(struct msghdr *packet, int *fds, size_t *num_fds)
{
	bool fits = true;

	*num_fds = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(packet); c != NULL; c = CMSG_NXTHDR(packet, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (*num_fds < CHANNEL_MAX_FDS) {
				fds[(*num_fds)++] = fd;
			} else {
				(void)close(fd);
				fits = false;
			}
		}
	}
	return fits;
}

enum channel_result channel_receive(int fd, struct channel_message *m, int *fds, size_t *num_fds)
{
	union channel_control control;
	struct iovec bytes = { .iov_base = m, .iov_len = sizeof(*m) };
	struct msghdr packet = { .msg_iov = &bytes,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes) };
	ssize_t got;
	bool good;

	*num_fds = 0;
	do
		got = recvmsg(fd, &packet, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? CHANNEL_AGAIN : CHANNEL_GONE;
	good = channel_take_fds(&packet, fds, num_fds) &&
	       (packet.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 && got == (ssize_t)sizeof(*m) &&
	       m->type >= CHANNEL_START && m->type <= CHANNEL_PROBLEM &&
	       m->num_keys <= TICKETS_KEYS && memchr(m->text, '\0', sizeof(m->text)) != NULL;
	if (good)
		return CHANNEL_GOT;
	while (*num_fds > 0)
		(void)close(fds[--*num_fds]);
	return CHANNEL_GONE;
}
