#include "proxy/net/link.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/must.h"
#include "proxy/net/link_private.h"

enum {
	LINGER_BYTES = 256 << 10, /* read and thrown away after link_close */
	LINGER_READS_PER_TURN = 4,
	RECV_BYTES = 64 << 10, /* at first, and always where TLS has to look at what comes */
};
#define LINGER_NS INT64_C(2000000000)
#define LOOK_NS INT64_C(1000000000)

#define TO(state) (1u << (state))
static const unsigned legal[LINK_STATES] = {
	[LINK_CONNECTING] = TO(LINK_HANDSHAKE) | TO(LINK_OPEN) | TO(LINK_DEAD),
	[LINK_HANDSHAKE] = TO(LINK_OPEN) | TO(LINK_LINGER) | TO(LINK_DEAD),
	[LINK_OPEN] = TO(LINK_HANDSHAKE) | TO(LINK_LINGER) | TO(LINK_DEAD), /* see link_start_tls */
	[LINK_LINGER] = TO(LINK_DEAD),
};

void link_become(struct link *l, enum link_state to)
{
	MUST(legal[l->state] & TO(to));
	l->state = to;
}

static struct link *from_work(struct loop_task *t)
{
	return (struct link *)((char *)t - offsetof(struct link, work));
}

static struct link *from_grave(struct loop_task *t)
{
	return (struct link *)((char *)t - offsetof(struct link, grave));
}

static struct link *from_orphan(struct loop_orphan *o)
{
	return (struct link *)((char *)o - offsetof(struct link, orphan));
}

static struct link *from_timer(struct timer *t)
{
	return (struct link *)((char *)t - offsetof(struct link, timer));
}

/* ---- the end of a link ---- */

static void grave_run(struct loop_task *t)
{
	struct link *l = from_grave(t);

	CHECK(l, LINK_MAGIC);
	l->magic = 0;
	free(l->trouble);
	link_race_free(l->race);
	free(l);
}

/* Closes the socket now and frees the link when the turn ends: code further up the stack may
 * still look at it. */
static void bury(struct link *l)
{
	if (l->state == LINK_LINGER)
		loop_unorphan(l->loop, &l->orphan);
	link_become(l, LINK_DEAD);
	link_race_end(l);
	if (l->fd >= 0) {
		(void)event_del(&l->event);
		(void)close(l->fd);
	}
	l->fd = -1;
	link_out_drop(l);
	free(l->held);
	l->held = NULL;
	SSL_free(l->ssl);
	l->ssl = NULL;
	loop_cancel(l->loop, &l->timer);
	loop_unqueue(l->loop, &l->work);
	loop_unqueue(l->loop, &l->flush);
	loop_queue(l->loop, &l->grave, LOOP_GRAVE);
}

static void drop_orphan(struct loop_orphan *o)
{
	bury(from_orphan(o));
}

void link_tell_end(struct link *l, enum link_end why)
{
	if (l->told_end || l->state >= LINK_LINGER)
		return;
	l->told_end = true;
	loop_cancel(l->loop, &l->timer);
	l->ev->ended(l->owner, why);
}

