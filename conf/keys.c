#include "conf/keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/address.h"
#include "conf/conf.h"
#include "conf/values.h"

#define FIELD(type, member)                                                                \
	{                                                                                  \
		offsetof(struct type, member), sizeof(((const struct type *)NULL)->member) \
	}
#define KEYS(list) .keys = (list), .num_keys = sizeof(list) / sizeof((list)[0])

enum { KEY_MAX_TOKEN = 64, KEY_MAX_TOKENS = 64, KEY_MAX_LOGIN = 32 };

static const struct key_choice mode_choices[] = {
	{ "http", CONF_MODE_HTTP },
	{ "tcp", CONF_MODE_TCP },
	{ NULL, 0 },
};
static const struct key_choice version_choices[] = {
	{ "1.2", 0x0303 },
	{ "1.3", 0x0304 },
	{ NULL, 0 },
};
static const struct key_choice balance_choices[] = {
	{ "round_robin", CONF_BALANCE_ROUND_ROBIN },
	{ NULL, 0 },
};
static const struct key_choice level_choices[] = {
	{ "error", CONF_LOG_ERROR },
	{ "warning", CONF_LOG_WARNING },
	{ "info", CONF_LOG_INFO },
	{ "debug", CONF_LOG_DEBUG },
	{ NULL, 0 },
};

/* ---- listener */

static const struct key certificate_keys[] = {
	{ .name = "certificate",
	  .type = KEY_PATH,
	  .required = true,
	  .at = FIELD(conf_certificate, certificate),
	  .help = "PEM file with the chain, leaf first; without `key` the private key is in it, "
		  "too. Written as a plain string it may also be a folder of such files" },
	{ .name = "key",
	  .type = KEY_PATH,
	  .at = FIELD(conf_certificate, key),
	  .fallback_doc = "in the same file",
	  .help = "PEM file with the private key" },
};
static const struct object certificate_object = {
	.name = "certificate",
	.help = "A certificate and its key",
	.size = sizeof(struct conf_certificate),
	.shorthand = "certificate",
	.pointer = FIELD(conf_certificate, pointer),
	KEYS(certificate_keys),
};

static const struct key tls_keys[] = {
	{ .name = "certificates",
	  .type = KEY_OBJECT,
	  .shape = KEY_LIST,
	  .required = true,
	  .max_num = CONF_MAX_CERTIFICATES,
	  .object = &certificate_object,
	  .at = FIELD(conf_tls, certificates),
	  .num = FIELD(conf_tls, num_certificates),
	  .help = "Where certificates are: PEM files, folders of them, or pairs. Names come from "
		  "the certificates themselves" },
	{ .name = "default_certificate",
	  .type = KEY_PATH,
	  .fallback_doc = "the first",
	  .at = FIELD(conf_tls, default_certificate),
	  .help = "File of the certificate for an unknown or absent name; loaded too where it is not "
		  "among `certificates`" },
	{ .name = "strict_sni",
	  .type = KEY_BOOL,
	  .fallback = "false",
	  .at = FIELD(conf_tls, strict_sni),
	  .help = "Refuse an unknown or absent name with `unrecognized_name`" },
	{ .name = "min_version",
	  .type = KEY_CHOICE,
	  .choices = version_choices,
	  .fallback = "\"1.2\"",
	  .at = FIELD(conf_tls, min_version),
	  .help = "Oldest TLS version offered; nothing older than 1.2 exists" },
	{ .name = "max_version",
	  .type = KEY_CHOICE,
	  .choices = version_choices,
	  .fallback = "\"1.3\"",
	  .at = FIELD(conf_tls, max_version),
	  .help = "Newest TLS version offered" },
	{ .name = "ciphers",
	  .type = KEY_CIPHER,
	  .shape = KEY_JOINED,
	  .max_num = KEY_MAX_TOKENS,
	  .fallback = "[\"ECDHE-ECDSA-AES128-GCM-SHA256\", \"ECDHE-RSA-AES128-GCM-SHA256\", "
		      "\"ECDHE-ECDSA-AES256-GCM-SHA384\", \"ECDHE-RSA-AES256-GCM-SHA384\", "
		      "\"ECDHE-ECDSA-CHACHA20-POLY1305\", \"ECDHE-RSA-CHACHA20-POLY1305\"]",
	  .max = KEY_MAX_TOKEN,
	  .at = FIELD(conf_tls, ciphers),
	  .help = "Cipher suites of TLS 1.2, in order of preference, by BoringSSL's names; those "
		  "of TLS 1.3 are not configurable" },
	{ .name = "groups",
	  .type = KEY_GROUP,
	  .shape = KEY_LIST,
	  .max_num = KEY_MAX_TOKENS,
	  .fallback = "[\"X25519MLKEM768\", \"X25519\", \"P-256\", \"P-384\"]",
	  .max = KEY_MAX_TOKEN,
	  .at = FIELD(conf_tls, groups),
	  .num = FIELD(conf_tls, num_groups),
	  .given = FIELD(conf_tls, groups_given),
	  .help = "Key exchange groups, in order of preference. Of the default, those that the "
		  "library lacks are left out; one that is configured must be known" },
};
static const struct object tls_object = {
	.name = "tls",
	.help = "TLS as a listener offers it",
	.size = sizeof(struct conf_tls),
	.pointer = FIELD(conf_tls, pointer),
	KEYS(tls_keys),
};

