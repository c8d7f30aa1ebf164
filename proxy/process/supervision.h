/* supervision: what the supervisor's parts share: its state, and the calls between them. Private
 * to supervisor.c (stages and signals), reload.c, child.c (one process), child_keeper.c (what only
 * the keeper has), child_sandbox.c (what confines them), children.c (all of them), cover.c (who
 * accepts for the dead), watchdog.c (who hangs), upgrade.c (a new binary), inherit.c (an
 * old one) and commands.c (what the
 * admin socket asks for). One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "proxy/process/board.h"
#include "proxy/process/channel.h"
#include "proxy/process/endpoint.h"
#include "proxy/process/handover.h"
#include "proxy/process/key_loads.h"
#include "proxy/process/logs.h"
#include "proxy/process/name_files.h"
#include "proxy/process/outbox.h"
#include "proxy/process/publication.h"
#include "proxy/process/slots.h"
#include "proxy/process/sockets.h"
#include "proxy/process/supervisor.h"
#include "proxy/process/ticket_ring.h"

struct event;
struct event_base;

/* How long to be patient, and how often to try again. */
#define SUPERVISION_MS INT64_C(1000000)
#define SUPERVISION_ANSWER_NS (10000 * SUPERVISION_MS) /* for READY, and for ADOPTED */
#define SUPERVISION_LOAD_NS (60000 * SUPERVISION_MS)
#define SUPERVISION_COVER_NS (500 * SUPERVISION_MS)
#define SUPERVISION_PROVEN_NS (5000 * SUPERVISION_MS) /* a worker of that age needs no cover */
#define SUPERVISION_BEAT_NS (1000 * SUPERVISION_MS)

enum stage {
	STAGE_STARTING, /* the first load */
	STAGE_SERVING,
	STAGE_DRAINING, /* workers finish */
	STAGE_ENDING,	/* workers are gone or killed; the steward writes what is left */
	STAGE_ENDED
};

enum child_kind { CHILD_WORKER, CHILD_STEWARD, CHILD_KEEPER };

struct child {
	struct supervisor *supervisor;
	enum child_kind kind;
	unsigned number;
	pid_t pid; /* 0: there is none */
	int fd;	   /* its channel; -1: closed */
	bool killed;
	bool ready;	     /* it has said so */
	uint32_t protection; /* enum sandbox_part, as it says */
	bool stuck;	     /* a worker: has not read its channel for a second */
	int64_t stuck_since_ns;
	bool reported, stack_asked;   /* of that */
	struct event *input, *output; /* of the channel; NULL: none */
	struct event *retry;	      /* flush the outbox again */
	struct event *restart;	      /* start again */
	struct event *patience;	      /* kill it for not answering */
	struct outbox outbox;
	int64_t started_ns;
	time_t started_s;      /* Unix time */
	int64_t down_ns;       /* since when it does not serve, after it ended; 0: it does */
	int64_t next_delay_ns; /* before it is started again */
	uint32_t sent, adopted, released; /* generations */
	int cover;			  /* a worker: the sibling that accepts for it; -1: none */
};

enum reload_state {
	RELOAD_IDLE,
	RELOAD_LOADING,
	RELOAD_KEYS, /* the keeper is to have them first */
	RELOAD_PUBLISHING
};

/* Configurations at work: the numbers of the log line. */
struct reload_counts {
	uint32_t added, removed, total;
};

struct reload {
	enum reload_state state;
	bool again;   /* asked for while one was on its way */
	pid_t loader; /* 0: there is none */
	int fd;
	bool answered; /* LOADED has come */
	struct event *input, *patience;
	int64_t began_ns;
	uint32_t asked, ticket; /* of commands that wait for the next load, and for this one */
	unsigned num_errors;
	char reason[512]; /* the first error */
	char said[960];	  /* all that fit, a line each */
	struct reload_counts listeners, pools;
	uint64_t certificates_before;
};

/* A binary that is to take over. */
struct upgrade {
	pid_t pid; /* 0: there is none */
	int fd;	   /* hears that it serves; -1: no more */
	bool is_done;
	struct event *input, *patience;
};

/* What a file was when it was passed on last. */
struct name_file_state {
	dev_t device;
	ino_t inode;
	off_t size;
	time_t changed_s;
	long changed_ns;
};

