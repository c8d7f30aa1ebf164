/* listener: a listening socket of this worker: accepts, applies the limits, hands over. Which
 * configured listener it serves is looked up in the snapshot in use, so the socket goes on across
 * reloads. Pauses where there is no room, rather than turning connections away or spinning. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proxy/net/traffic.h"

struct listener;

/* listener_open takes over the listening socket `fd`, also on failure. `id` is the plan's number
 * of the socket; `owner` the worker it belongs to (a sibling's socket is taken on while that one
 * is away). Accepts at once where the snapshot in use has it, else from listener_adopt on. False:
 * out of memory. */
bool listener_open(struct traffic *t, int fd, uint32_t id, uint32_t owner);

/* listener_adopt looks all listeners up in `t->now`, starts those that are in it, and closes
 * those that are gone after accepting what was queued on them. `before` is the snapshot that was
 * in use so far (NULL: none), for which that queue is served. */
void listener_adopt(struct traffic *t, struct snapshot *before);

/* listener_drop closes the sockets of `owner`, without touching what is queued: the owner, or
 * another sibling, still has them. */
void listener_drop(struct traffic *t, uint32_t owner);

/* listener_leave closes all sockets without touching what is queued: for whoever comes next. */
void listener_leave(struct traffic *t);

/* listener_drain accepts what is queued and closes all. */
void listener_drain(struct traffic *t);

/* listener_room starts accepting again after a pause, where there is room now. */
void listener_room(struct traffic *t);
