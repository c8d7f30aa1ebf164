/* conf: the configuration: JSON text in, one immutable and validated tree out, or a list of
 * every problem found. Pure: reads no file, no environment, no clock; what it needs of them is
 * passed in. Never sees a socket or a key. Any thread; the tree is read-only once made. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/problems.h"
#include "conf/span.h"

enum {
	CONF_MAX_LISTENERS = 256,
	CONF_MAX_ADDRESSES = 16,       /* of one listener */
	CONF_MAX_CERTIFICATES = 10000, /* entries of one listener; a folder holds any number */
	CONF_MAX_POOLS = 1024,
	CONF_MAX_SERVERS = 4096,    /* of all pools together */
	CONF_MAX_ROUTES = 20000,    /* of one listener */
	CONF_MAX_SNI_ROUTES = 1024, /* likewise */
	CONF_MAX_ROUTE_WORDS = 256, /* hosts, methods, headers, networks of one route, each */
	CONF_MAX_WORKERS = 256,
	CONF_MAX_NAME_SERVERS = 8,
	CONF_MAX_VHOST = 256,	  /* bytes of a route's host */
	CONF_MAX_NAME = 128,	  /* bytes of the name of a listener, pool or server */
	CONF_MAX_TEXT = 16 << 20, /* bytes of a configuration, as given and as canonical text */
};

/* Where to listen or to connect. `text` is its canonical spelling and its identity. */
struct conf_address {
	bool is_unix;
	uint16_t port;	  /* TCP: 1 to 65535; 0: `host` is a service, whose records say it */
	const char *host; /* TCP: name or address without brackets; NULL: any, both families */
	const char *path; /* unix: absolute path, shorter than sun_path */
	const char *text; /* "host:port", "[::1]:443", ":443", "unix:/run/app.sock" */
};

/* One entry of `certificates`: a path (file or folder), or a pair. Paths are absolute. */
struct conf_certificate {
	const char *certificate;
	const char *key;     /* NULL: in the same file, or `certificate` is a folder */
	const char *pointer; /* JSON pointer of the entry, for messages */
};

/* TLS of a listener. */
struct conf_tls {
	const struct conf_certificate *certificates;
	size_t num_certificates;
	const char *default_certificate; /* path of a file loaded above; NULL: the first */
	bool strict_sni;
	uint16_t min_version; /* 0x0303 or 0x0304, as on the wire */
	uint16_t max_version;
	const char *ciphers;	   /* TLS 1.2, BoringSSL's list syntax: names joined by ':' */
	const char *const *groups; /* as configured, or the default list; order of preference */
	size_t num_groups;
	bool groups_given; /* false: default, from which unsupported ones are left out */
	const char *pointer;
};

/* A network in CIDR notation; a plain address is one of all bits. */
struct conf_network {
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t bits;
	uint8_t bytes[16]; /* those past `bits` are 0; IPv4 takes the first four */
};

/* A header field that is set or added. */
struct conf_field {
	const char *name;
	const char *value;
};

/* A header field that a request must have: with this value, or, NULL, with any. */
struct conf_field_match {
	const char *name;
	const char *value;
	bool present; /* true where `value` is NULL */
};

/* What is done to the fields of a head: first `remove`, then `set`, then `add`. */
struct conf_edits {
	const char *const *remove;
	size_t num_remove;
	const struct conf_field *set;
	size_t num_set;
	const struct conf_field *add;
	size_t num_add;
};

/* Where a client is sent instead. */
struct conf_redirect {
	const char *location; /* "https": the same place by HTTPS. An origin without a path: the
				 same path there. Else as it is */
	unsigned status;      /* 301, 302, 303, 307, 308 */
	uint16_t port;	      /* of HTTPS, where `location` is "https"; else 0 */
};

/* An answer made here. */
struct conf_respond {
	unsigned status; /* 200 to 599 */
	const char *body;
	const struct conf_field *headers;
	size_t num_headers;
};

/* Strict-Transport-Security (RFC 6797). */
struct conf_hsts {
	int64_t max_age_ns;
	bool include_subdomains, preload;
};

/* After which failures a request is sent again. */
enum conf_retry_on { CONF_RETRY_CONNECT, CONF_RETRY_RESET, CONF_RETRY_503 };

