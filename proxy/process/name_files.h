/* name_files: the files in which the system says how names become addresses. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "conf/span.h"
#include "proxy/process/resolver.h"

enum name_file { NAME_FILE_RESOLV_CONF, NAME_FILE_HOSTS, NAME_FILES };

/* name_files_path returns where a file lies. */
const char *name_files_path(enum name_file which);

/* name_files_open opens a file for reading, which must be a regular one. -1: there is none. */
int name_files_open(enum name_file which);

/* name_files_tell tells `r` what the files say; a descriptor of -1 is an empty one. They stay the
 * caller's. What is past RESOLV_MAX_TEXT is left out. False: out of memory, `r` is as before. */
bool name_files_tell(struct resolver *r, const int fds[NAME_FILES]);
