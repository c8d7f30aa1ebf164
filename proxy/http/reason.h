/* reason: the phrases that go with status codes. Pure; any thread. */
#pragma once

#include "conf/span.h"

/* http_reason returns the phrase of a code of IANA's HTTP Status Code Registry; empty for any
 * other. */
struct span http_reason(unsigned status);
