/* Connections that several exchanges share, over real codecs, with bare peers as the servers. What
 * an exchange would do is done by hand. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/http/upstream_private.h"
#include "proxy/net/site.h"
#include "tests/support/http_scene.h"
#include "tests/support/ng_peer.h"

enum { USERS = 12 };

TestSuite(upstream_shared, .timeout = 20);

#define POOL_OF(more)                             \
	"{\"listeners\":[" SCENE_LISTENER(        \
		"\"pool\":\"p\"") "],\"pools\":{" \
				  "\"p\":{\"servers\":[\"127.0.0.1:1\"]," more "}}}"
#define UNVERIFIED "\"tls\":{\"verify\":false}"
static const char plain[] = POOL_OF("\"protocol\":\"http/2\"");
static const char first_version[] = POOL_OF("\"protocol\":\"http/1.1\"");
static const char hasty[] =
	POOL_OF("\"protocol\":\"http/2\",\"connections\":{\"idle_timeout\":\"200ms\"}");
static const char none_idle[] = POOL_OF("\"protocol\":\"http/2\",\"connections\":{\"idle\":0}");
static const char demanded[] = POOL_OF("\"protocol\":\"http/2\"," UNVERIFIED);
static const char either[] = POOL_OF("\"protocol\":\"auto\"," UNVERIFIED);

/* Who wants an exchange. */
struct user {
	struct upstream_wait wait; /* first */
	struct stage *stage;
	struct upstream *conn;
	struct stream *stream;
	enum cause failed; /* CAUSE_NONE: it did not */
	enum cause aborted;
	bool whole;
};

struct stage {
	struct http_scene s;
	struct user users[USERS];
	unsigned num;
	unsigned order[USERS], num_opened; /* who was first */
};

static struct stage *stage_new(const char *json)
{
	struct stage *g = calloc(1, sizeof(*g));

	cr_assert_not_null(g);
	scene_init(&g->s, json, 0, false);
	return g;
}

static void stage_free(struct stage *g)
{
	scene_fini(&g->s);
	free(g);
}

static struct metrics_worker *cells(struct stage *g)
{
	return scene_cells(&g->s);
}

/* ---- what a user is told */

static void up_head(void *owner, struct head *h, bool end)
{
	((struct user *)owner)->whole = end;
	head_free(h);
}

static void up_data(void *owner, struct span bytes)
{
	stream_consumed(((struct user *)owner)->stream, bytes.n);
}

static void up_end(void *owner, struct head *trailers)
{
	((struct user *)owner)->whole = true;
	head_free(trailers);
}

static void up_aborted(void *owner, enum cause why, const char *detail)
{
	struct user *u = owner;

	(void)detail;
	u->aborted = why;
	stream_release(u->stream);
	u->stream = NULL;
}

static const struct stream_events up_events = {
	.head = up_head,
	.data = up_data,
	.end = up_end,
	.aborted = up_aborted,
};

static void send_request(struct user *u, struct stream *s)
{
	static const char *const paths[] = { "/0", "/1", "/2", "/3", "/4",  "/5",
					     "/6", "/7", "/8", "/9", "/10", "/11" };
	struct head *h = head_new(0);

	cr_assert_not_null(h);
	h->method = METHOD_GET;
	h->method_name = span_str("GET");
	h->authority = span_str("a.example");
	h->path = span_str(paths[u - u->stage->users]);
	u->stream = s;
	stream_attach(s, &up_events, u);
	stream_send_head(s, h, true);
	head_free(h);
}

static void opened(struct upstream_wait *w, struct stream *s)
{
	struct user *u = (struct user *)(void *)w;

	cr_assert_gt(upstream_connect_ns(u->conn), 0);
	u->stage->order[u->stage->num_opened++] = (unsigned)(u - u->stage->users);
	send_request(u, s);
}

static void failed(struct upstream_wait *w, enum cause why)
{
	struct user *u = (struct user *)(void *)w;

	u->failed = why;
	u->conn = NULL;
}

static const struct upstream_events wait_events = { .opened = opened, .failed = failed };

static struct pool *pool_of(struct stage *g)
{
	return site_of(g->s.w.traffic.now)->pools[0];
}

/* As an exchange does, at the `address`th of the server's; NULL: there was no way. */
static struct user *want_at(struct stage *g, unsigned address)
{
	struct user *u = &g->users[g->num++];
	struct pool_tries tries = { 0 };
	struct pool_choice to;
	struct stream *s;

