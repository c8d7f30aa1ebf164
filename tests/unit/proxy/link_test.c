/* Plain links over loopback TCP and unix sockets: order of events, nothing lost, nothing made up.
 */
#include "proxy/net/link.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/rig.h"

/* A link whose peer is a bare socket. */
struct one {
	struct rig rig;
	struct party p;
	int peer;
};

static void one_init(struct one *o, bool small)
{
	int fds[2];

	rig_init(&o->rig, false);
	o->p = (struct party){ .rig = &o->rig };
	rig_join(fds, small);
	o->peer = fds[1];
	party_accept(&o->p, fds[0]);
	cr_assert(rig_until(&o->rig, party_open, &o->p));
}

static void one_fini(struct one *o)
{
	party_fini(&o->p);
	if (o->peer >= 0)
		(void)close(o->peer);
	rig_rest(&o->rig, 40);
	rig_fini(&o->rig);
}

static void say(int fd, const char *text)
{
	cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static bool heard(const struct party *p, const char *text)
{
	return p->num == strlen(text) && (p->num == 0 || memcmp(p->bytes, text, p->num) == 0);
}

static bool got_some(void *p)
{
	return ((struct party *)p)->num > 0;
}

Test(link, tells_opened_data_eof_ended_in_this_order)
{
	struct one o;

	one_init(&o, false);
	say(o.peer, "hello");
	cr_assert(shutdown(o.peer, SHUT_WR) == 0);
	cr_assert(rig_until(&o.rig, party_eof, &o.p));
	cr_assert(heard(&o.p, "hello"));
	cr_assert_not(o.p.ended, "our direction is still open");
	link_end(o.p.link);
	cr_assert(rig_until(&o.rig, party_ended, &o.p));
	cr_assert_str_eq(o.p.story, "odex");
	cr_assert_eq(o.p.why, LINK_END_CLOSED);
	one_fini(&o);
}

Test(link, ending_first_still_reads)
{
	struct one o;
	char byte;

	one_init(&o, false);
	(void)link_write(o.p.link, span_str("bye"));
	link_end(o.p.link);
	rig_rest(&o.rig, 30);
	cr_assert_eq(recv(o.peer, &(char[3]){ 0 }, 3, 0), 3);
	cr_assert_eq(recv(o.peer, &byte, 1, 0), 0, "our FIN is there");
	cr_assert_str_eq(o.p.story, "o");
	say(o.peer, "late");
	(void)close(o.peer);
	o.peer = -1;
	cr_assert(rig_until(&o.rig, party_ended, &o.p));
	cr_assert(heard(&o.p, "late"));
	cr_assert_str_eq(o.p.story, "odex");
	cr_assert_eq(o.p.why, LINK_END_CLOSED);
	one_fini(&o);
}

Test(link, fin_in_the_same_instant_as_data_is_seen)
{
	for (int i = 0; i < 20; i++) {
		int64_t began;
		struct one o;

		one_init(&o, false);
		rig_rest(&o.rig, 1);
		began = loop_clock_ns();
		say(o.peer, "last words");
		(void)close(o.peer);
		o.peer = -1;
		cr_assert(rig_until(&o.rig, party_eof, &o.p));
		cr_assert_leq(loop_clock_ns() - began, 500000000, "at once, not by looking again");
		cr_assert(heard(&o.p, "last words"));
		one_fini(&o);
	}
}

Test(link, fin_that_is_there_before_the_link_is_seen)
{
	struct rig r;
	struct party p = { .rig = &r };
	int fds[2];

	rig_init(&r, false);
	rig_join(fds, false);
	say(fds[1], "x");
	(void)close(fds[1]);
	party_accept(&p, fds[0]);
	cr_assert(rig_until(&r, party_eof, &p));
	cr_assert(heard(&p, "x"));
	party_fini(&p);
	rig_fini(&r);
}

static struct {
	size_t seen, most, last;
} pieces;

static void note_piece(struct party *p, char event)
{
	if (event != 'd')
		return;
	pieces.last = p->num - pieces.seen;
	pieces.seen = p->num;
	if (pieces.last > pieces.most)
		pieces.most = pieces.last;
}

/* Has the peer send until the link has had one piece of it. */
static void one_piece(struct one *o, const char *bytes, size_t n)
{
	size_t had = pieces.seen;

	(void)send(o->peer, bytes, n, MSG_NOSIGNAL);
	link_resume(o->p.link);
	for (int i = 0; i < 100 && pieces.seen == had; i++)
		rig_rest(&o->rig, 1);
}

Test(link, reads_grow_while_bytes_keep_coming_and_shrink_with_a_pause)
{
	enum { MUCH = 1 << 20, FIRST = 64 << 10 };
	char *bytes = rig_fill(MUCH);
	struct one o;

	one_init(&o, false);
	o.p.then = note_piece;
	o.p.pause_at = 1; /* each piece pauses it */
	for (int i = 0; i < 8; i++)
		one_piece(&o, bytes, MUCH);
	cr_assert_eq(pieces.most, FIRST);
	o.p.pause_at = 0;
	link_resume(o.p.link);
	rig_rest(&o.rig, 1);
	one_piece(&o, bytes, MUCH);
	cr_assert_eq(pieces.most, LOOP_SCRATCH_BYTES);
	free(bytes);
	one_fini(&o);
}

Test(link, pause_leaves_bytes_in_the_kernel_and_resume_loses_none)
{
	enum { MUCH = 1 << 20 };
	char *bytes = rig_fill(MUCH);
	struct one o;
	size_t sent = 0;

	one_init(&o, false);
	o.p.pause_at = 1;
	for (int i = 0; i < 200 && sent < MUCH; i++) {
		ssize_t n = send(o.peer, bytes + sent, MUCH - sent, MSG_NOSIGNAL);

		if (n > 0)
			sent += (size_t)n;
		rig_rest(&o.rig, 1);
		if (n < 0)
			break;
	}
	cr_assert_leq(o.p.num, LOOP_SCRATCH_BYTES, "one read's worth came before the pause");
	cr_assert_gt(sent, o.p.num);
	for (int i = 0; i < 500 && o.p.num < MUCH; i++) {
		ssize_t n = sent < MUCH ? send(o.peer, bytes + sent, MUCH - sent, MSG_NOSIGNAL) : 0;

		if (n > 0)
			sent += (size_t)n;
		link_resume(o.p.link); /* pauses again with the next data */
		rig_rest(&o.rig, 1);
	}
	cr_assert_eq(o.p.num, MUCH);
	cr_assert_eq(memcmp(o.p.bytes, bytes, MUCH), 0);
	free(bytes);
	one_fini(&o);
}

Test(link, eof_waits_for_resume)
{
	struct one o;

	one_init(&o, false);
	link_pause(o.p.link);
	say(o.peer, "x");
	(void)close(o.peer);
	o.peer = -1;
	rig_rest(&o.rig, 40);
	cr_assert_str_eq(o.p.story, "o");
	link_resume(o.p.link);
	cr_assert(rig_until(&o.rig, party_eof, &o.p));
	cr_assert(heard(&o.p, "x"));
	one_fini(&o);
}

static bool drained_once(void *arg)
{
	return strchr(((struct party *)arg)->story, 'r') != NULL;
}

/* Reads what the peer has of the link's output and compares. */
struct reading {
	int fd;
	const char *expected;
	size_t at, n;
	bool eof, reset;
};

static bool read_all(void *arg)
{
	struct reading *r = arg;
	char buf[32 << 10];
	ssize_t n;

	while (r->at < r->n && (n = recv(r->fd, buf, sizeof(buf), 0)) > 0) {
		cr_assert_leq(r->at + (size_t)n, r->n);
		cr_assert_eq(memcmp(buf, r->expected + r->at, (size_t)n), 0);
		r->at += (size_t)n;
	}
	return r->at == r->n;
}

Test(link, write_says_stop_at_high_water_and_drained_at_low)
{
	enum { PIECE = 8000 };
	struct one o;
	char *bytes = rig_fill(4 << 20);
	size_t n = 0;
	struct reading reading;

	one_init(&o, true);
	while (link_write(o.p.link, span_of(bytes + n, PIECE)))
		n += PIECE;
	n += PIECE;
	cr_assert_geq(n, LINK_HIGH_WATER);
	cr_assert_leq(n, 4 * LINK_HIGH_WATER, "the kernel took the rest");
	rig_rest(&o.rig, 40);
	cr_assert_str_eq(o.p.story, "o");
	reading = (struct reading){ .fd = o.peer, .expected = bytes, .n = n };
	cr_assert(rig_until(&o.rig, read_all, &reading));
	cr_assert(rig_until(&o.rig, drained_once, &o.p));
	cr_assert_str_eq(o.p.story, "or");
	free(bytes);
	one_fini(&o);
}

Test(link, end_flushes_all_before_its_fin)
{
	enum { MUCH = 1 << 20 };
	struct one o;
	char *bytes = rig_fill(MUCH);
	struct reading reading;
	char byte;

	one_init(&o, true);
	(void)link_write(o.p.link, span_of(bytes, MUCH));
	link_end(o.p.link);
	reading = (struct reading){ .fd = o.peer, .expected = bytes, .n = MUCH };
	cr_assert(rig_until(&o.rig, read_all, &reading));
	rig_rest(&o.rig, 30);
	cr_assert_eq(recv(o.peer, &byte, 1, 0), 0);
	free(bytes);
	one_fini(&o);
}

Test(link, reset_is_not_eof)
{
	struct one o;

	one_init(&o, false);
	rig_reset(o.peer);
	o.peer = -1;
	cr_assert(rig_until(&o.rig, party_ended, &o.p));
	cr_assert_str_eq(o.p.story, "ox");
	cr_assert_eq(o.p.why, LINK_END_RESET);
	one_fini(&o);
}

Test(link, data_and_reset_in_the_same_instant_gives_both)
{
	struct one o;

	one_init(&o, false);
	rig_rest(&o.rig, 1);
	say(o.peer, "partial");
	rig_reset(o.peer);
	o.peer = -1;
	cr_assert(rig_until(&o.rig, party_ended, &o.p));
	cr_assert_str_eq(o.p.story, "odx");
	cr_assert(heard(&o.p, "partial"));
	cr_assert_eq(o.p.why, LINK_END_RESET);
	one_fini(&o);
}

/* The kernel gives the reset to whoever asks first; the other is told of an end in good order. */
Test(link, reset_that_a_write_found_is_not_eof)
{
	struct one o;

	one_init(&o, false);
	link_pause(o.p.link);
	say(o.peer, "partial");
	rig_rest(&o.rig, 30);
	rig_reset(o.peer);
	o.peer = -1;
	(void)link_write(o.p.link, span_str("more"));
	rig_rest(&o.rig, 30);
	link_resume(o.p.link);
	cr_assert(rig_until(&o.rig, party_ended, &o.p));
	cr_assert_str_eq(o.p.story, "odx", "was %s", o.p.story);
	cr_assert(heard(&o.p, "partial"));
	cr_assert_eq(o.p.why, LINK_END_RESET);
	one_fini(&o);
}

/* The peer has said all, closed, and does not want what we still say. */
Test(link, refused_output_after_a_whole_input_ends_both)
{
	struct one o;

	one_init(&o, false);
	link_pause(o.p.link);
	say(o.peer, "all of it");
	(void)close(o.peer); /* FIN */
	o.peer = -1;
	rig_rest(&o.rig, 30);
	(void)link_write(o.p.link, span_str("more")); /* is answered by a reset */
	rig_rest(&o.rig, 30);
	(void)link_write(o.p.link, span_str("and more")); /* breaks the output */
	rig_rest(&o.rig, 30);
	link_resume(o.p.link);
	cr_assert(rig_until(&o.rig, party_ended, &o.p));
	cr_assert_str_eq(o.p.story, "odex", "was %s", o.p.story);
	cr_assert(heard(&o.p, "all of it"));
	cr_assert_eq(o.p.why, LINK_END_RESET);
	one_fini(&o);
}

Test(link, blocked_writer_hears_of_a_reset)
{
	struct one o;
	char *bytes = rig_fill(1 << 20);

	one_init(&o, true);
	cr_assert_not(link_write(o.p.link, span_of(bytes, 1 << 20)));
	rig_rest(&o.rig, 30);
	rig_reset(o.peer);
	o.peer = -1;
	cr_assert(rig_until(&o.rig, party_ended, &o.p));
	cr_assert_eq(o.p.why, LINK_END_RESET);
	free(bytes);
	one_fini(&o);
}

/* ---- giving up ---- */

static void close_at(struct party *p, char event, char when, bool abort_it)
{
	if (event != when || p->link == NULL)
		return;
	if (abort_it)
		link_abort(p->link);
	else
		link_close(p->link);
	p->link = NULL;
}

static void close_at_o(struct party *p, char e)
{
	close_at(p, e, 'o', false);
}
static void close_at_d(struct party *p, char e)
{
	close_at(p, e, 'd', false);
}
static void close_at_e(struct party *p, char e)
{
	close_at(p, e, 'e', false);
}
static void close_at_x(struct party *p, char e)
{
	close_at(p, e, 'x', false);
}
static void abort_at_d(struct party *p, char e)
{
	close_at(p, e, 'd', true);
}
static void abort_at_e(struct party *p, char e)
{
	close_at(p, e, 'e', true);
}

static bool gone(void *p)
{
	return ((struct party *)p)->link == NULL;
}

Test(link, may_be_given_up_in_each_event)
{
	static const struct {
		void (*then)(struct party *p, char event);
		const char *story;
	} cases[] = { { close_at_o, "o" },    { close_at_d, "od" }, { close_at_e, "ode" },
		      { close_at_x, "odex" }, { abort_at_d, "od" }, { abort_at_e, "ode" } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig r;
		struct party p = { .rig = &r, .then = cases[i].then };
		int fds[2];

		rig_init(&r, false);
		rig_join(fds, false);
		party_accept(&p, fds[0]);
		say(fds[1], "x");
		cr_assert(shutdown(fds[1], SHUT_WR) == 0);
		if (strchr(cases[i].story, 'x') != NULL) {
			cr_assert(rig_until(&r, party_eof, &p));
			link_end(p.link);
		}
		cr_assert(rig_until(&r, gone, &p));
		rig_rest(&r, 30);
		cr_assert_str_eq(p.story, cases[i].story);
		(void)close(fds[1]);
		rig_rest(&r, 30);
		party_fini(&p);
		rig_fini(&r);
	}
}

static void close_other(struct party *p, char event)
{
	if (event != 'd')
		return;
	link_close(p->other->link);
	p->other->link = NULL;
	link_close(p->link);
	p->link = NULL;
}

Test(link, the_other_may_be_given_up_in_an_event)
{
	struct rig r;
	struct party a = { .rig = &r, .then = close_other }, b = { .rig = &r, .then = close_other };
	int x[2], y[2];

	rig_init(&r, false);
	rig_join(x, false);
	rig_join(y, false);
	a.other = &b;
	b.other = &a;
	party_accept(&a, x[0]);
	party_accept(&b, y[0]);
	cr_assert(rig_until(&r, party_open, &b));
	say(x[1], "both");
	say(y[1], "at once");
	cr_assert(rig_until(&r, gone, &a));
	rig_rest(&r, 30);
	cr_assert_eq(a.num_data + b.num_data, 1u);
	(void)close(x[1]);
	(void)close(y[1]);
	rig_rest(&r, 30);
	party_fini(&a);
	party_fini(&b);
	rig_fini(&r);
}

Test(link, abort_is_seen_as_a_reset)
{
	struct one o;
	char byte;

	one_init(&o, false);
	(void)link_write(o.p.link, span_str("half"));
	link_abort(o.p.link);
	o.p.link = NULL;
	rig_rest(&o.rig, 30);
	while (recv(o.peer, &byte, 1, 0) == 1)
		;
	cr_assert_eq(errno, ECONNRESET);
	one_fini(&o);
}

Test(link, close_with_output_that_does_not_fit_is_seen_as_a_reset)
{
	struct one o;
	char *bytes = rig_fill(4 << 20);
	char buf[4096];
	ssize_t n;

	one_init(&o, true);
	(void)link_write(o.p.link, span_of(bytes, 4 << 20));
	link_close(o.p.link);
	o.p.link = NULL;
	rig_rest(&o.rig, 30);
	while ((n = recv(o.peer, buf, sizeof(buf), 0)) > 0)
		;
	cr_assert_lt(n, 0);
	cr_assert_eq(errno, ECONNRESET);
	free(bytes);
	one_fini(&o);
}

/* Sends as long as the peer takes it. */
static bool keep_saying(void *arg)
{
	static const char noise[8192];
	int fd = *(int *)arg;

	return send(fd, noise, sizeof(noise), MSG_NOSIGNAL) < 0 && errno != EAGAIN;
}

Test(link, close_lingers_while_the_peer_still_sends)
{
	struct one o;
	char buf[16];

	one_init(&o, false);
	say(o.peer, "upload goes on and on");
	cr_assert(rig_until(&o.rig, got_some, &o.p));
	(void)link_write(o.p.link, span_str("too large"));
	link_close(o.p.link);
	o.p.link = NULL;
	for (int i = 0; i < 8; i++) { /* within what is thrown away */
		say(o.peer, "more and more of it");
		rig_rest(&o.rig, 5);
	}
	cr_assert_eq(recv(o.peer, buf, sizeof(buf), 0), 9);
	cr_assert_eq(memcmp(buf, "too large", 9), 0);
	cr_assert_eq(recv(o.peer, buf, sizeof(buf), 0), 0, "a FIN, no reset");
	cr_assert(rig_until(&o.rig, keep_saying, &o.peer), "but not for ever");
	one_fini(&o);
}

Test(link, lingering_empties_the_socket_again_and_again)
{
	struct one o;

	one_init(&o, false);
	link_close(o.p.link);
	o.p.link = NULL;
	for (int i = 0; i < 20; i++) {
		int left = 0;

		say(o.peer, "piece");
		rig_rest(&o.rig, 2);
		cr_assert_eq(ioctl(o.peer, TIOCOUTQ, &left), 0);
	}
	cr_assert_eq(send(o.peer, "x", 1, MSG_NOSIGNAL), 1);
	one_fini(&o);
}

Test(link, counts_bytes_each_way)
{
	struct one o;
	struct link_facts facts;

	one_init(&o, false);
	say(o.peer, "12345");
	cr_assert(rig_until(&o.rig, got_some, &o.p));
	(void)link_write(o.p.link, span_str("123"));
	link_facts(o.p.link, &facts);
	cr_assert_eq(facts.bytes_received, 5u);
	cr_assert_eq(facts.bytes_sent, 3u);
	cr_assert_eq(facts.handshake_ns, 0);
	cr_assert_null(link_ssl(o.p.link));
	one_fini(&o);
}
