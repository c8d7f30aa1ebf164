#include "certs/verify.h"

#include <arpa/inet.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certs/pem.h"
#include "certs/x509_text.h"

struct verify {
	unsigned refs;
	struct pem_list roots;
	X509_STORE *store; /* NULL until the first use */
	char *uri;	   /* NULL: the name counts */
	char from[256];
};

struct verify *verify_new(struct span ca_pem, const char *from, const char *uri, char *why,
			  size_t why_len)
{
	struct verify *v = calloc(1, sizeof(*v));

	if (v == NULL || (uri != NULL && (v->uri = strdup(uri)) == NULL)) {
		free(v);
		(void)snprintf(why, why_len, "out of memory");
		return NULL;
	}
	v->refs = 1;
	(void)snprintf(v->from, sizeof(v->from), "%s", from);
	if (!pem_read_roots(ca_pem, &v->roots, why, why_len)) {
		verify_unref(v);
		return NULL;
	}
	return v;
}

struct verify *verify_ref(struct verify *v)
{
	v->refs++;
	return v;
}

void verify_unref(struct verify *v)
{
	if (v == NULL || --v->refs > 0)
		return;
	pem_list_fini(&v->roots);
	X509_STORE_free(v->store);
	free(v->uri);
	free(v);
}

/* Roots that the library cannot read are passed over: bundles hold many, old ones too. */
static X509_STORE *store_of(struct verify *v)
{
	if (v->store != NULL || (v->store = X509_STORE_new()) == NULL)
		return v->store;
	for (size_t i = 0; i < v->roots.num; i++) {
		const uint8_t *der = (const uint8_t *)v->roots.der[i].p;
		X509 *x = d2i_X509(NULL, &der, (long)v->roots.der[i].n);

		if (x != NULL)
			(void)X509_STORE_add_cert(v->store, x);
		X509_free(x);
	}
	ERR_clear_error();
	pem_list_fini(&v->roots);
	return v->store;
}

/* Parses what the peer sent. False: one is no certificate. */
static bool parse_chain(const STACK_OF(CRYPTO_BUFFER) * buffers, X509 **leaf,
			STACK_OF(X509) * others)
{
	for (size_t i = 0; i < sk_CRYPTO_BUFFER_num(buffers); i++) {
		X509 *x = X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(buffers, i));

		if (x == NULL)
			return false;
		if (i == 0) {
			*leaf = x;
		} else if (!sk_X509_push(others, x)) {
			X509_free(x);
			return false;
		}
	}
	return *leaf != NULL;
}

static void describe_untrusted(const struct verify *v, X509 *at, char words[VERIFY_WORDS])
{
	char issuer[X509_TEXT_NAME];

	x509_issuer(at, issuer);
	(void)snprintf(words, VERIFY_WORDS,
		       "issuer \"%s\" is not among the trusted roots (%s); name a file with it in "
		       "the pool's tls.ca",
		       issuer, v->from);
}

/* Says why the library refused. `at` is the certificate it stopped at. */
static void describe(const struct verify *v, X509_STORE_CTX *ctx, X509 *leaf,
		     char words[VERIFY_WORDS])
{
	X509 *at = X509_STORE_CTX_get_current_cert(ctx);
	int error = X509_STORE_CTX_get_error(ctx);
	char date[X509_TEXT_DATE];
	char who[X509_TEXT_NAMES];

	if (at == NULL)
		at = leaf;
	x509_names(at, who);
	switch (error) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		x509_date_of(X509_get0_notAfter(at), date);
		(void)snprintf(words, VERIFY_WORDS, "certificate expired on %s (%s)", date, who);
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		x509_date_of(X509_get0_notBefore(at), date);
		(void)snprintf(words, VERIFY_WORDS, "certificate is not valid before %s (%s)", date,
			       who);
		break;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		(void)snprintf(words, VERIFY_WORDS,
			       "certificate is self-signed (%s) and not among the trusted roots "
			       "(%s); name a file with it in the pool's tls.ca",
			       who, v->from);
		break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		describe_untrusted(v, at, words);
		break;
	case X509_V_ERR_INVALID_PURPOSE:
		(void)snprintf(words, VERIFY_WORDS,
			       "certificate is not meant for TLS servers (%s): extended key usage",
			       who);
		break;
	default:
		(void)snprintf(words, VERIFY_WORDS, "%s (%s)", X509_verify_cert_error_string(error),
			       who);
	}
}

