/* The clients of a bench run. One thread, one epoll; each slot opens a connection, does its unit
 * and, while units are left, opens the next. What the events of a turn lead to is sent together
 * when the turn ends: the proxy finds much to do, or nothing, and its cost does not depend on how
 * fast the clients are. So TLS goes through memory BIOs. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "certs/compat.h"
#include "tests/bench/load.h"

enum {
	EVENTS = 64,
	BUFFER_BYTES = 256 << 10,
	HEAD_MAX = 1024,
	PATIENCE_MS = 20000, /* without any event */
	CIPHER_AES_128_GCM = 0x1301,
	GROUP_X25519 = 29,
};

enum step { STEP_CONNECT, STEP_HANDSHAKE, STEP_RESPONSE, STEP_CLOSE, STEP_HELD };

struct bench {
	const struct load *what;
	int epoll;
	SSL_CTX *ctx;
	struct slot *slots;
	unsigned units; /* that may be started now */
	unsigned started, ended, resumed, resets;
	uint64_t bytes; /* of bodies */
	double paused;	/* seconds */
	bool failed;
	char request[256];
	size_t request_len;
	char *buffer;
	struct slot *touched;	  /* in this turn; the latest first */
	STAILQ_HEAD(, slot) held; /* kept, without a request; the longest first */
	bool is_open;		  /* all that are kept are there */
};

struct slot {
	struct bench *bench;
	struct slot *next_touched;
	STAILQ_ENTRY(slot) next_held;
	enum step step;
	bool is_touched;
	bool request_due; /* plain: to be sent */
	bool end_due;
	int fd;
	SSL *ssl;
	SSL_SESSION *session; /* the newest ticket, kept from unit to unit */
	uint64_t left;	      /* of the body */
	uint64_t got;
	size_t head_len;
	char head[HEAD_MAX];
};

static void failed(struct slot *s, const char *what)
{
	static const char *const steps[] = {
		[STEP_CONNECT] = "connecting",
		[STEP_HANDSHAKE] = "in the handshake",
		[STEP_RESPONSE] = "waiting for the response",
		[STEP_CLOSE] = "closing",
		[STEP_HELD] = "held",
	};

	if (!s->bench->failed)
		(void)fprintf(stderr, "bench_load: port %u: unit %u, %s: %s\n",
			      s->bench->what->port, s->bench->started, steps[s->step], what);
	s->bench->failed = true;
}

/* ---- one connection ---- */

static enum ssl_verify_result_t trust(SSL *ssl, uint8_t *alert)
{
	(void)ssl;
	(void)alert;
	return ssl_verify_ok;
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct slot *s = SSL_get_app_data(ssl);

	SSL_SESSION_free(s->session);
	s->session = session;
	return 1; /* it is ours now */
}

static SSL_CTX *context(const struct load *what)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_with_buffers_method());

	if (ctx == NULL)
		return NULL;
	SSL_CTX_set_custom_verify(ctx, SSL_VERIFY_PEER, trust);
	if (!SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
	    !SSL_CTX_set1_curves_list(ctx, "X25519")) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	if (what->kind == LOAD_RESUMED) {
		(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT |
								  SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(ctx, keep_session);
	}
	return ctx;
}

static bool add_tls(struct slot *s)
{
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

	s->ssl = SSL_new(s->bench->ctx);
	if (s->ssl == NULL || in == NULL || out == NULL) {
		BIO_free(in);
		BIO_free(out);
		return false;
	}
	(void)BIO_set_mem_eof_return(in, -1);
	SSL_set_bio(s->ssl, in, out);
	SSL_set_app_data(s->ssl, s);
	SSL_set_connect_state(s->ssl);
	return SSL_set_tlsext_host_name(s->ssl, "bench.test") &&
	       (s->session == NULL || SSL_set_session(s->ssl, s->session));
}

static void touch(struct slot *s)
{
	struct bench *b = s->bench;

	if (s->is_touched)
		return;
	s->is_touched = true;
	s->next_touched = b->touched;
	b->touched = s;
}

