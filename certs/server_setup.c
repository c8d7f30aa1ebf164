#include "certs/server_setup.h"

#include <openssl/nid.h>
#include <stdio.h>
#include <string.h>

enum {
	MAX_GROUP_LIST = 512, /* bytes of the library's list: names joined by ':' */
	MAX_POINTER = 512,
};

/* No SHA-1 (RFC 9155). The order is preference. */
static const uint16_t signing_algorithms[] = {
	SSL_SIGN_ED25519,	   SSL_SIGN_ECDSA_SECP256R1_SHA256, SSL_SIGN_RSA_PSS_RSAE_SHA256,
	SSL_SIGN_RSA_PKCS1_SHA256, SSL_SIGN_ECDSA_SECP384R1_SHA384, SSL_SIGN_RSA_PSS_RSAE_SHA384,
	SSL_SIGN_RSA_PKCS1_SHA384, SSL_SIGN_ECDSA_SECP521R1_SHA512, SSL_SIGN_RSA_PSS_RSAE_SHA512,
	SSL_SIGN_RSA_PKCS1_SHA512,
};

__attribute__((format(printf, 4, 5))) static void
complain(struct problems *why, const struct conf_tls *t, const char *key, const char *format, ...);

static void complain(struct problems *why, const struct conf_tls *t, const char *key,
		     const char *format, ...)
{
	char where[MAX_POINTER];
	char what[MAX_POINTER];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	(void)snprintf(where, sizeof(where), "%s/%s", t->pointer == NULL ? "" : t->pointer, key);
	problems_add(why, PROBLEM_ERROR, where, "%s", what);
}

static bool set_versions(SSL_CTX *ctx, const struct conf_tls *t, struct problems *why)
{
	if (t->min_version > t->max_version) {
		complain(why, t, "min_version", "is above max_version: no version is left");
		return false;
	}
	if (!SSL_CTX_set_min_proto_version(ctx, t->min_version) ||
	    !SSL_CTX_set_max_proto_version(ctx, t->max_version)) {
		complain(why, t, "max_version", "is not known to the library (%s)",
			 compat_library());
		return false;
	}
	return true;
}

/* Tries each name alone, so that the one the library does not know can be named. */
static void name_bad_cipher(SSL_CTX *ctx, const struct conf_tls *t, struct problems *why)
{
	const char *at = t->ciphers;
	bool found = false;

	while (*at != '\0') {
		size_t n = strcspn(at, ":");
		char one[128];

		(void)snprintf(one, sizeof(one), "%.*s", (int)n, at);
		if (n >= sizeof(one) || !SSL_CTX_set_strict_cipher_list(ctx, one)) {
			complain(why, t, "ciphers",
				 "\"%s\" is not a TLS 1.2 cipher suite of the library (%s); use "
				 "names like ECDHE-ECDSA-AES128-GCM-SHA256",
				 one, compat_library());
			found = true;
		}
		at += n;
		at += *at == ':';
	}
	if (!found)
		complain(why, t, "ciphers", "\"%.200s\" is not a list of cipher suites",
			 t->ciphers);
}

/* Notes a suite for the choice of certificates. */
static bool note_cipher(const SSL_CIPHER *c, const struct conf_tls *t, struct choose_policy *p,
			struct problems *why)
{
	uint16_t id = SSL_CIPHER_get_protocol_id(c);
	int auth = SSL_CIPHER_get_auth_nid(c);

	if (SSL_CIPHER_get_kx_nid(c) != NID_kx_ecdhe ||
	    (auth != NID_auth_ecdsa && auth != NID_auth_rsa)) {
		complain(why, t, "ciphers",
			 "\"%s\" is not forward secret: use suites that begin with ECDHE-",
			 SSL_CIPHER_get_name(c));
		return false;
	}
	if (auth == NID_auth_ecdsa && p->num_ecdsa < CHOOSE_MAX_CIPHERS)
		p->ecdsa[p->num_ecdsa++] = id;
	else if (auth == NID_auth_rsa && p->num_rsa < CHOOSE_MAX_CIPHERS)
		p->rsa[p->num_rsa++] = id;
	return true;
}

static bool set_ciphers(SSL_CTX *ctx, const struct conf_tls *t, struct choose_policy *p,
			struct problems *why)
{
	const STACK_OF(SSL_CIPHER) * list;
	bool ok = true;

