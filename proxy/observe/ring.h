/* ring: log records from one writing process to one reading process over shared memory. The
 * writer never waits: what finds no room is counted by the caller. Head and bytes lie in the
 * writer's memory, the tail in the reader's; each side treats the other's as hostile. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/span.h"

enum {
	RING_BYTES = 1 << 22, /* a power of two */
	RING_RECORD_MAX = 4096,
};

/* In the writer's page set. */
struct ring_head {
	uint64_t head; /* bytes ever written; stored after the record's bytes */
	uint8_t bytes[RING_BYTES];
};

/* In the reader's page set. */
struct ring_tail {
	uint64_t tail; /* bytes ever read */
};

/* ring_write appends one record (1 to RING_RECORD_MAX bytes). False: no room, nothing written. */
bool ring_write(struct ring_head *h, const struct ring_tail *t, struct span record);

/* ring_read copies the oldest record to `buf` (RING_RECORD_MAX bytes), sets `*len` and moves the
 * tail. False: none. A head or length that makes no sense moves the tail to the head and sets
 * `*skipped`. */
bool ring_read(const struct ring_head *h, struct ring_tail *t, uint8_t *buf, size_t *len,
	       bool *skipped);

/* ring_used returns how many bytes wait to be read, RING_BYTES where head and tail make no
 * sense. */
size_t ring_used(const struct ring_head *h, const struct ring_tail *t);
