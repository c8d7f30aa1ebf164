/* Requests that a server of HTTP/2 refuses, or that its connection takes along: which are sent
 * again, how often, and with what. Real codecs, bare peers; the clients speak HTTP/1. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/http_scene.h"
#include "tests/support/ng_peer.h"

TestSuite(exchange_again, .timeout = 30);

#define CONF(more)                                \
	"{\"listeners\":[" SCENE_LISTENER(        \
		"\"pool\":\"p\"") "],\"pools\":{" \
				  "\"p\":{\"servers\":[\"127.0.0.1:1\"]," more "}}}"
static const char usual[] = CONF("\"protocol\":\"http/2\"");

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"

static struct metrics_server *server_cells(struct http_scene *s)
{
	return &scene_cells(s)->servers[0];
}

static void ask(struct http_scene *s, struct bare *client, const char *text)
{
	cr_assert(scene_enter(s, 0, client));
	bare_say(client, text);
}

static void serve(struct http_scene *s, struct http2_peer *p, uint32_t max_streams)
{
	struct bare b;

	cr_assert(scene_accept(s, 0, &b));
	http2_peer_serve(p, &s->rig, b.fd, NULL, max_streams);
}

struct both {
	struct http2_peer *p;
	struct bare *b;
	const char *text;
};

static bool is_answered(void *arg)
{
	struct both *w = arg;

	if (w->p != NULL)
		http2_peer_turn(w->p);
	(void)bare_hear(w->b);
	return strstr(w->b->got, w->text) != NULL;
}

static bool until_answered(struct http_scene *s, struct http2_peer *p, struct bare *b,
			   const char *text)
{
	struct both w = { p, b, text };

	return rig_until(&s->rig, is_answered, &w);
}

/* One request, so that the connection has been used before. */
static void warm_up(struct http_scene *s, struct http2_peer *p)
{
	struct bare client;

	ask(s, &client, GET("/warm"));
	serve(s, p, 100);
	p->answers = true;
	cr_assert(until_answered(s, p, &client, "\r\n\r\n"));
	p->answers = false;
	bare_close(&client);
}

/* Whatever its method: nothing of it has been acted upon. */
Test(exchange_again, a_refused_request_is_sent_again_with_its_body)
{
	struct http2_peer p;
	struct http_scene s;
	struct bare client;

	scene_init(&s, usual, 0, false);
	ask(&s, &client, POST);
	serve(&s, &p, 100);
	cr_assert(http2_peer_until(&p, "data 1 hello\nend 1\n"));
	http2_peer_reset(&p, 1, NGHTTP2_REFUSED_STREAM);
	cr_assert(http2_peer_until(&p, "request 3 POST a /x\n"));
	cr_assert(http2_peer_until(&p, "data 3 hello\nend 3\n"));
	http2_peer_respond(&p, 3, "done");
	cr_assert(until_answered(&s, &p, &client, "HTTP/1.1 200 "));
	cr_assert_eq(server_cells(&s)->retries, 1u);
	cr_assert_eq(server_cells(&s)->connects, 1u, "on the connection that is there");
	bare_close(&client);
	http2_peer_fini(&p);
	scene_fini(&s);
}

Test(exchange_again, a_server_that_always_refuses_is_taken_at_its_word)
{
	struct record_request r;
	struct http2_peer p;
	struct http_scene s;
	struct bare client;
	char text[32];

	scene_init(&s, usual, 0, false);
	ask(&s, &client, POST);
	serve(&s, &p, 100);
	for (int32_t id = 1; id <= 9; id += 2) {
		(void)snprintf(text, sizeof(text), "end %d\n", id);
		cr_assert(http2_peer_until(&p, text));
		http2_peer_reset(&p, id, NGHTTP2_REFUSED_STREAM);
	}
	cr_assert(until_answered(&s, &p, &client, "HTTP/1.1 502 "));
	cr_assert_eq(p.num_requests, 5u);
	cr_assert(scene_record(&s, &r));
	cr_assert_eq(r.cause, CAUSE_SERVER_REFUSED);
	cr_assert_eq(r.attempt, 5u);
	bare_close(&client);
	http2_peer_fini(&p);
	scene_fini(&s);
}

