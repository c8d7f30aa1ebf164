#include "proxy/observe/ring.h"

#include <string.h>

#include "conf/must.h"

enum { LENGTH_BYTES = sizeof(uint32_t) };

_Static_assert((RING_BYTES & (RING_BYTES - 1)) == 0, "positions are taken modulo RING_BYTES");
_Static_assert((int)RING_RECORD_MAX + (int)LENGTH_BYTES < (int)RING_BYTES, "a record must fit");

static void copy_in(struct ring_head *h, uint64_t at, const void *from, size_t n)
{
	size_t start = (size_t)(at % RING_BYTES);
	size_t first = n < RING_BYTES - start ? n : RING_BYTES - start;

	memcpy(h->bytes + start, from, first);
	memcpy(h->bytes, (const char *)from + first, n - first);
}

static void copy_out(const struct ring_head *h, uint64_t at, void *to, size_t n)
{
	size_t start = (size_t)(at % RING_BYTES);
	size_t first = n < RING_BYTES - start ? n : RING_BYTES - start;

	memcpy(to, h->bytes + start, first);
	memcpy((char *)to + first, h->bytes, n - first);
}

/* A tail that makes no sense (ahead of the head, or more than the ring behind) gives a `used` past
 * RING_BYTES, which reads as full: the reader is the one who can mend it. */
bool ring_write(struct ring_head *h, const struct ring_tail *t, struct span record)
{
	uint64_t head = __atomic_load_n(&h->head, __ATOMIC_RELAXED);
	uint64_t used = head - __atomic_load_n(&t->tail, __ATOMIC_ACQUIRE);
	uint32_t len = (uint32_t)record.n;

	MUST(record.n > 0 && record.n <= RING_RECORD_MAX);
	if (used > RING_BYTES || RING_BYTES - used < LENGTH_BYTES + record.n)
		return false;
	copy_in(h, head, &len, LENGTH_BYTES);
	copy_in(h, head + LENGTH_BYTES, record.p, record.n);
	__atomic_store_n(&h->head, head + LENGTH_BYTES + record.n, __ATOMIC_RELEASE);
	return true;
}

bool ring_read(const struct ring_head *h, struct ring_tail *t, uint8_t *buf, size_t *len,
	       bool *skipped)
{
	uint64_t head = __atomic_load_n(&h->head, __ATOMIC_ACQUIRE);
	uint64_t tail = __atomic_load_n(&t->tail, __ATOMIC_RELAXED);
	uint64_t available = head - tail;
	uint32_t n;

	*skipped = false;
	if (available == 0)
		return false;
	if (available > RING_BYTES || available < LENGTH_BYTES)
		goto skip;
	copy_out(h, tail, &n, LENGTH_BYTES);
	if (n == 0 || n > RING_RECORD_MAX || n > available - LENGTH_BYTES)
		goto skip;
	copy_out(h, tail + LENGTH_BYTES, buf, n);
	__atomic_store_n(&t->tail, tail + LENGTH_BYTES + n, __ATOMIC_RELEASE);
	*len = n;
	return true;
skip:
	__atomic_store_n(&t->tail, head, __ATOMIC_RELEASE);
	*skipped = true;
	return false;
}

size_t ring_used(const struct ring_head *h, const struct ring_tail *t)
{
	uint64_t used = __atomic_load_n(&h->head, __ATOMIC_RELAXED) -
			__atomic_load_n(&t->tail, __ATOMIC_RELAXED);

	return used > RING_BYTES ? RING_BYTES : (size_t)used;
}
