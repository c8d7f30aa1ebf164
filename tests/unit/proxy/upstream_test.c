/* Connections to servers: which is used again, which is kept, which goes. */
#include "proxy/http/upstream.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/fail_alloc.h"
#include "tests/support/http_scene.h"

#define POOL(more) "\"pools\":{\"p\":{\"servers\":[\"127.0.0.1:1\",\"127.0.0.1:2\"]" more "}}"
#define JSON(more) "{\"listeners\":[" SCENE_LISTENER("\"pool\":\"p\"") "]," POOL(more) "}"
static const char usual[] = JSON("");
static const char narrow[] = JSON(",\"connections\":{\"idle\":1}");
static const char none_kept[] = JSON(",\"connections\":{\"idle\":0}");
static const char hasty[] = JSON(",\"connections\":{\"idle_timeout\":\"30ms\"}");
static const char secure[] = JSON(",\"tls\":{\"verify\":false,\"server_name\":\"rig.example\"}");
static const char one_server[] = "{\"listeners\":[" SCENE_LISTENER(
	"\"pool\":\"p\"") "],"
			  "\"pools\":{\"p\":{\"servers\":[\"127.0.0.1:1\"]}}}";

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

/* Who has a connection. */
struct user {
	struct upstream_wait wait; /* first */
	struct http_scene *scene;
	struct upstream *conn;
	struct stream *stream;
	bool failed, answered, aborted;
	enum cause why;
};

static void head(void *owner, struct head *h, bool end)
{
	struct user *u = owner;

	head_free(h);
	u->answered = end;
}

static void aborted(void *owner, enum cause why, const char *detail)
{
	struct user *u = owner;

	(void)detail;
	u->aborted = true;
	u->why = why;
}

static const struct stream_events stream_events = { .head = head, .aborted = aborted };

static void opened(struct upstream_wait *w, struct stream *s)
{
	struct user *u = (struct user *)w;

	u->stream = s;
	stream_attach(s, &stream_events, u);
}

static void failed(struct upstream_wait *w, enum cause why)
{
	struct user *u = (struct user *)w;

	u->failed = true;
	u->why = why;
	u->conn = NULL;
}

static const struct upstream_events events = { .opened = opened, .failed = failed };

static struct pool *pool_of(const struct http_scene *s)
{
	return site_of(s->w.traffic.now)->pools[0];
}

/* Server `i`, as a pool gives it. */
static struct pool_choice to(const struct http_scene *s, unsigned i)
{
	struct pool_choice choice;
	struct pool_tries tries = { 0 };
	uint32_t slot;

	do {
		cr_assert_eq(pool_next(pool_of(s), &tries, &choice), POOL_FOUND);
		slot = choice.server->slot - snapshot_server(s->w.traffic.now, 0)->slot;
	} while (slot != i);
	return choice;
}

static void dial_up(struct http_scene *s, unsigned i, struct user *u)
{
	struct pool_choice choice = to(s, i);

	*u = (struct user){ .scene = s };
	s->rig.loop->now_ns = loop_clock_ns();
	u->conn = upstream_connect(s->w.traffic.upstreams, pool_of(s), &choice, &events, &u->wait);
	cr_assert_not_null(u->conn);
}

static bool is_made(void *arg)
{
	const struct user *u = arg;

	return u->failed || u->stream != NULL;
}

static void make(struct http_scene *s, unsigned i, struct user *u)
{
	dial_up(s, i, u);
	cr_assert(rig_until(&s->rig, is_made, u));
}

static bool again(struct http_scene *s, unsigned i, struct user *u)
{
	struct pool_choice choice = to(s, i);
	struct stream *stream;

	*u = (struct user){ .scene = s };
	s->rig.loop->now_ns = loop_clock_ns();
	stream = upstream_reuse(s->w.traffic.upstreams, pool_of(s), &choice, &u->conn);
	if (stream == NULL)
		return false;
	opened(&u->wait, stream);
	return true;
}

static void ask(struct user *u)
{
	struct head *h = head_new(0);

	cr_assert_not_null(h);
	h->method = METHOD_GET;
	h->method_name = span_str("GET");
	h->authority = span_str("a");
	h->path = span_str("/");
	stream_send_head(u->stream, h, true);
	head_free(h);
}

static bool is_over(void *arg)
{
	const struct user *u = arg;

	return u->answered || u->aborted;
}

