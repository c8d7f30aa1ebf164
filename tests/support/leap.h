/* leap: time that passes at once, for what comes after half a minute. It puts itself in the place
 * of clock_gettime for the whole process, libraries included. */
#pragma once

#include <stdint.h>

/* leap lets `ns` pass on CLOCK_MONOTONIC and its kin. */
void leap(int64_t ns);
