#include "certs/choose.h"

#include "certs/index_layout.h"

/* What each kind of key needs of a client. */
struct need {
	uint16_t tls13[3]; /* any of these algorithms; 0: unused */
	uint16_t tls12[6]; /* there a curve does not bind a hash (RFC 8422 5.1.1) */
	uint16_t group;	   /* TLS 1.2: the key's curve must be among supported_groups */
};

#define RSA_PSS \
	SSL_SIGN_RSA_PSS_RSAE_SHA256, SSL_SIGN_RSA_PSS_RSAE_SHA384, SSL_SIGN_RSA_PSS_RSAE_SHA512
#define RSA_PKCS1 SSL_SIGN_RSA_PKCS1_SHA256, SSL_SIGN_RSA_PKCS1_SHA384, SSL_SIGN_RSA_PKCS1_SHA512
#define ECDSA                                                             \
	SSL_SIGN_ECDSA_SECP256R1_SHA256, SSL_SIGN_ECDSA_SECP384R1_SHA384, \
		SSL_SIGN_ECDSA_SECP521R1_SHA512

static const struct need needs[INDEX_KEY_TYPES] = {
	[INDEX_KEY_ECDSA_P256] = { { SSL_SIGN_ECDSA_SECP256R1_SHA256 }, { ECDSA }, 23 },
	[INDEX_KEY_ECDSA_P384] = { { SSL_SIGN_ECDSA_SECP384R1_SHA384 }, { ECDSA }, 24 },
	[INDEX_KEY_ECDSA_P521] = { { SSL_SIGN_ECDSA_SECP521R1_SHA512 }, { ECDSA }, 25 },
	[INDEX_KEY_ED25519] = { { SSL_SIGN_ED25519 }, { SSL_SIGN_ED25519 }, 0 },
	[INDEX_KEY_RSA] = { { RSA_PSS }, { RSA_PSS, RSA_PKCS1 }, 0 },
};

/* Finds an extension; true with an empty span where there is none. False where its list of
 * 2-byte values is malformed. */
static bool read_list(const SSL_CLIENT_HELLO *hello, uint16_t type, struct span *out)
{
	const uint8_t *data;
	size_t len;
	CBS cbs;
	CBS list;

	*out = span_of(NULL, 0);
	if (!SSL_early_callback_ctx_extension_get(hello, type, &data, &len))
		return true;
	CBS_init(&cbs, data, len);
	if (!CBS_get_u16_length_prefixed(&cbs, &list) || CBS_len(&cbs) != 0 ||
	    CBS_len(&list) == 0 || CBS_len(&list) % 2 != 0)
		return false;
	*out = span_of(CBS_data(&list), CBS_len(&list));
	return true;
}

static bool is_host_name(struct span name)
{
	if (name.n == 0 || name.n > INDEX_MAX_NAME + 1)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] <= ' ' || name.p[i] > '~')
			return false;
	}
	return true;
}

/* Exactly one name of type host_name: RFC 6066 foresaw others, but none ever came. */
static bool read_name(const SSL_CLIENT_HELLO *hello, struct span *out)
{
	const uint8_t *data;
	size_t len;
	uint8_t type;
	CBS cbs;
	CBS list;
	CBS name;

	*out = span_of(NULL, 0);
	if (!SSL_early_callback_ctx_extension_get(hello, TLSEXT_TYPE_server_name, &data, &len))
		return true;
	CBS_init(&cbs, data, len);
	if (!CBS_get_u16_length_prefixed(&cbs, &list) || CBS_len(&cbs) != 0 ||
	    !CBS_get_u8(&list, &type) || type != TLSEXT_NAMETYPE_host_name ||
	    !CBS_get_u16_length_prefixed(&list, &name) || CBS_len(&list) != 0)
		return false;
	*out = span_of(CBS_data(&name), CBS_len(&name));
	return is_host_name(*out);
}

static bool has(struct span list, uint16_t value)
{
	for (size_t i = 0; i + 2 <= list.n; i += 2) {
		if ((uint8_t)list.p[i] == value >> 8 && (uint8_t)list.p[i + 1] == (value & 0xff))
			return true;
	}
	return false;
}

/* RFC 8446 4.2.1: with supported_versions, nothing else counts. */
static bool read_version(const SSL_CLIENT_HELLO *hello, uint16_t max_version, uint16_t *out)
{
	const uint8_t *data;
	size_t len;
	CBS cbs;
	CBS list;

	*out = TLS1_2_VERSION;
	if (!SSL_early_callback_ctx_extension_get(hello, TLSEXT_TYPE_supported_versions, &data,
						  &len))
		return true;
	CBS_init(&cbs, data, len);
	if (!CBS_get_u8_length_prefixed(&cbs, &list) || CBS_len(&cbs) != 0 || CBS_len(&list) == 0 ||
	    CBS_len(&list) % 2 != 0)
		return false;
	if (max_version >= TLS1_3_VERSION &&
	    has(span_of(CBS_data(&list), CBS_len(&list)), TLS1_3_VERSION))
		*out = TLS1_3_VERSION;
	return true;
}

bool choose_read(const SSL_CLIENT_HELLO *hello, uint16_t max_version, struct choose_hello *out)
{
	struct choose_hello h = { .ciphers =
					  span_of(hello->cipher_suites, hello->cipher_suites_len) };

	if (!read_name(hello, &h.name) || !read_version(hello, max_version, &h.version) ||
	    !read_list(hello, TLSEXT_TYPE_signature_algorithms, &h.sigalgs) ||
	    !read_list(hello, TLSEXT_TYPE_supported_groups, &h.groups))
		return false;
	*out = h;
	return true;
}

static bool has_any(struct span list, const uint16_t *values, size_t num)
{
	for (size_t i = 0; i < num; i++) {
		if (values[i] != 0 && has(list, values[i]))
			return true;
	}
	return false;
}

static bool can_verify(const struct choose_hello *h, const struct choose_policy *p,
		       enum index_key_type type)
{
	const struct need *n = &needs[type];

	if (h->version >= TLS1_3_VERSION)
		return has_any(h->sigalgs, n->tls13, sizeof(n->tls13) / sizeof(n->tls13[0]));
	if (!has_any(h->sigalgs, n->tls12, sizeof(n->tls12) / sizeof(n->tls12[0])))
		return false;
	if (n->group != 0 && h->groups.n > 0 && !has(h->groups, n->group))
		return false;
	return type == INDEX_KEY_RSA ? has_any(h->ciphers, p->rsa, p->num_rsa)
				     : has_any(h->ciphers, p->ecdsa, p->num_ecdsa);
}

enum choose_result choose_certificate(const struct index *i, uint32_t set,
				      const struct choose_policy *policy,
				      const struct choose_hello *hello, uint32_t *number)
{
	uint32_t found[INDEX_KEY_TYPES];
	uint32_t first = INDEX_NONE;

	if (!index_find(i, set, hello->name, found)) {
		if (policy->strict)
			return CHOOSE_UNRECOGNIZED_NAME;
		if (!index_defaults(i, set, found))
			return CHOOSE_NONE;
	}
	for (unsigned t = 0; t < INDEX_KEY_TYPES; t++) {
		if (found[t] == INDEX_NONE)
			continue;
		if (can_verify(hello, policy, (enum index_key_type)t)) {
			*number = found[t];
			return CHOOSE_FOUND;
		}
		if (first == INDEX_NONE)
			first = found[t];
	}
	*number = first;
	return CHOOSE_FOUND;
}