struct conf_retry {
	unsigned attempts;	 /* times that a request is sent, the first included */
	unsigned budget_percent; /* of all requests */
	const uint64_t *on;	 /* enum conf_retry_on */
	size_t num_on;
};

/* Which requests, and what becomes of them. */
struct conf_route {
	const char *const *hosts; /* "a.example" or "*.example", lower case; none: any */
	size_t num_hosts;
	const char *path;	 /* the whole path, or NULL */
	const char *path_prefix; /* its beginning, or NULL; not both */
	const char *const *methods;
	size_t num_methods; /* 0: any */
	const struct conf_field_match *headers;
	size_t num_headers;
	const struct conf_network *source; /* of the client's address */
	size_t num_source;		   /* 0: any */
	/* Exactly one of: */
	size_t pool; /* CONF_NO_POOL: none */
	const struct conf_redirect *redirect;
	const struct conf_respond *respond;
	const char *strip_prefix; /* taken off the path before it is forwarded; or NULL */
	struct conf_edits request_headers, response_headers;
	const struct conf_hsts *hsts;	/* or NULL */
	const struct conf_retry *retry; /* NULL: as the pool says */
	int64_t timeout_ns;		/* from its head to the end of the response; 0: none */
	const char *pointer;
};

#define CONF_NO_POOL SIZE_MAX

enum conf_slashes { CONF_SLASHES_KEEP, CONF_SLASHES_REJECT };

/* Which fields tell the backend who the client is. */
enum conf_forwarded {
	CONF_FORWARDED_X,   /* X-Forwarded-* */
	CONF_FORWARDED_RFC, /* Forwarded, RFC 7239 */
	CONF_FORWARDED_BOTH,
	CONF_FORWARDED_NONE,
};

enum { CONF_HTTP1 = 11, CONF_HTTP2 = 20 }; /* versions */

/* HTTP as a listener speaks it. */
struct conf_http {
	const uint64_t *versions; /* CONF_HTTP1, CONF_HTTP2, in order of preference */
	size_t num_versions;
	bool versions_given; /* without TLS, HTTP/2 is spoken only where it is asked for */
	unsigned max_concurrent_streams; /* of one connection of HTTP/2 */
	uint64_t max_header_size;
	unsigned max_headers;
	uint64_t max_body_size;		      /* 0: no limit */
	uint64_t max_requests_per_connection; /* 0: no limit */
	enum conf_slashes escaped_slashes;
	enum conf_forwarded forwarded;
	const char *server_header; /* value of Server in every response; NULL: the backend's */
};

/* Which names that clients ask for (SNI) go where. */
struct conf_sni_route {
	const char *const
		*hosts; /* "a.example" or "*.example", lower case; none: any, or no name */
	size_t num_hosts;
	size_t pool;
	bool passthrough; /* TLS is left to the server */
	const char *pointer;
};

enum conf_mode { CONF_MODE_HTTP, CONF_MODE_TCP };

struct conf_listener {
	const char *name;
	const struct conf_address *addresses;
	size_t num_addresses;
	enum conf_mode mode;
	const struct conf_tls *tls; /* NULL: plaintext */
	/* Index in conf.pools. Mode tcp has one, or `sni_routes`. In mode http it stands for one
	 * route that matches everything, which is then in `routes`. CONF_NO_POOL: not given. */
	size_t pool;
	const struct conf_route *routes; /* mode http: one or more */
	size_t num_routes;
	const struct conf_sni_route *sni_routes; /* mode tcp */
	size_t num_sni_routes;
	const struct conf_network *trusted_proxies;
	size_t num_trusted_proxies;
	struct conf_http http;
	struct {
		int64_t handshake_ns;
		int64_t idle_ns;
		int64_t request_header_ns; /* whole time */
		int64_t request_body_ns;   /* between bytes */
		int64_t keepalive_ns;
		int64_t response_write_ns; /* without progress */
		uint64_t minimum_rate;	   /* bytes per second of a body; 0: no limit */
	} timeouts;
	const char *pointer;
};

