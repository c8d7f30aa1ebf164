#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/cli.h"

enum { MAX_WORDS = 140 };

/* What one call printed and answered. */
static struct {
	struct cli cli;
	bool ok;
	char *out, *err;
} call;

static void parse(const char *const *words)
{
	size_t out_len, err_len;
	FILE *out, *err;
	int n = 0;

	free(call.out);
	free(call.err);
	out = open_memstream(&call.out, &out_len);
	err = open_memstream(&call.err, &err_len);
	while (words[n] != NULL)
		n++;
	call.ok = cli_parse(n, words, &call.cli, out, err);
	(void)fclose(out);
	(void)fclose(err);
}

#define PARSE(...) parse((const char *const[]){ __VA_ARGS__, NULL })

static void drop_call(void)
{
	free(call.out);
	free(call.err);
	call.out = call.err = NULL;
}

TestSuite(cli, .fini = drop_call);

static void expect_wrong(const char *words)
{
	cr_assert_not(call.ok);
	cr_assert_not_null(strstr(call.err, words), "expected \"%s\" in:\n%s", words, call.err);
	cr_assert_str_empty(call.out);
}

Test(cli, run_with_and_without_its_name)
{
	PARSE("run", "-c", "f.json");
	cr_assert(call.ok);
	cr_assert_eq(call.cli.command, CLI_RUN);
	cr_assert_str_eq(call.cli.config, "f.json");
	PARSE("-c", "g.json");
	cr_assert(call.ok);
	cr_assert_eq(call.cli.command, CLI_RUN);
	cr_assert_str_eq(call.cli.config, "g.json");
	PARSE("--config=h.json");
	cr_assert_str_eq(call.cli.config, "h.json");
	cr_assert_str_empty(call.err);
}

Test(cli, proxy_takes_repeated_options)
{
	PARSE("proxy", "--listen", ":1", "--listen=:2", "--backend", "a:1", "--backend", "b:2",
	      "--cert", "c", "--key", "k", "--mode", "tcp", "--admin", "false", "--redirect-from",
	      ":3", "--redirect-from=:4");
	cr_assert(call.ok, "%s", call.err);
	cr_assert_eq(call.cli.command, CLI_PROXY);
	cr_assert_eq(call.cli.listen.num, 2);
	cr_assert_str_eq(call.cli.listen.list[1], ":2");
	cr_assert_eq(call.cli.redirect_from.num, 2);
	cr_assert_str_eq(call.cli.redirect_from.list[0], ":3");
	cr_assert_str_eq(call.cli.redirect_from.list[1], ":4");
	cr_assert_eq(call.cli.backend.num, 2);
	cr_assert_str_eq(call.cli.backend.list[0], "a:1");
	cr_assert_str_eq(call.cli.cert, "c");
	cr_assert_str_eq(call.cli.key, "k");
	cr_assert_str_eq(call.cli.mode, "tcp");
	cr_assert_str_eq(call.cli.admin, "false");
	cr_assert_not(call.cli.print_config);
	PARSE("proxy", "--listen", ":1", "--backend", "a:1", "--print-config");
	cr_assert(call.ok);
	cr_assert(call.cli.print_config);
}

Test(cli, demo_takes_one_address_or_none)
{
	PARSE("demo");
	cr_assert(call.ok);
	cr_assert_eq(call.cli.listen.num, 0);
	PARSE("demo", "--listen", "[::1]:1");
	cr_assert(call.ok);
	cr_assert_eq(call.cli.listen.num, 1);
	cr_assert_str_eq(call.cli.listen.list[0], "[::1]:1");
	PARSE("demo", "--listen", "a:1", "--listen", "b:1");
	expect_wrong("given twice: option \"listen\"");
}