/* A whole exchange; the connection is given back. */
static void use(struct http_scene *s, struct user *u, struct bare *server)
{
	ask(u);
	cr_assert(scene_until(s, server, "\r\n\r\n"));
	cr_assert_not(stream_answered(u->stream));
	bare_forget(server);
	bare_say(server, OK);
	cr_assert(rig_until(&s->rig, is_over, u));
	cr_assert(u->answered);
	cr_assert(stream_answered(u->stream));
	stream_release(u->stream);
	rig_rest(&s->rig, 1);
}

static uint64_t idle(struct http_scene *s)
{
	return scene_cells(s)->idle_connections;
}

static uint64_t active(struct http_scene *s, unsigned i)
{
	return scene_cells(s)->servers[i].active;
}

/* One idle connection to server 0, whose end is `server`. */
static void keep_one(struct http_scene *s, const char *json, struct user *u, struct bare *server)
{
	scene_init(s, json, 0, false);
	make(s, 0, u);
	cr_assert(scene_accept(s, 0, server));
	use(s, u, server);
}

/* ---- used again */

Test(upstream, a_connection_is_used_again)
{
	struct upstream *first;
	struct bare server;
	struct http_scene s;
	struct user u;

	keep_one(&s, usual, &u, &server);
	first = u.conn;
	cr_assert_gt(upstream_connect_ns(first), 0);
	cr_assert_eq(idle(&s), 1u);
	cr_assert_eq(s.rig.loop->num_orphans, 1u);
	cr_assert(again(&s, 0, &u));
	cr_assert_eq(u.conn, first);
	cr_assert_eq(idle(&s), 0u);
	cr_assert_eq(s.rig.loop->num_orphans, 0u);
	cr_assert_eq(active(&s, 0), 1u);
	use(&s, &u, &server);
	cr_assert_eq(idle(&s), 1u);
	cr_assert_eq(scene_cells(&s)->servers[0].connects, 1u);
	cr_assert_eq(scene_cells(&s)->servers[0].bytes_received, 2 * strlen(OK));
	cr_assert_gt(scene_cells(&s)->servers[0].bytes_sent, 0u);
	bare_close(&server);
	scene_fini(&s);
}

Test(upstream, is_for_its_own_server_only)
{
	struct bare server;
	struct http_scene s;
	struct user u;

	keep_one(&s, usual, &u, &server);
	cr_assert_not(again(&s, 1, &u));
	cr_assert_eq(idle(&s), 1u);
	bare_close(&server);
	scene_fini(&s);
}

Test(upstream, the_last_one_used_is_the_first_to_be_used_again)
{
	struct bare servers[2];
	struct user u[2], next;
	struct http_scene s;

	scene_init(&s, usual, 0, false);
	for (unsigned i = 0; i < 2; i++) {
		make(&s, 0, &u[i]);
		cr_assert(scene_accept(&s, 0, &servers[i]));
	}
	use(&s, &u[1], &servers[1]);
	use(&s, &u[0], &servers[0]);
	cr_assert_eq(idle(&s), 2u);
	cr_assert(again(&s, 0, &next));
	cr_assert_eq(next.conn, u[0].conn);
	stream_release(next.stream);
	rig_rest(&s.rig, 1);
	cr_assert_eq(idle(&s), 2u, "nothing was said on it");
	cr_assert(again(&s, 0, &u[0]));
	cr_assert(again(&s, 0, &next));
	cr_assert_eq(next.conn, u[1].conn);
	cr_assert_not(again(&s, 0, &u[1]));
	stream_release(u[0].stream);
	stream_release(next.stream);
	for (unsigned i = 0; i < 2; i++)
		bare_close(&servers[i]);
	scene_fini(&s);
}

struct late {
	struct http_scene *scene;
	struct loop_task task;
	bool found;
};

static void look(struct loop_task *t)
{
	struct late *late = (struct late *)(void *)((char *)t - offsetof(struct late, task));
	struct user u;

	late->found = again(late->scene, 0, &u);
}

/* It has come to the loop's ears, and the link has not been asked yet. */
Test(upstream, one_on_which_something_came_is_not_used_again)
{
	for (unsigned i = 0; i < 2; i++) {
		struct bare server;
		struct http_scene s;
		struct late late = { .scene = &s, .task = { .run = look } };
		struct user u;

		keep_one(&s, usual, &u, &server);
		if (i == 0)
			bare_close(&server);
		else
			bare_say(&server, "HTTP/1.1 408 Request Timeout\r\n\r\n");
		loop_queue(s.rig.loop, &late.task, LOOP_TRAFFIC);
		rig_rest(&s.rig, 2);
		cr_assert_not(late.found);
		cr_assert_eq(idle(&s), 0u);
		cr_assert_eq(active(&s, 0), 0u);
		bare_close(&server);
		scene_fini(&s);
	}
}

