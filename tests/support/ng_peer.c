#include "tests/support/ng_peer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/must.h"

__attribute__((format(printf, 2, 3))) static void note(struct http2_peer *p, const char *format,
						       ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(p->story + p->len, sizeof(p->story) - p->len, format, args);
	va_end(args);
	MUST(n >= 0 && (size_t)n < sizeof(p->story) - p->len);
	p->len += (size_t)n;
}

/* ---- what it hears */

static int on_begin(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	(void)ng;
	(void)frame;
	((struct http2_peer *)arg)->fields[0] = '\0';
	return 0;
}

static int on_field(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
		    size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		    void *arg)
{
	struct http2_peer *p = arg;
	size_t at = strlen(p->fields);

	(void)ng;
	(void)frame;
	(void)flags;
	(void)snprintf(p->fields + at, sizeof(p->fields) - at, "%.*s=%.*s\n", (int)name_len,
		       (const char *)name, (int)value_len, (const char *)value);
	return 0;
}

static const char *field(struct http2_peer *p, const char *name, char out[256])
{
	const char *at = strstr(p->fields, name);

	out[0] = '\0';
	if (at != NULL)
		(void)snprintf(out, 256, "%.*s", (int)strcspn(at + strlen(name), "\n"),
			       at + strlen(name));
	return out;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct http2_peer *p = arg;
	int32_t id = frame->hd.stream_id;
	char a[256], b[256], c[256];

	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		p->num_requests++;
		note(p, "request %d %s %s %s\n", id, field(p, ":method=", a),
		     field(p, ":authority=", b), field(p, ":path=", c));
	} else if (frame->hd.type == NGHTTP2_HEADERS && strstr(p->fields, ":status=") != NULL) {
		note(p, "response %d %s\n", id, field(p, ":status=", a));
	} else if (frame->hd.type == NGHTTP2_GOAWAY) {
		note(p, "goaway %d %s\n", frame->goaway.last_stream_id,
		     nghttp2_http2_strerror(frame->goaway.error_code));
	}
	/* Of the first settings it may come before there is anything else: it is not told. */
	if (frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 &&
	    p->num_settled++ > 0)
		note(p, "settled\n");
	if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
		return 0;
	note(p, "end %d\n", id);
	if (p->answers && nghttp2_session_check_server_session(ng))
		http2_peer_respond(p, id, "ok");
	return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n,
		   void *arg)
{
	(void)ng;
	(void)flags;
	note(arg, "data %d %.*s\n", id, n > 64 ? 64 : (int)n, (const char *)bytes);
	return 0;
}

static int on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
	(void)ng;
	note(arg, "closed %d %s\n", id, nghttp2_http2_strerror(code));
	return 0;
}

/* ---- its socket */

static ssize_t on_send(nghttp2_session *ng, const uint8_t *bytes, size_t n, int flags, void *arg)
{
	struct http2_peer *p = arg;
	ssize_t sent;

	(void)ng;
	(void)flags;
	if (p->ssl != NULL) {
		sent = SSL_write(p->ssl, bytes, (int)n);
		ERR_clear_error();
		return sent > 0 ? sent : NGHTTP2_ERR_WOULDBLOCK;
	}
	sent = send(p->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	return sent > 0 ? sent : NGHTTP2_ERR_WOULDBLOCK;
}

static ssize_t hear(struct http2_peer *p, uint8_t *bytes, size_t room)
{
	ssize_t n;

	errno = 0;
	if (p->ssl == NULL) {
		n = recv(p->fd, bytes, room, MSG_DONTWAIT);
		p->reset = p->reset || (n < 0 && errno != EAGAIN);
		p->ended = p->ended || n == 0 || p->reset;
		return n;
	}
	n = SSL_read(p->ssl, bytes, (int)room);
	if (n <= 0) {
		int why = SSL_get_error(p->ssl, (int)n);

		p->ended = p->ended || why != SSL_ERROR_WANT_READ;
		p->reset = p->reset || (p->ended && why != SSL_ERROR_ZERO_RETURN);
		ERR_clear_error();
	}
	return n;
}

void http2_peer_turn(struct http2_peer *p)
{
	uint8_t bytes[16384];
	ssize_t n;

	MUST(p->ng != NULL);
	while (!p->deaf && !p->ended && (n = hear(p, bytes, sizeof(bytes))) > 0)
		MUST(nghttp2_session_mem_recv(p->ng, bytes, (size_t)n) == n);
	(void)nghttp2_session_send(p->ng);
}

/* ---- making */

static void begin(struct http2_peer *p, struct rig *r, int fd, SSL *ssl, bool serves)
{
	nghttp2_session_callbacks *c;
	nghttp2_option *o;

	memset(p, 0, sizeof(*p));
	p->rig = r;
	p->fd = fd;
	p->ssl = ssl;
	MUST(nghttp2_session_callbacks_new(&c) == 0 && nghttp2_option_new(&o) == 0);
	nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin);
	nghttp2_session_callbacks_set_on_header_callback(c, on_field);
	nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(c, on_close);
	nghttp2_session_callbacks_set_send_callback(c, on_send);
	MUST((serves ? nghttp2_session_server_new2(&p->ng, c, p, o)
		     : nghttp2_session_client_new2(&p->ng, c, p, o)) == 0);
	nghttp2_session_callbacks_del(c);
	nghttp2_option_del(o);
}