	*u = (struct user){ .stage = g, .failed = CAUSE_NONE, .aborted = CAUSE_NONE };
	g->s.rig.loop->now_ns = loop_clock_ns();
	cr_assert_eq(pool_next(pool_of(g), &tries, &to), POOL_FOUND);
	/* In the order of the snapshot, whoever's turn it is. */
	to.at.list[0] = snapshot_address(g->s.w.traffic.now, to.server->first_address + address);
	to.at.num = to.at.num > 1 ? 2 : 1;
	to.at.list[1] = to.at.list[0];
	s = upstream_reuse(g->s.w.traffic.upstreams, pool_of(g), &to, &u->conn);
	if (s != NULL) {
		send_request(u, s);
		return u;
	}
	u->conn =
		upstream_connect(g->s.w.traffic.upstreams, pool_of(g), &to, &wait_events, &u->wait);
	return u->conn == NULL ? NULL : u;
}

static struct user *want(struct stage *g)
{
	struct user *u = want_at(g, 0);

	cr_assert_not_null(u);
	return u;
}

static void leave(struct user *u)
{
	stream_release(u->stream);
	u->stream = NULL;
	u->conn = NULL;
}

/* ---- the other side */

static void serve(struct stage *g, struct http2_peer *p, uint32_t max_streams)
{
	struct bare b;

	cr_assert(scene_accept(&g->s, 0, &b));
	http2_peer_serve(p, &g->s.rig, b.fd, NULL, max_streams);
	p->answers = true;
}

struct fact {
	struct http2_peer *p;
	const void *at;
	uint64_t want;
};

static bool is_whole(void *arg)
{
	const struct fact *f = arg;

	if (f->p != NULL)
		http2_peer_turn(f->p);
	return ((const struct user *)f->at)->whole;
}

static bool until_whole(struct stage *g, struct http2_peer *p, struct user *u)
{
	struct fact f = { .p = p, .at = u };

	return rig_until(&g->s.rig, is_whole, &f);
}

static bool is_told(void *arg)
{
	return *(const enum cause *)arg != CAUSE_NONE;
}

static bool until_told(struct stage *g, enum cause *why)
{
	return rig_until(&g->s.rig, is_told, why);
}

static bool has_stream(void *arg)
{
	return ((const struct user *)arg)->stream != NULL;
}

static bool is_value(void *arg)
{
	const struct fact *f = arg;

	if (f->p != NULL)
		http2_peer_turn(f->p);
	return *(const uint64_t *)f->at == f->want;
}

static bool until_value(struct stage *g, struct http2_peer *p, const uint64_t *at, uint64_t value)
{
	struct fact f = { .p = p, .at = at, .want = value };

	return rig_until(&g->s.rig, is_value, &f);
}

#define idle_are(g, p, n) cr_assert(until_value(g, p, &cells(g)->idle_connections, n))
#define active_are(g, p, n) cr_assert(until_value(g, p, &cells(g)->servers[0].active, n))

/* One exchange, so that the connection is there and its server's settings are known. */
static void warm_up(struct stage *g, struct http2_peer *p, uint32_t max_streams)
{
	struct user *u = want(g);

	serve(g, p, max_streams);
	cr_assert(until_whole(g, p, u));
	leave(u);
	idle_are(g, p, 1);
}

/* ---- waiting for one that is being made */

Test(upstream_shared, many_wait_for_one_and_are_served_in_their_order)
{
	struct stage *g = stage_new(plain);
	struct http2_peer peer;

	for (unsigned i = 0; i < 5; i++)
		(void)want(g);
	for (unsigned i = 1; i < 5; i++)
		cr_assert_eq(g->users[i].conn, g->users[0].conn);
	serve(g, &peer, 100);
	for (unsigned i = 0; i < 5; i++) {
		cr_assert(until_whole(g, &peer, &g->users[i]));
		cr_assert_eq(g->order[i], i, "who came first waits the longest");
		cr_assert(upstream_shares(g->users[i].conn));
	}
	cr_assert_not_null(strstr(peer.story, "request 1 GET a.example /0\n"));
	cr_assert_not_null(strstr(peer.story, "request 9 GET a.example /4\n"));
	cr_assert_eq(cells(g)->servers[0].connects, 1u);
	cr_assert_eq(cells(g)->idle_connections, 0u);
	for (unsigned i = 0; i < 5; i++)
		leave(&g->users[i]);
	idle_are(g, &peer, 1);
	http2_peer_fini(&peer);
	stage_free(g);
}