void link_reset_at_close(struct link *l, bool on)
{
	struct linger linger = { .l_onoff = on };

	(void)setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

/* The input is whole and the output broken. A peer that had said all it had to say and is gone
 * before our goodbye has missed nothing. */
void link_both_over(struct link *l)
{
	link_fault(l, l->end_asked && l->only_end ? LINK_END_CLOSED : LINK_END_RESET);
}

void link_tell_eof(struct link *l)
{
	if (l->in_eof || l->told_end)
		return;
	l->in_eof = true;
	l->ev->eof(l->owner);
	if (l->state != LINK_OPEN)
		return;
	if (l->end_sent)
		link_tell_end(l, LINK_END_CLOSED);
	else if (l->out_broken)
		link_both_over(l);
}

void link_fault(struct link *l, enum link_end why)
{
	if (l->fault == 0)
		l->fault = (uint8_t)(why + 1);
	loop_queue(l->loop, &l->work, LOOP_TRAFFIC);
}

void link_opened(struct link *l)
{
	link_become(l, LINK_OPEN);
	loop_cancel(l->loop, &l->timer);
	/* The handshake's last bytes may have come together with a reset, see receive. */
	if (!l->readable)
		loop_after(l->loop, &l->timer, LOOK_NS);
	l->ev->opened(l->owner);
	link_race_free(l->race);
	l->race = NULL;
}

/* ---- input ---- */

void link_pause(struct link *l)
{
	CHECK(l, LINK_MAGIC);
	l->paused = true;
	l->recv_most = RECV_BYTES;
}

void link_resume(struct link *l)
{
	CHECK(l, LINK_MAGIC);
	l->paused = false;
	if (l->state == LINK_OPEN && (l->readable || l->held != NULL))
		loop_queue(l->loop, &l->work, LOOP_TRAFFIC);
	/* The client says nothing: perhaps it waits for an ACK. */
	if (l->tickets_kept && l->state == LINK_OPEN && !l->readable && l->held_len == 0)
		link_tls_tickets(l);
}

bool link_is_quiet(const struct link *l)
{
	CHECK(l, LINK_MAGIC);
	return l->state == LINK_OPEN && !l->readable && !l->hung_up && l->held == NULL &&
	       !l->in_eof && !l->told_end && !l->out_broken && l->fault == 0;
}

/* One recv into the loop's scratch, which `l->in` then borrows. Where more than asked for keeps
 * coming and goes on as fast, each one brings more: the kernel's price is for the call, and for the
 * ACK that follows it. */
enum came { CAME_BYTES, CAME_NOTHING, CAME_EOF, CAME_ERROR };
static enum came receive(struct link *l)
{
	size_t most = l->recv_most;
	ssize_t n;

	do
		n = recv(l->fd, l->loop->scratch, most, 0);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		if ((size_t)n == most && l->ssl == NULL && most < LOOP_SCRATCH_BYTES)
			l->recv_most = (uint32_t)(2 * most);
		/* Less than asked for: the socket is empty, and the next byte makes an edge. But
		 * a FIN that is there already made its edge before. */
		if ((size_t)n < most && !l->hung_up) {
			l->readable = false;
			/* So did a reset, and libevent shows that as readable and writable, like
			 * any other edge: who falls silent is asked once more. */
			if (l->state == LINK_OPEN)
				loop_after(l->loop, &l->timer, LOOK_NS);
		}
		l->in = span_of(l->loop->scratch, (size_t)n);
		return CAME_BYTES;
	}
	l->readable = false;
	if (n == 0)
		return CAME_EOF;
	return errno == EAGAIN || errno == EWOULDBLOCK ? CAME_NOTHING : CAME_ERROR;
}

/* Keeps what could not be used: the scratch belongs to the next link. */
static bool hold(struct link *l)
{
	char *copy;

	if (l->in.n == 0) {
		free(l->held);
		l->held = NULL;
		l->held_len = 0;
		return true;
	}
	if ((copy = malloc(l->in.n)) == NULL)
		return false;
	memcpy(copy, l->in.p, l->in.n);
	free(l->held);
	l->held = copy;
	l->held_len = (uint32_t)l->in.n;
	l->in = span_of(NULL, 0);
	return true;
}

/* Gets input from where it is: held back earlier, or the socket. */
static enum came next_input(struct link *l)
{
	if (l->held == NULL)
		return l->readable ? receive(l) : CAME_NOTHING;
	l->in = span_of(l->held, l->held_len);
	return CAME_BYTES;
}

static void use_input(struct link *l)
{
	if (l->ssl == NULL) {
		struct span bytes = l->in;

		l->in = span_of(NULL, 0);
		l->bytes_received += bytes.n;
		l->ev->data(l->owner, bytes);
		return;
	}
	if (l->state == LINK_HANDSHAKE)
		link_tls_handshake(l);
	if (l->state == LINK_OPEN && !l->told_end && !l->paused && !l->in_eof)
		link_tls_read(l);
	if (l->state > LINK_OPEN)
		return;
	if (l->in_eof || l->told_end)
		l->in = span_of(NULL, 0);
	if (!hold(l))
		link_tell_end(l, LINK_END_MEMORY);
}

