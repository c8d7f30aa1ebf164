/* TLS links against bare clients and against each other: both roles, how streams end, sizes of
 * records, signatures that take their time. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/net/link.h"
#include "tests/support/rig.h"

/* A server link whose peer is a bare TLS client. */
struct one {
	struct rig rig;
	struct party p;
	int peer;
	SSL *ssl;
	const char *early; /* for shake_with_early */
	bool then_close;
	BIO *in, *out; /* for one_byte */
	bool said;
};

static void one_begin(struct one *o, bool small)
{
	int fds[2];

	*o = (struct one){ .peer = -1 };
	rig_init(&o->rig, true);
	o->p = (struct party){ .rig = &o->rig };
	rig_join(fds, small);
	o->peer = fds[1];
	party_accept(&o->p, fds[0]);
}

static void one_init(struct one *o, bool small)
{
	one_begin(o, small);
	o->ssl = rig_shake(&o->rig, o->peer);
	cr_assert(rig_until(&o->rig, party_open, &o->p));
}

static void one_fini(struct one *o)
{
	party_fini(&o->p);
	SSL_free(o->ssl);
	if (o->peer >= 0)
		(void)close(o->peer);
	rig_rest(&o->rig, 40);
	rig_fini(&o->rig);
}

static void say(SSL *ssl, const char *text)
{
	cr_assert_eq(SSL_write(ssl, text, (int)strlen(text)), (int)strlen(text));
}

static bool heard(const struct party *p, const char *text)
{
	return p->num == strlen(text) && (p->num == 0 || memcmp(p->bytes, text, p->num) == 0);
}

/* What a bare client reads. */
struct reading {
	SSL *ssl;
	const char *expected; /* NULL: anything */
	size_t at, n;
	int error; /* SSL_get_error, once reading ends */
};

static bool read_on(void *arg)
{
	struct reading *r = arg;
	char buf[17000];

	for (;;) {
		int n;

		ERR_clear_error();
		n = SSL_read(r->ssl, buf, sizeof(buf));
		if (n <= 0) {
			r->error = SSL_get_error(r->ssl, n);
			return r->error != SSL_ERROR_WANT_READ;
		}
		cr_assert_leq(r->at + (size_t)n, r->n);
		if (r->expected != NULL)
			cr_assert_eq(memcmp(buf, r->expected + r->at, (size_t)n), 0);
		r->at += (size_t)n;
	}
}

static bool read_all(void *arg)
{
	struct reading *r = arg;

	(void)read_on(r);
	return r->at == r->n;
}

static bool got_some(void *p)
{
	return ((struct party *)p)->num > 0;
}

static bool got_hello(void *p)
{
	return ((struct party *)p)->num >= 5;
}

Test(link_tls, both_versions_shake_hands_and_carry_bytes)
{
	static const uint16_t versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	for (size_t i = 0; i < 2; i++) {
		struct link_facts facts;
		struct reading reading;
		struct one o;

		one_begin(&o, false);
		cr_assert(SSL_CTX_set_max_proto_version(o.rig.bare, versions[i]));
		o.ssl = rig_shake(&o.rig, o.peer);
		cr_assert(rig_until(&o.rig, party_open, &o.p));
		say(o.ssl, "hello");
		cr_assert(rig_until(&o.rig, got_hello, &o.p));
		cr_assert(heard(&o.p, "hello"));
		cr_assert(link_write(o.p.link, span_str("world")));
		reading = (struct reading){ .ssl = o.ssl, .expected = "world", .n = 5 };
		cr_assert(rig_until(&o.rig, read_all, &reading));
		link_facts(o.p.link, &facts);
		cr_assert_eq(facts.tls_version, versions[i]);
		cr_assert_eq(facts.group, SSL_CURVE_X25519);
		cr_assert_neq(facts.cipher, 0);
		cr_assert_gt(facts.handshake_ns, 0);
		cr_assert_eq(facts.bytes_received, 5u);
		cr_assert_eq(facts.bytes_sent, 5u);
		cr_assert_str_eq(o.p.story, "od");
		one_fini(&o);
	}
}

static bool got_fin(void *fd)
{
	return recv(*(const int *)fd, &(char){ 0 }, 1, 0) == 0;
}

