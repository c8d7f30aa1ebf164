#include "proxy/net/relay_record.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

void relay_client_of(const struct sockaddr *from, struct relay_client *out)
{
	*out = (struct relay_client){ .family = AF_UNIX };
	if (from->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)from;

		out->family = AF_INET;
		out->port = ntohs(in->sin_port);
		memcpy(out->address, &in->sin_addr, 4);
	} else if (from->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;

		out->family = AF_INET6;
		out->port = ntohs(in6->sin6_port);
		memcpy(out->address, &in6->sin6_addr, 16);
	}
}

/* Appends as much of `s` as `max` allows; returns how much that was. */
static uint16_t append(struct record_connection *r, size_t at, const char *s, size_t max)
{
	size_t n = strlen(s);

	if (n > max)
		n = max;
	memcpy(r->text + at, s, n);
	return (uint16_t)n;
}

void relay_record(struct journal *j, const struct relay_story *story)
{
	struct record_connection r = {
		.type = RECORD_CONNECTION,
		.listener = story->listener,
		.pool = story->pool,
		.server = story->server,
		.cause = (uint16_t)story->cause,
		.client_family = story->from->family,
		.client_port = story->from->port,
		.connect_ns = story->connect_ns,
		.duration_ns = story->duration_ns,
	};
	const SSL *ssl = link_ssl(story->client);
	struct link_facts facts;

	if (!j->access)
		return;
	link_facts(story->client, &facts);
	memcpy(r.client_address, story->from->address, sizeof(r.client_address));
	r.tls_version = facts.tls_version;
	r.cipher = facts.cipher;
	r.group = facts.group;
	r.resumed = facts.resumed;
	r.handshake_ns = facts.handshake_ns;
	r.bytes_received = facts.bytes_received;
	r.bytes_sent = facts.bytes_sent;
	if (ssl != NULL) {
		char name[RECORD_SNI_MAX + 1];

		server_tls_name(ssl, name, sizeof(name));
		r.sni_len = append(&r, 0, name, RECORD_SNI_MAX);
		if (facts.handshake_ns == 0)
			r.type = RECORD_HANDSHAKE_FAILED;
	}
	r.detail_len = append(&r, r.sni_len, story->detail, RECORD_DETAIL_MAX);
	journal_connection(j, &r);
}

int64_t relay_listener_place(const struct snapshot *s, uint32_t slot)
{
	for (uint32_t i = 0; i < s->plan->num_listeners; i++)
		if (snapshot_listener(s, i)->slot == slot)
			return i;
	return -1;
}

const char *relay_server_name(const struct snapshot *s, uint32_t slot)
{
	for (uint32_t i = 0; i < s->plan->num_servers; i++)
		if (snapshot_server(s, i)->slot == slot)
			return snapshot_server(s, i)->name;
	return "?";
}
