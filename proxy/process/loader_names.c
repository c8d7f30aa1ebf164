#include "proxy/process/loader_names.h"

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy/process/lookup.h"
#include "proxy/process/name_files.h"

struct asking {
	struct event_base *base;
	size_t open;
};

struct one {
	struct lookup lookup;
	struct loader_name *name;
	struct asking *all;
};

bool loader_names_wanted(const struct conf *c, const struct conf_pool *p)
{
	return p->discovery == CONF_DISCOVERY_SRV ||
	       (p->discovery == CONF_DISCOVERY_DNS && c->resolver.num_servers > 0);
}

static void done(struct lookup *l)
{
	struct one *o = (struct one *)((char *)l - offsetof(struct one, lookup));
	struct server_addresses *to = &o->name->found;

	for (uint32_t i = 0; i < l->num && to->num < PLAN_MAX_ADDRESSES_EACH; i++)
		to->list[to->num++] = l->list[i].at;
	o->name->error = to->num == 0 ? l->words : NULL;
	lookup_fini(l);
	if (--o->all->open == 0)
		(void)event_base_loopbreak(o->all->base);
}

static bool tell_system(struct resolver *r, const struct conf *c)
{
	int fds[NAME_FILES];
	bool ok;

	for (unsigned i = 0; i < NAME_FILES; i++)
		fds[i] = name_files_open((enum name_file)i);
	ok = name_files_tell(r, fds) &&
	     resolver_servers(r, c->resolver.servers, c->resolver.num_servers);
	for (unsigned i = 0; i < NAME_FILES; i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
	return ok;
}

static bool ask_all(struct one *list, struct loader_name *names, size_t num, struct resolver *r,
		    struct asking *all)
{
	for (size_t i = 0; i < num; i++) {
		list[i] = (struct one){ .lookup = { .done = done }, .name = &names[i], .all = all };
		names[i].error = "it took too long";
		all->open++;
		if (!lookup_begin(&list[i].lookup, r, all->base, &names[i].server))
			return false;
	}
	return true;
}

bool loader_names_find(struct loader_name *names, size_t num, const struct conf *c,
		       int64_t timeout_ns)
{
	struct timeval patience = { .tv_sec = timeout_ns / 1000000000,
				    .tv_usec = timeout_ns % 1000000000 / 1000 };
	struct asking all = { .base = event_base_new() };
	struct one *list = calloc(num + 1, sizeof(*list));
	struct resolver *r = all.base == NULL ? NULL : resolver_new(all.base);
	bool ok = list != NULL && r != NULL && tell_system(r, c);

	if (ok && num > 0)
		ok = ask_all(list, names, num, r, &all) &&
		     event_base_loopexit(all.base, &patience) == 0 &&
		     event_base_dispatch(all.base) >= 0;
	for (size_t i = 0; list != NULL && i < num; i++)
		lookup_fini(&list[i].lookup);
	resolver_free(r);
	if (all.base != NULL)
		event_base_free(all.base);
	free(list);
	return ok;
}
