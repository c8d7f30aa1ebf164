/* load: the two ends of a bench run: clients that work off a fixed number of units against a
 * proxy, and the backend behind it. Loopback only. Trusts whatever certificate it is shown. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum load_kind {
	LOAD_FULL,    /* full handshakes, one request each */
	LOAD_RESUMED, /* the same, each offering the newest ticket it has */
	LOAD_BODIES,  /* one response with a large body a connection */
	LOAD_IDLE,    /* one request each, then all connections are held */
	LOAD_KEPT,    /* requests over connections that are kept: HTTP */
};

/* What a client is to do. */
struct load {
	enum load_kind kind;
	bool plain;	      /* no TLS */
	uint16_t port;	      /* of 127.0.0.1 */
	unsigned units;	      /* connections in all; kept: requests */
	unsigned concurrency; /* of them at a time, each replaced when it has ended */
	unsigned open;	      /* kept: connections; at least `concurrency` */
	unsigned asking;      /* kept: how many of them take turns; the others stay silent */
	uint16_t segment;     /* see load_tune_fd */
	unsigned pause_ms;    /* before each unit but the first; for a concurrency of 1 */
	unsigned seconds;     /* no more units are begun after so many; 0: all of them are */
	uint64_t body;	      /* bytes of each response's body; 0: the small one */
};

/* load_clients does the work and prints one line of JSON. Holding idle connections it prints that
 * line when all are there and stays until its standard input ends. With kept ones it prints a line
 * when all are there and have had a response, waits for a line to come, does the work, prints
 * another line and stays in the same way. False, with the reason on stderr: a unit failed or was
 * not what was asked for. */
bool load_clients(const struct load *what);

/* load_backend answers requests at 127.0.0.1:`port`, in segments of `segment` bytes, until it is
 * killed. "GET /n" is answered with a body of n bytes, anything else that ends in an empty line
 * with a small one. False, with the reason on stderr: it could not start or go on. */
bool load_backend(uint16_t port, uint16_t segment);

/* load_add_fd watches `fd` for input and errors, in `epoll`, as `of`. */
bool load_add_fd(int epoll, int fd, uint32_t events, void *of);

/* load_tune_fd sets a socket up before it connects or listens: no delay, and TCP segments of at
 * most `segment` bytes (0: as the interface has them, 64 KiB on loopback). */
bool load_tune_fd(int fd, uint16_t segment);
