/* http1_side: one role of HTTP/1 on a link, with a bare socket as its peer, for tests: writes down
 * what it is told, and answers or asks as it is told to. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proxy/http/http1_client.h"
#include "proxy/http/http1_server.h"
#include "tests/support/rig.h"

enum { SIDE_STORY = 16 << 10 };

struct side {
	struct rig *rig;
	int fd; /* the peer; -1: closed */
	struct link *link;
	bool is_up; /* it is open */
	struct http1_server *server;
	struct http1_client *client;
	struct http1_limits limits;
	struct client_codec_limits client_limits;
	/* What happened, a line an event; pieces of a body are put together, so that it does not
	 * depend on how they came. */
	char story[SIDE_STORY];
	size_t story_len;
	bool in_data; /* the last line is a body's */
	/* The stream that is open, if any. */
	struct stream *stream;
	bool is_open, whole, sent, refused;
	unsigned num_requests, num_drained, num_idle;
	bool ended;
	enum cause ended_why;
	/* What to do. Server: the answer to whole requests; NULL: none by itself. */
	const char *answer;
	bool head_to_answer;  /* end the head of the response at once: answer is not sent */
	bool keep_unconsumed; /* data is not consumed */
	size_t num_unconsumed, num_bytes;
	const char *upgrade; /* the client asks for it; NULL: for none */
	/* Called after an event was written down, with its first letter; may be NULL. */
	void (*then)(struct side *s, char event);
	/* What the peer got. */
	char *got;
	size_t got_len, got_room;
	bool got_eof, got_reset;
};

/* side_serve makes a server of one end of a new connection. `limits` may be changed before. */
void side_serve(struct side *s, struct rig *r, bool small);

/* side_ask makes a client of one end of a new connection. */
void side_ask(struct side *s, struct rig *r, bool small);

/* side_pair makes a server and a client of the two ends of a new connection, over TLS where the rig
 * has it. */
void side_pair(struct side *server, struct side *client, struct rig *r);

/* side_limits sets generous limits. */
void side_limits(struct side *s);

/* side_say lets the peer send all of `bytes`, turning the loop where the socket is full. */
void side_say(struct side *s, struct span bytes);

/* side_hear takes what has come to the peer. True: that was all, the connection has ended. */
bool side_hear(struct side *s);

/* side_until_ended turns until the peer has seen the end. False: it did not come. */
bool side_until_ended(struct side *s);

/* side_until_got turns until the peer has got `text` somewhere. */
bool side_until_got(struct side *s, const char *text);

/* side_until_story turns until the story has `text` somewhere. */
bool side_until_story(struct side *s, const char *text);

/* side_respond sends a whole response on the open stream and releases it. */
void side_respond(struct side *s, unsigned status, const char *body);

/* side_release releases the open stream. */
void side_release(struct side *s);

/* side_request opens an exchange and sends a head made of these. False: the connection is dead. */
bool side_request(struct side *s, const char *method, const char *path, int64_t length, bool end);

/* side_fini frees everything. */
void side_fini(struct side *s);
