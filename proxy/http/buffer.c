#include "proxy/http/buffer.h"

#include "conf/must.h"

void buffer_init(struct buffer *b)
{
	TAILQ_INIT(&b->list);
	b->len = 0;
}

bool buffer_append(struct buffer *b, struct loop *loop, struct span bytes)
{
	while (bytes.n > 0) {
		struct chunk *c = TAILQ_LAST(&b->list, chunks);
		size_t room = c == NULL ? 0 : LOOP_CHUNK_BYTES - c->end;

		if (room == 0) {
			if ((c = loop_chunk(loop)) == NULL)
				return false;
			TAILQ_INSERT_TAIL(&b->list, c, entry);
			room = LOOP_CHUNK_BYTES;
		}
		if (room > bytes.n)
			room = bytes.n;
		memcpy(c->bytes + c->end, bytes.p, room);
		c->end += (uint32_t)room;
		b->len += room;
		bytes = span_of(bytes.p + room, bytes.n - room);
	}
	return true;
}

struct span buffer_at(const struct buffer *b, size_t at)
{
	const struct chunk *c;

	TAILQ_FOREACH(c, &b->list, entry) {
		size_t here = c->end - c->start;

		if (at < here)
			return span_of(c->bytes + c->start + at, here - at);
		at -= here;
	}
	return span_of("", 0);
}

void buffer_drop(struct buffer *b, struct loop *loop, size_t n)
{
	MUST(n <= b->len);
	b->len -= n;
	while (n > 0) {
		struct chunk *c = TAILQ_FIRST(&b->list);
		size_t here = c->end - c->start;

		if (here > n) {
			c->start += (uint32_t)n;
			return;
		}
		n -= here;
		TAILQ_REMOVE(&b->list, c, entry);
		loop_chunk_free(loop, c);
	}
}