/* Whether the proxies do the same work. */
static void check_agreed(struct slot *s)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(s->ssl);

	if (SSL_version(s->ssl) != TLS1_3_VERSION ||
	    SSL_CIPHER_get_protocol_id(cipher) != CIPHER_AES_128_GCM ||
	    compat_ssl_group_id(s->ssl) != GROUP_X25519)
		failed(s, "not TLS 1.3 with AES-128-GCM and X25519");
	if (SSL_session_reused(s->ssl))
		s->bench->resumed++;
	else if (s->session != NULL)
		failed(s, "the ticket was not taken");
}

static void request(struct slot *s)
{
	struct bench *b = s->bench;

	s->step = STEP_RESPONSE;
	s->head_len = 0;
	s->got = 0;
	s->left = 0;
	touch(s);
	if (s->ssl == NULL)
		s->request_due = true;
	else if (SSL_write(s->ssl, b->request, (int)b->request_len) != (int)b->request_len)
		failed(s, "SSL_write");
}

static void handshake(struct slot *s)
{
	char why[256] = "";
	int r = SSL_do_handshake(s->ssl);

	if (r == 1) {
		check_agreed(s);
		request(s);
	} else if (SSL_get_error(s->ssl, r) != SSL_ERROR_WANT_READ) {
		ERR_error_string_n(ERR_get_error(), why, sizeof(why));
		failed(s, why);
	}
}

/* Makes what the connection begins with; it is opened when the turn ends. */
static void start(struct slot *s)
{
	struct bench *b = s->bench;

	if (b->started == b->units || b->failed)
		return;
	b->started++;
	s->step = STEP_CONNECT;
	touch(s);
	if (b->what->plain)
		return;
	if (!add_tls(s))
		failed(s, "out of memory");
	else
		handshake(s);
}

static void end_unit(struct slot *s)
{
	(void)close(s->fd);
	s->fd = -1;
	SSL_free(s->ssl);
	s->ssl = NULL;
	s->bench->ended++;
	if (s->bench->what->pause_ms > 0) {
		(void)poll(NULL, 0, (int)s->bench->what->pause_ms);
		s->bench->paused += s->bench->what->pause_ms / 1e3;
	}
	start(s);
}

/* ---- the end of a turn ---- */

static bool send_all(struct slot *s, const void *p, size_t n)
{
	/* A few hundred bytes always fit. */
	if (n == 0 || send(s->fd, p, n, 0) == (ssize_t)n)
		return true;
	failed(s, strerror(errno));
	return false;
}

static bool send_due(struct slot *s)
{
	const uint8_t *p;
	size_t n;

	if (s->request_due) {
		s->request_due = false;
		return send_all(s, s->bench->request, s->bench->request_len);
	}
	if (s->ssl == NULL)
		return true;
	if (!BIO_mem_contents(SSL_get_wbio(s->ssl), &p, &n) || !send_all(s, p, n))
		return false;
	(void)BIO_reset(SSL_get_wbio(s->ssl));
	return true;
}

/* On loopback the connection is there when connect returns, unless the backlog is full. */
static void open_connection(struct slot *s)
{
	struct bench *b = s->bench;
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(b->what->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || !load_tune_fd(s->fd, b->what->segment) ||
	    connect(s->fd, (const struct sockaddr *)&to, sizeof(to)) != 0 ||
	    fcntl(s->fd, F_SETFL, O_NONBLOCK) != 0 || !load_add_fd(b->epoll, s->fd, EPOLLIN, s)) {
		failed(s, strerror(errno));
		return;
	}
	s->step = STEP_HANDSHAKE;
	if (s->ssl == NULL)
		request(s);
}

static void act(struct slot *s)
{
	if (s->step == STEP_CONNECT)
		open_connection(s);
	if (s->bench->failed || !send_due(s))
		return;
	if (s->end_due && shutdown(s->fd, SHUT_WR) != 0)
		failed(s, strerror(errno));
	s->end_due = false;
}

static void end_turn(struct bench *b)
{
	struct slot *s;

	while ((s = b->touched) != NULL && !b->failed) {
		b->touched = s->next_touched;
		s->is_touched = false;
		act(s);
	}
}

/* ---- the response ---- */

/* Has the connection that has rested longest ask. */
static void ask_next(struct bench *b)
{
	struct slot *s = STAILQ_FIRST(&b->held);

	if (s == NULL || b->started == b->units)
		return;
	STAILQ_REMOVE_HEAD(&b->held, next_held);
	b->started++;
	request(s);
}

