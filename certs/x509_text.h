/* x509_text: what people are told about a certificate: dates, names, issuers. Only for loaders
 * and for what a pool's server shows; a listener's handshake never parses a certificate. All
 * texts are printable ASCII, whatever the certificate holds. */
#pragma once

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/span.h"

enum { X509_TEXT_DATE = 32, X509_TEXT_NAME = 128, X509_TEXT_NAMES = 200 };

/* x509_seconds sets `*out` to `t` in Unix seconds. False: not a date. */
bool x509_seconds(const ASN1_TIME *t, int64_t *out);

/* x509_date writes Unix seconds as "2026-01-02 03:04:05 UTC". */
void x509_date(int64_t seconds, char out[X509_TEXT_DATE]);

/* x509_date_of writes a certificate's date likewise, "an unreadable date" where it is none. */
void x509_date_of(const ASN1_TIME *t, char out[X509_TEXT_DATE]);

/* x509_subject writes the common name of `x`'s subject, or the whole subject where it has none. */
void x509_subject(X509 *x, char out[X509_TEXT_NAME]);

/* x509_issuer does the same for the issuer. */
void x509_issuer(X509 *x, char out[X509_TEXT_NAME]);

/* x509_names lists what `x` is for: the first dNSNames, URIs and IP addresses of its SAN, "..."
 * where there are more; else its subject. */
void x509_names(X509 *x, char out[X509_TEXT_NAMES]);