static void work_stream(struct link *l)
{
	if (l->in_eof || l->told_end || l->key_wait || (l->state == LINK_OPEN && l->paused))
		return;
	if (l->state == LINK_HANDSHAKE && l->ssl == NULL) {
		link_opened(l);
		return;
	}
	if (l->signature_came) { /* the handshake goes on, with or without input */
		l->signature_came = false;
		l->in = span_of(l->held, l->held_len);
		use_input(l);
		return;
	}
	switch (next_input(l)) {
	case CAME_BYTES:
		use_input(l);
		break;
	case CAME_NOTHING:
		break;
	case CAME_EOF:
		l->fin_seen = true;
		if (l->state == LINK_HANDSHAKE)
			link_tell_end(l, LINK_END_GONE);
		else if (l->cut_off)
			link_tell_end(l, LINK_END_RESET);
		else if (l->ssl != NULL)
			link_tell_end(l, LINK_END_TRUNCATED);
		else
			link_tell_eof(l);
		break;
	case CAME_ERROR:
		link_tell_end(l, l->state == LINK_HANDSHAKE ? LINK_END_GONE : LINK_END_RESET);
		break;
	}
}

enum link_end link_connect_error(struct link *l, int error)
{
	l->error = error;
	switch (error) {
	case ECONNREFUSED:
	case ENOENT: /* a unix socket that is not there */
		return LINK_END_REFUSED;
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
		return LINK_END_UNREACHABLE;
	case ETIMEDOUT:
		return LINK_END_TIMEOUT;
	default:
		return LINK_END_FAILED;
	}
}

static void work_connect(struct link *l)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (!l->writable || l->fd < 0)
		return;
	if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error == 0)
		link_connected(l);
	else if (!link_race_lost(l))
		link_tell_end(l, link_connect_error(l, error));
}

void link_connected(struct link *l)
{
	link_race_won(l);
	link_race_end(l);
	if (l->ssl == NULL) {
		link_opened(l);
		return;
	}
	link_become(l, LINK_HANDSHAKE);
	link_tls_handshake(l); /* the client speaks first */
}

/* Throws away what still comes, up to a bound, so that our FIN arrives and no reset. */
static void work_linger(struct link *l)
{
	for (int i = 0; i < LINGER_READS_PER_TURN; i++) {
		ssize_t n = recv(l->fd, l->loop->scratch, LOOP_SCRATCH_BYTES, 0);

		if (n > 0 && (l->bytes_received += (uint64_t)n) < LINGER_BYTES)
			continue;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			l->readable = false;
			return;
		}
		bury(l);
		return;
	}
}

static void work_run(struct loop_task *t)
{
	struct link *l = from_work(t);

	CHECK(l, LINK_MAGIC);
	if (l->fault != 0) {
		link_tell_end(l, (enum link_end)(l->fault - 1));
		return;
	}
	if (l->state == LINK_CONNECTING)
		work_connect(l);
	else if (l->state == LINK_LINGER)
		work_linger(l);
	else
		work_stream(l);
	if (l->state == LINK_DEAD || l->told_end || l->in_eof || l->key_wait)
		return;
	if ((l->readable || l->held != NULL) && (l->state != LINK_OPEN || !l->paused) &&
	    l->state != LINK_CONNECTING)
		loop_queue(l->loop, &l->work,
			   l->state == LINK_HANDSHAKE ? LOOP_HANDSHAKE : LOOP_TRAFFIC);
}

