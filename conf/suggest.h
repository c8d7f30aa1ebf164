/* suggest: the nearest known word to a misspelt one, for "did you mean". Pure. Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "conf/span.h"

enum { SUGGEST_MAX = 64 }; /* longer words get no suggestion, so that cost stays bounded */

struct suggest {
	struct span word;
	const char *best; /* NULL: nothing near enough */
	unsigned best_distance;
};

/* suggest_init starts a search for what `word` may have meant. */
void suggest_init(struct suggest *s, struct span word);

/* suggest_offer considers `known`, which must outlive `s`. The first of equals stays. Distance is
 * in inserted, deleted, replaced and swapped letters, case ignored; a third of the word, and at
 * most three, may differ. */
void suggest_offer(struct suggest *s, const char *known);
