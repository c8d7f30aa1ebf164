/* The keys of a pool. */
#include "conf/address.h"
#include "conf/conf.h"
#include "conf/keys_parts.h"
#include "conf/values.h"

static const struct key_choice balance_choices[] = {
	{ "least_requests", CONF_BALANCE_LEAST_REQUESTS },
	{ "round_robin", CONF_BALANCE_ROUND_ROBIN },
	{ "random", CONF_BALANCE_RANDOM },
	{ "hash", CONF_BALANCE_HASH },
	{ "first", CONF_BALANCE_FIRST },
	{ NULL, 0 },
};
static const struct key_choice discovery_choices[] = {
	{ "dns", CONF_DISCOVERY_DNS },
	{ "srv", CONF_DISCOVERY_SRV },
	{ "once", CONF_DISCOVERY_ONCE },
	{ NULL, 0 },
};
static const struct key_choice protocol_choices[] = {
	{ "http/1.1", CONF_PROTOCOL_HTTP1 },
	{ "http/2", CONF_PROTOCOL_HTTP2 },
	{ "auto", CONF_PROTOCOL_AUTO },
	{ NULL, 0 },
};
const struct key_choice version_choices[] = {
	{ "1.2", 0x0303 },
	{ "1.3", 0x0304 },
	{ NULL, 0 },
};

static const struct key server_keys[] = {
	{ .name = "address",
	  .type = KEY_CONNECT,
	  .required = true,
	  .at = FIELD(conf_server, address),
	  .help = "Where the server listens" },
	{ .name = "weight",
	  .type = KEY_COUNT,
	  .min = 1,
	  .max = 256,
	  .fallback = "1",
	  .at = FIELD(conf_server, weight),
	  .help = "Its share, against the others' weights" },
	{ .name = "backup",
	  .type = KEY_BOOL,
	  .fallback = "false",
	  .at = FIELD(conf_server, backup),
	  .help = "Use it only where none of the others can be used" },
	{ .name = "name",
	  .type = KEY_NAME,
	  .max = CONF_MAX_NAME,
	  .fallback_doc = "the address",
	  .at = FIELD(conf_server, name),
	  .help = "Name for logs and metrics; unique in the pool" },
};
static const struct object server_object = {
	.name = "server",
	.help = "One server of a pool",
	.size = sizeof(struct conf_server),
	.shorthand = "address",
	KEYS(server_keys),
};

static const struct key pool_tls_keys[] = {
	{ .name = "verify",
	  .type = KEY_BOOL,
	  .fallback = "true",
	  .at = FIELD(conf_pool_tls, verify),
	  .help = "Check the server's chain and name; `false` leaves the connection open to "
		  "whoever can stand in between" },
	{ .name = "ca",
	  .type = KEY_PATH,
	  .fallback_doc = "the system's",
	  .at = FIELD(conf_pool_tls, ca),
	  .help = "PEM file with the roots that are trusted" },
	{ .name = "server_name",
	  .type = KEY_HOST,
	  .max = ADDRESS_MAX_HOST,
	  .fallback_doc = "the server's host",
	  .at = FIELD(conf_pool_tls, server_name),
	  .help = "Name to ask for and to find in the certificate" },
	{ .name = "server_uri",
	  .type = KEY_URI,
	  .max = 2048,
	  .fallback_doc = "none",
	  .at = FIELD(conf_pool_tls, server_uri),
	  .help = "URI to find in the certificate in place of the name, such as a SPIFFE ID; then it "
		  "must be the only one" },
	{ .name = "certificate",
	  .type = KEY_PATH,
	  .fallback_doc = "none",
	  .at = FIELD(conf_pool_tls, certificate),
	  .help = "PEM file with the certificate, and its chain, to show to servers that ask for one" },
	{ .name = "key",
	  .type = KEY_PATH,
	  .fallback_doc = "in the certificate's file",
	  .at = FIELD(conf_pool_tls, key),
	  .help = "PEM file with the certificate's private key" },
	{ .name = "min_version",
	  .type = KEY_CHOICE,
	  .choices = version_choices,
	  .fallback = "\"1.2\"",
	  .at = FIELD(conf_pool_tls, min_version),
	  .help = "Oldest TLS version accepted" },
};
static const struct object pool_tls_object = {
	.name = "tls",
	.help = "TLS towards the servers of a pool",
	.size = sizeof(struct conf_pool_tls),
	KEYS(pool_tls_keys),
};

