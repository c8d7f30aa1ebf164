#include "proxy/process/sockets.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SOCKETS_UNIX_MODE = 0666 }; /* as with a TCP port, whoever reaches it may connect */

void sockets_init(struct sockets *s, unsigned num_workers)
{
	*s = (struct sockets){ .num_workers = num_workers };
	TAILQ_INIT(&s->list);
}

static void listening_close(struct sockets *s, struct listening *l)
{
	TAILQ_REMOVE(&s->list, l, entry);
	listen_unlink(&l->file);
	for (unsigned i = 0; i < l->num; i++)
		handle_unref(l->handles[i]);
	free(l);
}

void sockets_fini(struct sockets *s)
{
	struct listening *l;

	while ((l = TAILQ_FIRST(&s->list)) != NULL)
		listening_close(s, l);
}

/* Gives the descriptors to `l`, all or none. */
static bool listening_own(struct listening *l, const int *fds, unsigned num)
{
	for (unsigned i = 0; i < num; i++) {
		struct handle *h = handle_new(fds[i]);

		if (h == NULL) {
			for (i++; i < num; i++)
				(void)close(fds[i]);
			return false;
		}
		l->handles[l->num++] = h;
	}
	return true;
}

/* Whether another of our addresses has the port: one that goes as this one comes (":443" made
 * "10.0.0.1:443"), or one that stays beside it. */
static bool sockets_have_port(const struct sockets *s, const struct listening *but)
{
	const struct listening *l;

	TAILQ_FOREACH(l, &s->list, entry) {
		if (l != but && !l->shared && l->port == but->port)
			return true;
	}
	return false;
}

static bool listening_bind(struct sockets *s, struct listening *l, const struct plan_socket *p,
			   char *why, size_t why_len)
{
	struct listen_how how = { .address = &p->address,
				  .len = (socklen_t)p->len,
				  .both_families = p->text[0] == ':',
				  .beside_ours = sockets_have_port(s, l),
				  .mode = SOCKETS_UNIX_MODE };
	int fds[CONF_MAX_WORKERS];
	unsigned num = 1;

	if (l->shared) {
		if ((fds[0] = listen_unix(&how, &l->file, why, why_len)) < 0)
			return false;
	} else {
		num = s->num_workers;
		if (!listen_tcp(&how, num, fds, why, why_len))
			return false;
	}
	if (listening_own(l, fds, num))
		return true;
	(void)snprintf(why, why_len, "out of memory");
	return false;
}

static struct listening *sockets_bind(struct sockets *s, const struct plan_socket *p,
				      struct problems *why)
{
	struct listening *l = calloc(1, sizeof(*l) + s->num_workers * sizeof(l->handles[0]));
	char what[256] = "out of memory";

	if (l == NULL) {
		problems_add(why, PROBLEM_ERROR, p->text, "cannot listen: %s", what);
		return NULL;
	}
	memcpy(l->text, p->text, sizeof(l->text));
	l->id = ++s->last_id;
	l->state = SOCKETS_NEW;
	l->shared = p->address.ss_family == AF_UNIX;
	/* At the same place in both families. */
	if (!l->shared)
		l->port = ntohs(((const struct sockaddr_in *)&p->address)->sin_port);
	TAILQ_INSERT_TAIL(&s->list, l, entry);
	if (listening_bind(s, l, p, what, sizeof(what)))
		return l;
	problems_add(why, PROBLEM_ERROR, p->text, "cannot listen: %s", what);
	listening_close(s, l);
	return NULL;
}

/* ---- what another process leaves */

static void close_all(const int *fds, unsigned from, unsigned num)
{
	for (unsigned i = from; i < num; i++)
		(void)close(fds[i]);
}

