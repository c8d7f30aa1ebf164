/* control: the commands that speak to a running instance over its admin endpoint. Blocking: for a
 * process that does nothing else. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

enum control_command { CONTROL_STATUS, CONTROL_RELOAD, CONTROL_DRAIN };

/* control_run asks the instance at `admin` ("unix:PATH" or "host:port"; NULL: where it is by
 * default) and writes what it says. Returns the exit code: 0 done, 1 it was refused, 3 nobody
 * answers. */
int control_run(enum control_command command, const char *admin, bool json);

/* control_say_status writes the JSON `text` of /status in words. False: it is not such. */
bool control_say_status(const char *text, FILE *out);
