/* text: appends to a buffer, without printf and without a format to parse: for log lines and the
 * metrics page. Knows JSON strings and times, nothing of what they mean. One thread at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "conf/span.h"

/* What did not fit sets `failed`; from then on nothing is appended. */
struct text {
	char *p;
	size_t n;   /* bytes in use */
	size_t cap; /* bytes at `p` */
	bool grows;
	bool failed;
};

/* text_fixed returns a text that fills `len` bytes at `buf`, which stay the caller's. */
static inline struct text text_fixed(char *buf, size_t len)
{
	return (struct text){ .p = buf, .cap = len };
}

/* text_growing returns an empty text that allocates what it needs: `p` is the caller's to free,
 * also after failure. Only for what has a bound of its own. */
static inline struct text text_growing(void)
{
	return (struct text){ .grows = true };
}

/* text_room makes sure that `n` more bytes fit. False: they do not, and `t` has failed. */
bool text_room(struct text *t, size_t n);

/* text_put appends `n` bytes. */
static inline void text_put(struct text *t, const char *p, size_t n)
{
	if (n == 0 || t->failed || (n > t->cap - t->n && !text_room(t, n)))
		return;
	memcpy(t->p + t->n, p, n);
	t->n += n;
}

/* TEXT_PUT appends a string literal. */
#define TEXT_PUT(t, literal) text_put((t), "" literal, sizeof(literal) - 1)

/* text_str appends a NUL-terminated string. */
static inline void text_str(struct text *t, const char *s)
{
	text_put(t, s, strlen(s));
}

/* text_u64 appends a number in decimal. */
void text_u64(struct text *t, uint64_t v);

/* text_fraction appends v / 10^decimals with all its decimals (1 to 18): 1234, 3 gives "1.234". */
void text_fraction(struct text *t, uint64_t v, unsigned decimals);

/* text_hex16 appends "0x" and four digits. */
void text_hex16(struct text *t, uint16_t v);

/* text_time appends a wall clock time (ns since 1970; before that counts as 1970) as RFC 3339 in
 * UTC with milliseconds: "2026-01-02T03:04:05.678Z". */
void text_time(struct text *t, int64_t time_ns);

/* text_common_time appends a time in the form of Apache's common log format, in UTC:
 * "02/Jan/2026:03:04:05 +0000". */
void text_common_time(struct text *t, int64_t time_ns);

/* text_json appends a JSON string (RFC 8259 7) with its quotes. Control characters, also those of
 * ISO 6429 that UTF-8 can carry, are escaped; each byte that is not UTF-8 becomes \ufffd. */
void text_json(struct text *t, struct span s);

/* text_plain appends `s` for people: control characters and bytes that are not UTF-8 become '?'.
 * Stops, without failing, where fewer than `keep` bytes would be left of a fixed text. */
void text_plain(struct text *t, struct span s, size_t keep);

/* text_hex_escaped appends `s` as printable ASCII: any other byte, a quote, a backslash, and a
 * space unless `keep_spaces`, becomes \xHH. */
void text_hex_escaped(struct text *t, struct span s, bool keep_spaces);

/* text_ipv4 appends 4 bytes of an address as "192.0.2.1". */
void text_ipv4(struct text *t, const uint8_t *address);

/* text_ipv6 appends 16 bytes of an address in the form of RFC 5952, without brackets. */
void text_ipv6(struct text *t, const uint8_t *address);
