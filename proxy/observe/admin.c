#include "proxy/observe/admin.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/must.h"

enum {
	ADMIN_MAGIC = 0x61646d69,
	ADMIN_CONNECTIONS = 32, /* more wait to be accepted */
	ADMIN_HEADERS_MAX = 16 << 10,
	ADMIN_IDLE_S = 10,
	ADMIN_TICK_S = 1,
};

/* One connection: the HTTP server's, and watched by us. */
struct admin_connection {
	LIST_ENTRY(admin_connection) entry;
	struct bufferevent *bufev; /* with a reference of ours */
	int ticks_left;
	struct evhttp_request *waiting; /* for the outcome of a command; NULL: for nothing */
	uint32_t ticket;
};

struct admin {
	unsigned magic;
	struct evhttp *http;
	struct evconnlistener *listener; /* of `http` */
	struct event *tick;
	const struct exposition_source *from;
	struct admin_owner owner;
	uint32_t last_ticket;
	LIST_HEAD(, admin_connection) connections;
	unsigned num_connections;
	int total_s;
};

/* ---- answers */

static void free_page(const void *page, size_t len, void *arg)
{
	(void)len;
	(void)arg;
	free((void *)(uintptr_t)page);
}

/* Sends `body`; to a HEAD only what it would be (RFC 9110 9.3.2). */
static void answer(struct evhttp_request *r, int code, const char *reason, const char *type,
		   struct evbuffer *body)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(r);
	bool head = evhttp_request_get_command(r) == EVHTTP_REQ_HEAD;
	char len[32];

	(void)snprintf(len, sizeof(len), "%zu", evbuffer_get_length(body));
	(void)evhttp_add_header(headers, "Content-Type", type);
	(void)evhttp_add_header(headers, "Content-Length", len);
	(void)evhttp_add_header(headers, "Cache-Control", "no-store");
	(void)evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	(void)evhttp_add_header(headers, "Connection", "close");
	evhttp_send_reply(r, code, reason, head ? NULL : body);
}

/* Answers 200 with a page of malloc's, which becomes the answer's; NULL: there was no memory for
 * it. */
static void answer_page(struct evhttp_request *r, const char *type, char *page, size_t len)
{
	struct evbuffer *body = evbuffer_new();

	if (page == NULL || body == NULL ||
	    evbuffer_add_reference(body, page, len, free_page, NULL) != 0) {
		free(page);
		evhttp_send_error(r, HTTP_INTERNAL, NULL);
	} else {
		answer(r, HTTP_OK, "OK", type, body);
	}
	if (body != NULL)
		evbuffer_free(body);
}

static void answer_text(struct evhttp_request *r, int code, const char *reason, const char *text)
{
	struct evbuffer *body = evbuffer_new();

	if (body == NULL || evbuffer_add(body, text, strlen(text)) != 0)
		evhttp_send_error(r, HTTP_INTERNAL, NULL);
	else
		answer(r, code, reason, "text/plain; charset=utf-8", body);
	if (body != NULL)
		evbuffer_free(body);
}

/* ---- connections: libevent's HTTP server neither counts them nor says when they end */

static void drop(struct admin *a, struct admin_connection *c)
{
	LIST_REMOVE(c, entry);
	a->num_connections--;
	(void)bufferevent_decref(c->bufev);
	free(c);
}

/* The HTTP server takes its callbacks off when it lets go of a connection. */
static bool is_over(const struct admin_connection *c)
{
	bufferevent_event_cb event;

	bufferevent_getcb(c->bufev, NULL, NULL, &event, NULL);
	return event == NULL;
}

static void drop_what_is_over(struct admin *a)
{
	struct admin_connection *next;

	for (struct admin_connection *c = LIST_FIRST(&a->connections); c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		if (is_over(c))
			drop(a, c);
	}
}

static void listen_if_room(struct admin *a)
{
	if (a->num_connections >= ADMIN_CONNECTIONS)
		(void)evconnlistener_disable(a->listener);
	else
		(void)evconnlistener_enable(a->listener);
}

/* What a new connection reads and writes through. NULL: out of memory; the HTTP server then tries
 * for itself. */
static struct bufferevent *connection_new(struct event_base *base, void *arg)
{
	struct admin_connection *c = calloc(1, sizeof(*c));
	struct admin *a = arg;

	CHECK(a, ADMIN_MAGIC);
	if (c == NULL ||
	    (c->bufev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE)) == NULL) {
		free(c);
		return NULL;
	}
	drop_what_is_over(a);
	bufferevent_incref(c->bufev);
	c->ticks_left = a->total_s / ADMIN_TICK_S;
	LIST_INSERT_HEAD(&a->connections, c, entry);
	a->num_connections++;
	listen_if_room(a);
	return c->bufev;
}

