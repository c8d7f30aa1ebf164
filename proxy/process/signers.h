/* signers: the threads of the keeper, which sign what workers ask for over the memory that each
 * shares with them. They only compute, and wait. Calls come from one other thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct key_store;
struct signers;

enum {
	SIGNERS_MAX_THREADS = 16,
	SIGNERS_MAX_REFUSED = 8, /* of a worker: it is heard no more */
	SIGNERS_FDS = 4,
};

/* Tells that worker `number` has asked for what is no handshake's, the `count`th time. Called by
 * any of the threads. */
typedef void signers_refused(void *arg, unsigned number, unsigned count);

/* signers_new starts up to SIGNERS_MAX_THREADS threads that sign with the keys of `store`
 * (borrowed for ever). They end with the process. NULL with errno. */
struct signers *signers_new(struct key_store *store, unsigned num_threads, signers_refused *refused,
			    void *arg);

/* signers_join serves worker `number` through a fresh keeper_area (fds[0]); fds[1] wakes us, fds[2]
 * wakes the worker, and fds[3] is a pipe whose other end only the worker holds. Takes the place of
 * what it had before. Owns the descriptors, also on failure. False with errno. */
bool signers_join(struct signers *s, unsigned number, const int fds[SIGNERS_FDS]);

/* signers_outlive waits until all workers have ended. Nobody may join any more. */
void signers_outlive(struct signers *s);
