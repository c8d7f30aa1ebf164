/* key_loads: the key tables of all generations that a worker may still need, as the supervisor
 * keeps them for a keeper that is started again. It passes them on and never looks inside. One
 * thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "proxy/process/handle.h"

struct key_load {
	TAILQ_ENTRY(key_load) entry;
	uint32_t generation;
	struct handle *table;
};

struct key_loads {
	TAILQ_HEAD(key_load_list, key_load) list; /* oldest first */
};

/* key_loads_init makes it empty. */
void key_loads_init(struct key_loads *l);

/* key_loads_add takes a reference to the table of the newest generation. False: out of memory. */
bool key_loads_add(struct key_loads *l, uint32_t generation, struct handle *table);

/* key_loads_drop wipes those of generations below `below`. True: there was one. */
bool key_loads_drop(struct key_loads *l, uint32_t below);

/* key_loads_fini wipes all. */
void key_loads_fini(struct key_loads *l);
