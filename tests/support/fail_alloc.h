/* fail_alloc: lets allocations of the code under test fail, one after the other. For programs that
 * are linked with --wrap of malloc, calloc, realloc and strndup. One thread. */
#pragma once

/* fail_alloc_at lets the `n`th allocation from now fail, once; 0: none. */
void fail_alloc_at(unsigned n);

/* fail_alloc_happened tells whether it has come to that since. */
int fail_alloc_happened(void);

/* fail_alloc_done ends that. Returns whether the failure has happened. */
int fail_alloc_done(void);