static void rest(struct slot *s)
{
	struct bench *b = s->bench;

	s->step = STEP_HELD;
	b->ended++;
	STAILQ_INSERT_TAIL(&b->held, s, next_held);
	if (b->is_open)
		ask_next(b);
	else if (b->started < b->units)
		start(&b->slots[b->started]); /* one for each connection */
}

static void response_complete(struct slot *s)
{
	s->bench->bytes += s->got;
	if (s->bench->what->kind == LOAD_IDLE || s->bench->what->kind == LOAD_KEPT) {
		rest(s);
		return;
	}
	s->step = STEP_CLOSE;
	s->end_due = true;
	if (s->ssl != NULL)
		(void)SSL_shutdown(s->ssl);
}

/* Takes the head to pieces. False: it is not complete, or wrong. */
static bool read_head(struct slot *s, const char **p, size_t *n)
{
	size_t add = *n < HEAD_MAX - 1 - s->head_len ? *n : HEAD_MAX - 1 - s->head_len;
	size_t before = s->head_len;
	const char *end, *length;

	memcpy(s->head + before, *p, add);
	s->head_len += add;
	s->head[s->head_len] = '\0';
	if ((end = strstr(s->head, "\r\n\r\n")) == NULL) {
		if (s->head_len == HEAD_MAX - 1)
			failed(s, "no head");
		return false;
	}
	length = strcasestr(s->head, "\r\nContent-Length: ");
	if (length == NULL || strncmp(s->head, "HTTP/1.1 200 ", 13) != 0) {
		failed(s, "not the backend's response");
		return false;
	}
	s->left = strtoull(length + 18, NULL, 10);
	add = (size_t)(end + 4 - s->head) - before;
	*p += add;
	*n -= add;
	s->head_len = HEAD_MAX; /* done */
	return true;
}

static void response(struct slot *s, const char *p, size_t n)
{
	if (s->head_len < HEAD_MAX && !read_head(s, &p, &n))
		return;
	if (n > s->left) {
		failed(s, "more than the response");
		return;
	}
	s->left -= n;
	s->got += n;
	if (s->left == 0)
		response_complete(s);
}

static void read_tls(struct slot *s, size_t n)
{
	char *plain = s->bench->buffer + BUFFER_BYTES;
	int r;

	if (BIO_write(SSL_get_rbio(s->ssl), s->bench->buffer, (int)n) != (int)n) {
		failed(s, "out of memory");
		return;
	}
	if (s->step == STEP_HANDSHAKE)
		handshake(s);
	while (s->step == STEP_RESPONSE && !s->bench->failed &&
	       (r = SSL_read(s->ssl, plain, BUFFER_BYTES)) != 0) {
		if (r > 0)
			response(s, plain, (size_t)r);
		else if (SSL_get_error(s->ssl, r) == SSL_ERROR_WANT_READ)
			return;
		else
			failed(s, "SSL_read");
	}
}

/* The peer has closed. */
static void ended(struct slot *s, ssize_t r)
{
	if (s->step != STEP_CLOSE) {
		failed(s, r == 0 ? "closed" : strerror(errno));
		return;
	}
	if (r < 0)
		s->bench->resets++;
	end_unit(s);
}

static void readable(struct slot *s)
{
	struct bench *b = s->bench;
	ssize_t n = recv(s->fd, b->buffer, BUFFER_BYTES, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	touch(s);
	if (n <= 0)
		ended(s, n);
	else if (s->step == STEP_HELD)
		failed(s, "input while idle");
	else if (s->step == STEP_CLOSE)
		return; /* close_notify */
	else if (s->ssl != NULL)
		read_tls(s, (size_t)n);
	else
		response(s, b->buffer, (size_t)n);
}

/* ---- all of them ---- */

static double now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* One wait and what came of it. False: nothing came in time. */
static bool turn(struct bench *b, int timeout_ms)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(b->epoll, events, EVENTS, timeout_ms);

	for (int i = 0; i < n && !b->failed; i++)
		readable(events[i].data.ptr);
	end_turn(b);
	return n != 0;
}

static void report(const struct bench *b, double seconds)
{
	(void)printf("{\"units\": %u, \"resumed\": %u, \"resets\": %u, \"bytes\": %llu, "
		     "\"seconds\": %.6f}\n",
		     b->ended, b->resumed, b->resets, (unsigned long long)b->bytes,
		     seconds - b->paused);
	(void)fflush(stdout);
}

