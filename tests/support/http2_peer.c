#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "conf/must.h"
#include "tests/support/http2_side.h"

enum { FRAME_HEAD = 9, BLOCK_ROOM = 256 << 10 };

void h2_write_down(char *story, size_t *len, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(story + *len, H2_STORY - *len, format, args);
	va_end(args);
	MUST(n >= 0);
	*len += (size_t)n;
	if (*len >= H2_STORY)
		*len = H2_STORY - 1;
}

#define note(s, ...) h2_write_down((s)->heard, &(s)->heard_len, __VA_ARGS__)

/* ---- what the peer says */

static void append(uint8_t **to, size_t *len, size_t *room, const void *bytes, size_t n)
{
	if (*len + n > *room) {
		*room = (*len + n) * 2;
		MUST((*to = realloc(*to, *room)) != NULL);
	}
	if (n > 0)
		memcpy(*to + *len, bytes, n);
	*len += n;
}

void h2_raw(struct h2_side *s, const void *bytes, size_t n)
{
	append(&s->out, &s->out_len, &s->out_room, bytes, n);
}

void h2_frame(struct h2_side *s, uint8_t type, uint8_t flags, uint32_t id, const void *payload,
	      size_t n)
{
	uint8_t h[FRAME_HEAD] = {
		(uint8_t)(n >> 16),  (uint8_t)(n >> 8),	  (uint8_t)n,	      type,	  flags,
		(uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id
	};

	h2_raw(s, h, sizeof(h));
	h2_raw(s, payload, n);
}

/* RFC 7541 5.1 with a prefix of 7 bits. */
static size_t put_number(uint8_t *p, size_t n)
{
	size_t len = 1;

	if (n < 127) {
		p[0] = (uint8_t)n;
		return 1;
	}
	p[0] = 127;
	for (n -= 127; n >= 128; n >>= 7)
		p[len++] = (uint8_t)(n | 128);
	p[len++] = (uint8_t)n;
	return len;
}

size_t h2_block(uint8_t *block, size_t room, const char *lines)
{
	size_t len = 0;

	while (*lines != '\0') {
		const char *equals = strchr(lines + 1, '='); /* names may be odd */
		const char *nl = strchr(lines, '\n');
		size_t name, value;

		MUST(nl != NULL);
		if (*lines == '=')
			equals = lines;
		MUST(equals != NULL && equals < nl);
		name = (size_t)(equals - lines);
		value = (size_t)(nl - equals - 1);
		MUST(len + name + value + 16 < room);
		block[len++] = 0; /* a literal, not indexed, with a new name */
		len += put_number(block + len, name);
		memcpy(block + len, lines, name);
		len += name;
		len += put_number(block + len, value);
		for (size_t i = 0; i < value; i++) /* "^" is what a text cannot have */
			block[len++] = (uint8_t)(equals[1 + i] == '^' ? '\0' : equals[1 + i]);
		lines = nl + 1;
	}
	return len;
}

void h2_headers(struct h2_side *s, uint8_t flags, uint32_t id, const char *lines)
{
	uint8_t *block = malloc(BLOCK_ROOM);
	size_t n;

	MUST(block != NULL);
	n = h2_block(block, BLOCK_ROOM, lines);
	h2_frame(s, NGHTTP2_HEADERS, flags | NGHTTP2_FLAG_END_HEADERS, id, block, n);
	free(block);
}

void h2_data(struct h2_side *s, uint8_t flags, uint32_t id, const char *text)
{
	h2_frame(s, NGHTTP2_DATA, flags, id, text, strlen(text));
}

void h2_u32(struct h2_side *s, uint8_t type, uint32_t id, uint32_t number)
{
	uint8_t p[4] = { (uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
			 (uint8_t)number };

	h2_frame(s, type, 0, id, p, sizeof(p));
}

void h2_preface(struct h2_side *s)
{
	if (s->server != NULL)
		h2_raw(s, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
	h2_frame(s, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

static bool is_said(void *arg)
{
	struct h2_side *s = arg;

	while (s->out_len > 0) {
		ssize_t n = send(s->fd, s->out, s->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);

		(void)h2_hear(s);
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0) /* the other end is gone: that is all */
			n = (ssize_t)s->out_len;
		memmove(s->out, s->out + n, s->out_len - (size_t)n);
		s->out_len -= (size_t)n;
	}
	return true;
}

void h2_send(struct h2_side *s)
{
	MUST(rig_until(s->rig, is_said, s));
}

void h2_say_in_pieces(struct h2_side *s, size_t at)
{
	size_t all = s->out_len, rest = all - at;
	uint8_t *kept = malloc(all + 1);

	MUST(kept != NULL && at <= all);
	memcpy(kept, s->out, all);
	s->out_len = at;
	h2_send(s);
	rig_rest(s->rig, 1);
	h2_raw(s, kept + at, rest);
	h2_send(s);
	free(kept);
}

/* ---- what it hears */

static uint32_t number_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void hear_block(struct h2_side *s, const uint8_t *p, size_t n)
{
	nghttp2_nv nv;
	int flags;
	ssize_t rv;

	do {
		flags = 0;
		rv = nghttp2_hd_inflate_hd2(s->inflater, &nv, &flags, p, n, 1);
		MUST(rv >= 0);
		p += rv;
		n -= (size_t)rv;
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			note(s, " %.*s=%.*s", (int)nv.namelen, (const char *)nv.name,
			     (int)nv.valuelen, (const char *)nv.value);
	} while ((flags & NGHTTP2_HD_INFLATE_FINAL) == 0);
	MUST(nghttp2_hd_inflate_end_headers(s->inflater) == 0);
}

static void hear_frame(struct h2_side *s, uint8_t type, uint8_t flags, uint32_t id,
		       const uint8_t *p, size_t n)
{
	bool is_end = (flags & NGHTTP2_FLAG_END_STREAM) != 0;

	switch (type) {
	case NGHTTP2_DATA:
		s->data_heard += n;
		s->num_data++;
		note(s, "DATA %u %zu", id, n);
		if (n <= 64)
			note(s, " %.*s", (int)n, (const char *)p);
		note(s, "%s\n", is_end ? " END" : "");
		break;
	case NGHTTP2_HEADERS:
		MUST(flags & NGHTTP2_FLAG_END_HEADERS);
		note(s, "HEADERS %u", id);
		hear_block(s, p, n);
		note(s, "%s\n", is_end ? " END" : "");
		break;
	case NGHTTP2_RST_STREAM:
		s->num_resets++;
		note(s, "RST %u %s\n", id, nghttp2_http2_strerror(number_at(p)));
		break;
	case NGHTTP2_SETTINGS:
		note(s, "SETTINGS%s", is_end ? " ACK" : "");
		for (size_t i = 0; i + 6 <= n; i += 6)
			note(s, " %u=%u", (unsigned)p[i] << 8 | p[i + 1], number_at(p + i + 2));
		note(s, "\n");
		break;
	case NGHTTP2_PING:
		note(s, "PING%s\n", is_end ? " ACK" : "");
		if (!is_end) { /* a polite peer */
			h2_frame(s, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, p, n);
		}
		break;
	case NGHTTP2_GOAWAY:
		note(s, "GOAWAY %u %s\n", number_at(p), nghttp2_http2_strerror(number_at(p + 4)));
		break;
	case NGHTTP2_WINDOW_UPDATE:
		*(id == 0 ? &s->connection_opened : &s->stream_opened) += number_at(p);
		note(s, "WINDOW %u %u\n", id, number_at(p));
		break;
	default:
		note(s, "frame %u\n", type);
		break;
	}
}

static void hear_frames(struct h2_side *s)
{
	size_t at = 0;

	if (s->client != NULL && s->in_len >= NGHTTP2_CLIENT_MAGIC_LEN &&
	    memcmp(s->in, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN) == 0)
		at = NGHTTP2_CLIENT_MAGIC_LEN;
	while (s->in_len - at >= FRAME_HEAD) {
		const uint8_t *p = s->in + at;
		size_t n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];

		if (s->in_len - at - FRAME_HEAD < n)
			break;
		hear_frame(s, p[3], p[4], number_at(p + 5) & 0x7fffffff, p + FRAME_HEAD, n);
		at += FRAME_HEAD + n;
	}
	memmove(s->in, s->in + at, s->in_len - at);
	s->in_len -= at;
}

bool h2_hear(struct h2_side *s)
{
	uint8_t buf[16384];
	ssize_t n = -1;

	errno = 0;
	while (s->fd >= 0 && !s->got_end && (n = recv(s->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		append(&s->in, &s->in_len, &s->in_room, buf, (size_t)n);
	if (s->in_len > 0)
		hear_frames(s);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		s->got_end = true;
	return s->got_end;
}

struct sought {
	struct h2_side *s;
	const char *text;
};

static bool is_heard(void *arg)
{
	struct sought *x = arg;

	(void)h2_hear(x->s);
	if (x->s->out_len > 0) /* answers to PING */
		(void)is_said(x->s);
	return strstr(x->s->heard, x->text) != NULL;
}

bool h2_until_heard(struct h2_side *s, const char *text)
{
	struct sought x = { s, text };

	return rig_until(s->rig, is_heard, &x);
}

static bool is_told(void *arg)
{
	struct sought *x = arg;

	(void)is_heard(arg);
	return strstr(x->s->story, x->text) != NULL;
}

bool h2_until_told(struct h2_side *s, const char *text)
{
	struct sought x = { s, text };

	return rig_until(s->rig, is_told, &x);
}

static bool has_ended(void *arg)
{
	return h2_hear(arg);
}

bool h2_until_ended(struct h2_side *s)
{
	return rig_until(s->rig, has_ended, s);
}

void h2_begin(struct h2_side *s)
{
	h2_preface(s);
	h2_send(s);
	MUST(h2_until_heard(s, "SETTINGS ACK"));
	h2_frame(s, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
	h2_send(s);
}