Test(link_tls, end_sends_close_notify_then_fin_and_reading_goes_on)
{
	struct reading reading;
	struct one o;

	one_init(&o, false);
	(void)link_write(o.p.link, span_str("bye"));
	link_end(o.p.link);
	reading = (struct reading){ .ssl = o.ssl, .expected = "bye", .n = 3 };
	cr_assert(rig_until(&o.rig, read_on, &reading));
	cr_assert_eq(reading.error, SSL_ERROR_ZERO_RETURN);
	cr_assert_eq(reading.at, 3u);
	cr_assert(rig_until(&o.rig, got_fin, &o.peer));
	say(o.ssl, "late");
	cr_assert(rig_until(&o.rig, got_some, &o.p));
	cr_assert(heard(&o.p, "late"));
	(void)SSL_shutdown(o.ssl);
	cr_assert(rig_until(&o.rig, party_ended, &o.p));
	cr_assert_str_eq(o.p.story, "odex");
	cr_assert_eq(o.p.why, LINK_END_CLOSED);
	one_fini(&o);
}

Test(link_tls, close_notify_is_eof_and_writing_goes_on)
{
	struct reading reading;
	struct one o;

	one_init(&o, false);
	say(o.ssl, "all");
	(void)SSL_shutdown(o.ssl);
	cr_assert(rig_until(&o.rig, party_eof, &o.p));
	cr_assert_str_eq(o.p.story, "ode");
	(void)link_write(o.p.link, span_str("answer"));
	link_end(o.p.link);
	cr_assert(rig_until(&o.rig, party_ended, &o.p));
	cr_assert_eq(o.p.why, LINK_END_CLOSED);
	reading = (struct reading){ .ssl = o.ssl, .expected = "answer", .n = 6 };
	cr_assert(rig_until(&o.rig, read_on, &reading));
	cr_assert_eq(reading.at, 6u);
	cr_assert_eq(reading.error, SSL_ERROR_ZERO_RETURN);
	one_fini(&o);
}

Test(link_tls, fin_without_close_notify_is_never_eof)
{
	struct one o;

	one_init(&o, false);
	say(o.ssl, "cut");
	(void)close(o.peer);
	o.peer = -1;
	cr_assert(rig_until(&o.rig, party_ended, &o.p));
	cr_assert_str_eq(o.p.story, "odx");
	cr_assert(heard(&o.p, "cut"));
	cr_assert_eq(o.p.why, LINK_END_TRUNCATED);
	one_fini(&o);
}

Test(link_tls, fin_within_a_record_is_never_eof)
{
	struct one o;

	one_init(&o, false);
	cr_assert_eq(send(o.peer, "\x17\x03\x03\x01\x00half", 9, 0), 9);
	(void)close(o.peer);
	o.peer = -1;
	cr_assert(rig_until(&o.rig, party_ended, &o.p));
	cr_assert_str_eq(o.p.story, "ox");
	cr_assert_eq(o.p.why, LINK_END_TRUNCATED);
	one_fini(&o);
}

Test(link_tls, data_and_reset_in_the_same_instant_gives_both)
{
	struct one o;

	one_init(&o, false);
	rig_rest(&o.rig, 1);
	say(o.ssl, "partial");
	rig_reset(o.peer);
	o.peer = -1;
	cr_assert(rig_until(&o.rig, party_ended, &o.p));
	cr_assert_str_eq(o.p.story, "odx");
	cr_assert_eq(o.p.why, LINK_END_RESET);
	one_fini(&o);
}

