/* http1_head: the head of a message of HTTP/1, from bytes to struct head. llhttp parses what a scan
 * has passed (http1_scan.h), then the rules of RFC 9112 decide what it means: framing, target and
 * Host, Connection, Upgrade, Expect. Pure. */
#pragma once

#include <stdbool.h>

#include "conf/span.h"
#include "proxy/http/head.h"
#include "proxy/http/http1_scan.h"

/* A head, and what concerns its connection only. */
struct http1_message {
	struct head *head;
	bool chunked; /* the body comes in chunks */
	bool sized;   /* Content-Length told head->length */
	bool keep;    /* its sender lets the connection persist */
};

/* http1_head_parse parses a whole head, a request's or a response's, that a scan has passed. A
 * request: `length` is 0, Content-Length's, or HEAD_UNKNOWN with chunks. A response: `length` is
 * Content-Length's or HEAD_UNKNOWN; whether it has a body at all is for the caller to know. False:
 * `*fault` says why, and `out->head` is NULL or has what is known. The head is the caller's. */
bool http1_head_parse(enum http1_kind kind, struct span bytes, struct http1_message *out,
		      struct http1_fault *fault);

/* http1_trailers_parse makes a head of a whole trailer section that a scan has passed; NULL in
 * `*out` where nothing is left of it. Fields that route, authenticate or frame are left out (RFC
 * 9110 6.5.1). False: `*fault` says why. */
bool http1_trailers_parse(struct span bytes, struct head **out, struct http1_fault *fault);