/* Ends the waiting for the outcome of a command. */
static void command_answer(struct admin *a, struct admin_connection *c, bool done, const char *text)
{
	struct evhttp_request *r = c->waiting;
	char line[1200];

	(void)snprintf(line, sizeof(line), "%s\n", text);
	c->waiting = NULL;
	c->ticks_left = a->total_s / ADMIN_TICK_S;
	evhttp_connection_set_closecb(evhttp_request_get_connection(r), NULL, NULL);
	if (done)
		answer_text(r, HTTP_OK, "OK", line);
	else
		answer_text(r, 409, "Conflict", line);
}

/* Ends what has taken too long (the HTTP server sees the end of the stream) and listens again. */
static void tick(evutil_socket_t unused, short what, void *arg)
{
	struct admin_connection *c;
	struct admin *a = arg;

	(void)unused;
	(void)what;
	CHECK(a, ADMIN_MAGIC);
	drop_what_is_over(a);
	LIST_FOREACH(c, &a->connections, entry) {
		if (c->ticks_left-- != 0)
			continue;
		if (c->waiting != NULL)
			command_answer(a, c, false, "there was no outcome in time");
		else
			(void)shutdown(bufferevent_getfd(c->bufev), SHUT_RDWR);
	}
	listen_if_room(a);
}

/* Out of descriptors, mostly: the listener would be ready again and again. Until the next tick. */
static void accept_failed(struct evconnlistener *l, void *unused)
{
	(void)unused;
	(void)evconnlistener_disable(l);
}

/* ---- pages */

static void answer_metrics(struct admin *a, struct evhttp_request *r)
{
	const char *accept = evhttp_find_header(evhttp_request_get_input_headers(r), "Accept");
	enum exposition_format format = exposition_choose(accept);
	size_t len = 0;
	char *page = exposition_render(a->from, format, &len);

	answer_page(r, exposition_type(format), page, len);
}

static void answer_health(struct admin *a, struct evhttp_request *r)
{
	if (metrics_read(&a->from->supervisor->draining) != 0)
		answer_text(r, HTTP_SERVUNAVAIL, "Service Unavailable", "draining\n");
	else
		answer_text(r, HTTP_OK, "OK", "ok\n");
}

static void answer_ready(struct admin *a, struct evhttp_request *r)
{
	if (exposition_ready(a->from))
		answer_text(r, HTTP_OK, "OK", "ready\n");
	else
		answer_text(r, HTTP_SERVUNAVAIL, "Service Unavailable",
			    "not ready: no worker serves a configuration yet\n");
}

static void answer_list(struct admin *a, struct evhttp_request *r)
{
	(void)a;
	answer_text(
		r, HTTP_OK, "OK",
		"Sallyport\n\n"
		"/metrics  counters, for Prometheus (also OpenMetrics)\n"
		"/healthz  200 while serving, 503 while draining\n"
		"/readyz   200 once a configuration serves, 503 while draining\n"
		"/status   what is there and how it does, as JSON\n\n"
		"POST, over the unix socket:\n\n"
		"/reload   read configuration and certificates again; answers with the outcome\n"
		"/drain    end as by SIGTERM\n");
}

static void answer_status(struct admin *a, struct evhttp_request *r)
{
	char *text = a->owner.status(a->owner.self);

	answer_page(r, "application/json", text, text == NULL ? 0 : strlen(text));
}

/* ---- commands */

static struct admin_connection *connection_of(struct admin *a, struct evhttp_request *r)
{
	struct bufferevent *bufev =
		evhttp_connection_get_bufferevent(evhttp_request_get_connection(r));
	struct admin_connection *c;

	LIST_FOREACH(c, &a->connections, entry) {
		if (c->bufev == bufev)
			return c;
	}
	return NULL;
}

/* The kernel says who is at the other end of a unix socket. */
static bool may_command(const struct admin *a, const struct admin_connection *c)
{
	int fd = bufferevent_getfd(c->bufev);
	struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(address);
	struct ucred peer;

	if (getsockname(fd, (struct sockaddr *)&address, &len) != 0 || address.ss_family != AF_UNIX)
		return false;
	len = sizeof(peer);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == 0 || peer.uid == a->owner.uid);
}

/* The HTTP server ends the connection, and with it the request; but where the peer is at fault it
 * leaves the request to us. */
static void connection_closed(struct evhttp_connection *unused, void *arg)
{
	struct admin_connection *c = arg;

	(void)unused;
	if (c->waiting != NULL && evhttp_request_get_connection(c->waiting) == NULL)
		evhttp_request_free(c->waiting);
	c->waiting = NULL;
}

static void command(struct admin *a, struct evhttp_request *r, enum admin_command what)
{
	struct admin_connection *c = connection_of(a, r);

	if (c == NULL) {
		evhttp_send_error(r, HTTP_INTERNAL, NULL);
		return;
	}
	if (!may_command(a, c)) {
		answer_text(r, 403, "Forbidden",
			    "commands are taken over a unix socket, from root or the user that "
			    "Sallyport was started by\n");
		return;
	}
	c->waiting = r;
	c->ticket = ++a->last_ticket;
	c->ticks_left = ADMIN_COMMAND_S / ADMIN_TICK_S;
	evhttp_connection_set_closecb(evhttp_request_get_connection(r), connection_closed, c);
	if (!a->owner.command(a->owner.self, what, c->ticket))
		admin_outcome(a, c->ticket, false, "the supervisor does not answer");
}

