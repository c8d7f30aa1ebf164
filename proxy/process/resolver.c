#include "proxy/process/resolver.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/must.h"

enum {
	RESOLVER_MAGIC = 0x72736c76,
	MAX_SOCKETS = 64,
	FIRST_TRY_MS = 2000, /* the next one takes twice as long */
	TRIES = 2,
};

struct watch {
	ares_socket_t fd;
	struct event *event; /* NULL: unused */
};

/* What c-ares holds: it lives on where the question has been forgotten. */
struct ticket {
	struct resolver *resolver;
	struct resolver_question *question; /* NULL: nobody wants to know */
	/* The answer, until the loop tells it. */
	struct event *event;
	enum resolver_verdict verdict;
	const char *words;
	unsigned char *message;
	size_t len;
	LIST_ENTRY(ticket) entry;
};

struct resolver {
	unsigned magic;
	bool has_library;
	bool ending;
	struct event_base *base;
	ares_channel channel;
	struct event *timer;
	struct watch watches[MAX_SOCKETS];
	LIST_HEAD(, ticket) tickets;
	LIST_HEAD(, resolver_question) questions;
	struct resolv_conf system;
	char *hosts;
	size_t hosts_len;
	char *own; /* servers of the configuration, as c-ares writes them; or NULL */
};

/* ---- the loop */

static void set_timer(struct resolver *r)
{
	struct timeval left, *next = ares_timeout(r->channel, NULL, &left);

	if (next == NULL)
		(void)evtimer_del(r->timer);
	else
		(void)evtimer_add(r->timer, next);
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *r = arg;

	(void)fd;
	(void)what;
	CHECK(r, RESOLVER_MAGIC);
	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	set_timer(r);
}

static void socket_ready(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *r = arg;

	CHECK(r, RESOLVER_MAGIC);
	ares_process_fd(r->channel, (what & EV_READ) != 0 ? fd : ARES_SOCKET_BAD,
			(what & EV_WRITE) != 0 ? fd : ARES_SOCKET_BAD);
	set_timer(r);
}

/* Where there is no room the question times out. */
static void socket_state(void *arg, ares_socket_t fd, int reads, int writes)
{
	struct resolver *r = arg;
	short what =
		(short)(EV_PERSIST | (reads != 0 ? EV_READ : 0) | (writes != 0 ? EV_WRITE : 0));
	struct watch *to = NULL;

	for (size_t i = 0; i < MAX_SOCKETS; i++) {
		struct watch *w = &r->watches[i];

		if (w->event != NULL && w->fd == fd) {
			event_free(w->event);
			*w = (struct watch){ .event = NULL };
		}
		if (w->event == NULL)
			to = w;
	}
	if (to == NULL || (reads == 0 && writes == 0))
		return;
	*to = (struct watch){ .fd = fd, .event = event_new(r->base, fd, what, socket_ready, r) };
	if (to->event != NULL)
		(void)event_add(to->event, NULL);
}

/* ---- a question */

static void ticket_free(struct ticket *t)
{
	LIST_REMOVE(t, entry);
	if (t->question != NULL)
		t->question->ticket = NULL;
	if (t->event != NULL)
		event_free(t->event);
	free(t->message);
	free(t);
}

static bool ask_next(struct resolver_question *q);

static void close_question(struct resolver_question *q)
{
	LIST_REMOVE(q, entry);
	q->in = NULL;
	q->ticket = NULL;
}

static void tell(struct ticket *t)
{
	struct resolver_question *q = t->question;
	enum resolver_verdict verdict = t->verdict;

	if (q == NULL) {
		ticket_free(t);
		return;
	}
	/* Another name may do. */
	if (verdict == RESOLVER_NO_NAME) {
		t->question = NULL;
		q->ticket = NULL;
		if (ask_next(q)) {
			ticket_free(t);
			return;
		}
	}
	close_question(q);
	q->done(q, verdict, span_of((char *)t->message, t->len), t->words);
	t->question = NULL;
	ticket_free(t);
}

static void ticket_fired(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	tell(arg);
}

