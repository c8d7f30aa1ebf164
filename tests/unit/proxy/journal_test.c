#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/observe/journal.h"

static struct ring_head *head;
static struct ring_tail tail;
static uint64_t dropped;
static struct journal j;
static uint8_t record[RING_RECORD_MAX];
static size_t len;

static void make(void)
{
	head = calloc(1, sizeof(*head));
	cr_assert_not_null(head);
	tail = (struct ring_tail){ 0 };
	dropped = 0;
	j = (struct journal){ .head = head,
			      .tail = &tail,
			      .dropped = &dropped,
			      .worker = 3,
			      .access = true,
			      .level = CONF_LOG_INFO };
}

static void drop(void)
{
	free(head);
}

TestSuite(journal, .init = make, .fini = drop);

static bool next(void)
{
	bool skipped;

	return ring_read(head, &tail, record, &len, &skipped);
}

static struct record_event *event(void)
{
	cr_assert_eq(record_type_of(span_of(record, len)), RECORD_EVENT);
	return (struct record_event *)(void *)record;
}

Test(journal, connection_gets_worker_and_time)
{
	struct record_connection c = {
		.type = RECORD_CONNECTION, .sni_len = 3, .detail_len = 2, .text = "a.bxy"
	};
	const struct record_connection *r = (const void *)record;

	journal_connection(&j, &c);
	cr_assert(next());
	cr_assert_eq(len, record_size(&c));
	cr_assert_eq(record_type_of(span_of(record, len)), RECORD_CONNECTION);
	cr_assert_eq(r->worker, 3);
	cr_assert_gt(r->time_ns, INT64_C(1600000000) * 1000000000);
	cr_assert_eq(memcmp(r->text, "a.bxy", 5), 0);
}

Test(journal, a_time_that_is_given_stays)
{
	struct record_connection c = { .type = RECORD_HANDSHAKE_FAILED, .time_ns = 42 };

	journal_connection(&j, &c);
	cr_assert(next());
	cr_assert_eq(((const struct record_connection *)(const void *)record)->time_ns, 42);
}

Test(journal, request_gets_worker_and_time_and_takes_what_it_uses)
{
	const struct record_request *got = (const void *)record;
	struct record_request r;

	record_request_start(&r);
	record_request_put(&r, RECORD_TEXT_PATH, span_str("/x"));
	journal_request(&j, &r);
	cr_assert(next());
	cr_assert_eq(len, offsetof(struct record_request, text) + 2);
	cr_assert_eq(record_type_of(span_of(record, len)), RECORD_REQUEST);
	cr_assert_eq(got->worker, 3);
	cr_assert_gt(got->time_ns, INT64_C(1600000000) * 1000000000);
	r.time_ns = 42;
	journal_request(&j, &r);
	cr_assert(next());
	cr_assert_eq(got->time_ns, 42);
}

Test(journal, without_an_access_log_only_events_are_recorded)
{
	struct record_connection c = { .type = RECORD_CONNECTION };
	struct record_request r;

	j.access = false;
	record_request_start(&r);
	journal_connection(&j, &c);
	journal_request(&j, &r);
	cr_assert_not(next());
	cr_assert_eq(dropped, 0);
}

Test(journal, event_is_formatted)
{
	journal_event(&j, CONF_LOG_WARNING, "%s is %d", "x", 5);
	cr_assert(next());
	cr_assert_eq(event()->level, CONF_LOG_WARNING);
	cr_assert_eq(event()->worker, 3);
	cr_assert_eq(event()->text_len, 6);
	cr_assert_eq(memcmp(event()->text, "x is 5", 6), 0);
}

Test(journal, events_above_the_level_are_left_out)
{
	journal_event(&j, CONF_LOG_DEBUG, "chatter");
	cr_assert_not(next());
	j.level = CONF_LOG_ERROR;
	journal_event(&j, CONF_LOG_WARNING, "warning");
	cr_assert_not(next());
	journal_event(&j, CONF_LOG_ERROR, "error");
	cr_assert(next());
}

Test(journal, a_long_event_is_cut_and_says_so)
{
	char *words = malloc(RECORD_TEXT_MAX * 2);

	cr_assert_not_null(words);
	memset(words, 'a', RECORD_TEXT_MAX * 2);
	words[RECORD_TEXT_MAX * 2 - 1] = '\0';
	journal_event(&j, CONF_LOG_ERROR, "%s", words);
	cr_assert(next());
	cr_assert_eq(event()->text_len, RECORD_TEXT_MAX - 1);
	cr_assert_eq(memcmp(event()->text + event()->text_len - 4, "a...", 4), 0);
	free(words);
}

Test(journal, a_full_ring_counts_what_is_dropped)
{
	struct record_connection c = { .type = RECORD_CONNECTION };
	uint64_t written = 0;

	while (dropped == 0) {
		journal_connection(&j, &c);
		written++;
	}
	cr_assert_gt(written, 1000);
	journal_event(&j, CONF_LOG_ERROR, "%0*d", 1000, 1);
	cr_assert_eq(dropped, 2);
}

Test(journal, a_flood_is_cut_and_counted)
{
	uint64_t kept = 0, told = 0;

	for (int i = 0; i < 1000; i++)
		journal_event(&j, CONF_LOG_WARNING, "again");
	journal_flush_suppressed(&j);
	journal_flush_suppressed(&j); /* has nothing left to say */
	while (next()) {
		if (memcmp(event()->text, "again", 5) == 0) {
			kept++;
		} else {
			event()->text[event()->text_len] = '\0';
			cr_assert_not_null(strstr(event()->text, " more lines of this level"));
			told += strtoull(event()->text, NULL, 10);
		}
	}
	/* The clock may have passed a second or two meanwhile. */
	cr_assert(kept >= JOURNAL_EVENTS_PER_SECOND && kept <= 3 * JOURNAL_EVENTS_PER_SECOND);
	cr_assert_eq(kept + told, 1000);
}

Test(journal, a_flood_of_one_level_leaves_the_others_room)
{
	for (int i = 0; i < 1000; i++)
		journal_event(&j, CONF_LOG_WARNING, "again");
	while (next())
		;
	journal_event(&j, CONF_LOG_ERROR, "this matters");
	cr_assert(next());
	cr_assert_eq(event()->level, CONF_LOG_ERROR);
}
