#include "proxy/process/discovery.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/net/loop.h"
#include "proxy/process/lookup.h"
#include "proxy/process/resolve.h"

enum {
	LOOK_MS = 50,
	AT_A_TIME = 64, /* lookups that are on */
	SHOWN_MAX = 12, /* addresses of one log line */
};

static const struct timeval often = { .tv_usec = LOOK_MS * 1000 };

#define AGAIN_NS INT64_C(5000000000) /* after a lookup that found nothing */

struct entry {
	struct lookup lookup;
	struct discovery *all;
	struct plan_server server; /* a copy */
	char pool[SNAPSHOT_TEXT];
	uint64_t identity;
	int64_t due_ns;
	struct named_address *list; /* as published last; NULL: nothing was */
	uint32_t num;
	enum resolver_verdict verdict; /* of the last lookup */
};

struct discovery {
	const struct board *board;
	struct event_base *base;
	struct logwriter *log;
	struct resolver *resolver;
	struct event *timer;
	struct entry **entries;
	uint32_t num;
	uint32_t next; /* where looking goes on: all get their turn */
	unsigned num_on;
	int64_t min_ttl_ns, max_ttl_ns;
};

/* ---- what is found */

static bool has(const struct named_address *list, uint32_t num, const struct named_address *a)
{
	for (uint32_t i = 0; i < num; i++) {
		if (list[i].at.len == a->at.len &&
		    memcmp(&list[i].at.address, &a->at.address, a->at.len) == 0)
			return true;
	}
	return false;
}

static bool same(const struct entry *e, const struct named_address *list, uint32_t num)
{
	if (e->list == NULL || e->num != num)
		return false;
	for (uint32_t i = 0; i < num; i++) {
		if (!named_address_same(&e->list[i], &list[i]))
			return false;
	}
	return true;
}

/* Of a family that a name server said nothing about, what was known before stays. */
static uint32_t keep_old(const struct entry *e, struct named_address *list, uint32_t num)
{
	for (uint32_t i = 0; i < e->num && num < BOARD_NAME_ADDRESSES; i++) {
		bool v6 = e->list[i].at.address.ss_family == AF_INET6;

		if ((v6 ? e->lookup.lacks_v6 : e->lookup.lacks_v4) && !has(list, num, &e->list[i]))
			list[num++] = e->list[i];
	}
	return num;
}

static void say_addresses(const struct entry *e)
{
	char text[1024] = "";
	size_t n = 0;

	for (uint32_t i = 0; i < e->num && i < SHOWN_MAX && n < sizeof(text); i++) {
		char one[80];

		resolve_text(&e->list[i].at, one, sizeof(one));
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i == 0 ? "" : ", ", one);
	}
	logwriter_say(e->all->log, CONF_LOG_INFO, "pool %s: server %s is at %s%s", e->pool,
		      e->server.name, text, e->num > SHOWN_MAX ? " and others" : "");
}

static void publish(struct entry *e, const struct named_address *list, uint32_t num)
{
	struct named_address *copy;

	if (same(e, list, num))
		return;
	/* What cannot be kept is found to have changed the next time, too. */
	if ((copy = calloc(num, sizeof(*copy))) == NULL)
		return;
	memcpy(copy, list, num * sizeof(*copy));
	free(e->list);
	e->list = copy;
	e->num = num;
	board_name_write(&board_steward(e->all->board)->names[e->server.slot], e->identity, list,
			 num);
	say_addresses(e);
}

static void say_trouble(const struct entry *e, enum conf_log_level level)
{
	logwriter_say(e->all->log, level, "pool %s: server %s does not resolve: %s%s", e->pool,
		      e->server.name, e->lookup.words,
		      e->num > 0 ? "; its last addresses stay in use" : "");
}

static int64_t ttl_of(const struct discovery *d, uint32_t ttl_s)
{
	int64_t ns = (int64_t)ttl_s * 1000000000;

	return ns < d->min_ttl_ns ? d->min_ttl_ns : ns > d->max_ttl_ns ? d->max_ttl_ns : ns;
}

static void done(struct lookup *l)
{
	struct entry *e = (struct entry *)((char *)l - offsetof(struct entry, lookup));
	struct discovery *d = e->all;
	enum resolver_verdict before = e->verdict;

	d->num_on--;
	metrics_add(&board_steward(d->board)->metrics.lookups[l->verdict], 1);
	e->verdict = l->verdict;
	e->due_ns =
		loop_clock_ns() + (l->verdict == RESOLVER_FOUND ? ttl_of(d, l->ttl_s) : AGAIN_NS);
	if (l->verdict == RESOLVER_FOUND) {
		/* There is room for all that is published at a time. */
		publish(e, l->list, keep_old(e, l->list, l->num));
		if (before != RESOLVER_FOUND)
			logwriter_say(d->log, CONF_LOG_INFO, "pool %s: server %s resolves again",
				      e->pool, e->server.name);
	} else if (l->verdict != before) {
		say_trouble(e, CONF_LOG_WARNING);
	}
	lookup_fini(l);
}