static const struct key listener_timeouts_keys[] = {
	{ .name = "handshake",
	  .type = KEY_DURATION,
	  .fallback = "\"10s\"",
	  .min = 10 * VALUE_MS,
	  .max = VALUE_HOUR,
	  .at = FIELD(conf_listener, timeouts.handshake_ns),
	  .help = "Whole time that a TLS handshake may take" },
	{ .name = "idle",
	  .type = KEY_DURATION,
	  .fallback = "\"10m\"",
	  .min = 10 * VALUE_MS,
	  .max = 30 * VALUE_DAY,
	  .at = FIELD(conf_listener, timeouts.idle_ns),
	  .help = "How long a connection may be without a byte either way" },
};
static const struct object listener_timeouts_object = {
	.name = "timeouts",
	.help = "How long a listener waits for its clients",
	KEYS(listener_timeouts_keys),
};

static const struct key listener_keys[] = {
	{ .name = "name",
	  .type = KEY_NAME,
	  .max = CONF_MAX_NAME,
	  .fallback_doc = "the first address",
	  .at = FIELD(conf_listener, name),
	  .help = "Name for logs and metrics; unique" },
	{ .name = "address",
	  .type = KEY_LISTEN,
	  .shape = KEY_ONE_OR_LIST,
	  .required = true,
	  .max_num = CONF_MAX_ADDRESSES,
	  .at = FIELD(conf_listener, addresses),
	  .num = FIELD(conf_listener, num_addresses),
	  .help = "Where to listen; without host on every address of both families" },
	{ .name = "mode",
	  .type = KEY_CHOICE,
	  .choices = mode_choices,
	  .fallback = "\"http\"",
	  .at = FIELD(conf_listener, mode),
	  .help = "What is spoken inside TLS; `tcp` relays bytes as they are" },
	{ .name = "tls",
	  .type = KEY_OBJECT,
	  .shape = KEY_OPTIONAL,
	  .object = &tls_object,
	  .fallback_doc = "none, plaintext",
	  .at = FIELD(conf_listener, tls),
	  .help = "TLS of this listener" },
	{ .name = "pool",
	  .type = KEY_POOL,
	  .required = true,
	  .max = CONF_MAX_NAME,
	  .at = FIELD(conf_listener, pool),
	  .help = "Name of the pool that everything goes to" },
	{ .name = "timeouts",
	  .type = KEY_OBJECT,
	  .object = &listener_timeouts_object,
	  .help = "How long to wait for clients" },
};
static const struct object listener_object = {
	.name = "listener",
	.help = "Where clients connect to, and what is done with them",
	.size = sizeof(struct conf_listener),
	.pointer = FIELD(conf_listener, pointer),
	KEYS(listener_keys),
};

/* ---- pool */

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
	{ .name = "balance",
	  .type = KEY_CHOICE,
	  .choices = balance_choices,
	  .fallback = "\"round_robin\"",
	  .at = FIELD(conf_pool, balance),
	  .help = "How a server is chosen" },
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
	{ .name = "timeouts",
	  .type = KEY_OBJECT,
	  .object = &pool_timeouts_object,
	  .help = "How long to wait for servers" },
};
static const struct object pool_object = {
	.name = "pool",
	.help = "Servers that do the same work",
	.size = sizeof(struct conf_pool),
	.pointer = FIELD(conf_pool, pointer),
	.map_name = FIELD(conf_pool, name),
	KEYS(pool_keys),
};

/* ---- top level */

static const struct key limits_keys[] = {
	{ .name = "connections",
	  .type = KEY_COUNT,
	  .at_start = true,
	  .min = 1,
	  .max = 100000000,
	  .fallback_doc = "from the descriptor limit",
	  .at = FIELD(conf, limits.connections),
	  .help = "Most client connections at a time, of all workers together" },
	{ .name = "connections_per_address",
	  .type = KEY_COUNT,
	  .min = 0,
	  .max = 100000000,
	  .fallback = "0",
	  .at = FIELD(conf, limits.connections_per_address),
	  .help = "Most connections at a time of one client address; 0: no limit" },
};
static const struct object limits_object = {
	.name = "limits",
	.help = "Bounds on what clients may use",
	KEYS(limits_keys),
};

