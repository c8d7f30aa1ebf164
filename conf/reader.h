/* reader: what the steps of one parse share: where they are in the JSON, what they found wrong,
 * and the memory of the tree they build. One parse, one thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "conf/arena.h"
#include "conf/conf.h"
#include "conf/keys.h"

enum { READER_POINTER = 512 };

/* A pool that was named, to be looked up once all pools are known. */
struct reader_ref {
	struct reader_ref *next;
	size_t *slot; /* where its index goes */
	const char *name;
	const char *pointer;
};

struct reader {
	const struct conf_source *from;
	struct problems *why;
	struct arena *arena;
	struct conf *conf;
	struct reader_ref *refs; /* newest first */
	size_t errors;		 /* that were there before this parse */
	bool failed;		 /* memory was short: what was read is not to be used */
	size_t pointer_len;
	char pointer[READER_POINTER]; /* RFC 6901, of the value being read */
};

/* reader_error adds an error at the value being read. */
__attribute__((format(printf, 2, 3))) void reader_error(struct reader *r, const char *what, ...);

/* reader_error_at adds an error at `pointer`. */
__attribute__((format(printf, 3, 4))) void reader_error_at(struct reader *r, const char *pointer,
							   const char *what, ...);

/* reader_warn_at adds a warning at `pointer`. */
__attribute__((format(printf, 3, 4))) void reader_warn_at(struct reader *r, const char *pointer,
							  const char *what, ...);

/* reader_where writes "FILE: /pointer", or "FILE" for the whole, to `out`. */
void reader_where(const char *file, const char *pointer, char *out, size_t len);

/* reader_enter moves to member `name` of the value being read (escaped by RFC 6901 3); returns
 * what reader_leave wants to move back. */
size_t reader_enter(struct reader *r, const char *name);

/* reader_enter_index moves to element `i` likewise. */
size_t reader_enter_index(struct reader *r, size_t i);

/* reader_leave moves back to where `back` was returned. */
void reader_leave(struct reader *r, size_t back);

/* reader_alloc is arena_alloc; NULL also marks the parse as failed. */
void *reader_alloc(struct reader *r, size_t num, size_t size);

/* reader_copy is arena_copy; NULL also marks the parse as failed. */
char *reader_copy(struct reader *r, struct span s);

/* reader_scratch returns room for `num` objects for the moment, to be freed with
 * reader_scratch_free; NULL also marks the parse as failed. */
void *reader_scratch(struct reader *r, size_t num, size_t size);

/* reader_scratch_free frees it. */
void reader_scratch_free(struct reader *r, void *p);

/* reader_describe says what `json` is, for "expected ..., got ..."; returns `out`. */
const char *reader_describe(const json_t *json, char *out, size_t len);

/* reader_wrong_type adds the error that `json` is no value (`one`: of the list) of `k`. */
void reader_wrong_type(struct reader *r, const struct key *k, bool one, const json_t *json);

/* reader_value reads one value of `k`, which is no object, to `to`, and makes a string of `json`
 * canonical. What is wrong is added to the problems, and `to` then stays as it was, or NULL. */
void reader_value(struct reader *r, const struct key *k, json_t *json, void *to);

/* reader_web checks `s` (VALUE_MAX bytes) as a text of HTTP of this `type`, and makes it canonical
 * in its place. False: it is none, and an error has been added. */
bool reader_web(struct reader *r, enum key_type type, char *s);

/* reader_members checks which keys stand beside which in `json`, an object of `o` that was read. */
void reader_members(struct reader *r, const struct object *o, json_t *json);

/* reader_twice adds an error for each of `num` texts (NULL: one that could not be read) that is
 * there twice. `in_map`: they are keys of the JSON object at hand, else entries of its array.
 * `nocase`: case does not make a difference. */
void reader_twice(struct reader *r, const char *const *list, size_t num, bool in_map, bool nocase);

/* reader_tree fills `r->conf` from `root` by the table of keys. Strings of `root` are made
 * canonical on the way and annotations removed. What is wrong is added to the problems. */
void reader_tree(struct reader *r, json_t *root);

/* reader_check_routes checks the routes of `l`, whose pools have been looked up, and gives a
 * listener with a pool instead its one route. */
void reader_check_routes(struct reader *r, struct conf_listener *l);

/* reader_check checks what concerns more than one key, looks pools up, and gives names to what
 * has none. */
void reader_check(struct reader *r);
