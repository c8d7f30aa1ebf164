/* play: one exchange between a client's stream that is all fake and a server's stream that is
 * real, or is real only in its making: from then on the test speaks for the server, event by
 * event. Notes what the exchange does to either. For tests of proxy/http/exchange. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proxy/http/exchange_private.h"
#include "tests/support/http_scene.h"

enum { PLAY_STORY = 2048 };

/* What was done to a stream, a word for each call, "data" once for what followed each other:
 * "100 head:200 data:hello end release". */
struct watch {
	char story[PLAY_STORY];
	size_t len;
	bool in_data;
	bool full;	   /* send_data says stop */
	size_t sent;	   /* bytes */
	size_t consumed;   /* said to be */
	bool gone;	   /* released or aborted */
	enum cause why;	   /* aborted with; CAUSE_NONE: released */
	char fields[1024]; /* of the last head, "name=value\n" each */
	bool last;	   /* of the last head */
};

/* The client's. */
struct fake {
	struct stream stream;
	struct watch watch;
};

/* The server's: in place of what its codec does. */
struct spy {
	struct stream_ops ops; /* how a call finds its spy */
	const struct stream_ops *real;
	struct stream *stream; /* NULL: none yet */
	struct watch watch;
	bool real_too; /* the codec does it as well; else only what gives the stream up */
};

struct play {
	struct http_scene scene;
	struct party party; /* has the client's link */
	int peer;	    /* of that */
	struct client client;
	struct fake down;
	struct spy up;
	struct exchange_list list;
	struct exchange *x; /* NULL: over */
	unsigned num_over;
};

/* play_init makes the stage. */
void play_init(struct play *p, const char *json, unsigned refused);

/* play_fini ends what there is; gauges are to be zero then. */
void play_fini(struct play *p);

/* play_request makes a head with a method, a path and a length. */
struct head *play_request(const char *method, const char *path, int64_t length);

/* play_response makes a head with a status and a length. */
struct head *play_response(unsigned status, int64_t length);

/* play_begin begins an exchange for `h`, which becomes its own; `end`: it has no body. */
void play_begin(struct play *p, struct head *h, bool end);

/* play_spy waits until the exchange has the server's stream and takes that over. False: it never
 * had one. */
bool play_spy(struct play *p);

/* play_served is play_spy with a connection that is new, and was made to server `i`. */
bool play_served(struct play *p, unsigned i, struct bare *server);

/* play_down_*: what the client's stream tells the exchange. */
void play_down_data(struct play *p, const char *bytes, size_t n);
void play_down_end(struct play *p, struct head *trailers);
void play_down_aborted(struct play *p, enum cause why);
void play_down_drained(struct play *p);

/* play_up_*: what the server's stream tells the exchange. */
void play_up_informational(struct play *p, unsigned status);
void play_up_head(struct play *p, struct head *h, bool end);
void play_up_data(struct play *p, const char *bytes, size_t n);
void play_up_end(struct play *p, struct head *trailers);
void play_up_aborted(struct play *p, enum cause why);
void play_up_drained(struct play *p);

/* play_over waits until the exchange is over. */
bool play_over(struct play *p);

/* play_text copies a text of a record to `buf`, and returns that. */
const char *play_text(const struct record_request *r, enum record_text which, char *buf,
		      size_t len);
