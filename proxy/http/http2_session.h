/* http2_session: what both roles of HTTP/2 have in common (RFC 9113): nghttp2's session on a link,
 * its streams, flow control from end to end, output collected into one write a turn, and the
 * budgets that a peer that floods comes to the end of. For http2_server and http2_client, which
 * add what is theirs by struct http2_role.
 *
 * nghttp2 frames, compresses and keeps the windows. What it lets pass and the RFC does not is
 * looked for here: messages (http2_head.h), frames on closed streams, bodies against their
 * announced length. Three files: http2_session.c (beginning, end, events by the loop),
 * http2_input.c (what nghttp2 tells of frames) and http2_output.c (what a stream's user does). */
#pragma once

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "conf/span.h"
#include "proxy/http/buffer.h"
#include "proxy/http/codec.h"
#include "proxy/http/http1_write.h"
#include "proxy/http/http2_budget.h"
#include "proxy/http/http2_head.h"
#include "proxy/http/stream.h"
#include "proxy/net/link.h"
#include "proxy/net/loop.h"
#include "proxy/observe/cause.h"

enum {
	HTTP2_SESSION_MAGIC = 0x68327365,
	HTTP2_STREAM_MAGIC = 0x68327374,
	HTTP2_CLOSED_KEPT = 256, /* streams that ended, and how, are remembered */
	HTTP2_DETAIL_MAX = 128,
	HTTP2_FRAME_HEAD = 9,
};

struct http2_session;

/* How a stream ended: what may still come for it differs (RFC 9113 5.1). */
enum http2_closed { HTTP2_CLOSED_UNKNOWN, HTTP2_CLOSED_BY_US, HTTP2_CLOSED_BY_PEER };

struct http2_stream {
	unsigned magic;
	int32_t id;	   /* 0: none yet, a request that was not sent */
	bool waiting : 1;  /* server: a request that its user is yet to be given */
	bool attached : 1; /* the user has it */
	bool open : 1;	   /* nghttp2 knows it */
	bool aborted : 1;  /* the user knows that it broke */
	bool cut : 1;	   /* is to be told so by the loop, with `cause` */
	bool dead : 1;	   /* waits for the end of the turn */
	bool listed : 1;   /* the loop has something to tell of it */
	bool whole : 1;	   /* the peer's message */
	bool discard : 1;  /* nobody wants what still comes */
	bool deferred : 1; /* nghttp2 has stopped asking for output */
	bool owed : 1;	   /* `drained`, to the user */
	bool head_sent : 1;
	bool bodiless : 1;	/* there is no body, whatever the user says */
	bool ended : 1;		/* the user has said all */
	bool sent : 1;		/* and it is out, with END_STREAM */
	bool reset : 1;		/* RST_STREAM has been submitted */
	bool rest_unwanted : 1; /* reset it once our message is out (RFC 9113 8.1) */
	bool tunnel : 1;
	bool upgrade_asked : 1;
	bool is_head : 1;
	bool expecting : 1; /* server: the client waits for 100 */
	bool answered : 1;  /* client: a byte of the response has come */
	bool refused : 1;   /* client: the server did nothing with it */
	bool head_came : 1; /* the final head */
	struct stream stream;
	struct http2_session *session;
	enum cause cause;
	char detail[HTTP2_DETAIL_MAX];
	int64_t left_in;  /* of what the peer announced, or HEAD_UNKNOWN */
	int64_t left_out; /* of what we did, or HEAD_UNKNOWN */
	size_t unconsumed;
	struct head *asked;	  /* while waiting: the request, */
	struct http2_fault fault; /* and whether it is to be refused */
	struct buffer early;	  /* of a body: came while waiting, or before a tunnel was open */
	struct head *early_trailers;
	struct buffer out;
	struct span direct;    /* follows `out`, while its user's call lasts: borrowed */
	struct head *trailers; /* to be sent */
	uint64_t bytes_out;    /* that nghttp2 took */
	uint64_t bytes_out_seen;
	/* Times, and what the role notes for them. */
	int64_t stall_ns, tunnel_ns;
	int64_t last_byte_ns, rate_from_ns;
	uint64_t rate_bytes;
	unsigned num_interim;
	size_t interim_bytes;
	struct client_codec_limits limits; /* client */
	struct timer timer;		   /* for the peer's message */
	struct timer write_timer;	   /* for ours */
	TAILQ_ENTRY(http2_stream) entry;
	TAILQ_ENTRY(http2_stream) told;
};
TAILQ_HEAD(http2_streams, http2_stream);

