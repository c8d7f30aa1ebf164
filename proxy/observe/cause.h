/* cause: why a connection or handshake ended: one list for logs and metrics. */
#pragma once

#include "certs/reason.h"

/* Symbol, and its name in logs and metrics: no two have the same, also not with a TLS reason. TLS
 * reasons follow, as CAUSE_TLS + enum tls_reason. */
#define CAUSES(CAUSE)                                               \
	CAUSE(NONE, "none")                                         \
	CAUSE(CLOSED, "closed")                                     \
	CAUSE(CLIENT_RESET, "client_reset")                         \
	CAUSE(CLIENT_TRUNCATED, "client_truncated")                 \
	CAUSE(CLIENT_TLS, "client_tls_error")                       \
	CAUSE(CLIENT_GONE, "client_gone")                           \
	CAUSE(SERVER_RESET, "server_reset")                         \
	CAUSE(SERVER_TRUNCATED, "server_truncated")                 \
	CAUSE(SERVER_TLS, "server_tls_error")                       \
	CAUSE(HANDSHAKE_TIMEOUT, "handshake_timeout")               \
	CAUSE(IDLE_TIMEOUT, "idle_timeout")                         \
	CAUSE(CONNECT_REFUSED, "connect_refused")                   \
	CAUSE(CONNECT_TIMEOUT, "connect_timeout")                   \
	CAUSE(CONNECT_UNREACHABLE, "connect_unreachable")           \
	CAUSE(CONNECT_FAILED, "connect_failed")                     \
	CAUSE(CONNECT_TLS, "connect_tls_failed")                    \
	CAUSE(NO_SERVER, "no_server")                               \
	CAUSE(POOL_FULL, "pool_full")                               \
	CAUSE(ADDRESS_LIMIT, "address_limit")                       \
	CAUSE(DRAIN, "drain_timeout")                               \
	CAUSE(RETIRED, "listener_retired")                          \
	CAUSE(MEMORY, "no_memory")                                  \
	/* HTTP: what was wrong with a request, or took too long */ \
	CAUSE(BAD_REQUEST, "bad_request")                           \
	CAUSE(BAD_FRAMING, "bad_framing")                           \
	CAUSE(BAD_TARGET, "bad_target")                             \
	CAUSE(BAD_HOST, "bad_host")                                 \
	CAUSE(HTTP_VERSION, "unsupported_http_version")             \
	CAUSE(UNKNOWN_METHOD, "unknown_method")                     \
	CAUSE(UNKNOWN_CODING, "unknown_coding")                     \
	CAUSE(METHOD_REFUSED, "method_refused")                     \
	CAUSE(EXPECTATION, "unknown_expectation")                   \
	CAUSE(TARGET_TOO_LONG, "target_too_long")                   \
	CAUSE(HEADER_TOO_LARGE, "header_too_large")                 \
	CAUSE(BODY_TOO_LARGE, "body_too_large")                     \
	CAUSE(HEADER_TIMEOUT, "request_header_timeout")             \
	CAUSE(BODY_TIMEOUT, "request_body_timeout")                 \
	CAUSE(TOO_SLOW, "below_minimum_rate")                       \
	CAUSE(WRITE_TIMEOUT, "response_write_timeout")              \
	CAUSE(MISDIRECTED, "misdirected_request")                   \
	CAUSE(NO_ROUTE, "no_route")                                 \
	/* HTTP/2: a client that breaks its rules, or floods */     \
	CAUSE(H2_PROTOCOL, "h2_protocol_error")                     \
	CAUSE(H2_RESET_FLOOD, "h2_reset_flood")                     \
	CAUSE(H2_CONTROL_FLOOD, "h2_control_flood")                 \
	CAUSE(H2_EMPTY_FLOOD, "h2_empty_frame_flood")               \
	CAUSE(H2_CONTINUATION_FLOOD, "h2_continuation_flood")       \
	CAUSE(H2_HEADER_FLOOD, "h2_header_flood")                   \
	CAUSE(H2_STALL, "h2_window_stall")                          \
	/* and with the server's response */                        \
	CAUSE(BAD_RESPONSE, "bad_response")                         \
	CAUSE(SERVER_CLOSED, "server_closed")                       \
	CAUSE(RESPONSE_TIMEOUT, "response_timeout")                 \
	CAUSE(SERVER_IDLE, "server_idle_timeout")                   \
	CAUSE(SERVER_REFUSED, "server_refused_stream")              \
	CAUSE(ROUTE_TIMEOUT, "route_timeout")

enum cause {
#define CAUSE(sym, name) CAUSE_##sym,
	CAUSES(CAUSE)
#undef CAUSE
		CAUSE_TLS,
	CAUSE_COUNT = CAUSE_TLS + TLS_REASON_COUNT
};

/* cause_name returns the name in logs and metrics; "unknown" for a number out of range. */
const char *cause_name(unsigned cause);
