/* given: what the tests of conf/ share: parse a text, expect success or certain errors. Fails the
 * running test itself. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"

/* A listener and a pool that are right, for tests of the rest. */
#define GIVEN_POOLS "\"pools\":{\"web\":{\"servers\":[\"127.0.0.1:8080\"]}}"
#define GIVEN_LISTENERS "\"listeners\":[{\"address\":\":443\",\"pool\":\"web\"}]"
#define GIVEN_ALL GIVEN_LISTENERS "," GIVEN_POOLS

/* given_env knows HOST=10.0.0.1, EMPTY="", BAD=bytes that are not UTF-8, LINE="a\nb",
 * DOLLAR="${HOST}", BIG=3000 letters; all else is not set. */
const char *given_env(const char *name);

/* given_source is file "t.json" in /etc/sallyport with given_env. */
struct conf_source given_source(void);

/* given_parse parses `json`, which must be right and give no warning. Free with conf_free. */
struct conf *given_parse(const char *json);

/* given_refused parses `json` and expects one error, at `where` ("" for the whole, else a JSON
 * pointer, or LINE:COL for syntax), with `what` in its text. */
void given_refused(const char *json, const char *where, const char *what);

/* given_errors returns how many errors `json` has; it must have at least one. */
size_t given_errors(const char *json);

/* given_equal tells whether two trees hold the same, by the table of keys. */
bool given_equal(const struct conf *a, const struct conf *b);

/* given_file returns the text of a file named from the root of the sources; free it. */
char *given_file(const char *path);