static const struct key pool_connections_keys[] = {
	{ .name = "max",
	  .type = KEY_COUNT,
	  .min = 0,
	  .max = 10000000,
	  .fallback = "0",
	  .at = FIELD(conf_pool, max_connections),
	  .help = "Most connections to one server, of all workers together; 0: no limit" },
	{ .name = "max_pending",
	  .type = KEY_COUNT,
	  .min = 0,
	  .max = 10000000,
	  .fallback = "1024",
	  .at = FIELD(conf_pool, max_pending),
	  .help = "How many wait at most, of all workers together, where every server has `max`; the "
		  "others are refused: 503 with `Retry-After` in mode `http`, a reset in mode `tcp`" },
	{ .name = "pending_timeout",
	  .type = KEY_DURATION,
	  .fallback = "\"3s\"",
	  .min = 10 * VALUE_MS,
	  .max = VALUE_HOUR,
	  .at = FIELD(conf_pool, pending_ns),
	  .help = "How long one waits before it is refused likewise" },
	{ .name = "idle",
	  .type = KEY_COUNT,
	  .min = 0,
	  .max = 10000,
	  .fallback = "64",
	  .at = FIELD(conf_pool, idle_connections),
	  .help = "Most connections without use that one worker keeps; 0: none" },
	{ .name = "idle_timeout",
	  .type = KEY_DURATION,
	  .fallback = "\"60s\"",
	  .min = 10 * VALUE_MS,
	  .max = VALUE_DAY,
	  .at = FIELD(conf_pool, idle_connection_ns),
	  .help = "How long one is kept without use" },
};
static const struct object pool_connections_object = {
	.name = "connections",
	.help = "Bounds on connections to servers",
	KEYS(pool_connections_keys),
};

static const struct key pool_timeouts_keys[] = {
	{ .name = "connect",
	  .type = KEY_DURATION,
	  .fallback = "\"3s\"",
	  .min = 10 * VALUE_MS,
	  .max = VALUE_HOUR,
	  .at = FIELD(conf_pool, timeouts.connect_ns),
	  .help = "How long connecting to one server may take" },
	{ .name = "response_header",
	  .type = KEY_DURATION,
	  .fallback = "\"60s\"",
	  .min = 10 * VALUE_MS,
	  .max = VALUE_DAY,
	  .at = FIELD(conf_pool, timeouts.response_header_ns),
	  .help = "How long a server may take, once it has the request, to begin its response" },
	{ .name = "idle",
	  .type = KEY_DURATION,
	  .fallback = "\"60s\"",
	  .min = 10 * VALUE_MS,
	  .max = 30 * VALUE_DAY,
	  .at = FIELD(conf_pool, timeouts.idle_ns),
	  .help = "How long a connection to a server may be without use" },
};
static const struct object pool_timeouts_object = {
	.name = "timeouts",
	.help = "How long a pool waits for its servers",
	KEYS(pool_timeouts_keys),
};

static const struct key_choice retry_choices[] = {
	{ "connect", CONF_RETRY_CONNECT },
	{ "reset", CONF_RETRY_RESET },
	{ "503", CONF_RETRY_503 },
	{ NULL, 0 },
};

static const struct key retry_keys[] = {
	{ .name = "attempts",
	  .type = KEY_COUNT,
	  .min = 1,
	  .max = 16,
	  .fallback = "2",
	  .at = FIELD(conf_retry, attempts),
	  .help = "How often a request is sent to servers at most, the first time included; where "
		  "no connection came to be, nothing was sent" },
	{ .name = "budget_percent",
	  .type = KEY_COUNT,
	  .min = 0,
	  .max = 100,
	  .fallback = "20",
	  .at = FIELD(conf_retry, budget_percent),
	  .help = "How many requests may be sent again, in percent of those that came in the "
		  "last seconds; besides, 32 at a time and one a second by each worker" },
	{ .name = "on",
	  .type = KEY_CHOICE,
	  .shape = KEY_LIST,
	  .choices = retry_choices,
	  .max_num = 3,
	  .may_be_empty = true,
	  .fallback = "[\"connect\", \"reset\", \"503\"]",
	  .at = FIELD(conf_retry, on),
	  .num = FIELD(conf_retry, num_on),
	  .help = "After what another server is tried: no connection came to be; it broke before a "
		  "response; the response was 503. The last two only for what may be done twice (RFC "
		  "9110, section 9.2.2), with a body of 16 KiB or less" },
};
const struct object retry_object = {
	.name = "retry",
	.help = "When a request is sent again",
	.size = sizeof(struct conf_retry),
	KEYS(retry_keys),
};

