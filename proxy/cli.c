#include "proxy/cli.h"

#include <string.h>

#include "conf/span.h"
#include "conf/suggest.h"

enum cli_kind { CLI_FLAG, CLI_ONE, CLI_MANY };

/* An option: where in struct cli it goes. */
struct cli_option {
	const char *name; /* long; without dashes */
	char letter;	  /* 0: none */
	enum cli_kind kind;
	bool required;
	size_t offset;
	const char *value; /* what it is called in help */
	const char *help;
};

struct cli_verb {
	const char *name;
	enum cli_command command;
	const char *help;
	const struct cli_option *options; /* ended by a NULL name */
};

#define CLI_AT(member) offsetof(struct cli, member)

static const struct cli_option run_options[] = {
	{ "config", 'c', CLI_ONE, true, CLI_AT(config), "FILE", "configuration, JSON" },
	{ .name = NULL },
};
static const struct cli_option proxy_options[] = {
	{ "listen", 0, CLI_MANY, true, CLI_AT(listen), "ADDR",
	  "where to accept connections, such as :8443; may be repeated" },
	{ "cert", 0, CLI_ONE, false, CLI_AT(cert), "FILE",
	  "PEM file with the certificate chain; without it, plaintext" },
	{ "key", 0, CLI_ONE, false, CLI_AT(key), "FILE",
	  "PEM file with the private key; without it, in the file of --cert" },
	{ "backend", 0, CLI_MANY, true, CLI_AT(backend), "ADDR",
	  "a server to pass connections to; may be repeated" },
	{ "mode", 0, CLI_ONE, false, CLI_AT(mode), "http|tcp", "what is spoken inside TLS" },
	{ "admin", 0, CLI_ONE, false, CLI_AT(admin), "ADDR",
	  "where metrics and health are served; false: nowhere" },
	{ "redirect-from", 0, CLI_MANY, false, CLI_AT(redirect_from), "ADDR",
	  "where plaintext HTTP is sent on to HTTPS, such as :8080; may be repeated" },
	{ "print-config", 0, CLI_FLAG, false, CLI_AT(print_config), NULL,
	  "write the configuration that the flags stand for, and exit" },
	{ .name = NULL },
};
static const struct cli_option demo_options[] = {
	{ "listen", 0, CLI_ONE, false, CLI_AT(listen.list), "ADDR",
	  "where to accept connections (127.0.0.1:8443)" },
	{ .name = NULL },
};
static const struct cli_option schema_options[] = {
	{ "reference", 0, CLI_FLAG, false, CLI_AT(reference), NULL,
	  "the reference page of every key, as Markdown, instead" },
	{ .name = NULL },
};
#define CLI_WHERE                                                                              \
	{                                                                                      \
		"admin", 0, CLI_ONE, false, CLI_AT(admin), "ADDR",                             \
			"the instance's admin address, such as unix:/run/sallyport/admin.sock" \
	}
static const struct cli_option status_options[] = {
	CLI_WHERE,
	{ "json", 0, CLI_FLAG, false, CLI_AT(json), NULL, "as JSON" },
	{ .name = NULL },
};
static const struct cli_option control_options[] = { CLI_WHERE, { .name = NULL } };
static const struct cli_option no_options[] = { { .name = NULL } };

static const struct cli_verb verbs[] = {
	{ "run", CLI_RUN, "run in the foreground (also without the word \"run\")", run_options },
	{ "proxy", CLI_PROXY, "run from flags alone, without a configuration file", proxy_options },
	{ "demo", CLI_DEMO, "run with a made-up certificate and backend: something to curl",
	  demo_options },
	{ "check", CLI_CHECK, "everything a reload would do, without doing it", run_options },
	{ "status", CLI_STATUS, "show what a running instance does", status_options },
	{ "reload", CLI_RELOAD, "let a running instance reload, and wait for the outcome",
	  control_options },
	{ "drain", CLI_DRAIN, "let a running instance finish what it has, and end",
	  control_options },
	{ "schema", CLI_SCHEMA, "write the JSON Schema of the configuration", schema_options },
	{ "version", CLI_VERSION, "write version, crypto library and features", no_options },
};
enum { CLI_NUM_VERBS = sizeof(verbs) / sizeof(verbs[0]) };