static const struct key access_keys[] = {
	{ .name = "path",
	  .type = KEY_OUTPUT,
	  .fallback = "\"stdout\"",
	  .at = FIELD(conf, log.access),
	  .help = "Where access lines go" },
};
static const struct object access_object = {
	.name = "access",
	.help = "The access log: a line for each connection",
	KEYS(access_keys),
};

static const struct key log_keys[] = {
	{ .name = "level",
	  .type = KEY_CHOICE,
	  .choices = level_choices,
	  .fallback = "\"info\"",
	  .at = FIELD(conf, log.level),
	  .help = "Least important message that is logged" },
	{ .name = "error",
	  .type = KEY_OUTPUT,
	  .fallback = "\"stderr\"",
	  .at = FIELD(conf, log.error),
	  .help = "Where messages go" },
	{ .name = "access",
	  .type = KEY_OBJECT,
	  .or_false = true,
	  .object = &access_object,
	  .fallback_doc = "on",
	  .help = "Access log; `false`: none" },
};
static const struct object log_object = {
	.name = "log",
	.help = "What is logged, and where",
	KEYS(log_keys),
};

static const struct key admin_keys[] = {
	{ .name = "address",
	  .type = KEY_LISTEN,
	  .at_start = true,
	  .at = FIELD(conf, admin.address),
	  .given = FIELD(conf, admin.given),
	  .fallback_doc = "`unix:/run/sallyport/admin.sock`, or in `$XDG_RUNTIME_DIR`",
	  .help = "Where the admin endpoint listens; keep it private" },
};
static const struct object admin_object = {
	.name = "admin",
	.help = "The private endpoint for metrics and health",
	KEYS(admin_keys),
};

static const struct key root_keys[] = {
	{ .name = "listeners",
	  .type = KEY_OBJECT,
	  .shape = KEY_LIST,
	  .required = true,
	  .max_num = CONF_MAX_LISTENERS,
	  .object = &listener_object,
	  .at = FIELD(conf, listeners),
	  .num = FIELD(conf, num_listeners),
	  .help = "Where clients connect to" },
	{ .name = "pools",
	  .type = KEY_OBJECT,
	  .shape = KEY_MAP,
	  .max_num = CONF_MAX_POOLS,
	  .object = &pool_object,
	  .fallback = "{}",
	  .at = FIELD(conf, pools),
	  .num = FIELD(conf, num_pools),
	  .help = "Servers, by name of the pool" },
	{ .name = "workers",
	  .type = KEY_COUNT,
	  .at_start = true,
	  .min = 1,
	  .max = CONF_MAX_WORKERS,
	  .fallback_doc = "the CPUs that the process may use",
	  .at = FIELD(conf, workers),
	  .help = "Worker processes" },
	{ .name = "user",
	  .type = KEY_LOGIN,
	  .at_start = true,
	  .max = KEY_MAX_LOGIN,
	  .fallback_doc = "`sallyport` if there is one, else `nobody`",
	  .at = FIELD(conf, user),
	  .help = "User that workers become when started as root" },
	{ .name = "group",
	  .type = KEY_LOGIN,
	  .at_start = true,
	  .max = KEY_MAX_LOGIN,
	  .fallback_doc = "the user's",
	  .at = FIELD(conf, group),
	  .help = "Group that workers become when started as root" },
	{ .name = "drain_timeout",
	  .type = KEY_DURATION,
	  .fallback = "\"25s\"",
	  .min = 0,
	  .max = 7 * VALUE_DAY,
	  .at = FIELD(conf, drain_timeout_ns),
	  .help = "How long SIGTERM and a retired listener wait for connections to end" },
	{ .name = "limits",
	  .type = KEY_OBJECT,
	  .object = &limits_object,
	  .help = "Bounds on what clients may use" },
	{ .name = "log",
	  .type = KEY_OBJECT,
	  .object = &log_object,
	  .help = "What is logged, and where" },
	{ .name = "admin",
	  .type = KEY_OBJECT,
	  .at_start = true,
	  .or_false = true,
	  .object = &admin_object,
	  .on = FIELD(conf, admin.on),
	  .fallback_doc = "on",
	  .help = "Endpoint for metrics and health; `false`: none" },
};
static const struct object root_object = {
	.name = "configuration",
	.help = "Configuration of Sallyport",
	.size = sizeof(struct conf),
	KEYS(root_keys),
};

