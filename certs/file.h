/* file: a whole file's bytes, bounded, and wiped when let go. For loaders. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/span.h"

struct file {
	char *p;
	size_t n;
	mode_t mode; /* st_mode */
};

/* file_read reads `path`, which must be a regular file (or a link to one) of at most `max` bytes.
 * False, with a sentence in `why` that continues "FILE: ...". */
bool file_read(const char *path, size_t max, struct file *out, char *why, size_t why_len);

/* file_fini wipes and frees; a struct of zero bytes is fine. */
void file_fini(struct file *f);
