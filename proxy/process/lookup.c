#include "proxy/process/lookup.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/process/dns_answer.h"

/* One host, in one family. */
struct lookup_part {
	struct resolver_question question;
	struct lookup *lookup;
	int family;
	uint16_t port, priority, weight;
};

/* ---- what is found */

static int compare(const void *a, const void *b)
{
	const struct named_address *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	/* RFC 8305 4: the newer family first. */
	if (x->at.address.ss_family != y->at.address.ss_family)
		return x->at.address.ss_family == AF_INET6 ? -1 : 1;
	return memcmp(&x->at.address, &y->at.address, sizeof(x->at.address));
}

/* False: there is no room. */
static bool add(struct lookup *l, const struct lookup_part *p, const uint8_t *bytes)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(p->port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(p->port) };
	struct named_address *to = &l->list[l->num];

	if (l->num == BOARD_NAME_ADDRESSES)
		return false;
	*to = (struct named_address){ .priority = p->priority, .weight = p->weight };
	if (p->family == AF_INET) {
		memcpy(&v4.sin_addr, bytes, sizeof(v4.sin_addr));
		to->at.len = sizeof(v4);
		memcpy(&to->at.address, &v4, sizeof(v4));
	} else {
		memcpy(&v6.sin6_addr, bytes, sizeof(v6.sin6_addr));
		to->at.len = sizeof(v6);
		memcpy(&to->at.address, &v6, sizeof(v6));
	}
	l->num++;
	return true;
}

static void add_found(struct lookup *l, const struct lookup_part *p, const struct dns_addresses *a)
{
	if (a->ttl_s < l->ttl_s)
		l->ttl_s = a->ttl_s;
	for (uint32_t i = 0; i < a->num && add(l, p, a->list[i]); i++)
		;
}

static void note_failure(struct lookup *l, int family, const char *words)
{
	l->words = words;
	if (family == AF_INET)
		l->lacks_v4 = true;
	else
		l->lacks_v6 = true;
}

/* ---- the end */

static void finish(struct lookup *l)
{
	uint32_t num = 0;

	free(l->parts);
	l->parts = NULL;
	if (l->num > 0)
		l->verdict = RESOLVER_FOUND;
	else if (l->lacks_v4 || l->lacks_v6)
		l->verdict = RESOLVER_FAILED;
	else
		l->verdict = l->no_name ? RESOLVER_NO_NAME : RESOLVER_EMPTY;
	if (l->verdict == RESOLVER_NO_NAME)
		l->words = "there is no such name (NXDOMAIN)";
	if (l->verdict == RESOLVER_EMPTY)
		l->words = l->server->discovery == CONF_DISCOVERY_SRV
				   ? "nothing provides the service"
				   : "it has no address";
	qsort(l->list, l->num, sizeof(l->list[0]), compare);
	for (uint32_t i = 0; i < l->num; i++) {
		if (num == 0 || compare(&l->list[num - 1], &l->list[i]) != 0)
			l->list[num++] = l->list[i];
	}
	l->num = num;
	l->done(l);
}

/* Also where all was known at once: nobody is told from within a call. */
static void soon(evutil_socket_t fd, short what, void *arg)
{
	struct lookup *l = arg;

	(void)fd;
	(void)what;
	if (l->open == 0)
		finish(l);
}

static void one_less(struct lookup *l)
{
	static const struct timeval now = { 0 };

	if (--l->open == 0)
		(void)evtimer_add(l->soon, &now);
}

/* ---- hosts */

static void host_answered(struct resolver_question *q, enum resolver_verdict verdict,
			  struct span message, const char *words)
{
	struct lookup_part *p =
		(struct lookup_part *)((char *)q - offsetof(struct lookup_part, question));
	struct dns_addresses found;
	struct lookup *l = p->lookup;

	if (verdict == RESOLVER_FOUND && dns_addresses(message, p->family, &found))
		add_found(l, p, &found);
	else if (verdict == RESOLVER_NO_NAME)
		l->no_name = true;
	else if (verdict != RESOLVER_EMPTY)
		note_failure(l, p->family,
			     verdict == RESOLVER_FOUND ? "the answer is damaged" : words);
	one_less(l);
}

/* What is known without asking. False: nothing. */
static bool known(struct lookup *l, const char *host, const struct lookup_part *like)
{
	struct hosts_address found[RESOLV_MAX_ADDRESSES];
	struct lookup_part p = *like;
	unsigned num;

	p.family = AF_INET;
	if (inet_pton(AF_INET, host, found[0].bytes) == 1)
		return add(l, &p, found[0].bytes);
	p.family = AF_INET6;
	if (inet_pton(AF_INET6, host, found[0].bytes) == 1)
		return add(l, &p, found[0].bytes);
	num = resolver_hosts(l->resolver, host, found);
	for (unsigned i = 0; i < num; i++) {
		p.family = found[i].family;
		(void)add(l, &p, found[i].bytes);
	}
	return num > 0;
}