/* Holds what is open until standard input ends. */
static void hold(struct bench *b)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	while (!b->failed && turn(b, 0))
		;
}

/* Works until `units` have ended. */
static void work(struct bench *b, unsigned units)
{
	double end = b->what->seconds > 0 ? now() + b->what->seconds : 0;

	while (!b->failed && b->ended < units && (end == 0 || b->ended < b->started)) {
		if (end > 0 && now() > end)
			b->units = b->started;
		if (turn(b, PATIENCE_MS))
			continue;
		(void)fprintf(stderr, "bench_load: port %u: %u of %u units, then silence\n",
			      b->what->port, b->ended, units);
		b->failed = true;
	}
}

/* After the connections, the requests: begins when a byte has come to standard input. */
static double begin_kept(struct bench *b)
{
	char byte;
	double began;

	if (read(STDIN_FILENO, &byte, 1) != 1) {
		(void)fputs("bench_load: not told to begin\n", stderr);
		b->failed = true;
	}
	b->is_open = true;
	b->units = b->what->units;
	b->started = b->ended = 0;
	b->bytes = 0;
	for (unsigned i = b->what->asking; i < b->what->open && !b->failed; i++)
		STAILQ_REMOVE_HEAD(&b->held, next_held);
	began = now();
	for (unsigned i = 0; !b->failed && i < b->what->concurrency; i++)
		ask_next(b);
	end_turn(b);
	work(b, b->units);
	return began;
}

/* One unit alone brings the first ticket for everybody. */
static void fetch_ticket(struct bench *b)
{
	unsigned units = b->units;

	b->units = 1;
	start(&b->slots[0]);
	end_turn(b);
	work(b, 1);
	b->units = units;
	for (unsigned i = 1; !b->failed && i < b->what->concurrency; i++) {
		if (b->slots[0].session == NULL)
			failed(&b->slots[0], "no ticket came");
		else if (SSL_SESSION_up_ref(b->slots[0].session))
			b->slots[i].session = b->slots[0].session;
	}
}

static void run(struct bench *b)
{
	double began;

	if (b->what->kind == LOAD_RESUMED)
		fetch_ticket(b);
	began = now();
	for (unsigned i = 0; i < b->what->concurrency; i++)
		start(&b->slots[i]);
	end_turn(b);
	work(b, b->units);
	if (!b->failed)
		report(b, now() - began);
	if (!b->failed && b->what->kind == LOAD_KEPT) {
		began = begin_kept(b);
		if (!b->failed)
			report(b, now() - began);
	}
	if (!b->failed && (b->what->kind == LOAD_IDLE || b->what->kind == LOAD_KEPT))
		hold(b);
}

bool load_clients(const struct load *what)
{
	struct bench b = {
		.what = what,
		.units = what->kind == LOAD_KEPT ? what->open : what->units,
		.epoll = epoll_create1(EPOLL_CLOEXEC),
		.held = STAILQ_HEAD_INITIALIZER(b.held),
	};
	size_t num = what->kind == LOAD_IDLE || what->kind == LOAD_KEPT ? b.units : 0;

	if (num < what->concurrency)
		num = what->concurrency;
	b.slots = calloc(num, sizeof(*b.slots));
	b.buffer = malloc(2 * BUFFER_BYTES);
	b.ctx = context(what);
	if (b.epoll < 0 || b.slots == NULL || b.buffer == NULL || b.ctx == NULL) {
		(void)fputs("bench_load: cannot start\n", stderr);
		b.failed = true;
	} else {
		b.request_len = (size_t)snprintf(b.request, sizeof(b.request),
						 "GET /%llu HTTP/1.1\r\nHost: bench.test\r\n"
						 "User-Agent: bench_load\r\nAccept: */*\r\n\r\n",
						 (unsigned long long)what->body);
		for (size_t i = 0; i < num; i++)
			b.slots[i] = (struct slot){ .bench = &b, .fd = -1 };
		run(&b);
	}
	for (size_t i = 0; b.slots != NULL && i < num; i++) {
		SSL_SESSION_free(b.slots[i].session);
		SSL_free(b.slots[i].ssl);
	}
	free(b.slots);
	free(b.buffer);
	SSL_CTX_free(b.ctx);
	return !b.failed;
}