Test(exchange_again, another_reset_is_no_refusal)
{
	struct http2_peer p;
	struct http_scene s;
	struct bare client;

	scene_init(&s, usual, 0, false);
	ask(&s, &client, GET("/x"));
	serve(&s, &p, 100);
	cr_assert(http2_peer_until(&p, "end 1\n"));
	http2_peer_reset(&p, 1, NGHTTP2_INTERNAL_ERROR);
	cr_assert(until_answered(&s, &p, &client, "HTTP/1.1 502 "));
	cr_assert_eq(p.num_requests, 1u);
	bare_close(&client);
	http2_peer_fini(&p);
	scene_fini(&s);
}

Test(exchange_again, what_is_too_long_to_be_kept_is_not_sent_again)
{
	char head[] = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n";
	char *body = calloc(1, 20001);
	struct http2_peer p;
	struct http_scene s;
	struct bare client;

	cr_assert_not_null(body);
	memset(body, 'a', 20000);
	scene_init(&s, usual, 0, false);
	ask(&s, &client, head);
	serve(&s, &p, 100);
	cr_assert(http2_peer_until(&p, "request 1 "));
	bare_say(&client, body);
	cr_assert(http2_peer_until(&p, "end 1\n"));
	http2_peer_reset(&p, 1, NGHTTP2_REFUSED_STREAM);
	cr_assert(until_answered(&s, &p, &client, "HTTP/1.1 502 "));
	cr_assert_eq(p.num_requests, 1u);
	bare_close(&client);
	http2_peer_fini(&p);
	scene_fini(&s);
	free(body);
}

Test(exchange_again, what_goaway_refuses_goes_to_a_new_connection)
{
	struct http2_peer first, second;
	struct http_scene s;
	struct bare client;

	scene_init(&s, usual, 0, false);
	warm_up(&s, &first);
	ask(&s, &client, POST);
	cr_assert(http2_peer_until(&first, "end 3\n"));
	http2_peer_goaway(&first, 1);
	serve(&s, &second, 100);
	second.answers = true;
	cr_assert(until_answered(&s, &second, &client, "HTTP/1.1 200 "));
	cr_assert_not_null(strstr(second.story, "data 1 hello\nend 1\n"), "%s", second.story);
	cr_assert(http2_peer_until_ended(&first));
	bare_close(&client);
	http2_peer_fini(&first);
	http2_peer_fini(&second);
	scene_fini(&s);
}

/* All that may be done twice, on one new connection; the rest may have been acted upon. */
Test(exchange_again, what_a_used_connection_takes_along_may_be_asked_again)
{
	struct http2_peer first, second;
	struct bare gets[3], post;
	struct http_scene s;

	scene_init(&s, usual, 0, false);
	warm_up(&s, &first);
	for (unsigned i = 0; i < 3; i++)
		ask(&s, &gets[i], GET("/x"));
	cr_assert(http2_peer_until(&first, "end 7\n"));
	ask(&s, &post, POST);
	cr_assert(http2_peer_until(&first, "end 9\n"));
	rig_reset(first.fd);
	first.fd = -1;
	cr_assert(until_answered(&s, NULL, &post, "HTTP/1.1 502 "));
	serve(&s, &second, 100);
	second.answers = true;
	for (unsigned i = 0; i < 3; i++) {
		cr_assert(until_answered(&s, &second, &gets[i], "HTTP/1.1 200 "));
		bare_close(&gets[i]);
	}
	cr_assert_eq(second.num_requests, 3u);
	cr_assert_eq(server_cells(&s)->connects, 2u);
	bare_close(&post);
	http2_peer_fini(&first);
	http2_peer_fini(&second);
	scene_fini(&s);
}

Test(exchange_again, what_a_fresh_connection_takes_along_is_lost)
{
	struct http2_peer p;
	struct http_scene s;
	struct bare client;

	scene_init(&s, usual, 0, false);
	ask(&s, &client, GET("/x"));
	serve(&s, &p, 100);
	cr_assert(http2_peer_until(&p, "end 1\n"));
	rig_reset(p.fd);
	p.fd = -1;
	cr_assert(until_answered(&s, NULL, &client, "HTTP/1.1 502 "));
	bare_close(&client);
	http2_peer_fini(&p);
	scene_fini(&s);
}

