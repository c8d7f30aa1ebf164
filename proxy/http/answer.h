/* answer: responses made here instead of by a backend: errors, redirects, what the configuration
 * responds, OPTIONS. Makes heads and bodies, sends nothing; Date and Server come with
 * forward_response. A body lives as long as its head. Each function returns NULL where memory was
 * short. Pure; any thread. */
#pragma once

#include "conf/conf.h"
#include "conf/span.h"
#include "proxy/http/head.h"

/* answer_error makes a small error page of the type that the request's Accept prefers: JSON, HTML
 * or plain text, which also is for a `request` of NULL and whoever wants none of them. Announces
 * its length, forbids storing; 405 comes with Allow, 503 with `retry_after` in seconds (0: not). A
 * request with HEAD gets the same head, to be sent without the body. */
struct head *answer_error(unsigned status, const struct head *request, unsigned retry_after,
			  struct span *body);

/* answer_redirect makes a redirect without a body. `host` is as uri_host gives it, `target` the
 * path with its query, or "*". To "https": the same target at that host and r->port; NULL, too,
 * where `host` is empty: answer 400 then. To an origin without a path: the same target there.
 * What may not be in a URI is percent-encoded in Location, so that it stays one line. */
struct head *answer_redirect(const struct conf_redirect *r, struct span host, struct span target);

/* answer_respond makes what the configuration says; text where no Content-Type is given. Fields
 * that frame a message are the codecs', as with edits_apply. Status 204, 205 and 304 have no
 * body. The body is borrowed from `r`. */
struct head *answer_respond(const struct conf_respond *r, struct span *body);

/* answer_options makes the answer to OPTIONS that goes no further: `OPTIONS *`, or Max-Forwards: 0
 * (RFC 9110 9.3.7). No body. */
struct head *answer_options(void);
