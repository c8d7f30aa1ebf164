#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "conf/values.h"
#include "tests/unit/conf/given.h"

Test(values, durations_have_a_number_and_a_unit)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {
		{ "250ms", 250 * VALUE_MS },  { "30s", 30 * VALUE_SECOND },
		{ "5m", 5 * VALUE_MINUTE },   { "12h", 12 * VALUE_HOUR },
		{ "2d", 2 * VALUE_DAY },      { "0s", 0 },
		{ "007s", 7 * VALUE_SECOND }, { "9223372036s", 9223372036 * VALUE_SECOND },
	};
	static const char *const bad[] = {
		"",	  "s",	   "30",	  "30 s",
		" 30s",	  "30S",   "-1s",	  "+1s",
		"1.5s",	  "30sec", "1m30s",	  "ms",
		"30ss",	  "1us",   "9223372037s", "99999999999999999999s",
		"106752d"
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		int64_t ns = -1;

		cr_expect(value_duration(span_str(good[i].text), &ns), "%s", good[i].text);
		cr_expect_eq(ns, good[i].ns, "%s", good[i].text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int64_t ns = -1;

		cr_expect_not(value_duration(span_str(bad[i]), &ns), "%s", bad[i]);
		cr_expect_eq(ns, -1, "%s", bad[i]);
	}
}

Test(values, durations_are_written_in_their_largest_whole_unit)
{
	static const char *const texts[] = {
		"0s", "1ms", "250ms", "30s", "90s", "5m", "25h", "7d"
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char out[32];
		int64_t ns;

		cr_assert(value_duration(span_str(texts[i]), &ns));
		value_duration_text(ns, out, sizeof(out));
		cr_expect_str_eq(out, texts[i]);
	}
}

Test(values, sizes_have_a_number_and_a_unit_or_none)
{
	static const struct {
		const char *text;
		int64_t bytes;
	} good[] = {
		{ "0", 0 },	     { "512", 512 },
		{ "64KiB", 65536 },  { "10MiB", 10 << 20 },
		{ "1GiB", 1 << 30 }, { "9223372036854775807", INT64_MAX },
	};
	static const char *const bad[] = {
		"",
		"KiB",
		"64 KiB",
		"64kib",
		"64KB",
		"64K",
		"-1",
		"1.5MiB",
		"9223372036854775808",
		"8589934592GiB",
	};
	char out[32];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		int64_t bytes = -1;

		cr_expect(value_size(span_str(good[i].text), &bytes), "%s", good[i].text);
		cr_expect_eq(bytes, good[i].bytes, "%s", good[i].text);
		value_size_text(bytes, out, sizeof(out));
		cr_expect_str_eq(out, good[i].text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int64_t bytes = -1;

		cr_expect_not(value_size(span_str(bad[i]), &bytes), "%s", bad[i]);
		cr_expect_eq(bytes, -1, "%s", bad[i]);
	}
	value_size_text(2048 << 10, out, sizeof(out));
	cr_expect_str_eq(out, "2MiB");
}