Test(upstream_shared, one_of_several_may_stop_waiting)
{
	struct stage *g = stage_new(plain);
	struct http2_peer peer;
	struct user *a = want(g), *b = want(g), *c = want(g);

	upstream_cancel(b->conn, &b->wait);
	upstream_cancel(b->conn, &b->wait); /* again does nothing */
	serve(g, &peer, 100);
	cr_assert(until_whole(g, &peer, a));
	cr_assert(until_whole(g, &peer, c));
	cr_assert_null(b->stream);
	cr_assert_eq(b->failed, CAUSE_NONE, "no event follows");
	cr_assert_eq(peer.num_requests, 2u);
	leave(a);
	leave(c);
	http2_peer_fini(&peer);
	stage_free(g);
}

Test(upstream_shared, what_nobody_waits_for_is_given_up)
{
	struct stage *g = stage_new(plain);
	struct user *a = want(g), *b = want(g);

	cr_assert_eq(cells(g)->servers[0].active, 1u);
	upstream_cancel(a->conn, &a->wait);
	cr_assert_eq(cells(g)->servers[0].active, 1u);
	upstream_cancel(b->conn, &b->wait);
	cr_assert_eq(cells(g)->servers[0].active, 0u);
	stage_free(g);
}

Test(upstream_shared, all_who_wait_are_told_of_a_failure)
{
	struct stage *g = stage_new(plain);

	(void)close(g->s.listeners[0]);
	g->s.listeners[0] = -1;
	for (unsigned i = 0; i < 3; i++)
		(void)want(g);
	active_are(g, NULL, 0);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(g->users[i].failed, CAUSE_CONNECT_REFUSED);
	cr_assert_eq(cells(g)->servers[0].failures[CAUSE_CONNECT_REFUSED], 1u, "once");
	stage_free(g);
}

/* Or who has tried the first address in vain would wait for it once more, and never try the other.
 */
Test(upstream_shared, nobody_waits_for_another_address_than_his_own)
{
	struct stage *g = stage_new(plain);
	struct sockaddr_in at;
	socklen_t len = sizeof(at);
	struct user *a, *b, *c;

	cr_assert_eq(getsockname(g->s.listeners[1], (struct sockaddr *)&at, &len), 0);
	world_at(&g->s.servers[0], &at);
	scene_use(&g->s, plain, 0);
	a = want(g);
	b = want_at(g, 1);
	c = want_at(g, 1);
	cr_assert_neq(a->conn, b->conn);
	cr_assert_eq(c->conn, b->conn);
	upstream_cancel(a->conn, &a->wait);
	upstream_cancel(b->conn, &b->wait);
	upstream_cancel(c->conn, &c->wait);
	stage_free(g);
}

Test(upstream_shared, what_a_reload_changed_is_waited_for_anew)
{
	struct stage *g = stage_new(plain);
	struct user *a = want(g), *b;
	struct http2_peer first, second;

	scene_use(&g->s, plain, 0);
	b = want(g);
	cr_assert_neq(a->conn, b->conn);
	serve(g, &first, 100);
	serve(g, &second, 100);
	cr_assert(until_whole(g, &first, a));
	cr_assert(until_whole(g, &second, b));
	leave(a);
	leave(b);
	http2_peer_fini(&first);
	http2_peer_fini(&second);
	stage_free(g);
}

/* ---- room */

Test(upstream_shared, past_what_a_server_takes_there_is_another_connection)
{
	struct stage *g = stage_new(plain);
	struct http2_peer first, second;
	struct user *a, *b, *c;

	warm_up(g, &first, 2);
	first.answers = false;
	a = want(g);
	b = want(g);
	c = want(g);
	cr_assert_eq(a->conn, b->conn);
	cr_assert_neq(c->conn, a->conn);
	cr_assert_eq(cells(g)->idle_connections, 0u);
	cr_assert(http2_peer_until(&first, "end 5\n"));
	serve(g, &second, 2);
	cr_assert(until_whole(g, &second, c));
	leave(c);
	leave(a);
	leave(b);
	idle_are(g, &second, 1);
	idle_are(g, &first, 2);
	http2_peer_fini(&first);
	http2_peer_fini(&second);
	stage_free(g);
}

