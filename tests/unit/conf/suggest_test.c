#include <criterion/criterion.h>
#include <string.h>

#include "conf/suggest.h"

static const char *nearest(const char *word)
{
	static const char *const known[] = { "servers",	 "balance", "tls",
					     "timeouts", "pool",    "pools" };
	struct suggest s;

	suggest_init(&s, span_str(word));
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		suggest_offer(&s, known[i]);
	return s.best == NULL ? "" : s.best;
}

Test(suggest, finds_what_was_meant)
{
	cr_expect_str_eq(nearest("sevrers"), "servers");
	cr_expect_str_eq(nearest("server"), "servers");
	cr_expect_str_eq(nearest("Servers"), "servers");
	cr_expect_str_eq(nearest("time_outs"), "timeouts");
	cr_expect_str_eq(nearest("blance"), "balance");
	cr_expect_str_eq(nearest("tsl"), "tls");
	cr_expect_str_eq(nearest("poool"), "pool");
	cr_expect_str_eq(nearest("POOLS"), "pools");
}

Test(suggest, keeps_silent_about_what_is_far)
{
	cr_expect_str_eq(nearest(""), "");
	cr_expect_str_eq(nearest("x"), "");
	cr_expect_str_eq(nearest("routes"), "");
	cr_expect_str_eq(nearest("certificates"), "");
	cr_expect_str_eq(nearest("abc"), "");
}

Test(suggest, long_words_get_none)
{
	char word[200], same[200];
	struct suggest s;

	memset(word, 'a', sizeof(word));
	memset(same, 'a', sizeof(same));
	word[SUGGEST_MAX - 1] = same[SUGGEST_MAX - 2] = '\0';
	suggest_init(&s, span_str(word));
	suggest_offer(&s, same);
	cr_expect_eq(s.best, same);
	word[SUGGEST_MAX - 1] = 'a';
	word[SUGGEST_MAX] = '\0';
	suggest_init(&s, span_str(word));
	suggest_offer(&s, word);
	cr_expect_null(s.best);
	suggest_init(&s, span_str("servers"));
	suggest_offer(&s, word);
	cr_expect_null(s.best);
}