/* ---- kept */

Test(upstream, only_so_many_are_kept)
{
	struct bare servers[2];
	struct http_scene s;
	struct user u[2];

	scene_init(&s, narrow, 0, false);
	for (unsigned i = 0; i < 2; i++) { /* of the pool, not of a server */
		make(&s, i, &u[i]);
		cr_assert(scene_accept(&s, i, &servers[i]));
	}
	for (unsigned i = 0; i < 2; i++)
		use(&s, &u[i], &servers[i]);
	cr_assert_eq(idle(&s), 1u);
	cr_assert_eq(active(&s, 0) + active(&s, 1), 1u);
	cr_assert(scene_until_ended(&s, &servers[1]));
	for (unsigned i = 0; i < 2; i++)
		bare_close(&servers[i]);
	scene_fini(&s);
}

Test(upstream, none_is_kept_where_none_may_be)
{
	struct bare server;
	struct http_scene s;
	struct user u;

	keep_one(&s, none_kept, &u, &server);
	cr_assert_eq(idle(&s), 0u);
	cr_assert(scene_until_ended(&s, &server));
	bare_close(&server);
	scene_fini(&s);
}

Test(upstream, an_idle_one_has_its_time)
{
	struct bare server;
	struct http_scene s;
	struct user u;

	keep_one(&s, hasty, &u, &server);
	cr_assert_eq(idle(&s), 1u);
	cr_assert(scene_until_ended(&s, &server));
	cr_assert_eq(idle(&s), 0u);
	cr_assert_eq(active(&s, 0), 0u);
	bare_close(&server);
	scene_fini(&s);
}

Test(upstream, one_that_did_not_finish_is_not_kept)
{
	for (unsigned i = 0; i < 2; i++) {
		struct bare server;
		struct http_scene s;
		struct user u;

		scene_init(&s, usual, 0, false);
		make(&s, 0, &u);
		cr_assert(scene_accept(&s, 0, &server));
		ask(&u);
		rig_rest(&s.rig, 1);
		if (i == 0)
			stream_release(u.stream);
		else
			stream_abort(u.stream, CAUSE_CLIENT_RESET);
		rig_rest(&s.rig, 1);
		cr_assert_eq(idle(&s), 0u);
		cr_assert_eq(active(&s, 0), 0u);
		cr_assert_not(scene_until_ended(&s, &server), "a reset");
		bare_close(&server);
		scene_fini(&s);
	}
}

/* The loop has room for so many that nobody owns. */
Test(upstream, the_oldest_gives_way_where_there_are_too_many)
{
	struct bare servers[2];
	struct user u[2], next;
	struct http_scene s;

	scene_init(&s, usual, 0, false);
	for (unsigned i = 0; i < 2; i++) {
		make(&s, 0, &u[i]);
		cr_assert(scene_accept(&s, 0, &servers[i]));
	}
	for (unsigned i = 0; i < 2; i++)
		use(&s, &u[i], &servers[i]);
	loop_drop_orphan(s.rig.loop);
	cr_assert_eq(idle(&s), 1u);
	cr_assert_eq(active(&s, 0), 1u);
	cr_assert(scene_until_ended(&s, &servers[0]));
	cr_assert(again(&s, 0, &next));
	cr_assert_eq(next.conn, u[1].conn);
	stream_release(next.stream);
	for (unsigned i = 0; i < 2; i++)
		bare_close(&servers[i]);
	scene_fini(&s);
}

Test(upstream, nothing_is_kept_while_draining)
{
	struct bare servers[2];
	struct http_scene s;
	struct user u[2];

	keep_one(&s, usual, &u[0], &servers[0]);
	make(&s, 0, &u[1]);
	cr_assert(scene_accept(&s, 0, &servers[1]));
	upstreams_drain(s.w.traffic.upstreams);
	cr_assert_eq(idle(&s), 0u);
	cr_assert(scene_until_ended(&s, &servers[0]));
	use(&s, &u[1], &servers[1]);
	cr_assert_eq(idle(&s), 0u);
	cr_assert(scene_until_ended(&s, &servers[1]));
	for (unsigned i = 0; i < 2; i++)
		bare_close(&servers[i]);
	scene_fini(&s);
}

