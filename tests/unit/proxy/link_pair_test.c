/* TLS links with links: both roles of the same code, given up at every moment. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/net/link.h"
#include "tests/support/rig.h"

struct two {
	struct rig rig;
	struct party server, client;
};

static void two_begin(struct two *t)
{
	struct sockaddr_in at;
	int listener;
	int fd;

	*t = (struct two){ 0 };
	rig_init(&t->rig, true);
	t->server.rig = t->client.rig = &t->rig;
	t->server.other = &t->client;
	t->client.other = &t->server;
	listener = rig_listen(&at);
	party_connect(&t->client, (struct sockaddr *)&at, sizeof(at), true);
	cr_assert_geq(fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), 0);
	party_accept(&t->server, fd);
	(void)close(listener);
}

static bool both_open(void *arg)
{
	struct two *t = arg;

	return party_open(&t->server) && party_open(&t->client);
}

static bool both_ended(void *arg)
{
	struct two *t = arg;

	return t->server.ended && t->client.ended;
}

static void two_fini(struct two *t)
{
	party_fini(&t->server);
	party_fini(&t->client);
	rig_rest(&t->rig, 45);
	rig_fini(&t->rig);
}

static void end_at_eof(struct party *p, char event)
{
	if (event == 'e')
		link_end(p->link);
}

Test(link_pair, two_links_end_in_good_order)
{
	struct two t;
	char *bytes = rig_fill(100000);

	two_begin(&t);
	cr_assert(rig_until(&t.rig, both_open, &t));
	t.server.then = end_at_eof;
	(void)link_write(t.client.link, span_of(bytes, 100000));
	link_end(t.client.link);
	cr_assert(rig_until(&t.rig, both_ended, &t));
	cr_assert_eq(t.server.why, LINK_END_CLOSED);
	cr_assert_eq(t.client.why, LINK_END_CLOSED);
	cr_assert_str_eq(t.server.story, "odex");
	cr_assert_str_eq(t.client.story, "oex");
	cr_assert_eq(t.server.num, 100000u);
	cr_assert_eq(memcmp(t.server.bytes, bytes, 100000), 0);
	free(bytes);
	two_fini(&t);
}

Test(link_pair, both_ending_at_once_is_good_order_too)
{
	struct two t;

	two_begin(&t);
	cr_assert(rig_until(&t.rig, both_open, &t));
	link_end(t.client.link);
	link_end(t.server.link);
	cr_assert(rig_until(&t.rig, both_ended, &t));
	cr_assert_eq(t.server.why, LINK_END_CLOSED);
	cr_assert_eq(t.client.why, LINK_END_CLOSED);
	two_fini(&t);
}

static char close_event;
static bool close_both, close_hard;

static void close_in_event(struct party *p, char event)
{
	if (event == 'e' && close_event == 'x')
		link_end(p->link);
	if (event != close_event || p->link == NULL)
		return;
	(close_hard ? link_abort : link_close)(p->link);
	p->link = NULL;
	if (close_both) {
		link_abort(p->other->link);
		p->other->link = NULL;
	}
}

static bool client_gone(void *arg)
{
	return ((struct two *)arg)->client.link == NULL;
}

Test(link_pair, either_end_may_be_given_up_in_each_event)
{
	static const char when[] = "odex";

	for (int i = 0; i < 16; i++) {
		struct two t;

		close_event = when[i % 4];
		close_hard = i / 4 % 2 == 1;
		close_both = i / 8 == 1;
		two_begin(&t);
		t.client.then = close_in_event;
		if (close_event == 'o') {
			cr_assert(rig_until(&t.rig, client_gone, &t));
		} else {
			cr_assert(rig_until(&t.rig, both_open, &t));
			(void)link_write(t.server.link, span_str("x"));
			link_end(t.server.link);
			cr_assert(rig_until(&t.rig, client_gone, &t));
		}
		rig_rest(&t.rig, 25);
		two_fini(&t);
	}
}

static bool server_ended(void *arg)
{
	return ((struct two *)arg)->server.ended;
}

Test(link_pair, abort_ends_the_other_with_an_alert)
{
	const char *words;
	struct two t;

	two_begin(&t);
	cr_assert(rig_until(&t.rig, both_open, &t));
	link_abort(t.client.link);
	t.client.link = NULL;
	cr_assert(rig_until(&t.rig, server_ended, &t));
	cr_assert_eq(t.server.why, LINK_END_TLS);
	cr_assert_str_eq(t.server.story, "ox");
	cr_assert_eq(link_reason(t.server.link, &words), TLS_REASON_PEER_ALERT);
	two_fini(&t);
}

Test(link_pair, a_certificate_that_does_not_verify_fails_on_both_sides)
{
	struct conf_pool_tls conf = { .verify = true, .min_version = TLS1_2_VERSION };
	struct made other = make_cert(&(struct make_options){ .ca = true, .cn = "other root" });
	char *roots = made_cert_pem(&other);
	struct problems why;
	const char *words;
	struct two t;

	problems_init(&why);
	t = (struct two){ 0 };
	rig_init(&t.rig, true);
	client_tls_free(t.rig.client);
	t.rig.client = client_tls_new(&conf, span_str(roots), "/pools/rig", &why);
	cr_assert_not_null(t.rig.client);
	t.server.rig = t.client.rig = &t.rig;
	{
		struct sockaddr_in at;
		int listener = rig_listen(&at);

		party_connect(&t.client, (struct sockaddr *)&at, sizeof(at), true);
		party_accept(&t.server,
			     accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
		(void)close(listener);
	}
	cr_assert(rig_until(&t.rig, party_ended, &t.client));
	cr_assert_eq(t.client.why, LINK_END_TLS);
	cr_assert_eq(link_reason(t.client.link, &words), TLS_REASON_VERIFY);
	cr_assert_not_null(client_tls_failure(link_ssl(t.client.link)));
	party_fini(&t.client);
	cr_assert(rig_until(&t.rig, party_ended, &t.server));
	cr_assert_eq(t.server.why, LINK_END_TLS);
	cr_assert_eq(link_reason(t.server.link, &words), TLS_REASON_PEER_REJECTS_CERTIFICATE);
	free(roots);
	made_fini(&other);
	problems_fini(&why);
	two_fini(&t);
}
