#include "certs/lazy.h"

#include <stdlib.h>

enum { LAZY_PAGE = 512 }; /* entries */

static size_t lazy_pages(const struct lazy *l)
{
	return ((size_t)l->num + LAZY_PAGE - 1) / LAZY_PAGE;
}

struct lazy *lazy_new(uint32_t num)
{
	struct lazy *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->num = num;
	l->pages = calloc(lazy_pages(l) + 1, sizeof(*l->pages));
	if (l->pages == NULL) {
		free(l);
		return NULL;
	}
	return l;
}

void lazy_free(struct lazy *l, void (*drop)(void *entry))
{
	if (l == NULL)
		return;
	for (size_t p = 0; p < lazy_pages(l); p++) {
		if (l->pages[p] == NULL)
			continue;
		for (size_t i = 0; i < LAZY_PAGE; i++) {
			if (l->pages[p][i] != NULL)
				drop(l->pages[p][i]);
		}
		free(l->pages[p]);
	}
	free(l->pages);
	free(l);
}

void **lazy_at(struct lazy *l, uint32_t i)
{
	void ***page;

	if (i >= l->num)
		return NULL;
	page = &l->pages[i / LAZY_PAGE];
	if (*page == NULL && (*page = calloc(LAZY_PAGE, sizeof(**page))) == NULL)
		return NULL;
	return &(*page)[i % LAZY_PAGE];
}
