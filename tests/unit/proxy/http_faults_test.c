/* One request and its response from the client's connection to the server's, once for every
 * allocation on its way, which fails. Whatever comes of it is an answer or an end: nothing is left
 * behind, and no count stays up. Leaks are the sanitizer's to find. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/support/fail_alloc.h"
#include "tests/support/http_scene.h"

enum { PLAIN, TLS, ALLOCATIONS_MAX = 1000, ALLOCATIONS_MIN = 4 };

#define LISTENERS                                                 \
	"\"listeners\":[" SCENE_LISTENER(                         \
		"\"pool\":\"p\"") ",{\"name\":\"t\",\"address\":" \
				  "\":2\",\"pool\":\"p\",\"tls\":{\"certificates\":[\"/w.pem\"]}}]"
static const char usual[] = "{" LISTENERS "," SCENE_POOL(",\"connections\":{\"idle\":4}") "}";
static const char one[] = "{" LISTENERS ",\"pools\":{\"p\":{\"servers\":[\"127.0.0.1:1\"]}}}";

struct trial {
	struct http_scene s;
	struct bare client, server;
	SSL *ssl;
	unsigned place;
	const char *request, *whole; /* what is asked; and the end of that, as the server sees it */
	const char *answer;
	bool answered;
	char got[SCENE_GOT]; /* by a client with TLS */
	size_t len;
};

static void say(struct trial *t, const char *text)
{
	if (t->ssl == NULL)
		bare_say(&t->client, text);
	else
		(void)SSL_write(t->ssl, text, (int)strlen(text));
}

/* True: it has ended. */
static bool hear(struct trial *t)
{
	int n;

	if (t->ssl == NULL)
		return bare_hear(&t->client);
	ERR_clear_error();
	if (SSL_in_init(t->ssl)) {
		n = SSL_do_handshake(t->ssl);
		if (n == 1)
			say(t, t->request);
	} else {
		n = SSL_read(t->ssl, t->got + t->len, (int)(sizeof(t->got) - 1 - t->len));
		t->len += n > 0 ? (size_t)n : 0;
	}
	return n <= 0 && SSL_get_error(t->ssl, n) != SSL_ERROR_WANT_READ;
}

static const char *heard(const struct trial *t)
{
	return t->ssl == NULL ? t->client.got : t->got;
}

