/* cause: why a connection or handshake ended: one list for logs and metrics. */
#pragma once

#include "certs/reason.h"

/* Symbol, and its name in logs and metrics: no two have the same, also not with a TLS reason. TLS
 * reasons follow, as CAUSE_TLS + enum tls_reason. */
#define CAUSES(CAUSE)                                     \
	CAUSE(NONE, "none")                               \
	CAUSE(CLOSED, "closed")                           \
	CAUSE(CLIENT_RESET, "client_reset")               \
	CAUSE(CLIENT_TRUNCATED, "client_truncated")       \
	CAUSE(CLIENT_TLS, "client_tls_error")             \
	CAUSE(CLIENT_GONE, "client_gone")                 \
	CAUSE(SERVER_RESET, "server_reset")               \
	CAUSE(SERVER_TRUNCATED, "server_truncated")       \
	CAUSE(SERVER_TLS, "server_tls_error")             \
	CAUSE(HANDSHAKE_TIMEOUT, "handshake_timeout")     \
	CAUSE(IDLE_TIMEOUT, "idle_timeout")               \
	CAUSE(CONNECT_REFUSED, "connect_refused")         \
	CAUSE(CONNECT_TIMEOUT, "connect_timeout")         \
	CAUSE(CONNECT_UNREACHABLE, "connect_unreachable") \
	CAUSE(CONNECT_FAILED, "connect_failed")           \
	CAUSE(CONNECT_TLS, "connect_tls_failed")          \
	CAUSE(NO_SERVER, "no_server")                     \
	CAUSE(POOL_FULL, "pool_full")                     \
	CAUSE(ADDRESS_LIMIT, "address_limit")             \
	CAUSE(DRAIN, "drain_timeout")                     \
	CAUSE(RETIRED, "listener_retired")                \
	CAUSE(MEMORY, "no_memory")

enum cause {
#define CAUSE(sym, name) CAUSE_##sym,
	CAUSES(CAUSE)
#undef CAUSE
		CAUSE_TLS,
	CAUSE_COUNT = CAUSE_TLS + TLS_REASON_COUNT
};

/* cause_name returns the name in logs and metrics; "unknown" for a number out of range. */
const char *cause_name(unsigned cause);
