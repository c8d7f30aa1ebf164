/* cli: the command line: words to a struct, with the nearest known word suggested for a misspelt
 * one. Runs nothing, opens nothing. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { CLI_MAX_VALUES = 64 }; /* of an option that may be repeated */

enum cli_command {
	CLI_RUN,
	CLI_PROXY,
	CLI_DEMO,
	CLI_CHECK,
	CLI_STATUS,
	CLI_RELOAD,
	CLI_DRAIN,
	CLI_SCHEMA,
	CLI_VERSION,
	CLI_HELP, /* was answered already */
};

/* Exit codes of the program. */
enum { CLI_OK = 0, CLI_CONFIGURATION = 1, CLI_USAGE = 2, CLI_START = 3 };

/* Values of an option, borrowed from argv. */
struct cli_values {
	const char *list[CLI_MAX_VALUES];
	size_t num;
};

struct cli {
	enum cli_command command;
	const char *config;	  /* run, check */
	struct cli_values listen; /* proxy; demo: at most one */
	struct cli_values backend;
	struct cli_values redirect_from;
	const char *cert, *key, *mode; /* proxy; NULL: not given */
	const char *admin;	       /* proxy, status, reload, drain */
	bool print_config;
	bool reference; /* schema: the reference page instead */
	bool json;	/* status: as the instance said it */
};

/* cli_parse reads the words after the program's name. `out` gets help that was asked for (then the
 * command is CLI_HELP), `err` what is wrong, with usage. False: the call makes no sense. */
bool cli_parse(int argc, const char *const *argv, struct cli *cli, FILE *out, FILE *err);
