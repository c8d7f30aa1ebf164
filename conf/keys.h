/* keys: the one table of every configuration key: name, type, range, default, help, when it is
 * taken, and where in struct conf it goes. Parser, schema, suggestions and reference page are
 * made from it; no key is written anywhere else. Constant data. Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What one value of a key is. */
enum key_type {
	KEY_BOOL,     /* bool */
	KEY_COUNT,    /* whole number: any unsigned integer */
	KEY_DURATION, /* int64_t nanoseconds */
	KEY_CHOICE,   /* one of `choices`: any unsigned integer or enum */
	KEY_NAME,     /* const char *: printable text */
	KEY_LOGIN,    /* const char *: a user or group */
	KEY_HOST,     /* const char *: a host name or IP address */
	KEY_PATH,     /* const char *: made absolute */
	KEY_OUTPUT,   /* const char *: a path made absolute, or "stderr" or "stdout" */
	KEY_CIPHER,   /* const char * */
	KEY_GROUP,    /* const char * */
	KEY_LISTEN,   /* struct conf_address, host optional */
	KEY_CONNECT,  /* struct conf_address, host required */
	KEY_POOL,     /* size_t: index of the pool of that name */
	KEY_OBJECT,   /* `object` */
	KEY_TYPES
};

/* How many values, and how they are kept. */
enum key_shape {
	KEY_ONE,	 /* at `at`; of an object the fields, whose offsets are the parent's */
	KEY_OPTIONAL,	 /* an object that `at` points to; NULL where the key is absent */
	KEY_LIST,	 /* JSON array; `at` points to the first of `num` */
	KEY_ONE_OR_LIST, /* the same, and one value stands for an array of one */
	KEY_JOINED,	 /* JSON array of strings, kept as one with ':' between */
	KEY_MAP,	 /* JSON object from name to object; kept as a list, in order */
};

/* A member of a struct; size 0: none. */
struct field {
	size_t offset;
	size_t size;
};

struct key_choice {
	const char *name;
	unsigned value;
};

struct object;

struct key {
	const char *name;
	const char *help;	  /* a sentence without its full stop */
	const char *fallback;	  /* default as JSON text; NULL: none */
	const char *fallback_doc; /* in words, where there is no constant default */
	enum key_type type;
	enum key_shape shape;
	bool required;
	bool at_start;	/* taken only at start: a reload that changes it is refused */
	bool or_false;	/* `false` may stand for the object: turned off */
	int64_t min;	/* KEY_COUNT; KEY_DURATION: ns */
	int64_t max;	/* the same; text: bytes, 0 for the bound of all texts */
	size_t max_num; /* of values in a list or map */
	struct field at;
	struct field num;		  /* size_t: values in the list */
	struct field on;		  /* bool: false where `false` was given */
	struct field given;		  /* bool: the key was there */
	const struct key_choice *choices; /* ended by a NULL name */
	const struct object *object;
};

struct object {
	const char *name; /* what one is called: "listener" */
	const char *help;
	size_t size;	       /* of the struct it is kept in */
	const char *shorthand; /* a string stands for an object with just this key; or NULL */
	struct field pointer;  /* const char *: where it is in the JSON */
	struct field map_name; /* const char *: its name, where it is in a map */
	const struct key *keys;
	size_t num_keys;
};

/* conf_root returns the description of the whole configuration. */
const struct object *conf_root(void);

/* key_find returns the key of `o` with that name, or NULL. */
const struct key *key_find(const struct object *o, const char *name);

/* key_is_annotation tells whether `name` is "$schema" or "$comment", which every object may have
 * with any string. */
bool key_is_annotation(const char *name);

/* key_expects writes what a value of `k` (one value: of its list) looks like, for messages and
 * documentation, e.g. `a duration such as "30s"`; returns `out`. */
const char *key_expects(const struct key *k, bool one, char *out, size_t len);

/* key_is_text tells whether values of this type are JSON strings. */
bool key_is_text(enum key_type type);

/* key_pattern returns the regular expression of JSON Schema that a string of this type matches
 * in full, or NULL. */
const char *key_pattern(enum key_type type);

/* key_max_text returns the longest text in bytes that `k` takes. */
size_t key_max_text(const struct key *k);
