#include "proxy/demo/backend.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <unistd.h>

#include "proxy/process/channel.h"

enum { BACKEND_START_WAIT_MS = 10000, BACKEND_MAX_HEAD = 64 << 10, BACKEND_MAX_BODY = 1 << 20 };

static const struct {
	enum evhttp_cmd_type type;
	const char *name;
} backend_methods[] = {
	{ EVHTTP_REQ_GET, "GET" },	 { EVHTTP_REQ_POST, "POST" },
	{ EVHTTP_REQ_HEAD, "HEAD" },	 { EVHTTP_REQ_PUT, "PUT" },
	{ EVHTTP_REQ_DELETE, "DELETE" }, { EVHTTP_REQ_OPTIONS, "OPTIONS" },
	{ EVHTTP_REQ_PATCH, "PATCH" },
};

static const char *backend_method(enum evhttp_cmd_type type)
{
	for (size_t i = 0; i < sizeof(backend_methods) / sizeof(backend_methods[0]); i++) {
		if (backend_methods[i].type == type)
			return backend_methods[i].name;
	}
	return "?";
}

static void backend_answer(struct evhttp_request *request, void *arg)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	struct evbuffer *page = evbuffer_new();
	struct evkeyval *h;

	(void)arg;
	if (page == NULL) {
		evhttp_send_error(request, HTTP_INTERNAL, NULL);
		return;
	}
	(void)evbuffer_add_printf(page,
				  "It works: this page came through Sallyport.\n\n"
				  "The backend was asked:\n\n    %s %s HTTP/%d.%d\n",
				  backend_method(evhttp_request_get_command(request)),
				  evhttp_request_get_uri(request), request->major, request->minor);
	TAILQ_FOREACH(h, evhttp_request_get_input_headers(request), next)
		(void)evbuffer_add_printf(page, "    %s: %s\n", h->key, h->value);
	/* What a browser makes of it must not depend on what was asked. */
	(void)evhttp_add_header(headers, "Content-Type", "text/plain; charset=utf-8");
	(void)evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	evhttp_send_reply(request, HTTP_OK, "OK", page);
	evbuffer_free(page);
}

static void backend_channel_ended(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)event_base_loopbreak(arg);
}

/* The listening socket; -1: none came. */
static int backend_socket(void)
{
	struct pollfd ready = { .fd = CHANNEL_FD, .events = POLLIN };
	int fds[CHANNEL_MAX_FDS];
	struct channel_message m;
	size_t num_fds;

	if (poll(&ready, 1, BACKEND_START_WAIT_MS) != 1 ||
	    channel_receive(CHANNEL_FD, &m, fds, &num_fds) != CHANNEL_GOT || num_fds != 1)
		return -1;
	return fds[0];
}

static bool backend_serve(struct event_base *base, struct evhttp *http, int listener)
{
	enum evhttp_cmd_type methods = 0;

	for (size_t i = 0; i < sizeof(backend_methods) / sizeof(backend_methods[0]); i++)
		methods |= backend_methods[i].type;
	evhttp_set_allowed_methods(http, (ev_uint16_t)methods);
	evhttp_set_max_headers_size(http, BACKEND_MAX_HEAD);
	evhttp_set_max_body_size(http, BACKEND_MAX_BODY);
	evhttp_set_gencb(http, backend_answer, NULL);
	return evhttp_accept_socket(http, listener) == 0 && event_base_dispatch(base) >= 0;
}

int backend_main(void)
{
	struct event_base *base = event_base_new();
	struct evhttp *http = NULL;
	struct event *channel = NULL;
	int listener = backend_socket();
	bool ok = false;

	if (base != NULL && listener >= 0 && (http = evhttp_new(base)) != NULL)
		channel = event_new(base, CHANNEL_FD, EV_READ, backend_channel_ended, base);
	if (channel != NULL && event_add(channel, NULL) == 0)
		ok = backend_serve(base, http, listener);
	if (channel != NULL)
		event_free(channel);
	/* Closes the listening socket, too. */
	if (http != NULL)
		evhttp_free(http);
	if (base != NULL)
		event_base_free(base);
	return ok ? 0 : 3;
}
