/* What every client's connection is, with nothing spoken inside. */
#include "proxy/net/client.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/net/traffic.h"
#include "tests/support/http_scene.h"

#define TWO                                                                                         \
	"{\"listeners\":[" SCENE_LISTENER(                                                          \
		"\"pool\":\"p\"") ",{"                                                              \
				  "\"name\":\"m\",\"address\":\":2\",\"pool\":\"p\"}]," SCENE_POOL( \
					  "") "}"
static const char two[] = TWO;
static const char one[] = SCENE_JSON("\"pool\":\"p\"", "");

/* One that notes what it is asked for. */
struct guest {
	struct client client; /* first */
	unsigned drained, retired, ended;
	bool leaves; /* at once, when it is to drain */
	enum cause why;
};

static void guest_end(struct client *c, enum cause cause)
{
	struct guest *g = (struct guest *)c;

	g->ended++;
	g->why = cause;
	client_leave(c, cause);
	client_gone(c->traffic);
}

static void guest_drain(struct client *c)
{
	struct guest *g = (struct guest *)c;

	g->drained++;
	if (g->leaves)
		guest_end(c, CAUSE_CLOSED);
}

static void guest_retire(struct client *c)
{
	((struct guest *)c)->retired++;
}

static const struct client_ops guest_ops = {
	.drain = guest_drain,
	.retire = guest_retire,
	.end = guest_end,
};

static void enter(struct http_scene *s, struct guest *g, uint32_t slot, const struct sockaddr *from)
{
	struct limits_seat seat;
	struct client_arrival arrival = { .from = from, .seat = &seat, .local_port = 443 };

	*g = (struct guest){ 0 };
	cr_assert(limits_admit(&s->w.traffic.limits, from, &seat));
	client_enter(&g->client, &s->w.traffic, &guest_ops, slot, &arrival);
}

static void enter_v4(struct http_scene *s, struct guest *g, uint32_t slot)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(4711) };

	cr_assert_eq(inet_pton(AF_INET, "192.0.2.1", &in.sin_addr), 1);
	enter(s, g, slot, (struct sockaddr *)&in);
}

Test(client, knows_who_it_is)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(4712) };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct http_scene s;
	struct guest g;

	scene_init(&s, two, 0, false);
	enter_v4(&s, &g, 1);
	cr_assert_str_eq(g.client.text, "192.0.2.1");
	cr_assert_eq(g.client.from.family, AF_INET);
	cr_assert_eq(g.client.from.port, 4711);
	cr_assert_eq(g.client.from.bytes[0], 192);
	cr_assert_eq(g.client.local_port, 443);
	cr_assert_eq(g.client.listener, 1u);
	guest_end(&g.client, CAUSE_CLOSED);
	cr_assert_eq(inet_pton(AF_INET6, "2001:db8::1", &in6.sin6_addr), 1);
	enter(&s, &g, 0, (struct sockaddr *)&in6);
	cr_assert_str_eq(g.client.text, "2001:db8::1");
	cr_assert_eq(g.client.from.family, AF_INET6);
	cr_assert_eq(g.client.from.port, 4712);
	cr_assert_eq(g.client.from.bytes[15], 1);
	guest_end(&g.client, CAUSE_CLOSED);
	enter(&s, &g, 0, (struct sockaddr *)&un);
	cr_assert_str_eq(g.client.text, "");
	cr_assert_eq(g.client.from.family, AF_UNIX);
	cr_assert_eq(g.client.from.port, 0);
	guest_end(&g.client, CAUSE_CLOSED);
	scene_fini(&s);
}

Test(client, is_counted_while_it_is_there)
{
	struct metrics_listener *cells;
	struct guest a, b;
	struct http_scene s;

	scene_init(&s, two, 0, false);
	s.w.traffic.limits.connections_per_address = 2;
	cells = &scene_cells(&s)->listeners[1];
	enter_v4(&s, &a, 1);
	enter_v4(&s, &b, 1);
	cr_assert_eq(cells->active, 2u);
	cr_assert_eq(scene_cells(&s)->connections, 2u);
	cr_assert_eq(s.w.traffic.num_clients, 2u);
	guest_end(&a.client, CAUSE_CLIENT_RESET);
	cr_assert_eq(cells->active, 1u);
	cr_assert_eq(cells->ended[CAUSE_CLIENT_RESET], 1u);
	cr_assert_eq(s.w.num_ended, 1u);
	enter_v4(&s, &a, 1); /* the seat is free again */
	clients_end_all(&s.w.traffic, CAUSE_DRAIN);
	cr_assert_eq(a.why, CAUSE_DRAIN);
	cr_assert_eq(b.why, CAUSE_DRAIN);
	cr_assert_eq(cells->ended[CAUSE_DRAIN], 2u);
	cr_assert_eq(s.w.num_ended, 3u);
	cr_assert_null(scene_gauge(&s));
	scene_fini(&s);
}

Test(client, all_are_asked_to_drain_though_some_leave_at_once)
{
	struct guest g[4];
	struct http_scene s;

	scene_init(&s, two, 0, false);
	for (unsigned i = 0; i < 4; i++) {
		enter_v4(&s, &g[i], 0);
		g[i].leaves = i % 2 == 0;
	}
	clients_drain(&s.w.traffic);
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(g[i].drained, 1u);
		cr_assert_eq(g[i].ended, i % 2 == 0 ? 1u : 0u);
	}
	cr_assert_eq(s.w.traffic.num_clients, 2u);
	scene_fini(&s);
}

Test(client, only_those_of_listeners_that_are_gone_are_retired_and_once)
{
	struct guest stays, goes;
	struct http_scene s;
	int64_t when;

	scene_init(&s, two, 0, false);
	enter_v4(&s, &stays, 0);
	enter_v4(&s, &goes, 1);
	scene_use(&s, one, 0);
	cr_assert_eq(client_place(s.w.traffic.now, 0), 0);
	cr_assert_eq(client_place(s.w.traffic.now, 1), -1);
	clients_retire(&s.w.traffic, 1000);
	cr_assert_eq(stays.drained + stays.retired, 0u);
	cr_assert_eq(stays.client.retire_ns, 0);
	cr_assert_eq(goes.drained, 1u);
	cr_assert_eq(goes.retired, 1u);
	when = goes.client.retire_ns;
	cr_assert_eq(when, s.rig.loop->now_ns + 1000);
	s.rig.loop->now_ns++;
	clients_retire(&s.w.traffic, 1000);
	cr_assert_eq(goes.client.retire_ns, when, "no time is added");
	cr_assert_eq(goes.retired, 1u);
	scene_fini(&s);
}

Test(client, a_handshake_is_counted_where_there_was_one)
{
	struct metrics_listener *cells;
	struct http_scene s;
	struct party p = { .rig = &s.rig };
	struct guest g;
	int fds[2];
	SSL *ssl;

	scene_init(&s, two, 0, true);
	cells = &scene_cells(&s)->listeners[0];
	enter_v4(&s, &g, 0);
	rig_join(fds, false);
	party_accept(&p, fds[0]);
	client_count_handshake(&g.client, p.link);
	cr_assert_eq(cells->handshakes[1][0], 0u);
	ssl = rig_shake(&s.rig, fds[1]);
	cr_assert(rig_until(&s.rig, party_open, &p));
	client_count_handshake(&g.client, p.link);
	cr_assert_eq(cells->handshakes[1][0], 1u);
	cr_assert_gt(cells->handshake.sum_ns, 0u);
	SSL_free(ssl);
	party_fini(&p);
	(void)close(fds[1]);
	scene_fini(&s);
}
