/* keys_parts: what the files of the table of keys (keys.c, keys_listener.c, keys_route.c,
 * keys_pool.c) take from each other. Constant data. Only they include it. */
#pragma once

#include <stddef.h>

#include "conf/keys.h"

#define FIELD(type, member)                                                                \
	{                                                                                  \
		offsetof(struct type, member), sizeof(((const struct type *)NULL)->member) \
	}
#define KEYS(list) .keys = (list), .num_keys = sizeof(list) / sizeof((list)[0])

enum { KEY_MAX_TOKEN = 64, KEY_MAX_TOKENS = 64, KEY_MAX_LOGIN = 32, KEY_MAX_METHOD = 32 };

/* Versions of TLS, as on the wire. */
extern const struct key_choice version_choices[];

extern const struct object listener_object;
extern const struct object route_object;
extern const struct object pool_object;
extern const struct object retry_object;