static void fd_event(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;

	(void)fd;
	CHECK(l, LINK_MAGIC);
	if (what & (EV_READ | EV_CLOSED))
		l->readable = true;
	if (what & EV_CLOSED)
		l->hung_up = true;
	if (what & EV_WRITE)
		l->writable = true;
	if (l->state <= LINK_HANDSHAKE)
		loop_queue(l->loop, &l->work, LOOP_HANDSHAKE);
	else if (l->readable && !(l->state == LINK_OPEN && l->paused))
		loop_queue(l->loop, &l->work, LOOP_TRAFFIC);
	if (l->writable && l->out_len > 0)
		loop_queue(l->loop, &l->flush, LOOP_FLUSH);
}

static void timer_fired(struct timer *t)
{
	struct link *l = from_timer(t);

	CHECK(l, LINK_MAGIC);
	if (l->state == LINK_LINGER) {
		bury(l);
	} else if (l->state == LINK_OPEN) {
		l->readable = true;
		if (!l->paused)
			loop_queue(l->loop, &l->work, LOOP_TRAFFIC);
	} else {
		link_tell_end(l, LINK_END_TIMEOUT);
	}
}

/* ---- making and giving up ---- */

bool link_listen_to(struct link *l)
{
	int on = 1;

	/* Fails on unix sockets, which have no delay to turn off. */
	(void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return event_assign(&l->event, l->loop->base, l->fd,
			    EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, fd_event,
			    l) == 0 &&
	       event_add(&l->event, NULL) == 0;
}

static struct link *make(struct loop *loop, int fd, bool plain, const struct link_events *ev,
			 void *owner)
{
	struct link *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	*l = (struct link){
		.magic = LINK_MAGIC,
		.fd = fd,
		.loop = loop,
		.ev = ev,
		.owner = owner,
		.began_ns = loop->now_ns,
		.recv_most = RECV_BYTES,
		.work = { .run = work_run },
		.flush = { .run = link_out_flush },
		.grave = { .run = grave_run },
		.orphan = { .drop = drop_orphan },
		.timer = { .fire = timer_fired },
	};
	TAILQ_INIT(&l->out);
	/* Should this process be killed, the kernel closes the socket, and without TLS a FIN would
	 * make what was sent look complete. */
	if (plain)
		link_reset_at_close(l, true);
	if (!link_listen_to(l)) {
		free(l);
		return NULL;
	}
	return l;
}

/* Takes back what `make` did, before anyone has heard of the link. */
static void unmake(struct link *l)
{
	(void)event_del(&l->event);
	SSL_free(l->ssl);
	link_race_free(l->race);
	free(l);
}

static void handshake_ready(void *arg)
{
	struct link *l = arg;

	CHECK(l, LINK_MAGIC);
	l->key_wait = false;
	l->signature_came = true;
	loop_queue(l->loop, &l->work, LOOP_HANDSHAKE);
}

struct link *link_accept(struct loop *loop, int fd, struct server_tls *tls, int64_t timeout_ns,
			 const struct link_events *ev, void *owner)
{
	struct link *l = make(loop, fd, tls == NULL, ev, owner);

	if (l == NULL) {
		(void)close(fd);
		return NULL;
	}
	if (tls != NULL) {
		l->ssl = server_tls_accept(tls, handshake_ready, l);
		if (l->ssl == NULL || !link_tls_attach(l)) {
			unmake(l);
			(void)close(fd);
			return NULL;
		}
		server_tls_deadline(l->ssl, loop->now_ns + timeout_ns);
	}
	/* Most clients have said something by now: reading saves waiting for the edge. */
	l->state = LINK_HANDSHAKE;
	l->readable = true;
	l->writable = true;
	loop_after(loop, &l->timer, timeout_ns);
	loop_queue(loop, &l->work, LOOP_HANDSHAKE);
	return l;
}

bool link_start_tls(struct link *l, struct server_tls *tls, struct span bytes, int64_t timeout_ns)
{
	char *held = malloc(bytes.n);

	CHECK(l, LINK_MAGIC);
	MUST(l->state == LINK_OPEN && l->ssl == NULL && l->held == NULL && bytes.n > 0);
	if (held == NULL)
		return false;
	l->ssl = server_tls_accept(tls, handshake_ready, l);
	if (l->ssl == NULL || !link_tls_attach(l)) {
		SSL_free(l->ssl);
		l->ssl = NULL;
		free(held);
		return false;
	}
	memcpy(held, bytes.p, bytes.n);
	l->held = held;
	l->held_len = (uint32_t)bytes.n;
	l->bytes_received = 0;
	server_tls_deadline(l->ssl, l->loop->now_ns + timeout_ns);
	link_reset_at_close(l, false);
	link_become(l, LINK_HANDSHAKE);
	loop_after(l->loop, &l->timer, timeout_ns);
	loop_queue(l->loop, &l->work, LOOP_HANDSHAKE);
	return true;
}

struct link *link_connect(struct loop *loop, const struct link_target *to,
			  const struct link_events *ev, void *owner)
{
	int fd = socket(to->addresses[0]->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct link *l;

	if (fd < 0)
		return NULL;
	if ((l = make(loop, fd, to->tls == NULL, ev, owner)) == NULL)
		goto fail;
	if (to->tls != NULL) {
		l->ssl = client_tls_connect(to->tls, to->name, handshake_ready, l);
		if (l->ssl == NULL || !link_tls_attach(l)) {
			unmake(l);
			goto fail;
		}
		client_tls_place(to->tls, l->ssl, to->place);
	}
	if (to->num > 1 && !link_race_begin(l, to)) {
		unmake(l);
		goto fail;
	}
	loop_after(loop, &l->timer, to->timeout_ns);
	if (connect(fd, to->addresses[0], to->lens[0]) == 0) {
		l->writable = true;
		loop_queue(loop, &l->work, LOOP_TRAFFIC);
	} else if (errno != EINPROGRESS && (l->race == NULL || !link_race_lost(l))) {
		link_fault(l, link_connect_error(l, errno));
	}
	return l;
fail:
	(void)close(fd);
	errno = ENOMEM;
	return NULL;
}

/* Nothing that the owner gave may be used from here on. */
static void let_go(struct link *l)
{
	CHECK(l, LINK_MAGIC);
	MUST(l->state < LINK_LINGER);
	l->ev = NULL;
	l->owner = NULL;
	l->told_end = false;
	l->fault = 0;
	link_race_end(l);
	loop_cancel(l->loop, &l->timer);
	loop_unqueue(l->loop, &l->work);
	loop_unqueue(l->loop, &l->flush);
	SSL_free(l->ssl);
	l->ssl = NULL;
}

static void reset(struct link *l)
{
	let_go(l);
	link_reset_at_close(l, true);
	bury(l);
}

void link_abort(struct link *l)
{
	if (l == NULL)
		return;
	CHECK(l, LINK_MAGIC);
	if (l->ssl == NULL || l->state == LINK_CONNECTING) {
		reset(l);
		return;
	}
	/* Under TLS a stream without close_notify is not complete; the alert says so aloud. */
	if (l->state == LINK_OPEN && !l->out_broken && !l->told_end)
		link_tls_abort(l);
	link_close(l);
}

void link_close(struct link *l)
{
	if (l == NULL)
		return;
	CHECK(l, LINK_MAGIC);
	if (l->state != LINK_CONNECTING && l->out_len > 0)
		link_out_send(l);
	if (l->out_len > 0) { /* the rest is lost: let the peer see that */
		reset(l);
		return;
	}
	let_go(l);
	if (l->fin_seen && !l->out_broken)
		link_reset_at_close(l, false);
	if (l->state == LINK_CONNECTING || l->out_broken || (l->in_eof && l->end_sent) ||
	    l->fin_seen || shutdown(l->fd, SHUT_WR) != 0) {
		bury(l);
		return;
	}
	link_reset_at_close(l, false);
	link_become(l, LINK_LINGER);
	loop_orphan(l->loop, &l->orphan);
	l->in_eof = false; /* nothing above keeps it from reading now */
	l->key_wait = false;
	l->bytes_received = 0;
	free(l->held);
	l->held = NULL;
	loop_after(l->loop, &l->timer, LINGER_NS);
	loop_queue(l->loop, &l->work, LOOP_TRAFFIC);
}
