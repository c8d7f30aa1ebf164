/* http2_side: one role of HTTP/2 on a link, with a bare socket as its peer, for tests. The peer
 * speaks in frames that the test makes, wrong ones as well; what it hears is written down, a line
 * a frame, and so is what the role's user is told. */
#pragma once

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/http/http2_client.h"
#include "proxy/http/http2_server.h"
#include "tests/support/rig.h"

enum { H2_STORY = 64 << 10, H2_STREAMS = 512 };

struct h2_side;

/* A stream as its user sees it. */
struct h2_user {
	struct h2_side *side;
	unsigned number; /* from 1 on, in the order in which they came */
	struct stream *stream;
	bool is_open, whole, sent, refused;
	bool keeps; /* does not consume */
	size_t num_bytes, num_unconsumed, num_drained;
	char body[256]; /* the beginning of what came */
	size_t body_len;
};

struct h2_side {
	struct rig *rig;
	int fd; /* the peer; -1: closed */
	struct link *link;
	bool is_up;
	struct http2_server *server;
	struct http2_client *client;
	struct http2_limits limits;
	struct client_codec_limits client_limits;
	struct h2_user users[H2_STREAMS];
	unsigned num_users, num_room;
	bool ended;
	enum cause ended_why;
	/* What to do: the answer to whole requests (NULL: none by itself), and whether bodies are
	 * kept unconsumed. */
	const char *answer;
	bool keeps;
	/* Called after an event was written down, with its first letter; may be NULL. */
	void (*then)(struct h2_user *u, char event);
	/* What the user was told. */
	char story[H2_STORY];
	size_t story_len;
	/* What the peer is about to say, and has heard. */
	uint8_t *out;
	size_t out_len, out_room;
	uint8_t *in;
	size_t in_len, in_room;
	char heard[H2_STORY];
	size_t heard_len;
	bool got_end;
	nghttp2_hd_inflater *inflater;
	uint64_t data_heard;	    /* bytes in DATA frames */
	uint64_t connection_opened; /* by WINDOW_UPDATE on the connection */
	uint64_t stream_opened;	    /* and on streams */
	unsigned num_resets, num_data;
};

/* h2_write_down appends to a story. */
__attribute__((format(printf, 3, 4))) void h2_write_down(char *story, size_t *len,
							 const char *format, ...);

/* h2_limits sets generous limits. */
void h2_limits(struct h2_side *s);

/* h2_serve makes a server of one end of a new connection; the peer says nothing yet. */
void h2_serve(struct h2_side *s, struct rig *r, bool small);

/* h2_ask makes a client of one end of a new connection; the peer says nothing yet. */
void h2_ask(struct h2_side *s, struct rig *r, bool small);

/* h2_fini frees everything. */
void h2_fini(struct h2_side *s);

/* ---- what the peer says: collected by these, sent by h2_send */

/* h2_raw appends bytes. */
void h2_raw(struct h2_side *s, const void *bytes, size_t n);

/* h2_frame appends a frame. */
void h2_frame(struct h2_side *s, uint8_t type, uint8_t flags, uint32_t id, const void *payload,
	      size_t n);

/* h2_block writes a header block of lines "name=value" to `block`, returns its length. */
size_t h2_block(uint8_t *block, size_t room, const char *lines);

/* h2_headers appends HEADERS with END_HEADERS and `flags`. */
void h2_headers(struct h2_side *s, uint8_t flags, uint32_t id, const char *lines);

/* h2_data appends DATA. */
void h2_data(struct h2_side *s, uint8_t flags, uint32_t id, const char *text);

/* h2_u32 appends a frame whose payload is one number: WINDOW_UPDATE, RST_STREAM. */
void h2_u32(struct h2_side *s, uint8_t type, uint32_t id, uint32_t number);

/* h2_preface appends what a client begins with, less the preface where the role is a client's. */
void h2_preface(struct h2_side *s);

/* h2_send lets the peer send what was collected, turning the loop where the socket is full. */
void h2_send(struct h2_side *s);

/* h2_say_in_pieces sends it in two, the loop turning in between. */
void h2_say_in_pieces(struct h2_side *s, size_t at);

/* ---- what came of it */

/* h2_hear takes what has come to the peer. True: the connection has ended. */
bool h2_hear(struct h2_side *s);

/* h2_until_heard turns until the peer has heard `text`. */
bool h2_until_heard(struct h2_side *s, const char *text);

/* h2_until_told turns until the story has `text`. */
bool h2_until_told(struct h2_side *s, const char *text);

/* h2_until_ended turns until the peer has seen the end. */
bool h2_until_ended(struct h2_side *s);

/* h2_begin does the preface, both SETTINGS and their acknowledgements. */
void h2_begin(struct h2_side *s);

/* ---- what a user does */

/* h2_respond sends a whole response and releases the stream. */
void h2_respond(struct h2_user *u, unsigned status, const char *body);

/* h2_send_head sends a response's or request's head. */
void h2_send_head(struct h2_user *u, unsigned status, int64_t length, bool end);

/* h2_release releases the stream. */
void h2_release(struct h2_user *u);

/* h2_consume takes what is not consumed. */
void h2_consume(struct h2_user *u);

/* h2_request opens a stream and sends a request's head. NULL: no room. */
struct h2_user *h2_request(struct h2_side *s, const char *method, const char *path, int64_t length,
			   bool end);
