#include "certs/reason.h"

#include <stdio.h>

#include "certs/client.h"
#include "certs/reason_raise.h"

enum { ALERT_BASE = 1000 }; /* what the library adds to an alert of the peer */

/* What a reason of the library means to us. Words: NULL takes those of the reason. */
struct known {
	int reason; /* SSL_R_* */
	enum tls_reason is;
};

static const struct known knowns[] = {
	{ SSL_R_HTTP_REQUEST, TLS_REASON_HTTP_REQUEST },
	{ SSL_R_HTTPS_PROXY_REQUEST, TLS_REASON_HTTP_REQUEST },
	{ SSL_R_WRONG_VERSION_NUMBER, TLS_REASON_NOT_TLS },
	{ SSL_R_UNKNOWN_PROTOCOL, TLS_REASON_NOT_TLS },
	{ SSL_R_UNSUPPORTED_PROTOCOL, TLS_REASON_VERSION },
	{ SSL_R_UNKNOWN_SSL_VERSION, TLS_REASON_VERSION },
	{ SSL_R_WRONG_SSL_VERSION, TLS_REASON_VERSION },
	{ SSL_R_INAPPROPRIATE_FALLBACK, TLS_REASON_VERSION },
	{ SSL_R_NO_SHARED_CIPHER, TLS_REASON_NO_SHARED_CIPHER },
	{ SSL_R_NO_CIPHERS_AVAILABLE, TLS_REASON_NO_SHARED_CIPHER },
	{ SSL_R_NO_SHARED_GROUP, TLS_REASON_NO_SHARED_GROUP },
	{ SSL_R_WRONG_CURVE, TLS_REASON_NO_SHARED_GROUP },
	{ SSL_R_NO_COMMON_SIGNATURE_ALGORITHMS, TLS_REASON_NO_SHARED_SIGALG },
	{ SSL_R_WRONG_SIGNATURE_TYPE, TLS_REASON_NO_SHARED_SIGALG },
	{ SSL_R_NO_APPLICATION_PROTOCOL, TLS_REASON_NO_PROTOCOL },
	{ SSL_R_DECODE_ERROR, TLS_REASON_DECODE },
	{ SSL_R_CLIENTHELLO_PARSE_FAILED, TLS_REASON_DECODE },
	{ SSL_R_PARSE_TLSEXT, TLS_REASON_DECODE },
	{ SSL_R_ERROR_PARSING_EXTENSION, TLS_REASON_DECODE },
	{ SSL_R_LENGTH_MISMATCH, TLS_REASON_DECODE },
	{ SSL_R_BAD_PACKET_LENGTH, TLS_REASON_DECODE },
	{ SSL_R_DUPLICATE_EXTENSION, TLS_REASON_DECODE },
	{ SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, TLS_REASON_BAD_RECORD },
	{ SSL_R_DECRYPTION_FAILED, TLS_REASON_BAD_RECORD },
	{ SSL_R_DIGEST_CHECK_FAILED, TLS_REASON_BAD_RECORD },
	{ SSL_R_ENCRYPTED_LENGTH_TOO_LONG, TLS_REASON_BAD_RECORD },
	{ SSL_R_DATA_LENGTH_TOO_LONG, TLS_REASON_BAD_RECORD },
	{ SSL_R_CERTIFICATE_VERIFY_FAILED, TLS_REASON_VERIFY },
	{ SSL_R_PRIVATE_KEY_OPERATION_FAILED, TLS_REASON_KEY },
};

static const char *const reason_words[TLS_REASON_COUNT] = {
	[TLS_REASON_OTHER] = "the handshake failed",
	[TLS_REASON_NOT_TLS] = "the peer sent bytes that are not TLS",
	[TLS_REASON_HTTP_REQUEST] =
		"the client sent a plain HTTP request to a TLS port; use https://",
	[TLS_REASON_VERSION] = "no TLS version in common; see min_version and max_version",
	[TLS_REASON_NO_SHARED_CIPHER] =
		"no cipher suite in common; see ciphers and the certificates' key types",
	[TLS_REASON_NO_SHARED_GROUP] = "no key exchange group in common; see groups",
	[TLS_REASON_NO_SHARED_SIGALG] =
		"the peer can verify no signature of the certificate's key type",
	[TLS_REASON_NO_PROTOCOL] =
		"the client asked (ALPN) for no protocol that this listener speaks",
	[TLS_REASON_UNRECOGNIZED_NAME] =
		"no certificate has the name that the client asked for (strict_sni)",
	[TLS_REASON_DECODE] = "the peer sent a malformed message",
	[TLS_REASON_BAD_RECORD] = "a record was damaged on its way",
	[TLS_REASON_PROTOCOL] = "the peer broke the protocol",
	[TLS_REASON_PEER_ALERT] = "the peer gave up",
	[TLS_REASON_PEER_REJECTS_CERTIFICATE] = "the peer does not accept the certificate",
	[TLS_REASON_VERIFY] = "the server's certificate could not be verified",
	[TLS_REASON_KEY] = "the private key could not sign",
	[TLS_REASON_SHED] =
		"so many handshakes wait for a signature that this one could not finish in time",
	[TLS_REASON_MEMORY] = "out of memory",
};

