/* role: entry points of the processes; each runs to its end and returns the exit code. */
#pragma once

/* worker_main serves traffic; its channel is CHANNEL_FD. */
int worker_main(void);

/* steward_main writes logs and answers the admin endpoint. */
int steward_main(void);

/* keeper_main holds the keys and signs; its channel is CHANNEL_FD. */
int keeper_main(void);

/* loader_main reads configuration, certificates and names for the supervisor; `argv` after the
 * role's name. */
int loader_main(int argc, char **argv);
