/* A client's connection whose version of HTTP is not known from the start, and one of HTTP/2 with
 * several requests at a time: over real codecs, with bare peers. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/http/front.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/http_scene.h"
#include "tests/support/ng_peer.h"

TestSuite(front_http2, .timeout = 30);

enum { PLAIN, TLS }; /* listeners */

#define VERSIONS(list) "\"pool\":\"p\",\"http\":{\"versions\":[" list "]}"
#define ONE "\"pools\":{\"p\":{\"servers\":[\"127.0.0.1:1\"]}}"
#define CONF(plain)                                                                     \
	"{\"listeners\":[" SCENE_LISTENER(plain) ",{\"name\":\"t\",\"address\":\":2\"," \
						 "\"pool\":\"p\",\"tls\":{"             \
						 "\"certificates\":[\"/w.pem\"]}}]," ONE "}"
static const char both[] = CONF(VERSIONS("2,1.1"));
static const char second_only[] = CONF(VERSIONS("2"));
static const char usual[] = CONF("\"pool\":\"p\"");
static const char hasty[] = CONF(VERSIONS(
	"2,1.1") ",\"timeouts\":{\"request_header\":\"40ms\",\"response_write\":\"60ms\"}");
static const char other[] =
	"{\"listeners\":[{\"name\":\"new\",\"address\":\":9\",\"pool\":\"p\"}]," ONE "}";

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static bool nobody_is_left(void *arg)
{
	return ((const struct http_scene *)arg)->w.traffic.num_clients == 0;
}

/* The one connection has ended, for `cause`. */
static void ended(struct http_scene *s, uint32_t place, enum cause cause)
{
	const struct metrics_listener *cells = &scene_cells(s)->listeners[place];

	cr_assert(rig_until(&s->rig, nobody_is_left, s));
	for (unsigned i = 0; i < CAUSE_COUNT; i++)
		cr_assert_eq(cells->ended[i], i == cause ? 1u : 0u, "%s", cause_name(i));
	cr_assert_eq(scene_cells(s)->connections, 0u);
}

static bool has_heard(void *arg)
{
	struct bare *b = arg;

	(void)bare_hear(b);
	return b->total > 0 || b->eof || b->reset;
}

/* A client that has come, and has said this much. */
static void say_first(struct http_scene *s, struct bare *b, const char *text)
{
	cr_assert(scene_enter(s, PLAIN, b));
	rig_rest(&s->rig, 1);
	bare_say(b, text);
	rig_rest(&s->rig, 1);
}

/* ---- what is spoken, without TLS */

Test(front_http2, the_preface_is_known_in_whatever_pieces)
{
	static const char settings[9] = { 0, 0, 0, NGHTTP2_SETTINGS };
	struct http_scene s;

	scene_init(&s, both, 0, false);
	for (size_t cut = 0; cut < 6; cut++) {
		char first[8] = { 0 };
		struct bare b;

		memcpy(first, PREFACE, cut);
		say_first(&s, &b, first);
		bare_say(&b, &PREFACE[cut]);
		cr_assert_eq(send(b.fd, settings, sizeof(settings), MSG_NOSIGNAL), 9);
		cr_assert(rig_until(&s.rig, has_heard, &b));
		cr_assert_gt(b.total, 9u, "cut %zu", cut);
		cr_assert_eq(b.got[3], NGHTTP2_SETTINGS, "cut %zu", cut);
		bare_close(&b);
	}
	scene_fini(&s);
}

Test(front_http2, a_request_of_http1_is_known_in_whatever_pieces)
{
	static const char *const requests[] = { GET, "PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n" };
	struct http_scene s;

	scene_init(&s, both, 1, false);
	for (unsigned i = 0; i < 2; i++) {
		for (size_t cut = 0; cut < 5; cut++) {
			char first[8] = { 0 };
			struct bare b;

			memcpy(first, requests[i], cut);
			say_first(&s, &b, first);
			bare_say(&b, requests[i] + cut);
			cr_assert(scene_until(&s, &b, "HTTP/1.1 502 "), "%u %zu <%s>", i, cut,
				  b.got);
			bare_close(&b);
		}
	}
	scene_fini(&s);
}