	if (!SSL_CTX_set_strict_cipher_list(ctx, t->ciphers)) {
		name_bad_cipher(ctx, t, why);
		return false;
	}
	list = SSL_CTX_get_ciphers(ctx);
	for (size_t i = 0; i < sk_SSL_CIPHER_num(list); i++)
		ok = note_cipher(sk_SSL_CIPHER_value(list, i), t, p, why) && ok;
	return ok;
}

static void name_bad_group(const struct conf_tls *t, const char *group, struct problems *why)
{
	const char *have[COMPAT_MAX_GROUPS];
	size_t num = compat_groups(have);
	char list[MAX_GROUP_LIST] = "";
	size_t at = 0;

	for (size_t i = 0; i < num && at < sizeof(list) - 1; i++) {
		int n = snprintf(list + at, sizeof(list) - at, "%s%s", i == 0 ? "" : ", ", have[i]);

		at += n < 0 ? 0 : (size_t)n;
	}
	complain(why, t, "groups", "\"%.64s\" is not a group of the library (%s), which has: %s",
		 group, compat_library(), list);
}

/* Newer libraries refuse a list that repeats itself, older ones do not. */
static bool listed_before(const struct conf_tls *t, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (strcmp(t->groups[k], t->groups[i]) == 0)
			return true;
	}
	return false;
}

static bool set_groups(SSL_CTX *ctx, const struct conf_tls *t, struct problems *why)
{
	char list[MAX_GROUP_LIST] = "";
	size_t at = 0;
	bool ok = true;

	for (size_t i = 0; i < t->num_groups; i++) {
		int n;

		if (compat_group_id(t->groups[i]) == 0) {
			if (t->groups_given) {
				name_bad_group(t, t->groups[i], why);
				ok = false;
			}
			continue;
		}
		if (listed_before(t, i)) {
			complain(why, t, "groups", "names \"%s\" twice", t->groups[i]);
			ok = false;
			continue;
		}
		n = snprintf(list + at, sizeof(list) - at, "%s%s", at == 0 ? "" : ":",
			     t->groups[i]);
		if (n < 0 || (size_t)n >= sizeof(list) - at) {
			complain(why, t, "groups", "is too long a list");
			return false;
		}
		at += (size_t)n;
	}
	if (!ok)
		return false;
	if (at > 0 && SSL_CTX_set1_curves_list(ctx, list))
		return true;
	complain(why, t, "groups", "leaves no group that the library can use");
	return false;
}

bool server_setup(SSL_CTX *ctx, const struct conf_tls *t, struct choose_policy *policy,
		  struct problems *why)
{
	bool ok = true;

	*policy = (struct choose_policy){ .strict = t->strict_sni, .max_version = t->max_version };
	ok = set_versions(ctx, t, why) && ok;
	ok = set_ciphers(ctx, t, policy, why) && ok;
	ok = set_groups(ctx, t, why) && ok;
	return ok && SSL_CTX_set_signing_algorithm_prefs(ctx, signing_algorithms,
							 sizeof(signing_algorithms) /
								 sizeof(signing_algorithms[0]));
}

/* What was meant for another protocol must not be taken for HTTP: no common one is the end of the
 * handshake (RFC 7301 3.2). */
static int select_protocol(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *in,
			   unsigned in_len, void *arg)
{
	const struct conf_http *http = arg;

	(void)ssl;
	for (size_t i = 0; i < http->num_versions; i++) {
		struct span wanted = span_str(http->versions[i] == CONF_HTTP2 ? "h2" : "http/1.1");
		CBS list, name;

		CBS_init(&list, in, in_len);
		while (CBS_get_u8_length_prefixed(&list, &name)) {
			if (CBS_mem_equal(&name, (const uint8_t *)wanted.p, wanted.n)) {
				*out = CBS_data(&name);
				*out_len = (uint8_t)CBS_len(&name);
				return SSL_TLSEXT_ERR_OK;
			}
		}
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

void server_setup_http(SSL_CTX *ctx, const struct conf_http *http)
{
	SSL_CTX_set_alpn_select_cb(ctx, select_protocol, (void *)(uintptr_t)http);
}
