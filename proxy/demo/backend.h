/* backend: the demo's little web server, a process of its own: answers every request with a plain
 * page that shows the request as it arrived. Its listening socket comes over the channel. */
#pragma once

/* backend_main serves until the channel ends. Returns the exit code. */
int backend_main(void);
