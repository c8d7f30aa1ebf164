/* Fuzzes a server's TLS link with the records of a real client, cut into pieces, damaged or broken
 * off as the input says. Whatever comes: what is delivered is a beginning of what was sent, the
 * end of the stream is only told where the client told it, and the loop comes to rest.
 *
 * Input: a byte of flags, then instructions of two bytes each: what to do, and how much. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/must.h"
#include "proxy/net/link.h"
#include "proxy/net/loop.h"
#include "tests/support/tls_pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	MAX_STEPS = 200,
	MAX_TURNS = 40, /* after the last byte, before it must rest */
	MAX_RESUMES = 64,
	BUF = 16 << 10,
};

#define A_WHILE_NS INT64_C(1100000000)

/* What outlives an input. */
struct bench {
	struct loop *loop;
	struct tls_side side;
	SSL_CTX *clients[2]; /* TLS 1.2, 1.3 */
	char pattern[BUF];
};

struct owner {
	struct bench *bench;
	struct link *link;
	size_t got;
	bool opened, eof, ended;
	bool pause, echo;
	uint8_t close_at; /* number of events left until the link is closed; 0: it is not */
};

struct trial {
	struct bench *b;
	struct owner o;
	int fd; /* the client's end; -1: closed */
	SSL *ssl;
	BIO *in, *out;
	size_t said; /* bytes given to the client to send */
	bool damaged, notified;
};

/* True where the owner has closed its link. */
static void event(struct owner *o)
{
	if (o->close_at == 0 || --o->close_at > 0 || o->link == NULL)
		return;
	link_close(o->link);
	o->link = NULL;
}

static void opened(void *owner)
{
	struct owner *o = owner;

	MUST(!o->opened && !o->ended);
	o->opened = true;
	event(o);
}

static void data(void *owner, struct span bytes)
{
	struct owner *o = owner;

	MUST(o->opened && !o->eof && !o->ended && bytes.n > 0);
	for (size_t i = 0; i < bytes.n; i++)
		MUST(bytes.p[i] == o->bench->pattern[(o->got + i) % BUF]);
	o->got += bytes.n;
	if (o->pause)
		link_pause(o->link);
	if (o->echo)
		(void)link_write(o->link, bytes);
	event(o);
}

static void eof(void *owner)
{
	struct owner *o = owner;

	MUST(o->opened && !o->eof && !o->ended);
	o->eof = true;
	o->echo = false;
	link_end(o->link);
	event(o);
}

static void drained(void *owner)
{
	MUST(!((struct owner *)owner)->ended);
}

static void ended(void *owner, enum link_end why)
{
	struct owner *o = owner;

	MUST(!o->ended && why < LINK_ENDS);
	o->ended = true;
	event(o);
}

static const struct link_events events = {
	.opened = opened,
	.data = data,
	.eof = eof,
	.drained = drained,
	.ended = ended,
};

static void between(void *arg)
{
	struct bench *b = arg;

	keys_run(b->side.keys, 4);
}

/* Asked at the beginning of a turn: keeps it from waiting, and makes it the last one. */
static size_t between_waiting(const void *arg)
{
	const struct bench *b = arg;

	loop_stop(b->loop);
	return 1;
}

static struct bench *bench_new(void)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct made cert = make_cert(&(struct make_options){ .type = MAKE_P256 });

	MUST(b != NULL && (b->loop = loop_new()) != NULL);
	tls_side_init(&b->side, "fuzz");
	tls_side_add(&b->side, &cert, INDEX_KEY_ECDSA_P256, "fuzz.example");
	tls_side_start(&b->side, NULL);
	made_fini(&cert);
	for (int i = 0; i < 2; i++) {
		b->clients[i] = tls_client();
		MUST(SSL_CTX_set_max_proto_version(b->clients[i],
						   i == 0 ? TLS1_2_VERSION : TLS1_3_VERSION));
	}
	for (size_t i = 0; i < BUF; i++)
		b->pattern[i] = (char)(i * 31 + (i >> 8) * 7 + 1);
	b->loop->between = between;
	b->loop->between_waiting = between_waiting;
	b->loop->between_arg = b;
	return b;
}

/* One turn that does not wait. */
static void turn(struct trial *t)
{
	MUST(loop_run(t->b->loop));
	t->b->loop->stopping = false;
}

static void take_answers(struct trial *t)
{
	char buf[4096];
	ssize_t n;

	while (t->fd >= 0 && (n = recv(t->fd, buf, sizeof(buf), 0)) > 0)
		MUST(BIO_write(t->in, buf, (int)n) == n);
	ERR_clear_error();
	(void)SSL_do_handshake(t->ssl);
	ERR_clear_error();
	while (SSL_read(t->ssl, buf, sizeof(buf)) > 0)
		;
	ERR_clear_error();
}

/* Carries up to `n` bytes of what the client wants to send; flips a bit of the last. */
static void carry(struct trial *t, size_t n, int flip)
{
	char buf[4096];
	int got;

	if (t->fd < 0)
		return;
	if (n > sizeof(buf))
		n = sizeof(buf);
	if ((got = BIO_read(t->out, buf, (int)n)) <= 0)
		return;
	if (flip >= 0) {
		buf[got - 1] = (char)(buf[got - 1] ^ 1 << flip);
		t->damaged = true;
	}
	/* A socket that takes no more is bytes lost: damage like any other. */
	if (send(t->fd, buf, (size_t)got, MSG_NOSIGNAL) != got)
		t->damaged = true;
}