/* ---- reloads */

Test(upstream, a_reload_keeps_what_it_has_use_for)
{
	struct bare server;
	struct http_scene s;
	struct user u;

	keep_one(&s, usual, &u, &server);
	scene_use(&s, one_server, 0);
	cr_assert_eq(idle(&s), 1u);
	cr_assert(again(&s, 0, &u));
	use(&s, &u, &server);
	cr_assert_eq(idle(&s), 1u);
	bare_close(&server);
	scene_fini(&s);
}

/* Its server is gone, or is somewhere else now. */
Test(upstream, a_reload_drops_what_it_has_no_use_for)
{
	for (unsigned i = 0; i < 2; i++) {
		struct bare server;
		struct http_scene s;
		struct user u;

		keep_one(&s, usual, &u, &server);
		if (i == 0)
			s.servers[0] = s.servers[1];
		scene_use(&s, usual, i == 0 ? 0 : 4);
		cr_assert_eq(idle(&s), 0u);
		cr_assert_eq(active(&s, 0), 0u);
		cr_assert(scene_until_ended(&s, &server));
		bare_close(&server);
		scene_fini(&s);
	}
}

Test(upstream, one_in_use_is_dropped_after_a_reload_that_has_no_use_for_it)
{
	for (unsigned i = 0; i < 3; i++) {
		struct bare server;
		struct http_scene s;
		struct user u;

		scene_init(&s, usual, 0, false);
		make(&s, 0, &u);
		cr_assert(scene_accept(&s, 0, &server));
		if (i == 0)
			s.servers[0] = s.servers[1];
		scene_use(&s, usual, i == 1 ? 4 : 0);
		use(&s, &u, &server);
		cr_assert_eq(idle(&s), i == 2 ? 1u : 0u);
		cr_assert_eq(active(&s, 0), i == 2 ? 1u : 0u);
		bare_close(&server);
		scene_fini(&s);
	}
}

/* ---- TLS */

static bool has_asked(void *arg)
{
	const struct party *p = arg;

	return p->num > 4 && memcmp(p->bytes + p->num - 4, "\r\n\r\n", 4) == 0;
}

/* One exchange with a server that is a party. */
static void use_tls(struct http_scene *s, struct user *u, struct party *p)
{
	p->num = 0;
	ask(u);
	cr_assert(rig_until(&s->rig, has_asked, p));
	(void)link_write(p->link, span_str(OK));
	cr_assert(rig_until(&s->rig, is_over, u));
	cr_assert(u->answered);
	stream_release(u->stream);
	rig_rest(&s->rig, 1);
}

Test(upstream, tls_is_agreed_on_anew_after_a_reload)
{
	struct bare server;
	struct http_scene s;
	struct party p = { .rig = &s.rig };
	struct user u;

	scene_init(&s, secure, 0, true);
	dial_up(&s, 0, &u);
	cr_assert(scene_accept(&s, 0, &server));
	party_accept(&p, server.fd);
	cr_assert(rig_until(&s.rig, is_made, &u));
	use_tls(&s, &u, &p);
	cr_assert_eq(idle(&s), 1u);
	cr_assert(again(&s, 0, &u));
	use_tls(&s, &u, &p);
	cr_assert_eq(idle(&s), 1u);
	scene_use(&s, secure, 0);
	cr_assert_eq(idle(&s), 0u);
	cr_assert_eq(active(&s, 0), 0u);
	cr_assert(rig_until(&s.rig, party_eof, &p), "with close_notify");
	party_fini(&p);
	scene_fini(&s);
}

/* Where the adoption has not come to it yet: a request of the old snapshot gives it back, one of
 * the new does not want it. */
Test(upstream, tls_in_use_over_a_reload_is_not_kept)
{
	struct bare server;
	struct http_scene s;
	struct party p = { .rig = &s.rig };
	struct user u;

	scene_init(&s, secure, 0, true);
	dial_up(&s, 0, &u);
	cr_assert(scene_accept(&s, 0, &server));
	party_accept(&p, server.fd);
	cr_assert(rig_until(&s.rig, is_made, &u));
	scene_use(&s, secure, 0);
	use_tls(&s, &u, &p);
	cr_assert_eq(idle(&s), 0u);
	party_fini(&p);
	scene_fini(&s);
}

