/* http1_client_private: what http1_client.c (connection, input, times) and http1_client_send.c
 * (what a stream's user does, output) know of a connection together. For these files only. */
#pragma once

#include "proxy/http/http1_body.h"
#include "proxy/http/http1_client.h"
#include "proxy/http/http1_head.h"
#include "proxy/http/http1_input.h"
#include "proxy/http/http1_write.h"
#include "proxy/net/loop.h"

enum { HTTP1_CLIENT_MAGIC = 0x6831636c };

/* What input is. */
enum http1_client_reading {
	HTTP1_AWAIT_NOTHING, /* no request is out: whatever comes is dirt */
	HTTP1_AWAIT_HEAD,
	HTTP1_AWAIT_BODY,
	HTTP1_AWAIT_TUNNEL,
	HTTP1_AWAIT_END, /* the response is whole: as NOTHING, but told later */
	HTTP1_IGNORE,	 /* broken, or nobody wants it */
};

/* What the request's next byte is. */
enum http1_client_sending {
	HTTP1_ASK_HEAD,
	HTTP1_ASK_SIZED,
	HTTP1_ASK_CHUNKED,
	HTTP1_ASK_TUNNEL,
	HTTP1_ASK_DONE,
};

struct http1_client {
	unsigned magic;
	uint8_t reading; /* enum http1_client_reading */
	uint8_t sending; /* enum http1_client_sending */
	/* The connection's. */
	bool freed : 1; /* waits for the end of the turn */
	bool link_over : 1;
	bool broken : 1; /* broken off by us: nothing comes or goes any more */
	bool told_ended : 1;
	bool eof : 1;
	bool eof_used : 1;
	bool dirty : 1; /* of no use for another exchange */
	bool paused : 1;
	bool blocked : 1;
	/* The exchange's. */
	bool attached : 1; /* the user has the stream */
	bool aborted : 1;  /* and knows that it broke */
	bool cut_off : 1;  /* is to be told so by the loop, with `cause` */
	bool owed : 1;	   /* `drained`, to the user */
	bool answered : 1; /* a byte of the response has come */
	bool is_head : 1;
	bool open_ended : 1; /* the body ends with the connection */
	bool tunnel : 1;
	bool idle_due : 1; /* `idle` is to be told */
	struct client_codec codec;
	struct stream stream;
	struct loop *loop;
	struct link *link; /* NULL: given up */
	const struct client_codec_events *events;
	void *owner;
	struct client_codec_limits limits;
	struct http1_input in;
	struct http1_scan scan;
	struct http1_body body;
	size_t unconsumed;
	size_t interim_bytes; /* of 1xx responses to this request */
	unsigned num_interim;
	uint64_t left;	    /* of a sized request */
	size_t queued_seen; /* link_queued, when progress was looked for */
	enum cause cause;   /* why the link is no more */
	char detail[96];
	char upgrade[32];	  /* what was asked for; longer ones are not */
	struct timer timer;	  /* for the response */
	struct timer write_timer; /* while blocked */
	struct http1_hold hold;
	struct loop_task work, flush, grave;
};

/* http1_client_ops is what a stream of this codec does. */
extern const struct stream_ops http1_client_ops;

/* http1_client_flush is the loop's task at the end of a turn: sends a head that no body followed.
 */
void http1_client_flush(struct loop_task *t);

/* http1_client_is_dead tells whether nothing can be sent any more. */
bool http1_client_is_dead(const struct http1_client *h);

/* http1_client_cut breaks the link off because of `why`; what follows is told by the loop. */
void http1_client_cut(struct http1_client *h, enum cause why, const char *detail);

/* http1_client_asked notes that the request is whole: the response is due. */
void http1_client_asked(struct http1_client *h);

/* http1_client_touch notes that a tunnel is alive. */
void http1_client_touch(struct http1_client *h);
