/* Plain links that connect: what they tell where nobody answers. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/net/link.h"
#include "tests/support/rig.h"

static bool connect_ends(const struct sockaddr *to, socklen_t len, enum link_end why)
{
	struct rig r;
	struct party p = { .rig = &r };
	bool as_told;

	rig_init(&r, false);
	party_connect(&p, to, len, false);
	as_told = rig_until(&r, party_ended, &p) && strcmp(p.story, "x") == 0 && p.why == why;
	party_fini(&p);
	rig_fini(&r);
	return as_told;
}

Test(link_connect, connect_tells_refused_and_missing_sockets)
{
	struct sockaddr_un missing = { .sun_family = AF_UNIX };
	struct sockaddr_in at;

	(void)close(rig_listen(&at));
	cr_assert(connect_ends((struct sockaddr *)&at, sizeof(at), LINK_END_REFUSED));
	(void)snprintf(missing.sun_path, sizeof(missing.sun_path), "/nowhere/at-all.sock");
	cr_assert(connect_ends((struct sockaddr *)&missing, sizeof(missing), LINK_END_REFUSED));
}

Test(link_connect, connect_tells_other_failures)
{
	struct sockaddr_in broadcast = { .sin_family = AF_INET, .sin_port = htons(9) };
	struct sockaddr_in6 none = { .sin6_family = AF_INET6, .sin6_port = htons(9) };

	broadcast.sin_addr.s_addr = INADDR_BROADCAST;
	cr_assert(connect_ends((struct sockaddr *)&broadcast, sizeof(broadcast),
			       LINK_END_UNREACHABLE) ||
		  connect_ends((struct sockaddr *)&broadcast, sizeof(broadcast), LINK_END_FAILED));
	none.sin6_addr.s6_addr[0] = 0xff; /* no such multicast */
	cr_assert(connect_ends((struct sockaddr *)&none, sizeof(none), LINK_END_UNREACHABLE) ||
		  connect_ends((struct sockaddr *)&none, sizeof(none), LINK_END_FAILED));
}

Test(link_connect, connect_has_a_time_limit)
{
	struct rig r;
	struct party p = { .rig = &r };
	struct sockaddr_in at;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int filler[8];
	socklen_t len = sizeof(at);
	struct link_target to = { .timeout_ns = 100000000 };
	int64_t began;

	/* A queue that is full: nobody answers. */
	at = (struct sockaddr_in){ .sin_family = AF_INET };
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	cr_assert(bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0 &&
		  listen(listener, 0) == 0 &&
		  getsockname(listener, (struct sockaddr *)&at, &len) == 0);
	for (size_t i = 0; i < sizeof(filler) / sizeof(filler[0]); i++) {
		filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(filler[i], (struct sockaddr *)&at, sizeof(at));
	}
	rig_init(&r, false);
	to.addresses[0] = (struct sockaddr *)&at;
	to.lens[0] = sizeof(at);
	to.num = 1;
	began = loop_clock_ns();
	party_connect_within(&p, &to);
	cr_assert(rig_until(&r, party_ended, &p));
	cr_assert_eq(p.why, LINK_END_TIMEOUT);
	cr_assert_geq(loop_clock_ns() - began, 90000000);
	cr_assert_leq(loop_clock_ns() - began, 400000000);
	party_fini(&p);
	rig_fini(&r);
	for (size_t i = 0; i < sizeof(filler) / sizeof(filler[0]); i++)
		(void)close(filler[i]);
	(void)close(listener);
}

Test(link_connect, connects_over_a_unix_socket)
{
	struct rig r;
	struct party p = { .rig = &r };
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char *folder = make_folder();
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	int peer;
	char buf[8];

	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s/s", folder);
	cr_assert(bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0 &&
		  listen(listener, 4) == 0);
	rig_init(&r, false);
	party_connect(&p, (struct sockaddr *)&at, sizeof(at), false);
	cr_assert(rig_until(&r, party_open, &p));
	peer = accept(listener, NULL, NULL);
	(void)link_write(p.link, span_str("ping"));
	rig_rest(&r, 25);
	cr_assert_eq(recv(peer, buf, sizeof(buf), 0), 4);
	cr_assert_eq(send(peer, "pong", 4, 0), 4);
	(void)close(peer);
	cr_assert(rig_until(&r, party_eof, &p));
	cr_assert_eq(p.num, 4u);
	cr_assert_eq(memcmp(p.bytes, "pong", 4), 0);
	party_fini(&p);
	rig_fini(&r);
	(void)close(listener);
	drop_folder(folder);
}

/* ---- several addresses */

struct many {
	struct sockaddr_in at[3];
	struct link_target to;
};

/* All on the loopback network, at the port of `at`. */
static void many_init(struct many *m, const struct sockaddr_in *at, unsigned num)
{
	*m = (struct many){ .to = { .num = num, .timeout_ns = INT64_C(2000000000) } };
	for (unsigned i = 0; i < num; i++) {
		m->at[i] = *at;
		m->at[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK + i);
		m->to.addresses[i] = (struct sockaddr *)&m->at[i];
		m->to.lens[i] = sizeof(m->at[i]);
	}
}