/* What a role adds. All but `head` may do nothing; none may free the session. */
struct http2_role {
	bool is_server;
	size_t window; /* of all streams together */
	/* A stream that the peer opened begins. False: it is refused (REFUSED_STREAM). */
	bool (*begin)(struct http2_session *h, int32_t id);
	/* The bounds of what comes on `s` (NULL: the server's next). */
	struct http2_bounds (*bounds)(struct http2_session *h, struct http2_stream *s);
	/* A head has come, in `h->block`, of which it may take it; fine or to be refused. */
	void (*head)(struct http2_session *h, struct http2_stream *s, bool end);
	/* A header block began, or is over. */
	void (*block)(struct http2_session *h, bool begins);
	/* Gives the user a request that has waited. */
	void (*start)(struct http2_stream *s);
	/* Bytes of a body have come, or its user has taken some. */
	void (*moved)(struct http2_stream *s, size_t came);
	/* The peer's message is whole, or nobody waits for it any more. */
	void (*read)(struct http2_stream *s);
	/* Our message is whole; not yet out. */
	void (*wrote)(struct http2_stream *s);
	void (*timer)(struct http2_stream *s);
	/* Makes our head of what the user sends; false: out of memory, or the stream is gone. */
	bool (*send_head)(struct http2_stream *s, const struct head *head, bool end);
	/* A frame came that only the role cares for. */
	void (*frame)(struct http2_session *h, const nghttp2_frame *frame);
	/* A GOAWAY that is no error's is out. */
	void (*said_goaway)(struct http2_session *h);
	/* After each turn's work: the number of streams may have changed. */
	void (*settled)(struct http2_session *h);
	/* The session is over, no stream is open; tells the owner. */
	void (*ended)(struct http2_session *h);
	/* Of why a peer broke our connection or a stream. */
	enum cause gone, reset, protocol;
};

struct http2_closed_stream {
	int32_t id;
	uint8_t how; /* enum http2_closed */
};

struct http2_session {
	unsigned magic;
	bool freed : 1;	     /* waits for the end of the turn */
	bool link_over : 1;  /* the link has ended by itself */
	bool over : 1;	     /* no frame is read or written any more */
	bool broken : 1;     /* the link is to be broken off, in the end */
	bool goaway_due : 1; /* and that is to be said */
	bool goaway_said : 1;
	bool window_set : 1; /* the peer has changed the initial window of its streams */
	bool told_ended : 1;
	bool orderly : 1; /* how to close the link */
	bool closing : 1; /* our end is sent: waiting for it to arrive */
	bool eof : 1;
	bool blocked : 1;    /* the link said stop */
	bool in_block : 1;   /* a header block has begun */
	bool ends_block : 1; /* with the frame that has begun */
	bool collecting : 1; /* output: it follows, all together, when this is over */
	const struct http2_role *role;
	nghttp2_session *ng;
	struct loop *loop;
	struct link *link; /* NULL: given up */
	void *owner;
	struct http1_writer *writer;  /* while output is collected */
	struct http2_streams streams; /* all that exist */
	struct http2_streams told;    /* those that the loop has to see to */
	struct http2_streams dead;    /* freed when the turn ends */
	unsigned num_streams;	      /* in `streams`: work, not open streams */
	unsigned num_attached;
	size_t unconsumed; /* of all */
	size_t buffered;   /* output of all */
	/* Where input is, between the frames. */
	unsigned preface_left;
	unsigned head_len;
	uint8_t head[HTTP2_FRAME_HEAD];
	uint32_t payload_left;
	struct http2_block block;
	int32_t block_id; /* 0: of a stream that nobody wants */
	unsigned num_continuations;
	int32_t last_id; /* highest that the peer opened */
	struct http2_closed_stream closed[HTTP2_CLOSED_KEPT];
	unsigned num_closed;
	struct http2_budget resets, control, empties;
	unsigned window_credit; /* WINDOW_UPDATEs that our own output has earned the peer */
	uint32_t goaway_code;
	enum cause cause;
	char detail[HTTP2_DETAIL_MAX];
	char words[HTTP2_DETAIL_MAX]; /* nghttp2's, of what it last found wrong */
	size_t queued_seen;	      /* link_queued, when progress was looked for */
	int64_t progress_ns;
	int64_t write_ns; /* without progress of output */
	struct timer write_timer;
	struct timer closing_timer;
	struct loop_task work, flush, grave;
	void (*free)(struct http2_session *h); /* the role's, at last */
};