/* A client that goes takes only its own request along. */
Test(exchange_again, one_that_is_given_up_leaves_the_others)
{
	struct http2_peer p;
	struct http_scene s;
	struct bare a, b;

	scene_init(&s, usual, 0, false);
	warm_up(&s, &p);
	ask(&s, &a, GET("/a"));
	cr_assert(http2_peer_until(&p, "end 3\n"));
	ask(&s, &b, GET("/b"));
	cr_assert(http2_peer_until(&p, "end 5\n"));
	rig_reset(a.fd);
	cr_assert(http2_peer_until(&p, "closed 3 CANCEL\n"), "%s", p.story);
	http2_peer_respond(&p, 5, "done");
	cr_assert(until_answered(&s, &p, &b, "done"));
	cr_assert_eq(server_cells(&s)->active, 1u);
	bare_close(&b);
	http2_peer_fini(&p);
	scene_fini(&s);
}

/* ---- a server that cannot be shared, after all */

struct tls_server {
	SSL_CTX *ctx;
	struct made cert;
};

static void tls_server_init(struct tls_server *t)
{
	CRYPTO_BUFFER *chain;
	size_t len;
	uint8_t *der;

	t->ctx = SSL_CTX_new(TLS_with_buffers_method());
	t->cert = make_cert(&(struct make_options){ .type = MAKE_P256 });
	der = made_cert_der(&t->cert, &len);
	chain = CRYPTO_BUFFER_new(der, len, NULL);
	cr_assert(SSL_CTX_set_chain_and_key(t->ctx, &chain, 1, t->cert.key, NULL));
	CRYPTO_BUFFER_free(chain);
	free(der);
}

static bool is_shaken(void *arg)
{
	int n = SSL_do_handshake(arg);

	ERR_clear_error();
	return n == 1;
}

static SSL *shake(struct http_scene *s, const struct tls_server *t, struct bare *b)
{
	SSL *ssl = SSL_new(t->ctx);

	cr_assert(scene_accept(s, 0, b));
	cr_assert(ssl != NULL && SSL_set_fd(ssl, b->fd));
	SSL_set_accept_state(ssl);
	cr_assert(rig_until(&s->rig, is_shaken, ssl));
	return ssl;
}

static bool has_said(void *arg)
{
	char bytes[4096];
	bool some = SSL_read(arg, bytes, sizeof(bytes)) > 0;

	ERR_clear_error();
	return some;
}

enum { BURST = 10 };

Test(exchange_again, a_burst_to_a_server_of_http1_is_served)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	struct bare clients[BURST], servers[BURST];
	SSL *ssl[BURST];
	struct tls_server t;
	struct http_scene s;

	tls_server_init(&t);
	scene_init(&s, CONF("\"protocol\":\"auto\",\"tls\":{\"verify\":false}"), 0, false);
	for (unsigned i = 0; i < BURST; i++)
		ask(&s, &clients[i], GET("/x"));
	for (unsigned i = 0; i < BURST; i++) {
		ssl[i] = shake(&s, &t, &servers[i]);
		cr_assert(rig_until(&s.rig, has_said, ssl[i]));
	}
	for (unsigned i = 0; i < BURST; i++)
		cr_assert_gt(SSL_write(ssl[i], ok, sizeof(ok) - 1), 0);
	for (unsigned i = 0; i < BURST; i++) {
		cr_assert(until_answered(&s, NULL, &clients[i], "HTTP/1.1 200 "), "%u: %s", i,
			  clients[i].got);
		bare_close(&clients[i]);
	}
	for (unsigned i = 0; i < BURST; i++) {
		SSL_free(ssl[i]);
		bare_close(&servers[i]);
	}
	SSL_CTX_free(t.ctx);
	made_fini(&t.cert);
	scene_fini(&s);
}

/* It is the pool that is full: its server has refused nothing. */
Test(exchange_again, who_finds_no_connection_left_finds_the_pool_full)
{
	struct bare clients[2], server;
	struct tls_server t;
	struct http_scene s;
	SSL *ssl;

	tls_server_init(&t);
	scene_init(&s,
		   CONF("\"protocol\":\"auto\",\"tls\":{\"verify\":false},"
			"\"connections\":{\"max\":1,\"max_pending\":0}"),
		   0, false);
	ask(&s, &clients[0], GET("/x"));
	ask(&s, &clients[1], GET("/x"));
	ssl = shake(&s, &t, &server);
	cr_assert(until_answered(&s, NULL, &clients[1], "HTTP/1.1 503 "), "%s", clients[1].got);
	cr_assert_eq(scene_cells(&s)->listeners[0].request_errors[CAUSE_POOL_FULL], 1u);
	SSL_free(ssl);
	bare_close(&server);
	bare_close(&clients[0]);
	bare_close(&clients[1]);
	SSL_CTX_free(t.ctx);
	made_fini(&t.cert);
	scene_fini(&s);
}
