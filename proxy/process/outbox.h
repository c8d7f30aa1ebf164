/* outbox: messages that wait for a channel to have room, in order and bounded. Holds references
 * to the descriptors that go with them. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "proxy/process/channel.h"
#include "proxy/process/handle.h"

/* Twice as many messages as the largest configuration has sockets: what a start or a reload sends,
 * while the last reload still waits. */
enum { OUTBOX_MAX = 10000, OUTBOX_MAX_HANDLES = 4 };

struct outbox_item;
STAILQ_HEAD(outbox_items, outbox_item);

struct outbox {
	struct outbox_items items;
	size_t num;
};

/* outbox_init makes an empty one in place. */
void outbox_init(struct outbox *o);

/* outbox_fini drops (and wipes) what waits; it may be used again after outbox_init. */
void outbox_fini(struct outbox *o);

/* outbox_put appends a copy of `m`, with references to up to OUTBOX_MAX_HANDLES descriptors.
 * False: it is full, or out of memory. */
bool outbox_put(struct outbox *o, const struct channel_message *m, struct handle *const *handles,
		size_t num_handles);

enum outbox_result {
	OUTBOX_EMPTY, /* everything was sent */
	OUTBOX_FULL,  /* the channel has no room: flush again when it is writable */
	OUTBOX_LATER, /* the kernel lacks something else: flush again in a moment */
	OUTBOX_GONE   /* nobody will read it */
};

/* outbox_flush sends as much as the channel `fd` takes. */
enum outbox_result outbox_flush(struct outbox *o, int fd);