static void ask_host(struct lookup *l, const char *host, const struct lookup_part *like)
{
	static const int families[] = { AF_INET6, AF_INET };

	if (known(l, host, like))
		return;
	for (unsigned i = 0; i < 2; i++) {
		struct lookup_part *p = &l->parts[l->num_parts++];

		*p = *like;
		p->lookup = l;
		p->family = families[i];
		p->question = (struct resolver_question){ .done = host_answered };
		l->open++;
		if (!resolver_ask(l->resolver, &p->question, host,
				  p->family == AF_INET ? RESOLVER_A : RESOLVER_AAAA)) {
			note_failure(l, p->family, "out of memory");
			l->open--;
		}
	}
}

/* ---- services */

static void service_failed(struct lookup *l, const char *words)
{
	note_failure(l, AF_INET, words);
	note_failure(l, AF_INET6, words);
}

static void ask_providers(struct lookup *l, const struct dns_services *s)
{
	l->ttl_s = s->ttl_s;
	if (s->num > 0 && (l->parts = calloc(2 * (size_t)s->num, sizeof(l->parts[0]))) == NULL) {
		service_failed(l, "out of memory");
		return;
	}
	for (uint32_t i = 0; i < s->num; i++) {
		const struct dns_service *one = &s->list[i];
		const struct lookup_part like = { .port = one->port,
						  .priority = one->priority,
						  .weight = one->weight };
		char host[sizeof(one->host) + 1];
		size_t n = strlen(one->host);

		if (known(l, one->host, &like))
			continue;
		/* It is whole: nothing of ours is to be added. */
		memcpy(host, one->host, n + 1);
		if (n > 0 && n < ADDRESS_MAX_HOST && host[n - 1] != '.')
			memcpy(host + n, ".", 2);
		ask_host(l, host, &like);
	}
}

static void service_answered(struct resolver_question *q, enum resolver_verdict verdict,
			     struct span message, const char *words)
{
	struct lookup *l = (struct lookup *)((char *)q - offsetof(struct lookup, service));
	struct dns_services *found = NULL;

	if (verdict == RESOLVER_NO_NAME) {
		l->no_name = true;
	} else if (verdict == RESOLVER_FAILED) {
		service_failed(l, words);
	} else if (verdict == RESOLVER_FOUND) {
		if ((found = malloc(sizeof(*found))) == NULL)
			service_failed(l, "out of memory");
		else if (!dns_services(message, found))
			service_failed(l, "the answer is damaged");
		else
			ask_providers(l, found);
	}
	free(found);
	one_less(l);
}

/* ---- the whole */

static void forget(struct lookup *l)
{
	resolver_forget(&l->service);
	for (unsigned i = 0; i < l->num_parts && l->parts != NULL; i++)
		resolver_forget(&l->parts[i].question);
	free(l->parts);
	free(l->list);
	l->parts = NULL;
	l->list = NULL;
	l->num = 0;
}

bool lookup_begin(struct lookup *l, struct resolver *r, struct event_base *base,
		  const struct plan_server *server)
{
	const struct lookup_part like = { .port = server->port, .weight = 1 };
	bool service = server->discovery == CONF_DISCOVERY_SRV;

	forget(l);
	if (l->soon == NULL && (l->soon = evtimer_new(base, soon, l)) == NULL)
		return false;
	l->resolver = r;
	l->server = server;
	l->words = "";
	l->ttl_s = UINT32_MAX;
	l->num_parts = 0;
	l->lacks_v4 = l->lacks_v6 = l->no_name = false;
	l->list = calloc(BOARD_NAME_ADDRESSES, sizeof(l->list[0]));
	if (l->list == NULL || (!service && (l->parts = calloc(2, sizeof(l->parts[0]))) == NULL)) {
		forget(l);
		return false;
	}
	l->open = 1; /* until all has been asked */
	if (!service) {
		ask_host(l, server->host, &like);
		one_less(l);
		return true;
	}
	l->service = (struct resolver_question){ .done = service_answered };
	if (!resolver_ask(r, &l->service, server->host, RESOLVER_SRV)) {
		service_failed(l, "out of memory");
		one_less(l);
	}
	return true;
}

bool lookup_is_on(const struct lookup *l)
{
	return l->open > 0 || (l->soon != NULL && evtimer_pending(l->soon, NULL));
}

void lookup_fini(struct lookup *l)
{
	forget(l);
	if (l->soon != NULL)
		event_free(l->soon);
	*l = (struct lookup){ .done = l->done };
}