Test(upstream, plaintext_is_no_connection_for_tls)
{
	struct bare server;
	struct http_scene s;
	struct user u;

	keep_one(&s, usual, &u, &server);
	scene_use(&s, secure, 0);
	cr_assert_not(again(&s, 0, &u));
	bare_close(&server);
	scene_fini(&s);
}

/* ---- making and giving up */

Test(upstream, a_server_that_refuses_is_counted_and_logged)
{
	uint8_t bytes[RING_RECORD_MAX];
	struct http_scene s;
	char line[RECORD_LINE_MAX];
	struct user u;
	bool skipped;
	size_t len;

	scene_init(&s, usual, 1, false);
	make(&s, 0, &u);
	cr_assert(u.failed);
	cr_assert_eq(u.why, CAUSE_CONNECT_REFUSED);
	cr_assert_eq(scene_cells(&s)->servers[0].failures[CAUSE_CONNECT_REFUSED], 1u);
	cr_assert_eq(scene_cells(&s)->servers[0].connects, 0u);
	cr_assert_eq(active(&s, 0), 0u);
	cr_assert(ring_read(&s.w.traffic.page->ring, &board_steward(s.w.board)->tails[0], bytes,
			    &len, &skipped));
	cr_assert_eq(record_level_of(span_of(bytes, len)), CONF_LOG_WARNING);
	cr_assert_gt(record_event_line(span_of(bytes, len), line, sizeof(line)), 0u);
	cr_assert_not_null(strstr(line, "pool p: server 127.0.0.1:1: connect_refused"), "%s", line);
	scene_fini(&s);
}

Test(upstream, one_that_opens_and_finds_no_memory_is_counted_as_well)
{
	struct http_scene s;
	struct user u;

	scene_init(&s, usual, 0, false);
	dial_up(&s, 0, &u);
	fail_alloc_at(1);
	cr_assert(rig_until(&s.rig, is_made, &u));
	cr_assert(fail_alloc_happened());
	cr_assert(u.failed);
	cr_assert_eq(u.why, CAUSE_MEMORY);
	cr_assert_eq(scene_cells(&s)->servers[0].failures[CAUSE_MEMORY], 1u);
	cr_assert_eq(active(&s, 0), 0u);
	scene_fini(&s);
}

Test(upstream, one_that_is_being_made_may_be_cancelled)
{
	for (unsigned i = 0; i < 2; i++) {
		struct bare server = { .fd = -1 };
		struct http_scene s;
		struct user u;

		scene_init(&s, i == 0 ? usual : secure, 0, true);
		dial_up(&s, 0, &u);
		cr_assert_eq(active(&s, 0), 1u);
		if (i == 1) /* amid its handshake */
			cr_assert(scene_accept(&s, 0, &server));
		upstream_cancel(u.conn, &u.wait);
		cr_assert_eq(active(&s, 0), 0u);
		rig_rest(&s.rig, 2);
		cr_assert(u.stream == NULL && !u.failed);
		bare_close(&server);
		scene_fini(&s);
	}
}

Test(upstream, one_that_broke_may_be_discarded)
{
	struct bare server;
	struct http_scene s;
	struct user u;

	scene_init(&s, usual, 0, false);
	make(&s, 0, &u);
	cr_assert(scene_accept(&s, 0, &server));
	ask(&u);
	cr_assert(scene_until(&s, &server, "\r\n\r\n"));
	bare_close(&server);
	cr_assert(rig_until(&s.rig, is_over, &u));
	cr_assert(u.aborted);
	cr_assert_eq(u.why, CAUSE_SERVER_CLOSED);
	cr_assert_eq(active(&s, 0), 1u);
	upstream_discard(u.conn, u.stream);
	cr_assert_eq(active(&s, 0), 0u);
	scene_fini(&s);
}

Test(upstream, all_go_with_their_set)
{
	struct bare servers[2];
	struct user u[2];
	struct http_scene s;

	keep_one(&s, usual, &u[0], &servers[0]);
	make(&s, 1, &u[1]);
	cr_assert(scene_accept(&s, 1, &servers[1]));
	stream_abort(u[1].stream, CAUSE_DRAIN);
	upstreams_free(s.w.traffic.upstreams);
	cr_assert_null(scene_gauge(&s));
	cr_assert_not_null(s.w.traffic.upstreams = upstreams_new(&s.w.traffic));
	for (unsigned i = 0; i < 2; i++)
		bare_close(&servers[i]);
	scene_fini(&s);
}
