/* stack: where a process stands, told to its supervisor when that asks by a signal. For a worker
 * whose loop does not turn. */
#pragma once

#include <signal.h>
#include <stdbool.h>

/* Nobody sends this one to a whole group. */
#define STACK_SIGNAL (SIGRTMIN + 1)

/* stack_listen lets STACK_SIGNAL send a CHANNEL_STACK message with the addresses of the calls that
 * are being made, innermost first: "sallyport+0x1234 libc.so.6+0x99", as addr2line takes them. To
 * be called while files can still be opened. False with errno. */
bool stack_listen(void);