/* ---- help */

static void cli_usage(FILE *f)
{
	(void)fprintf(f, "usage: sallyport COMMAND [OPTIONS]\n\n");
	for (size_t i = 0; i < CLI_NUM_VERBS; i++)
		(void)fprintf(f, "  %-8s  %s\n", verbs[i].name, verbs[i].help);
	(void)fprintf(f, "\n\"sallyport COMMAND --help\" says more. Manual: sallyport(8)\n");
}

static void cli_help(const struct cli_verb *verb, FILE *f)
{
	char left[64];

	(void)fprintf(f, "usage: sallyport %s", verb->name);
	for (const struct cli_option *o = verb->options; o->name != NULL; o++) {
		(void)fputs(o->required ? " " : " [", f);
		if (o->letter != 0)
			(void)fprintf(f, "-%c", o->letter);
		else
			(void)fprintf(f, "--%s", o->name);
		(void)fprintf(f, "%s%s%s", o->value == NULL ? "" : " ",
			      o->value == NULL ? "" : o->value, o->required ? "" : "]");
		if (o->kind == CLI_MANY)
			(void)fputs("...", f);
	}
	(void)fprintf(f, "\n\n%s\n%s", verb->help, verb->options[0].name == NULL ? "" : "\n");
	for (const struct cli_option *o = verb->options; o->name != NULL; o++) {
		(void)snprintf(left, sizeof(left), "%c%c%s--%s%s%s", o->letter == 0 ? ' ' : '-',
			       o->letter == 0 ? ' ' : o->letter, o->letter == 0 ? "  " : ", ",
			       o->name, o->value == NULL ? "" : " ",
			       o->value == NULL ? "" : o->value);
		(void)fprintf(f, "  %-24s  %s\n", left, o->help);
	}
}

/* ---- errors */

static bool cli_wrong_verb(const char *word, FILE *err)
{
	struct suggest s;

	suggest_init(&s, span_str(word));
	for (size_t i = 0; i < CLI_NUM_VERBS; i++)
		suggest_offer(&s, verbs[i].name);
	(void)fprintf(err, "sallyport: unknown command \"%s\"", word);
	if (s.best != NULL)
		(void)fprintf(err, ", did you mean \"%s\"?", s.best);
	(void)fprintf(err, "\n");
	cli_usage(err);
	return false;
}

static bool cli_wrong_option(const struct cli_verb *verb, const char *word, FILE *err)
{
	struct span name = span_str(word + strspn(word, "-"));
	const char *equals = memchr(name.p, '=', name.n);
	struct suggest s;

	if (equals != NULL)
		name.n = (size_t)(equals - name.p);
	suggest_init(&s, name);
	for (const struct cli_option *o = verb->options; o->name != NULL; o++)
		suggest_offer(&s, o->name);
	(void)fprintf(err, "sallyport %s: unknown option \"%s\"", verb->name, word);
	if (s.best != NULL)
		(void)fprintf(err, ", did you mean \"--%s\"?", s.best);
	(void)fprintf(err, "\n(\"sallyport %s --help\" lists them)\n", verb->name);
	return false;
}

static bool cli_wrong(const struct cli_verb *verb, FILE *err, const char *what, const char *name)
{
	(void)fprintf(err, "sallyport %s: ", verb->name);
	(void)fprintf(err, "%s \"%s\"", what, name);
	(void)fprintf(err, "\n(\"sallyport %s --help\" says more)\n", verb->name);
	return false;
}

/* ---- parsing */

/* Finds the option that `word` names; `*value` is what follows '=', or NULL. */
static const struct cli_option *cli_find(const struct cli_verb *verb, const char *word,
					 const char **value)
{
	const char *equals = strchr(word, '=');
	size_t n = equals == NULL ? strlen(word) : (size_t)(equals - word);

	*value = equals == NULL ? NULL : equals + 1;
	for (const struct cli_option *o = verb->options; o->name != NULL; o++) {
		if (n > 2 && strncmp(word, "--", 2) == 0 &&
		    span_eq(span_of(word + 2, n - 2), span_str(o->name)))
			return o;
		if (n == 2 && word[0] == '-' && o->letter != 0 && word[1] == o->letter)
			return o;
	}
	return NULL;
}

