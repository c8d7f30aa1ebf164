/* grpc: errors made here, told so that clients of gRPC understand them: a response of headers only,
 * with a status of gRPC's own. Pure; any thread. */
#pragma once

#include <stdbool.h>

#include "proxy/http/head.h"

/* grpc_is_request tells whether `h` (NULL: no) is a call of gRPC, which takes HTTP/2. */
bool grpc_is_request(const struct head *h);

/* grpc_answer makes the response for what would be the error `status`; `why` is text for people,
 * printable ASCII. It has no body. NULL: out of memory. */
struct head *grpc_answer(unsigned status, const char *why);
