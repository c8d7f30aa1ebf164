/* http1_server_private: what http1_server.c (connection, input, times) and http1_server_send.c
 * (what a stream's user does, output) know of a connection together. For these files only. */
#pragma once

#include "proxy/http/http1_body.h"
#include "proxy/http/http1_head.h"
#include "proxy/http/http1_input.h"
#include "proxy/http/http1_server.h"
#include "proxy/http/http1_write.h"
#include "proxy/net/loop.h"

enum { HTTP1_SERVER_MAGIC = 0x68317376 };

#define HTTP1_CLOSING_TICK_NS INT64_C(20000000)

/* What becomes of input. */
enum http1_reading {
	HTTP1_READ_HEAD,
	HTTP1_READ_BODY,
	HTTP1_READ_NOTHING, /* the request is whole: what follows waits */
	HTTP1_READ_DISCARD, /* nobody wants it: thrown away, up to a bound */
	HTTP1_READ_TUNNEL,
	HTTP1_READ_CLOSING, /* as DISCARD; our end is sent or about to be */
};

/* What the response's next byte is. */
enum http1_sending {
	HTTP1_SEND_HEAD,
	HTTP1_SEND_SIZED,
	HTTP1_SEND_CHUNKED,
	HTTP1_SEND_OPEN,     /* a body that ends with the connection */
	HTTP1_SEND_BODILESS, /* no body, whatever the user says */
	HTTP1_SEND_TUNNEL,
	HTTP1_SEND_DONE,
};

struct http1_server {
	unsigned magic;
	uint8_t reading; /* enum http1_reading */
	uint8_t sending; /* enum http1_sending */
	/* The connection's. */
	bool freed : 1;	    /* waits for the end of the turn */
	bool link_over : 1; /* the link has ended by itself */
	bool broken : 1;    /* or was broken off by us: nothing comes or goes any more */
	bool told_ended : 1;
	bool orderly : 1;  /* how to close the link */
	bool eof : 1;	   /* the client has said all */
	bool eof_used : 1; /* and that has been acted upon */
	bool draining : 1;
	bool paused : 1;
	bool blocked : 1; /* the link said stop */
	bool keep : 1;	  /* it may be used for another request */
	/* The request's. */
	bool attached : 1; /* the user has the stream */
	bool aborted : 1;  /* and knows that it broke */
	bool cut_off : 1;  /* is to be told so by the loop, with `end_cause` */
	bool owed : 1;	   /* `drained`, to the user */
	bool began : 1;	   /* a byte of the head has come */
	bool skipped : 1;  /* the empty line that may come before it */
	bool is_head : 1;
	bool is_old : 1; /* HTTP/1.0 */
	bool te_trailers : 1;
	bool upgrade_asked : 1;
	bool expecting : 1; /* the client waits for 100 */
	bool tunnel : 1;
	struct server_codec codec;
	struct stream stream;
	struct loop *loop;
	struct link *link; /* NULL: given up */
	const struct http1_limits *limits;
	const struct server_codec_events *events;
	void *owner;
	struct http1_input in;
	struct http1_scan scan;
	struct http1_body body;
	size_t unconsumed; /* given to the user */
	size_t discarded;
	uint64_t num_requests;
	uint64_t left;	     /* of a sized response */
	uint64_t rate_bytes; /* since rate_from_ns */
	int64_t rate_from_ns, last_byte_ns;
	size_t queued_seen; /* link_queued, when progress was looked for */
	int64_t progress_ns;
	enum cause end_cause;
	char end_detail[96];
	struct timer timer;	  /* for input, or the end */
	struct timer write_timer; /* while blocked */
	struct http1_hold hold;
	struct loop_task work, flush, grave;
};

/* http1_server_ops is what a stream of this codec does. */
extern const struct stream_ops http1_server_ops;

/* http1_server_codec_ops is what the codec is for whoever does not know it: http1_server_codec.c.
 */
extern const struct server_codec_ops http1_server_codec_ops;

/* http1_server_flush is the loop's task at the end of a turn: sends a head that no body followed.
 */
void http1_server_flush(struct loop_task *t);

/* http1_server_is_dead tells whether nothing can be sent any more. */
bool http1_server_is_dead(const struct http1_server *h);

/* http1_server_next gets ready for the next request. */
void http1_server_next(struct http1_server *h);

/* http1_server_close sends what is queued and our end, and lets `ended` follow. */
void http1_server_close(struct http1_server *h);

/* http1_server_cut breaks the link off because of `why`; what follows is told by the loop. */
void http1_server_cut(struct http1_server *h, enum cause why, const char *detail);

/* What follows calls the user, or the owner: from the loop only. */

/* http1_server_end tells the owner that the connection is over. */
void http1_server_end(struct http1_server *h, enum cause why, const char *detail);

/* http1_server_tell_aborted tells the user that the stream broke. It may still send an answer, if
 * the link lives. */
void http1_server_tell_aborted(struct http1_server *h, enum cause why, const char *detail);

/* http1_server_break_off breaks the link off and tells whoever is to know. */
void http1_server_break_off(struct http1_server *h, enum cause why, const char *detail);

/* http1_server_refuse lets the user answer what is no request. `head` may be NULL and becomes the
 * user's. */
void http1_server_refuse(struct http1_server *h, struct head *head, const struct http1_fault *f);

/* Times: http1_server_time.c. */

/* http1_server_timer is fired for input, or the end. */
void http1_server_timer(struct timer *t);

/* http1_server_write_timer is fired while output is blocked. */
void http1_server_write_timer(struct timer *t);

/* http1_server_touch notes that a tunnel is alive. */
void http1_server_touch(struct http1_server *h);

/* http1_server_await_body starts the times of a body. */
void http1_server_await_body(struct http1_server *h);

/* http1_server_await_progress starts to look for progress of output. */
void http1_server_await_progress(struct http1_server *h);
