/* sockets: the listening sockets, which live in the supervisor: by address, whatever the name of
 * its listener. An address that stays keeps its sockets over reloads and over the death of
 * workers. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "conf/problems.h"
#include "proxy/process/handle.h"
#include "proxy/process/listen.h"
#include "proxy/process/plan.h"

enum sockets_state {
	SOCKETS_NEW,	/* bound for a load that is not in use yet */
	SOCKETS_LIVE,	/* in use */
	SOCKETS_LEAVING /* no longer configured; workers may still have it */
};

/* One address that is listened on. */
struct listening {
	TAILQ_ENTRY(listening) entry;
	char text[SNAPSHOT_TEXT];
	uint32_t id; /* never used again for another address */
	enum sockets_state state;
	bool wanted;   /* by the load that is being prepared */
	bool shared;   /* one for all workers: a unix socket */
	bool adopted;  /* its file is still another's, who goes on if we do not come to serve */
	uint16_t port; /* TCP */
	struct listen_file file;
	unsigned num;		  /* 1 where shared, else one for each worker */
	struct handle *handles[]; /* of worker n: see sockets_handle */
};
TAILQ_HEAD(listening_list, listening);

struct sockets {
	struct listening_list list;
	unsigned num_workers;
	uint32_t last_id;
};

/* sockets_init makes an empty set in place for so many workers. */
void sockets_init(struct sockets *s, unsigned num_workers);

/* sockets_fini closes all and removes the files of unix sockets. */
void sockets_fini(struct sockets *s);

/* sockets_adopt takes over listening sockets that another process has bound at `text`, of worker 0
 * and so on; what a load does not want of them goes with its commit. The descriptors become the
 * set's, also on failure; those beyond our number of workers are closed, those that lack are bound.
 * The file of a unix socket stays the other's until sockets_own_files. False: `why` says what is
 * wrong. */
bool sockets_adopt(struct sockets *s, const char *text, bool shared, const int *fds, unsigned num,
		   char *why, size_t why_len);

/* sockets_own_files makes the files of adopted unix sockets ours to remove. */
void sockets_own_files(struct sockets *s);

/* sockets_hand_over forgets the files of unix sockets: they belong to another process now. */
void sockets_hand_over(struct sockets *s);

/* sockets_prepare finds or binds every address of `p`, and writes their ids into it. False: each
 * address that cannot be bound was added to `why`; everything is as it was. */
bool sockets_prepare(struct sockets *s, struct plan *p, struct problems *why);

/* sockets_abandon closes what sockets_prepare has bound. */
void sockets_abandon(struct sockets *s);

/* sockets_commit makes what was prepared the set in use; what it lacks is leaving. */
void sockets_commit(struct sockets *s);

/* sockets_close_leaving closes what is leaving: every worker has let go of it. */
void sockets_close_leaving(struct sockets *s);

/* sockets_handle returns the socket of `l` that worker `n` accepts from. */
struct handle *sockets_handle(const struct listening *l, unsigned n);
