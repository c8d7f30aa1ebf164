/* http2_priority: the Priority field of a request (RFC 9218 4): how urgent its response is, and
 * whether parts of it are of use. Pure. */
#pragma once

#include <nghttp2/nghttp2.h>

#include "conf/span.h"

/* http2_priority_parse reads the field's value. What is not understood has its default. */
nghttp2_extpri http2_priority_parse(struct span value);
