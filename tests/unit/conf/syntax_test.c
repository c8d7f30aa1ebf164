#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "tests/unit/conf/given.h"

Test(syntax, faults_are_named_by_line_and_column)
{
	given_refused("{\n  \"a\": 1,\n  oops\n}", "3:6", "near 'oops'");
	given_refused("{\n\"a\" 1}", "2:5", "expected");
	given_refused("", "", "is empty");
	given_refused("   ", "1:3", "ends too early");
	given_refused("{\"a\": \"b", "1:8", "ends too early");
	given_refused("{\"a\": [1, 2", "1:11", "ends too early");
	given_refused("{} {}", "1:4", "follows the end");
	given_refused("{\"a\": \"\\u0000\"}", "1:14", "\\u0000 is not allowed");
	given_refused("{\"\\u0000\": 1}", "1:9", "\\u0000 is not allowed");
	given_refused("{\"a\": \"\xff\"}", "1:7", "save the file as UTF-8");
	given_refused("{\"a\": \"\\ud800\"}", "1:14", "invalid Unicode");
	given_refused("{\"a\": \"\\x\"}", "1:9", "invalid escape");
	given_refused("{\"a\": 99999999999999999999}", "1:26", "too large");
	given_refused("{\"a\": 1e999}", "1:11", "too large");
	given_refused("{\"a\": NaN}", "1:9", "near 'NaN'");
	given_refused("\xef\xbb\xbf{}", "1:1", "byte order mark");
}

Test(syntax, usual_slips_get_their_remedy)
{
	given_refused("{\"a\": [1, 2, ]}", "1:14", "remove the comma before it");
	given_refused("{\"a\": 1,\n}", "2:1", "remove the comma before it");
	given_refused("{ // x\n}", "1:3", "JSON has no comments");
	given_refused("# x\n{}", "1:1", "JSON has no comments");
	given_refused("{'a': 1}", "1:2", "double quotes");
	given_refused("{\"a\": 1 \"b\": 2}", "1:11", "is a comma or a colon missing");
}

Test(syntax, a_nul_byte_does_not_end_the_text_quietly)
{
	static const char text[] = "{" GIVEN_ALL "}\0{";
	struct conf_source from = given_source();
	struct problems why;

	problems_init(&why);
	cr_expect_null(conf_parse(span_of(text, sizeof(text) - 1), &from, &why));
	cr_expect_eq(why.num_errors, 1);
	problems_fini(&why);
}

Test(syntax, keys_written_twice_are_named_each)
{
	struct conf_source from = given_source();
	struct problems why;
	static const char text[] = "{ \"workers\": 1,\n  \"w\\u006frkers\": 2,\n " GIVEN_LISTENERS
				   ",\n \"pools\": { \"web\": { \"servers\": [ \"a:1\" ],\n"
				   "\"servers\":[\"b:1\"], \"servers\":[\"c:1\"] } } }";

	problems_init(&why);
	cr_assert_null(conf_parse(span_str(text), &from, &why));
	cr_assert_eq(why.num_errors, 3);
	cr_expect_str_eq(why.list[0].where, "t.json:2:3");
	cr_expect_str_eq(why.list[0].what,
			 "duplicate key \"workers\": it is on line 1 already; remove one");
	cr_expect_str_eq(why.list[1].where, "t.json:5:1");
	cr_expect_not_null(strstr(why.list[1].what, "duplicate key \"servers\""));
	cr_expect_str_eq(why.list[2].where, "t.json:5:20");
	problems_fini(&why);
}

Test(syntax, keys_written_twice_do_not_hide_other_errors)
{
	cr_expect_eq(given_errors("{\"workers\":1,\"workers\":0," GIVEN_ALL ",\"x\":1}"), 3);
}

Test(syntax, the_same_key_in_two_objects_is_not_twice)
{
	conf_free(given_parse("{\"listeners\":[{\"address\":\":1\",\"pool\":\"web\"},"
			      "{\"address\":\":2\",\"pool\":\"web\"}]," GIVEN_POOLS "}"));
	/* Here a key that is twice makes the scan run over the others, too. */
	given_refused("{\"listeners\":[{\"address\":\":1\",\"pool\":\"web\"},"
		      "{\"pool\":\"web\",\"address\":\":2\",\"name\":\"{[\\\"pool\\\":,\"}],"
		      "\"user\":\"a\",\"user\":\"b\"," GIVEN_POOLS "}",
		      "1:109", "duplicate key \"user\"");
}

Test(syntax, nesting_is_bounded)
{
	enum { DEEP = 100000 };
	char *text = malloc(2 * DEEP + 1);

	cr_assert_not_null(text);
	memset(text, '[', DEEP);
	memset(text + DEEP, ']', DEEP);
	text[2 * DEEP] = '\0';
	given_refused(text, "1:2049", "nested too deeply");
	free(text);
}

Test(syntax, deep_values_that_jansson_takes_are_refused_by_type)
{
	enum { DEEP = 2000 };
	static const char head[] = "{" GIVEN_ALL ",\"x\":1,\"x\":";
	char *text = calloc(1, sizeof(head) + 2 * DEEP + 1);
	size_t n = sizeof(head) - 1;

	cr_assert_not_null(text);
	memcpy(text, head, n);
	memset(text + n, '[', DEEP);
	memset(text + n + DEEP, ']', DEEP);
	text[n + 2 * DEEP] = '}';
	cr_expect_eq(given_errors(text), 2);
	free(text);
}

Test(syntax, text_is_bounded)
{
	char *text = malloc(CONF_MAX_TEXT + 2);

	cr_assert_not_null(text);
	memset(text, ' ', CONF_MAX_TEXT + 1);
	text[CONF_MAX_TEXT + 1] = '\0';
	given_refused(text, "", "longer than the 16 MiB");
	free(text);
}

Test(syntax, the_whole_must_be_an_object)
{
	given_refused("[]", "", "expected an object, got an array");
	given_refused("1", "", "expected an object, got number 1");
	given_refused("null", "", "expected an object, got null");
	given_refused("\"x\"", "", "expected an object, got string \"x\"");
}