static bool check_chain(struct verify *v, X509_STORE *store, X509 *leaf, STACK_OF(X509) * others,
			uint8_t *alert, char words[VERIFY_WORDS])
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	bool ok = false;

	/* What the operator named is trusted, be it a root or not. */
	if (ctx == NULL || !X509_STORE_CTX_init(ctx, store, leaf, others) ||
	    !X509_STORE_CTX_set_default(ctx, "ssl_server")) {
		(void)snprintf(words, VERIFY_WORDS, "out of memory");
		*alert = SSL_AD_INTERNAL_ERROR;
		goto done;
	}
	X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
	X509_STORE_CTX_set_depth(ctx, PEM_MAX_CHAIN);
	if (X509_verify_cert(ctx) == 1) {
		ok = true;
		goto done;
	}
	*alert = (uint8_t)SSL_alert_from_verify_result(X509_STORE_CTX_get_error(ctx));
	describe(v, ctx, leaf, words);
done:
	X509_STORE_CTX_free(ctx);
	return ok;
}

static bool check_name(X509 *leaf, const char *name, uint8_t *alert, char words[VERIFY_WORDS])
{
	uint8_t ip[16];
	size_t len = strlen(name);
	char who[X509_TEXT_NAMES];
	bool ok;

	if (inet_pton(AF_INET, name, ip) == 1)
		ok = X509_check_ip(leaf, ip, 4, 0) == 1;
	else if (inet_pton(AF_INET6, name, ip) == 1)
		ok = X509_check_ip(leaf, ip, 16, 0) == 1;
	else
		ok = X509_check_host(leaf, name, len, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) ==
		     1;
	if (ok)
		return true;
	x509_names(leaf, who);
	(void)snprintf(words, VERIFY_WORDS, "certificate is for %s, not for %.100s", who, name);
	*alert = SSL_AD_BAD_CERTIFICATE;
	return false;
}

/* Whether the only URI of the SAN is that one, byte for byte. */
static bool has_uri(X509 *leaf, const char *uri)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	size_t num = 0, same = 0;

	for (size_t i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);

		if (n->type != GEN_URI)
			continue;
		num++;
		same += span_eq(span_of(ASN1_STRING_get0_data(n->d.uniformResourceIdentifier),
					(size_t)ASN1_STRING_length(n->d.uniformResourceIdentifier)),
				span_str(uri));
	}
	GENERAL_NAMES_free(names);
	return num == 1 && same == 1;
}

static bool check_uri(X509 *leaf, const char *uri, uint8_t *alert, char words[VERIFY_WORDS])
{
	char who[X509_TEXT_NAMES];

	if (has_uri(leaf, uri))
		return true;
	x509_names(leaf, who);
	(void)snprintf(words, VERIFY_WORDS, "certificate is for %s, not for %.200s alone", who,
		       uri);
	*alert = SSL_AD_BAD_CERTIFICATE;
	return false;
}

bool verify_server(struct verify *v, const STACK_OF(CRYPTO_BUFFER) * chain, const char *name,
		   uint8_t *alert, char words[VERIFY_WORDS])
{
	X509_STORE *store = store_of(v);
	STACK_OF(X509) *others = sk_X509_new_null();
	X509 *leaf = NULL;
	bool ok = false;

	if (store == NULL || others == NULL) {
		*alert = SSL_AD_INTERNAL_ERROR;
		(void)snprintf(words, VERIFY_WORDS, "out of memory");
	} else if (!parse_chain(chain, &leaf, others)) {
		*alert = SSL_AD_BAD_CERTIFICATE;
		(void)snprintf(words, VERIFY_WORDS,
			       "the server sent something that is not a "
			       "certificate");
	} else {
		ok = check_chain(v, store, leaf, others, alert, words) &&
		     (v->uri != NULL ? check_uri(leaf, v->uri, alert, words)
				     : check_name(leaf, name, alert, words));
	}
	X509_free(leaf);
	sk_X509_pop_free(others, X509_free);
	ERR_clear_error();
	return ok;
}
