#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/observe/ring.h"

static struct ring_head *head;
static struct ring_tail tail;
static uint8_t out[RING_RECORD_MAX];
static size_t out_len;
static bool skipped;

static void make(void)
{
	head = calloc(1, sizeof(*head));
	cr_assert_not_null(head);
	tail = (struct ring_tail){ 0 };
}

static void drop(void)
{
	free(head);
}

TestSuite(ring, .init = make, .fini = drop);

static bool put(size_t n, uint8_t byte)
{
	uint8_t record[RING_RECORD_MAX];

	memset(record, byte, sizeof(record));
	return ring_write(head, &tail, span_of(record, n));
}

static bool get(void)
{
	return ring_read(head, &tail, out, &out_len, &skipped);
}

Test(ring, empty_has_nothing_to_read)
{
	cr_assert_not(get());
	cr_assert_not(skipped);
	cr_assert_eq(ring_used(head, &tail), 0);
}

Test(ring, records_come_out_whole_and_in_order)
{
	for (uint8_t i = 1; i <= 3; i++)
		cr_assert(put(i * 100u, i));
	for (uint8_t i = 1; i <= 3; i++) {
		cr_assert(get());
		cr_assert_eq(out_len, i * 100u);
		cr_assert(out[0] == i && out[out_len - 1] == i);
	}
	cr_assert_not(get());
}

Test(ring, wraps_around_at_every_offset)
{
	/* 4 + 7 bytes shift the wrap through length and bytes. */
	for (size_t i = 0; i < 3u * RING_BYTES / 11; i++) {
		cr_assert(put(7, (uint8_t)i));
		cr_assert(get());
		cr_assert(out_len == 7 && out[0] == (uint8_t)i && out[6] == (uint8_t)i);
	}
}

Test(ring, full_refuses_until_there_is_room)
{
	size_t num = 0;

	while (put(RING_RECORD_MAX, 1))
		num++;
	cr_assert_eq(num, RING_BYTES / (RING_RECORD_MAX + 4));
	cr_assert(get());
	cr_assert(put(RING_RECORD_MAX, 2));
	cr_assert_not(put(RING_RECORD_MAX, 3));
	for (size_t i = 0; i < num; i++)
		cr_assert(get());
	cr_assert_eq(out[0], 2);
	cr_assert_not(get());
	cr_assert_not(skipped);
}

Test(ring, can_be_filled_to_the_last_byte)
{
	while (put(1000, 1))
		;
	cr_assert(put(RING_BYTES - ring_used(head, &tail) - 4, 2));
	cr_assert_eq(ring_used(head, &tail), RING_BYTES);
	cr_assert_not(put(1, 3));
	cr_assert(get());
}

Test(ring, positions_past_the_counters_range_go_on)
{
	head->head = tail.tail = UINT64_MAX - 5;
	cr_assert(put(20, 9));
	cr_assert(get());
	cr_assert(out_len == 20 && out[19] == 9);
	cr_assert_not(get());
	cr_assert_not(skipped);
}

Test(ring, hostile_tail_reads_as_full_for_the_writer_and_is_mended_by_the_reader)
{
	cr_assert(put(10, 1));
	tail.tail = head->head + 1; /* ahead */
	cr_assert_not(put(10, 2));
	cr_assert_not(get());
	cr_assert(skipped);
	cr_assert(put(10, 3));
	cr_assert(get());
	cr_assert_eq(out[0], 3);

	tail.tail = head->head - RING_BYTES - 1; /* too far behind */
	cr_assert_not(put(10, 4));
	cr_assert_eq(ring_used(head, &tail), RING_BYTES);
	cr_assert_not(get());
	cr_assert(skipped);
	cr_assert(put(10, 5));
	cr_assert(get());
	cr_assert_eq(out[0], 5);
}

static void length(uint32_t n, uint64_t head_at)
{
	memcpy(head->bytes, &n, sizeof(n));
	head->head = head_at;
	tail.tail = 0;
}

Test(ring, hostile_lengths_are_skipped_to_the_head)
{
	static const struct {
		uint32_t length;
		uint64_t head;
	} cases[] = {
		{ 0, 100 },		       /* no record is empty */
		{ RING_RECORD_MAX + 1, 8192 }, /* none is larger */
		{ UINT32_MAX, RING_BYTES },    /* nor wraps the arithmetic */
		{ UINT32_MAX - 3, RING_BYTES },
		{ 97, 100 },	       /* more than has been written */
		{ 1, 4 },	       /* nothing after the length */
		{ 1, 3 },	       /* not even a length */
		{ 1, RING_BYTES + 1 }, /* a head past the ring */
		{ 1, UINT64_MAX },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		length(cases[i].length, cases[i].head);
		cr_assert_not(get(), "case %zu", i);
		cr_assert(skipped, "case %zu", i);
		cr_assert_eq(tail.tail, cases[i].head, "case %zu", i);
		cr_assert_not(get(), "case %zu", i);
		cr_assert_not(skipped, "case %zu", i);
	}
	length(96, 100); /* the twin that makes sense */
	cr_assert(get());
	cr_assert_eq(out_len, 96);
}

Test(ring, record_that_was_not_finished_is_not_read)
{
	struct ring_head *h = head;

	cr_assert(put(10, 1));
	/* A writer dies after its bytes and before its head. */
	memset(h->bytes + h->head, 0xff, 100);
	cr_assert(get());
	cr_assert_not(get());
	cr_assert_not(skipped);
	/* Its successor goes on at the head. */
	cr_assert(put(12, 2));
	cr_assert(get());
	cr_assert_eq(out_len, 12);
}
