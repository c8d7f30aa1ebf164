#include "proxy/process/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/must.h"

struct outbox_item {
	STAILQ_ENTRY(outbox_item) entry;
	struct channel_message message;
	struct handle *handles[OUTBOX_MAX_HANDLES];
	size_t num_handles;
};

void outbox_init(struct outbox *o)
{
	*o = (struct outbox){ .num = 0 };
	STAILQ_INIT(&o->items);
}

static void outbox_drop_first(struct outbox *o)
{
	struct outbox_item *item = STAILQ_FIRST(&o->items);

	STAILQ_REMOVE_HEAD(&o->items, entry);
	o->num--;
	for (size_t i = 0; i < item->num_handles; i++)
		handle_unref(item->handles[i]);
	/* It may have held ticket keys. */
	explicit_bzero(&item->message, sizeof(item->message));
	free(item);
}

void outbox_fini(struct outbox *o)
{
	while (!STAILQ_EMPTY(&o->items))
		outbox_drop_first(o);
}

bool outbox_put(struct outbox *o, const struct channel_message *m, struct handle *const *handles,
		size_t num_handles)
{
	struct outbox_item *item;

	MUST(num_handles <= OUTBOX_MAX_HANDLES);
	if (o->num >= OUTBOX_MAX || (item = malloc(sizeof(*item))) == NULL)
		return false;
	item->message = *m;
	item->num_handles = num_handles;
	for (size_t i = 0; i < num_handles; i++)
		item->handles[i] = handle_ref(handles[i]);
	STAILQ_INSERT_TAIL(&o->items, item, entry);
	o->num++;
	return true;
}

enum outbox_result outbox_flush(struct outbox *o, int fd)
{
	struct outbox_item *item;

	while ((item = STAILQ_FIRST(&o->items)) != NULL) {
		int fds[OUTBOX_MAX_HANDLES];

		for (size_t i = 0; i < item->num_handles; i++)
			fds[i] = item->handles[i]->fd;
		if (!channel_send(fd, &item->message, fds, item->num_handles)) {
			if (errno == EAGAIN || errno == EWOULDBLOCK)
				return OUTBOX_FULL;
			/* ETOOMANYREFS: too many descriptors on their way, of all processes. */
			if (errno == ETOOMANYREFS || errno == ENOBUFS || errno == ENOMEM)
				return OUTBOX_LATER;
			return OUTBOX_GONE;
		}
		outbox_drop_first(o);
	}
	return OUTBOX_EMPTY;
}
