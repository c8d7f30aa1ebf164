/* What a supervisor before us has left, taken over with the first load; see upgrade.c for the other
 * end. */

#include <stdio.h>
#include <string.h>

#include "proxy/process/supervision.h"

bool inherit_begin(struct supervisor *s)
{
	char why[256];

	if (!handover_take(&s->left, why, sizeof(why))) {
		(void)fprintf(stderr, "sallyport: cannot start: %s\n", why);
		return false;
	}
	if (s->left.ready_fd >= 0) {
		s->ready_fd = s->left.ready_fd;
		s->left.ready_fd = -1;
	}
	/* Sessions of before go on; the first key is not old yet. */
	s->tickets = s->left.tickets;
	return true;
}

bool inherit_sockets(struct supervisor *s, struct problems *why)
{
	size_t errors = why->num_errors;
	char what[256];

	for (size_t i = 0; i < s->left.num; i++) {
		struct handover_address *a = &s->left.addresses[i];
		unsigned num = a->num;

		a->num = 0;
		if (!sockets_adopt(&s->sockets, a->text, a->shared, a->fds, num, what,
				   sizeof(what)))
			problems_add(why, PROBLEM_ERROR, a->text, "cannot be taken over: %s", what);
	}
	return why->num_errors == errors;
}

bool inherit_admin(struct supervisor *s, const struct plan *p, struct problems *why)
{
	struct handover *left = &s->left;
	int fd = left->admin_fd, lock_fd = left->lock_fd;

	if (fd < 0 || !p->admin_on || strcmp(left->admin_text, p->admin_text) != 0)
		return endpoint_open(&s->admin, p, why);
	left->admin_fd = left->lock_fd = -1;
	if (endpoint_adopt(&s->admin, fd, lock_fd))
		return true;
	problems_add(why, PROBLEM_ERROR, p->admin_text, "cannot listen: out of memory");
	return false;
}

/* What nobody wants any more has nobody else to remove its files. */
static void inherit_drop_admin(struct handover *left)
{
	struct endpoint e;

	if (left->admin_fd < 0)
		return;
	if (endpoint_adopt(&e, left->admin_fd, left->lock_fd))
		endpoint_own_files(&e);
	left->admin_fd = left->lock_fd = -1;
	endpoint_fini(&e);
}

void inherit_end(struct supervisor *s)
{
	/* Until now the other would have gone on, with all its files, had we failed. */
	sockets_own_files(&s->sockets);
	endpoint_own_files(&s->admin);
	sockets_close_leaving(&s->sockets);
	inherit_drop_admin(&s->left);
	if (s->left.from != 0)
		logs_say(&s->logs, CONF_LOG_INFO, "took over from process %ld", (long)s->left.from);
	handover_fini(&s->left);
}
