#include "proxy/net/client.h"

#include <arpa/inet.h>
#include <string.h>

#include "proxy/net/link.h"
#include "proxy/net/traffic.h"

void client_address_of(const struct sockaddr *from, struct client_address *out)
{
	*out = (struct client_address){ .family = AF_UNIX };
	if (from->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)from;

		out->family = AF_INET;
		out->port = ntohs(in->sin_port);
		memcpy(out->bytes, &in->sin_addr, 4);
	} else if (from->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;

		out->family = AF_INET6;
		out->port = ntohs(in6->sin6_port);
		memcpy(out->bytes, &in6->sin6_addr, 16);
	}
}

void client_enter(struct client *c, struct traffic *t, const struct client_ops *ops, uint32_t slot,
		  const struct client_arrival *arrival)
{
	*c = (struct client){
		.ops = ops,
		.traffic = t,
		.cells = &t->page->metrics.listeners[slot],
		.listener = slot,
		.seat = *arrival->seat,
		.local_port = arrival->local_port,
		.began_ns = t->loop->now_ns,
	};
	client_address_of(arrival->from, &c->from);
	if (c->from.family != AF_UNIX)
		(void)inet_ntop(c->from.family, c->from.bytes, c->text, sizeof(c->text));
	TAILQ_INSERT_TAIL(&t->clients, c, entry);
	t->num_clients++;
	metrics_add(&c->cells->active, 1);
	metrics_add(&t->page->metrics.connections, 1);
}

void client_leave(struct client *c, enum cause cause)
{
	struct traffic *t = c->traffic;

	metrics_add(&c->cells->ended[cause], 1);
	metrics_sub(&t->page->metrics.connections, 1);
	metrics_sub(&c->cells->active, 1);
	limits_leave(&t->limits, &c->seat);
	TAILQ_REMOVE(&t->clients, c, entry);
	t->num_clients--;
}

void client_gone(struct traffic *t)
{
	t->client_ended(t->client_ended_arg);
}

void client_count_handshake(struct client *c, const struct link *link)
{
	struct link_facts facts;

	link_facts(link, &facts);
	if (facts.handshake_ns == 0)
		return;
	metrics_add(&c->cells->handshakes[facts.tls_version == TLS1_3_VERSION][facts.resumed], 1);
	metrics_observe(&c->cells->handshake, facts.handshake_ns);
}

int64_t client_place(const struct snapshot *s, uint32_t slot)
{
	for (uint32_t i = 0; i < s->plan->num_listeners; i++)
		if (snapshot_listener(s, i)->slot == slot)
			return i;
	return -1;
}

/* Whoever is asked to drain may be freed by it. */
static void ask(struct client *c)
{
	c->ops->drain(c);
}

void clients_retire(struct traffic *t, int64_t within_ns)
{
	struct client *c = TAILQ_FIRST(&t->clients);

	while (c != NULL) {
		struct client *next = TAILQ_NEXT(c, entry);

		if (c->retire_ns == 0 && client_place(t->now, c->listener) < 0) {
			c->retire_ns = t->loop->now_ns + within_ns;
			c->ops->retire(c);
			ask(c);
		}
		c = next;
	}
}

void clients_drain(struct traffic *t)
{
	struct client *c = TAILQ_FIRST(&t->clients);

	while (c != NULL) {
		struct client *next = TAILQ_NEXT(c, entry);

		ask(c);
		c = next;
	}
}

void clients_end_all(struct traffic *t, enum cause cause)
{
	struct client *c;

	while ((c = TAILQ_FIRST(&t->clients)) != NULL)
		c->ops->end(c, cause);
}