Test(link_tls, a_damaged_record_ends_the_link_after_what_was_whole)
{
	struct reading reading;
	const char *words;
	struct one o;

	one_init(&o, false);
	say(o.ssl, "whole");
	cr_assert_eq(send(o.peer,
			  "\x17\x03\x03\x00\x20"
			  "0123456789abcdef0123456789abcdef",
			  37, 0),
		     37);
	cr_assert(rig_until(&o.rig, party_ended, &o.p));
	cr_assert_str_eq(o.p.story, "odx");
	cr_assert(heard(&o.p, "whole"));
	cr_assert_eq(o.p.why, LINK_END_TLS);
	cr_assert_eq(link_reason(o.p.link, &words), TLS_REASON_BAD_RECORD, "%s", words);
	cr_assert_gt(strlen(words), 5);
	link_abort(o.p.link);
	o.p.link = NULL;
	reading = (struct reading){ .ssl = o.ssl };
	cr_assert(rig_until(&o.rig, read_on, &reading));
	cr_assert_eq(ERR_GET_REASON(ERR_peek_error()), SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
	one_fini(&o);
}

static void echo(struct party *p, char event)
{
	if (event == 'd')
		(void)link_write(p->link, span_of(p->bytes, p->num));
}

/* The library has said its alert by then and takes no more output: no reason to fall over. */
Test(link_tls, an_owner_may_write_while_a_damaged_record_is_under_way)
{
	struct one o;

	one_init(&o, false);
	o.p.then = echo;
	say(o.ssl, "whole");
	cr_assert_eq(send(o.peer,
			  "\x17\x03\x03\x00\x20"
			  "0123456789abcdef0123456789abcdef",
			  37, 0),
		     37);
	cr_assert(rig_until(&o.rig, party_ended, &o.p));
	cr_assert_eq(o.p.why, LINK_END_TLS);
	one_fini(&o);
}

Test(link_tls, abort_is_a_fatal_alert_and_no_close_notify)
{
	struct reading reading;
	struct one o;

	one_init(&o, false);
	(void)link_write(o.p.link, span_str("half"));
	link_abort(o.p.link);
	o.p.link = NULL;
	reading = (struct reading){ .ssl = o.ssl, .expected = "half", .n = 4 };
	cr_assert(rig_until(&o.rig, read_on, &reading));
	cr_assert_eq(reading.at, 4u);
	cr_assert_eq(reading.error, SSL_ERROR_SSL);
	cr_assert_eq(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_INTERNAL_ERROR);
	one_fini(&o);
}

/* ---- handshakes that fail */

static bool keep_saying(void *arg)
{
	struct one *o = arg;

	(void)send(o->peer, "more of the same", 16, MSG_NOSIGNAL);
	return o->p.ended;
}

Test(link_tls, alert_of_a_failed_handshake_comes_before_fin_while_the_peer_still_sends)
{
	unsigned char alert[16];
	ssize_t n;
	const char *words;
	struct one o;

	one_begin(&o, false);
	cr_assert_eq(send(o.peer, "\x16\x03\x01\x00\x04\x63\x00\x00\x00", 9, 0), 9);
	cr_assert(rig_until(&o.rig, keep_saying, &o));
	cr_assert_eq(o.p.why, LINK_END_TLS);
	cr_assert_str_eq(o.p.story, "x");
	cr_assert_eq(link_reason(o.p.link, &words), TLS_REASON_PROTOCOL, "%s", words);
	link_close(o.p.link);
	o.p.link = NULL;
	for (int i = 0; i < 5; i++) {
		(void)send(o.peer, "more", 4, MSG_NOSIGNAL);
		rig_rest(&o.rig, 5);
	}
	n = recv(o.peer, alert, sizeof(alert), 0);
	cr_assert_eq(n, 7, "%zd %s", n, strerror(errno));
	cr_assert_eq(alert[0], SSL3_RT_ALERT);
	cr_assert_eq(alert[5], SSL3_AL_FATAL);
	cr_assert_eq(recv(o.peer, alert, sizeof(alert), 0), 0, "then FIN");
	one_fini(&o);
}

Test(link_tls, plain_http_is_called_by_its_name)
{
	const char *words;
	struct one o;

	one_begin(&o, false);
	cr_assert_eq(send(o.peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, 0), 27);
	cr_assert(rig_until(&o.rig, party_ended, &o.p));
	cr_assert_eq(o.p.why, LINK_END_TLS);
	cr_assert_eq(link_reason(o.p.link, &words), TLS_REASON_HTTP_REQUEST);
	one_fini(&o);
}

Test(link_tls, an_old_version_is_refused_by_name)
{
	struct reading reading;
	const char *words;
	struct one o;

	one_begin(&o, false);
	cr_assert(SSL_CTX_set_min_proto_version(o.rig.bare, TLS1_VERSION) &&
		  SSL_CTX_set_max_proto_version(o.rig.bare, TLS1_1_VERSION));
	o.ssl = SSL_new(o.rig.bare);
	cr_assert(SSL_set_fd(o.ssl, o.peer));
	SSL_set_connect_state(o.ssl);
	reading = (struct reading){ .ssl = o.ssl };
	cr_assert(rig_until(&o.rig, read_on, &reading));
	cr_assert_eq(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
	cr_assert(rig_until(&o.rig, party_ended, &o.p));
	cr_assert_eq(link_reason(o.p.link, &words), TLS_REASON_VERSION);
	one_fini(&o);
}

Test(link_tls, a_peer_that_goes_within_the_handshake_is_gone)
{
	struct one o;

	one_begin(&o, false);
	cr_assert_eq(send(o.peer, "\x16\x03\x01\x02\x00\x01", 6, 0), 6);
	rig_rest(&o.rig, 25);
	cr_assert_str_eq(o.p.story, "");
	(void)close(o.peer);
	o.peer = -1;
	cr_assert(rig_until(&o.rig, party_ended, &o.p));
	cr_assert_eq(o.p.why, LINK_END_GONE);
	one_fini(&o);
}

Test(link_tls, a_silent_peer_is_timed_out)
{
	struct party p;
	struct rig r;
	int fds[2];
	int64_t began;

	rig_init(&r, true);
	p = (struct party){ .rig = &r };
	rig_join(fds, false);
	began = loop_clock_ns();
	party_accept_within(&p, fds[0], 60000000);
	cr_assert(rig_until(&r, party_ended, &p));
	cr_assert_eq(p.why, LINK_END_TIMEOUT);
	cr_assert_geq(loop_clock_ns() - began, 60000000);
	cr_assert_leq(loop_clock_ns() - began, 300000000);
	party_fini(&p);
	(void)close(fds[1]);
	rig_rest(&r, 25);
	rig_fini(&r);
}

/* ---- signatures */

static bool waits_for_key(void *arg)
{
	struct rig *r = arg;

	return keys_waiting(r->side.keys) > 0;
}

static bool client_hello(void *arg)
{
	struct one *o = arg;

	(void)SSL_do_handshake(o->ssl);
	return keys_waiting(o->rig.side.keys) > 0;
}

/* Takes a handshake as far as the server's signature. */
static void wait_for_key(struct one *o)
{
	one_begin(o, false);
	o->rig.hold_keys = true;
	o->ssl = SSL_new(o->rig.bare);
	cr_assert(SSL_set_fd(o->ssl, o->peer));
	SSL_set_connect_state(o->ssl);
	cr_assert(rig_until(&o->rig, client_hello, o));
	cr_assert(waits_for_key(&o->rig));
	rig_rest(&o->rig, 25);
	cr_assert_str_eq(o->p.story, "");
	cr_assert_lt(recv(o->peer, &(char){ 0 }, 1, MSG_PEEK), 0, "nothing is sent yet");
}

static bool shaken(void *arg)
{
	return SSL_do_handshake(arg) == 1;
}

Test(link_tls, a_signature_lets_the_handshake_go_on_without_input)
{
	struct one o;

	wait_for_key(&o);
	o.rig.hold_keys = false;
	rig_rest(&o.rig, 25);
	cr_assert_gt(recv(o.peer, &(char){ 0 }, 1, MSG_PEEK), 0, "the server's flight is there");
	cr_assert(rig_until(&o.rig, shaken, o.ssl));
	cr_assert(rig_until(&o.rig, party_open, &o.p));
	one_fini(&o);
}

Test(link_tls, a_link_may_be_closed_while_its_signature_is_awaited)
{
	struct one o;

	wait_for_key(&o);
	link_close(o.p.link);
	o.p.link = NULL;
	cr_assert_eq(keys_waiting(o.rig.side.keys), 0u);
	o.rig.hold_keys = false;
	one_fini(&o);
}

Test(link_tls, a_peer_that_goes_while_a_signature_is_awaited_is_gone)
{
	struct one o;

	wait_for_key(&o);
	(void)close(o.peer);
	o.peer = -1;
	rig_rest(&o.rig, 25);
	o.rig.hold_keys = false;
	cr_assert(rig_until(&o.rig, party_ended, &o.p));
	cr_assert_eq(o.p.why, LINK_END_GONE);
	one_fini(&o);
}

Test(link_tls, a_signature_that_never_comes_runs_into_the_time_limit)
{
	struct one o = { 0 };
	int fds[2];

	rig_init(&o.rig, true);
	o.p.rig = &o.rig;
	o.rig.hold_keys = true;
	rig_join(fds, false);
	o.peer = fds[1];
	party_accept_within(&o.p, fds[0], 80000000);
	o.ssl = SSL_new(o.rig.bare);
	cr_assert(SSL_set_fd(o.ssl, o.peer));
	SSL_set_connect_state(o.ssl);
	cr_assert(rig_until(&o.rig, client_hello, &o));
	cr_assert(rig_until(&o.rig, party_ended, &o.p));
	cr_assert_eq(o.p.why, LINK_END_TIMEOUT);
	one_fini(&o);
}

/* ---- flow */

/* The client's last flight and what it says then arrive together. */
static bool shaken_said(void *arg)
{
	struct one *o = arg;

	if (SSL_do_handshake(o->ssl) != 1)
		return false;
	say(o->ssl, o->early);
	if (o->then_close) {
		(void)SSL_shutdown(o->ssl);
		(void)close(o->peer);
		o->peer = -1;
	}
	return true;
}

static void shake_with_early(struct one *o)
{
	o->ssl = SSL_new(o->rig.bare);
	cr_assert(SSL_set_fd(o->ssl, o->peer));
	SSL_set_connect_state(o->ssl);
	cr_assert(rig_until(&o->rig, shaken_said, o));
}

static void pause_when_open(struct party *p, char event)
{
	if (event == 'o')
		link_pause(p->link);
}

Test(link_tls, input_that_came_with_the_handshake_is_held_while_paused)
{
	struct one o;

	one_begin(&o, false);
	o.p.then = pause_when_open;
	o.early = "early";
	shake_with_early(&o);
	cr_assert(rig_until(&o.rig, party_open, &o.p));
	rig_rest(&o.rig, 25);
	cr_assert_str_eq(o.p.story, "o");
	link_resume(o.p.link);
	cr_assert(rig_until(&o.rig, got_hello, &o.p));
	cr_assert(heard(&o.p, "early"));
	one_fini(&o);
}

Test(link_tls, eof_behind_held_input_waits_for_resume)
{
	struct one o;

	one_begin(&o, false);
	o.p.then = pause_when_open;
	o.early = "early";
	o.then_close = true;
	shake_with_early(&o);
	rig_rest(&o.rig, 45);
	cr_assert_str_eq(o.p.story, "o");
	link_resume(o.p.link);
	cr_assert(rig_until(&o.rig, party_eof, &o.p));
	cr_assert(heard(&o.p, "early"));
	one_fini(&o);
}

/* A bare client that sends a pattern in records of changing size. */
struct sending {
	SSL *ssl;
	const char *bytes;
	size_t at, n;
	size_t record;
	struct party *to;
};

static bool send_on(void *arg)
{
	struct sending *s = arg;

	while (s->at < s->n) {
		size_t n = s->record < s->n - s->at ? s->record : s->n - s->at;
		int r;

		ERR_clear_error();
		r = SSL_write(s->ssl, s->bytes + s->at, (int)n);
		if (r <= 0)
			return false;
		s->at += (size_t)r;
	}
	return s->to->num == s->n;
}

Test(link_tls, many_tiny_records_lose_nothing)
{
	enum { MUCH = 20000 };
	char *bytes = rig_fill(MUCH);
	struct sending sending;
	struct one o;

	one_init(&o, false);
	sending = (struct sending){ o.ssl, bytes, 0, MUCH, 1, &o.p };
	cr_assert(rig_until(&o.rig, send_on, &sending));
	cr_assert_eq(memcmp(o.p.bytes, bytes, MUCH), 0);
	cr_assert_lt(o.p.num_data, MUCH / 10, "records that came together are told together");
	free(bytes);
	one_fini(&o);
}

static void resume_later(struct party *p, char event)
{
	if (event == 'd')
		link_pause(p->link);
}

static bool send_and_resume(void *arg)
{
	struct sending *s = arg;

	link_resume(s->to->link);
	return send_on(s);
}

Test(link_tls, pausing_at_each_data_loses_nothing)
{
	enum { MUCH = 3 << 20 };
	char *bytes = rig_fill(MUCH);
	struct sending sending;
	struct one o;

	one_init(&o, false);
	o.p.then = resume_later;
	sending = (struct sending){ o.ssl, bytes, 0, MUCH, 16384, &o.p };
	cr_assert(rig_until(&o.rig, send_and_resume, &sending));
	cr_assert_eq(memcmp(o.p.bytes, bytes, MUCH), 0);
	free(bytes);
	one_fini(&o);
}

/* Carries one byte from the client a turn. */
static bool one_byte(void *arg)
{
	struct one *o = arg;
	char buf[16384];
	ssize_t n;

	while ((n = recv(o->peer, buf, sizeof(buf), 0)) > 0)
		cr_assert_eq(BIO_write(o->in, buf, (int)n), (int)n);
	if (SSL_do_handshake(o->ssl) == 1 && !o->said) {
		say(o->ssl, "hello");
		o->said = true;
	}
	if (BIO_read(o->out, buf, 1) == 1)
		cr_assert_eq(send(o->peer, buf, 1, 0), 1);
	return o->p.num >= 5;
}

Test(link_tls, bytes_one_by_one_are_a_handshake_and_records_too)
{
	struct one o;

	one_begin(&o, false);
	o.in = BIO_new(BIO_s_mem());
	o.out = BIO_new(BIO_s_mem());
	o.ssl = SSL_new(o.rig.bare);
	SSL_set_bio(o.ssl, o.in, o.out);
	SSL_set_connect_state(o.ssl);
	(void)BIO_set_mem_eof_return(o.in, -1);
	cr_assert(rig_until(&o.rig, one_byte, &o));
	cr_assert(heard(&o.p, "hello"));
	one_fini(&o);
}

Test(link_tls, write_says_stop_at_high_water_and_drained_at_low)
{
	enum { PIECE = 8000, MUCH = 4 << 20 };
	char *bytes = rig_fill(MUCH);
	struct reading reading;
	size_t n = 0;
	struct one o;

	one_init(&o, true);
	while (n + PIECE <= MUCH && link_write(o.p.link, span_of(bytes + n, PIECE)))
		n += PIECE;
	n += PIECE;
	cr_assert_leq(n, 4 * LINK_HIGH_WATER, "the kernel took the rest");
	rig_rest(&o.rig, 25);
	cr_assert_str_eq(o.p.story, "o");
	reading = (struct reading){ .ssl = o.ssl, .expected = bytes, .n = n };
	cr_assert(rig_until(&o.rig, read_all, &reading));
	rig_rest(&o.rig, 25);
	cr_assert_str_eq(o.p.story, "or");
	free(bytes);
	one_fini(&o);
}

/* Lengths of the application data records that a client gets. */
struct records {
	size_t num, lens[200];
};

static void note_record(int is_write, int version, int type, const void *buf, size_t len, SSL *ssl,
			void *arg)
{
	struct records *r = arg;
	const uint8_t *head = buf;

	(void)version;
	(void)ssl;
	if (is_write || type != SSL3_RT_HEADER || len != 5 || head[0] != SSL3_RT_APPLICATION_DATA)
		return;
	cr_assert_lt(r->num, 200u);
	r->lens[r->num++] = (size_t)(head[3] << 8 | head[4]);
}

static void get(struct one *o, const char *bytes, size_t n)
{
	struct reading reading = { .ssl = o->ssl, .expected = bytes, .n = n };

	cr_assert(rig_until(&o->rig, read_all, &reading));
}

Test(link_tls, records_are_small_first_then_large_and_small_again_after_a_second)
{
	enum { MUCH = 100000, OVERHEAD = 17 };
	char *bytes = rig_fill(MUCH);
	struct records r = { 0 };
	struct one o;
	size_t small = 0;

	one_init(&o, false);
	rig_rest(&o.rig, 25);
	SSL_set_msg_callback(o.ssl, note_record);
	SSL_set_msg_callback_arg(o.ssl, &r);
	(void)link_write(o.p.link, span_of(bytes, MUCH));
	get(&o, bytes, MUCH);
	while (small < r.num && r.lens[small] <= 1400 + OVERHEAD)
		small++;
	cr_assert_geq(small * 1400, 16u << 10);
	cr_assert_leq(small * 1400, (16u << 10) + 1400);
	for (size_t i = small; i + 1 < r.num; i++)
		cr_assert_eq(r.lens[i], (16u << 10) + OVERHEAD);
	r.num = 0;
	(void)link_write(o.p.link, span_of(bytes, 32 << 10));
	get(&o, bytes, 32 << 10);
	cr_assert_eq(r.num, 2u, "the burst goes on");
	rig_rest(&o.rig, 1100);
	r.num = 0;
	(void)link_write(o.p.link, span_of(bytes, 2800));
	get(&o, bytes, 2800);
	cr_assert_eq(r.num, 2u, "a new burst begins small");
	free(bytes);
	one_fini(&o);
}

Test(link_tls, a_server_that_does_not_answer_is_timed_out)
{
	struct party p;
	struct rig r;
	struct sockaddr_in at;
	int listener = rig_listen(&at);
	struct link_target to = { .addresses = { (struct sockaddr *)&at },
				  .lens = { sizeof(at) },
				  .num = 1,
				  .name = "rig.example",
				  .timeout_ns = 80000000 };

	rig_init(&r, true);
	p = (struct party){ .rig = &r };
	to.tls = r.client;
	party_connect_within(&p, &to);
	cr_assert(rig_until(&r, party_ended, &p));
	cr_assert_eq(p.why, LINK_END_TIMEOUT);
	cr_assert_str_eq(p.story, "x");
	party_fini(&p);
	(void)close(listener);
	rig_rest(&r, 25);
	rig_fini(&r);
}
