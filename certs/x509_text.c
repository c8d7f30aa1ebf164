#include "certs/x509_text.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { NAMES_SHOWN = 3 };

bool x509_seconds(const ASN1_TIME *t, int64_t *out)
{
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days = 0;
	int seconds = 0;
	bool ok = epoch != NULL && t != NULL && ASN1_TIME_diff(&days, &seconds, epoch, t) == 1;

	ASN1_STRING_free(epoch);
	ERR_clear_error();
	if (ok)
		*out = (int64_t)days * 86400 + seconds;
	return ok;
}

void x509_date(int64_t seconds, char out[X509_TEXT_DATE])
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(out, X509_TEXT_DATE, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		(void)snprintf(out, X509_TEXT_DATE, "an unreadable date");
}

void x509_date_of(const ASN1_TIME *t, char out[X509_TEXT_DATE])
{
	int64_t seconds;

	if (x509_seconds(t, &seconds))
		x509_date(seconds, out);
	else
		(void)snprintf(out, X509_TEXT_DATE, "an unreadable date");
}

static void printable(char *s)
{
	for (; *s != '\0'; s++) {
		if (*s < ' ' || *s > '~')
			*s = '?';
	}
}

void x509_subject(X509 *x, char out[X509_TEXT_NAME])
{
	if (X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, out,
				      X509_TEXT_NAME) <= 0 &&
	    X509_NAME_oneline(X509_get_subject_name(x), out, X509_TEXT_NAME) == NULL)
		(void)snprintf(out, X509_TEXT_NAME, "?");
	printable(out);
}

void x509_issuer(X509 *x, char out[X509_TEXT_NAME])
{
	if (X509_NAME_get_text_by_NID(X509_get_issuer_name(x), NID_commonName, out,
				      X509_TEXT_NAME) <= 0 &&
	    X509_NAME_oneline(X509_get_issuer_name(x), out, X509_TEXT_NAME) == NULL)
		(void)snprintf(out, X509_TEXT_NAME, "?");
	printable(out);
}

/* Writes one name; false where it is of a kind that TLS does not use. */
static bool name_text(const GENERAL_NAME *name, char *out, size_t len)
{
	const uint8_t *data;
	size_t n;

	if (name->type == GEN_DNS || name->type == GEN_URI) {
		n = (size_t)ASN1_STRING_length(name->d.ia5);
		data = ASN1_STRING_get0_data(name->d.ia5);
		(void)snprintf(out, len, "%.*s", (int)(n > len ? len : n), (const char *)data);
		return true;
	}
	if (name->type == GEN_IPADD) {
		n = (size_t)ASN1_STRING_length(name->d.iPAddress);
		data = ASN1_STRING_get0_data(name->d.iPAddress);
		return (n == 4 || n == 16) &&
		       inet_ntop(n == 4 ? AF_INET : AF_INET6, data, out, (socklen_t)len) != NULL;
	}
	return false;
}

void x509_names(X509 *x, char out[X509_TEXT_NAMES])
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	char one[64];
	size_t at = 0;
	int shown = 0;

	ERR_clear_error();
	out[0] = '\0';
	for (size_t i = 0; i < sk_GENERAL_NAME_num(names) && at < X509_TEXT_NAMES; i++) {
		int n;

		if (!name_text(sk_GENERAL_NAME_value(names, i), one, sizeof(one)))
			continue;
		if (shown == NAMES_SHOWN) {
			(void)snprintf(out + at, X509_TEXT_NAMES - at, ", ...");
			break;
		}
		n = snprintf(out + at, X509_TEXT_NAMES - at, "%s%s", shown++ == 0 ? "" : ", ", one);
		at += n < 0 ? 0 : (size_t)n;
	}
	GENERAL_NAMES_free(names);
	if (shown == 0)
		x509_subject(x, out);
	printable(out);
}
