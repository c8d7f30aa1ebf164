#include "proxy/observe/text.h"

#include <stdlib.h>

enum { TEXT_FIRST = 4096, TEXT_U64_DIGITS = 20 };

static const char hex_digits[] = "0123456789abcdef";

bool text_room(struct text *t, size_t n)
{
	size_t want;
	char *p;

	if (t->failed)
		return false;
	if (n <= t->cap - t->n)
		return true;
	if (!t->grows || !size_add(&want, t->n, n))
		goto fail;
	if (want < TEXT_FIRST)
		want = TEXT_FIRST;
	if (t->cap <= SIZE_MAX / 2 && want < 2 * t->cap)
		want = 2 * t->cap;
	if ((p = realloc(t->p, want)) == NULL)
		goto fail;
	t->p = p;
	t->cap = want;
	return true;
fail:
	t->failed = true;
	return false;
}

/* Writes the digits of `v` so that they end before `end`; returns where they start. */
static char *digits(char *end, uint64_t v)
{
	do {
		*--end = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	return end;
}

void text_u64(struct text *t, uint64_t v)
{
	char buf[TEXT_U64_DIGITS];
	char *end = buf + sizeof(buf);
	char *start = digits(end, v);

	text_put(t, start, (size_t)(end - start));
}

void text_fraction(struct text *t, uint64_t v, unsigned decimals)
{
	char buf[TEXT_U64_DIGITS + 2];
	char *end = buf + sizeof(buf);
	char *start = end;

	for (unsigned i = 0; i < decimals; i++) {
		*--start = (char)('0' + v % 10);
		v /= 10;
	}
	*--start = '.';
	start = digits(start, v);
	text_put(t, start, (size_t)(end - start));
}

void text_hex16(struct text *t, uint16_t v)
{
	char buf[6] = { '0', 'x' };

	for (unsigned i = 0; i < 4; i++)
		buf[2 + i] = hex_digits[v >> (12 - 4 * i) & 15];
	text_put(t, buf, sizeof(buf));
}

static void two(char *p, unsigned v)
{
	p[0] = (char)('0' + v / 10 % 10);
	p[1] = (char)('0' + v % 10);
}

/* A time of the wall clock, in UTC. */
struct moment {
	unsigned year, month, day; /* month and day from 1 */
	unsigned second, ms;	   /* of the day, of the second */
};

/* Before 1970 counts as 1970. */
static struct moment moment_of(int64_t time_ns)
{
	uint64_t ms = time_ns < 0 ? 0 : (uint64_t)time_ns / 1000000;
	/* Days since 0000-03-01, in eras of 400 years: a leap day then ends a year. */
	unsigned day = (unsigned)(ms / 86400000) + 719468;
	unsigned of_era = day % 146097;
	unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
	unsigned month = (5 * of_year + 2) / 153; /* 0: March */

	return (struct moment){
		.year = year + day / 146097 * 400 + (month >= 10 ? 1 : 0),
		.month = month < 10 ? month + 3 : month - 9,
		.day = of_year - (153 * month + 2) / 5 + 1,
		.second = (unsigned)(ms / 1000 % 86400),
		.ms = (unsigned)(ms % 1000),
	};
}

/* "hh:mm:ss", of which the colons are there. */
static void clock_digits(char *p, unsigned second)
{
	two(p, second / 3600);
	two(p + 3, second / 60 % 60);
	two(p + 6, second % 60);
}

void text_time(struct text *t, int64_t time_ns)
{
	struct moment m = moment_of(time_ns);
	char buf[24] = "yyyy-mm-ddThh:mm:ss.mmm";

	two(buf, m.year / 100);
	two(buf + 2, m.year % 100);
	two(buf + 5, m.month);
	two(buf + 8, m.day);
	clock_digits(buf + 11, m.second);
	buf[20] = (char)('0' + m.ms / 100);
	two(buf + 21, m.ms);
	buf[23] = 'Z';
	text_put(t, buf, sizeof(buf));
}

void text_common_time(struct text *t, int64_t time_ns)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct moment m = moment_of(time_ns);
	char buf[] = "dd/Mmm/yyyy:hh:mm:ss +0000";

	two(buf, m.day);
	memcpy(buf + 3, months + (size_t)3 * (m.month - 1), 3);
	two(buf + 7, m.year / 100);
	two(buf + 9, m.year % 100);
	clock_digits(buf + 12, m.second);
	text_put(t, buf, sizeof(buf) - 1);
}

/* Length of the UTF-8 character (RFC 3629) of more than one byte at `p`, 0 where it is none;
 * `*code` is its number. Overlong forms, surrogates and what is past U+10FFFF are none. */
static size_t utf8_character(const uint8_t *p, size_t left, uint32_t *code)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	uint32_t c = p[0] & (0x7fu >> n);

	if (p[0] < 0xc2 || p[0] > 0xf4 || n > left)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*code = c;
	return n;
}

