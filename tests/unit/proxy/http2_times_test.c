/* Windows and times of the server's role of HTTP/2: who waits for whom, and how long. */
#include "tests/unit/proxy/http2_stage.h"

/* ---- windows */

enum { BIG = 3 << 20 };

static void pour(struct h2_user *u)
{
	static const char kilobyte[1024] = "k";

	while (u->num_unconsumed < BIG) { /* here: how much was sent */
		bool room = stream_send_data(u->stream, span_of(kilobyte, sizeof(kilobyte)));

		u->num_unconsumed += sizeof(kilobyte);
		if (!room)
			return;
	}
	stream_send_end(u->stream, NULL);
	h2_release(u);
}

static void send_big(struct h2_user *u, char event)
{
	if (event == 'q') {
		h2_send_head(u, 200, BIG, false);
		pour(u);
	} else if (event == 'r') {
		pour(u);
	}
}

Test(http2_times, a_response_waits_for_the_window)
{
	struct stage *t = open_stage();
	struct h2_side *s = &t->side;

	s->answer = NULL;
	s->then = send_big;
	h2_headers(s, END, 1, GET);
	h2_send(s);
	rig_rest(&t->rig, 50);
	(void)h2_hear(s);
	cr_assert_eq(s->data_heard, 65535);
	/* What was taken and not sent is bounded. */
	cr_assert_leq(s->users[0].num_unconsumed, 65535 + (64 << 10) + 1024);
	h2_u32(s, NGHTTP2_WINDOW_UPDATE, 1, 1000);
	h2_send(s);
	rig_rest(&t->rig, 50);
	(void)h2_hear(s);
	cr_assert_eq(s->data_heard, 65535);
	h2_u32(s, NGHTTP2_WINDOW_UPDATE, 0, 100000);
	h2_send(s);
	rig_rest(&t->rig, 50);
	(void)h2_hear(s);
	cr_assert_eq(s->data_heard, 66535);
	h2_u32(s, NGHTTP2_WINDOW_UPDATE, 1, BIG);
	h2_u32(s, NGHTTP2_WINDOW_UPDATE, 0, BIG);
	h2_send(s);
	heard(t, " END\n");
	cr_assert_eq(s->data_heard, BIG);
	close_stage(t);
}

Test(http2_times, the_window_opens_as_bodies_are_consumed)
{
	struct stage *t = open_stage();
	struct h2_side *s = &t->side;
	char *body = rig_fill(16384);
	struct h2_user *u = &s->users[0];

	s->keeps = true;
	s->connection_opened = 0;
	h2_headers(s, 0, 1, POST);
	for (int i = 0; i < 16; i++)
		h2_frame(s, NGHTTP2_DATA, 0, 1, body, 16384);
	h2_send(s);
	rig_rest(&t->rig, 30);
	(void)h2_hear(s);
	cr_assert_eq(u->num_bytes, 256 << 10);
	cr_assert_eq(s->connection_opened + s->stream_opened, 0, "%s", s->heard);
	u->num_unconsumed -= 100 << 10;
	stream_consumed(u->stream, 100 << 10);
	rig_rest(&t->rig, 10);
	(void)h2_hear(s);
	cr_assert_eq(s->connection_opened + s->stream_opened, 0); /* little at a time is costly */
	h2_consume(u);
	rig_rest(&t->rig, 10);
	(void)h2_hear(s);
	cr_assert_eq(s->stream_opened, 256 << 10);
	/* One byte more than there is room for. */
	for (int i = 0; i < 16; i++)
		h2_frame(s, NGHTTP2_DATA, 0, 1, body, 16384);
	h2_data(s, 0, 1, "x");
	h2_send(s);
	rig_rest(&t->rig, 20);
	(void)h2_hear(s);
	cr_assert_not_null(strstr(s->heard, "FLOW_CONTROL_ERROR"), "%s", s->heard);
	free(body);
	close_stage(t);
}

