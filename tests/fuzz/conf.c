/* conf_parse of any bytes: a tree or an error; and what it takes has a canonical text that gives
 * the same text again, from any folder and without variables. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/must.h"

static const char *fuzz_env(const char *name)
{
	if (strcmp(name, "HOST") == 0)
		return "10.0.0.1";
	if (strcmp(name, "DOLLAR") == 0)
		return "${HOST}";
	if (strcmp(name, "BYTES") == 0)
		return "\xff\n";
	return strcmp(name, "EMPTY") == 0 ? "" : NULL;
}

static void fuzz_again(const struct conf *c)
{
	const struct conf_source from = { .file = "again", .folder = "/elsewhere", .getenv = NULL };
	const char *text = conf_canonical(c);
	struct problems why;
	struct conf *again;

	problems_init(&why);
	again = conf_parse(span_str(text), &from, &why);
	MUST(again != NULL && why.num_errors == 0);
	MUST(strcmp(conf_canonical(again), text) == 0);
	MUST(again->num_listeners == c->num_listeners && again->num_pools == c->num_pools);
	MUST(conf_same_start(c, again, "again", &why));
	conf_free(again);
	problems_fini(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct conf_source from = { .file = "fuzz", .folder = "/etc", .getenv = fuzz_env };
	struct problems why;
	struct conf *c;

	problems_init(&why);
	c = conf_parse(span_of(data, size), &from, &why);
	MUST((c == NULL) == (why.num_errors > 0));
	if (c != NULL)
		fuzz_again(c);
	conf_free(c);
	problems_fini(&why);
	return 0;
}
