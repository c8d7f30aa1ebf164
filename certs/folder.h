/* folder: which certificates lie in a folder: files with chain and key, a certificate with its
 * key beside it, and one level down tls.crt with tls.key (Kubernetes) or fullchain.pem with
 * privkey.pem (certbot). Looks at names only, follows links, passes over what begins with a dot.
 * For loaders. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "conf/problems.h"

enum { FOLDER_MAX_FILES = 400000 };

struct folder_pair {
	char *certificate;
	char *key; /* NULL: in the same file */
};

struct folder {
	struct folder_pair *pairs; /* in the order of names */
	size_t num;
};

/* folder_list lists `path`. False: it cannot be read or holds nothing of use, which was added to
 * `why`, or memory was short. */
bool folder_list(const char *path, struct folder *out, struct problems *why);

/* folder_fini frees; a struct of zero bytes is fine. */
void folder_fini(struct folder *f);

/* folder_key_of returns the path of the key that lies beside `certificate`, to be freed with
 * free(); NULL where there is none. */
char *folder_key_of(const char *certificate);