static bool cli_store(struct cli *cli, const struct cli_verb *verb, const struct cli_option *o,
		      const char *value, FILE *err)
{
	void *at = (char *)cli + o->offset;
	struct cli_values *values = at;
	const char **one = at;

	if (o->kind == CLI_MANY) {
		if (values->num == CLI_MAX_VALUES)
			return cli_wrong(verb, err, "too many of", o->name);
		values->list[values->num++] = value;
		return true;
	}
	if (*one != NULL)
		return cli_wrong(verb, err, "given twice: option", o->name);
	*one = value;
	return true;
}

/* Takes one option and its value. Returns how many words that were; 0: wrong. */
static int cli_take(struct cli *cli, const struct cli_verb *verb, int argc, const char *const *argv,
		    FILE *err)
{
	const char *value;
	const struct cli_option *o = cli_find(verb, argv[0], &value);
	bool separate = false;

	if (argv[0][0] != '-') {
		(void)cli_wrong(verb, err, "unexpected argument", argv[0]);
		return 0;
	}
	if (o == NULL) {
		(void)cli_wrong_option(verb, argv[0], err);
		return 0;
	}
	if (o->kind == CLI_FLAG) {
		if (value != NULL) {
			(void)cli_wrong(verb, err, "no value belongs to option", o->name);
			return 0;
		}
		*(bool *)((char *)cli + o->offset) = true;
		return 1;
	}
	if (value == NULL && argc > 1) {
		value = argv[1];
		separate = true;
	}
	if (value == NULL || value[0] == '\0') {
		(void)cli_wrong(verb, err, "a value is missing after option", o->name);
		return 0;
	}
	return cli_store(cli, verb, o, value, err) ? 1 + separate : 0;
}

static bool cli_complete(const struct cli *cli, const struct cli_verb *verb, FILE *err)
{
	for (const struct cli_option *o = verb->options; o->name != NULL; o++) {
		const void *at = (const char *)cli + o->offset;
		const struct cli_values *values = at;
		const char *const *one = at;

		if (o->required && (o->kind == CLI_MANY ? values->num == 0 : *one == NULL))
			return cli_wrong(verb, err, "required: option", o->name);
	}
	if (cli->key != NULL && cli->cert == NULL)
		return cli_wrong(verb, err, "without \"cert\" there is no use for option", "key");
	if (cli->redirect_from.num > 0 && cli->cert == NULL)
		return cli_wrong(verb, err, "without \"cert\" there is no use for option",
				 "redirect-from");
	return true;
}

static bool cli_is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static bool cli_options(struct cli *cli, const struct cli_verb *verb, int argc,
			const char *const *argv, FILE *out, FILE *err)
{
	for (int i = 0; i < argc; i++) {
		if (cli_is_help(argv[i])) {
			cli_help(verb, out);
			cli->command = CLI_HELP;
			return true;
		}
	}
	while (argc > 0) {
		int used = cli_take(cli, verb, argc, argv, err);

		if (used == 0)
			return false;
		argc -= used;
		argv += used;
	}
	return cli_complete(cli, verb, err);
}

bool cli_parse(int argc, const char *const *argv, struct cli *cli, FILE *out, FILE *err)
{
	*cli = (struct cli){ .command = CLI_HELP };
	if (argc < 1) {
		cli_usage(err);
		return false;
	}
	if (cli_is_help(argv[0]) || strcmp(argv[0], "help") == 0) {
		cli_usage(out);
		return true;
	}
	if (strcmp(argv[0], "--version") == 0) {
		cli->command = CLI_VERSION;
		return true;
	}
	for (size_t i = 0; i < CLI_NUM_VERBS; i++) {
		if (strcmp(argv[0], verbs[i].name) == 0) {
			cli->command = verbs[i].command;
			if (!cli_options(cli, &verbs[i], argc - 1, argv + 1, out, err))
				return false;
			/* Of the demo's only one there is no count. */
			if (cli->listen.num == 0 && cli->listen.list[0] != NULL)
				cli->listen.num = 1;
			return true;
		}
	}
	/* Options alone mean "run". */
	if (argv[0][0] != '-')
		return cli_wrong_verb(argv[0], err);
	cli->command = CLI_RUN;
	return cli_options(cli, &verbs[0], argc, argv, out, err);
}