const char *tls_reason_name(enum tls_reason r)
{
	static const char *const names[TLS_REASON_COUNT] = {
#define TLS_REASON(sym, name) [TLS_REASON_##sym] = name,
		TLS_REASONS(TLS_REASON)
#undef TLS_REASON
	};

	return (unsigned)r < TLS_REASON_COUNT ? names[r] : names[TLS_REASON_OTHER];
}

/* Alerts that speak of the certificate we showed (RFC 8446 6.2). */
static bool alert_about_certificate(int alert)
{
	switch (alert) {
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_REVOKED:
	case SSL_AD_CERTIFICATE_EXPIRED:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_UNKNOWN_CA:
	case SSL_AD_BAD_CERTIFICATE_STATUS_RESPONSE:
		return true;
	default:
		return false;
	}
}

static enum tls_reason reason_of_alert(int alert, char *words, size_t len)
{
	enum tls_reason r = alert_about_certificate(alert) ? TLS_REASON_PEER_REJECTS_CERTIFICATE
							   : TLS_REASON_PEER_ALERT;

	(void)snprintf(words, len, "%s: it sent the alert \"%s\" (%d)", reason_words[r],
		       SSL_alert_desc_string_long(alert), alert);
	return r;
}

static enum tls_reason reason_of_ssl(int code)
{
	for (size_t i = 0; i < sizeof(knowns) / sizeof(knowns[0]); i++) {
		if (knowns[i].reason == code)
			return knowns[i].is;
	}
	return TLS_REASON_PROTOCOL;
}

/* Reason of one entry of the queue. */
static enum tls_reason reason_of(uint32_t error)
{
	int lib = ERR_GET_LIB(error);
	int code = ERR_GET_REASON(error);

	if (lib == ERR_LIB_USER && code > 0 && code <= TLS_REASON_COUNT)
		return (enum tls_reason)(code - 1);
	if (code == ERR_R_MALLOC_FAILURE)
		return TLS_REASON_MEMORY;
	return lib == ERR_LIB_SSL ? reason_of_ssl(code) : TLS_REASON_OTHER;
}

/* The oldest entry that speaks of TLS: what came first. Before it may stand what a cipher or a
 * parser had to say; that is taken only where nothing else is there. */
static uint32_t first_error(void)
{
	uint32_t first = ERR_get_error();
	uint32_t error = first;

	while (error != 0 && ERR_GET_LIB(error) != ERR_LIB_SSL &&
	       ERR_GET_LIB(error) != ERR_LIB_USER)
		error = ERR_get_error();
	return error == 0 ? first : error;
}

enum tls_reason tls_reason_take(const SSL *ssl, char *words, size_t len)
{
	uint32_t error = first_error();
	const char *failure = ssl == NULL ? NULL : client_tls_failure(ssl);
	enum tls_reason r;

	if (error == 0) {
		(void)snprintf(words, len, "%s", reason_words[TLS_REASON_OTHER]);
		return TLS_REASON_OTHER;
	}
	if (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) >= ALERT_BASE) {
		r = reason_of_alert(ERR_GET_REASON(error) - ALERT_BASE, words, len);
		ERR_clear_error();
		return r;
	}
	r = reason_of(error);
	if (r == TLS_REASON_VERIFY && failure != NULL)
		(void)snprintf(words, len, "%s", failure);
	else if (r == TLS_REASON_PROTOCOL || r == TLS_REASON_DECODE || r == TLS_REASON_OTHER)
		(void)snprintf(words, len, "%s (%s)", reason_words[r],
			       ERR_reason_error_string(error) == NULL
				       ? "no more is known"
				       : ERR_reason_error_string(error));
	else
		(void)snprintf(words, len, "%s", reason_words[r]);
	ERR_clear_error();
	return r;
}
