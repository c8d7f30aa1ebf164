#include "tests/support/rig.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "conf/must.h"

#define TICK_NS 1000000
#define GUARD_NS INT64_C(5000000000)

enum { SETTLE_TICKS = 3 };

static void between(void *arg)
{
	struct rig *r = arg;

	if (r->tls && !r->hold_keys)
		keys_run(r->side.keys, 16);
}

/* Also where `until` is asked: it is called before the loop waits. */
static size_t between_waiting(const void *arg)
{
	struct rig *r = (struct rig *)(uintptr_t)arg;

	if (r->until != NULL && !r->held && r->until(r->until_arg)) {
		r->held = true;
		loop_stop(r->loop);
	}
	if (r->held)
		return 1;
	return r->tls && !r->hold_keys ? keys_waiting(r->side.keys) : 0;
}

static void tick_fired(evutil_socket_t fd, short what, void *arg)
{
	struct rig *r = arg;
	uint64_t times;

	(void)what;
	if (read(fd, &times, sizeof(times)) == sizeof(times))
		r->ticks++;
}

/* Neither the loop's wheel nor libevent's own clock knows a time as short. */
static void tick_every(struct rig *r, long ns)
{
	const struct itimerspec every = { .it_interval = { .tv_nsec = ns },
					  .it_value = { .tv_nsec = ns } };

	MUST(timerfd_settime(r->tick_fd, 0, &every, NULL) == 0);
}

static void guard_fired(struct timer *t)
{
	struct rig *r = (struct rig *)((char *)t - offsetof(struct rig, guard));

	r->over = true;
	loop_stop(r->loop);
}

void rig_init(struct rig *r, bool tls)
{
	struct conf_pool_tls client = { .verify = false, .min_version = TLS1_2_VERSION };
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct problems why;

	MUST(sigaction(SIGPIPE, &ignore, NULL) == 0); /* bare clients write as they like */
	*r = (struct rig){ .loop = loop_new(), .tls = tls, .guard = { .fire = guard_fired } };
	MUST(r->loop != NULL);
	r->tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	MUST(r->tick_fd >= 0);
	MUST(event_assign(&r->tick, r->loop->base, r->tick_fd, EV_READ | EV_PERSIST, tick_fired,
			  r) == 0);
	MUST(event_add(&r->tick, NULL) == 0);
	r->loop->between = between;
	r->loop->between_waiting = between_waiting;
	r->loop->between_arg = r;
	if (!tls)
		return;
	r->cert = make_cert(&(struct make_options){ .type = MAKE_P256, .san = "DNS:rig.example" });
	tls_side_init(&r->side, "rig");
	tls_side_add(&r->side, &r->cert, INDEX_KEY_ECDSA_P256, "rig.example");
	tls_side_start(&r->side, NULL);
	r->bare = tls_client();
	problems_init(&why);
	r->client = client_tls_new(&client, span_of(NULL, 0), "/pools/rig", &why);
	problems_fini(&why);
	MUST(r->client != NULL);
}

void rig_fini(struct rig *r)
{
	r->loop->between = NULL;
	loop_bury(r->loop);
	MUST(event_del(&r->tick) == 0 && close(r->tick_fd) == 0);
	if (r->tls) {
		client_tls_free(r->client);
		SSL_CTX_free(r->bare);
		tls_side_fini(&r->side);
		made_fini(&r->cert);
	}
	loop_free(r->loop);
}

static bool turn(struct rig *r, bool (*until)(void *arg), void *arg, int64_t within_ns)
{
	r->until = until;
	r->until_arg = arg;
	r->held = false;
	r->over = false;
	r->loop->now_ns = loop_clock_ns(); /* the test may have taken its time */
	if (until != NULL)
		tick_every(r, TICK_NS);
	loop_after(r->loop, &r->guard, within_ns);
	MUST(loop_run(r->loop));
	tick_every(r, 0);
	loop_cancel(r->loop, &r->guard);
	r->loop->stopping = false;
	r->until = NULL;
	return r->held;
}

bool rig_until(struct rig *r, bool (*until)(void *arg), void *arg)
{
	return turn(r, until, arg, GUARD_NS);
}

void rig_rest(struct rig *r, int64_t ms)
{
	(void)turn(r, NULL, NULL, ms * 1000000);
}

static bool has_settled(void *arg)
{
	return ((const struct rig *)arg)->ticks >= SETTLE_TICKS;
}

void rig_settle(struct rig *r)
{
	r->ticks = 0;
	MUST(rig_until(r, has_settled, r));
}

/* ---- owners ---- */

static void note(struct party *p, char event)
{
	size_t n = strlen(p->story);

	if (n > 0 && p->story[n - 1] == event)
		return;
	MUST(n + 1 < sizeof(p->story));
	p->story[n] = event;
}

