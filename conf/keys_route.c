/* The keys of a route: what it matches, and what becomes of it. */
#include "conf/conf.h"
#include "conf/keys_parts.h"
#include "conf/values.h"

static const struct key_choice redirect_choices[] = {
	{ "301", 301 }, { "302", 302 }, { "303", 303 }, { "307", 307 }, { "308", 308 }, { NULL, 0 },
};

/* ---- fields */

static const char *const match_one_of[] = { "value", "present", NULL };
static const struct key match_keys[] = {
	{ .name = "value",
	  .type = KEY_FIELD_VALUE,
	  .at = FIELD(conf_field_match, value),
	  .help = "The value it must have, in the same case" },
	{ .name = "present",
	  .type = KEY_TRUE,
	  .at = FIELD(conf_field_match, present),
	  .help = "It must be there, whatever its value" },
};
static const struct object match_object = {
	.name = "value or {\"present\": true}",
	.help = "A field that a request must have",
	.size = sizeof(struct conf_field_match),
	.shorthand = "value",
	.map_name = FIELD(conf_field_match, name),
	.map_type = KEY_FIELD,
	.one_of = match_one_of,
	KEYS(match_keys),
};

static const struct key field_keys[] = {
	{ .name = "value",
	  .type = KEY_FIELD_VALUE,
	  .at = FIELD(conf_field, value),
	  .help = "Value of the field" },
};
static const struct object field_object = {
	.name = "value",
	.help = "A field",
	.size = sizeof(struct conf_field),
	.shorthand = "value",
	.only_shorthand = true,
	.map_name = FIELD(conf_field, name),
	.map_type = KEY_EDITED,
	KEYS(field_keys),
};

static const struct key edits_keys[] = {
	{ .name = "remove",
	  .type = KEY_EDITED,
	  .shape = KEY_LIST,
	  .max = CONF_MAX_NAME,
	  .max_num = CONF_MAX_ROUTE_WORDS,
	  .at = FIELD(conf_edits, remove),
	  .num = FIELD(conf_edits, num_remove),
	  .fallback_doc = "none",
	  .help = "Names of fields to take out, first of all" },
	{ .name = "set",
	  .type = KEY_OBJECT,
	  .shape = KEY_MAP,
	  .max_num = CONF_MAX_ROUTE_WORDS,
	  .object = &field_object,
	  .fallback_doc = "none",
	  .at = FIELD(conf_edits, set),
	  .num = FIELD(conf_edits, num_set),
	  .help = "Fields to set, in place of all of that name" },
	{ .name = "add",
	  .type = KEY_OBJECT,
	  .shape = KEY_MAP,
	  .max_num = CONF_MAX_ROUTE_WORDS,
	  .object = &field_object,
	  .fallback_doc = "none",
	  .at = FIELD(conf_edits, add),
	  .num = FIELD(conf_edits, num_add),
	  .help = "Fields to add to those that are there" },
};
static const struct object edits_object = {
	.name = "edits",
	.help = "Changes to the fields of a head. Those of the connection, of the body's length and "
		"`Host` are the proxy's own and refused here",
	KEYS(edits_keys),
};

/* ---- actions */

static const struct key redirect_keys[] = {
	{ .name = "location",
	  .type = KEY_LOCATION,
	  .required = true,
	  .at = FIELD(conf_redirect, location),
	  .help = "Where to: `https` is the same place by HTTPS; an origin such as "
		  "`https://www.example.com` is the same path there; else it is sent as it is" },
	{ .name = "status",
	  .type = KEY_CODE,
	  .choices = redirect_choices,
	  .fallback = "308",
	  .at = FIELD(conf_redirect, status),
	  .help = "Status of the response" },
	{ .name = "port",
	  .type = KEY_COUNT,
	  .min = 1,
	  .max = UINT16_MAX,
	  .fallback_doc = "443",
	  .at = FIELD(conf_redirect, port),
	  .help = "Where HTTPS is served, for the location `https`" },
};
static const struct object redirect_object = {
	.name = "redirect",
	.help = "A response that sends the client elsewhere",
	.size = sizeof(struct conf_redirect),
	.shorthand = "location",
	KEYS(redirect_keys),
};

static const struct key respond_keys[] = {
	{ .name = "status",
	  .type = KEY_COUNT,
	  .required = true,
	  .min = 200,
	  .max = 599,
	  .at = FIELD(conf_respond, status),
	  .help = "Status of the response" },
	{ .name = "body",
	  .type = KEY_BODY,
	  .fallback = "\"\"",
	  .at = FIELD(conf_respond, body),
	  .help = "Body of the response" },
	{ .name = "headers",
	  .type = KEY_OBJECT,
	  .shape = KEY_MAP,
	  .max_num = CONF_MAX_ROUTE_WORDS,
	  .object = &field_object,
	  .fallback_doc = "none",
	  .at = FIELD(conf_respond, headers),
	  .num = FIELD(conf_respond, num_headers),
	  .help = "Its fields, such as `Content-Type`" },
};
static const struct object respond_object = {
	.name = "respond",
	.help = "A response made here",
	.size = sizeof(struct conf_respond),
	KEYS(respond_keys),
};