Test(http2_times, all_streams_together_are_bounded)
{
	struct stage *t = open_stage();
	struct h2_side *s = &t->side;
	char *body = rig_fill(16384);
	size_t sum = 0;

	s->keeps = true;
	for (uint32_t id = 1; id < 13; id += 2) {
		h2_headers(s, 0, id, POST);
		for (int i = 0; i < 16; i++)
			h2_frame(s, NGHTTP2_DATA, 0, id, body, 16384);
	}
	h2_send(s);
	rig_rest(&t->rig, 50);
	(void)h2_hear(s);
	for (unsigned i = 0; i < s->num_users; i++)
		sum += s->users[i].num_bytes;
	cr_assert_leq(sum, 1 << 20);
	cr_assert_not_null(strstr(s->heard, "FLOW_CONTROL_ERROR"), "%s", s->heard);
	free(body);
	close_stage(t);
}

Test(http2_times, what_nobody_consumed_is_given_back_at_the_end)
{
	struct stage *t = open_stage();
	struct h2_side *s = &t->side;
	char *body = rig_fill(16384);

	s->keeps = true;
	s->connection_opened = 0;
	for (uint32_t id = 1; id < 200; id += 2) { /* far more than the connection's window */
		h2_headers(s, 0, id, POST);
		for (int i = 0; i < 4; i++)
			h2_frame(s, NGHTTP2_DATA, i == 3 ? END : 0, id, body, 16384);
		h2_send(s);
		rig_rest(&t->rig, 1);
	}
	heard(t, "DATA 199 2 ok END\n");
	cr_assert_geq(s->connection_opened, 5 << 20);
	free(body);
	close_stage(t);
}

Test(http2_times, what_comes_too_late_is_given_back_as_well)
{
	struct stage *t = open_stage();
	struct h2_side *s = &t->side;
	char *body = rig_fill(16384);

	s->then = NULL;
	for (uint32_t id = 1; id < 200; id += 2) {
		h2_headers(s, 0, id, POST "content-length=1\n");
		h2_data(s, 0, id, "xx"); /* is reset for it */
		h2_send(s);
		rig_rest(&t->rig, 1);
		h2_frame(s, NGHTTP2_DATA, 0, id, body, 16384);
		h2_send(s);
	}
	rig_rest(&t->rig, 5);
	h2_headers(s, END, 201, GET);
	h2_send(s);
	heard(t, "DATA 201 2 ok END\n");
	cr_assert_geq(s->connection_opened, 1 << 20);
	free(body);
	close_stage(t);
}

Test(http2_times, a_body_is_timed_though_others_fill_the_connection)
{
	struct stage *t = stage_in_haste();
	struct h2_side *s = &t->side;
	char *body = rig_fill(16384);

	s->keeps = true;
	h2_begin(s);
	for (uint32_t id = 1; id < 7; id += 2) { /* 768 KiB */
		h2_headers(s, 0, id, POST);
		for (int i = 0; i < 16; i++)
			h2_frame(s, NGHTTP2_DATA, 0, id, body, 16384);
	}
	h2_headers(s, 0, 7, POST);
	h2_send(s);
	rig_rest(&t->rig, 500);
	cr_assert_null(strstr(s->story, "aborted"), "%s", s->story);
	for (int i = 0; i < 3; i++)
		h2_consume(&s->users[i]);
	told(t, "#4 aborted request_body_timeout");
	free(body);
	close_stage(t);
}

/* ---- times */

Test(http2_times, no_request_comes_in_time)
{
	struct stage *t = stage_in_haste();

	h2_begin(&t->side);
	told(t, "ended request_header_timeout: no request came\n");
	heard(t, "GOAWAY 0 NO_ERROR\n");
	close_stage(t);
}

Test(http2_times, no_preface_comes_in_time)
{
	struct stage *t = stage_in_haste();

	h2_raw(&t->side, "PRI *", 5);
	h2_send(&t->side);
	told(t, "ended request_header_timeout: no request came\n");
	close_stage(t);
}

