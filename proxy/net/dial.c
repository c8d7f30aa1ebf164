#include "proxy/net/dial.h"

#include "proxy/net/pending.h"
#include "proxy/pool/shun.h"

static struct metrics_server *cells_of(struct traffic *t, uint32_t slot)
{
	return &t->page->metrics.servers[slot];
}

void dial_addresses(const struct addresses_choice *at, struct link_target *to)
{
	to->num = at->num;
	for (uint32_t i = 0; i < at->num; i++) {
		to->addresses[i] = (const struct sockaddr *)&at->list[i]->address;
		to->lens[i] = at->list[i]->len;
	}
}

struct link *dial(struct traffic *t, const struct pool_choice *to, const struct link_events *ev,
		  void *owner)
{
	struct link_target target = {
		.tls = to->tls,
		.name = to->name,
		.place = to->place,
		.timeout_ns = to->connect_timeout_ns,
	};
	struct metrics_server *cells = cells_of(t, to->server->slot);
	struct link *l;

	dial_addresses(&to->at, &target);
	l = link_connect(t->loop, &target, ev, owner);
	if (l == NULL)
		metrics_add(&cells->failures[CAUSE_MEMORY], 1);
	else
		metrics_add(&cells->active, 1);
	return l;
}

/* Others of the server's addresses go first for a while. */
static void shun_worse(struct traffic *t, const struct link *link)
{
	struct sockaddr_storage worse;
	socklen_t len;

	for (unsigned i = 0; t->shun != NULL && link_outrun(link, i, &worse, &len); i++)
		shun_add(t->shun, &worse, len, t->loop->now_ns);
}

int64_t dial_opened(struct traffic *t, uint32_t server_slot, const struct link *link,
		    int64_t began_ns)
{
	struct link_facts facts;
	struct metrics_server *cells = cells_of(t, server_slot);
	int64_t took_ns = loop_clock_ns() - began_ns;

	link_facts(link, &facts);
	shun_worse(t, link);
	metrics_add(&cells->connects, 1);
	metrics_add(&cells->resumed, facts.resumed);
	metrics_observe(&cells->connect, took_ns);
	return took_ns;
}

enum cause dial_cause(enum link_end why)
{
	switch (why) {
	case LINK_END_REFUSED:
		return CAUSE_CONNECT_REFUSED;
	case LINK_END_TIMEOUT:
		return CAUSE_CONNECT_TIMEOUT;
	case LINK_END_UNREACHABLE:
		return CAUSE_CONNECT_UNREACHABLE;
	case LINK_END_TLS:
		return CAUSE_CONNECT_TLS;
	case LINK_END_MEMORY:
		return CAUSE_MEMORY;
	default:
		return CAUSE_CONNECT_FAILED;
	}
}

const char *dial_reason(const struct link *link, enum link_end why)
{
	const SSL *ssl = link_ssl(link);
	const char *words = "", *verify = ssl == NULL ? NULL : client_tls_failure(ssl);

	if (why != LINK_END_TLS && why != LINK_END_FAILED)
		return "";
	(void)link_reason(link, &words);
	return verify != NULL ? verify : words;
}

enum cause dial_failed(struct traffic *t, const char *pool, const struct plan_server *server,
		       const struct link *link, enum link_end why)
{
	enum cause cause = dial_cause(why);
	const char *words = dial_reason(link, why);

	shun_worse(t, link);
	metrics_add(&cells_of(t, server->slot)->failures[cause], 1);
	journal_event(&t->journal, CONF_LOG_WARNING, "pool %s: server %s: %s%s%s", pool,
		      server->name, cause_name(cause), *words == '\0' ? "" : ": ", words);
	dial_left(t, server->slot);
	return cause;
}

void dial_left(struct traffic *t, uint32_t server_slot)
{
	metrics_sub(&cells_of(t, server_slot)->active, 1);
	pending_freed(t->pending);
}
