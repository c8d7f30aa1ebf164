/* http_scene: a world in which HTTP is spoken, with bare sockets for its clients and its servers.
 * For tests of proxy/http above the codecs. One thread, as with rig. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proxy/observe/record_request.h"
#include "tests/support/rig.h"
#include "tests/support/world.h"

enum { SCENE_SERVERS = 2, SCENE_GOT = 4096 };

struct http_scene {
	struct rig rig;
	struct world w;
	struct server_addresses servers[WORLD_SERVERS];
	int listeners[SCENE_SERVERS]; /* of the servers; -1: nobody listens there */
	size_t (*rig_waiting)(const void *arg);
	uint32_t generation;
};

/* A bare socket, and the beginning of what has come to it. Zero but for `fd`, or all of it, before
 * it is used. */
struct bare {
	int fd;
	char got[SCENE_GOT]; /* with a NUL */
	size_t len;
	size_t total; /* also what is not kept */
	bool eof, reset;
};

/* The parts that most configurations are made of: two servers in turn, a listener without TLS. */
#define SCENE_POOL(more)                                                   \
	"\"pools\":{\"p\":{\"servers\":[\"127.0.0.1:1\",\"127.0.0.1:2\"]," \
	"\"balance\":\"round_robin\"" more "}}"
#define SCENE_LISTENER(more) "{\"name\":\"l\",\"address\":\":1\"," more "}"
#define SCENE_JSON(listener, pool) \
	"{\"listeners\":[" SCENE_LISTENER(listener) "]," SCENE_POOL(pool) "}"

/* scene_init makes it of `json`, whose first two servers are the scene's; the first `refused` of
 * them are not there. With `tls` there is what the rig has for it. */
void scene_init(struct http_scene *s, const char *json, unsigned refused, bool tls);

/* scene_use loads another configuration, whose slots are moved by `shift`. */
void scene_use(struct http_scene *s, const char *json, uint32_t shift);

/* scene_fini ends what there is; aborts where a gauge is still up then. */
void scene_fini(struct http_scene *s);

/* scene_gauge returns the name of a gauge that is not zero; NULL: all are. */
const char *scene_gauge(const struct http_scene *s);

/* scene_cells returns the cells of the first worker, which is the scene's. */
struct metrics_worker *scene_cells(struct http_scene *s);

/* scene_enter lets a client in at the listener at `place`. False: front_open said so. */
bool scene_enter(struct http_scene *s, uint32_t place, struct bare *client);

/* scene_accept waits for a connection to server `i`. False: none came. */
bool scene_accept(struct http_scene *s, unsigned i, struct bare *server);

/* scene_until turns the loop until `b` has got `text`, or its end has come without. */
bool scene_until(struct http_scene *s, struct bare *b, const char *text);

/* scene_until_ended turns the loop until the peer of `b` is gone. True: in good order; false: it
 * was a reset, or nothing. */
bool scene_until_ended(struct http_scene *s, struct bare *b);

/* scene_record takes the next record of a request off the ring, passing others over. False: there
 * is none. */
bool scene_record(struct http_scene *s, struct record_request *r);

/* bare_say sends all of `text`, which has to fit the socket; a peer that is gone is none of its
 * worries. */
void bare_say(struct bare *b, const char *text);

/* bare_hear takes what has come. True: that was all. */
bool bare_hear(struct bare *b);

/* bare_forget forgets what has come so far. */
void bare_forget(struct bare *b);

/* bare_close closes it, if it is open. */
void bare_close(struct bare *b);