static void say_settings(struct http2_peer *p, uint32_t max_streams)
{
	nghttp2_settings_entry entry = { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, max_streams };

	MUST(nghttp2_submit_settings(p->ng, NGHTTP2_FLAG_NONE, &entry, 1) == 0);
}

void http2_peer_settings(struct http2_peer *p, uint32_t max_streams)
{
	say_settings(p, max_streams);
	http2_peer_turn(p);
}

void http2_peer_serve(struct http2_peer *p, struct rig *r, int fd, SSL *ssl, uint32_t max_streams)
{
	begin(p, r, fd, ssl, true);
	say_settings(p, max_streams);
}

void http2_peer_ask(struct http2_peer *p, struct rig *r, int fd, SSL *ssl)
{
	begin(p, r, fd, ssl, false);
	MUST(nghttp2_submit_settings(p->ng, NGHTTP2_FLAG_NONE, NULL, 0) == 0);
	http2_peer_turn(p);
}

void http2_peer_fini(struct http2_peer *p)
{
	if (p->ng == NULL)
		return;
	nghttp2_session_del(p->ng);
	SSL_free(p->ssl);
	if (p->fd >= 0)
		(void)close(p->fd);
	p->ng = NULL;
}

/* ---- what it says */

static ssize_t read_body(nghttp2_session *ng, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
			 nghttp2_data_source *from, void *arg)
{
	const char *body = from->ptr;
	size_t n = strlen(body);

	(void)ng;
	(void)id;
	(void)arg;
	MUST(n <= room); /* bodies of tests are short */
	memcpy(to, body, n);
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static nghttp2_nv pair(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
			     strlen(value), NGHTTP2_NV_FLAG_NONE };
}

int32_t http2_peer_request(struct http2_peer *p, const char *method, const char *authority,
			   const char *path, const char *body, const char *name, const char *value)
{
	nghttp2_data_provider from = { .source = { .ptr = (void *)(uintptr_t)body },
				       .read_callback = read_body };
	nghttp2_nv list[5] = { pair(":method", method), pair(":scheme", "https"),
			       pair(":authority", authority), pair(":path", path) };
	size_t num = 4;
	int32_t id;

	if (name != NULL)
		list[num++] = pair(name, value);
	id = nghttp2_submit_request(p->ng, NULL, list, num, body == NULL ? NULL : &from, NULL);
	MUST(id > 0);
	http2_peer_turn(p);
	return id;
}

void http2_peer_respond(struct http2_peer *p, int32_t id, const char *body)
{
	nghttp2_data_provider from = { .source = { .ptr = (void *)(uintptr_t)body },
				       .read_callback = read_body };
	nghttp2_nv status = pair(":status", "200");

	MUST(nghttp2_submit_response(p->ng, id, &status, 1, &from) == 0);
}

void http2_peer_reset(struct http2_peer *p, int32_t id, uint32_t code)
{
	MUST(nghttp2_submit_rst_stream(p->ng, NGHTTP2_FLAG_NONE, id, code) == 0);
	http2_peer_turn(p);
}

void http2_peer_goaway(struct http2_peer *p, int32_t last)
{
	MUST(nghttp2_submit_goaway(p->ng, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0) == 0);
	http2_peer_turn(p);
}

/* ---- waiting */

struct wish {
	struct http2_peer *p;
	const char *text;
};

static bool is_heard(void *arg)
{
	struct wish *w = arg;

	http2_peer_turn(w->p);
	return strstr(w->p->story, w->text) != NULL;
}

bool http2_peer_until(struct http2_peer *p, const char *text)
{
	struct wish w = { p, text };

	return rig_until(p->rig, is_heard, &w);
}

static bool is_over(void *arg)
{
	struct http2_peer *p = arg;

	http2_peer_turn(p);
	return p->ended;
}

bool http2_peer_until_ended(struct http2_peer *p)
{
	return rig_until(p->rig, is_over, p);
}