/* Or each request would leave one more behind that nothing ever closes. */
Test(upstream_shared, one_whose_server_takes_no_more_at_all_is_idle_as_well)
{
	struct stage *g = stage_new(hasty);
	struct http2_peer first, second;
	struct user *u = want(g);

	serve(g, &first, 100);
	cr_assert(until_whole(g, &first, u));
	http2_peer_settings(&first, 0);
	cr_assert(http2_peer_until(&first, "settled\n"));
	leave(u);
	active_are(g, &first, 0);
	u = want(g);
	serve(g, &second, 0);
	active_are(g, &second, 0);
	cr_assert_eq(u->aborted, CAUSE_SERVER_REFUSED);
	cr_assert(http2_peer_until_ended(&first));
	http2_peer_fini(&first);
	http2_peer_fini(&second);
	stage_free(g);
}

/* A worker's set holds back none whose server took its streams away while it was idle. */
Test(upstream_shared, an_idle_one_without_room_stays_an_idle_one)
{
	struct stage *g = stage_new(hasty);
	struct http2_peer first, second;
	struct user *u;

	warm_up(g, &first, 1);
	http2_peer_settings(&first, 0);
	cr_assert(http2_peer_until(&first, "settled\n"));
	u = want(g);
	serve(g, &second, 1);
	cr_assert(until_whole(g, &second, u));
	active_are(g, &second, 1);
	leave(u);
	active_are(g, &second, 0);
	http2_peer_fini(&first);
	http2_peer_fini(&second);
	stage_free(g);
}

Test(upstream_shared, at_connections_max_only_what_is_there_is_used)
{
	struct stage *g = stage_new(
		POOL_OF("\"protocol\":\"http/2\",\"connections\":{\"max\":1,\"max_pending\":0}"));
	struct http2_peer peer;
	struct user *a = want(g), *b = want(g), *c;

	cr_assert_eq(a->conn, b->conn, "it is waited for");
	serve(g, &peer, 2);
	cr_assert(until_whole(g, &peer, a));
	cr_assert_null(want_at(g, 0), "it has no more room");
	leave(a);
	cr_assert(until_whole(g, &peer, b));
	rig_rest(&g->s.rig, 1);
	c = want(g);
	cr_assert_eq(c->conn, b->conn);
	cr_assert(until_whole(g, &peer, c));
	leave(b);
	leave(c);
	http2_peer_fini(&peer);
	stage_free(g);
}

/* ---- GOAWAY, and other ends */

Test(upstream_shared, goaway_lets_what_is_there_end_and_nothing_else_begin)
{
	struct stage *g = stage_new(plain);
	struct http2_peer first, second;
	struct user *a, *b;

	warm_up(g, &first, 100);
	first.answers = false;
	a = want(g);
	cr_assert(http2_peer_until(&first, "end 3\n"));
	http2_peer_goaway(&first, 3);
	rig_rest(&g->s.rig, 2);
	b = want(g);
	cr_assert_neq(b->conn, a->conn);
	http2_peer_respond(&first, 3, "late");
	cr_assert(until_whole(g, &first, a));
	leave(a);
	cr_assert(http2_peer_until_ended(&first));
	serve(g, &second, 100);
	cr_assert(until_whole(g, &second, b));
	active_are(g, &second, 1);
	leave(b);
	http2_peer_fini(&first);
	http2_peer_fini(&second);
	stage_free(g);
}

Test(upstream_shared, goaway_refuses_what_it_does_not_name)
{
	struct stage *g = stage_new(plain);
	struct http2_peer peer;
	struct user *a, *b;

	warm_up(g, &peer, 100);
	peer.answers = false;
	a = want(g);
	b = want(g);
	cr_assert(http2_peer_until(&peer, "end 5\n"));
	http2_peer_goaway(&peer, 3);
	cr_assert(until_told(g, &b->aborted));
	cr_assert_eq(b->aborted, CAUSE_SERVER_REFUSED);
	cr_assert_eq(a->aborted, CAUSE_NONE);
	leave(a);
	active_are(g, &peer, 0);
	http2_peer_fini(&peer);
	stage_free(g);
}

