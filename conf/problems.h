/* problems: a bounded list of what is wrong with an input, in words for its author. Rooms add
 * to it and return false; only the program prints. One thread at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { PROBLEMS_MAX = 200 }; /* what is past it is counted, not kept */

enum problem_level { PROBLEM_ERROR, PROBLEM_WARNING };

/* One finding. `where` is "FILE:LINE:COL", "FILE: /json/pointer" or "FILE"; `what` is a sentence
 * with the remedy. */
struct problem {
	enum problem_level level;
	char where[512];
	char what[512];
};

struct problems {
	struct problem *list; /* grown on demand */
	size_t num;
	size_t num_errors; /* all that were added, kept or not */
	size_t num_warnings;
	size_t num_dropped; /* past PROBLEMS_MAX, or memory was short */
};

/* problems_init makes an empty list in place; nothing is allocated. */
void problems_init(struct problems *p);

/* problems_fini frees what the list holds; the struct may be reused after problems_init. */
void problems_fini(struct problems *p);

/* problems_add appends a finding; texts that are too long are cut, control characters become
 * '?'. `what` is a printf format. Never fails: what cannot be kept is counted. */
__attribute__((format(printf, 4, 5))) void problems_add(struct problems *p,
							enum problem_level level, const char *where,
							const char *what, ...);

/* problems_print writes one line a finding to `out`: "WHERE: WHAT" with "warning: " before a
 * warning's text, then how many were left out, if any. */
void problems_print(const struct problems *p, FILE *out);