static const struct key eject_keys[] = {
	{ .name = "failures",
	  .type = KEY_COUNT,
	  .min = 0,
	  .max = 1000000,
	  .fallback = "5",
	  .at = FIELD(conf_eject, failures),
	  .help = "How many failures in a row take a server out of use: connections that do not come "
		  "to be, and in mode `http` responses that do not come whole; a response is none, "
		  "whatever its status. 0: none does" },
	{ .name = "for",
	  .type = KEY_DURATION,
	  .min = 100 * VALUE_MS,
	  .max = VALUE_HOUR,
	  .fallback = "\"10s\"",
	  .at = FIELD(conf_eject, for_ns),
	  .help = "How long; doubled each time that it fails again, up to five minutes" },
	{ .name = "max_percent",
	  .type = KEY_COUNT,
	  .min = 0,
	  .max = 100,
	  .fallback = "50",
	  .at = FIELD(conf_eject, max_percent),
	  .help = "How many of the pool's servers may be out of use at a time. Where no other is "
		  "left, those that are out are asked all the same" },
};
static const struct object eject_object = {
	.name = "eject",
	.help = "When a server that fails is taken out of use for a while",
	.size = sizeof(struct conf_eject),
	KEYS(eject_keys),
};

static const struct key pool_keys[] = {
	{ .name = "servers",
	  .type = KEY_OBJECT,
	  .shape = KEY_LIST,
	  .required = true,
	  .max_num = CONF_MAX_SERVERS,
	  .object = &server_object,
	  .at = FIELD(conf_pool, servers),
	  .num = FIELD(conf_pool, num_servers),
	  .help = "The servers; a plain string is an address" },
	{ .name = "discovery",
	  .type = KEY_CHOICE,
	  .choices = discovery_choices,
	  .fallback = "\"dns\"",
	  .at = FIELD(conf_pool, discovery),
	  .help = "How the servers' names become addresses: `dns`: all addresses of a host, asked for "
		  "again as their time to live says; `srv`: the servers are services such as "
		  "`_http._tcp.example.com`, whose records say hosts, ports and weights; `once`: as "
		  "each load finds them. A name is one server, whose addresses take turns" },
	{ .name = "balance",
	  .type = KEY_CHOICE,
	  .choices = balance_choices,
	  .fallback = "\"least_requests\"",
	  .at = FIELD(conf_pool, balance),
	  .help = "How a server is chosen: of two at random the one with fewer requests in flight, "
		  "in turn, at random, by a hash of the request, or the first that has room" },
	{ .name = "hash",
	  .type = KEY_HASH,
	  .fallback = "\"client_address\"",
	  .max = CONF_MAX_NAME,
	  .at = FIELD(conf_pool, hash_text),
	  .given = FIELD(conf_pool, hash_given),
	  .help = "What `balance` `hash` goes by; requests that agree in it get the same server, "
		  "unless that has more than its share to do (1.25 times the average, and more "
		  "than 8 requests). Without that header or cookie, and in mode `tcp`, it is the "
		  "client's address" },
	{ .name = "protocol",
	  .type = KEY_CHOICE,
	  .choices = protocol_choices,
	  .fallback = "\"http/1.1\"",
	  .at = FIELD(conf_pool, protocol),
	  .help = "What is spoken to the servers, for listeners of mode `http`; `auto`: HTTP/2 where "
		  "the server agrees to it (ALPN; needs `tls`)" },
	{ .name = "tls",
	  .type = KEY_OBJECT,
	  .shape = KEY_OPTIONAL,
	  .object = &pool_tls_object,
	  .fallback_doc = "none, plaintext",
	  .at = FIELD(conf_pool, tls),
	  .help = "TLS towards the servers" },
	{ .name = "connections",
	  .type = KEY_OBJECT,
	  .object = &pool_connections_object,
	  .help = "Bounds on connections" },
	{ .name = "retry",
	  .type = KEY_OBJECT,
	  .object = &retry_object,
	  .at = FIELD(conf_pool, retry),
	  .help = "When a request is sent again, for listeners of mode `http`" },
	{ .name = "eject",
	  .type = KEY_OBJECT,
	  .object = &eject_object,
	  .at = FIELD(conf_pool, eject),
	  .help = "When a server that fails is taken out of use" },
	{ .name = "slow_start",
	  .type = KEY_DURATION,
	  .fallback = "\"0s\"",
	  .max = VALUE_HOUR,
	  .at = FIELD(conf_pool, slow_start_ns),
	  .help = "How long the share of a server that is in use again grows, until it is what its "
		  "weight says; 0s: it has that at once" },
	{ .name = "timeouts",
	  .type = KEY_OBJECT,
	  .object = &pool_timeouts_object,
	  .help = "How long to wait for servers" },
};
const struct object pool_object = {
	.name = "pool",
	.help = "Servers that do the same work",
	.size = sizeof(struct conf_pool),
	.pointer = FIELD(conf_pool, pointer),
	.map_name = FIELD(conf_pool, name),
	.map_type = KEY_NAME,
	KEYS(pool_keys),
};
