/* demo: something to curl at once: a made-up certificate, a small backend of its own, and a
 * supervisor with an ordinary configuration file, in a temporary folder that goes with them. */
#pragma once

/* demo_run runs until it is told to end. `listen` is the address to accept connections at. Returns
 * the exit code. */
int demo_run(const char *listen);
