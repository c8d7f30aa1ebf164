/* buffer: bytes of a body that wait to be sent, or that are kept until it is certain that they
 * need not be sent again. In chunks of the loop. Bounded by whoever appends. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "conf/span.h"
#include "proxy/net/loop.h"

struct buffer {
	struct chunks list;
	size_t len;
};

/* buffer_init makes it empty, in place. */
void buffer_init(struct buffer *b);

/* buffer_append copies `bytes` to its end. False: out of memory; part of them may be there. */
bool buffer_append(struct buffer *b, struct loop *loop, struct span bytes);

/* buffer_at returns the bytes that lie together from offset `at` on; empty at its end. Borrowed
 * until the buffer changes. */
struct span buffer_at(const struct buffer *b, size_t at);

/* buffer_drop forgets the first `n` bytes; at most `len`. */
void buffer_drop(struct buffer *b, struct loop *loop, size_t n);