Test(front_http2, without_tls_it_is_spoken_only_where_it_is_asked_for)
{
	struct http_scene s;
	struct bare b;

	scene_init(&s, usual, 0, false);
	say_first(&s, &b, PREFACE);
	cr_assert(scene_until(&s, &b, "HTTP/1.1 "));
	bare_close(&b);
	scene_fini(&s);
}

Test(front_http2, where_it_alone_is_spoken_nothing_else_is)
{
	struct http_scene s;
	struct bare b;

	scene_init(&s, second_only, 0, false);
	say_first(&s, &b, GET);
	(void)scene_until_ended(&s, &b);
	cr_assert_null(strstr(b.got, "HTTP/1"));
	bare_close(&b);
	ended(&s, PLAIN, CAUSE_H2_PROTOCOL);
	scene_fini(&s);
}

/* ---- before it is known */

Test(front_http2, first_bytes_have_their_time)
{
	static const char *const said[] = { "", "PR" };

	for (unsigned i = 0; i < 2; i++) {
		struct http_scene s;
		struct bare b;

		scene_init(&s, hasty, 0, false);
		say_first(&s, &b, said[i]);
		ended(&s, PLAIN, CAUSE_HEADER_TIMEOUT);
		bare_close(&b);
		scene_fini(&s);
	}
}

Test(front_http2, an_end_before_it_is_known_is_that_of_http1)
{
	static const struct {
		const char *said;
		enum cause cause;
	} cases[] = { { "", CAUSE_CLOSED }, { "PR", CAUSE_CLIENT_TRUNCATED } };

	for (unsigned i = 0; i < 2; i++) {
		struct http_scene s;
		struct bare b;

		scene_init(&s, both, 0, false);
		say_first(&s, &b, cases[i].said);
		cr_assert_eq(shutdown(b.fd, SHUT_WR), 0);
		ended(&s, PLAIN, cases[i].cause);
		bare_close(&b);
		scene_fini(&s);
	}
}

Test(front_http2, a_client_may_go_before_it_is_known)
{
	struct http_scene s;
	struct bare b;

	scene_init(&s, both, 0, false);
	say_first(&s, &b, "P");
	rig_reset(b.fd);
	ended(&s, PLAIN, CAUSE_CLIENT_RESET);
	scene_fini(&s);
}

Test(front_http2, all_may_be_ended_before_it_is_known)
{
	struct http_scene s;
	struct bare b;

	scene_init(&s, both, 0, false);
	say_first(&s, &b, "PR");
	clients_end_all(&s.w.traffic, CAUSE_DRAIN);
	cr_assert_not(scene_until_ended(&s, &b), "a reset");
	bare_close(&b);
	ended(&s, PLAIN, CAUSE_DRAIN);
	scene_fini(&s);
}

