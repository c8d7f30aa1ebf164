#include <criterion/criterion.h>
#include <string.h>

#include "proxy/observe/cause.h"

Test(cause, every_cause_has_a_name_of_its_own)
{
	for (unsigned i = 0; i < CAUSE_COUNT; i++) {
		cr_assert_not_null(cause_name(i));
		cr_assert_gt(strlen(cause_name(i)), 0);
		/* Else a page of metrics would have a series twice. */
		for (unsigned k = 0; k < i; k++)
			cr_assert_str_neq(cause_name(i), cause_name(k));
	}
}

Test(cause, names_are_what_dashboards_know)
{
	cr_assert_str_eq(cause_name(CAUSE_CLOSED), "closed");
	cr_assert_str_eq(cause_name(CAUSE_IDLE_TIMEOUT), "idle_timeout");
	cr_assert_str_eq(cause_name(CAUSE_TLS + TLS_REASON_UNRECOGNIZED_NAME), "unrecognized_name");
}

Test(cause, number_out_of_range_is_unknown)
{
	cr_assert_str_eq(cause_name(CAUSE_COUNT), "unknown");
	cr_assert_str_eq(cause_name(0xffff), "unknown");
}