static void tell(struct party *p, char event)
{
	note(p, event);
	if (p->then != NULL)
		p->then(p, event);
}

static void opened(void *owner)
{
	tell(owner, 'o');
}

static void data(void *owner, struct span bytes)
{
	struct party *p = owner;

	MUST(bytes.n > 0);
	if (p->num + bytes.n > p->room) {
		p->room = (p->num + bytes.n) * 2;
		MUST((p->bytes = realloc(p->bytes, p->room)) != NULL);
	}
	memcpy(p->bytes + p->num, bytes.p, bytes.n);
	p->num += bytes.n;
	p->num_data++;
	if (p->pause_at != 0 && p->num >= p->pause_at)
		link_pause(p->link);
	tell(p, 'd');
}

static void eof(void *owner)
{
	tell(owner, 'e');
}

static void drained(void *owner)
{
	tell(owner, 'r');
}

static void ended(void *owner, enum link_end why)
{
	struct party *p = owner;

	MUST(!p->ended);
	p->ended = true;
	p->why = why;
	tell(p, 'x');
}

static const struct link_events events = {
	.opened = opened,
	.data = data,
	.eof = eof,
	.drained = drained,
	.ended = ended,
};

void party_accept_within(struct party *p, int fd, int64_t timeout_ns)
{
	p->rig->loop->now_ns = loop_clock_ns();
	p->link = link_accept(p->rig->loop, fd, p->rig->tls ? p->rig->side.server : NULL,
			      timeout_ns, &events, p);
	MUST(p->link != NULL);
}

void party_accept(struct party *p, int fd)
{
	party_accept_within(p, fd, GUARD_NS);
}

void party_connect(struct party *p, const struct sockaddr *to, socklen_t len, bool tls)
{
	struct link_target target = {
		.addresses = { to },
		.lens = { len },
		.num = 1,
		.tls = tls ? p->rig->client : NULL,
		.name = "rig.example",
		.timeout_ns = GUARD_NS,
	};

	party_connect_within(p, &target);
}

void party_connect_within(struct party *p, const struct link_target *to)
{
	p->rig->loop->now_ns = loop_clock_ns();
	p->link = link_connect(p->rig->loop, to, &events, p);
	MUST(p->link != NULL);
}

void party_fini(struct party *p)
{
	link_close(p->link);
	p->link = NULL;
	free(p->bytes);
	p->bytes = NULL;
}

bool party_ended(void *p)
{
	return ((const struct party *)p)->ended;
}

bool party_open(void *p)
{
	return strchr(((const struct party *)p)->story, 'o') != NULL;
}

bool party_eof(void *p)
{
	return strchr(((const struct party *)p)->story, 'e') != NULL;
}

/* ---- sockets ---- */

int rig_listen(struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof(*at);

	*at = (struct sockaddr_in){ .sin_family = AF_INET };
	at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	MUST(fd >= 0 && bind(fd, (struct sockaddr *)at, sizeof(*at)) == 0 && listen(fd, 64) == 0 &&
	     getsockname(fd, (struct sockaddr *)at, &len) == 0);
	return fd;
}

void rig_join(int fds[2], bool small)
{
	int size = 16 << 10;
	int on = 1;
	struct sockaddr_in at;
	int listener = rig_listen(&at);

	if (small) /* before the handshake, so that the window is small as well */
		MUST(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) == 0);
	fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(fds[1] >= 0);
	if (small)
		MUST(setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) == 0 &&
		     setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0);
	MUST(connect(fds[1], (struct sockaddr *)&at, sizeof(at)) == 0);
	fds[0] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	MUST(fds[0] >= 0 && fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0 &&
	     setsockopt(fds[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0);
	if (small)
		MUST(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0);
	MUST(close(listener) == 0);
}

void rig_reset(int fd)
{
	struct linger now = { .l_onoff = 1 };

	MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) == 0 && close(fd) == 0);
}

static bool shaken(void *arg)
{
	SSL *ssl = arg;

	ERR_clear_error();
	return SSL_do_handshake(ssl) == 1;
}

SSL *rig_shake(struct rig *r, int fd)
{
	SSL *ssl = SSL_new(r->bare);

	MUST(ssl != NULL && SSL_set_fd(ssl, fd));
	SSL_set_connect_state(ssl);
	MUST(rig_until(r, shaken, ssl));
	return ssl;
}

char *rig_fill(size_t n)
{
	char *p = malloc(n + 1);
	uint32_t x = 1;

	MUST(p != NULL);
	for (size_t i = 0; i < n; i++) {
		x = x * 1664525 + 1013904223;
		p[i] = (char)(x >> 24);
	}
	return p;
}
