#include <stdlib.h>

#include "proxy/process/supervision.h"

bool children_init(struct supervisor *s)
{
	s->workers = calloc(s->num_workers, sizeof(*s->workers));
	if (s->workers == NULL)
		return false;
	for (unsigned i = 0; i < s->num_workers; i++) {
		if (!child_init(&s->workers[i], s, CHILD_WORKER, i))
			return false;
	}
	s->isolated = s->now.plan->key_isolation;
	return child_init(&s->steward, s, CHILD_STEWARD, 0) &&
	       (!s->isolated || child_init(&s->keeper, s, CHILD_KEEPER, 0));
}

void children_start(struct supervisor *s)
{
	if (s->isolated)
		child_start(&s->keeper);
	/* First, to find its reader when the workers log. */
	child_start(&s->steward);
	for (unsigned i = 0; i < s->num_workers; i++)
		child_start(&s->workers[i]);
}

void children_fini(struct supervisor *s)
{
	for (unsigned i = 0; s->workers != NULL && i < s->num_workers; i++)
		child_fini(&s->workers[i]);
	free(s->workers);
	s->workers = NULL;
	child_fini(&s->steward);
	child_fini(&s->keeper);
}

struct child *children_find(struct supervisor *s, pid_t pid)
{
	for (unsigned i = 0; s->workers != NULL && i < s->num_workers; i++) {
		if (s->workers[i].pid == pid)
			return &s->workers[i];
	}
	if (s->keeper.pid == pid)
		return &s->keeper;
	return s->steward.pid == pid ? &s->steward : NULL;
}

void children_send(struct supervisor *s, const struct channel_message *m)
{
	for (unsigned i = 0; i < s->num_workers; i++)
		child_send(&s->workers[i], m, NULL, 0);
}

void children_send_new_sockets(struct supervisor *s)
{
	struct listening *l;

	TAILQ_FOREACH(l, &s->sockets.list, entry) {
		if (l->state != SOCKETS_NEW)
			continue;
		for (unsigned i = 0; i < s->num_workers; i++)
			child_send_socket(&s->workers[i], l, i);
		cover_new_socket(s, l);
	}
}

void children_publish(struct supervisor *s)
{
	for (unsigned i = 0; i < s->num_workers; i++) {
		/* One that was started while the keeper read the keys has it. */
		if (s->workers[i].pid != 0 && s->workers[i].sent != s->generation)
			child_send_snapshot(&s->workers[i]);
	}
	if (s->steward.pid != 0 && s->steward.sent != s->generation)
		child_send_snapshot(&s->steward);
}

void children_kill(struct supervisor *s)
{
	for (unsigned i = 0; s->workers != NULL && i < s->num_workers; i++)
		child_kill(&s->workers[i]);
}

unsigned children_alive(const struct supervisor *s)
{
	unsigned alive = 0;

	for (unsigned i = 0; s->workers != NULL && i < s->num_workers; i++)
		alive += s->workers[i].pid != 0;
	return alive;
}

bool children_serving(const struct supervisor *s)
{
	for (unsigned i = 0; i < s->num_workers; i++) {
		if (child_serving(&s->workers[i]))
			return true;
	}
	return false;
}

bool children_adopted(const struct supervisor *s)
{
	for (unsigned i = 0; i < s->num_workers; i++) {
		const struct child *c = &s->workers[i];

		/* A new one starts with the present generation and never had an older. */
		if (c->pid != 0 && !c->killed && c->adopted != s->generation)
			return false;
	}
	return true;
}

/* Sums a gauge over the workers: a connection may outlive the snapshot that it was made in. */
static bool listener_busy(const void *board, uint32_t slot)
{
	for (unsigned i = 0; i < board_workers(board); i++)
		if (metrics_read(&board_worker(board, i)->metrics.listeners[slot].active) != 0)
			return true;
	return false;
}

static bool pool_busy(const void *board, uint32_t slot)
{
	for (unsigned i = 0; i < board_workers(board); i++)
		if (metrics_read(&board_worker(board, i)->metrics.pools_active[slot]) != 0)
			return true;
	return false;
}

static bool server_busy(const void *board, uint32_t slot)
{
	for (unsigned i = 0; i < board_workers(board); i++)
		if (metrics_read(&board_worker(board, i)->metrics.servers[slot].active) != 0)
			return true;
	return false;
}

void children_released(struct supervisor *s)
{
	uint32_t below = s->generation;

	if (s->board == NULL)
		return;
	for (unsigned i = 0; i < s->num_workers; i++) {
		const struct child *c = &s->workers[i];

		if (c->pid != 0 && c->released < below)
			below = c->released;
	}
	slots_release(s->listener_slots, below, listener_busy, s->board);
	slots_release(s->pool_slots, below, pool_busy, s->board);
	slots_release(s->server_slots, below, server_busy, s->board);
	if (s->isolated)
		child_drop_keys(&s->keeper, below);
}
