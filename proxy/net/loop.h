/* loop: the turns of one worker's thread. libevent waits and says which descriptors are ready;
 * what there is to do is queued as tasks by class, and every turn gives each class a quantum, so
 * that a storm of handshakes and a flood of bytes both get on. At the end of a turn output is
 * flushed and what was closed is freed. Owns the timers and the scratch buffers. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "proxy/net/wheel.h"

struct event_base;

/* Classes of work. A turn runs as many tasks of each as loop.c's table says. */
enum loop_class {
	LOOP_TRAFFIC, /* established links */
	LOOP_ACCEPT,
	LOOP_HANDSHAKE,
	LOOP_CLASSES,
	LOOP_FLUSH = LOOP_CLASSES, /* output at the end of the turn: all of it */
	LOOP_GRAVE,		   /* what is freed after that: all of it */
	LOOP_QUEUES
};

/* Lives inside the object it is for; `queued` says which queue + 1 it is in. */
struct loop_task {
	TAILQ_ENTRY(loop_task) entry;
	void (*run)(struct loop_task *t);
	uint8_t queued;
};
TAILQ_HEAD(loop_tasks, loop_task);

/* What has no owner any more and frees itself within a bounded time: a lingering socket, an idle
 * connection to a server. Past LOOP_MAX_ORPHANS the oldest is dropped. */
enum { LOOP_MAX_ORPHANS = 4096 };
struct loop_orphan {
	TAILQ_ENTRY(loop_orphan) entry;
	void (*drop)(struct loop_orphan *o); /* takes it off with loop_unorphan, and frees it */
};
TAILQ_HEAD(loop_orphans, loop_orphan);

/* Output waits in chunks, each large enough for one TLS record. */
enum { LOOP_CHUNK_BYTES = 16896, LOOP_CHUNKS_KEPT = 256 };
struct chunk {
	TAILQ_ENTRY(chunk) entry;
	uint32_t start, end; /* of what is in it */
	char bytes[LOOP_CHUNK_BYTES];
};
TAILQ_HEAD(chunks, chunk);

enum { LOOP_SCRATCH_BYTES = 128 << 10, LOOP_PLAIN_BYTES = 96 << 10 };

struct loop {
	struct event_base *base;
	struct event *alarm; /* the one libevent timer */
	int64_t alarm_ns;    /* when it is set for; INT64_MAX: not */
	int64_t now_ns;	     /* monotonic, taken once a turn */
	bool stopping;
	bool finishing;
	uint64_t turns;
	/* Called each turn between the classes: signs, see certs/keys.h. */
	void (*between)(void *arg);
	/* How much `between` has to do; while it has, the loop does not wait. */
	size_t (*between_waiting)(const void *arg);
	void *between_arg;
	void *bio_method; /* link_tls.c's, freed by `bio_method_free` */
	void (*bio_method_free)(void *method);
	struct loop_tasks queues[LOOP_QUEUES];
	size_t num_queued[LOOP_QUEUES];
	struct loop_orphans orphans; /* oldest first */
	size_t num_orphans;
	bool dropping; /* the oldest of them, to make room */
	struct chunks free_chunks;
	unsigned num_free_chunks;
	struct wheel wheel;
	char scratch[LOOP_SCRATCH_BYTES]; /* what one recv brought */
	char plain[LOOP_PLAIN_BYTES];	  /* what was decrypted of it */
};

/* loop_new makes a loop with an event base of its own. NULL: memory, or the kernel refused. */
struct loop *loop_new(void);

/* loop_free drops it; whatever used it has been freed before. NULL is fine. */
void loop_free(struct loop *l);

/* loop_queue puts `t` in queue `queue` unless it is in one already. */
void loop_queue(struct loop *l, struct loop_task *t, unsigned queue);

/* loop_unqueue takes `t` out of whatever queue it is in. */
void loop_unqueue(struct loop *l, struct loop_task *t);

/* loop_run takes turns until loop_stop; false: waiting failed (errno). */
bool loop_run(struct loop *l);

/* loop_orphan notes `o`, which has lost its owner. */
void loop_orphan(struct loop *l, struct loop_orphan *o);

/* loop_unorphan takes `o` off again, as it is about to be freed. */
void loop_unorphan(struct loop *l, struct loop_orphan *o);

/* loop_drop_orphan drops the oldest orphan, to make room. There must be one. */
void loop_drop_orphan(struct loop *l);

/* loop_bury frees what has been closed and drops orphans, when no further turn will. */
void loop_bury(struct loop *l);

/* loop_stop ends loop_run after this turn. */
void loop_stop(struct loop *l);

/* loop_finish ends loop_run once no orphan is left. */
void loop_finish(struct loop *l);

/* loop_after sets `t` to fire `ns` from now. */
void loop_after(struct loop *l, struct timer *t, int64_t ns);

/* loop_cancel is wheel_cancel on this loop's wheel. */
void loop_cancel(struct loop *l, struct timer *t);

/* loop_chunk returns an empty chunk; NULL: out of memory. Give it back with loop_chunk_free. */
struct chunk *loop_chunk(struct loop *l);

/* loop_chunk_free takes a chunk back. */
void loop_chunk_free(struct loop *l, struct chunk *c);

/* loop_clock_ns returns the monotonic time now; use loop.now_ns where a turn's time will do. */
int64_t loop_clock_ns(void);
