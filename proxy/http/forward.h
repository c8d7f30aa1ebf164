/* forward: what a request says on its way to a backend and a response on its way back: who the
 * client is and what to believe of that, request ids, Via, Date, edits of the configuration. Works
 * on heads only: the codecs have taken out what concerns a connection. Pure; any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "conf/conf.h"
#include "conf/span.h"
#include "proxy/http/head.h"

/* What is known of a request beside its head. All is borrowed and outlives the head. */
struct forward_facts {
	const struct conf_http *http;
	struct span client;  /* the peer's address as text, without port and brackets */
	uint8_t family;	     /* its family; other than AF_INET and AF_INET6 it has no address */
	uint8_t address[16]; /* its bytes, for `out->address` only */
	bool is_tls;	     /* the listener's */
	uint16_t port;	     /* the listener's; 0: none */
	bool trusted;	     /* the peer lies in trusted_proxies */
	const struct conf_network *trusted_proxies;
	size_t num_trusted_proxies;
	bool (*random)(void *owner, uint8_t bytes[16]); /* fills them; false: could not */
	void *owner;
};

/* What came of it. */
struct forward_result {
	struct span client; /* whom to believe it comes from: text, of the head or the facts */
	uint8_t family;	    /* of the same; and its bytes, as route_query wants them */
	uint8_t address[16];
	struct span request_id; /* empty: there was no randomness for one */
	bool answer_here;	/* OPTIONS with Max-Forwards: 0; goes no further (RFC 9110 7.6.2) */
};

/* forward_request writes into a request what its backend is to know; its authority is told as it
 * came. From a peer that is not trusted, every X-Forwarded-*, Forwarded and X-Request-Id is removed
 * first, whichever of them are written here, also in spellings with "_" that CGI cannot tell from
 * "-". `out->client` is the rightmost address in a trusted peer's X-Forwarded-For that is no
 * trusted proxy itself; the peer where there is none, or where anything that is no address comes
 * first. Depends on no route, so it may come before routing, for conditions on the source; and
 * comes before edits_apply, which has the last word. Short memory shows in `h->failed`. */
void forward_request(struct head *h, const struct forward_facts *f, struct forward_result *out);

/* forward_trailers takes out of a request's trailers what only a proxy may say, and in a head only:
 * there are servers that put both together. */
void forward_trailers(struct head *trailers);

/* forward_response adds Date where missing, of `date` as http_date writes it, and sets Server where
 * the configuration has one. `http` is NULL where the listener is gone. `date` is copied. */
void forward_response(struct head *h, const struct conf_http *http, struct span date);

/* http_date writes the time as RFC 9110 5.6.7 wants it, with a NUL: always 29 characters. */
void http_date(time_t t, char out[30]);

/* edits_apply removes, sets and adds fields as configured. Names and values are borrowed. Setting
 * or adding Host of a request is setting its authority; fields that frame a message or concern a
 * connection are the codecs', and edits of them are passed over. */
void edits_apply(struct head *h, const struct conf_edits *e);

/* hsts_add sets Strict-Transport-Security (RFC 6797 6.1), instead of a backend's. Only for
 * responses over TLS (7.2). */
void hsts_add(struct head *h, const struct conf_hsts *hsts);

/* strip_prefix returns `path`, with its query or without, less a prefix that ends with one of its
 * segments; unchanged where it does not begin so. What is returned begins with '/', and is of
 * `path`, or of `h`. `prefix` is brought into the form of uri.h first. */
struct span strip_prefix(struct head *h, struct span path, const char *prefix);
