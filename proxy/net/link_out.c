#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "conf/must.h"
#include "proxy/net/link_private.h"

enum {
	SEND_AT = 40 << 10,	/* output that leaves within the turn, while it is in cache */
	DIRECT_FROM = 16 << 10, /* plaintext that is worth a system call of its own */
	IOVECS = 16,
};

static struct link *from_flush(struct loop_task *t)
{
	return (struct link *)((char *)t - offsetof(struct link, flush));
}

void link_out_drop(struct link *l)
{
	struct chunk *c;

	while ((c = TAILQ_FIRST(&l->out)) != NULL) {
		TAILQ_REMOVE(&l->out, c, entry);
		loop_chunk_free(l->loop, c);
	}
	l->out_len = 0;
}

bool link_out_append(struct link *l, const char *p, size_t n)
{
	while (n > 0) {
		struct chunk *c = TAILQ_LAST(&l->out, chunks);
		size_t room = c == NULL ? 0 : LOOP_CHUNK_BYTES - c->end;

		/* A TLS record that would be cut goes to a chunk of its own. */
		if (room == 0 || (room < n && n <= LOOP_CHUNK_BYTES)) {
			if ((c = loop_chunk(l->loop)) == NULL)
				return false;
			TAILQ_INSERT_TAIL(&l->out, c, entry);
			room = LOOP_CHUNK_BYTES;
		}
		if (room > n)
			room = n;
		memcpy(c->bytes + c->end, p, room);
		c->end += (uint32_t)room;
		l->out_len += room;
		p += room;
		n -= room;
	}
	return true;
}

static void consume_output(struct link *l, size_t n)
{
	l->out_len -= n;
	while (n > 0) {
		struct chunk *c = TAILQ_FIRST(&l->out);
		size_t here = c->end - c->start;

		if (here > n) {
			c->start += (uint32_t)n;
			return;
		}
		n -= here;
		TAILQ_REMOVE(&l->out, c, entry);
		loop_chunk_free(l->loop, c);
	}
}

/* The socket takes no more. What the peer sent before it broke off is still there to be read, and
 * reading then says what happened. But for one thing: the kernel tells of a reset only once, and
 * of the end of the stream from then on. EPIPE comes where that was told before, or after a FIN. */
static void output_broke(struct link *l, int error)
{
	l->out_broken = true;
	l->cut_off = error != EPIPE && error != ENOTCONN;
	link_out_drop(l);
	if (l->in_eof) {
		link_both_over(l);
		return;
	}
	l->readable = true;
	l->hung_up = true;
	if (!l->paused)
		loop_queue(l->loop, &l->work, LOOP_TRAFFIC);
}

void link_out_send(struct link *l)
{
	while (l->out_len > 0 && l->writable && !l->out_broken) {
		struct iovec iov[IOVECS];
		struct msghdr m = { .msg_iov = iov };
		struct chunk *c;
		size_t asked = 0;
		ssize_t n;

		TAILQ_FOREACH(c, &l->out, entry) {
			if (m.msg_iovlen == IOVECS)
				break;
			iov[m.msg_iovlen].iov_base = c->bytes + c->start;
			iov[m.msg_iovlen].iov_len = c->end - c->start;
			asked += iov[m.msg_iovlen++].iov_len;
		}
		n = sendmsg(l->fd, &m, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			l->writable = false;
			if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS)
				output_broke(l, errno);
			return;
		}
		consume_output(l, (size_t)n);
		if ((size_t)n < asked)
			l->writable = false;
	}
}

/* Sends what the turn has collected and tells the owner what follows from it. */
void link_out_flush(struct loop_task *t)
{
	struct link *l = from_flush(t);

	CHECK(l, LINK_MAGIC);
	if (l->state != LINK_OPEN && l->state != LINK_HANDSHAKE)
		return;
	link_out_send(l);
	if (l->state != LINK_OPEN || l->told_end)
		return;
	if (l->blocked && l->out_len <= LINK_LOW_WATER) {
		l->blocked = false;
		l->ev->drained(l->owner);
		if (l->state != LINK_OPEN || l->told_end)
			return;
	}
	if (l->end_asked && !l->end_sent && l->out_len == 0 && !l->out_broken) {
		if (shutdown(l->fd, SHUT_WR) != 0) {
			output_broke(l, errno);
			return;
		}
		l->end_sent = true;
		link_reset_at_close(l, false);
		if (l->in_eof)
			link_tell_end(l, LINK_END_CLOSED);
	}
}

/* Plain output that would only be copied to be sent at once. */
static size_t send_direct(struct link *l, struct span bytes)
{
	ssize_t n;

	if (bytes.n < DIRECT_FROM || l->out_len > 0 || !l->writable)
		return 0;
	do
		n = send(l->fd, bytes.p, bytes.n, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		l->writable = false;
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS)
			output_broke(l, errno);
		return 0;
	}
	if ((size_t)n < bytes.n)
		l->writable = false;
	return (size_t)n;
}

bool link_write(struct link *l, struct span bytes)
{
	CHECK(l, LINK_MAGIC);
	MUST(l->state == LINK_OPEN && !l->end_asked);
	if (l->out_broken || l->told_end || l->fault != 0)
		return true;
	l->bytes_sent += bytes.n;
	if (l->ssl != NULL) {
		if (!link_tls_write(l, bytes)) {
			link_fault(l, LINK_END_MEMORY);
			return true;
		}
	} else {
		size_t sent = send_direct(l, bytes);

		if (l->out_broken)
			return true;
		if (!link_out_append(l, bytes.p + sent, bytes.n - sent)) {
			link_fault(l, LINK_END_MEMORY);
			return true;
		}
	}
	if (l->out_len >= SEND_AT)
		link_out_send(l);
	if (l->out_len > 0)
		loop_queue(l->loop, &l->flush, LOOP_FLUSH);
	if (l->out_len < LINK_HIGH_WATER)
		return true;
	l->blocked = true;
	return false;
}

size_t link_queued(const struct link *l)
{
	CHECK(l, LINK_MAGIC);
	return l->out_len;
}

void link_end(struct link *l)
{
	CHECK(l, LINK_MAGIC);
	if (l->end_asked || l->state != LINK_OPEN)
		return;
	l->end_asked = true;
	l->only_end = l->out_len == 0;
	if (l->ssl != NULL && !l->out_broken)
		link_tls_end(l);
	loop_queue(l->loop, &l->flush, LOOP_FLUSH);
}
