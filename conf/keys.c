#include "conf/keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/keys_parts.h"
#include "conf/values.h"

static const struct key_choice level_choices[] = {
	{ "error", CONF_LOG_ERROR },
	{ "warning", CONF_LOG_WARNING },
	{ "info", CONF_LOG_INFO },
	{ "debug", CONF_LOG_DEBUG },
	{ NULL, 0 },
};
static const struct key_choice sandbox_choices[] = {
	{ "on", CONF_SANDBOX_ON },
	{ "required", CONF_SANDBOX_REQUIRED },
	{ "off", CONF_SANDBOX_OFF },
	{ NULL, 0 },
};

static const struct key_choice format_choices[] = {
	{ "json", CONF_LOG_JSON },
	{ "combined", CONF_LOG_COMBINED },
	{ NULL, 0 },
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
	{ .name = "format",
	  .type = KEY_CHOICE,
	  .choices = format_choices,
	  .fallback = "\"json\"",
	  .at = FIELD(conf, log.format),
	  .help = "How a line looks: an object, or the combined format of web servers" },
};
static const struct object access_object = {
	.name = "access",
	.help = "The access log: a line for each request, or connection",
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

static const struct key resolver_keys[] = {
	{ .name = "servers",
	  .type = KEY_CONNECT,
	  .shape = KEY_LIST,
	  .max_num = CONF_MAX_NAME_SERVERS,
	  .at = FIELD(conf, resolver.servers),
	  .num = FIELD(conf, resolver.num_servers),
	  .fallback_doc = "those of `/etc/resolv.conf`",
	  .help = "Name servers to ask, by IP address and port" },
	{ .name = "min_ttl",
	  .type = KEY_DURATION,
	  .fallback = "\"1s\"",
	  .min = VALUE_SECOND,
	  .max = VALUE_HOUR,
	  .at = FIELD(conf, resolver.min_ttl_ns),
	  .help = "An answer is used for so long, even where its time to live is shorter" },
	{ .name = "max_ttl",
	  .type = KEY_DURATION,
	  .fallback = "\"5m\"",
	  .min = VALUE_SECOND,
	  .max = VALUE_DAY,
	  .at = FIELD(conf, resolver.max_ttl_ns),
	  .help = "A name is asked for again after so long, even where its time to live is longer" },
};
static const struct object resolver_object = {
	.name = "resolver",
	.help = "How the names of servers become addresses",
	KEYS(resolver_keys),
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
	{ .name = "key_isolation",
	  .type = KEY_BOOL,
	  .at_start = true,
	  .fallback = "true",
	  .at = FIELD(conf, key_isolation),
	  .help = "Private keys live in a process of their own, not in workers" },
	{ .name = "sandbox",
	  .type = KEY_CHOICE,
	  .at_start = true,
	  .choices = sandbox_choices,
	  .fallback = "\"on\"",
	  .at = FIELD(conf, sandbox),
	  .help = "Whether landlock and seccomp confine the processes; `required`: do not start "
		  "without" },
	{ .name = "drain_delay",
	  .type = KEY_DURATION,
	  .fallback = "\"0s\"",
	  .max = 3600 * VALUE_SECOND,
	  .at = FIELD(conf, drain_delay_ns),
	  .help = "How long to go on accepting after SIGTERM while `/readyz` and `/healthz` say no" },
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
	{ .name = "resolver",
	  .type = KEY_OBJECT,
	  .object = &resolver_object,
	  .help = "How the names of servers become addresses" },
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

#define TOKEN_PATTERN "[A-Za-z0-9!#$%&'*+.^_`|~-]+"

/* What is true of every key of a type. */
static const struct {
	const char *expects; /* NULL: made from the key's range or choices */
	const char *pattern;
	bool is_text;
} key_types[KEY_TYPES] = {
	[KEY_BOOL] = { "true or false", NULL, false },
	[KEY_TRUE] = { "true", NULL, false },
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
			  "(" HOST_PATTERN PORT_PATTERN "|unix:[^@].*|_[A-Za-z0-9._-]+)", true },
	[KEY_POOL] = { "the name of a pool", "[^$].*", true },
	[KEY_SIZE] = { "a size such as \"64KiB\"", "[0-9]+(KiB|MiB|GiB)?", true },
	[KEY_CODE] = { NULL, NULL, false },
	[KEY_NETWORK] = { "a network such as \"10.0.0.0/8\"", "[0-9A-Fa-f.:]+(/[0-9]{1,3})?",
			  true },
	[KEY_VHOST] = { "a host such as \"a.example\" or \"*.example\"",
			"(([*]\\.)?[A-Za-z0-9_.-]+|\\[[0-9A-Fa-f.:]+\\])", true },
	[KEY_URL_PATH] = { "a path such as \"/api/\"", "/([!\"$-.0->@-Z^_-~/]|\\[|\\])*", true },
	[KEY_METHOD] = { "a method such as \"GET\"", "[A-Z0-9!#$%&'*+.^_`|~-]+", true },
	[KEY_FIELD] = { "the name of a header field", TOKEN_PATTERN, true },
	[KEY_EDITED] = { "the name of a header field", TOKEN_PATTERN, true },
	[KEY_FIELD_VALUE] = { "the value of a header field", "([^\\u0000-\\u001f\\u007f-\\u009f]*)",
			      true },
	[KEY_LOCATION] = { "\"https\", a URL or a path", "(https|/[!-~]*|https?://[!-~]+)", true },
	[KEY_URI] = { "a URI such as \"spiffe://example.org/web\"",
		      "([A-Za-z][A-Za-z0-9+.-]*://[!-~]+)", true },
	[KEY_HASH] = { "\"client_address\", \"header:NAME\", \"cookie:NAME\" or \"path\"",
		       "(client_address|path|(header|cookie):" TOKEN_PATTERN ")", true },
	[KEY_STATUSES] = { "a status such as \"200\", or a range such as \"200-399\"",
			   "[2-5][0-9]{2}(-[2-5][0-9]{2})?", true },
	[KEY_BODY] = { "a text", "[^\\u0000]*", true },
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

bool key_is_fallback(const struct key *k, const char *choice)
{
	size_t n = strlen(choice);

	return k->fallback != NULL && strlen(k->fallback) == n + 2 &&
	       strncmp(k->fallback + 1, choice, n) == 0;
}

bool key_is_text(enum key_type type)
{
	return key_types[type].is_text;
}

const char *key_pattern(enum key_type type)
{
	return key_types[type].pattern;
}

bool key_is_number(enum key_type type)
{
	return type == KEY_COUNT || type == KEY_CHOICE || type == KEY_DURATION ||
	       type == KEY_SIZE || type == KEY_CODE;
}

bool key_is_set(enum key_type type)
{
	return type == KEY_CIPHER || type == KEY_GROUP || type == KEY_METHOD || type == KEY_VHOST ||
	       type == KEY_EDITED;
}

size_t key_value_size(const struct key *k)
{
	if (k->type == KEY_OBJECT)
		return k->object->size;
	if (k->type == KEY_LISTEN || k->type == KEY_CONNECT)
		return sizeof(struct conf_address);
	if (k->type == KEY_CODE)
		return sizeof(uint64_t);
	return k->type == KEY_NETWORK ? sizeof(struct conf_network) : sizeof(const char *);
}

size_t key_max_text(const struct key *k)
{
	return !key_is_number(k->type) && k->max > 0 ? (size_t)k->max : VALUE_MAX - 1;
}

const char *key_names(const char *const *names, char *out, size_t len)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; names[i] != NULL && n < len; i++) {
		const char *glue = i == 0 ? "" : names[i + 1] == NULL ? " or " : ", ";

		n += (size_t)snprintf(out + n, len - n, "%s\"%s\"", glue, names[i]);
	}
	return out;
}

static void key_expects_choice(const struct key *k, char *out, size_t len)
{
	size_t n = 0;

	for (const struct key_choice *c = k->choices; c->name != NULL && n < len; c++) {
		const char *glue = c == k->choices ? "" : c[1].name == NULL ? " or " : ", ";
		const char *quote = k->type == KEY_CODE ? "" : "\"";

		n += (size_t)snprintf(out + n, len - n, "%s%s%s%s", glue, quote, c->name, quote);
	}
}

static void key_expects_one(const struct key *k, char *out, size_t len)
{
	if (k->type == KEY_COUNT)
		(void)snprintf(out, len, "a whole number from %" PRId64 " to %" PRId64, k->min,
			       k->max);
	else if (k->choices != NULL)
		key_expects_choice(k, out, len);
	else if (k->type == KEY_OBJECT && k->object->only_shorthand)
		key_expects_one(key_find(k->object, k->object->shorthand), out, len);
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
