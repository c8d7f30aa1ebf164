/* http2_fuzz: turns a loop with one role of HTTP/2 on it while a peer says whatever it likes, cut
 * into pieces. For fuzz targets. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/net/link.h"
#include "proxy/net/loop.h"

/* What a target gives. */
struct fuzz_role {
	/* Makes the codec on a link that is open. */
	void (*begin)(struct link *link);
	/* What the link tells the codec; not called once `is_over`. */
	const struct link_events *events;
	/* Whether the codec has ended and is freed. */
	bool (*is_over)(void);
	/* Frees it if it has not. */
	void (*end)(void);
	/* Something to do in the middle: drains, or the like. */
	void (*nudge)(void);
	/* What the peer says first, so that an input need not. */
	const char *preface;
	size_t preface_len;
};

/* fuzz_loop returns the loop, made at the first call. */
struct loop *fuzz_loop(void);

/* fuzz_run plays one input: a byte of flags, a byte that says how the rest is cut, the rest. */
void fuzz_run(const struct fuzz_role *role, const uint8_t *data, size_t size);