/* TLS of a pool, towards its servers. */
struct conf_pool_tls {
	bool verify;
	const char *ca;		 /* absolute path of a PEM file; NULL: the system store */
	const char *server_name; /* NULL: the server's host */
	const char *server_uri;	 /* to find in the certificate in place of the name; or NULL */
	const char *certificate; /* absolute path of a PEM file; NULL: none is shown */
	const char *key;	 /* the same; NULL: in the certificate's file */
	uint16_t min_version;
};

struct conf_server {
	const char *name; /* default: the address's text */
	struct conf_address address;
	unsigned weight; /* 1 to 256 */
	bool backup;	 /* used only where no other is usable */
};

/* What is spoken to the servers of a pool. */
enum conf_protocol {
	CONF_PROTOCOL_HTTP1,
	CONF_PROTOCOL_HTTP2,
	CONF_PROTOCOL_AUTO, /* as they choose by ALPN */
};

/* The cookie that names a client's server. */
struct conf_sticky {
	const char *cookie;
	const char *secret; /* NULL: one that no restart outlives */
	int64_t max_age_ns; /* 0: as long as the browser is open */
};

/* How the servers of a pool are asked whether they are well. */
struct conf_health {
	const char *path; /* what is asked for by HTTP; or NULL, with */
	bool tcp;	  /* true: that it connects is enough */
	int64_t interval_ns, timeout_ns;
	unsigned rise, fall;	   /* checks in a row that change what is thought of it */
	const char *const *expect; /* "200" or "200-399": statuses of those that are well */
	size_t num_expect;
	const char *host; /* NULL: the server's */
};

/* When a server that fails is taken out of use. */
struct conf_eject {
	unsigned failures; /* in a row; 0: never */
	int64_t for_ns;
	unsigned max_percent; /* of the pool's servers, at a time */
};

enum conf_balance {
	CONF_BALANCE_LEAST_REQUESTS,
	CONF_BALANCE_ROUND_ROBIN,
	CONF_BALANCE_RANDOM,
	CONF_BALANCE_HASH,
	CONF_BALANCE_FIRST,
};

/* What a balance by hash goes by. */
enum conf_hash {
	CONF_HASH_CLIENT_ADDRESS,
	CONF_HASH_HEADER,
	CONF_HASH_COOKIE,
	CONF_HASH_PATH,
};

/* How the names of a pool's servers become addresses. */
enum conf_discovery {
	CONF_DISCOVERY_DNS,  /* all of a host, asked for again when their time is over */
	CONF_DISCOVERY_SRV,  /* those of a service (RFC 2782), likewise */
	CONF_DISCOVERY_ONCE, /* with each load */
};

struct conf_pool {
	const char *name;
	const struct conf_server *servers;
	size_t num_servers;
	enum conf_discovery discovery;
	enum conf_balance balance;
	enum conf_hash hash;
	const char *hash_name; /* of the header or cookie; else NULL */
	const char *hash_text; /* as it is written; only the reader goes by it */
	bool hash_given;
	const struct conf_sticky *sticky; /* or NULL */
	enum conf_protocol protocol;
	const struct conf_pool_tls *tls; /* NULL: plaintext */
	uint64_t max_connections;	 /* per server, all workers together; 0: no limit */
	uint64_t max_pending;		 /* who waits for one, all workers together; 0: nobody */
	int64_t pending_ns;		 /* how long */
	unsigned idle_connections;	 /* kept by one worker; 0: none */
	int64_t idle_connection_ns;	 /* how long one is kept without use */
	struct conf_retry retry;
	struct conf_eject eject;
	const struct conf_health *health; /* NULL: what happens to requests tells enough */
	unsigned panic_percent; /* all are asked where fewer servers are in use; 0: where none is */
	int64_t slow_start_ns;	/* over which a server that is back gets its weight; 0: at once */
	struct {
		int64_t connect_ns;
		int64_t response_header_ns;
		int64_t idle_ns;
	} timeouts;
	const char *pointer;
};

enum conf_log_level { CONF_LOG_ERROR, CONF_LOG_WARNING, CONF_LOG_INFO, CONF_LOG_DEBUG };

struct conf_log {
	enum conf_log_level level;
	const char *error;  /* absolute path, or "stderr" or "stdout" */
	const char *access; /* NULL: none; else absolute path, or "stderr" or "stdout" */
	enum conf_log_format { CONF_LOG_JSON, CONF_LOG_COMBINED } format; /* of access lines */
};

