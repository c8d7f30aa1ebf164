#include "proxy/net/client_record.h"

#include <string.h>

/* Appends as much of `s` as `max` allows; returns how much that was. */
static uint16_t append(struct record_connection *r, size_t at, const char *s, size_t max)
{
	size_t n = strlen(s);

	if (n > max)
		n = max;
	memcpy(r->text + at, s, n);
	return (uint16_t)n;
}

void client_record(struct journal *j, const struct client_story *story)
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
	memcpy(r.client_address, story->from->bytes, sizeof(r.client_address));
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
	} else if (story->name != NULL) {
		r.sni_len = append(&r, 0, story->name, RECORD_SNI_MAX);
	}
	r.detail_len = append(&r, r.sni_len, story->detail, RECORD_DETAIL_MAX);
	journal_connection(j, &r);
}