static void command_reload(struct admin *a, struct evhttp_request *r)
{
	command(a, r, ADMIN_RELOAD);
}

static void command_drain(struct admin *a, struct evhttp_request *r)
{
	command(a, r, ADMIN_DRAIN);
}

void admin_outcome(struct admin *a, uint32_t ticket, bool done, const char *text)
{
	struct admin_connection *c;

	CHECK(a, ADMIN_MAGIC);
	LIST_FOREACH(c, &a->connections, entry) {
		if (c->waiting != NULL && c->ticket <= ticket)
			command_answer(a, c, done, text);
	}
}

/* ---- what may be asked */

static void requested(struct evhttp_request *r, void *arg)
{
	static const struct {
		const char *path;
		bool is_command;
		void (*answer)(struct admin *a, struct evhttp_request *r);
	} endpoints[] = {
		{ "/", false, answer_list },	      { "/metrics", false, answer_metrics },
		{ "/healthz", false, answer_health }, { "/readyz", false, answer_ready },
		{ "/status", false, answer_status },  { "/reload", true, command_reload },
		{ "/drain", true, command_drain },
	};
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(r);
	const char *path = uri == NULL ? NULL : evhttp_uri_get_path(uri);
	enum evhttp_cmd_type method = evhttp_request_get_command(r);
	struct admin *a = arg;

	CHECK(a, ADMIN_MAGIC);
	for (size_t i = 0; path != NULL && i < sizeof(endpoints) / sizeof(endpoints[0]); i++) {
		if (strcmp(path, endpoints[i].path) != 0)
			continue;
		if (endpoints[i].is_command
			    ? method == EVHTTP_REQ_POST
			    : method == EVHTTP_REQ_GET || method == EVHTTP_REQ_HEAD) {
			endpoints[i].answer(a, r);
			return;
		}
		(void)evhttp_add_header(evhttp_request_get_output_headers(r), "Allow",
					endpoints[i].is_command ? "POST" : "GET, HEAD");
		answer_text(r, HTTP_BADMETHOD, "Method Not Allowed",
			    endpoints[i].is_command ? "only POST\n" : "only GET and HEAD\n");
		return;
	}
	answer_text(r, HTTP_NOTFOUND, "Not Found", "no such page; / lists what there is\n");
}

/* ---- life */

static bool listen_on(struct admin *a, int fd)
{
	struct evhttp_bound_socket *bound;

	if (evutil_make_socket_nonblocking(fd) != 0 ||
	    (bound = evhttp_accept_socket_with_handle(a->http, fd)) == NULL)
		return false;
	a->listener = evhttp_bound_socket_get_listener(bound);
	evconnlistener_set_error_cb(a->listener, accept_failed);
	return true;
}

struct admin *admin_new(struct event_base *base, int fd, const struct exposition_source *from,
			const struct admin_owner *owner, int total_s)
{
	static const struct timeval period = { .tv_sec = ADMIN_TICK_S };
	struct admin *a = calloc(1, sizeof(*a));

	if (a == NULL)
		goto fail;
	*a = (struct admin){
		.magic = ADMIN_MAGIC, .from = from, .owner = *owner, .total_s = total_s
	};
	LIST_INIT(&a->connections);
	if ((a->tick = event_new(base, -1, EV_PERSIST, tick, a)) == NULL ||
	    (a->http = evhttp_new(base)) == NULL)
		goto fail;
	evhttp_set_max_headers_size(a->http, ADMIN_HEADERS_MAX);
	evhttp_set_max_body_size(a->http, 0);
	evhttp_set_timeout(a->http, ADMIN_IDLE_S);
	/* All of them, so that the answer is 405 and not 501. */
	evhttp_set_allowed_methods(a->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
						    EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
						    EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
						    EVHTTP_REQ_PATCH);
	evhttp_set_bevcb(a->http, connection_new, a);
	evhttp_set_gencb(a->http, requested, a);
	if (listen_on(a, fd)) {
		fd = -1;
		if (event_add(a->tick, &period) == 0)
			return a;
	}
fail:
	if (fd >= 0)
		(void)close(fd);
	admin_free(a);
	return NULL;
}

void admin_free(struct admin *a)
{
	struct admin_connection *c;

	if (a == NULL)
		return;
	CHECK(a, ADMIN_MAGIC);
	if (a->tick != NULL)
		event_free(a->tick);
	if (a->http != NULL)
		evhttp_free(a->http);
	while ((c = LIST_FIRST(&a->connections)) != NULL)
		drop(a, c);
	a->magic = 0;
	free(a);
}
