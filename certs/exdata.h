/* exdata: the one object that this room hangs on an SSL, dropped with it. The slot's number is
 * given out once in a process by the library: the only thing here that outlives its owner. */
#pragma once

#include <stdbool.h>

#include "certs/compat.h"

struct signing;

/* First member of what is hung on an SSL. */
struct exdata {
	void (*drop)(struct exdata *x); /* frees it */
	struct signing *signing;	/* in it: of the SSL's handshake */
};

/* exdata_set hangs `x` on `ssl`, which then owns it, in place of what was there. False: out of
 * memory; `x` is still the caller's. */
bool exdata_set(SSL *ssl, struct exdata *x);

/* exdata_get returns what hangs on `ssl`, or NULL. */
struct exdata *exdata_get(const SSL *ssl);

/* exdata_drop frees what hangs on `ssl`, if anything. */
void exdata_drop(SSL *ssl);
