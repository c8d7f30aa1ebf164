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
	to.address = (struct sockaddr *)&at;
	to.address_len = sizeof(at);
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
