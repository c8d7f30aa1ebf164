/* store: files to table: reads every certificate and key that a configuration names, checks them
 * and lays out index and key table. Runs in a loader, never in a process that has traffic.
 * Blocking file access. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/index.h"
#include "certs/keys.h"
#include "conf/conf.h"
#include "conf/problems.h"
#include "conf/span.h"

struct store;

/* store_load reads what `c` names. Set n of the index is listener n of `c`,
 * and after those come the pools, with what they show to servers. `now_s` (Unix
 * seconds) decides what is expired. NULL: every problem found was added to `why`, each naming the
 * file; warnings (expired, not yet valid, key readable by others) may be added on success too. */
struct store *store_load(const struct conf *c, int64_t now_s, struct problems *why);

/* store_free wipes the keys and frees all. NULL is fine. */
void store_free(struct store *s);

/* store_index returns the index's bytes, which belong to `s`. */
struct span store_index(const struct store *s);

/* store_keys returns the key table, which belongs to `s`. */
const struct key_table *store_keys(const struct store *s);

/* store_roots returns the PEM text of the roots that pool `pool` of the configuration trusts;
 * empty where it has no TLS or does not verify. Pools with the same file share the same bytes. */
struct span store_roots(const struct store *s, size_t pool);

/* store_count returns the number of certificates loaded. */
size_t store_count(const struct store *s);