struct supervisor {
	const struct supervisor_options *options;
	struct event_base *base;
	enum stage stage;
	int exit_code;
	int exe_fd;
	uint64_t max_fds;
	bool is_root;
	bool drain_waits;     /* for drain_delay to pass */
	int64_t drain_end_ns; /* of the connections' time */
	bool stopping;	      /* at once, rather than when connections have ended */
	bool served;	      /* the first generation was adopted by all */
	int ready_fd;
	struct event *signals[8];
	size_t num_signals;
	struct event *rotate;	/* ticket keys */
	struct event *cover;	/* looks who is down too long */
	struct event *beat;	/* looks who hangs */
	struct event *deadline; /* of the present stage */
	struct logs logs;
	struct sockets sockets;
	struct endpoint admin;
	struct slots *listener_slots, *pool_slots, *server_slots;
	struct ticket_ring tickets;
	struct board *board; /* NULL before the first load */
	struct publication now;
	uint32_t generation;
	struct reload reload;
	struct upgrade upgrade;
	struct handover left; /* by a supervisor that we take over from */
	struct child *workers;
	unsigned num_workers;
	struct child steward;
	struct child keeper; /* where `isolated` */
	bool isolated;	     /* workers hold no keys */
	bool not_locked;     /* that has been said */
	uint8_t said;	     /* of what protects a kind of child: a bit each */
	struct key_loads key_loads;
	struct name_file_state name_files[NAME_FILES];
};

/* supervision_now returns the monotonic time in nanoseconds. */
int64_t supervision_now(void);

/* supervision_after sets timer `e` to `ns` from now. */
void supervision_after(struct event *e, int64_t ns);

/* ---- supervisor.c */

/* supervisor_fail ends everything with `exit_code`; nothing has been started yet. */
void supervisor_fail(struct supervisor *s, int exit_code);

/* supervisor_begin makes what lives as long as the processes do, with the first publication at
 * hand. False: it has failed. */
bool supervisor_begin(struct supervisor *s);

/* supervisor_child_gone goes on with a stage that waited for a child's end. */
void supervisor_child_gone(struct supervisor *s);

/* supervisor_drain begins the end: after drain_delay or, asked again or after an upgrade, at once.
 * No-op where it has begun. */
void supervisor_drain(struct supervisor *s);

/* supervisor_serving notes that every worker has adopted the first generation. */
void supervisor_serving(struct supervisor *s);

/* ---- child.c */

/* child_init makes a child in place, not started. False: out of memory. */
bool child_init(struct child *c, struct supervisor *s, enum child_kind kind, unsigned number);

/* child_fini frees it; its process, if any, is killed. Zero bytes are fine. */
void child_fini(struct child *c);

/* child_start starts it with all it needs; on failure it is tried again later. */
void child_start(struct child *c);

/* child_send queues a message. A child that takes no more is killed, and started again later; one
 * that is not there is left alone. */
void child_send(struct child *c, const struct channel_message *m, struct handle *const *handles,
		size_t num_handles);

/* child_send_socket passes the socket that worker `owner` accepts from. */
void child_send_socket(struct child *c, const struct listening *l, unsigned owner);

/* child_send_snapshot passes the publication; the child has SUPERVISION_ANSWER_NS to adopt it. */
void child_send_snapshot(struct child *c);

/* child_send_logs passes the log files to the steward. */
void child_send_logs(struct child *c);

/* child_note writes to the board whether there is a process, since when, and what protects it. */
void child_note(struct child *c);

/* child_kill ends it at once. */
void child_kill(struct child *c);

/* child_ended cleans up after its end, as waitpid told it, and starts it again where the stage
 * wants that. */
void child_ended(struct child *c, int status);

/* child_title writes what it is called: "worker 0", "steward", "keeper". */
const char *child_title(const struct child *c, char title[32]);

/* child_serving tells whether a worker accepts connections, as far as can be seen. */
bool child_serving(const struct child *c);

/* ---- child_keeper.c */

/* child_join_keeper gives a worker and the keeper fresh memory to speak through. */
void child_join_keeper(struct child *worker);

/* child_send_keys passes the newest keys to the keeper, which has SUPERVISION_ANSWER_NS to adopt
 * them. */
void child_send_keys(struct child *keeper);

/* child_send_all_keys passes all to one that has just started, and joins it with every worker. */
void child_send_all_keys(struct child *keeper);

/* child_drop_keys forgets those of generations below `below`. */
void child_drop_keys(struct child *keeper, uint32_t below);

/* child_keeper_said takes a message that only a keeper sends. False: it makes no sense. */
bool child_keeper_said(struct child *keeper, const struct channel_message *m);

/* ---- child_sandbox.c */

/* child_protected notes what a child says that protects it, and says what is missing. */
void child_protected(struct child *c, uint32_t parts);

/* child_violated says which system call a child was ended for. */
void child_violated(struct child *c, uint32_t call);

/* ---- children.c */

/* children_init makes the board's number of workers, the steward and the keeper. False: out of
 * memory. */
bool children_init(struct supervisor *s);

/* children_start starts them all. */
void children_start(struct supervisor *s);

/* children_fini frees them all. */
void children_fini(struct supervisor *s);

/* children_find returns the child with that process; NULL: it is none of them. */
struct child *children_find(struct supervisor *s, pid_t pid);