/* Binds what lacks beside the first one. */
static bool adopt_rest(const char *text, int *fds, unsigned have, unsigned want, uint16_t *port,
		       char *why, size_t why_len)
{
	struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(address);
	struct listen_how how = { .address = &address,
				  .both_families = text[0] == ':',
				  .beside_ours = true };

	if (getsockname(fds[0], (struct sockaddr *)&address, &len) != 0 ||
	    (address.ss_family != AF_INET && address.ss_family != AF_INET6)) {
		(void)snprintf(why, why_len, "what was left for it is no socket of its kind");
		return false;
	}
	*port = ntohs(((const struct sockaddr_in *)&address)->sin_port);
	how.len = len;
	return have >= want || listen_tcp(&how, want - have, fds + have, why, why_len);
}

bool sockets_adopt(struct sockets *s, const char *text, bool shared, const int *fds, unsigned num,
		   char *why, size_t why_len)
{
	unsigned want = shared ? 1 : s->num_workers, have = num < want ? num : want;
	struct listening *l = calloc(1, sizeof(*l) + s->num_workers * sizeof(l->handles[0]));
	int all[CONF_MAX_WORKERS];

	close_all(fds, have, num);
	memcpy(all, fds, have * sizeof(all[0]));
	(void)snprintf(why, why_len, "out of memory");
	if (l == NULL || have == 0 ||
	    (!shared && !adopt_rest(text, all, have, want, &l->port, why, why_len))) {
		close_all(all, 0, have);
		free(l);
		return false;
	}
	(void)snprintf(l->text, sizeof(l->text), "%s", text);
	l->id = ++s->last_id;
	l->state = SOCKETS_NEW;
	l->shared = shared;
	l->adopted = shared;
	TAILQ_INSERT_TAIL(&s->list, l, entry);
	if (listening_own(l, all, want))
		return true;
	listening_close(s, l);
	return false;
}

void sockets_hand_over(struct sockets *s)
{
	struct listening *l;

	TAILQ_FOREACH(l, &s->list, entry)
		l->file.path[0] = '\0';
}

void sockets_own_files(struct sockets *s)
{
	struct listening *l;

	TAILQ_FOREACH(l, &s->list, entry) {
		if (l->adopted)
			listen_adopt_file(l->handles[0]->fd, &l->file);
		l->adopted = false;
	}
}

static struct listening *sockets_find(const struct sockets *s, const char *text)
{
	struct listening *l;

	TAILQ_FOREACH(l, &s->list, entry) {
		if (l->state != SOCKETS_LEAVING && strcmp(l->text, text) == 0)
			return l;
	}
	return NULL;
}

bool sockets_prepare(struct sockets *s, struct plan *p, struct problems *why)
{
	size_t errors = why->num_errors;

	for (uint32_t i = 0; i < p->num_sockets; i++) {
		struct plan_socket *want = &plan_sockets(p)[i];
		struct listening *l = sockets_find(s, want->text);

		if (l == NULL && (l = sockets_bind(s, want, why)) == NULL)
			continue;
		l->wanted = true;
		want->id = l->id;
	}
	if (why->num_errors == errors)
		return true;
	sockets_abandon(s);
	return false;
}

void sockets_abandon(struct sockets *s)
{
	struct listening *l = TAILQ_FIRST(&s->list), *next;

	for (; l != NULL; l = next) {
		next = TAILQ_NEXT(l, entry);
		l->wanted = false;
		if (l->state == SOCKETS_NEW)
			listening_close(s, l);
	}
}

void sockets_commit(struct sockets *s)
{
	struct listening *l;

	TAILQ_FOREACH(l, &s->list, entry) {
		l->state = l->wanted ? SOCKETS_LIVE : SOCKETS_LEAVING;
		l->wanted = false;
	}
}

void sockets_close_leaving(struct sockets *s)
{
	struct listening *l = TAILQ_FIRST(&s->list), *next;

	for (; l != NULL; l = next) {
		next = TAILQ_NEXT(l, entry);
		if (l->state == SOCKETS_LEAVING)
			listening_close(s, l);
	}
}

struct handle *sockets_handle(const struct listening *l, unsigned n)
{
	return l->handles[l->shared ? 0 : n];
}
