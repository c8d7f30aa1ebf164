/* Much of a body at once, which HTTP/2 sends within the call: what the peer gets of it. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/support/http2_side.h"

#define GET ":method=GET\n:scheme=https\n:authority=a.example\n:path=/\n"

enum {
	FIRST = 60000,	/* fits the windows */
	SECOND = 80000, /* does not */
	LAST = 10,
	TOTAL = FIRST + SECOND + LAST,
	ROOM = TOTAL + (64 << 10),
	HEAD_BYTES = 9,
};

struct stage {
	struct rig rig;
	struct h2_side side;
	char *wanted;
	uint8_t raw[ROOM];
	size_t raw_len;
	char body[ROOM];
	size_t body_len;
	bool got_end;
};

static struct stage *open_stage(void)
{
	struct stage *t = calloc(1, sizeof(*t));

	cr_assert_not_null(t);
	t->wanted = rig_fill(TOTAL);
	rig_init(&t->rig, false);
	h2_limits(&t->side);
	h2_serve(&t->side, &t->rig, false);
	h2_begin(&t->side);
	h2_headers(&t->side, NGHTTP2_FLAG_END_STREAM, 1, GET);
	h2_send(&t->side);
	cr_assert(h2_until_told(&t->side, "#1 request GET"));
	h2_send_head(&t->side.users[0], 200, TOTAL, false);
	return t;
}

static void close_stage(struct stage *t)
{
	h2_fini(&t->side);
	rig_fini(&t->rig);
	free(t->wanted);
	free(t);
}

/* Takes what has come, and the bodies out of their frames. */
static bool take(void *arg)
{
	struct stage *t = arg;
	size_t at = 0;
	ssize_t n;

	while ((n = recv(t->side.fd, t->raw + t->raw_len, ROOM - t->raw_len, MSG_DONTWAIT)) > 0)
		t->raw_len += (size_t)n;
	while (t->raw_len - at >= HEAD_BYTES) {
		const uint8_t *f = t->raw + at;
		size_t len = (size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2];

		if (t->raw_len - at - HEAD_BYTES < len)
			break;
		at += HEAD_BYTES + len;
		if (f[3] != NGHTTP2_DATA)
			continue;
		cr_assert_leq(t->body_len + len, TOTAL);
		memcpy(t->body + t->body_len, f + HEAD_BYTES, len);
		t->body_len += len;
		t->got_end = (f[4] & NGHTTP2_FLAG_END_STREAM) != 0;
	}
	memmove(t->raw, t->raw + at, t->raw_len - at);
	t->raw_len -= at;
	return t->got_end;
}

/* Sends the next `n` bytes of the body, which are gone when the call is over. */
static bool give(struct stage *t, size_t from, size_t n)
{
	char *p = malloc(n);
	bool room;

	cr_assert_not_null(p);
	memcpy(p, t->wanted + from, n);
	room = stream_send_data(t->side.users[0].stream, span_of(p, n));
	memset(p, 0, n);
	free(p);
	return room;
}

static void open_window(struct stage *t, uint8_t stream)
{
	const uint8_t frame[] = { 0, 0, 4, NGHTTP2_WINDOW_UPDATE, 0, 0, 0, 0, stream, 0, 4, 0, 0 };

	cr_assert_eq(send(t->side.fd, frame, sizeof(frame), 0), (ssize_t)sizeof(frame));
}

Test(http2_direct, much_leaves_within_the_call)
{
	struct stage *t = open_stage();

	cr_assert(give(t, 0, FIRST));
	cr_assert_not(take(t));
	cr_assert_gt(t->body_len, 16384);
	cr_assert_arr_eq(t->body, t->wanted, t->body_len);
	close_stage(t);
}

Test(http2_direct, what_the_window_does_not_take_follows_in_order)
{
	struct stage *t = open_stage();

	cr_assert(give(t, 0, FIRST));
	cr_assert_not(give(t, FIRST, SECOND));
	(void)give(t, FIRST + SECOND, LAST);
	stream_send_end(t->side.users[0].stream, NULL);
	rig_rest(&t->rig, 20);
	cr_assert_not(take(t));
	cr_assert_eq(t->body_len, 65535);
	open_window(t, 0);
	open_window(t, 1);
	cr_assert(rig_until(&t->rig, take, t));
	cr_assert_eq(t->body_len, TOTAL);
	cr_assert_arr_eq(t->body, t->wanted, TOTAL);
	cr_assert_eq(t->side.users[0].num_drained, 1);
	close_stage(t);
}

/* The end of a stream that broke while its bytes were on their way. */
Test(http2_direct, a_reset_leaves_nothing_behind)
{
	static const uint8_t reset[] = { 0, 0, 4, NGHTTP2_RST_STREAM, 0, 0, 0, 0, 1, 0, 0, 0, 8 };
	struct stage *t = open_stage();

	cr_assert(give(t, 0, FIRST));
	cr_assert_not(give(t, FIRST, SECOND));
	cr_assert_eq(send(t->side.fd, reset, sizeof(reset), 0), (ssize_t)sizeof(reset));
	cr_assert(h2_until_told(&t->side, "aborted"), "%s", t->side.story);
	close_stage(t);
}