Test(upstream_shared, a_reset_breaks_all_of_them)
{
	struct stage *g = stage_new(plain);
	struct http2_peer peer;
	struct user *a, *b;

	warm_up(g, &peer, 100);
	peer.answers = false;
	a = want(g);
	b = want(g);
	cr_assert(http2_peer_until(&peer, "end 5\n"));
	rig_reset(peer.fd);
	peer.fd = -1;
	active_are(g, NULL, 0);
	cr_assert_eq(a->aborted, CAUSE_SERVER_RESET);
	cr_assert_eq(b->aborted, CAUSE_SERVER_RESET);
	http2_peer_fini(&peer);
	stage_free(g);
}

Test(upstream_shared, an_idle_one_that_its_server_closes_is_gone)
{
	struct stage *g = stage_new(plain);
	struct http2_peer peer;

	warm_up(g, &peer, 100);
	http2_peer_fini(&peer);
	active_are(g, NULL, 0);
	idle_are(g, NULL, 0);
	stage_free(g);
}

Test(upstream_shared, an_idle_one_has_its_time)
{
	struct stage *g = stage_new(hasty);
	struct http2_peer peer;

	warm_up(g, &peer, 100);
	cr_assert(http2_peer_until_ended(&peer));
	cr_assert_not(peer.reset, "in good order");
	active_are(g, NULL, 0);
	idle_are(g, NULL, 0);
	http2_peer_fini(&peer);
	stage_free(g);
}

Test(upstream_shared, none_is_kept_where_none_may_be_idle)
{
	struct stage *g = stage_new(none_idle);
	struct http2_peer peer;
	struct user *a = want(g), *b = want(g);

	serve(g, &peer, 100);
	cr_assert(until_whole(g, &peer, a));
	cr_assert(until_whole(g, &peer, b));
	leave(a);
	rig_rest(&g->s.rig, 1);
	cr_assert_eq(cells(g)->servers[0].active, 1u, "the other one is on its way");
	leave(b);
	active_are(g, &peer, 0);
	http2_peer_fini(&peer);
	stage_free(g);
}

Test(upstream_shared, an_idle_one_is_pushed_out_by_what_lingers)
{
	struct stage *g = stage_new(plain);
	struct http2_peer peer;

	warm_up(g, &peer, 100);
	loop_drop_orphan(g->s.rig.loop);
	cr_assert_eq(cells(g)->servers[0].active, 0u);
	cr_assert_eq(cells(g)->idle_connections, 0u);
	http2_peer_fini(&peer);
	stage_free(g);
}

/* ---- draining, reloads, the end of a worker */

Test(upstream_shared, draining_lets_streams_end_and_keeps_nothing)
{
	struct stage *g = stage_new(plain);
	struct http2_peer peer;
	struct user *a, *b;

	warm_up(g, &peer, 100);
	a = want(g);
	upstreams_drain(g->s.w.traffic.upstreams);
	b = want(g); /* of a client that is still there */
	cr_assert_eq(b->conn, a->conn);
	cr_assert(until_whole(g, &peer, a));
	cr_assert(until_whole(g, &peer, b));
	leave(a);
	leave(b);
	cr_assert(http2_peer_until_ended(&peer));
	active_are(g, NULL, 0);
	http2_peer_fini(&peer);
	stage_free(g);
}

Test(upstream_shared, a_set_may_be_freed_with_streams_on_their_way)
{
	struct stage *g = stage_new(plain);
	struct traffic *t = &g->s.w.traffic;
	struct http2_peer peer;

	warm_up(g, &peer, 100);
	(void)want(g);
	(void)want(g);
	upstreams_free(t->upstreams);
	cr_assert_eq(cells(g)->servers[0].active, 0u);
	cr_assert_not_null(t->upstreams = upstreams_new(t));
	rig_rest(&g->s.rig, 1);
	cr_assert_eq(g->users[1].aborted, CAUSE_NONE, "without an event");
	http2_peer_fini(&peer);
	stage_free(g);
}

Test(upstream_shared, a_reload_leaves_what_still_fits)
{
	struct stage *g = stage_new(plain);
	struct http2_peer peer;
	struct user *u;

	warm_up(g, &peer, 100);
	scene_use(&g->s, plain, 0);
	cr_assert_eq(cells(g)->idle_connections, 1u);
	u = want(g);
	cr_assert(until_whole(g, &peer, u));
	cr_assert_eq(peer.num_requests, 2u);
	leave(u);
	http2_peer_fini(&peer);
	stage_free(g);
}