Test(front_http2, one_that_was_silent_may_speak_either_in_a_drain)
{
	for (unsigned opened = 0; opened < 2; opened++) {
		struct http_scene s;
		struct bare b;

		scene_init(&s, both, 1, false);
		cr_assert(scene_enter(&s, PLAIN, &b));
		if (opened)
			rig_rest(&s.rig, 1);
		clients_drain(&s.w.traffic);
		rig_rest(&s.rig, 50);
		bare_say(&b, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
		cr_assert(scene_until_ended(&s, &b));
		cr_assert_not_null(strstr(b.got, "Connection: close\r\n"), "%s", b.got);
		bare_close(&b);
		scene_fini(&s);
	}
}

/* One that has said nothing must not hold up the end of a worker. */
Test(front_http2, one_that_is_silent_drains_soon)
{
	for (unsigned opened = 0; opened < 2; opened++) {
		struct http_scene s;
		struct bare b;

		scene_init(&s, both, 0, false);
		cr_assert(scene_enter(&s, PLAIN, &b));
		if (opened)
			rig_rest(&s.rig, 1);
		clients_drain(&s.w.traffic);
		cr_assert(scene_until_ended(&s, &b));
		bare_close(&b);
		ended(&s, PLAIN, CAUSE_CLOSED);
		scene_fini(&s);
	}
}

Test(front_http2, one_that_has_begun_drains_with_its_response)
{
	struct http_scene s;
	struct bare b;

	scene_init(&s, both, 1, false);
	say_first(&s, &b, "P");
	clients_drain(&s.w.traffic);
	rig_rest(&s.rig, 5);
	cr_assert_eq(s.w.traffic.num_clients, 1u);
	bare_say(&b, "UT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
	cr_assert(scene_until_ended(&s, &b));
	cr_assert_not_null(strstr(b.got, "Connection: close\r\n"), "%s", b.got);
	bare_close(&b);
	ended(&s, PLAIN, CAUSE_CLOSED);
	scene_fini(&s);
}

Test(front_http2, one_of_a_listener_that_is_gone_has_its_time)
{
	struct http_scene s;
	struct bare b;

	scene_init(&s, both, 0, false);
	say_first(&s, &b, "P");
	scene_use(&s, other, 7);
	clients_retire(&s.w.traffic, 30000000);
	rig_rest(&s.rig, 5);
	cr_assert_eq(s.w.traffic.num_clients, 1u);
	ended(&s, PLAIN, CAUSE_RETIRED);
	bare_close(&b);
	scene_fini(&s);
}

/* Short memory ends the connection in the midst of what had been heard. */
Test(front_http2, short_memory_is_the_end_of_it_and_no_more)
{
	for (unsigned n = 1; n < 8; n++) {
		struct http_scene s;
		struct bare b;

		scene_init(&s, both, 1, false);
		say_first(&s, &b, "P");
		bare_say(&b, "UT / HT");
		fail_alloc_at(n);
		rig_rest(&s.rig, 2);
		(void)fail_alloc_done();
		bare_close(&b);
		cr_assert(rig_until(&s.rig, nobody_is_left, &s));
		scene_fini(&s);
	}
}

/* ---- HTTP/2 */

static bool is_shaken(void *arg)
{
	int n = SSL_do_handshake(arg);

	ERR_clear_error();
	return n == 1;
}

static void enter(struct http_scene *s, struct http2_peer *p, const char *sni)
{
	static const uint8_t h2[] = { 2, 'h', '2' };
	struct bare b;
	SSL *ssl = NULL;

	cr_assert(scene_enter(s, sni == NULL ? PLAIN : TLS, &b));
	if (sni != NULL) {
		cr_assert_not_null(ssl = SSL_new(s->rig.bare));
		cr_assert(SSL_set_fd(ssl, b.fd));
		cr_assert_eq(SSL_set_alpn_protos(ssl, h2, sizeof(h2)), 0);
		cr_assert(*sni == '\0' || SSL_set_tlsext_host_name(ssl, sni));
		SSL_set_connect_state(ssl);
		cr_assert(rig_until(&s->rig, is_shaken, ssl));
	}
	http2_peer_ask(p, &s->rig, b.fd, ssl);
}

static int32_t get(struct http2_peer *p, const char *host)
{
	return http2_peer_request(p, "GET", host, "/", NULL, NULL, NULL);
}

/* Has come to the server. */
static void arrive(struct http_scene *s, struct bare *server)
{
	cr_assert(scene_accept(s, 0, server));
	cr_assert(scene_until(s, server, "\r\n\r\n"));
}

Test(front_http2, several_requests_are_on_their_way_at_a_time)
{
	static const char *const names[] = { NULL, "world.example" };

	for (unsigned i = 0; i < 2; i++) {
		struct record_request r;
		struct http2_peer p;
		struct http_scene s;
		struct bare servers[3];

		scene_init(&s, both, 0, true);
		enter(&s, &p, names[i]);
		for (unsigned k = 0; k < 3; k++) {
			(void)get(&p, "a.example");
			arrive(&s, &servers[k]);
		}
		cr_assert_eq(scene_cells(&s)->listeners[i].requests_active, 3u);
		for (unsigned k = 3; k-- > 0;) {
			char text[32];

			bare_say(&servers[k], OK);
			(void)snprintf(text, sizeof(text), "data %u ok\nend %u\n", 2 * k + 1,
				       2 * k + 1);
			cr_assert(http2_peer_until(&p, text), "%s", p.story);
			cr_assert(scene_record(&s, &r));
			cr_assert_eq(r.http_version, 20);
			cr_assert_eq(r.status, 200);
		}
		http2_peer_fini(&p);
		ended(&s, i, CAUSE_CLOSED);
		for (unsigned k = 0; k < 3; k++)
			bare_close(&servers[k]);
		scene_fini(&s);
	}
}

Test(front_http2, draining_says_goaway_and_lets_them_end)
{
	struct http2_peer p;
	struct http_scene s;
	struct bare server;

	scene_init(&s, both, 0, false);
	enter(&s, &p, NULL);
	(void)get(&p, "a.example");
	arrive(&s, &server);
	clients_drain(&s.w.traffic);
	cr_assert(http2_peer_until(&p, "goaway 1 NO_ERROR\n"), "%s", p.story);
	cr_assert_eq(s.w.traffic.num_clients, 1u);
	bare_say(&server, OK);
	cr_assert(http2_peer_until(&p, "data 1 ok\nend 1\n"));
	cr_assert(http2_peer_until_ended(&p));
	cr_assert_not(p.reset);
	http2_peer_fini(&p);
	ended(&s, PLAIN, CAUSE_CLOSED);
	bare_close(&server);
	scene_fini(&s);
}

/* All requests of a connection end with it, whoever ends it. */
Test(front_http2, the_end_is_that_of_all_requests)
{
	for (unsigned i = 0; i < 3; i++) {
		struct http2_peer p;
		struct http_scene s;
		struct bare servers[2];
		enum cause why = i == 0 ? CAUSE_DRAIN : i == 1 ? CAUSE_CLIENT_RESET : CAUSE_RETIRED;

		scene_init(&s, both, 0, false);
		enter(&s, &p, NULL);
		for (unsigned k = 0; k < 2; k++) {
			(void)get(&p, "a.example");
			arrive(&s, &servers[k]);
		}
		if (i == 0) {
			clients_end_all(&s.w.traffic, CAUSE_DRAIN);
		} else if (i == 1) {
			rig_reset(p.fd);
			p.fd = -1;
		} else {
			scene_use(&s, other, 7);
			clients_retire(&s.w.traffic, 20000000);
		}
		ended(&s, PLAIN, why);
		cr_assert_eq(scene_cells(&s)->listeners[PLAIN].request_errors[why], 2u);
		for (unsigned k = 0; k < 2; k++) {
			cr_assert_not(scene_until_ended(&s, &servers[k]), "a reset");
			bare_close(&servers[k]);
		}
		http2_peer_fini(&p);
		scene_fini(&s);
	}
}

/* ---- what is left of a turn */

enum {
	CROWD = 600,	 /* more than a turn has time for */
	BODY = 32 << 20, /* more than the system takes */
};

struct crowd {
	struct loop *loop;
	struct loop_task tasks[CROWD];
	bool over;
};

static struct crowd *crowd;

static void push_in(struct loop_task *t)
{
	if (!crowd->over)
		loop_queue(crowd->loop, t, LOOP_TRAFFIC);
}

/* Output that nobody takes breaks the connection, where there is more to do than one turn has time
 * for: what follows from it comes when what was closed in that turn has been freed. */
Test(front_http2, an_end_late_in_a_turn_is_one_like_any_other)
{
	char *body = rig_fill(BODY);
	int room = 4096;
	size_t sent = 0;
	struct http2_peer p;
	struct http_scene s;
	struct bare server;

	cr_assert_not_null(crowd = calloc(1, sizeof(*crowd)));
	scene_init(&s, hasty, 0, false);
	enter(&s, &p, NULL);
	(void)get(&p, "a.example");
	cr_assert_eq(nghttp2_session_set_local_window_size(p.ng, NGHTTP2_FLAG_NONE, 0, BODY), 0);
	cr_assert_eq(nghttp2_session_set_local_window_size(p.ng, NGHTTP2_FLAG_NONE, 1, BODY), 0);
	cr_assert_eq(setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), 0);
	http2_peer_turn(&p);
	p.deaf = true;
	arrive(&s, &server);
	bare_say(&server, "HTTP/1.1 200 OK\r\nContent-Length: 33554432\r\n\r\n");
	crowd->loop = s.rig.loop;
	for (unsigned i = 0; i < CROWD; i++) {
		crowd->tasks[i].run = push_in;
		loop_queue(crowd->loop, &crowd->tasks[i], LOOP_TRAFFIC);
	}
	for (unsigned i = 0; i < 100 && sent < BODY; i++) {
		ssize_t n = send(server.fd, body + sent, BODY - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		sent += n > 0 ? (size_t)n : 0;
		rig_rest(&s.rig, 1);
	}
	cr_assert(rig_until(&s.rig, nobody_is_left, &s));
	crowd->over = true;
	rig_rest(&s.rig, 5);
	cr_assert_eq(scene_cells(&s)->listeners[PLAIN].ended[CAUSE_WRITE_TIMEOUT], 1u);
	cr_assert_gt(scene_cells(&s)->listeners[PLAIN].bytes_sent, 1000u);
	http2_peer_fini(&p);
	bare_close(&server);
	scene_fini(&s);
	free(crowd);
	free(body);
}

/* ---- what an exchange says to HTTP/2 alone */

Test(front_http2, what_is_served_under_another_certificate_is_misdirected)
{
	static const struct {
		const char *sni, *host;
		bool misdirected;
	} cases[] = {
		{ "other.example", "other.example", false },
		{ "other.example", "a.example", true },
		{ "a.example", "other.example", true },
		{ "a.example", "b.example", false },
		{ "", "b.example", false },
		{ "", "other.example", true },
		{ "a.example", "other.example:443", true },
		{ "OTHER.example", "Other.Example:443", false },
	};
	struct http_scene s;

	scene_init(&s, both, 1, true);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *want = cases[i].misdirected ? "response 1 421\n" : "response 1 502\n";
		struct http2_peer p;

		enter(&s, &p, cases[i].sni);
		(void)get(&p, cases[i].host);
		cr_assert(http2_peer_until(&p, want), "%s for %s: %s", cases[i].host, cases[i].sni,
			  p.story);
		http2_peer_fini(&p);
	}
	cr_assert_eq(scene_cells(&s)->listeners[TLS].request_errors[CAUSE_MISDIRECTED], 4u);
	scene_fini(&s);
}

Test(front_http2, without_tls_nothing_is_misdirected)
{
	struct http2_peer p;
	struct http_scene s;

	scene_init(&s, both, 1, false);
	enter(&s, &p, NULL);
	(void)get(&p, "other.example");
	cr_assert(http2_peer_until(&p, "response 1 502\n"));
	http2_peer_fini(&p);
	scene_fini(&s);
}

Test(front_http2, a_call_of_grpc_fails_as_such_calls_do)
{
	struct http2_peer p;
	struct http_scene s;

	scene_init(&s, both, 1, false);
	enter(&s, &p, NULL);
	(void)http2_peer_request(&p, "POST", "a.example", "/x.Y/Z", "", "content-type",
				 "application/grpc");
	cr_assert(http2_peer_until(&p, "response 1 200\nend 1\n"), "%s", p.story);
	cr_assert_not_null(strstr(p.fields, "grpc-status=14\n"), "%s", p.fields);
	cr_assert_not_null(strstr(p.fields, "content-type=application/grpc\n"));
	cr_assert_eq(scene_cells(&s)->listeners[PLAIN].request_errors[CAUSE_CONNECT_REFUSED], 1u);
	http2_peer_fini(&p);
	scene_fini(&s);
}