Test(values, utf8_is_checked_as_rfc_3629_has_it)
{
	static const char *const good[] = { "",
					    "a",
					    "\xc2\x80",
					    "\xc3\xa9",
					    "\xe0\xa0\x80",
					    "\xed\x9f\xbf",
					    "\xef\xbf\xbf",
					    "\xf0\x90\x80\x80",
					    "\xf4\x8f\xbf\xbf" };
	static const char *const bad[] = { "\x80",
					   "\xc0\x80",
					   "\xc1\xbf",
					   "\xc3",
					   "\xe0\x9f\xbf",
					   "\xe2\x82",
					   "\xed\xa0\x80",
					   "\xf0\x8f\xbf\xbf",
					   "\xf4\x90\x80\x80",
					   "\xf5\x80\x80\x80",
					   "\xff",
					   "\xe2\x28\xa1" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		cr_expect(value_utf8(span_str(good[i])), "good %zu", i);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_not(value_utf8(span_str(bad[i])), "bad %zu", i);
}

Test(values, control_characters_are_not_printable)
{
	cr_expect(value_printable(span_str("caf\xc3\xa9 ~\xc2\xa0")));
	cr_expect_not(value_printable(span_str("a\nb")));
	cr_expect_not(value_printable(span_str("\x7f")));
	cr_expect_not(value_printable(span_str("\xc2\x85")));
	cr_expect_not(value_printable(span_of("a\0b", 3)));
}

Test(values, quotes_are_cut_between_characters)
{
	char out[VALUE_QUOTE], text[200];

	cr_expect_str_eq(value_quote(span_str("short"), out), "short");
	cr_expect_str_eq(value_quote(span_of(NULL, 0), out), "");
	for (size_t i = 0; i < 199; i++)
		text[i] = i % 2 == 0 ? '\xc3' : '\xa9';
	text[199] = '\0';
	(void)value_quote(span_str(text), out);
	cr_expect_eq(strlen(out), 63);
	(void)value_quote(span_str(text + 1), out);
	cr_expect_eq(strlen(out), 62);
	cr_expect_str_eq(out + strlen(out) - 3, "...");
}

static const char *expand(const char *text)
{
	static char out[VALUE_MAX];
	static char why[256];
	size_t len;

	if (!value_expand(span_str(text), given_env, out, &len, why, sizeof(why)))
		return why;
	cr_expect_eq(strlen(out), len);
	return out;
}

Test(values, variables_are_replaced)
{
	cr_expect_str_eq(expand(""), "");
	cr_expect_str_eq(expand("plain $HOST {x} $"), "plain $HOST {x} $");
	cr_expect_str_eq(expand("${HOST}:80"), "10.0.0.1:80");
	cr_expect_str_eq(expand("a${HOST}${HOST}b"), "a10.0.0.110.0.0.1b");
	cr_expect_str_eq(expand("${NO:-x}"), "x");
	cr_expect_str_eq(expand("${NO:-}"), "");
	cr_expect_str_eq(expand("${NO:-:-x}"), ":-x");
	cr_expect_str_eq(expand("${HOST:-x}"), "10.0.0.1");
	cr_expect_str_eq(expand("${EMPTY}"), "");
	cr_expect_str_eq(expand("${EMPTY:-x}"), "x");
}

Test(values, what_a_variable_holds_is_not_expanded_again)
{
	cr_expect_str_eq(expand("${DOLLAR}"), "${HOST}");
}

Test(values, two_dollars_before_a_brace_are_one)
{
	cr_expect_str_eq(expand("$${HOST}"), "${HOST}");
	cr_expect_str_eq(expand("$$"), "$$");
	cr_expect_str_eq(expand("$$x"), "$$x");
	cr_expect_str_eq(expand("$$${HOST}"), "$${HOST}");
}

Test(values, malformed_variables_are_told)
{
	cr_expect_not_null(strstr(expand("${NO}"), "\"NO\" is not set"));
	cr_expect_not_null(strstr(expand("${HOST"), "without \"}\""));
	cr_expect_not_null(strstr(expand("${"), "without \"}\""));
	cr_expect_not_null(strstr(expand("${}"), "names no variable"));
	cr_expect_not_null(strstr(expand("${:-x}"), "names no variable"));
	cr_expect_not_null(strstr(expand("${1A}"), "names no variable"));
	cr_expect_not_null(strstr(expand("${A B}"), "names no variable"));
	cr_expect_not_null(strstr(expand("${HOST:x}"), "names no variable"));
	cr_expect_not_null(strstr(expand("${${HOST}}"), "names no variable"));
}

Test(values, without_an_environment_nothing_is_expanded)
{
	char out[VALUE_MAX], why[64];
	size_t len;

	cr_assert(value_expand(span_str("$${A}${B}${"), NULL, out, &len, why, sizeof(why)));
	cr_expect_str_eq(out, "$${A}${B}${");
}

Test(values, expansion_is_bounded)
{
	char text[VALUE_MAX + 1], out[VALUE_MAX], why[64];
	size_t len;

	cr_expect_not_null(strstr(expand("${BIG}${BIG}"), "longer than the 4095"));
	memset(text, 'x', sizeof(text));
	cr_assert(value_expand(span_of(text, VALUE_MAX - 1), NULL, out, &len, why, sizeof(why)));
	cr_expect_eq(len, VALUE_MAX - 1);
	cr_expect_not(value_expand(span_of(text, VALUE_MAX), NULL, out, &len, why, sizeof(why)));
}

Test(values, paths_become_absolute)
{
	static const struct {
		const char *folder, *path, *want;
	} cases[] = {
		{ "/etc/x", "a.pem", "/etc/x/a.pem" },
		{ "/etc/x", "/a.pem", "/a.pem" },
		{ "/", "a", "/a" },
		{ "/etc/x/", "./a//b/./c/", "/etc/x/a/b/c" },
		{ "/etc/x", "../a", "/etc/x/../a" },
		{ "/etc", "/", "/" },
		{ "/etc", ".", "/etc" },
		{ "/", ".", "/" },
		{ "/etc", "//a//", "/a" },
		{ "/etc", ".a/..b/...", "/etc/.a/..b/..." },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[VALUE_MAX], again[VALUE_MAX];

		cr_expect(value_path(cases[i].folder, span_str(cases[i].path), out));
		cr_expect_str_eq(out, cases[i].want);
		cr_expect(value_path("/other", span_str(out), again));
		cr_expect_str_eq(again, out);
	}
}

Test(values, paths_that_are_too_long_are_refused)
{
	char text[VALUE_MAX], out[VALUE_MAX];

	memset(text, 'x', sizeof(text));
	cr_expect(value_path("/", span_of(text, VALUE_MAX - 2), out));
	cr_expect_eq(strlen(out), VALUE_MAX - 1);
	cr_expect_not(value_path("/", span_of(text, VALUE_MAX - 1), out));
	cr_expect_not(value_path("/a", span_of(text, VALUE_MAX - 2), out));
}
