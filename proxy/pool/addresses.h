/* addresses: where the servers of one pool are: what the snapshot says and, of a name, what the
 * steward has found since. Which of a server's addresses is next: by priority, weight and turn, the
 * families alternating (RFC 8305 4), and what could not be connected to lately last. One per pool.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proxy/pool/shun.h"
#include "proxy/process/board.h"
#include "proxy/process/snapshot.h"

struct addresses;

enum { ADDRESSES_CHOICE = 8 };

/* The addresses to try, in this order. Borrowed, until the next call. */
struct addresses_choice {
	const struct plan_address *list[ADDRESSES_CHOICE];
	uint32_t num;
};

/* addresses_new makes those of a pool. Borrows all; `shun` may be NULL. NULL: out of memory. */
struct addresses *addresses_new(const struct snapshot *s, const struct plan_pool *pool,
				const struct board *board, const struct shun *shun);

/* addresses_free drops them. NULL is fine. */
void addresses_free(struct addresses *a);

/* addresses_has_any tells whether server `i` of the pool has an address. */
bool addresses_has_any(struct addresses *a, uint32_t i);

/* addresses_choose chooses among those of server `i`. */
void addresses_choose(struct addresses *a, uint32_t i, int64_t now_ns,
		      struct addresses_choice *out);

/* addresses_has tells whether `address`, of `len` bytes, is one of server `i`. */
bool addresses_has(struct addresses *a, uint32_t i, const struct sockaddr_storage *address,
		   socklen_t len);

/* addresses_may_change tells whether those of server `i` are a name's, which come and go. */
bool addresses_may_change(const struct addresses *a, uint32_t i);
