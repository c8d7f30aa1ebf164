/* hello_name: the name that a client asks for (SNI), from the first bytes of its connection,
 * without ending its TLS: however those are cut into segments, records and fragments (RFC 8446
 * 4, 5.1; RFC 6066 3). Pure. */
#pragma once

#include <stddef.h>

#include "conf/span.h"

enum {
	HELLO_NAME_MAX = 255,	    /* bytes of a name */
	HELLO_MAX_BYTES = 64 << 10, /* of a ClientHello and the heads of its records */
};

enum hello_verdict {
	HELLO_MORE,  /* it is not all there */
	HELLO_WHOLE, /* the name is known; or it is empty: there is none */
	HELLO_BAD,   /* that is no ClientHello */
};

/* hello_name looks at what has come so far, which begins where the connection does. WHOLE: the name
 * is in `name` (HELLO_NAME_MAX + 1 bytes), in lower case. */
enum hello_verdict hello_name(struct span bytes, char *name);