static void say(struct trial *t, size_t n)
{
	size_t at = t->said % BUF;

	if (n > BUF - at)
		n = BUF - at;
	ERR_clear_error();
	if (n > 0 && !t->notified && SSL_write(t->ssl, t->b->pattern + at, (int)n) == (int)n)
		t->said += n;
	ERR_clear_error();
}

static void hang_up(struct trial *t, bool reset)
{
	struct linger now = { .l_onoff = reset };

	if (t->fd < 0)
		return;
	(void)setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	(void)close(t->fd);
	t->fd = -1;
}

static void step(struct trial *t, uint8_t what, uint8_t much)
{
	switch (what % 12) {
	case 0:
	case 1:
		carry(t, much + 1u, -1);
		break;
	case 2:
		carry(t, 4096, -1);
		break;
	case 3:
		say(t, much);
		break;
	case 4:
		say(t, much * 64u);
		break;
	case 5:
		carry(t, much + 1u, much % 8);
		break;
	case 6:
		take_answers(t);
		break;
	case 7:
		if (t->o.link != NULL)
			link_resume(t->o.link);
		break;
	case 8:
		ERR_clear_error();
		if (!t->notified && SSL_is_init_finished(t->ssl) && SSL_shutdown(t->ssl) >= 0)
			t->notified = true;
		ERR_clear_error();
		break;
	case 9:
		if (much % 8 == 0)
			hang_up(t, much % 16 == 0);
		break;
	default:
		turn(t);
		break;
	}
	if (what & 0x80)
		turn(t);
}

/* Takes turns until nothing is left to do: a link that is not at rest by then spins. */
static void rest(struct trial *t)
{
	struct loop *l = t->b->loop;
	int turns = 0;

	do {
		bool busy = false;

		turn(t);
		for (unsigned i = 0; i < LOOP_QUEUES; i++)
			busy = busy || !TAILQ_EMPTY(&l->queues[i]);
		if (!busy && keys_waiting(t->b->side.keys) == 0)
			return;
	} while (++turns < MAX_TURNS);
	MUST(turns < MAX_TURNS);
}

static void trial_begin(struct trial *t, struct bench *b, uint8_t flags)
{
	int fds[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	*t = (struct trial){ .b = b,
			     .o = { .bench = b,
				    .pause = (flags & 2) != 0,
				    .echo = (flags & 4) != 0,
				    .close_at = flags >> 5 },
			     .fd = fds[1],
			     .ssl = SSL_new(b->clients[flags & 1]),
			     .in = BIO_new(BIO_s_mem()),
			     .out = BIO_new(BIO_s_mem()) };
	MUST(t->ssl != NULL && t->in != NULL && t->out != NULL);
	(void)BIO_set_mem_eof_return(t->in, -1);
	SSL_set_bio(t->ssl, t->in, t->out);
	SSL_set_connect_state(t->ssl);
	t->o.link =
		link_accept(b->loop, fds[0], b->side.server, INT64_C(60000000000), &events, &t->o);
	MUST(t->o.link != NULL);
	(void)SSL_do_handshake(t->ssl);
	ERR_clear_error();
}

/* Without harm on the way a whole handshake, so that inputs need not learn one. */
static void shake(struct trial *t)
{
	for (int i = 0; i < 8 && !(t->o.opened && SSL_is_init_finished(t->ssl)); i++) {
		carry(t, 4096, -1);
		turn(t);
		turn(t);
		take_answers(t);
	}
}

static void trial_end(struct trial *t)
{
	rest(t);
	MUST(t->o.got <= t->said);
	MUST(!t->o.eof || t->notified);
	/* The client's end goes: now there must be an end to it, unless the owner has paused. */
	hang_up(t, false);
	for (int i = 0; i < MAX_RESUMES && t->o.link != NULL && !t->o.ended; i++) {
		link_resume(t->o.link);
		rest(t);
	}
	/* A reset that came with the last bytes is found a second later. */
	(void)wheel_run(&t->b->loop->wheel, loop_clock_ns() + A_WHILE_NS);
	rest(t);
	MUST(t->o.link == NULL || t->o.ended);
	MUST(t->o.got <= t->said);
	MUST(!t->o.eof || t->notified);
	link_close(t->o.link);
	SSL_free(t->ssl);
	loop_bury(t->b->loop);
	MUST(t->b->loop->wheel.num == 0);
	wheel_init(&t->b->loop->wheel, loop_clock_ns()); /* back to the present */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bench *b;
	struct trial t;

	if (b == NULL)
		b = bench_new();
	if (size < 2)
		return 0;
	trial_begin(&t, b, data[0]);
	if (data[0] & 8)
		shake(&t);
	for (size_t i = 1; i + 1 < size && i < (size_t)2 * MAX_STEPS; i += 2)
		step(&t, data[i], data[i + 1]);
	trial_end(&t);
	return 0;
}
