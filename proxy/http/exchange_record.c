#include <stdlib.h>
#include <string.h>

#include "certs/server.h"
#include "proxy/http/exchange_private.h"

void exchange_note(struct exchange *x, enum cause why, const char *detail)
{
	x->cause = why;
	if (x->detail != NULL || detail == NULL || *detail == '\0')
		return;
	/* Where memory is short the record does without. */
	x->detail = strndup(detail, EXCHANGE_DETAIL_MAX);
}

static void put_connection(struct exchange *x, struct record_request *r)
{
	const SSL *ssl = link_ssl(x->at.link);
	struct link_facts facts;

	link_facts(x->at.link, &facts);
	r->tls_version = facts.tls_version;
	r->cipher = facts.cipher;
	r->group = facts.group;
	r->resumed = facts.resumed;
	r->handshake_ns = facts.handshake_ns;
	r->peer_family = x->at.client->from.family;
	r->peer_port = x->at.client->from.port;
	memcpy(r->peer_address, x->at.client->from.bytes, sizeof(r->peer_address));
	r->client_family = x->believed.family;
	memcpy(r->client_address, x->believed.bytes, sizeof(r->client_address));
	if (ssl != NULL) {
		char name[RECORD_SNI_MAX + 1];

		server_tls_name(ssl, name, sizeof(name));
		record_request_put(r, RECORD_TEXT_SNI, span_str(name));
	}
}

static void put_record(struct exchange *x, int64_t duration_ns)
{
	struct record_request r;

	record_request_start(&r);
	r.listener = x->at.client->listener;
	r.pool = x->pool_slot;
	r.server = x->server_slot;
	r.attempt = x->attempts;
	r.cause = (uint16_t)x->cause;
	r.status = x->status;
	r.http_version = x->request == NULL ? 0 : x->request->version;
	r.reused = x->reused;
	r.connect_ns = x->connect_ns;
	r.first_byte_ns = x->first_byte_ns;
	r.duration_ns = duration_ns;
	r.bytes_received = x->bytes_received;
	r.bytes_sent = x->bytes_sent;
	put_connection(x, &r);
	if (x->request != NULL) {
		record_request_put(&r, RECORD_TEXT_METHOD, x->request->method_name);
		record_request_put(&r, RECORD_TEXT_AUTHORITY, x->request->authority);
		record_request_put(&r, RECORD_TEXT_PATH, x->path);
		record_request_put(&r, RECORD_TEXT_REQUEST_ID, x->request_id);
		record_request_put(&r, RECORD_TEXT_USER_AGENT, x->user_agent);
		record_request_put(&r, RECORD_TEXT_REFERER, x->referer);
	}
	record_request_put(&r, RECORD_TEXT_DETAIL, span_str(x->detail));
	journal_request(&x->at.traffic->journal, &r);
}

void exchange_record(struct exchange *x)
{
	struct metrics_worker *m = &x->at.traffic->page->metrics;
	struct metrics_listener *cells = x->at.client->cells;
	int64_t duration_ns = loop_clock_ns() - x->began_ns;

	metrics_add(&cells->requests[metrics_class(x->status)], 1);
	metrics_observe(&cells->request, duration_ns);
	if (x->cause != CAUSE_NONE)
		metrics_add(&cells->request_errors[x->cause], 1);
	if (x->at.traffic->journal.access)
		put_record(x, duration_ns);
	/* The gauges last: at zero their slots may be given to others. */
	metrics_sub(&cells->requests_active, 1);
	if (x->pool_slot != RECORD_NONE)
		metrics_sub(&m->pools_active[x->pool_slot], 1);
}