/* ---- types */

#define HOST_PATTERN "(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9._-]+)"
#define PRINTABLE_PATTERN "[^\\u0000-\\u001f\\u007f-\\u009f]+"
#define PORT_PATTERN ":[1-9][0-9]{0,4}"

/* What is true of every key of a type. */
static const struct {
	const char *expects; /* NULL: made from the key's range or choices */
	const char *pattern;
	bool is_text;
} key_types[KEY_TYPES] = {
	[KEY_BOOL] = { "true or false", NULL, false },
	[KEY_COUNT] = { NULL, NULL, false },
	[KEY_DURATION] = { "a duration such as \"30s\"", "[0-9]+(ms|s|m|h|d)", true },
	[KEY_CHOICE] = { NULL, NULL, true },
	[KEY_NAME] = { "a name", PRINTABLE_PATTERN, true },
	[KEY_LOGIN] = { "a name", "[A-Za-z0-9_.][A-Za-z0-9_.-]*", true },
	[KEY_HOST] = { "a host name or IP address", "[A-Za-z0-9_.:-]+", true },
	[KEY_PATH] = { "a path", PRINTABLE_PATTERN, true },
	[KEY_OUTPUT] = { "a path, \"stderr\" or \"stdout\"", PRINTABLE_PATTERN, true },
	[KEY_CIPHER] = { "a cipher suite such as \"ECDHE-RSA-AES128-GCM-SHA256\"", "[A-Z0-9-]+",
			 true },
	[KEY_GROUP] = { "a group such as \"X25519\"", "[A-Za-z0-9-]+", true },
	[KEY_LISTEN] = { "an address such as \":443\" or \"unix:/run/app.sock\"",
			 "(" HOST_PATTERN "?" PORT_PATTERN "|unix:[^@].*)", true },
	[KEY_CONNECT] = { "an address such as \"10.0.0.1:8080\" or \"unix:/run/app.sock\"",
			  "(" HOST_PATTERN PORT_PATTERN "|unix:[^@].*)", true },
	[KEY_POOL] = { "the name of a pool", "[^$].*", true },
	[KEY_OBJECT] = { "an object", NULL, false },
};

const struct object *conf_root(void)
{
	return &root_object;
}

const struct key *key_find(const struct object *o, const char *name)
{
	for (size_t i = 0; i < o->num_keys; i++) {
		if (strcmp(o->keys[i].name, name) == 0)
			return &o->keys[i];
	}
	return NULL;
}

bool key_is_annotation(const char *name)
{
	return strcmp(name, "$schema") == 0 || strcmp(name, "$comment") == 0;
}

bool key_is_text(enum key_type type)
{
	return key_types[type].is_text;
}

const char *key_pattern(enum key_type type)
{
	return key_types[type].pattern;
}

size_t key_max_text(const struct key *k)
{
	return k->type != KEY_DURATION && k->max > 0 ? (size_t)k->max : VALUE_MAX - 1;
}

static void key_expects_choice(const struct key *k, char *out, size_t len)
{
	size_t n = 0;

	for (const struct key_choice *c = k->choices; c->name != NULL && n < len; c++) {
		const char *glue = c == k->choices ? "" : c[1].name == NULL ? " or " : ", ";

		n += (size_t)snprintf(out + n, len - n, "%s\"%s\"", glue, c->name);
	}
}

static void key_expects_one(const struct key *k, char *out, size_t len)
{
	if (k->type == KEY_COUNT)
		(void)snprintf(out, len, "a whole number from %" PRId64 " to %" PRId64, k->min,
			       k->max);
	else if (k->type == KEY_CHOICE)
		key_expects_choice(k, out, len);
	else if (k->type == KEY_OBJECT && k->object->shorthand != NULL)
		(void)snprintf(out, len, "a string or an object");
	else
		(void)snprintf(out, len, "%s%s", k->or_false ? "false or " : "",
			       key_types[k->type].expects);
}

const char *key_expects(const struct key *k, bool one, char *out, size_t len)
{
	char item[256];

	key_expects_one(k, item, sizeof(item));
	if (one || k->shape == KEY_ONE || k->shape == KEY_OPTIONAL)
		(void)snprintf(out, len, "%s", item);
	else if (k->shape == KEY_MAP)
		(void)snprintf(out, len, "an object of name to %s", k->object->name);
	else if (k->shape == KEY_ONE_OR_LIST)
		(void)snprintf(out, len, "%s, or an array of them", item);
	else
		(void)snprintf(out, len, "an array with each entry %s", item);
	return out;
}
