/* The reference page, from the table of keys. Recursion follows the table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/keys.h"

enum { REFERENCE_TEXT = 384 };

static const char reference_head[] =
	"# Configuration reference\n"
	"\n"
	"Made by `sallyport` from the table that also makes its parser and its JSON Schema.\n"
	"\n"
	"The configuration is one JSON object. Unknown keys, keys written twice and wrong types "
	"are errors; `sallyport check -c FILE` shows all of them. Every object may have `$schema` "
	"and `$comment`, with any string.\n"
	"\n"
	"- A duration is a whole number with a unit: `\"250ms\"` `\"30s\"` `\"5m\"` `\"12h\"` "
	"`\"2d\"`.\n"
	"- An address is `\"host:port\"`, `\"[::1]:443\"`, `\":443\"` (every address of both "
	"families, only to listen on) or `\"unix:/run/app.sock\"`.\n"
	"- A size is a whole number of bytes, or one with a unit: `\"512\"` `\"64KiB\"` "
	"`\"10MiB\"` `\"1GiB\"`. A network is `\"10.0.0.0/8\"`, `\"2001:db8::/32\"` or one "
	"address.\n"
	"- A relative path is taken from the folder of the configuration file.\n"
	"- `${NAME}` in a string is replaced by that environment variable, `${NAME:-default}` by "
	"the default where it is unset or empty; unset without a default is an error. `$${` "
	"stands for the characters `${`.\n"
	"- \"at start\": a reload that changes the key is refused; all others are taken by "
	"reload.\n";

static void reference_default(FILE *out, const struct key *k)
{
	if (k->required)
		(void)fputs("required", out);
	else if (k->fallback != NULL)
		(void)fprintf(out, "`%s`", k->fallback);
	else if (k->fallback_doc != NULL)
		(void)fputs(k->fallback_doc, out);
}

static void reference_group(FILE *out, const char *what, const char *const *names)
{
	(void)fputs(what, out);
	for (size_t i = 0; names[i] != NULL; i++)
		(void)fprintf(out, "%s`%s`",
			      i == 0		     ? ""
			      : names[i + 1] == NULL ? " or "
						     : ", ",
			      names[i]);
	(void)fputs(".", out);
}

static void reference_key(FILE *out, const struct key *k)
{
	char expects[REFERENCE_TEXT];

	(void)fprintf(out, "| `%s` | %s | ", k->name,
		      key_expects(k, false, expects, sizeof(expects)));
	reference_default(out, k);
	(void)fprintf(out, " | %s | %s.", k->at_start ? "at start" : "by reload", k->help);
	if (k->in_mode != NULL)
		(void)fprintf(out, " Only in mode `%s`.", k->in_mode);
	if (k->with != NULL)
		reference_group(out, " Only with ", k->with);
	(void)fputs(" |\n", out);
}

static void reference_object(FILE *out, const struct object *o, const char *path)
{
	(void)fprintf(out, "\n## %s\n\n%s.", path[0] == '\0' ? "Top level" : path, o->help);
	if (o->shorthand != NULL)
		(void)fprintf(out, " A plain string stands for an object with only `%s`.",
			      o->shorthand);
	if (o->one_of != NULL)
		reference_group(out, " There must be exactly one of ", o->one_of);
	if (o->at_most_one != NULL)
		reference_group(out, " There may be at most one of ", o->at_most_one);
	(void)fputs("\n\n| key | value | default | taken | meaning |\n"
		    "| --- | --- | --- | --- | --- |\n",
		    out);
	for (size_t i = 0; i < o->num_keys; i++)
		reference_key(out, &o->keys[i]);
	for (size_t i = 0; i < o->num_keys; i++) {
		const struct key *k = &o->keys[i];
		char below[REFERENCE_TEXT];

		if (k->type != KEY_OBJECT || k->object->only_shorthand)
			continue;
		(void)snprintf(below, sizeof(below), "%s%s%s%s", path, path[0] == '\0' ? "" : ".",
			       k->name,
			       k->shape == KEY_MAP    ? ".NAME"
			       : k->shape == KEY_LIST ? "[]"
						      : "");
		reference_object(out, k->object, below);
	}
}

char *conf_reference(void)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	bool ok;

	if (out == NULL)
		return NULL;
	(void)fputs(reference_head, out);
	reference_object(out, conf_root(), "");
	ok = ferror(out) == 0;
	if (fclose(out) == 0 && ok)
		return text;
	free(text);
	return NULL;
}
