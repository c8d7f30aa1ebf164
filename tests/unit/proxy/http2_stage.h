/* A server of HTTP/2 with a bare socket as its client, for the tests of it. */
#pragma once

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/http2_side.h"

#define GET ":method=GET\n:scheme=https\n:authority=a.example\n:path=/\n"
#define POST ":method=POST\n:scheme=https\n:authority=a.example\n:path=/\n"
#define END NGHTTP2_FLAG_END_STREAM
#define SECOND INT64_C(1000000000)

/* All that a test has. */
struct stage {
	struct rig rig;
	struct h2_side side;
};

/* stage_new makes one that does not serve yet. */
static inline struct stage *stage_new(void)
{
	struct stage *t = calloc(1, sizeof(*t));

	cr_assert_not_null(t);
	rig_init(&t->rig, false);
	h2_limits(&t->side);
	t->side.answer = "ok";
	return t;
}

/* open_stage makes one that has exchanged SETTINGS. */
static inline struct stage *open_stage(void)
{
	struct stage *t = stage_new();

	h2_serve(&t->side, &t->rig, false);
	h2_begin(&t->side);
	return t;
}

/* close_stage frees it. */
static inline void close_stage(struct stage *t)
{
	h2_fini(&t->side);
	rig_fini(&t->rig);
	free(t);
}

#define heard(t, text)                                                                           \
	cr_assert(h2_until_heard(&(t)->side, text), "wanted <%s>, heard <%s>, story <%s>", text, \
		  (t)->side.heard, (t)->side.story)
#define told(t, text)                                                                           \
	cr_assert(h2_until_told(&(t)->side, text), "wanted <%s>, story <%s>, heard <%s>", text, \
		  (t)->side.story, (t)->side.heard)
#define ended(t)                                                                                 \
	cr_assert(h2_until_ended(&(t)->side), "no end; heard <%s>, story <%s>", (t)->side.heard, \
		  (t)->side.story)

/* stage_in_haste makes one whose times are a fifth of a second. */
static inline struct stage *stage_in_haste(void)
{
	struct stage *t = stage_new();

	t->side.limits.request_header_ns = SECOND / 5;
	t->side.limits.request_body_ns = SECOND / 5;
	t->side.limits.keepalive_ns = SECOND / 5;
	t->side.limits.response_write_ns = SECOND / 5;
	t->side.limits.tunnel_idle_ns = SECOND / 5;
	h2_serve(&t->side, &t->rig, false);
	return t;
}
