#include "proxy/observe/record_request.h"

#include <string.h>

#include "conf/must.h"
#include "proxy/observe/cause.h"
#include "proxy/observe/record_parts.h"
#include "proxy/observe/ring.h"
#include "proxy/observe/text.h"

enum { REQUEST_HEAD = offsetof(struct record_request, text), STATUS_MAX = 999 };

_Static_assert(sizeof(struct record_request) <= RING_RECORD_MAX, "fits in the ring");

static const uint16_t text_max[RECORD_TEXTS] = {
#define TEXT(sym, max) [RECORD_TEXT_##sym] = (max),
	RECORD_REQUEST_TEXTS(TEXT)
#undef TEXT
};

/* Bytes of the texts before `which`. */
static size_t text_start(const uint16_t *lens, unsigned which)
{
	size_t n = 0;

	for (unsigned i = 0; i < which; i++)
		n += lens[i];
	return n;
}

void record_request_start(struct record_request *r)
{
	memset(r, 0, REQUEST_HEAD);
	r->type = RECORD_REQUEST;
	r->listener = r->pool = r->server = RECORD_NONE;
}

void record_request_put(struct record_request *r, enum record_text which, struct span value)
{
	size_t all = text_start(r->lens, RECORD_TEXTS);
	size_t start, end, n;

	MUST(which < RECORD_TEXTS && all <= RECORD_REQUEST_TEXT_MAX);
	start = text_start(r->lens, which);
	end = start + r->lens[which];
	n = value.n < text_max[which] ? value.n : text_max[which];
	if (all > end)
		memmove(r->text + start + n, r->text + end, all - end);
	if (n > 0)
		memcpy(r->text + start, value.p, n);
	r->lens[which] = (uint16_t)n;
}

size_t record_request_size(const struct record_request *r)
{
	return REQUEST_HEAD + text_start(r->lens, RECORD_TEXTS);
}

/* A record as read: its head, and where its texts are. */
struct request {
	struct record_request head; /* `text` is not filled in */
	struct span texts[RECORD_TEXTS];
};

static bool read_request(struct span bytes, struct request *q)
{
	struct record_request *r = &q->head;
	size_t at = REQUEST_HEAD;

	if (bytes.n < REQUEST_HEAD)
		return false;
	memcpy(r, bytes.p, REQUEST_HEAD);
	if (r->type != RECORD_REQUEST || r->status > STATUS_MAX)
		return false;
	for (unsigned i = 0; i < RECORD_TEXTS; i++) {
		if (r->lens[i] > text_max[i] || r->lens[i] > bytes.n - at)
			return false;
		q->texts[i] = span_of(bytes.p + at, r->lens[i]);
		at += r->lens[i];
	}
	return at == bytes.n;
}

bool record_request_sound(struct span bytes)
{
	struct request q;

	return read_request(bytes, &q);
}

struct record_slots record_request_slots(struct span bytes)
{
	struct request q;

	if (!read_request(bytes, &q))
		return (struct record_slots){ RECORD_NONE, RECORD_NONE, RECORD_NONE };
	return (struct record_slots){ q.head.listener, q.head.pool, q.head.server };
}

static struct record_address peer_of(const struct record_request *r)
{
	return (struct record_address){ r->peer_family, r->peer_address };
}

static struct record_address client_of(const struct record_request *r)
{
	if (r->client_family == 0)
		return peer_of(r);
	return (struct record_address){ r->client_family, r->client_address };
}

/* Whose address is believed has no port that is known: only the peer is shown with one. */
static bool put_client(struct text *t, const struct record_request *r)
{
	struct record_address peer = peer_of(r);
	struct record_address client = client_of(r);

	TEXT_PUT(t, ",\"client\":\"");
	if (!record_same_address(client, peer)) {
		if (!record_put_address(t, client))
			return false;
		TEXT_PUT(t, "\",\"peer\":\"");
	}
	if (!record_put_endpoint(t, peer, r->peer_port))
		return false;
	TEXT_PUT(t, "\"");
	return true;
}

/* NULL: not known. */
static const char *http_name(uint8_t version)
{
	switch (version) {
	case 10:
		return "1.0";
	case 11:
		return "1.1";
	case 20:
		return "2.0";
	default:
		return NULL;
	}
}

/* PUT_MS appends a member with a time, where there is one. */
#define PUT_MS(t, key, ns)                              \
	do {                                            \
		int64_t put_ns = (ns);                  \
		if (put_ns > 0) {                       \
			TEXT_PUT((t), ",\"" key "\":"); \
			record_put_ms((t), put_ns);     \
		}                                       \
	} while (0)

static void put_connection(struct text *t, const struct request *q)
{
	const struct record_request *r = &q->head;

	PUT_STRING(t, "sni", q->texts[RECORD_TEXT_SNI]);
	record_put_tls(t, &(struct record_tls){ r->tls_version, r->cipher, r->group });
	if (r->tls_version != 0)
		record_put_resumed(t, r->resumed != 0);
	PUT_MS(t, "handshake_ms", r->handshake_ns);
}

