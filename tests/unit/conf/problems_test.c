#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/problems.h"

Test(problems, empty_list_prints_nothing)
{
	struct problems p;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	problems_init(&p);
	problems_print(&p, out);
	cr_assert_eq(fclose(out), 0);
	cr_expect_str_eq(text, "");
	problems_fini(&p);
	problems_fini(NULL);
	free(text);
}

Test(problems, are_kept_in_order_and_counted_past_the_bound)
{
	struct problems p;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	problems_init(&p);
	for (int i = 0; i < PROBLEMS_MAX + 5; i++)
		problems_add(&p, i == 1 ? PROBLEM_WARNING : PROBLEM_ERROR, "f", "number %d", i);
	cr_expect_eq(p.num, PROBLEMS_MAX);
	cr_expect_eq(p.num_dropped, 5);
	cr_expect_eq(p.num_errors, PROBLEMS_MAX + 4);
	cr_expect_eq(p.num_warnings, 1);
	for (size_t i = 0; i < p.num; i++) {
		char want[32];

		(void)snprintf(want, sizeof(want), "number %zu", i);
		cr_expect_str_eq(p.list[i].what, want);
	}
	problems_print(&p, out);
	cr_assert_eq(fclose(out), 0);
	cr_expect_eq(strncmp(text, "f: number 0\nf: warning: number 1\nf: number 2\n", 45), 0);
	cr_expect_not_null(strstr(text, "f: number 199\n... and 5 more\n"));
	problems_fini(&p);
	problems_fini(&p);
	free(text);
}

Test(problems, cannot_forge_lines_or_escapes)
{
	struct problems p;

	problems_init(&p);
	problems_add(&p, PROBLEM_ERROR, "a\nb", "c\r\x1b[31md\x7f %s", "\t");
	cr_expect_str_eq(p.list[0].where, "a?b");
	cr_expect_str_eq(p.list[0].what, "c??[31md? ?");
	problems_fini(&p);
}

Test(problems, long_text_is_cut_between_characters)
{
	/* Each character is 2 bytes; 511 fit, so the last one would be cut in half. */
	char text[2 * 400 + 1] = "";
	struct problems p;

	for (size_t i = 0; i < 400; i++)
		memcpy(text + 2 * i, "\xc3\xa9", 3);
	problems_init(&p);
	problems_add(&p, PROBLEM_ERROR, text, "%s", text);
	problems_add(&p, PROBLEM_ERROR, "x", "x%s", text);
	cr_expect_eq(strlen(p.list[0].where), 510);
	cr_expect_eq(strlen(p.list[0].what), 510);
	cr_expect_eq(strlen(p.list[1].what), 511);
	problems_fini(&p);
}
