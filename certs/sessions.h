/* sessions: TLS sessions with servers, to be resumed: a few for each place, which is a server.
 * Shared, by count, by a pool's client_tls and its connections. One thread. */
#pragma once

#include <stdint.h>

#include "certs/compat.h"

enum { SESSIONS_EACH = 4 }; /* kept for a place; most servers give two a connection */

struct sessions;

/* sessions_new makes an empty set for `places`. NULL: out of memory. */
struct sessions *sessions_new(uint32_t places);

/* sessions_ref takes a reference and returns `s`. */
struct sessions *sessions_ref(struct sessions *s);

/* sessions_unref gives one up; the last one frees. NULL is fine. */
void sessions_unref(struct sessions *s);

/* sessions_put keeps `session`, which it owns from here on, for `place`; the oldest makes room. */
void sessions_put(struct sessions *s, uint32_t place, SSL_SESSION *session);

/* sessions_take returns the newest for `place`, with a reference that is the caller's; NULL: there
 * is none. One that is to be used once only is taken out (RFC 8446 C.4). */
SSL_SESSION *sessions_take(struct sessions *s, uint32_t place);
