/* rig: links with owners that note what they are told, bare peers, and a loop that is turned
 * until something holds. For tests of proxy/net. One thread: a bare peer gets its chance between
 * the turns of the loop. */
#pragma once

#include <event2/event_struct.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/client.h"
#include "proxy/net/link.h"
#include "proxy/net/loop.h"
#include "tests/support/tls_pair.h"

struct rig {
	struct loop *loop;
	bool tls;	  /* what follows is there */
	struct made cert; /* P-256, for rig.example */
	struct tls_side side;
	SSL_CTX *bare;		   /* for bare clients; verifies nothing */
	struct client_tls *client; /* for links that connect; verifies nothing */
	bool hold_keys;		   /* signatures are not made */
	bool (*until)(void *arg);
	void *until_arg;
	bool held; /* `until` said true */
	bool over; /* the time is up */
	int tick_fd;
	struct event tick; /* each millisecond, while `until` is waited for */
	unsigned ticks;
	struct timer guard;
};

/* rig_init makes a loop, and with `tls` a server and clients for it. Aborts where it cannot. */
void rig_init(struct rig *r, bool tls);

/* rig_fini frees all; links have been closed before. */
void rig_fini(struct rig *r);

/* rig_until takes turns until `until(arg)` holds, asked before each turn and every millisecond.
 * False: it did not within five seconds. */
bool rig_until(struct rig *r, bool (*until)(void *arg), void *arg);

/* rig_rest takes turns for `ms` milliseconds, and for 20 at least. */
void rig_rest(struct rig *r, int64_t ms);

/* rig_settle takes a few turns, for what the loop has left to do: a few milliseconds. What comes
 * from a socket may need longer, on a busy machine. */
void rig_settle(struct rig *r);

/* The owner of a link. Zero but for `rig` before the link is made. */
struct party {
	struct rig *rig;
	struct link *link;
	struct party *other; /* where tests join two */
	char story[64];	     /* a letter an event, equal ones in a row once: o d e r x */
	unsigned num_data;   /* `data` events */
	char *bytes;	     /* all that came */
	size_t num, room;
	bool ended;
	enum link_end why;
	/* Called after an event has been noted; may be NULL. */
	void (*then)(struct party *p, char event);
	size_t pause_at; /* pauses once `num` has reached it; 0: never */
};

/* party_accept makes a link of the connected socket `fd` with `p` as its owner; TLS where the rig
 * has it. */
void party_accept(struct party *p, int fd);

/* party_accept_within is party_accept with a time limit of its own. */
void party_accept_within(struct party *p, int fd, int64_t timeout_ns);

/* party_connect makes a link to `to`, TLS where `tls`. */
void party_connect(struct party *p, const struct sockaddr *to, socklen_t len, bool tls);

/* party_connect_within makes a link to a target of the test's own. */
void party_connect_within(struct party *p, const struct link_target *to);

/* party_fini closes the link, if it is still there, and frees the rest. */
void party_fini(struct party *p);

/* party_ended, party_open, party_eof: for rig_until; `p` is a struct party. */
bool party_ended(void *p);
bool party_open(void *p);
bool party_eof(void *p);

/* rig_listen returns a listening TCP socket on the loopback address and its address. */
int rig_listen(struct sockaddr_in *at);

/* rig_join returns two connected non-blocking TCP sockets; `small` gives both small buffers. */
void rig_join(int fds[2], bool small);

/* rig_reset closes `fd` so that its peer gets a reset. */
void rig_reset(int fd);

/* rig_shake makes a TLS client of the non-blocking `fd` and turns the loop until its handshake is
 * done. */
SSL *rig_shake(struct rig *r, int fd);

/* rig_fill returns `n` bytes, to be freed, that differ at every place in a way of their own. */
char *rig_fill(size_t n);
