#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/process/channel.h"
#include "proxy/process/outbox.h"

static int ours, theirs;

static void open_pair(void)
{
	int ends[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
		     0);
	ours = ends[0];
	theirs = ends[1];
}

static void close_pair(void)
{
	(void)close(ours);
	(void)close(theirs);
}

TestSuite(channel, .init = open_pair, .fini = close_pair);
TestSuite(outbox, .init = open_pair, .fini = close_pair);

static unsigned count_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

Test(channel, message_and_descriptors_arrive)
{
	struct channel_message m = { .type = CHANNEL_SOCKET, .number = 7, .owner = 3 }, got;
	int fds[CHANNEL_MAX_FDS], pipe_fds[2];
	size_t num = 99;
	char byte = 0;

	cr_assert_eq(pipe(pipe_fds), 0);
	cr_assert(channel_send(ours, &m, pipe_fds, 2));
	cr_assert_eq(channel_receive(theirs, &got, fds, &num), CHANNEL_GOT);
	cr_assert_eq(memcmp(&m, &got, sizeof(m)), 0);
	cr_assert_eq(num, 2);
	cr_assert_eq(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	cr_assert_eq(read(pipe_fds[0], &byte, 1), 1);
	cr_assert_eq(byte, 'x');
	cr_assert_eq(channel_receive(theirs, &got, fds, &num), CHANNEL_AGAIN);
	cr_assert_eq(num, 0);
}

Test(channel, as_many_descriptors_as_promised)
{
	struct channel_message m = { .type = CHANNEL_START }, got;
	int fds[CHANNEL_MAX_FDS], sent[CHANNEL_MAX_FDS + 1];
	unsigned before;
	size_t num;

	for (size_t i = 0; i < CHANNEL_MAX_FDS + 1; i++)
		sent[i] = ours;
	cr_assert_not(channel_send(ours, &m, sent, CHANNEL_MAX_FDS + 1));
	cr_assert_eq(errno, EINVAL);
	before = count_fds();
	cr_assert(channel_send(ours, &m, sent, CHANNEL_MAX_FDS));
	cr_assert_eq(channel_receive(theirs, &got, fds, &num), CHANNEL_GOT);
	cr_assert_eq(num, CHANNEL_MAX_FDS);
	cr_assert_eq(count_fds(), before + CHANNEL_MAX_FDS);
}

/* Sends bytes with a descriptor and expects that they are refused and nothing stays open. */
static void expect_refused(const void *bytes, size_t n)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = n };
	struct msghdr packet = { .msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control.room,
				 .msg_controllen = sizeof(control.room) };
	struct channel_message got;
	int fds[CHANNEL_MAX_FDS];
	unsigned before = count_fds();
	size_t num = 5;

	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.align), &ours, sizeof(int));
	cr_assert_eq(sendmsg(ours, &packet, 0), (ssize_t)n);
	cr_assert_eq(channel_receive(theirs, &got, fds, &num), CHANNEL_GONE);
	cr_assert_eq(num, 0);
	cr_assert_eq(count_fds(), before);
}

Test(channel, a_short_packet_is_refused)
{
	struct channel_message m = { .type = CHANNEL_READY };

	expect_refused(&m, sizeof(m) - 1);
	expect_refused(&m, 1);
}

Test(channel, a_long_packet_is_refused)
{
	char bytes[sizeof(struct channel_message) + 1] = { CHANNEL_READY };

	expect_refused(bytes, sizeof(bytes));
}

Test(channel, an_unknown_type_is_refused)
{
	struct channel_message m = { .type = 0 };

	expect_refused(&m, sizeof(m));
	m.type = CHANNEL_PROBLEM + 1;
	expect_refused(&m, sizeof(m));
}

Test(channel, too_many_ticket_keys_are_refused)
{
	struct channel_message m = { .type = CHANNEL_TICKETS, .num_keys = TICKETS_KEYS + 1 };

	expect_refused(&m, sizeof(m));
}

Test(channel, a_text_without_end_is_refused)
{
	struct channel_message m = { .type = CHANNEL_FAILED };

	memset(m.text, 'x', sizeof(m.text));
	expect_refused(&m, sizeof(m));
}

Test(channel, an_ended_peer_is_gone)
{
	struct channel_message m = { .type = CHANNEL_READY };
	int fds[CHANNEL_MAX_FDS];
	size_t num;

	(void)close(ours);
	cr_assert_eq(channel_receive(theirs, &m, fds, &num), CHANNEL_GONE);
	cr_assert_not(channel_send(theirs, &m, NULL, 0));
	cr_assert_eq(errno, EPIPE);
	ours = -1;
}

/* ---- outbox */

Test(outbox, keeps_what_has_no_room_and_its_order)
{
	struct channel_message m = { .type = CHANNEL_SOCKET }, got;
	int fds[CHANNEL_MAX_FDS];
	struct outbox o;
	uint32_t next = 0;
	size_t num;

	outbox_init(&o);
	for (m.number = 0; m.number < 1000; m.number++)
		cr_assert(outbox_put(&o, &m, NULL, 0));
	while (o.num > 0) {
		enum outbox_result r = outbox_flush(&o, ours);

		cr_assert(r == (o.num > 0 ? OUTBOX_FULL : OUTBOX_EMPTY));
		while (channel_receive(theirs, &got, fds, &num) == CHANNEL_GOT)
			cr_assert_eq(got.number, next++);
	}
	cr_assert_eq(next, 1000);
	outbox_fini(&o);
}

Test(outbox, is_bounded)
{
	struct channel_message m = { .type = CHANNEL_SOCKET };
	struct outbox o;

	outbox_init(&o);
	for (size_t i = 0; i < OUTBOX_MAX; i++)
		cr_assert(outbox_put(&o, &m, NULL, 0));
	cr_assert_not(outbox_put(&o, &m, NULL, 0));
	outbox_fini(&o);
	cr_assert_eq(o.num, 0);
}

Test(outbox, holds_descriptors_until_they_are_sent)
{
	struct channel_message m = { .type = CHANNEL_SOCKET }, got;
	int fds[CHANNEL_MAX_FDS], fd = dup(ours);
	struct handle *h = handle_new(fd);
	struct outbox o;
	size_t num;

	outbox_init(&o);
	cr_assert(outbox_put(&o, &m, &h, 1));
	handle_unref(h);
	cr_assert_geq(fcntl(fd, F_GETFD), 0);
	cr_assert_eq(outbox_flush(&o, ours), OUTBOX_EMPTY);
	cr_assert_lt(fcntl(fd, F_GETFD), 0);
	cr_assert_eq(channel_receive(theirs, &got, fds, &num), CHANNEL_GOT);
	cr_assert_eq(num, 1);
	/* And what is dropped unsent is closed, too. */
	h = handle_new(fd = dup(ours));
	cr_assert(outbox_put(&o, &m, &h, 1));
	handle_unref(h);
	outbox_fini(&o);
	cr_assert_lt(fcntl(fd, F_GETFD), 0);
}

Test(outbox, says_that_nobody_reads)
{
	struct channel_message m = { .type = CHANNEL_READY };
	struct outbox o;

	outbox_init(&o);
	cr_assert(outbox_put(&o, &m, NULL, 0));
	(void)close(theirs);
	cr_assert_eq(outbox_flush(&o, ours), OUTBOX_GONE);
	outbox_fini(&o);
	theirs = -1;
}