static void put_exchange(struct text *t, const struct request *q)
{
	const struct record_request *r = &q->head;

	if (http_name(r->http_version) != NULL) {
		TEXT_PUT(t, ",\"http\":\"");
		text_str(t, http_name(r->http_version));
		TEXT_PUT(t, "\"");
	}
	PUT_STRING(t, "method", q->texts[RECORD_TEXT_METHOD]);
	PUT_STRING(t, "host", q->texts[RECORD_TEXT_AUTHORITY]);
	PUT_STRING(t, "path", q->texts[RECORD_TEXT_PATH]);
	if (r->status != 0) {
		TEXT_PUT(t, ",\"status\":");
		text_u64(t, r->status);
	}
	TEXT_PUT(t, ",\"bytes_received\":");
	text_u64(t, r->bytes_received);
	TEXT_PUT(t, ",\"bytes_sent\":");
	text_u64(t, r->bytes_sent);
	PUT_MS(t, "first_byte_ms", r->first_byte_ns);
	TEXT_PUT(t, ",\"duration_ms\":");
	record_put_ms(t, r->duration_ns);
}

static void put_server(struct text *t, const struct record_request *r,
		       const struct record_names *names)
{
	PUT_MS(t, "connect_ms", r->connect_ns);
	PUT_STRING(t, "pool", span_str(names->pool));
	PUT_STRING(t, "server", span_str(names->server));
	if (r->attempt == 0)
		return;
	TEXT_PUT(t, ",\"attempt\":");
	text_u64(t, r->attempt);
	text_str(t, r->reused ? ",\"reused\":true" : ",\"reused\":false");
}

size_t record_request_line(struct span bytes, const struct record_names *names, char *line,
			   size_t len)
{
	struct text t = text_fixed(line, len);
	struct request q;

	if (!read_request(bytes, &q))
		return 0;
	TEXT_PUT(&t, "{\"time\":\"");
	text_time(&t, q.head.time_ns);
	TEXT_PUT(&t, "\",\"event\":\"request\"");
	if (!put_client(&t, &q.head))
		return 0;
	PUT_STRING(&t, "listener", span_str(names->listener));
	put_connection(&t, &q);
	put_exchange(&t, &q);
	put_server(&t, &q.head, names);
	PUT_STRING(&t, "request_id", q.texts[RECORD_TEXT_REQUEST_ID]);
	PUT_STRING(&t, "user_agent", q.texts[RECORD_TEXT_USER_AGENT]);
	PUT_STRING(&t, "referer", q.texts[RECORD_TEXT_REFERER]);
	if (q.head.cause != CAUSE_NONE)
		PUT_STRING(&t, "cause", span_str(cause_name(q.head.cause)));
	PUT_STRING(&t, "detail", q.texts[RECORD_TEXT_DETAIL]);
	TEXT_PUT(&t, "}\n");
	return t.failed ? 0 : t.n;
}

/* A text within quotes or between spaces of a combined line; "-" where there is none. */
static void put_field(struct text *t, struct span s, bool keep_spaces)
{
	if (s.n == 0)
		TEXT_PUT(t, "-");
	else
		text_hex_escaped(t, s, keep_spaces);
}

/* "GET / HTTP/1.1"; "-" of a request that was not understood. */
static void put_request_line(struct text *t, const struct request *q)
{
	put_field(t, q->texts[RECORD_TEXT_METHOD], false);
	if (q->texts[RECORD_TEXT_METHOD].n == 0)
		return;
	TEXT_PUT(t, " ");
	put_field(t, q->texts[RECORD_TEXT_PATH], false);
	if (http_name(q->head.http_version) == NULL)
		return;
	TEXT_PUT(t, " HTTP/");
	text_str(t, http_name(q->head.http_version));
}

/* Three digits: what reads such logs wants a number also where no response was sent. */
static void put_status(struct text *t, unsigned status)
{
	const char digits[3] = { (char)('0' + status / 100), (char)('0' + status / 10 % 10),
				 (char)('0' + status % 10) };

	text_put(t, digits, sizeof(digits));
}

size_t record_request_combined(struct span bytes, char *line, size_t len)
{
	struct text t = text_fixed(line, len);
	struct request q;

	if (!read_request(bytes, &q) || !record_put_address(&t, client_of(&q.head)))
		return 0;
	TEXT_PUT(&t, " - - [");
	text_common_time(&t, q.head.time_ns);
	TEXT_PUT(&t, "] \"");
	put_request_line(&t, &q);
	TEXT_PUT(&t, "\" ");
	put_status(&t, q.head.status);
	TEXT_PUT(&t, " ");
	text_u64(&t, q.head.bytes_sent);
	TEXT_PUT(&t, " \"");
	put_field(&t, q.texts[RECORD_TEXT_REFERER], true);
	TEXT_PUT(&t, "\" \"");
	put_field(&t, q.texts[RECORD_TEXT_USER_AGENT], true);
	TEXT_PUT(&t, "\"\n");
	return t.failed ? 0 : t.n;
}
