#include <criterion/criterion.h>
#include <string.h>

#include "conf/conf.h"
#include "tests/unit/conf/given.h"

/* Compares two configurations; expects one error at `where` with `what` in it, or none. */
static void change(const char *old_json, const char *now_json, const char *where, const char *what)
{
	struct conf *old = given_parse(old_json), *now = given_parse(now_json);
	struct problems why;
	bool same;

	problems_init(&why);
	same = conf_same_start(old, now, "now.json", &why);
	cr_expect_eq(same, where == NULL, "%s", now_json);
	cr_assert_eq(why.num_errors, where == NULL ? 0 : 1, "%s", now_json);
	if (where != NULL) {
		cr_expect_str_eq(why.list[0].where, where);
		cr_expect_not_null(strstr(why.list[0].what, what), "%s", why.list[0].what);
	}
	problems_fini(&why);
	conf_free(now);
	conf_free(old);
}

#define ALL(json) "{" GIVEN_ALL "," json "}"
#define NONE "{" GIVEN_ALL "}"

Test(start, what_is_taken_at_start_may_not_change)
{
	change(NONE, ALL("\"workers\":2"), "now.json: /workers", "to its default");
	change(ALL("\"workers\":2"), NONE, "now.json: /workers", "put it back to 2");
	change(ALL("\"workers\":2"), ALL("\"workers\":3"), "now.json: /workers", "back to 2");
	change(ALL("\"user\":\"a\""), ALL("\"user\":\"b\""), "now.json: /user", "back to \"a\"");
	change(NONE, ALL("\"user\":\"b\""), "now.json: /user", "by leaving it out");
	change(ALL("\"group\":\"a\""), NONE, "now.json: /group", "back to \"a\"");
	change(ALL("\"limits\":{\"connections\":5}"), ALL("\"limits\":{}"),
	       "now.json: /limits/connections", "back to 5");
	change(NONE, ALL("\"admin\":false"), "now.json: /admin", "restart Sallyport");
	change(ALL("\"admin\":false"), ALL("\"admin\":{}"), "now.json: /admin", "put it back,");
	change(NONE, ALL("\"admin\":{\"address\":\":1\"}"), "now.json: /admin", "");
	change(ALL("\"admin\":{\"address\":\":2\"}"), ALL("\"admin\":{\"address\":\":1\"}"),
	       "now.json: /admin", "");
}

Test(start, what_is_the_same_in_effect_is_no_change)
{
	change(NONE, NONE, NULL, "");
	change(NONE, ALL("\"admin\":{},\"limits\":{}"), NULL, "");
	change(ALL("\"admin\":{\"address\":\"[::1]:1\"}"),
	       ALL("\"admin\":{\"address\":\"[0::1]:1\"}"), NULL, "");
	change(ALL("\"admin\":false"), ALL("\"admin\":false"), NULL, "");
	change(ALL("\"user\":\"a\",\"workers\":2"), ALL("\"workers\":2,\"user\":\"a\""), NULL, "");
}

Test(start, everything_else_may_change)
{
	change(NONE,
	       "{\"listeners\":[{\"address\":\":9\",\"pool\":\"x\"}],\"pools\":{\"x\":{\"servers\":"
	       "[\"a:1\"]}},\"drain_timeout\":\"1s\",\"log\":{\"level\":\"debug\",\"access\":false},"
	       "\"limits\":{\"connections_per_address\":7}}",
	       NULL, "");
}

Test(start, all_changes_are_told)
{
	struct conf *old = given_parse(NONE);
	struct conf *now = given_parse(ALL("\"workers\":1,\"user\":\"u\",\"group\":\"g\",\"admin\":"
					   "false,\"limits\":{\"connections\":9}"));
	struct problems why;

	problems_init(&why);
	cr_expect_not(conf_same_start(old, now, "f", &why));
	cr_expect_eq(why.num_errors, 5);
	problems_fini(&why);
	conf_free(now);
	conf_free(old);
}