static enum resolver_verdict verdict_of(int status, const char **words)
{
	*words = "";
	switch (status) {
	case ARES_SUCCESS:
		return RESOLVER_FOUND;
	case ARES_ENODATA:
		*words = "it has no address";
		return RESOLVER_EMPTY;
	case ARES_ENOTFOUND:
		*words = "there is no such name (NXDOMAIN)";
		return RESOLVER_NO_NAME;
	case ARES_ESERVFAIL:
		*words = "the name servers failed (SERVFAIL)";
		break;
	case ARES_EREFUSED:
		*words = "the name servers refuse to answer";
		break;
	case ARES_ECONNREFUSED:
	case ARES_ETIMEOUT:
		*words = "no name server answers";
		break;
	case ARES_ECANCELLED:
		*words = "other name servers are asked now";
		break;
	case ARES_ENOMEM:
		*words = "out of memory";
		break;
	default:
		*words = "the name servers give no answer that makes sense";
		break;
	}
	return RESOLVER_FAILED;
}

/* c-ares may call this from within any call, so that it is only noted; the loop tells it. */
static void answered(void *arg, int status, int timeouts, unsigned char *message, int len)
{
	static const struct timeval now = { 0 };
	struct ticket *t = arg;

	(void)timeouts;
	if (t->question == NULL || t->resolver->ending) {
		ticket_free(t);
		return;
	}
	t->verdict = verdict_of(status, &t->words);
	if (status == ARES_SUCCESS && message != NULL && len > 0 &&
	    (t->message = malloc((size_t)len)) != NULL) {
		memcpy(t->message, message, (size_t)len);
		t->len = (size_t)len;
	} else if (status == ARES_SUCCESS) {
		t->verdict = RESOLVER_FAILED;
		t->words = "out of memory";
	}
	(void)evtimer_add(t->event, &now);
}

static unsigned dots_of(const char *name)
{
	unsigned n = 0;

	for (; *name != '\0'; name++)
		n += *name == '.';
	return n;
}

/* The names to try, in turn: one with enough dots as it is first, else last. False: that were all.
 */
static bool next_name(struct resolver_question *q, char *out, size_t len)
{
	const struct resolv_conf *c = &q->in->system;
	size_t n = strlen(q->name);
	bool whole = n > 0 && q->name[n - 1] == '.';
	bool first = whole || dots_of(q->name) >= c->ndots;
	unsigned i = q->next++;

	if (i > (whole ? 0 : c->num_search))
		return false;
	if (first ? i == 0 : i == c->num_search)
		(void)snprintf(out, len, "%s", q->name);
	else
		(void)snprintf(out, len, "%s.%s", q->name, c->search[first ? i - 1 : i]);
	return true;
}

/* False: there is no other name to ask for, or no memory. */
static bool ask_next(struct resolver_question *q)
{
	static const int types[] = {
		[RESOLVER_A] = ns_t_a, [RESOLVER_AAAA] = ns_t_aaaa, [RESOLVER_SRV] = ns_t_srv
	};
	struct resolver *r = q->in;
	char name[2 * ADDRESS_MAX_HOST + 2];
	struct ticket *t;

	do {
		if (!next_name(q, name, sizeof(name)))
			return false;
	} while (strlen(name) > ADDRESS_MAX_HOST);
	if ((t = calloc(1, sizeof(*t))) == NULL)
		return false;
	*t = (struct ticket){ .resolver = r, .question = q };
	if ((t->event = evtimer_new(r->base, ticket_fired, t)) == NULL) {
		free(t);
		return false;
	}
	LIST_INSERT_HEAD(&r->tickets, t, entry);
	q->ticket = t;
	ares_query(r->channel, name, ns_c_in, types[q->type], answered, t);
	set_timer(r);
	return true;
}

bool resolver_ask(struct resolver *r, struct resolver_question *q, const char *name,
		  enum resolver_type type)
{
	CHECK(r, RESOLVER_MAGIC);
	MUST(q->in == NULL && strlen(name) < sizeof(q->name));
	q->in = r;
	q->type = type;
	q->next = 0;
	(void)snprintf(q->name, sizeof(q->name), "%s", name);
	LIST_INSERT_HEAD(&r->questions, q, entry);
	if (ask_next(q))
		return true;
	close_question(q);
	return false;
}

void resolver_forget(struct resolver_question *q)
{
	struct ticket *t = q->ticket;

	if (q->in == NULL)
		return;
	close_question(q);
	if (t != NULL)
		t->question = NULL;
}

/* ---- what it is told */