Test(cli, other_commands)
{
	PARSE("check", "-c", "f");
	cr_assert_eq(call.cli.command, CLI_CHECK);
	PARSE("schema");
	cr_assert_eq(call.cli.command, CLI_SCHEMA);
	cr_assert_not(call.cli.reference);
	PARSE("schema", "--reference");
	cr_assert(call.cli.reference);
	PARSE("version");
	cr_assert_eq(call.cli.command, CLI_VERSION);
	PARSE("--version");
	cr_assert_eq(call.cli.command, CLI_VERSION);
	cr_assert(call.ok);
}

Test(cli, help_is_no_error)
{
	static const char *const commands[] = {
		"run", "proxy", "demo", "check", "schema", "version"
	};

	PARSE("--help");
	cr_assert(call.ok);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		cr_assert_not_null(strstr(call.out, commands[i]));
		cr_assert_eq(call.cli.command, CLI_HELP);
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		PARSE(commands[i], "--help");
		cr_assert(call.ok);
		cr_assert_eq(call.cli.command, CLI_HELP);
		cr_assert_not_null(strstr(call.out, commands[i]));
		cr_assert_str_empty(call.err);
	}
	PARSE("proxy", "--listen", "-h");
	cr_assert_not_null(strstr(call.out, "--print-config"));
}

Test(cli, nothing_is_a_mistake)
{
	parse((const char *const[]){ NULL });
	expect_wrong("usage:");
}

Test(cli, unknown_words_get_a_suggestion)
{
	PARSE("chekc", "-c", "f");
	expect_wrong("unknown command \"chekc\", did you mean \"check\"?");
	PARSE("reload-everything");
	expect_wrong("unknown command \"reload-everything\"\n");
	PARSE("proxy", "--lisen", ":1");
	expect_wrong("unknown option \"--lisen\", did you mean \"--listen\"?");
	PARSE("proxy", "--backends=a:1");
	expect_wrong("did you mean \"--backend\"?");
	PARSE("version", "--reference");
	expect_wrong("unknown option \"--reference\"\n");
	/* An option of another command is not one of this. */
	PARSE("check", "--listen", ":1");
	expect_wrong("unknown option \"--listen\"");
	PARSE("run", "--", "-c", "f");
	expect_wrong("unknown option \"--\"");
	PARSE("run", "-", "f");
	expect_wrong("unknown option \"-\"");
	PARSE("run", "-cf");
	expect_wrong("unknown option \"-cf\"");
	PARSE("@worker");
	expect_wrong("unknown command");
}

Test(cli, values_must_be_there_and_be_wanted)
{
	PARSE("run");
	expect_wrong("required: option \"config\"");
	PARSE("run", "-c");
	expect_wrong("a value is missing after option \"config\"");
	PARSE("run", "-c", "");
	expect_wrong("a value is missing");
	PARSE("run", "--config=");
	expect_wrong("a value is missing");
	PARSE("run", "-c", "a", "-c", "b");
	expect_wrong("given twice");
	PARSE("run", "-c", "a", "b");
	expect_wrong("unexpected argument \"b\"");
	PARSE("schema", "--reference=yes");
	expect_wrong("no value belongs to option \"reference\"");
	PARSE("proxy", "--listen", ":1");
	expect_wrong("required: option \"backend\"");
	PARSE("proxy", "--listen", ":1", "--backend", "a:1", "--key", "k");
	expect_wrong("\"cert\"");
	PARSE("proxy", "--listen", ":1", "--backend", "a:1", "--redirect-from", ":2");
	expect_wrong("without \"cert\" there is no use for option \"redirect-from\"");
}

Test(cli, repeated_options_are_bounded)
{
	const char *words[MAX_WORDS] = { "proxy", "--backend", "a:1" };
	size_t n = 3;

	for (size_t i = 0; i < CLI_MAX_VALUES; i++) {
		words[n++] = "--listen";
		words[n++] = ":1";
	}
	parse(words);
	cr_assert(call.ok);
	cr_assert_eq(call.cli.listen.num, CLI_MAX_VALUES);
	words[n++] = "--listen";
	words[n++] = ":1";
	parse(words);
	expect_wrong("too many of \"listen\"");
}
