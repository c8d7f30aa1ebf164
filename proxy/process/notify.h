/* notify: tells the service manager how it goes (systemd's sd_notify protocol: a datagram to the
 * socket that NOTIFY_SOCKET names). Without one, nothing happens. */
#pragma once

#include <stdbool.h>

/* notify_send sends assignments, a line each: "READY=1". Never waits; a manager that does not
 * listen is left alone. */
void notify_send(const char *lines);
