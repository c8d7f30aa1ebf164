#include "conf/suggest.h"

#include <ctype.h>
#include <stdint.h>

enum { SUGGEST_FAR = 3 };

void suggest_init(struct suggest *s, struct span word)
{
	unsigned limit = (unsigned)(word.n < SUGGEST_MAX ? (word.n + 1) / 3 : 0);

	*s = (struct suggest){ .word = word };
	s->best_distance = 1 + (limit > SUGGEST_FAR ? SUGGEST_FAR : limit);
}

static int lower(char c)
{
	return tolower((unsigned char)c);
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Optimal string alignment distance; at least `enough` where it is that or more. */
static unsigned suggest_distance(struct span a, struct span b, unsigned enough)
{
	unsigned rows[3][SUGGEST_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *now = rows[2], *turn;

	for (unsigned j = 0; j <= b.n; j++)
		last[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		unsigned best = now[0] = (unsigned)i;

		for (size_t j = 1; j <= b.n; j++) {
			unsigned same = lower(a.p[i - 1]) == lower(b.p[j - 1]) ? 0 : 1;

			now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + same);
			if (i > 1 && j > 1 && lower(a.p[i - 1]) == lower(b.p[j - 2]) &&
			    lower(a.p[i - 2]) == lower(b.p[j - 1]))
				now[j] = least(now[j], before[j - 2] + 1);
			best = least(best, now[j]);
		}
		/* A swap may still reach back one row, for one more. */
		if (best > enough)
			return enough;
		turn = before;
		before = last;
		last = now;
		now = turn;
	}
	return last[b.n];
}

void suggest_offer(struct suggest *s, const char *known)
{
	struct span k = span_str(known);
	size_t gap = k.n > s->word.n ? k.n - s->word.n : s->word.n - k.n;
	unsigned distance;

	if (s->word.n >= SUGGEST_MAX || k.n >= SUGGEST_MAX || gap >= s->best_distance)
		return;
	distance = suggest_distance(s->word, k, s->best_distance);
	if (distance < s->best_distance) {
		s->best_distance = distance;
		s->best = known;
	}
}
