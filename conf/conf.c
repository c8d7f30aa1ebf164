#include "conf/conf.h"

#include <stddef.h>
#include <string.h>

#include <jansson.h>

#include "conf/arena.h"
#include "conf/must.h"
#include "conf/reader.h"
#include "conf/syntax.h"
#include "conf/values.h"

enum { CONF_MAX_MEMORY = 64 << 20 };

/* A configuration with what it is made of. */
struct tree {
	struct conf conf; /* first: what others hold is a pointer to it */
	struct arena arena;
	const char *canonical;
};

static struct tree *tree_new(void)
{
	json_malloc_t malloc_fn;
	json_free_t free_fn;
	struct tree *t;

	json_get_alloc_funcs(&malloc_fn, &free_fn);
	if ((t = malloc_fn(sizeof(*t))) == NULL)
		return NULL;
	*t = (struct tree){ .canonical = NULL };
	arena_init(&t->arena, CONF_MAX_MEMORY);
	return t;
}

static void tree_free(struct tree *t)
{
	json_free_t free_fn;

	if (t == NULL)
		return;
	free_fn = t->arena.free_fn;
	arena_fini(&t->arena);
	free_fn(t);
}

/* Sets t->canonical. False, with an error, where that is too long or memory was short. */
static bool tree_dump(struct tree *t, const json_t *root, struct reader *r)
{
	size_t len = json_dumpb(root, NULL, 0, JSON_COMPACT | JSON_REAL_PRECISION(15));
	char *text;

	if (len > CONF_MAX_TEXT) {
		reader_error_at(r, "", "is longer than %d MiB once variables are expanded",
				CONF_MAX_TEXT >> 20);
		return false;
	}
	if (len == 0 || (text = reader_alloc(r, len + 1, 1)) == NULL ||
	    json_dumpb(root, text, len, JSON_COMPACT | JSON_REAL_PRECISION(15)) != len) {
		r->failed = true;
		return false;
	}
	t->canonical = text;
	return true;
}

static bool tree_read(struct tree *t, json_t *root, const struct conf_source *from,
		      struct problems *why)
{
	size_t errors = why->num_errors;
	struct reader r = {
		.from = from, .why = why, .arena = &t->arena, .conf = &t->conf, .errors = errors
	};

	reader_tree(&r, root);
	if (!r.failed)
		reader_check(&r);
	if (!r.failed && why->num_errors == errors)
		(void)tree_dump(t, root, &r);
	if (r.failed)
		reader_error_at(&r, "", "%s",
				t->arena.over_limit ? "is too large: read, it takes over 64 MiB"
						    : "out of memory");
	return why->num_errors == errors;
}

struct conf *conf_parse(struct span text, const struct conf_source *from, struct problems *why)
{
	size_t errors = why->num_errors;
	struct tree *t = NULL;
	json_t *root;

	MUST(from->folder != NULL && from->folder[0] == '/');
	/* Else jansson would open a file of random bytes, which a sandbox may not allow. */
	json_object_seed(1);
	if (!value_utf8(span_str(from->folder)) || !value_printable(span_str(from->folder))) {
		problems_add(why, PROBLEM_ERROR, from->file,
			     "the name of its folder is not printable UTF-8: move it");
		return NULL;
	}
	if ((root = syntax_load(text, from->file, why)) == NULL)
		return NULL;
	if ((t = tree_new()) == NULL)
		problems_add(why, PROBLEM_ERROR, from->file, "out of memory");
	else
		(void)tree_read(t, root, from, why);
	json_decref(root);
	if (why->num_errors == errors)
		return &t->conf;
	tree_free(t);
	return NULL;
}

void conf_free(struct conf *c)
{
	tree_free((struct tree *)c);
}

const char *conf_canonical(const struct conf *c)
{
	return ((const struct tree *)c)->canonical;
}
