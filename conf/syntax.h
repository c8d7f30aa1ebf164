/* syntax: text to JSON: what is wrong with it as JSON, by line and column. Pure. Any thread. */
#pragma once

#include <stddef.h>

#include <jansson.h>

#include "conf/problems.h"
#include "conf/span.h"

/* syntax_load parses `text`. Of faults that end the parse the first is added to `why`; keys
 * written twice in an object all are, and the later value stays. NULL: nothing could be parsed,
 * or memory was short; each time an error has been added. `file` is named in it. */
json_t *syntax_load(struct span text, const char *file, struct problems *why);