static void add_server(char *out, size_t len, const char *host, unsigned port)
{
	size_t n = strlen(out);

	(void)snprintf(out + n, len - n, strchr(host, ':') != NULL ? "%s[%s]:%u" : "%s%s:%u",
		       n == 0 ? "" : ",", host, port);
}

/* Who is open fails, and may ask anew. */
static bool use_servers(struct resolver *r)
{
	char list[RESOLV_MAX_SERVERS * 96] = "";

	for (unsigned i = 0; r->own == NULL && i < r->system.num_servers; i++)
		add_server(list, sizeof(list), r->system.servers[i], NS_DEFAULTPORT);
	ares_cancel(r->channel);
	return ares_set_servers_ports_csv(r->channel, r->own != NULL ? r->own : list) ==
	       ARES_SUCCESS;
}

bool resolver_system(struct resolver *r, struct span resolv_conf, struct span hosts)
{
	char *copy = malloc(hosts.n + 1);

	CHECK(r, RESOLVER_MAGIC);
	if (copy == NULL)
		return false;
	if (hosts.n > 0)
		memcpy(copy, hosts.p, hosts.n);
	free(r->hosts);
	r->hosts = copy;
	r->hosts_len = hosts.n;
	resolv_conf_read(resolv_conf, &r->system);
	return use_servers(r);
}

bool resolver_servers(struct resolver *r, const struct conf_address *servers, size_t num)
{
	char list[CONF_MAX_NAME_SERVERS * 96] = "";
	char *copy = NULL;

	CHECK(r, RESOLVER_MAGIC);
	for (size_t i = 0; i < num; i++)
		add_server(list, sizeof(list), servers[i].host, servers[i].port);
	if (num > 0 && (copy = strdup(list)) == NULL)
		return false;
	/* Nothing that is open shall fail for a reload that changes nothing here. */
	if ((copy == NULL) == (r->own == NULL) && (copy == NULL || strcmp(copy, r->own) == 0)) {
		free(copy);
		return true;
	}
	free(r->own);
	r->own = copy;
	return use_servers(r);
}

unsigned resolver_hosts(const struct resolver *r, const char *name, struct hosts_address *out)
{
	CHECK(r, RESOLVER_MAGIC);
	return hosts_find(span_of(r->hosts, r->hosts_len), name, out);
}

/* ---- the whole */

struct resolver *resolver_new(struct event_base *base)
{
	static char lookups[] = "b"; /* name servers only */
	struct in_addr here = { .s_addr = htonl(INADDR_LOOPBACK) };
	struct ares_options options = {
		.flags = ARES_FLAG_NOALIASES | ARES_FLAG_NOSEARCH,
		.timeout = FIRST_TRY_MS,
		.tries = TRIES,
		.ndots = 1,
		.servers = &here,
		.nservers = 1,
		.lookups = lookups,
		.sock_state_cb = socket_state,
	};
	/* All that it would read files for. */
	int all = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
		  ARES_OPT_SERVERS | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS | ARES_OPT_SORTLIST |
		  ARES_OPT_SOCK_STATE_CB;
	struct resolver *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->magic = RESOLVER_MAGIC;
	r->base = base;
	resolv_conf_read(span_of(NULL, 0), &r->system);
	options.sock_state_cb_data = r;
	r->has_library = ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS;
	r->timer = evtimer_new(base, timer_fired, r);
	if (!r->has_library || r->timer == NULL ||
	    ares_init_options(&r->channel, &options, all) != ARES_SUCCESS) {
		resolver_free(r);
		return NULL;
	}
	return r;
}

void resolver_free(struct resolver *r)
{
	struct ticket *t;

	if (r == NULL)
		return;
	CHECK(r, RESOLVER_MAGIC);
	MUST(LIST_EMPTY(&r->questions));
	r->ending = true;
	if (r->channel != NULL)
		ares_destroy(r->channel); /* and with it what it holds tickets for */
	while ((t = LIST_FIRST(&r->tickets)) != NULL)
		ticket_free(t);
	for (size_t i = 0; i < MAX_SOCKETS; i++) {
		if (r->watches[i].event != NULL)
			event_free(r->watches[i].event);
	}
	if (r->timer != NULL)
		event_free(r->timer);
	if (r->has_library)
		ares_library_cleanup();
	free(r->hosts);
	free(r->own);
	r->magic = 0;
	free(r);
}