Test(upstream_shared, a_reload_that_changes_the_protocol_has_no_use_for_it)
{
	struct stage *g = stage_new(plain);
	struct http2_peer peer;
	struct user *a, *b;
	struct bare server;

	warm_up(g, &peer, 100);
	scene_use(&g->s, first_version, 0);
	cr_assert_eq(cells(g)->idle_connections, 0u);
	cr_assert(http2_peer_until_ended(&peer));
	http2_peer_fini(&peer);

	scene_use(&g->s, plain, 0);
	g->num = 0;
	warm_up(g, &peer, 100);
	a = want(g);
	scene_use(&g->s, first_version, 0);
	b = want(g);
	cr_assert_neq(b->conn, a->conn);
	cr_assert(scene_accept(&g->s, 0, &server));
	cr_assert(scene_until(&g->s, &server, "GET /2 HTTP/1.1\r\n"));
	cr_assert(until_whole(g, &peer, a), "what had begun goes on");
	leave(a);
	cr_assert(http2_peer_until_ended(&peer));
	stream_abort(b->stream, CAUSE_CLOSED);
	active_are(g, NULL, 0);
	bare_close(&server);
	http2_peer_fini(&peer);
	stage_free(g);
}

Test(upstream_shared, a_server_that_is_gone_is_not_held_on_to)
{
	static const char other[] = "{\"listeners\":[" SCENE_LISTENER(
		"\"pool\":\"q\"") "],\"pools\":{\"q\":{\"servers\":[\"127.0.0.1:2\"]}}}";
	struct stage *g = stage_new(plain);
	struct http2_peer peer;
	struct user *u;

	warm_up(g, &peer, 100);
	u = want(g);
	scene_use(&g->s, other, 5);
	cr_assert(until_whole(g, &peer, u));
	cr_assert_eq(cells(g)->servers[0].active, 1u);
	leave(u);
	active_are(g, &peer, 0);
	http2_peer_fini(&peer);
	stage_free(g);
}

/* ---- what ALPN says */

/* A server with TLS that agrees to one protocol, or to none. */
struct tls_server {
	SSL_CTX *ctx;
	struct made cert;
	const char *agrees; /* NULL: to none */
	SSL *ssl;
};

