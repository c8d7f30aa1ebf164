/* roots: the files of trusted roots that pools name, or the system's, each read once. For
 * loaders. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "certs/file.h"
#include "conf/problems.h"
#include "conf/span.h"

struct roots_file;

struct roots {
	struct roots_file *list;
	size_t num;
};

/* roots_get sets `*out` to the PEM text of `ca`, or of the system's roots where `ca` is NULL; the
 * bytes belong to `r`. False: told in `why`, under the file's path or else `pointer`. */
bool roots_get(struct roots *r, const char *ca, const char *pointer, struct span *out,
	       struct problems *why);

/* roots_fini frees; a struct of zero bytes is fine. */
void roots_fini(struct roots *r);