Test(http2_times, another_preface_is_none)
{
	struct stage *t = stage_new();

	h2_serve(&t->side, &t->rig, false);
	h2_raw(&t->side, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
	h2_send(&t->side);
	told(t, "ended h2_protocol_error: no preface of HTTP/2\n");
	heard(t, "GOAWAY 0 PROTOCOL_ERROR\n");
	close_stage(t);
}

Test(http2_times, an_idle_connection_ends)
{
	struct stage *t = stage_in_haste();

	h2_begin(&t->side);
	h2_headers(&t->side, END, 1, GET);
	h2_send(&t->side);
	heard(t, "DATA 1 2 ok END\n");
	told(t, "ended closed: \n");
	heard(t, "GOAWAY 1 NO_ERROR\n");
	close_stage(t);
}

Test(http2_times, a_head_that_does_not_end_ends_the_connection)
{
	struct stage *t = stage_in_haste();

	t->side.answer = NULL;
	h2_begin(&t->side);
	h2_headers(&t->side, END, 1, GET); /* an open one keeps it from being idle */
	h2_frame(&t->side, NGHTTP2_HEADERS, END, 3, "\x82", 1);
	h2_send(&t->side);
	told(t, "#1 aborted request_header_timeout");
	told(t, "ended request_header_timeout: the request's head took too long\n");
	close_stage(t);
}

Test(http2_times, a_body_that_stops_is_answered)
{
	struct stage *t = stage_in_haste();

	h2_begin(&t->side);
	h2_headers(&t->side, 0, 1, POST);
	h2_data(&t->side, 0, 1, "a");
	h2_send(&t->side);
	told(t, "#1 body 1 a\n#1 aborted request_body_timeout: the request's body stopped\n");
	heard(t, "HEADERS 1 :status=408 content-length=4\nDATA 1 4 late END\nRST 1 NO_ERROR\n");
	close_stage(t);
}

Test(http2_times, nobody_is_slow_while_it_is_we_who_do_not_read)
{
	struct stage *t = stage_in_haste();
	char *body = rig_fill(16384);

	t->side.keeps = true;
	h2_begin(&t->side);
	h2_headers(&t->side, 0, 1, POST);
	for (int i = 0; i < 16; i++)
		h2_frame(&t->side, NGHTTP2_DATA, 0, 1, body, 16384);
	h2_send(&t->side);
	rig_rest(&t->rig, 500);
	cr_assert_null(strstr(t->side.story, "aborted"));
	h2_consume(&t->side.users[0]);
	told(t, "#1 aborted request_body_timeout");
	free(body);
	close_stage(t);
}

Test(http2_times, a_client_that_waits_for_100_is_not_slow)
{
	struct stage *t = stage_in_haste();
	struct head *h;

	t->side.answer = NULL;
	h2_begin(&t->side);
	h2_headers(&t->side, 0, 1, POST "expect=100-continue\ncontent-length=2\n");
	h2_send(&t->side);
	told(t, "length=2 expect\n");
	rig_rest(&t->rig, 400);
	cr_assert_null(strstr(t->side.story, "aborted"));
	h = head_new(0);
	cr_assert_not_null(h);
	h->status = 100;
	stream_send_informational(t->side.users[0].stream, h);
	head_free(h);
	heard(t, "HEADERS 1 :status=100\n");
	told(t, "#1 aborted request_body_timeout");
	close_stage(t);
}

Test(http2_times, a_window_that_stays_shut_ends_the_stream)
{
	struct stage *t = stage_in_haste();

	t->side.answer = NULL;
	t->side.then = send_big;
	h2_begin(&t->side);
	h2_headers(&t->side, END, 1, GET);
	h2_send(&t->side);
	told(t, "#1 aborted h2_window_stall: the window stayed shut\n");
	heard(t, "RST 1 CANCEL\n");
	close_stage(t);
}

Test(http2_times, a_client_that_reads_nothing_is_broken_off)
{
	struct stage *t = stage_new();
	struct h2_side *s = &t->side;

	s->limits.response_write_ns = SECOND / 5;
	s->answer = NULL;
	h2_serve(s, &t->rig, true);
	h2_begin(s);
	s->then = send_big;
	h2_u32(s, NGHTTP2_WINDOW_UPDATE, 0, BIG);
	h2_frame(s, NGHTTP2_SETTINGS, 0, 0, "\0\4\0\x30\0\0", 6);
	h2_headers(s, END, 1, GET);
	h2_send(s);
	for (int i = 0; i < 100 && !s->ended; i++)
		rig_rest(&t->rig, 20);
	cr_assert_not_null(strstr(s->story, "#1 aborted response_write_timeout"), "%s", s->story);
	cr_assert_not_null(strstr(s->story, "ended response_write_timeout"), "%s", s->story);
	close_stage(t);
}
