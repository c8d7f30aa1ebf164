/* head: what begins a message, in the terms that every version of HTTP shares: method, target and
 * status, header fields, and how long the body is. What concerns one connection only (Connection,
 * Transfer-Encoding, Content-Length, Host) is taken out by the codec that read it and written
 * afresh by the one that sends. A head owns all of its texts; fields borrow from it. The same
 * struct carries trailers. One thread. RFC 9110 6. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/span.h"

/* Fields that somebody here looks for: symbol, and its name in lower case. */
#define HEADERS(HEADER)                                                \
	HEADER(OTHER, "")                                              \
	HEADER(ACCEPT, "accept")                                       \
	HEADER(CONNECTION, "connection")                               \
	HEADER(CONTENT_LENGTH, "content-length")                       \
	HEADER(CONTENT_TYPE, "content-type")                           \
	HEADER(DATE, "date")                                           \
	HEADER(EXPECT, "expect")                                       \
	HEADER(FORWARDED, "forwarded")                                 \
	HEADER(HOST, "host")                                           \
	HEADER(HTTP2_SETTINGS, "http2-settings")                       \
	HEADER(KEEP_ALIVE, "keep-alive")                               \
	HEADER(LOCATION, "location")                                   \
	HEADER(MAX_FORWARDS, "max-forwards")                           \
	HEADER(PROXY_CONNECTION, "proxy-connection")                   \
	HEADER(REFERER, "referer")                                     \
	HEADER(SERVER, "server")                                       \
	HEADER(STRICT_TRANSPORT_SECURITY, "strict-transport-security") \
	HEADER(TE, "te")                                               \
	HEADER(TRAILER, "trailer")                                     \
	HEADER(TRANSFER_ENCODING, "transfer-encoding")                 \
	HEADER(UPGRADE, "upgrade")                                     \
	HEADER(USER_AGENT, "user-agent")                               \
	HEADER(VIA, "via")                                             \
	HEADER(X_FORWARDED_FOR, "x-forwarded-for")                     \
	HEADER(X_FORWARDED_HOST, "x-forwarded-host")                   \
	HEADER(X_FORWARDED_PORT, "x-forwarded-port")                   \
	HEADER(X_FORWARDED_PROTO, "x-forwarded-proto")                 \
	HEADER(X_REQUEST_ID, "x-request-id")

enum header_id {
#define HEADER(sym, name) HEADER_##sym,
	HEADERS(HEADER)
#undef HEADER
		HEADER_IDS
};

/* header_id_of returns which field `name` is, whatever its case; HEADER_OTHER for any other. */
enum header_id header_id_of(struct span name);

/* Methods that somebody here treats in a way of its own; METHOD_OTHER is any other that the codec
 * knows. One that it does not know is answered with 501. */
#define METHODS(METHOD)            \
	METHOD(NONE, "")           \
	METHOD(GET, "GET")         \
	METHOD(HEAD, "HEAD")       \
	METHOD(POST, "POST")       \
	METHOD(PUT, "PUT")         \
	METHOD(DELETE, "DELETE")   \
	METHOD(OPTIONS, "OPTIONS") \
	METHOD(PATCH, "PATCH")     \
	METHOD(CONNECT, "CONNECT") \
	METHOD(TRACE, "TRACE")     \
	METHOD(OTHER, "")

enum method {
#define METHOD(sym, name) METHOD_##sym,
	METHODS(METHOD)
#undef METHOD
};

/* method_of returns the method of that name, which is case-sensitive (RFC 9110 9.1);
 * METHOD_OTHER for one that has no symbol here. */
enum method method_of(struct span name);

/* method_is_known tells whether it is one that is passed on at all. */
bool method_is_known(struct span name);

/* method_is_idempotent tells whether a request may be sent twice (RFC 9110 9.2.2). */
bool method_is_idempotent(enum method m);

struct header {
	struct span name;  /* as it came; compared without case */
	struct span value; /* without white space around it */
	enum header_id id;
};

#define HEAD_UNKNOWN INT64_C(-1) /* length: told by the end of the body */

struct head_block;