/* The part of a server: takes who comes, and answers once. */
static void serve(struct trial *t)
{
	for (unsigned i = 0; i < SCENE_SERVERS && t->server.fd < 0; i++)
		t->server.fd = accept4(t->s.listeners[i], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (t->server.fd < 0)
		return;
	if (bare_hear(&t->server)) { /* broken off; there may be another */
		bare_close(&t->server);
		t->server = (struct bare){ .fd = -1 };
		t->answered = false;
	} else if (!t->answered && strstr(t->server.got, t->whole) != NULL) {
		bare_say(&t->server, t->answer);
		t->answered = true;
	}
}

static bool is_over(void *arg)
{
	struct trial *t = arg;

	serve(t);
	return hear(t) || strstr(heard(t), "ok") != NULL || strstr(heard(t), "HTTP/1.1 5") != NULL;
}

/* No client is left, and no connection to a server but idle ones. */
static bool is_quiet(void *arg)
{
	struct trial *t = arg;
	const struct metrics_worker *m = scene_cells(&t->s);

	return t->s.w.traffic.num_clients == 0 &&
	       m->servers[0].active + m->servers[1].active == m->idle_connections;
}

static bool has_nothing(void *arg)
{
	return scene_gauge(&((const struct trial *)arg)->s) == NULL;
}

/* Kept chunks would hide the allocations of new ones. */
static void forget_chunks(struct loop *l)
{
	struct chunk *c;

	while ((c = TAILQ_FIRST(&l->free_chunks)) != NULL) {
		TAILQ_REMOVE(&l->free_chunks, c, entry);
		l->num_free_chunks--;
		free(c);
	}
}

/* The n-th allocation of one request fails; 0: none does. True: the request was answered. */
static bool run(struct trial *t, unsigned n)
{
	bool in;

	t->ssl = NULL;
	t->len = 0;
	memset(t->got, 0, sizeof(t->got));
	t->answered = false;
	bare_forget(&t->server);
	forget_chunks(t->s.rig.loop);
	if (t->place == TLS)
		cr_assert_not_null(t->ssl = SSL_new(t->s.rig.bare));
	fail_alloc_at(n);
	in = scene_enter(&t->s, t->place, &t->client);
	if (t->ssl != NULL) {
		cr_assert(SSL_set_fd(t->ssl, t->client.fd));
		SSL_set_connect_state(t->ssl);
	} else if (in) {
		say(t, t->request);
	}
	cr_assert(rig_until(&t->s.rig, is_over, t), "allocation %u: nothing came of it, but <%s>",
		  n, heard(t));
	return strstr(heard(t), "ok") != NULL;
}

static void tidy(struct trial *t, unsigned n)
{
	const struct metrics_worker *m = scene_cells(&t->s);

	fail_alloc_at(0);
	SSL_free(t->ssl);
	bare_close(&t->client);
	cr_assert(rig_until(&t->s.rig, is_quiet, t), "allocation %u", n);
	cr_assert_eq(m->connections, 0u);
	cr_assert_eq(m->listeners[t->place].active, 0u);
	cr_assert_eq(m->listeners[t->place].requests_active, 0u);
	cr_assert_eq(m->pools_active[0], 0u);
	cr_assert_eq(m->servers[0].requests_active + m->servers[1].requests_active, 0u);
	for (unsigned row = 0; row < BOARD_ADDRESS_ROWS; row++)
		for (unsigned i = 0; i < BOARD_ADDRESS_CELLS; i++)
			cr_assert_eq(t->s.w.traffic.page->addresses[row][i], 0u);
}

/* Nothing is kept for the next. */
static void part(struct trial *t)
{
	bare_close(&t->server);
	t->server = (struct bare){ .fd = -1 };
	cr_assert(rig_until(&t->s.rig, has_nothing, t), "%s is up", scene_gauge(&t->s));
}

static void begin(struct trial *t, const char *json, unsigned place)
{
	memset(t, 0, sizeof(*t));
	scene_init(&t->s, json, 0, place == TLS);
	t->server.fd = -1;
	t->place = place;
	t->request = "GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: u\r\n\r\n";
	t->whole = "\r\n\r\n";
	t->answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
}

/* Until nothing fails any more. `kept`: on a connection that has been used before. */
static void each_fails(struct trial *t, bool kept)
{
	bool more = true;
	unsigned n;

	for (n = 1; more; n++) {
		bool answered;

		cr_assert_lt(n, (unsigned)ALLOCATIONS_MAX);
		if (kept) {
			cr_assert(run(t, 0));
			tidy(t, 0);
			cr_assert_eq(scene_cells(&t->s)->idle_connections, 1u);
		}
		answered = run(t, n);
		more = fail_alloc_happened();
		cr_assert(answered || more);
		tidy(t, n);
		part(t);
	}
	cr_assert_gt(n, (unsigned)ALLOCATIONS_MIN, "it does count allocations");
	cr_assert_gt(scene_cells(&t->s)->listeners[t->place].request_errors[CAUSE_MEMORY], 0u);
	cr_assert_gt(scene_cells(&t->s)->listeners[t->place].ended[CAUSE_MEMORY], 0u);
	scene_fini(&t->s);
}

Test(http_faults, of_a_request)
{
	struct trial t;

	begin(&t, usual, PLAIN);
	each_fails(&t, false);
}

Test(http_faults, of_a_request_on_a_kept_connection)
{
	struct trial t;

	begin(&t, one, PLAIN);
	each_fails(&t, true);
}

Test(http_faults, of_bodies_in_chunks_and_trailers)
{
	struct trial t;

	begin(&t, one, PLAIN);
	t.request = "PUT /a/../b?c HTTP/1.1\r\nHost: A.example:80\r\nTE: trailers\r\n"
		    "Connection: TE\r\nTransfer-Encoding: chunked\r\n\r\n"
		    "5\r\nhello\r\n6\r\n world\r\n0\r\nA: 1\r\n\r\n";
	t.whole = "A: 1\r\n\r\n";
	t.answer = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
		   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		   "1\r\no\r\n2\r\nok\r\n0\r\nB: 2\r\n\r\n";
	each_fails(&t, true);
}

Test(http_faults, of_a_request_that_is_refused)
{
	struct trial t;

	begin(&t, one, PLAIN);
	t.request = "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\nGET ok";
	for (unsigned n = 1; n == 1 || fail_alloc_happened(); n++) {
		cr_assert_lt(n, (unsigned)ALLOCATIONS_MAX);
		(void)run(&t, n);
		if (!fail_alloc_happened())
			cr_assert_eq(strncmp(heard(&t), "HTTP/1.1 400 ", 13), 0);
		tidy(&t, n);
	}
	scene_fini(&t.s);
}

Test(http_faults, of_a_handshake_and_a_request)
{
	struct trial t;

	begin(&t, one, TLS);
	each_fails(&t, false);
}
