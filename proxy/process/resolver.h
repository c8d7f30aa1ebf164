/* resolver: asks name servers, over c-ares, on a libevent loop. What it needs to know of the system
 * is told to it: it opens no file once it is made. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "conf/conf.h"
#include "proxy/process/resolv_conf.h"

struct event_base;
struct resolver;

enum resolver_type { RESOLVER_A, RESOLVER_AAAA, RESOLVER_SRV };

enum resolver_verdict {
	RESOLVER_FOUND,
	RESOLVER_NO_NAME, /* NXDOMAIN */
	RESOLVER_EMPTY,	  /* there is the name, but nothing of that type */
	RESOLVER_FAILED,  /* no answer, or none that is of use */
};

/* A question; lives in its owner's object, zero at first. */
struct resolver_question {
	/* Told once, unless resolver_forget came before. `message` is borrowed, and empty but where
	 * something was found; `words` is a constant text. May ask again. */
	void (*done)(struct resolver_question *q, enum resolver_verdict verdict,
		     struct span message, const char *words);
	/* private */
	LIST_ENTRY(resolver_question) entry;
	struct resolver *in; /* NULL: nothing is being asked */
	void *ticket;
	enum resolver_type type;
	char name[ADDRESS_MAX_HOST + 1];
	unsigned next; /* of the names to try */
};

/* resolver_new makes one that knows no name server. Opens a file: before the sandbox. NULL: out of
 * memory. */
struct resolver *resolver_new(struct event_base *base);

/* resolver_free drops it. No question may be open. NULL is fine. */
void resolver_free(struct resolver *r);

/* resolver_system tells it what resolv.conf and hosts say; both are copied. Questions that are open
 * end as failed. False: out of memory, all is as before. */
bool resolver_system(struct resolver *r, struct span resolv_conf, struct span hosts);

/* resolver_servers tells it which name servers to ask in place of the system's; none: those.
 * Likewise. */
bool resolver_servers(struct resolver *r, const struct conf_address *servers, size_t num);

/* resolver_hosts writes what hosts has for `name`, see hosts_find. */
unsigned resolver_hosts(const struct resolver *r, const char *name, struct hosts_address *out);

/* resolver_ask asks for `name`, as the system's search list says; `q->done` is told from the loop.
 * False: out of memory. */
bool resolver_ask(struct resolver *r, struct resolver_question *q, const char *name,
		  enum resolver_type type);

/* resolver_forget makes sure that `q` is not told. One that is not open is fine. */
void resolver_forget(struct resolver_question *q);
