/* link_private: what link.c (states, input, making and giving up), link_out.c (output) and
 * link_tls.c (BIO, handshake, records) know of a link together. For these files only. */
#pragma once

#include <event2/event_struct.h>

#include "proxy/net/link.h"
#include "proxy/net/loop.h"

enum { LINK_MAGIC = 0x6c696e6b };

enum link_state {
	LINK_CONNECTING,
	LINK_HANDSHAKE,
	LINK_OPEN,
	LINK_LINGER, /* the owner has let go; only the socket is left */
	LINK_DEAD,   /* waits for the end of the turn to be freed */
	LINK_STATES
};

/* Only while a handshake is on, or after it failed. */
struct link_tls_trouble {
	enum tls_reason reason;
	char words[400];
};

struct link {
	unsigned magic;
	enum link_state state;
	int fd;
	int error;	   /* errno of a connect that failed */
	bool readable : 1; /* the kernel may have something: an edge has come and not been used up
			    */
	bool writable : 1;
	bool hung_up : 1; /* the peer's FIN is in the kernel: read on to the end */
	bool paused : 1;
	bool blocked : 1;	 /* link_write said false, `drained` is owed */
	bool key_wait : 1;	 /* handshake waits for a signature */
	bool signature_came : 1; /* and it may go on */
	bool tickets_kept : 1;	 /* they go with the first bytes, see link_tls_tickets */
	bool fin_seen : 1;	 /* recv has returned 0 */
	bool in_eof : 1;	 /* the peer's direction has ended */
	bool end_asked : 1;	 /* link_end was called */
	bool only_end : 1;	 /* and nothing else was waiting to be sent then */
	bool end_sent : 1;	 /* our FIN is out */
	bool out_broken : 1;	 /* the socket takes no more; reading says why */
	bool cut_off : 1;	 /* and it was no FIN: whatever recv says, the input is not whole */
	bool told_end : 1;
	uint8_t fault; /* enum link_end + 1 that the next turn reports; 0: none */
	struct loop *loop;
	const struct link_events *ev;
	void *owner;
	SSL *ssl;
	struct chunks out;
	size_t out_len;
	struct span in; /* of the loop's scratch or `held`: for the BIO, while reading */
	char *held;	/* input that could not be used yet */
	uint32_t held_len;
	uint32_t recv_most;  /* bytes of one recv: a power of two up to the scratch */
	uint32_t small_left; /* bytes still to go in small records */
	int64_t last_write_ns;
	int64_t began_ns;
	int64_t handshake_ns;
	uint64_t bytes_received, bytes_sent;
	struct link_tls_trouble *trouble;
	struct link_race *race; /* while connecting to one of several addresses; else NULL */
	struct loop_task work;	/* read, handshake, connect, linger */
	struct loop_task flush;
	struct loop_task grave;
	struct loop_orphan orphan; /* while lingering */
	/* Until open: the time limit; open: when to look for a reset unasked; lingering: its bound.
	 */
	struct timer timer;
	struct event event;
};

/* link_tls_tickets sends session tickets that wait for a first write (BoringSSL keeps them). They
 * carry the kernel's ACK of the client's Finished: a client that has not switched Nagle's
 * algorithm off waits for that with its first bytes, and without them that takes 40 ms. */
void link_tls_tickets(struct link *l);

/* link_out_append copies bytes to the output chunks. False: out of memory. */
bool link_out_append(struct link *l, const char *p, size_t n);

/* link_out_send sends what is queued as far as the socket takes it. No events. */
void link_out_send(struct link *l);

/* link_out_drop throws away what is queued. */
void link_out_drop(struct link *l);

/* link_out_flush is the loop's task at the end of a turn: sends what the turn has collected and
 * tells the owner what follows from it. */
void link_out_flush(struct loop_task *t);

/* link_reset_at_close makes closing the socket, by whoever does it, a reset (`on`) or orderly. */
void link_reset_at_close(struct link *l, bool on);

/* link_both_over lets `ended` follow once both directions are over. */
void link_both_over(struct link *l);

/* link_become changes the state. */
void link_become(struct link *l, enum link_state to);

/* link_tell_end reports `ended`, once. */
void link_tell_end(struct link *l, enum link_end why);

/* link_tell_eof records the end of the peer's direction and reports `eof`, then, where ours has
 * ended as well, `ended`. */
void link_tell_eof(struct link *l);

/* link_opened enters LINK_OPEN and reports it. */
void link_opened(struct link *l);

/* link_fault lets the loop report `why` soon: for what goes wrong inside an owner's call. */
void link_fault(struct link *l, enum link_end why);

/* link_listen_to lets the loop tell of `l->fd`. False: out of memory. */
bool link_listen_to(struct link *l);

/* link_connected goes on with a link whose socket is connected. */
void link_connected(struct link *l);

/* link_connect_error translates errno of a connect, and notes it. */
enum link_end link_connect_error(struct link *l, int error);

/* link_race_begin prepares to connect to the other addresses of `to`, too. False: out of memory. */
bool link_race_begin(struct link *l, const struct link_target *to);

/* link_race_lost takes note that the link's own socket could not be connected. True: others are
 * tried still, and it has none now. */
bool link_race_lost(struct link *l);

/* link_race_won takes note that the link is connected: by its own socket, unless another has won.
 */
void link_race_won(struct link *l);

/* link_race_end gives up the others. */
void link_race_end(struct link *l);

/* link_race_free forgets what came of them, too. NULL is fine. */
void link_race_free(struct link_race *r);

/* link_tls_attach gives `l->ssl` its BIO. False: out of memory. */
bool link_tls_attach(struct link *l);

/* link_tls_handshake takes the handshake as far as the input in `l->in` goes. */
void link_tls_handshake(struct link *l);

/* link_tls_read decrypts the input in `l->in` and hands it to the owner. */
void link_tls_read(struct link *l);

/* link_tls_write encrypts to the output queue. False: it failed. */
bool link_tls_write(struct link *l, struct span bytes);

/* link_tls_end queues close_notify. */
void link_tls_end(struct link *l);

/* link_tls_abort queues a fatal internal_error alert. */
void link_tls_abort(struct link *l);
