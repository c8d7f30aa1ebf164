#include "proxy/observe/record.h"

#include "proxy/observe/cause.h"
#include "proxy/observe/record_parts.h"
#include "proxy/observe/record_request.h"
#include "proxy/observe/ring.h"
#include "proxy/observe/text.h"

enum {
	CONNECTION_HEAD = offsetof(struct record_connection, text),
	EVENT_HEAD = offsetof(struct record_event, text),
};

_Static_assert(sizeof(struct record_connection) <= RING_RECORD_MAX, "fits in the ring");
_Static_assert(sizeof(struct record_event) <= RING_RECORD_MAX, "fits in the ring");

size_t record_size(const struct record_connection *r)
{
	return (size_t)CONNECTION_HEAD + r->sni_len + r->detail_len;
}

/* The head of a connection record; false where the lengths are not what was sent. */
static bool read_connection(struct span bytes, struct record_connection *r)
{
	if (bytes.n < CONNECTION_HEAD)
		return false;
	memcpy(r, bytes.p, CONNECTION_HEAD);
	return r->sni_len <= RECORD_SNI_MAX && r->detail_len <= RECORD_DETAIL_MAX &&
	       bytes.n == record_size(r);
}

static bool read_event(struct span bytes, struct record_event *e)
{
	if (bytes.n < EVENT_HEAD)
		return false;
	memcpy(e, bytes.p, EVENT_HEAD);
	return e->text_len <= RECORD_TEXT_MAX && bytes.n == EVENT_HEAD + e->text_len &&
	       e->level <= CONF_LOG_DEBUG;
}

enum record_type record_type_of(struct span bytes)
{
	struct record_connection r;
	struct record_event e;
	uint32_t type;

	if (bytes.n < sizeof(type))
		return 0;
	memcpy(&type, bytes.p, sizeof(type));
	if ((type == RECORD_CONNECTION || type == RECORD_HANDSHAKE_FAILED) &&
	    read_connection(bytes, &r))
		return type;
	if (type == RECORD_EVENT && read_event(bytes, &e))
		return type;
	if (type == RECORD_REQUEST && record_request_sound(bytes))
		return type;
	return 0;
}

struct record_slots record_slots_of(struct span bytes)
{
	struct record_connection r;

	switch (record_type_of(bytes)) {
	case RECORD_CONNECTION:
	case RECORD_HANDSHAKE_FAILED:
		memcpy(&r, bytes.p, CONNECTION_HEAD);
		return (struct record_slots){ r.listener, r.pool, r.server };
	case RECORD_REQUEST:
		return record_request_slots(bytes);
	case RECORD_EVENT:
		break;
	}
	return (struct record_slots){ RECORD_NONE, RECORD_NONE, RECORD_NONE };
}

enum conf_log_level record_level_of(struct span bytes)
{
	struct record_event e;

	return read_event(bytes, &e) ? (enum conf_log_level)e.level : CONF_LOG_ERROR;
}

static bool put_client(struct text *t, const struct record_connection *r)
{
	TEXT_PUT(t, ",\"client\":\"");
	if (!record_put_endpoint(t, (struct record_address){ r->client_family, r->client_address },
				 r->client_port))
		return false;
	TEXT_PUT(t, "\"");
	return true;
}

static void put_tls(struct text *t, const struct record_connection *r)
{
	record_put_tls(t, &(struct record_tls){ r->tls_version, r->cipher, r->group });
	/* Known once the handshake is done. */
	if (r->tls_version != 0 && r->type == RECORD_CONNECTION)
		record_put_resumed(t, r->resumed != 0);
}

static void put_times(struct text *t, const struct record_connection *r)
{
	if (r->handshake_ns > 0) {
		TEXT_PUT(t, ",\"handshake_ms\":");
		record_put_ms(t, r->handshake_ns);
	}
	if (r->connect_ns > 0) {
		TEXT_PUT(t, ",\"connect_ms\":");
		record_put_ms(t, r->connect_ns);
	}
	if (r->type == RECORD_CONNECTION) {
		TEXT_PUT(t, ",\"bytes_received\":");
		text_u64(t, r->bytes_received);
		TEXT_PUT(t, ",\"bytes_sent\":");
		text_u64(t, r->bytes_sent);
	}
	TEXT_PUT(t, ",\"duration_ms\":");
	record_put_ms(t, r->duration_ns);
}

size_t record_line(struct span bytes, const struct record_names *names, char *line, size_t len)
{
	struct text t = text_fixed(line, len);
	struct record_connection r;

	if (!read_connection(bytes, &r))
		return 0;
	TEXT_PUT(&t, "{\"time\":\"");
	text_time(&t, r.time_ns);
	if (r.type == RECORD_CONNECTION)
		TEXT_PUT(&t, "\",\"event\":\"connection\"");
	else if (r.type == RECORD_HANDSHAKE_FAILED)
		TEXT_PUT(&t, "\",\"event\":\"handshake_failed\"");
	else
		return 0;
	if (!put_client(&t, &r))
		return 0;
	PUT_STRING(&t, "listener", span_str(names->listener));
	PUT_STRING(&t, "sni", span_of(bytes.p + CONNECTION_HEAD, r.sni_len));
	put_tls(&t, &r);
	put_times(&t, &r);
	PUT_STRING(&t, "pool", span_str(names->pool));
	PUT_STRING(&t, "server", span_str(names->server));
	TEXT_PUT(&t, ",\"cause\":\"");
	text_str(&t, cause_name(r.cause));
	TEXT_PUT(&t, "\"");
	PUT_STRING(&t, "detail", span_of(bytes.p + CONNECTION_HEAD + r.sni_len, r.detail_len));
	TEXT_PUT(&t, "}\n");
	return t.failed ? 0 : t.n;
}

static const char *level_name(enum conf_log_level level)
{
	switch (level) {
	case CONF_LOG_ERROR:
		return "error";
	case CONF_LOG_WARNING:
		return "warning";
	case CONF_LOG_INFO:
		return "info";
	case CONF_LOG_DEBUG:
		break;
	}
	return "debug";
}

size_t record_log_text(int64_t time_ns, enum conf_log_level level, const char *role,
		       struct span what, char *line, size_t len)
{
	struct text t = text_fixed(line, len);

	text_time(&t, time_ns);
	TEXT_PUT(&t, " ");
	text_str(&t, level_name(level));
	TEXT_PUT(&t, " ");
	text_str(&t, role);
	TEXT_PUT(&t, ": ");
	text_plain(&t, what, 1);
	TEXT_PUT(&t, "\n");
	return t.failed ? 0 : t.n;
}

size_t record_event_line(struct span bytes, char *line, size_t len)
{
	struct record_event e;
	char role[32];
	struct text t = text_fixed(role, sizeof(role) - 1);

	if (!read_event(bytes, &e) || e.type != RECORD_EVENT)
		return 0;
	TEXT_PUT(&t, "worker ");
	text_u64(&t, e.worker);
	role[t.n] = '\0';
	return record_log_text(e.time_ns, e.level, role, span_of(bytes.p + EVENT_HEAD, e.text_len),
			       line, len);
}