struct head {
	unsigned magic;
	/* A request's. */
	enum method method;
	struct span method_name;
	struct span authority; /* Host, or that of an absolute target, as it came; may be empty */
	struct span path;      /* origin-form with its query, or "*" */
	bool is_https;	       /* an absolute target said so */
	bool expect_continue;  /* the client waits for 100 before it sends the body */
	bool te_trailers;      /* "TE: trailers" */
	bool extended_connect; /* RFC 8441: `upgrade` was asked for as HTTP/2 does it */
	/* A response's. */
	uint16_t status;
	struct span reason; /* phrase, for HTTP/1 only */
	bool last; /* made here: nothing follows it on its connection, where that carries one
		      message at a time */
	/* Either's. */
	uint8_t version;     /* of the peer it came from: 10, 11 or 20; 0: made here */
	struct span upgrade; /* protocol to change to: asked for, or agreed with 101; else empty */
	int64_t length;	     /* bytes of the body, or HEAD_UNKNOWN */
	struct header *fields;
	uint32_t num, room;
	bool failed; /* memory was short: what was added is not all there */
	struct head_block *blocks;
	size_t used, block_room; /* of the newest block */
};

/* head_new makes an empty head with room for about `text` bytes. NULL: out of memory. */
struct head *head_new(size_t text);

/* head_free drops it. NULL is fine. */
void head_free(struct head *h);

/* head_alloc returns `n` bytes that live as long as `h`, unaligned. NULL: out of memory, and
 * `h->failed` is set. */
char *head_alloc(struct head *h, size_t n);

/* head_copy returns a copy of `s` that `h` owns; empty, with `h->failed` set, where memory was
 * short. */
struct span head_copy(struct head *h, struct span s);

/* head_print is head_copy of what printf would make. */
__attribute__((format(printf, 2, 3))) struct span head_print(struct head *h, const char *format,
							     ...);

/* head_add adds a field behind the others. Name and value are borrowed: from `h`, or from what
 * lives longer. Sets `h->failed` where memory was short. */
void head_add(struct head *h, struct span name, struct span value);

/* head_add_id is head_add of a known field, by its name in lower case. */
void head_add_id(struct head *h, enum header_id id, struct span value);

/* head_set removes every field of that name and adds this one. */
void head_set(struct head *h, struct span name, struct span value);

/* head_find returns the first field with that id, or NULL. */
const struct header *head_find(const struct head *h, enum header_id id);

/* head_find_name returns the first field of that name, whatever its case, or NULL. */
const struct header *head_find_name(const struct head *h, struct span name);

/* head_remove removes every field with that id; not for HEADER_OTHER. */
void head_remove(struct head *h, enum header_id id);

/* head_remove_name removes every field of that name. */
void head_remove_name(struct head *h, struct span name);

/* header_next cuts the next element off a comma-separated list (RFC 9110 5.6.1), without white
 * space around it; commas in quoted strings do not separate. False: there is none left. Empty
 * elements are passed over. */
bool header_next(struct span *list, struct span *element);

/* authority_is_valid tells whether `s` may be a host, with a port or without: no userinfo, and no
 * list of hosts. */
bool authority_is_valid(struct span s);

/* authority_same tells whether two name the same host and port, where the scheme's own port may be
 * left out. */
bool authority_same(struct span a, struct span b, bool is_https);

/* length_parse takes a Content-Length. False: it is no number of bytes. */
bool length_parse(struct span s, int64_t *length);

/* What becomes of a field in trailers (RFC 9110 6.5.1): those that route, authenticate or are acted
 * upon here are left out; those that frame are refused. */
enum trailer { TRAILER_KEPT, TRAILER_DROPPED, TRAILER_REFUSED };

/* trailer_judge tells which. */
enum trailer trailer_judge(const struct header *field);

/* span_trim takes spaces and tabs off both ends. */
struct span span_trim(struct span s);

/* parameter_next cuts what is before the next ';' off `s`, and returns it without white space
 * around it. */
struct span parameter_next(struct span *s);

/* span_eq_nocase compares ASCII text without case. */
bool span_eq_nocase(struct span a, struct span b);