static int listen_at(unsigned number, struct sockaddr_in *at, int backlog)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

	at->sin_addr.s_addr = htonl(INADDR_LOOPBACK + number);
	cr_assert(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		  bind(fd, (struct sockaddr *)at, sizeof(*at)) == 0 && listen(fd, backlog) == 0);
	return fd;
}

/* What the owner learns of the race while it is told that the link is open. */
static unsigned num_outrun;
static in_addr_t peer;

static void look_at_race(struct party *p, char event)
{
	struct sockaddr_storage a;
	socklen_t len;

	if (event != 'o')
		return;
	num_outrun = 0;
	while (link_outrun(p->link, num_outrun, &a, &len))
		num_outrun++;
	peer = link_peer(p->link, &a) > 0
		       ? ntohl(((const struct sockaddr_in *)&a)->sin_addr.s_addr) - INADDR_LOOPBACK
		       : 99;
}

Test(link_connect, of_several_addresses_the_first_that_takes_it_has_it)
{
	struct sockaddr_in at;
	struct many m;
	struct rig r;
	struct party p = { .rig = &r, .then = look_at_race };
	int listener;

	(void)close(rig_listen(&at));
	listener = listen_at(2, &at, 5);
	rig_init(&r, false);
	many_init(&m, &at, 3);
	party_connect_within(&p, &m.to);
	cr_assert(rig_until(&r, party_open, &p), "%s", p.story);
	cr_assert_eq(peer, 2u);
	cr_assert_eq(num_outrun, 2u, "both that refuse");
	cr_assert(link_write(p.link, span_str("x")));
	rig_settle(&r);
	party_fini(&p);
	rig_fini(&r);
	(void)close(listener);
}

Test(link_connect, the_next_address_is_tried_while_one_does_not_answer)
{
	struct sockaddr_in at;
	struct many m;
	struct rig r;
	struct party p = { .rig = &r, .then = look_at_race };
	int full, listener, filler[4];
	int64_t began;

	(void)close(rig_listen(&at));
	full = listen_at(0, &at, 0);
	for (size_t i = 0; i < 4; i++) {
		filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(filler[i], (struct sockaddr *)&at, sizeof(at));
	}
	listener = listen_at(1, &at, 5);
	rig_init(&r, false);
	many_init(&m, &at, 2);
	began = loop_clock_ns();
	party_connect_within(&p, &m.to);
	cr_assert(rig_until(&r, party_open, &p), "%s", p.story);
	cr_assert_geq(loop_clock_ns() - began, 240000000);
	cr_assert_leq(loop_clock_ns() - began, 1000000000);
	cr_assert_eq(peer, 1u);
	cr_assert_eq(num_outrun, 1u);
	party_fini(&p);
	rig_fini(&r);
	for (size_t i = 0; i < 4; i++)
		(void)close(filler[i]);
	(void)close(full);
	(void)close(listener);
}

Test(link_connect, where_all_addresses_fail_the_link_does)
{
	struct sockaddr_in at;
	struct many m;
	struct rig r;
	struct party p = { .rig = &r };

	(void)close(rig_listen(&at));
	rig_init(&r, false);
	many_init(&m, &at, 3);
	party_connect_within(&p, &m.to);
	cr_assert(rig_until(&r, party_ended, &p));
	cr_assert_str_eq(p.story, "x");
	cr_assert_eq(p.why, LINK_END_REFUSED);
	party_fini(&p);
	rig_fini(&r);
}

Test(link_connect, one_that_is_given_up_gives_up_all_its_addresses)
{
	struct sockaddr_in at;
	struct many m;
	struct rig r;
	struct party p = { .rig = &r };

	(void)close(rig_listen(&at));
	for (unsigned later = 0; later < 2; later++) {
		rig_init(&r, false);
		many_init(&m, &at, 3);
		p = (struct party){ .rig = &r };
		party_connect_within(&p, &m.to);
		if (later)
			rig_settle(&r);
		party_fini(&p);
		rig_settle(&r);
		rig_fini(&r);
	}
}

Test(link_connect, tls_is_spoken_with_whoever_takes_the_connection)
{
	struct sockaddr_in at;
	struct many m;
	struct rig r;
	struct party server = { .rig = &r }, p = { .rig = &r, .then = look_at_race };
	int listener, fd = -1;

	(void)close(rig_listen(&at));
	listener = listen_at(1, &at, 5);
	rig_init(&r, true);
	server.rig = p.rig = &r;
	many_init(&m, &at, 2);
	m.to.tls = r.client;
	m.to.name = "rig.example";
	party_connect_within(&p, &m.to);
	while (fd < 0) {
		fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		rig_settle(&r);
	}
	party_accept(&server, fd);
	cr_assert(rig_until(&r, party_open, &p), "%s", p.story);
	cr_assert_eq(peer, 1u);
	cr_assert_eq(num_outrun, 1u);
	party_fini(&p);
	party_fini(&server);
	rig_fini(&r);
	(void)close(listener);
}
