/* reason: why a TLS handshake or connection failed, from the library's error queue: a stable
 * symbol for metrics, and a sentence for people. */
#pragma once

#include <stddef.h>

#include "certs/compat.h"

/* Causes: symbol, name in metrics and logs. */
#define TLS_REASONS(TLS_REASON)                                          \
	TLS_REASON(OTHER, "tls_other")                                   \
	TLS_REASON(NOT_TLS, "not_tls")                                   \
	TLS_REASON(HTTP_REQUEST, "http_request")                         \
	TLS_REASON(VERSION, "unsupported_version")                       \
	TLS_REASON(NO_SHARED_CIPHER, "no_shared_cipher")                 \
	TLS_REASON(NO_SHARED_GROUP, "no_shared_group")                   \
	TLS_REASON(NO_SHARED_SIGALG, "no_shared_signature_algorithm")    \
	TLS_REASON(NO_PROTOCOL, "no_application_protocol")               \
	TLS_REASON(UNRECOGNIZED_NAME, "unrecognized_name")               \
	TLS_REASON(DECODE, "decode_error")                               \
	TLS_REASON(BAD_RECORD, "bad_record")                             \
	TLS_REASON(PROTOCOL, "protocol_error")                           \
	TLS_REASON(PEER_ALERT, "peer_alert")                             \
	TLS_REASON(PEER_REJECTS_CERTIFICATE, "peer_rejects_certificate") \
	TLS_REASON(VERIFY, "certificate_verify_failed")                  \
	TLS_REASON(KEY, "private_key_failed")                            \
	TLS_REASON(SHED, "handshake_shed")                               \
	TLS_REASON(MEMORY, "out_of_memory")

enum tls_reason {
#define TLS_REASON(sym, name) TLS_REASON_##sym,
	TLS_REASONS(TLS_REASON)
#undef TLS_REASON
		TLS_REASON_COUNT
};

/* tls_reason_name returns the cause's name; never NULL. */
const char *tls_reason_name(enum tls_reason r);

/* tls_reason_take empties the thread's error queue and returns what it says about `ssl`; `words`
 * (of `len` bytes) gets a sentence for people, e.g. with the alert that the peer sent. */
enum tls_reason tls_reason_take(const SSL *ssl, char *words, size_t len);