struct conf {
	const struct conf_listener *listeners;
	size_t num_listeners;
	const struct conf_pool *pools;
	size_t num_pools;
	unsigned workers; /* 0: as many as CPUs the process may use */
	const char *user; /* NULL: "sallyport" if there is one, else "nobody" */
	const char *group;
	bool key_isolation;
	enum conf_sandbox { CONF_SANDBOX_ON, CONF_SANDBOX_REQUIRED, CONF_SANDBOX_OFF } sandbox;
	int64_t drain_delay_ns, drain_timeout_ns;
	struct {
		uint64_t connections;		  /* 0: from the descriptor limit */
		uint64_t connections_per_address; /* 0: no limit */
	} limits;
	struct {
		const struct conf_address *servers; /* IP addresses; none: as the system says */
		size_t num_servers;
		int64_t min_ttl_ns, max_ttl_ns;
	} resolver;
	struct conf_log log;
	struct {
		bool on;
		bool given;		     /* false: the default address, from the environment */
		struct conf_address address; /* where `given` */
	} admin;
};

/* What parsing may know of the world. */
struct conf_source {
	const char *file;   /* for messages */
	const char *folder; /* absolute: relative paths are taken from here */
	/* Value of an environment variable or NULL; NULL: "${NAME}" is not expanded at all,
	 * as in canonical text, which has none left. */
	const char *(*getenv)(const char *name);
};

/* conf_parse reads JSON `text`. On success an immutable tree (free with conf_free), warnings
 * perhaps added to `why`. NULL: every error found has been added to `why`, with file, line and
 * column for syntax and a JSON pointer for meaning. Reads no file, not even for random bytes. */
struct conf *conf_parse(struct span text, const struct conf_source *from, struct problems *why);

/* conf_free frees the tree and all it points to. NULL is fine. */
void conf_free(struct conf *c);

/* conf_canonical returns the configuration as canonical JSON: what was given, in its order, with
 * variables expanded, paths absolute, addresses in one spelling, and without annotations;
 * conf_parse of it with any folder and no `getenv` gives an equal tree. The text belongs to `c`. */
const char *conf_canonical(const struct conf *c);

/* conf_same_start compares the keys that are taken only at start. True if all are equal; else an
 * error for each changed key is added to `why`. `file` is named in it. */
bool conf_same_start(const struct conf *old, const struct conf *now, const char *file,
		     struct problems *why);

/* conf_schema returns the JSON Schema (draft 2020-12) of the configuration as text to be freed
 * with free(). NULL: out of memory. */
char *conf_schema(void);

/* conf_reference returns the reference page of every key as Markdown, to be freed with free().
 * NULL: out of memory. */
char *conf_reference(void);

/* What `sallyport proxy` takes from its flags. */
struct conf_sidecar {
	const char *const *listen; /* one or more addresses */
	size_t num_listen;
	const char *cert;	    /* NULL: plaintext */
	const char *key;	    /* NULL: in the same file */
	const char *const *backend; /* one or more addresses */
	size_t num_backend;
	const char *mode;  /* NULL: the default */
	const char *admin; /* NULL: the default; "false": none */
	/* Addresses, or none, where plaintext HTTP is sent on to HTTPS: to the port of the first
	 * address of `listen`, or 443 where that has none that can be read. */
	const char *const *redirect_from;
	size_t num_redirect_from;
};

/* conf_sidecar_json returns the configuration that the flags stand for, as indented JSON to be
 * freed with free(). The text is not validated: conf_parse does that, and "${NAME}" in a flag
 * stands for a variable as it does in a file. NULL: out of memory. */
char *conf_sidecar_json(const struct conf_sidecar *flags);

/* conf_address_parse reads an address as CONFIG.md spells it. False with a sentence in `why`
 * (`why_len` bytes) where it is none; `*out` then stays as it was. Its strings point to one
 * allocation that conf_address_fini frees. */
bool conf_address_parse(const char *text, bool host_required, struct conf_address *out, char *why,
			size_t why_len);

/* conf_address_fini frees what conf_address_parse allocated. */
void conf_address_fini(struct conf_address *a);