static const struct key hsts_keys[] = {
	{ .name = "max_age",
	  .type = KEY_DURATION,
	  .fallback = "\"365d\"",
	  .min = 0,
	  .max = 3650 * VALUE_DAY,
	  .at = FIELD(conf_hsts, max_age_ns),
	  .help = "How long a client remembers to come by HTTPS only; \"0s\" makes it forget" },
	{ .name = "include_subdomains",
	  .type = KEY_BOOL,
	  .fallback = "false",
	  .at = FIELD(conf_hsts, include_subdomains),
	  .help = "Names below this host, too" },
	{ .name = "preload",
	  .type = KEY_BOOL,
	  .fallback = "false",
	  .at = FIELD(conf_hsts, preload),
	  .help = "Allow browsers to have it built in" },
};
static const struct object hsts_object = {
	.name = "hsts",
	.help = "Strict-Transport-Security (RFC 6797)",
	.size = sizeof(struct conf_hsts),
	.shorthand = "max_age",
	KEYS(hsts_keys),
};

/* ---- route */

static const char *const pool_only[] = { "pool", NULL };
static const char *const paths[] = { "path", "path_prefix", NULL };
static const char *const actions[] = { "pool", "redirect", "respond", NULL };

static const struct key route_keys[] = {
	{ .name = "host",
	  .type = KEY_VHOST,
	  .shape = KEY_ONE_OR_LIST,
	  .max_num = CONF_MAX_ROUTE_WORDS,
	  .max = CONF_MAX_VHOST,
	  .fallback_doc = "any",
	  .at = FIELD(conf_route, hosts),
	  .num = FIELD(conf_route, num_hosts),
	  .help = "Host of the request; `*.example.com` is every name below `example.com`" },
	{ .name = "path",
	  .type = KEY_URL_PATH,
	  .fallback_doc = "any",
	  .at = FIELD(conf_route, path),
	  .help = "The whole path, as it is after normalising" },
	{ .name = "path_prefix",
	  .type = KEY_URL_PATH,
	  .fallback_doc = "any",
	  .at = FIELD(conf_route, path_prefix),
	  .help = "Beginning of the path" },
	{ .name = "methods",
	  .type = KEY_METHOD,
	  .shape = KEY_ONE_OR_LIST,
	  .max_num = CONF_MAX_ROUTE_WORDS,
	  .max = KEY_MAX_METHOD,
	  .fallback_doc = "any",
	  .at = FIELD(conf_route, methods),
	  .num = FIELD(conf_route, num_methods),
	  .help = "Methods of the request" },
	{ .name = "headers",
	  .type = KEY_OBJECT,
	  .shape = KEY_MAP,
	  .max_num = CONF_MAX_ROUTE_WORDS,
	  .object = &match_object,
	  .fallback_doc = "none",
	  .at = FIELD(conf_route, headers),
	  .num = FIELD(conf_route, num_headers),
	  .help = "Fields that the request must have, all of them" },
	{ .name = "source",
	  .type = KEY_NETWORK,
	  .shape = KEY_ONE_OR_LIST,
	  .max_num = CONF_MAX_ROUTE_WORDS,
	  .fallback_doc = "any",
	  .at = FIELD(conf_route, source),
	  .num = FIELD(conf_route, num_source),
	  .help = "Networks that the client's address may be in" },
	{ .name = "pool",
	  .type = KEY_POOL,
	  .max = CONF_MAX_NAME,
	  .at = FIELD(conf_route, pool),
	  .help = "Name of the pool that answers" },
	{ .name = "redirect",
	  .type = KEY_OBJECT,
	  .shape = KEY_OPTIONAL,
	  .object = &redirect_object,
	  .at = FIELD(conf_route, redirect),
	  .help = "Send the client elsewhere" },
	{ .name = "respond",
	  .type = KEY_OBJECT,
	  .shape = KEY_OPTIONAL,
	  .object = &respond_object,
	  .at = FIELD(conf_route, respond),
	  .help = "Answer at once" },
	{ .name = "strip_prefix",
	  .type = KEY_URL_PATH,
	  .with = paths,
	  .fallback_doc = "none",
	  .at = FIELD(conf_route, strip_prefix),
	  .help = "Whole segments at the beginning of the path that the pool is not to see" },
	{ .name = "request_headers",
	  .type = KEY_OBJECT,
	  .with = pool_only,
	  .object = &edits_object,
	  .at = FIELD(conf_route, request_headers),
	  .help = "Changes to the request" },
	{ .name = "response_headers",
	  .type = KEY_OBJECT,
	  .object = &edits_object,
	  .at = FIELD(conf_route, response_headers),
	  .help = "Changes to the response" },
	{ .name = "hsts",
	  .type = KEY_OBJECT,
	  .shape = KEY_OPTIONAL,
	  .object = &hsts_object,
	  .fallback_doc = "none",
	  .at = FIELD(conf_route, hsts),
	  .help = "Tell clients to come by HTTPS only; needs a listener with `tls`" },
};
const struct object route_object = {
	.name = "route",
	.help = "Which requests, and what becomes of them",
	.size = sizeof(struct conf_route),
	.pointer = FIELD(conf_route, pointer),
	.one_of = actions,
	.at_most_one = paths,
	KEYS(route_keys),
};
