#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "certs/keeper_area.h"
#include "proxy/process/supervision.h"

enum { AREA_FDS = 5, TOLD_FDS = 4 };

/* The memory that both share, of a size that neither can change under the other; what wakes the
 * keeper, and what wakes the worker; and a pipe, whose end tells the keeper of the worker's. */
static bool area_open(int fds[AREA_FDS])
{
	fds[0] = memfd_create("keeper", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	fds[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fds[2] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fds[3] = fds[4] = -1;
	return pipe2(fds + 3, O_CLOEXEC) == 0 && fds[0] >= 0 && fds[1] >= 0 && fds[2] >= 0 &&
	       ftruncate(fds[0], (off_t)keeper_area_size()) == 0 &&
	       fcntl(fds[0], F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0;
}

void child_join_keeper(struct child *worker)
{
	struct supervisor *s = worker->supervisor;
	struct channel_message m = { .type = CHANNEL_KEEPER, .number = worker->number };
	struct handle *handles[AREA_FDS] = { NULL };
	int fds[AREA_FDS];
	bool ok = area_open(fds);

	for (int i = 0; i < AREA_FDS; i++) {
		if (fds[i] >= 0 && (handles[i] = handle_new(fds[i])) == NULL)
			ok = false;
	}
	if (ok) {
		child_send(&s->keeper, &m, handles, TOLD_FDS);
		child_send(
			worker, &m,
			(struct handle *const[]){ handles[0], handles[1], handles[2], handles[4] },
			TOLD_FDS);
	} else {
		/* Without it the worker has no TLS: it will try again. */
		logs_say(&s->logs, CONF_LOG_ERROR,
			 "worker %u is killed: no memory to share with the keeper: %s",
			 worker->number, strerror(errno));
		child_kill(worker);
	}
	for (int i = 0; i < AREA_FDS; i++)
		handle_unref(handles[i]);
}

static void send_keys(struct child *keeper, const struct key_load *load)
{
	struct channel_message m = { .type = CHANNEL_KEYS, .generation = load->generation };
	struct handle *table = load->table;

	keeper->sent = load->generation;
	supervision_after(keeper->patience, SUPERVISION_ANSWER_NS);
	child_send(keeper, &m, &table, 1);
}

void child_send_keys(struct child *keeper)
{
	const struct key_load *newest =
		TAILQ_LAST(&keeper->supervisor->key_loads.list, key_load_list);

	/* One that is not there gets them when it starts. */
	if (keeper->pid != 0 && newest != NULL)
		send_keys(keeper, newest);
}

void child_send_all_keys(struct child *keeper)
{
	struct supervisor *s = keeper->supervisor;
	const struct key_load *load;

	TAILQ_FOREACH(load, &s->key_loads.list, entry)
		send_keys(keeper, load);
	/* After the keys: what a worker asks for is there. */
	for (unsigned i = 0; i < s->num_workers; i++) {
		if (s->workers[i].pid != 0)
			child_join_keeper(&s->workers[i]);
	}
}

void child_drop_keys(struct child *keeper, uint32_t below)
{
	struct channel_message m = { .type = CHANNEL_KEYS_DROP, .generation = below };

	if (key_loads_drop(&keeper->supervisor->key_loads, below))
		child_send(keeper, &m, NULL, 0);
}

bool child_keeper_said(struct child *keeper, const struct channel_message *m)
{
	struct supervisor *s = keeper->supervisor;
	struct metrics_supervisor *metrics = &board_supervisor(s->board)->metrics;

	if (m->type != CHANNEL_REFUSED || m->number >= s->num_workers)
		return false;
	metrics_add(&metrics->signatures_refused, 1);
	logs_say(&s->logs, CONF_LOG_ERROR,
		 "worker %u asked for a signature of what is no handshake; it was refused%s",
		 m->number, (m->flags & 1) != 0 ? ", again and again: it is replaced" : "");
	if ((m->flags & 1) != 0)
		child_kill(&s->workers[m->number]);
	return true;
}
