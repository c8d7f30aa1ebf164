/* publication: a snapshot as the supervisor holds it: descriptors to pass on and the plan mapped.
 * Fills in what the supervisor alone knows and seals it; reads no configuration, no certificate.
 * One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/process/handle.h"
#include "proxy/process/plan.h"

struct publication {
	struct handle *snapshot;
	struct handle *keys;
	struct plan *plan; /* writable until sealed, then read-only */
	uint64_t size;
};

/* publication_take maps what a loader made. Owns both descriptors, also on failure. False: `why`
 * is a constant text. */
bool publication_take(struct publication *p, int snapshot_fd, int keys_fd, const char **why);

/* publication_seal makes it immutable and checks once more, for nobody can change it any more.
 * False: `why` is a constant text. */
bool publication_seal(struct publication *p, const char **why);

/* publication_fini unmaps and closes; zero bytes are fine. */
void publication_fini(struct publication *p);
