/* values: what a string of the configuration may say, one small parser for each kind: durations,
 * sizes, variables, paths, and what makes a text acceptable. Pure: strings in, strings or a reason
 * out. Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/span.h"

enum {
	VALUE_MAX = 4096, /* bytes of any string after expansion, with its NUL; also PATH_MAX */
	VALUE_QUOTE = 64, /* room for value_quote */
};

#define VALUE_MS INT64_C(1000000)
#define VALUE_SECOND INT64_C(1000000000)
#define VALUE_MINUTE (60 * VALUE_SECOND)
#define VALUE_HOUR (60 * VALUE_MINUTE)
#define VALUE_DAY (24 * VALUE_HOUR)

/* value_duration reads a whole number with a unit ("250ms" "30s" "5m" "12h" "2d") into `*ns`.
 * False, leaving `*ns` alone, where it is none or over 292 years. */
bool value_duration(struct span text, int64_t *ns);

/* value_duration_text writes `ns`, a whole number of milliseconds, in its largest whole unit. */
void value_duration_text(int64_t ns, char *out, size_t len);

/* value_size reads a whole number of bytes with a unit or none ("512" "64KiB" "10MiB" "1GiB") into
 * `*bytes`. False, leaving `*bytes` alone, where it is none or over 2^63 - 1. */
bool value_size(struct span text, int64_t *bytes);

/* value_size_text writes `bytes` in their largest whole unit. */
void value_size_text(int64_t bytes, char *out, size_t len);

/* value_utf8 tells whether `text` is well-formed UTF-8 (RFC 3629). */
bool value_utf8(struct span text);

/* value_printable tells whether UTF-8 `text` is free of control characters (C0, DEL, C1). */
bool value_printable(struct span text);

/* value_quote copies `text` for a message, cut to fit with "..." where it is long. */
const char *value_quote(struct span text, char out[VALUE_QUOTE]);

/* value_expand copies `text` to `out` (VALUE_MAX bytes) with "${NAME}" and "${NAME:-default}"
 * replaced and "$${" made "${"; `*len` is the result's length, a NUL follows. As in a shell, the
 * default stands in for a variable that is unset or empty. What a variable holds is not expanded
 * again. False with a sentence in `why`: unset, malformed or too long. */
bool value_expand(struct span text, const char *(*env)(const char *name), char *out, size_t *len,
		  char *why, size_t why_len);

/* value_path makes `path` absolute from `folder` and takes out "//", "/./" and a slash at the
 * end; ".." stays, for a symbolic link may lie before it. `out` has VALUE_MAX bytes. False: too
 * long. */
bool value_path(const char *folder, struct span path, char *out);
