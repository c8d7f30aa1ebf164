/* role: entry points of the processes; each runs to its end and returns the exit code. Where
 * `sandboxed`, it enters its sandbox before it hears of anybody but the supervisor. */
#pragma once

#include <stdbool.h>

/* The argument that asks for it. */
#define ROLE_SANDBOXED "sandboxed"

/* worker_main serves traffic; its channel is CHANNEL_FD. */
int worker_main(bool sandboxed);

/* steward_main writes logs and answers the admin endpoint. */
int steward_main(bool sandboxed);

/* keeper_main holds the keys and signs; its channel is CHANNEL_FD. */
int keeper_main(bool sandboxed);

/* loader_main reads configuration, certificates and names for the supervisor; `argv` after the
 * role's name. */
int loader_main(int argc, char **argv);