/* ---- http2_session.c */

/* http2_session_init makes one, in place and zeroed but for what the role sets; says `settings`
 * first. False: out of memory. */
bool http2_session_init(struct http2_session *h, const struct http2_role *role, struct loop *loop,
			struct link *link, const nghttp2_settings_entry *settings,
			size_t num_settings);

/* http2_session_data takes what has come on the link. */
void http2_session_data(struct http2_session *h, struct span bytes);

/* http2_session_eof takes the end of the peer's direction. */
void http2_session_eof(struct http2_session *h);

/* http2_session_drained goes on sending. */
void http2_session_drained(struct http2_session *h);

/* http2_session_link_ended takes the end of the link. */
void http2_session_link_ended(struct http2_session *h, enum cause why, const char *detail);

/* http2_session_free closes the link; the rest goes when the turn ends. */
void http2_session_free(struct http2_session *h);

/* http2_is_dead tells whether no frame is read or written any more. */
bool http2_is_dead(const struct http2_session *h);

/* http2_fail ends the connection with GOAWAY and `code`, by the loop; streams are told. */
void http2_fail(struct http2_session *h, uint32_t code, enum cause why, const char *detail);

/* http2_close ends it in good order: no stream is left. */
void http2_close(struct http2_session *h);

/* http2_await_progress starts to look for progress of output. */
void http2_await_progress(struct http2_session *h);

/* http2_stream_new makes one. NULL: out of memory. */
struct http2_stream *http2_stream_new(struct http2_session *h);

/* http2_stream_give hands it to the user. */
void http2_stream_give(struct http2_stream *s);

/* http2_stream_wait keeps it until the loop gives it to the user. What is taken back until then has
 * cost us little, and a peer that asks for much at once has its turn as others have. */
void http2_stream_wait(struct http2_stream *s);

/* http2_stream_start gives it to the user now, if it waits. */
void http2_stream_start(struct http2_stream *s);

/* http2_stream_list lets the loop see to it. */
void http2_stream_list(struct http2_stream *s);

/* http2_stream_let_go frees it once neither the user nor nghttp2 knows it. */
void http2_stream_let_go(struct http2_stream *s);

/* http2_stream_cut notes that it broke: its user, if it has one, is told by the loop. */
void http2_stream_cut(struct http2_stream *s, enum cause why, const char *detail);

/* http2_stream_reset submits RST_STREAM. */
void http2_stream_reset(struct http2_stream *s, uint32_t code);

/* http2_stream_break is both. */
void http2_stream_break(struct http2_stream *s, uint32_t code, enum cause why, const char *detail);

/* http2_stream_touch notes that a tunnel is alive. */
void http2_stream_touch(struct http2_stream *s);

/* http2_spend takes from a budget; past it the connection fails with `why`. False: it did. */
bool http2_spend(struct http2_session *h, struct http2_budget *b, enum cause why);

/* ---- http2_input.c */

/* http2_input_next looks at the bytes that come next, which begin where it said that the last ones
 * end: at each frame's head before nghttp2 sees it. Returns how many nghttp2 may have now; the
 * connection may have failed. */
size_t http2_input_next(struct http2_session *h, struct span bytes);

/* http2_input_taken notes that nghttp2 has had them. */
void http2_input_taken(struct http2_session *h);

/* http2_input_callbacks sets those for input. */
void http2_input_callbacks(nghttp2_session_callbacks *c);

/* http2_give_early gives the user what came early. */
void http2_give_early(struct http2_stream *s);

/* ---- http2_output.c */

extern const struct stream_ops http2_stream_ops;

/* http2_output_callbacks sets those for output. */
void http2_output_callbacks(nghttp2_session_callbacks *c);

/* http2_flush is the loop's task: gives what there is to the link. */
void http2_flush(struct loop_task *t);

/* http2_flush_now does so at once; not from within nghttp2. */
void http2_flush_now(struct http2_session *h);

/* http2_output_due lets http2_flush follow. */
void http2_output_due(struct http2_session *h);

/* http2_write_timer is fired for a stream whose output does not move. */
void http2_write_timer(struct timer *t);

/* http2_data_source is what nghttp2 reads the body of `s` from. */
nghttp2_data_provider http2_data_source(struct http2_stream *s);
