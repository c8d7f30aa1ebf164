/* ng_peer: a peer that speaks HTTP/2 by nghttp2's own session, as a client of a front or as a
 * backend server, on a socket with or without TLS. For tests of what is above the codecs; one that
 * speaks wrongly on purpose is http2_side's. Writes down what it hears, a line an event:
 *
 *   request 1 POST a.example /x        response 1 200
 *   data 1 hello                       end 1
 *   closed 1 NO_ERROR                  goaway 1 NO_ERROR
 *   settled (settings after the first have been taken) */
#pragma once

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/rig.h"

enum { H2_PEER_STORY = 64 << 10 };

struct http2_peer {
	struct rig *rig;
	int fd;
	SSL *ssl; /* NULL: plaintext; the peer's */
	nghttp2_session *ng;
	bool answers; /* requests that are whole, with 200 and "ok" */
	bool deaf;    /* takes nothing from its socket */
	bool ended, reset;
	char story[H2_PEER_STORY];
	size_t len;
	char fields[4096]; /* of the last block, "name=value\n" each */
	unsigned num_requests, num_settled;
};

/* http2_peer_serve makes a server of the connected `fd`, and of `ssl` where not NULL, both of which
 * become its own; it takes `max_streams` at a time. */
void http2_peer_serve(struct http2_peer *p, struct rig *r, int fd, SSL *ssl, uint32_t max_streams);

/* http2_peer_ask makes a client of them. */
void http2_peer_ask(struct http2_peer *p, struct rig *r, int fd, SSL *ssl);

/* http2_peer_fini closes it; fine when zero, or done before. */
void http2_peer_fini(struct http2_peer *p);

/* http2_peer_request sends a request with a body (NULL: none) and one more field (NULL: none);
 * returns its stream. */
int32_t http2_peer_request(struct http2_peer *p, const char *method, const char *authority,
			   const char *path, const char *body, const char *name, const char *value);

/* http2_peer_respond answers stream `id` with 200 and `body`. */
void http2_peer_respond(struct http2_peer *p, int32_t id, const char *body);

/* http2_peer_reset ends stream `id` with `code`. */
void http2_peer_reset(struct http2_peer *p, int32_t id, uint32_t code);

/* http2_peer_goaway takes none above `last` any more. */
void http2_peer_goaway(struct http2_peer *p, int32_t last);

/* http2_peer_settings says how many streams it takes now. */
void http2_peer_settings(struct http2_peer *p, uint32_t max_streams);

/* http2_peer_turn sends and hears what there is. */
void http2_peer_turn(struct http2_peer *p);

/* http2_peer_until turns the loop until `text` is in the story. */
bool http2_peer_until(struct http2_peer *p, const char *text);

/* http2_peer_until_ended turns the loop until the other end is gone. */
bool http2_peer_until_ended(struct http2_peer *p);
