#include "proxy/process/handle.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "conf/must.h"

struct handle *handle_new(int fd)
{
	struct handle *h = malloc(sizeof(*h));

	if (h == NULL) {
		(void)close(fd);
		return NULL;
	}
	*h = (struct handle){ .refs = 1, .fd = fd };
	return h;
}

struct handle *handle_ref(struct handle *h)
{
	MUST(h->refs > 0 && h->refs < UINT_MAX);
	h->refs++;
	return h;
}

void handle_unref(struct handle *h)
{
	if (h == NULL)
		return;
	MUST(h->refs > 0);
	if (--h->refs > 0)
		return;
	(void)close(h->fd);
	free(h);
}