/* One step through text that may be anything. */
struct character {
	size_t n;      /* bytes it takes */
	uint32_t code; /* what it is */
	enum { CHARACTER_GOOD, CHARACTER_CONTROL, CHARACTER_INVALID } kind;
};

static struct character next_character(struct span s, size_t at)
{
	const uint8_t *p = (const uint8_t *)s.p + at;
	struct character c = { .n = 1, .code = p[0], .kind = CHARACTER_GOOD };

	if (p[0] >= 0x80 && (c.n = utf8_character(p, s.n - at, &c.code)) == 0)
		return (struct character){ .n = 1, .code = 0xfffd, .kind = CHARACTER_INVALID };
	/* U+2028 and U+2029 end lines for many who read them. */
	if (c.code < 0x20 || (c.code >= 0x7f && c.code <= 0x9f) || c.code == 0x2028 ||
	    c.code == 0x2029)
		c.kind = CHARACTER_CONTROL;
	return c;
}

static void json_escape(struct text *t, uint32_t code)
{
	char buf[6] = { '\\', 'u', 0, 0, 0, 0 };

	for (unsigned i = 0; i < 4; i++)
		buf[2 + i] = hex_digits[code >> (12 - 4 * i) & 15];
	text_put(t, buf, sizeof(buf));
}

/* Printable ASCII that stands for itself within quotes. */
static bool is_plain(char ch)
{
	uint8_t c = (uint8_t)ch;

	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

void text_json(struct text *t, struct span s)
{
	size_t i = 0;

	TEXT_PUT(t, "\"");
	while (i < s.n) {
		size_t run = i;
		struct character c;

		while (run < s.n && is_plain(s.p[run]))
			run++;
		text_put(t, s.p + i, run - i);
		if ((i = run) == s.n)
			break;
		c = next_character(s, i);
		if (c.kind != CHARACTER_GOOD) {
			json_escape(t, c.code);
		} else {
			if (c.n == 1) /* a quote or a backslash */
				TEXT_PUT(t, "\\");
			text_put(t, s.p + i, c.n);
		}
		i += c.n;
	}
	TEXT_PUT(t, "\"");
}

void text_plain(struct text *t, struct span s, size_t keep)
{
	for (size_t i = 0; i < s.n;) {
		struct character c = next_character(s, i);

		if (!t->grows && (t->cap - t->n < keep || t->cap - t->n - keep < c.n))
			return;
		if (c.kind == CHARACTER_GOOD)
			text_put(t, s.p + i, c.n);
		else
			TEXT_PUT(t, "?");
		i += c.n;
	}
}

void text_hex_escaped(struct text *t, struct span s, bool keep_spaces)
{
	for (size_t i = 0; i < s.n;) {
		char buf[4] = { '\\', 'x', 0, 0 };
		size_t run = i;

		while (run < s.n && is_plain(s.p[run]) && (keep_spaces || s.p[run] != ' '))
			run++;
		text_put(t, s.p + i, run - i);
		if ((i = run) == s.n)
			break;
		buf[2] = "0123456789ABCDEF"[(uint8_t)s.p[i] >> 4];
		buf[3] = "0123456789ABCDEF"[(uint8_t)s.p[i] & 15];
		text_put(t, buf, sizeof(buf));
		i++;
	}
}

void text_ipv4(struct text *t, const uint8_t *address)
{
	char buf[16];
	char *end = buf + sizeof(buf);
	char *start = end;

	for (size_t i = 4; i-- > 0;) {
		start = digits(start, address[i]);
		if (i > 0)
			*--start = '.';
	}
	text_put(t, start, (size_t)(end - start));
}

/* The longest run of two or more zero groups, the first of equals (RFC 5952 4.2); `*from` 8:
 * none. */
static void longest_zeros(const unsigned *groups, size_t *from, size_t *to)
{
	*from = *to = 8;
	for (size_t i = 0; i < 8;) {
		size_t run = i;

		while (run < 8 && groups[run] == 0)
			run++;
		if (run - i >= 2 && run - i > *to - *from) {
			*from = i;
			*to = run;
		}
		i = run + 1;
	}
}

void text_ipv6(struct text *t, const uint8_t *address)
{
	unsigned groups[8];
	size_t from, to;
	char buf[40];
	char *p = buf;

	for (size_t i = 0; i < 8; i++)
		groups[i] = (unsigned)address[2 * i] << 8 | address[2 * i + 1];
	longest_zeros(groups, &from, &to);
	for (size_t i = 0; i < 8; i++) {
		if (i == from) {
			*p++ = ':';
			*p++ = ':';
			i = to - 1;
			continue;
		}
		if (i > 0 && i != to)
			*p++ = ':';
		for (unsigned shift = 16; shift > 0;) {
			shift -= 4;
			if (shift == 0 || groups[i] >> shift != 0)
				*p++ = hex_digits[groups[i] >> shift & 15];
		}
	}
	text_put(t, buf, (size_t)(p - buf));
}
