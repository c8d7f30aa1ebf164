/* http1_bridge: the smallest proxy: a server's connection of HTTP/1 joined with a client's, one
 * exchange after the other, both directions with backpressure. Writes down what it passes on. And
 * the two at its ends: an origin that answers everything, and a client that asks. For tests of
 * the codecs against hostile bytes, and against each other. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proxy/http/http1_client.h"
#include "proxy/http/http1_server.h"
#include "proxy/net/loop.h"

/* What was said, in a form that is equal where the meaning is: a head's line and fields, then the
 * body, then how it ended. */
enum { RECORD_BYTES = 64 << 10 };
struct record_text {
	char bytes[RECORD_BYTES];
	size_t len;
	bool whole, overflown;
};

/* A codec on a link; `is_over` once it has ended. */
struct bridge_end {
	struct http1_server *server;
	struct http1_client *client;
	bool is_over;
};

struct bridge {
	struct loop *loop;
	struct http1_limits limits;
	struct client_codec_limits client_limits;
	struct bridge_end front, back;
	struct stream *front_stream, *back_stream; /* NULL: none open */
	bool answered;				   /* the front has got a response's head */
	bool response_begun;			   /* and it was the back's */
	struct record_text request, response;	   /* of the exchange that is on, or was the last */
	unsigned num_requests, num_refused, num_broken;
};

/* bridge_init makes one of two sockets, which become its own. */
void bridge_init(struct bridge *b, struct loop *loop, int front, int back);

/* bridge_fini gives up what there is. */
void bridge_fini(struct bridge *b);

/* Answers each request once it is whole, with an echo of its body's length; 100 where it is waited
 * for. Nothing may be refused: what a bridge passed on is well-formed. */
struct bridge_origin {
	struct http1_limits limits;
	struct bridge_end end;
	struct stream *stream;
	struct record_text request;
	bool broken;
};

/* bridge_origin_init makes one of a socket. */
void bridge_origin_init(struct bridge_origin *o, struct loop *loop, int fd);

/* bridge_origin_fini gives it up. */
void bridge_origin_fini(struct bridge_origin *o);

/* Asks once, and takes what is answered. */
struct bridge_asker {
	struct client_codec_limits limits;
	struct bridge_end end;
	struct stream *stream;
	struct record_text response;
	bool broken;
};

/* bridge_asker_init makes one of a socket. */
void bridge_asker_init(struct bridge_asker *a, struct loop *loop, int fd);

/* bridge_ask asks with a method, and for an upgrade to "ws" where `upgrade`, once the link is
 * open. */
void bridge_ask(struct bridge_asker *a, const char *method, bool upgrade);

/* bridge_asker_fini gives it up. */
void bridge_asker_fini(struct bridge_asker *a);
