/* certfile: one certificate as it lies on disk: read, parsed, and checked against its key, its
 * chain and the clock. For loaders. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/index.h"
#include "certs/pem.h"
#include "conf/problems.h"

/* What to read. */
struct certfile_path {
	const char *certificate;
	const char *key;  /* NULL: in the same file */
	bool from_folder; /* then what is plainly something else is passed over with a warning */
	bool for_client;  /* it is shown to servers, not to clients */
};

struct certfile {
	struct pem_file pem;
	enum index_key_type type;
	uint32_t key_bits;
	int64_t not_before_s, not_after_s;
	/* The SAN's host names, in lower case, sorted, each once, each ended by a NUL. */
	char *names;
	size_t names_len;
};

enum certfile_result { CERTFILE_LOADED, CERTFILE_PASSED_OVER, CERTFILE_BAD };

/* certfile_load reads and checks; `now_s` is Unix seconds. Errors (BAD) and warnings are added to
 * `why` under the file's path. `*out` is set where it was LOADED. */
enum certfile_result certfile_load(const struct certfile_path *path, int64_t now_s,
				   struct certfile *out, struct problems *why);

/* certfile_fini frees, and wipes the key; a struct of zero bytes is fine. */
void certfile_fini(struct certfile *c);