/* children_send queues a message for every worker. */
void children_send(struct supervisor *s, const struct channel_message *m);

/* children_send_new_sockets passes what was bound for a load to every worker. */
void children_send_new_sockets(struct supervisor *s);

/* children_publish passes the publication to all that do not have it. */
void children_publish(struct supervisor *s);

/* children_kill ends every worker at once. */
void children_kill(struct supervisor *s);

/* children_alive returns how many workers there are. */
unsigned children_alive(const struct supervisor *s);

/* children_serving tells whether a worker accepts connections. */
bool children_serving(const struct supervisor *s);

/* children_adopted tells whether every worker that is there uses the present generation. */
bool children_adopted(const struct supervisor *s);

/* children_released frees the slots of generations that no worker uses any more. */
void children_released(struct supervisor *s);

/* ---- watchdog.c */

/* watchdog_look reports a child that has been stuck for a while, and in the end kills it; to be
 * called with each beat. */
void watchdog_look(struct child *c);

/* watchdog_stack logs where a stuck worker stands, as it says. */
void watchdog_stack(struct child *c, const char *text);

/* ---- commands.c */

/* commands_take does what the steward passes on. False: it makes no sense. */
bool commands_take(struct supervisor *s, const struct channel_message *m);

/* commands_outcome answers all commands up to `ticket` (0: none); `text` says what came of them. */
void commands_outcome(struct supervisor *s, uint32_t ticket, bool done, const char *text);

/* ---- name_watch.c */

/* name_watch_send passes the files that say how names become addresses to the steward. */
void name_watch_send(struct child *steward);

/* name_watch_beat does so where one of them has changed; to be called every SUPERVISION_BEAT_NS. */
void name_watch_beat(struct supervisor *s);

/* ---- inherit.c */

/* inherit_begin takes what the environment names, if a supervisor before us has left anything.
 * False: it is of no use; why has been said. */
bool inherit_begin(struct supervisor *s);

/* inherit_sockets makes the listening sockets that were left ours. False: some cannot be; added to
 * `why`. */
bool inherit_sockets(struct supervisor *s, struct problems *why);

/* inherit_admin opens the admin endpoint, with what was left for it. False: see endpoint_open. */
bool inherit_admin(struct supervisor *s, const struct plan *p, struct problems *why);

/* inherit_end lets go of what nobody took, and makes the files of what was taken ours: we serve. */
void inherit_end(struct supervisor *s);

/* ---- upgrade.c */

/* upgrade_init prepares it. False: out of memory. */
bool upgrade_init(struct supervisor *s);

/* upgrade_fini frees it; a new binary that does not serve yet is killed. */
void upgrade_fini(struct supervisor *s);

/* upgrade_begin starts the binary that is to take over. */
void upgrade_begin(struct supervisor *s);

/* upgrade_ended takes note of its end, as waitpid told it. */
void upgrade_ended(struct supervisor *s, int status);

/* upgrade_stop gives it up: the end has begun. */
void upgrade_stop(struct supervisor *s);

/* ---- cover.c */

/* cover_update lets siblings accept for workers that are down for too long, and takes that back
 * from those that are no longer. */
void cover_update(struct supervisor *s);

/* cover_beat looks whether all still read their channels; to be called every
 * SUPERVISION_BEAT_NS. */
void cover_beat(struct supervisor *s);

/* cover_lost forgets what worker `number`, which ended, did for others. */
void cover_lost(struct supervisor *s, unsigned number);

/* cover_new_socket passes a socket to those who accept for others. */
void cover_new_socket(struct supervisor *s, const struct listening *l);

/* ---- reload.c */

/* reload_init prepares it. False: out of memory. */
bool reload_init(struct supervisor *s);

/* reload_fini frees it; a loader is killed. */
void reload_fini(struct supervisor *s);

/* reload_begin starts a load, or one more after the one that is on its way. */
void reload_begin(struct supervisor *s);

/* reload_resume begins what was asked for while it could not begin, if it can now. */
void reload_resume(struct supervisor *s);

/* reload_command is reload_begin for one who waits for the outcome of a load that begins from now
 * on; see commands_outcome. */
void reload_command(struct supervisor *s, uint32_t ticket);

/* reload_forget_commands forgets who waits: their steward has ended. */
void reload_forget_commands(struct supervisor *s);

/* reload_stop gives up a load that is on its way: the end has begun. */
void reload_stop(struct supervisor *s);

/* reload_progress ends a load that waited for workers to adopt it, once they have. */
void reload_progress(struct supervisor *s);

/* reload_keys_adopted goes on with a load that waited for the keeper. */
void reload_keys_adopted(struct supervisor *s);

/* reload_loader_ended takes note of the loader's end, as waitpid told it. */
void reload_loader_ended(struct supervisor *s, int status);
