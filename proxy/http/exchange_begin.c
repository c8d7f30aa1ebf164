#include <string.h>

#include "conf/must.h"
#include "proxy/http/answer.h"
#include "proxy/http/exchange_private.h"
#include "proxy/http/forward.h"
#include "proxy/http/uri.h"
#include "proxy/net/network.h"

/* ---- what the request is after ---- */

/* Brings target and host into the form that is matched and forwarded. */
static bool normalise(struct exchange *x, struct uri *uri, uint16_t *port)
{
	struct head *h = x->request;
	char *path = head_alloc(h, h->path.n), *host = head_alloc(h, h->authority.n);
	bool reject = x->listener->conf->http.escaped_slashes == CONF_SLASHES_REJECT;
	const char *why;

	if (path == NULL || host == NULL) {
		exchange_fail(x, 503, CAUSE_MEMORY, "");
		return false;
	}
	if (!uri_host(h->authority, host, &x->host, port)) {
		exchange_fail(x, 400, CAUSE_BAD_HOST, "the Host is no host");
		return false;
	}
	if (!uri_normalise(h->path, reject, path, uri, &why)) {
		exchange_fail(x, 400, CAUSE_BAD_TARGET, why);
		return false;
	}
	/* What was matched, and nothing else, goes on. */
	if (uri->query.n == 0)
		h->path = uri->path;
	else if (uri->path.p + uri->path.n == uri->query.p)
		h->path = span_of(uri->path.p, uri->path.n + uri->query.n);
	else
		h->path = head_print(h, "%.*s%.*s", (int)uri->path.n, uri->path.p,
				     (int)uri->query.n, uri->query.p);
	x->path = h->path;
	return true;
}

static struct span value_of(const struct head *h, enum header_id id)
{
	const struct header *f = head_find(h, id);

	return f == NULL ? span_of("", 0) : f->value;
}

static bool random_bytes(void *owner, uint8_t bytes[16])
{
	traffic_random(owner, bytes);
	return true;
}

/* False: the request has been answered. */
static bool introduce(struct exchange *x)
{
	const struct conf_listener *conf = x->listener->conf;
	const struct client *client = x->at.client;
	struct forward_facts facts = {
		.http = &conf->http,
		.client = span_str(client->text),
		.family = client->from.family,
		.is_tls = x->listener->tls != NULL,
		.port = client->local_port,
		.trusted = network_contains(conf->trusted_proxies, conf->num_trusted_proxies,
					    client->from.family, client->from.bytes),
		.trusted_proxies = conf->trusted_proxies,
		.num_trusted_proxies = conf->num_trusted_proxies,
		.random = random_bytes,
		.owner = x->at.traffic,
	};
	struct forward_result result;

	memcpy(facts.address, client->from.bytes, sizeof(facts.address));
	x->user_agent = value_of(x->request, HEADER_USER_AGENT);
	x->referer = value_of(x->request, HEADER_REFERER);
	forward_request(x->request, &facts, &result);
	x->request_id = result.request_id;
	x->believed.family = result.family;
	memcpy(x->believed.bytes, result.address, sizeof(x->believed.bytes));
	if (result.answer_here) {
		exchange_answer(x, answer_options(), span_of("", 0));
		return false;
	}
	return true;
}

/* ---- what becomes of it ---- */

/* A client may send what is for another host on a connection that its certificate covers too; what
 * this listener serves with another one has to come on a connection of its own (RFC 9110 15.5.20).
 */
static bool is_misdirected(const struct exchange *x)
{
	const SSL *ssl = link_ssl(x->at.link);
	char name[RECORD_SNI_MAX + 1];

	if (x->request->version < 20 || ssl == NULL || x->listener->tls == NULL)
		return false;
	server_tls_name(ssl, name, sizeof(name));
	return !server_tls_same(x->listener->tls, span_str(name), x->host);
}

static void redirect(struct exchange *x, const struct conf_redirect *to)
{
	if (x->host.n == 0 && strcmp(to->location, "https") == 0) {
		exchange_fail(x, 400, CAUSE_BAD_HOST,
			      "without a host there is nowhere to redirect to");
		return;
	}
	exchange_answer(x, answer_redirect(to, x->host, x->path), span_of("", 0));
}

static void respond(struct exchange *x, const struct conf_respond *with)
{
	struct span body;
	struct head *h = answer_respond(with, &body);

	exchange_answer(x, h, body);
}

static void pass_on(struct exchange *x)
{
	const struct conf_route *r = x->route;
	struct head *h = x->request;

	x->pool = site_of(x->snapshot)->pools[r->pool];
	x->tries.key = exchange_key(x); /* of what the client sent */
	exchange_prefer(x);
	if (r->strip_prefix != NULL)
		h->path = strip_prefix(h, h->path, r->strip_prefix);
	edits_apply(h, &r->request_headers);
	if (h->failed) {
		exchange_fail(x, 503, CAUSE_MEMORY, "");
		return;
	}
	x->pool_slot = pool_plan(x->pool)->slot;
	metrics_add(&x->at.traffic->page->metrics.pools_active[x->pool_slot], 1);
	x->retry = r->retry != NULL ? r->retry : &pool_conf(x->pool)->retry;
	retry_budget_earn(pool_budget(x->pool), x->retry->budget_percent, x->began_ns);
	if (r->timeout_ns > 0)
		loop_after(x->at.traffic->loop, &x->deadline, r->timeout_ns);
	exchange_try(x);
}

void exchange_dress(struct exchange *x, struct head *h)
{
	const struct conf_route *r = x->route;

	if (r != NULL) {
		edits_apply(h, &r->response_headers);
		if (r->hsts != NULL && x->listener->tls != NULL)
			hsts_add(h, r->hsts);
	}
	forward_response(h, x->listener == NULL ? NULL : &x->listener->conf->http,
			 traffic_date(x->at.traffic));
}

void exchange_begin(struct exchange *x, bool end)
{
	struct route_query query;
	struct uri uri;
	uint16_t port = 0;

	CHECK(x, EXCHANGE_MAGIC);
	x->request_whole = end;
	if (x->listener == NULL) {
		exchange_fail(x, 503, CAUSE_RETIRED, "");
		return;
	}
	x->max_body = x->listener->conf->http.max_body_size;
	if (!normalise(x, &uri, &port) || !introduce(x))
		return;
	/* Who is told what was asked for has been told; what was matched is what is asked for now.
	 */
	x->request->authority =
		port == 0 ? x->host
			  : head_print(x->request, "%.*s:%u", (int)x->host.n, x->host.p, port);
	query = (struct route_query){
		.host = x->host,
		.path = uri.path,
		.method_name = x->request->method_name,
		.head = x->request,
		.family = x->believed.family,
	};
	memcpy(query.address, x->believed.bytes, sizeof(query.address));
	x->route = routes_find(x->listener->routes, &query);
	if (is_misdirected(x))
		exchange_fail(x, 421, CAUSE_MISDIRECTED,
			      "the host is served under another certificate");
	else if (x->route == NULL)
		exchange_fail(x, 404, CAUSE_NO_ROUTE, "no route of the listener takes it");
	else if (x->max_body > 0 && x->request->length > 0 &&
		 (uint64_t)x->request->length > x->max_body)
		exchange_fail(x, 413, CAUSE_BODY_TOO_LARGE, "past http.max_body_size");
	else if (x->route->redirect != NULL)
		redirect(x, x->route->redirect);
	else if (x->route->respond != NULL)
		respond(x, x->route->respond);
	else
		pass_on(x);
}
