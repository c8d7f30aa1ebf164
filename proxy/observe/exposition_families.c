#include "proxy/observe/exposition_families.h"

#include "conf/must.h"
#include "proxy/observe/metrics.h"
#include "proxy/observe/names.h"

/* How a family's series differ within one listener or server. */
enum series { SERIES_ONE, SERIES_CAUSES, SERIES_CLASSES, SERIES_HANDSHAKES, SERIES_HISTOGRAM };

struct slot_family {
	struct family family;
	enum series series;
	size_t offset; /* in a listener's or server's cells */
};

#define LISTENER(member) offsetof(struct metrics_listener, member)
#define SERVER(member) offsetof(struct metrics_server, member)

static const struct slot_family listener_families[] = {
	{ { "connections_accepted", "Client connections accepted.", FAMILY_COUNTER },
	  SERIES_ONE,
	  LISTENER(accepted) },
	{ { "connections_active", "Client connections now.", FAMILY_GAUGE },
	  SERIES_ONE,
	  LISTENER(active) },
	{ { "connections_ended", "Client connections ended, by cause.", FAMILY_COUNTER },
	  SERIES_CAUSES,
	  LISTENER(ended) },
	{ { "tls_handshakes", "TLS handshakes done with clients.", FAMILY_COUNTER },
	  SERIES_HANDSHAKES,
	  LISTENER(handshakes) },
	{ { "tls_handshake_failures", "TLS handshakes with clients that failed, by cause.",
	    FAMILY_COUNTER },
	  SERIES_CAUSES,
	  LISTENER(handshake_failures) },
	{ { "tls_handshake_duration_seconds", "Time that TLS handshakes with clients took.",
	    FAMILY_HISTOGRAM },
	  SERIES_HISTOGRAM,
	  LISTENER(handshake) },
	{ { "received_bytes", "Bytes from clients, without TLS.", FAMILY_COUNTER },
	  SERIES_ONE,
	  LISTENER(bytes_received) },
	{ { "sent_bytes", "Bytes to clients, without TLS.", FAMILY_COUNTER },
	  SERIES_ONE,
	  LISTENER(bytes_sent) },
	{ { "requests", "HTTP requests that ended, by class of their response.", FAMILY_COUNTER },
	  SERIES_CLASSES,
	  LISTENER(requests) },
	{ { "requests_active", "HTTP requests in flight now.", FAMILY_GAUGE },
	  SERIES_ONE,
	  LISTENER(requests_active) },
	{ { "request_errors", "HTTP responses made here and exchanges that broke, by cause.",
	    FAMILY_COUNTER },
	  SERIES_CAUSES,
	  LISTENER(request_errors) },
	{ { "request_duration_seconds", "Time from an HTTP request's first byte to its end.",
	    FAMILY_HISTOGRAM },
	  SERIES_HISTOGRAM,
	  LISTENER(request) },
};

static const struct slot_family server_families[] = {
	{ { "server_connects", "Connections made to servers.", FAMILY_COUNTER },
	  SERIES_ONE,
	  SERVER(connects) },
	{ { "server_connects_resumed", "Connections made to servers that resumed a TLS session.",
	    FAMILY_COUNTER },
	  SERIES_ONE,
	  SERVER(resumed) },
	{ { "server_connect_failures",
	    "Connections to servers and responses of theirs that failed, by cause.",
	    FAMILY_COUNTER },
	  SERIES_CAUSES,
	  SERVER(failures) },
	{ { "server_connections_active", "Connections to servers now, also those being made.",
	    FAMILY_GAUGE },
	  SERIES_ONE,
	  SERVER(active) },
	{ { "server_connect_duration_seconds", "Time that connecting to servers took.",
	    FAMILY_HISTOGRAM },
	  SERIES_HISTOGRAM,
	  SERVER(connect) },
	{ { "server_received_bytes", "Bytes from servers, without TLS.", FAMILY_COUNTER },
	  SERIES_ONE,
	  SERVER(bytes_received) },
	{ { "server_sent_bytes", "Bytes to servers, without TLS.", FAMILY_COUNTER },
	  SERIES_ONE,
	  SERVER(bytes_sent) },
	{ { "server_requests", "HTTP requests sent to servers, by class of their response.",
	    FAMILY_COUNTER },
	  SERIES_CLASSES,
	  SERVER(requests) },
	{ { "server_requests_active", "HTTP requests in flight to servers now.", FAMILY_GAUGE },
	  SERIES_ONE,
	  SERVER(requests_active) },
	{ { "server_response_duration_seconds",
	    "Time from an HTTP request to the head of the server's response.", FAMILY_HISTOGRAM },
	  SERIES_HISTOGRAM,
	  SERVER(response) },
	{ { "server_connections_reused", "HTTP requests sent on a connection that was kept.",
	    FAMILY_COUNTER },
	  SERIES_ONE,
	  SERVER(reuses) },
	{ { "server_retries", "HTTP requests sent to servers after another try failed.",
	    FAMILY_COUNTER },
	  SERIES_ONE,
	  SERVER(retries) },
};