/* ---- when */

static void look(evutil_socket_t fd, short what, void *arg)
{
	struct discovery *d = arg;
	int64_t now = loop_clock_ns();

	(void)fd;
	(void)what;
	for (uint32_t i = 0; i < d->num && d->num_on < AT_A_TIME; i++) {
		struct entry *e = d->entries[d->next++ % d->num];

		if (e->due_ns > now || lookup_is_on(&e->lookup))
			continue;
		e->lookup.done = done;
		if (lookup_begin(&e->lookup, d->resolver, d->base, &e->server))
			d->num_on++;
		else
			e->due_ns = now + AGAIN_NS;
	}
	if (d->num > 0)
		d->next %= d->num;
}

void discovery_again(struct discovery *d)
{
	for (uint32_t i = 0; i < d->num; i++)
		d->entries[i]->due_ns = 0;
}

/* ---- what is looked after */

static void entry_free(struct entry *e)
{
	if (e == NULL)
		return;
	if (lookup_is_on(&e->lookup))
		e->all->num_on--;
	lookup_fini(&e->lookup);
	free(e->list);
	free(e);
}

static struct entry *entry_new(struct discovery *d, const struct snapshot *s,
			       const struct plan_server *server)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->all = d;
	e->server = *server;
	memcpy(e->pool, snapshot_pool(s, server->pool)->name, sizeof(e->pool));
	e->identity = board_name_identity(server);
	/* What does not resolve from the beginning the load has told already. */
	e->verdict = server->num_addresses > 0 ? RESOLVER_FOUND : RESOLVER_NO_NAME;
	return e;
}

/* Takes the entry of the same name and slot out of the present ones, or makes one. */
static struct entry *entry_for(struct discovery *d, const struct snapshot *s,
			       const struct plan_server *server)
{
	uint64_t identity = board_name_identity(server);

	for (uint32_t i = 0; i < d->num; i++) {
		struct entry *e = d->entries[i];

		if (e == NULL || e->server.slot != server->slot || e->identity != identity)
			continue;
		return e;
	}
	return entry_new(d, s, server);
}

static bool is_of(const struct discovery *d, const struct entry *e)
{
	for (uint32_t i = 0; i < d->num; i++) {
		if (d->entries[i] == e)
			return true;
	}
	return false;
}

/* Takes over what stays, and frees what does not. */
static void change_to(struct discovery *d, struct entry **fresh, uint32_t num)
{
	struct entry **old = d->entries;
	uint32_t num_old = d->num;

	d->entries = fresh;
	d->num = num;
	d->next = 0;
	for (uint32_t i = 0; i < num_old; i++) {
		if (!is_of(d, old[i]))
			entry_free(old[i]);
	}
	free(old);
}

bool discovery_adopt(struct discovery *d, const struct snapshot *s)
{
	const struct plan *plan = s->plan;
	struct entry **fresh = calloc(plan->num_servers + (size_t)1, sizeof(struct entry *));
	uint32_t num = 0;

	if (fresh == NULL || !resolver_servers(d->resolver, s->conf->resolver.servers,
					       s->conf->resolver.num_servers))
		goto fail;
	for (uint32_t i = 0; i < plan->num_servers; i++) {
		const struct plan_server *server = snapshot_server(s, i);

		if (server->discovery == CONF_DISCOVERY_ONCE)
			continue;
		if ((fresh[num] = entry_for(d, s, server)) == NULL)
			goto fail;
		num++;
	}
	change_to(d, fresh, num);
	/* Where nothing has a name nothing has to be woken for it. */
	if (num == 0)
		(void)event_del(d->timer);
	else
		(void)event_add(d->timer, &often);
	d->min_ttl_ns = s->conf->resolver.min_ttl_ns;
	d->max_ttl_ns = s->conf->resolver.max_ttl_ns;
	return true;
fail:
	for (uint32_t i = 0; i < num; i++) {
		if (!is_of(d, fresh[i]))
			entry_free(fresh[i]);
	}
	free(fresh);
	return false;
}

/* ---- the whole */

struct discovery *discovery_new(struct event_base *base, const struct board *board,
				struct logwriter *log, struct resolver *resolver)
{
	struct discovery *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->board = board;
	d->base = base;
	d->log = log;
	d->resolver = resolver;
	d->timer = event_new(base, -1, EV_PERSIST, look, d);
	if (d->timer == NULL) {
		discovery_free(d);
		return NULL;
	}
	return d;
}

void discovery_free(struct discovery *d)
{
	if (d == NULL)
		return;
	for (uint32_t i = 0; i < d->num; i++)
		entry_free(d->entries[i]);
	free(d->entries);
	if (d->timer != NULL)
		event_free(d->timer);
	free(d);
}
