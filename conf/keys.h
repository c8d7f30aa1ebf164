/* keys: the one table of every configuration key: name, type, range, default, help, when it is
 * taken, and where in struct conf it goes. Parser, schema, suggestions and reference page are
 * made from it; no key is written anywhere else. Constant data. Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What one value of a key is. */
enum key_type {
	KEY_BOOL,	 /* bool */
	KEY_TRUE,	 /* bool, and only `true` */
	KEY_COUNT,	 /* whole number: any unsigned integer */
	KEY_DURATION,	 /* int64_t nanoseconds */
	KEY_CHOICE,	 /* one of `choices`: any unsigned integer or enum */
	KEY_NAME,	 /* const char *: printable text */
	KEY_LOGIN,	 /* const char *: a user or group */
	KEY_HOST,	 /* const char *: a host name or IP address */
	KEY_PATH,	 /* const char *: made absolute */
	KEY_OUTPUT,	 /* const char *: a path made absolute, or "stderr" or "stdout" */
	KEY_CIPHER,	 /* const char * */
	KEY_GROUP,	 /* const char * */
	KEY_LISTEN,	 /* struct conf_address, host optional */
	KEY_CONNECT,	 /* struct conf_address, host required */
	KEY_POOL,	 /* size_t: index of the pool of that name; CONF_NO_POOL without */
	KEY_SIZE,	 /* text such as "64KiB": any unsigned integer, bytes */
	KEY_CODE,	 /* a number that is the name of one of `choices`: any unsigned integer */
	KEY_NETWORK,	 /* struct conf_network */
	KEY_VHOST,	 /* const char *: host of requests, or a wildcard; lower case */
	KEY_URL_PATH,	 /* const char *: path of requests, normalised */
	KEY_METHOD,	 /* const char * */
	KEY_FIELD,	 /* const char *: name of a header field */
	KEY_EDITED,	 /* the same, of a field that is not the proxy's own */
	KEY_FIELD_VALUE, /* const char *: value of a header field */
	KEY_LOCATION,	 /* const char *: where a redirect leads */
	KEY_HASH,	 /* const char *: what requests are told by */
	KEY_STATUSES,	 /* const char *: a status, or the first and the last */
	KEY_URI,	 /* const char *: a name that a certificate has */
	KEY_BODY,	 /* const char *: any text without NUL */
	KEY_OBJECT,	 /* `object` */
	KEY_TYPES
};

/* How many values, and how they are kept. */
enum key_shape {
	KEY_ONE,	 /* at `at`; an object's fields are counted from there */
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
	bool at_start;		 /* taken only at start: a reload that changes it is refused */
	bool or_false;		 /* `false` may stand for the object: turned off */
	bool may_be_empty;	 /* the list: `[]` is fine */
	const char *in_mode;	 /* only where "mode" beside it is this; NULL: always */
	const char *const *with; /* only beside one of these keys, ended by NULL; NULL: always */
	int64_t min;		 /* KEY_COUNT; KEY_SIZE; KEY_DURATION: ns */
	int64_t max;		 /* the same; text: bytes, 0 for the bound of all texts */
	size_t max_num;		 /* of values in a list or map */
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
	size_t size;		   /* of the struct it is kept in */
	const char *shorthand;	   /* a string stands for an object with just this key; or NULL */
	bool only_shorthand;	   /* and it is always written so */
	struct field pointer;	   /* const char *: where it is in the JSON */
	struct field map_name;	   /* const char *: its name, where it is in a map */
	enum key_type map_type;	   /* what that name is */
	const char *const *one_of; /* exactly one of these keys, ended by NULL; or NULL */
	const char *const *at_most_one; /* of these keys likewise */
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

/* key_names writes a list of keys, ended by NULL, as `"a", "b" or "c"`; returns `out`. */
const char *key_names(const char *const *names, char *out, size_t len);

/* key_is_fallback tells whether `k`, which is one of a few choices, is `choice` where it is absent.
 */
bool key_is_fallback(const struct key *k, const char *choice);

/* key_is_text tells whether values of this type are JSON strings. */
bool key_is_text(enum key_type type);

/* key_is_number tells whether values of this type are kept as a number. */
bool key_is_number(enum key_type type);

/* key_is_set tells whether the same value twice in a list of this type is a mistake. */
bool key_is_set(enum key_type type);

/* key_value_size returns the bytes that one value of a list or map takes in the tree. */
size_t key_value_size(const struct key *k);

/* key_pattern returns the regular expression of JSON Schema that a string of this type matches
 * in full, or NULL. */
const char *key_pattern(enum key_type type);

/* key_max_text returns the longest text in bytes that `k` takes. */
size_t key_max_text(const struct key *k);
