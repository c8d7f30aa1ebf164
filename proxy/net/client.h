/* client: what every client connection is, whatever is spoken inside: counted on its listener,
 * seated under the limits, listed so that it can be retired, drained and ended. A relay and an
 * HTTP front begin with one. One thread. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "proxy/net/limits.h"
#include "proxy/observe/cause.h"
#include "proxy/observe/metrics.h"

struct client;
struct link;
struct snapshot;
struct traffic;

/* A client's address, as a record has it. */
struct client_address {
	uint8_t family; /* AF_INET, AF_INET6, AF_UNIX */
	uint16_t port;	/* host order */
	uint8_t bytes[16];
};

/* client_address_of takes it from a socket address. */
void client_address_of(const struct sockaddr *from, struct client_address *out);

/* What a kind of connection does when it is asked to. */
struct client_ops {
	/* The listener is gone, or the process drains: it may end what it does, and begin nothing.
	 */
	void (*drain)(struct client *c);
	/* `retire_ns` was set: heed it. */
	void (*retire)(struct client *c);
	/* Ends now and frees itself, so that neither peer takes its stream for complete. */
	void (*end)(struct client *c, enum cause cause);
};

struct client {
	TAILQ_ENTRY(client) entry;
	const struct client_ops *ops;
	struct traffic *traffic;
	struct metrics_listener *cells;
	uint32_t listener; /* slot */
	struct limits_seat seat;
	struct client_address from;
	char text[INET6_ADDRSTRLEN]; /* the same, without the port */
	uint16_t local_port;	     /* 0: none */
	int64_t began_ns;
	int64_t retire_ns; /* when it must be over; 0: no such time */
};
TAILQ_HEAD(client_list, client);

/* What is known of a connection when it is accepted. Borrowed. */
struct client_arrival {
	const struct sockaddr *from;
	uint16_t local_port;		/* 0: none */
	const struct limits_seat *seat; /* what the limits counted */
};

/* client_enter fills `c` in and counts it for the listener with `slot`. client_leave gives the
 * seat back. */
void client_enter(struct client *c, struct traffic *t, const struct client_ops *ops, uint32_t slot,
		  const struct client_arrival *arrival);

/* client_leave takes it out of the counts, as its owner is about to free it. The gauges are taken
 * back here: at zero their slots may be given to others, so what else the connection holds up in
 * them has been taken back before. */
void client_leave(struct client *c, enum cause cause);

/* client_gone tells the worker that a connection has ended, after it was freed: the last call on
 * its way out. */
void client_gone(struct traffic *t);

/* client_count_handshake counts the TLS handshake, if any, of its link that has opened. */
void client_count_handshake(struct client *c, const struct link *link);

/* client_place returns the index in `s` of the listener with `slot`; -1: not in it. */
int64_t client_place(const struct snapshot *s, uint32_t slot);

/* clients_retire gives connections of listeners that `t->now` no longer has `within_ns` to end. */
void clients_retire(struct traffic *t, int64_t within_ns);

/* clients_drain asks every connection to come to its end. */
void clients_drain(struct traffic *t);

/* clients_end_all ends every connection now, for `cause`. */
void clients_end_all(struct traffic *t, enum cause cause);
