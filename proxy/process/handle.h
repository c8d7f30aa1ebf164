/* handle: a descriptor with counted references, for what several queues and tables hold at once:
 * listening sockets, snapshots, logs. One thread. */
#pragma once

struct handle {
	unsigned refs;
	int fd;
};

/* handle_new takes ownership of `fd`, also on failure (it is closed then). NULL: out of memory. */
struct handle *handle_new(int fd);

/* handle_ref takes a reference and returns `h`. */
struct handle *handle_ref(struct handle *h);

/* handle_unref gives one up; the last one closes the descriptor. NULL is fine. */
void handle_unref(struct handle *h);