static int select_alpn(SSL *ssl, const uint8_t **out, uint8_t *len, const uint8_t *in,
		       unsigned in_len, void *arg)
{
	const struct tls_server *t = arg;

	(void)ssl;
	if (t->agrees == NULL || memmem(in, in_len, t->agrees, strlen(t->agrees)) == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	*out = (const uint8_t *)t->agrees;
	*len = (uint8_t)strlen(t->agrees);
	return SSL_TLSEXT_ERR_OK;
}

static void tls_server_init(struct tls_server *t, const char *agrees)
{
	size_t len;
	uint8_t *der;
	CRYPTO_BUFFER *chain;

	*t = (struct tls_server){ .ctx = SSL_CTX_new(TLS_with_buffers_method()),
				  .cert = make_cert(&(struct make_options){ .type = MAKE_P256 }),
				  .agrees = agrees };
	der = made_cert_der(&t->cert, &len);
	chain = CRYPTO_BUFFER_new(der, len, NULL);
	cr_assert(SSL_CTX_set_chain_and_key(t->ctx, &chain, 1, t->cert.key, NULL));
	CRYPTO_BUFFER_free(chain);
	free(der);
	SSL_CTX_set_alpn_select_cb(t->ctx, select_alpn, t);
}

static void tls_server_fini(struct tls_server *t)
{
	SSL_CTX_free(t->ctx);
	made_fini(&t->cert);
}

static bool is_shaken(void *arg)
{
	int n = SSL_do_handshake(arg);

	ERR_clear_error();
	return n == 1;
}

static SSL *shake(struct stage *g, const struct tls_server *t, struct bare *b)
{
	SSL *ssl = SSL_new(t->ctx);

	cr_assert(scene_accept(&g->s, 0, b));
	cr_assert(ssl != NULL && SSL_set_fd(ssl, b->fd));
	SSL_set_accept_state(ssl);
	cr_assert(rig_until(&g->s.rig, is_shaken, ssl));
	return ssl;
}

Test(upstream_shared, what_is_agreed_on_is_spoken)
{
	static const char *const both[] = { either, demanded };

	for (unsigned i = 0; i < 2; i++) {
		struct stage *g = stage_new(both[i]);
		struct tls_server t;
		struct http2_peer peer;
		struct user *a = want(g), *b = want(g);
		struct bare bare;
		SSL *ssl;

		tls_server_init(&t, "h2");
		ssl = shake(g, &t, &bare);
		http2_peer_serve(&peer, &g->s.rig, bare.fd, ssl, 100);
		peer.answers = true;
		cr_assert(until_whole(g, &peer, a));
		cr_assert(until_whole(g, &peer, b));
		cr_assert_not_null(strstr(peer.fields, ":scheme=https\n"), "%s", peer.fields);
		leave(a);
		leave(b);
		http2_peer_fini(&peer);
		tls_server_fini(&t);
		stage_free(g);
	}
}

Test(upstream_shared, what_is_demanded_and_not_agreed_on_is_a_failure)
{
	struct stage *g = stage_new(demanded);
	struct tls_server t;
	struct bare bare;
	SSL *ssl;

	(void)want(g);
	(void)want(g);
	tls_server_init(&t, NULL);
	ssl = shake(g, &t, &bare);
	active_are(g, NULL, 0);
	cr_assert_eq(g->users[0].failed, CAUSE_CONNECT_TLS);
	cr_assert_eq(g->users[1].failed, CAUSE_CONNECT_TLS);
	cr_assert_eq(cells(g)->servers[0].failures[CAUSE_CONNECT_TLS], 1u);
	SSL_free(ssl);
	bare_close(&bare);
	tls_server_fini(&t);
	stage_free(g);
}

/* With `auto`, and a server of HTTP/1.1: the first who waited has the connection, the others may
 * have one each, and from now on nobody waits for one that he cannot have. */
Test(upstream_shared, nobody_waits_twice_for_what_cannot_be_shared)
{
	struct stage *g = stage_new(either);
	struct tls_server t;
	struct bare bare[3];
	SSL *ssl;

	for (unsigned i = 0; i < 3; i++)
		(void)want(g);
	tls_server_init(&t, "http/1.1");
	ssl = shake(g, &t, &bare[0]);
	cr_assert(until_told(g, &g->users[2].failed));
	cr_assert_not_null(g->users[0].stream, "the first has it");
	cr_assert_not(upstream_shares(g->users[0].conn));
	cr_assert_eq(g->users[1].failed, CAUSE_SERVER_REFUSED);
	cr_assert_eq(g->users[2].failed, CAUSE_SERVER_REFUSED);
	(void)want(g);
	(void)want(g);
	cr_assert_neq(g->users[3].conn, g->users[4].conn);
	upstream_cancel(g->users[3].conn, &g->users[3].wait);
	upstream_cancel(g->users[4].conn, &g->users[4].wait);
	stream_abort(g->users[0].stream, CAUSE_CLOSED);
	active_are(g, NULL, 0);
	SSL_free(ssl);
	bare_close(&bare[0]);
	tls_server_fini(&t);
	stage_free(g);
}

/* A server that is asked again says what it speaks now. */
Test(upstream_shared, a_server_may_learn_http2)
{
	struct stage *g = stage_new(either);
	struct tls_server t;
	struct http2_peer peer;
	struct bare bare[2];
	struct user *u = want(g);
	SSL *ssl;

	tls_server_init(&t, "http/1.1");
	ssl = shake(g, &t, &bare[0]);
	cr_assert(rig_until(&g->s.rig, has_stream, u));
	stream_abort(u->stream, CAUSE_CLOSED);
	active_are(g, NULL, 0);
	SSL_free(ssl);
	bare_close(&bare[0]);
	t.agrees = "h2";
	u = want(g);
	ssl = shake(g, &t, &bare[1]);
	http2_peer_serve(&peer, &g->s.rig, bare[1].fd, ssl, 100);
	peer.answers = true;
	cr_assert(until_whole(g, &peer, u));
	leave(u);
	idle_are(g, &peer, 1);
	loop_drop_orphan(g->s.rig.loop);
	(void)want(g);
	(void)want(g);
	cr_assert_eq(g->users[2].conn, g->users[3].conn);
	upstream_cancel(g->users[2].conn, &g->users[2].wait);
	upstream_cancel(g->users[3].conn, &g->users[3].wait);
	http2_peer_fini(&peer);
	tls_server_fini(&t);
	stage_free(g);
}
