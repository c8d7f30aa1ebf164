/* health: what checks in a row say of a server. Pure. */
#pragma once

#include <stdbool.h>

/* One server. Zero: nothing is known, and it is taken for well. */
struct health {
	unsigned streak; /* checks in a row that spoke against what is thought of it */
	bool down;
	bool known;
};

enum health_change { HEALTH_NONE, HEALTH_DOWN, HEALTH_UP };

/* health_note takes the outcome of a check. `fall` in a row take a server down, `rise` bring it
 * back; where nothing is known the first one decides. */
enum health_change health_note(struct health *h, bool ok, unsigned rise, unsigned fall);
