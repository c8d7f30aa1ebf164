/* exchange_private: the state of an exchange, and the calls between its parts. Private to
 * exchange.c (streams and bodies), exchange_begin.c (what is done with a request),
 * exchange_server.c (which server it goes to), exchange_key.c (what a balance by hash goes by) and
 * exchange_record.c (what is counted and put on record). */
#pragma once

#include "proxy/http/buffer.h"
#include "proxy/http/exchange.h"
#include "proxy/http/upstream.h"
#include "proxy/net/pending.h"
#include "proxy/net/site.h"

enum {
	EXCHANGE_MAGIC = 0x65786368,
	/* Of a body: kept until a response begins, so that the request can be sent again. */
	EXCHANGE_REPLAY_BYTES = 16 << 10,
	EXCHANGE_REQUEST_ID_MAX = 128,
	EXCHANGE_DETAIL_MAX = 400,
};

struct exchange {
	unsigned magic;
	bool request_whole : 1;	 /* its end has come */
	bool request_sent : 1;	 /* and was sent on */
	bool head_sent : 1;	 /* of the final response */
	bool response_whole : 1; /* of a tunnel: that direction has ended */
	bool tunnel : 1;
	bool down_gone : 1;    /* the client's stream has broken */
	bool up_blocked : 1;   /* the server's stream takes no more for now */
	bool down_blocked : 1; /* the client's stream takes no more for now */
	bool keeps : 1;	       /* the body is kept for another try */
	bool reused : 1;       /* the connection to the server had been used before */
	bool fresh_only : 1;   /* the next try takes a new connection */
	bool retried : 1;      /* in place of one on a used connection that broke */
	struct exchange_place at;
	LIST_ENTRY(exchange) entry;	      /* in at.list */
	struct snapshot *snapshot;	      /* until it is settled where the request goes */
	const struct site_listener *listener; /* of it; NULL: the listener is gone */
	const struct conf_route *route;	      /* of it */
	struct stream *down, *up;
	struct upstream *conn; /* being made while `up` is NULL, else it carries that */
	struct upstream_wait wait;
	struct pending_wait pending; /* for a server that has room */
	struct pool *pool;
	const struct conf_retry *retry;	     /* of the route or the pool, as long as `pool` */
	struct pool_tries tries, last_tries; /* after and before the present one */
	struct metrics_server *server_cells; /* counted as active there; NULL: not */
	struct head *request;
	struct head *request_trailers;
	uint64_t max_body;     /* 0: no limit */
	struct buffer body;    /* of the request, what is not sent yet, and what is kept */
	size_t body_sent;      /* of what is in there */
	size_t owed_down;      /* bytes of the request to say consumed once they are sent */
	size_t owed_up;	       /* likewise of the response */
	struct timer timer;    /* of a client that waits for 100 */
	struct timer deadline; /* of the route's timeout */
	/* For the record. */
	struct span host, path; /* in the request's memory */
	struct span request_id, user_agent, referer;
	struct client_address believed;
	uint32_t pool_slot, server_slot; /* or RECORD_NONE */
	uint32_t attempts, num_again, num_retries;
	uint16_t status;	/* of the final response; 0: none */
	uint16_t server_status; /* of the server's; 0: none came */
	enum cause cause;
	int64_t began_ns, sent_ns, first_byte_ns, connect_ns;
	uint64_t bytes_received, bytes_sent;
	char *detail; /* or NULL */
};

/* ---- exchange.c */

/* exchange_answer dresses the response made here, sends it with its whole body, and ends the
 * exchange. `h` becomes its own; NULL, where memory was short, breaks it off. */
void exchange_answer(struct exchange *x, struct head *h, struct span body);

/* exchange_fail answers with an error of `status`, or breaks off where a response has begun. */
void exchange_fail(struct exchange *x, unsigned status, enum cause why, const char *detail);

/* exchange_start sends the request on `up`, from its beginning. */
void exchange_start(struct exchange *x, struct stream *up);

/* ---- exchange_begin.c */

/* exchange_dress gives a response, from a server or made here, what the route and the listener want
 * in it. Short memory shows in `h->failed`. */
void exchange_dress(struct exchange *x, struct head *h);

/* ---- exchange_server.c */

/* exchange_status_of is what a client is answered where the server failed in the way of `why`. */
unsigned exchange_status_of(enum cause why);

/* exchange_try sends the request to the next server there is; answers where there is none. */
void exchange_try(struct exchange *x);

/* exchange_again sends the request once more after its stream broke with `why`, if that is safe.
 * False: it is not. */
bool exchange_again(struct exchange *x, enum cause why);

/* exchange_keeps tells whether a body may have to be sent again, should the try fail that is to
 * begin. */
bool exchange_keeps(const struct exchange *x);

/* exchange_unavailable sends the request to another server after this one's response said 503; that
 * was `whole` with its head. False: that response is the one. */
bool exchange_unavailable(struct exchange *x, bool whole);

/* exchange_leave_server takes the request out of the count of its server. */
void exchange_leave_server(struct exchange *x);

/* ---- exchange_key.c */

/* exchange_key returns what the balance of the pool that was chosen tells requests by; 0 where it
 * does not ask. */
uint64_t exchange_key(const struct exchange *x);

/* exchange_prefer lets the tries begin with the server that the client's cookie names. */
void exchange_prefer(struct exchange *x);

/* exchange_stick adds the cookie to a server's response, where the client has none that names it.
 */
void exchange_stick(const struct exchange *x, struct head *h);

/* ---- exchange_record.c */

/* exchange_note remembers what went wrong; of what people are told, the first stays. */
void exchange_note(struct exchange *x, enum cause why, const char *detail);

/* exchange_record counts the exchange, which is over, and puts it on record. */
void exchange_record(struct exchange *x);
