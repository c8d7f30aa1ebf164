#include "proxy/net/traffic.h"

#include <criterion/criterion.h>
#include <string.h>
#include <time.h>

#include "proxy/http/forward.h"

enum { DRAWS = 4096 };

Test(traffic, random_bytes_do_not_come_twice)
{
	struct traffic t = { .random = { 1, 0 } }, other = { .random = { 2, 0 } };
	static uint8_t drawn[DRAWS][16];
	uint8_t bytes[16];
	unsigned ones = 0;

	for (unsigned i = 0; i < DRAWS; i++) {
		traffic_random(&t, drawn[i]);
		for (unsigned j = 0; j < 16; j++)
			ones += (unsigned)__builtin_popcount(drawn[i][j]);
		for (unsigned j = 0; j < i; j++)
			cr_assert_neq(memcmp(drawn[i], drawn[j], 16), 0);
	}
	/* Half of 128 bits each, give or take six standard deviations. */
	cr_assert(ones > DRAWS * 64 - 2200 && ones < DRAWS * 64 + 2200, "%u", ones);
	traffic_random(&other, bytes);
	cr_assert_neq(memcmp(bytes, drawn[0], 16), 0, "another seed");
}

Test(traffic, the_date_is_now)
{
	struct traffic t = { 0 };
	time_t before = time(NULL) - 1, after;
	char text[30];
	bool found = false;
	struct span date = traffic_date(&t);

	after = time(NULL);
	cr_assert_eq(date.n, 29u);
	for (time_t at = before; at <= after; at++) {
		http_date(at, text);
		found = found || span_eq(date, span_str(text));
	}
	cr_assert(found, "%.*s", (int)date.n, date.p);
}

static int64_t date_second(struct traffic *t)
{
	(void)traffic_date(t);
	return t->date_s;
}

Test(traffic, the_date_is_made_once_a_second)
{
	struct traffic t = { 0 };
	int64_t second;

	do { /* both within one second */
		second = date_second(&t);
		t.date[0] = 'x';
	} while (date_second(&t) != second);
	cr_assert_eq(t.date[0], 'x', "it is still there");
	t.date_s--;
	cr_assert_neq(traffic_date(&t).p[0], 'x');
}