enum { LABELS_MAX = 5 }; /* with the end */

/* Causes that never happened are left out: most never do. */
static void put_causes(struct page *p, const struct family *f, struct label *labels, size_t used,
		       size_t offset)
{
	for (unsigned i = 0; i < CAUSE_COUNT; i++) {
		uint64_t n = page_sum(p, offset + i * sizeof(uint64_t));

		if (n == 0)
			continue;
		labels[used] = (struct label){ "cause", cause_name(i) };
		page_sample(p, f, labels, n);
	}
	labels[used] = (struct label){ NULL, NULL };
}

/* Nor are there series for classes of status codes that never were. */
static void put_classes(struct page *p, const struct family *f, struct label *labels, size_t used,
			size_t offset)
{
	static const char *const names[METRICS_CLASSES] = { "none", "1xx", "2xx",
							    "3xx",  "4xx", "5xx" };

	for (unsigned i = 0; i < METRICS_CLASSES; i++) {
		uint64_t n = page_sum(p, offset + i * sizeof(uint64_t));

		if (n == 0)
			continue;
		labels[used] = (struct label){ "code", names[i] };
		page_sample(p, f, labels, n);
	}
	labels[used] = (struct label){ NULL, NULL };
}

static void put_handshakes(struct page *p, const struct family *f, struct label *labels,
			   size_t used, size_t offset)
{
	for (unsigned i = 0; i < 4; i++) {
		labels[used] = (struct label){ "version", i < 2 ? "TLSv1.2" : "TLSv1.3" };
		labels[used + 1] = (struct label){ "resumed", i % 2 == 0 ? "false" : "true" };
		page_sample(p, f, labels, page_sum(p, offset + i * sizeof(uint64_t)));
	}
	labels[used] = (struct label){ NULL, NULL };
}

/* All series of one family for one slot, whose cells lie at `base`. */
static void put_slot(struct page *p, const struct slot_family *s, struct label *labels, size_t used,
		     size_t base)
{
	MUST(used + 3 <= LABELS_MAX);
	switch (s->series) {
	case SERIES_ONE:
		page_sample(p, &s->family, labels, page_sum(p, base + s->offset));
		break;
	case SERIES_CAUSES:
		put_causes(p, &s->family, labels, used, base + s->offset);
		break;
	case SERIES_CLASSES:
		put_classes(p, &s->family, labels, used, base + s->offset);
		break;
	case SERIES_HANDSHAKES:
		put_handshakes(p, &s->family, labels, used, base + s->offset);
		break;
	case SERIES_HISTOGRAM:
		page_histogram(p, &s->family, labels, base + s->offset);
		break;
	}
}

static void put_listener_family(struct page *p, const struct slot_family *s)
{
	const struct names *names = p->from->names;

	page_head(p, &s->family);
	for (uint32_t i = 0; names != NULL && i < METRICS_LISTENERS; i++) {
		struct label labels[LABELS_MAX] = { { "listener", names->listeners[i].text } };

		if (names->listeners[i].shown)
			put_slot(p, s, labels, 1,
				 offsetof(struct metrics_worker, listeners) +
					 i * sizeof(struct metrics_listener));
	}
}

static void put_server_family(struct page *p, const struct slot_family *s)
{
	const struct names *names = p->from->names;

	page_head(p, &s->family);
	for (uint32_t i = 0; names != NULL && i < METRICS_SERVERS; i++) {
		struct label labels[LABELS_MAX] = {
			{ "pool", names_pool(names, names->server_pools[i]) },
			{ "server", names->servers[i].text },
		};

		if (names->servers[i].shown)
			put_slot(p, s, labels, 2,
				 offsetof(struct metrics_worker, servers) +
					 i * sizeof(struct metrics_server));
	}
}

void exposition_put_listeners(struct page *p)
{
	for (size_t i = 0; i < sizeof(listener_families) / sizeof(listener_families[0]); i++)
		put_listener_family(p, &listener_families[i]);
}

void exposition_put_servers(struct page *p)
{
	for (size_t i = 0; i < sizeof(server_families) / sizeof(server_families[0]); i++)
		put_server_family(p, &server_families[i]);
}
