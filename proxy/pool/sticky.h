/* sticky: which server of a pool a client has been to, in a cookie that it cannot make up: the
 * server's identity and a signature (HMAC-SHA-256). One per pool. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "conf/span.h"

enum { STICKY_TOKEN = 32 }; /* bytes of a token, printable */

struct sticky;

/* sticky_new makes the tokens of the servers of `pool`, signed with a key made of `secret`. The
 * same secret makes the same tokens, anywhere. NULL: out of memory. */
struct sticky *sticky_new(const struct conf_pool *pool, struct span secret);

/* sticky_free drops it. NULL is fine. */
void sticky_free(struct sticky *s);

/* sticky_token returns the token of server `place`: STICKY_TOKEN bytes. */
struct span sticky_token(const struct sticky *s, uint32_t place);

/* sticky_find looks whose token it is. False: nobody's. */
bool sticky_find(const struct sticky *s, struct span token, uint32_t *place);
