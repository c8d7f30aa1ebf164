/* http1_input: what has come on a connection and is not used up: a view of the bytes of the event
 * that is on, or of a copy that waits for more. An idle connection holds no buffer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "conf/span.h"

/* Zero is empty. */
struct http1_input {
	struct span view; /* cut off its front what has been used */
	char *held; /* the copy that `view` lies in; NULL: borrowed from the event, or empty */
	size_t room;
};

/* http1_input_add lets the view end with `bytes`, which it borrows where it was empty. False: out
 * of memory. */
bool http1_input_add(struct http1_input *in, struct span bytes);

/* http1_input_keep copies what is borrowed and left, before the event ends; drops the buffer where
 * nothing is left. False: out of memory. */
bool http1_input_keep(struct http1_input *in);

/* http1_input_fini frees the buffer. */
void http1_input_fini(struct http1_input *in);
