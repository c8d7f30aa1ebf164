/* reason_raise: how the rooms of certs/ tell reason.c why they refuse: through the library's own
 * error queue, so that it stands before what the library then says about it. */
#pragma once

#include "certs/compat.h"
#include "certs/reason.h"

/* reason_raise puts `r` on the thread's error queue. */
static inline void reason_raise(enum tls_reason r)
{
	ERR_put_error(ERR_LIB_USER, 0, (int)r + 1, "", 0); /* 0 would mean no reason */
}
