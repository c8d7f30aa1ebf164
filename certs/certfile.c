#include "certs/certfile.h"

#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "certs/file.h"
#include "certs/index_layout.h"
#include "certs/x509_text.h"

enum {
	CERTFILE_WORDS = 512,
	RSA_MIN_BITS = 2048, /* weaker ones are refused by every browser */
	RSA_MAX_BITS = 8192, /* KEYS_MAX_SIGNATURE */
};

/* The chain, parsed for the checks only. */
struct parsed {
	X509 *x[PEM_MAX_CHAIN];
	size_t num;
};

static void parsed_fini(struct parsed *p)
{
	for (size_t i = 0; i < p->num; i++)
		X509_free(p->x[i]);
}

/* Reads one PEM file; false after telling why. `mode` is that of the file. */
static bool read_pem(const char *path, struct pem_file *out, mode_t *mode, struct problems *why)
{
	struct file f = { 0 };
	char words[CERTFILE_WORDS];
	bool ok = file_read(path, PEM_MAX_FILE, &f, words, sizeof(words)) &&
		  pem_read(span_of(f.p, f.n), path, out, words, sizeof(words));

	if (ok)
		*mode = f.mode;
	else
		problems_add(why, PROBLEM_ERROR, path, "%s", words);
	file_fini(&f);
	return ok;
}

static void check_mode(const char *path, mode_t mode, struct problems *why)
{
	if ((mode & S_IRWXO) != 0)
		problems_add(why, PROBLEM_WARNING, path,
			     "every user of this machine can get at the private key; run: "
			     "chmod o-rwx %s",
			     path);
}

/* Reads certificate and key into one. */
static bool read_pair(const struct certfile_path *path, struct pem_file *out, struct problems *why)
{
	struct pem_file key = { 0 };
	mode_t mode = 0;

	if (!read_pem(path->certificate, out, &mode, why))
		return false;
	if (path->key == NULL) {
		if (out->key != NULL)
			check_mode(path->certificate, mode, why);
		return true;
	}
	if (!read_pem(path->key, &key, &mode, why))
		return false;
	if (key.key == NULL) {
		problems_add(why, PROBLEM_ERROR, path->key,
			     "holds no private key (\"BEGIN PRIVATE KEY\")");
		pem_file_fini(&key);
		return false;
	}
	check_mode(path->key, mode, why);
	OPENSSL_free(out->key);
	EVP_PKEY_free(out->parsed);
	out->key = key.key;
	out->key_len = key.key_len;
	out->parsed = key.parsed;
	pem_list_fini(&key.chain);
	return true;
}

static bool parse_chain(const char *path, const struct pem_list *chain, struct parsed *out,
			struct problems *why)
{
	for (size_t i = 0; i < chain->num; i++) {
		const uint8_t *p = (const uint8_t *)chain->der[i].p;
		X509 *x = d2i_X509(NULL, &p, (long)chain->der[i].n);

		if (x != NULL)
			out->x[out->num++] = x;
		if (x == NULL || p != (const uint8_t *)chain->der[i].p + chain->der[i].n) {
			problems_add(why, PROBLEM_ERROR, path,
				     "certificate %zu is damaged: it is not an X.509 certificate",
				     i + 1);
			return false;
		}
	}
	return true;
}

static bool key_type(EVP_PKEY *key, enum index_key_type *out)
{
	switch (EVP_PKEY_id(key)) {
	case EVP_PKEY_RSA:
		*out = INDEX_KEY_RSA;
		return EVP_PKEY_bits(key) >= RSA_MIN_BITS && EVP_PKEY_bits(key) <= RSA_MAX_BITS;
	case EVP_PKEY_ED25519:
		*out = INDEX_KEY_ED25519;
		return true;
	case EVP_PKEY_EC:
		break;
	default:
		return false;
	}
	switch (EC_GROUP_get_curve_name(EC_KEY_get0_group(EVP_PKEY_get0_EC_KEY(key)))) {
	case NID_X9_62_prime256v1:
		*out = INDEX_KEY_ECDSA_P256;
		return true;
	case NID_secp384r1:
		*out = INDEX_KEY_ECDSA_P384;
		return true;
	case NID_secp521r1:
		*out = INDEX_KEY_ECDSA_P521;
		return true;
	default:
		return false;
	}
}

/* Says what is wrong with a key that is not the first certificate's. */
static void tell_mismatch(const struct certfile_path *path, const struct parsed *chain,
			  EVP_PKEY *key, struct problems *why)
{
	const char *key_path = path->key == NULL ? path->certificate : path->key;

	for (size_t i = 1; i < chain->num; i++) {
		EVP_PKEY *other = X509_get_pubkey(chain->x[i]);
		bool same = other != NULL && EVP_PKEY_cmp(other, key) == 1;

		EVP_PKEY_free(other);
		if (same) {
			problems_add(why, PROBLEM_ERROR, path->certificate,
				     "the private key belongs to certificate %zu of the file; the "
				     "site's own certificate must come first, then its issuer",
				     i + 1);
			return;
		}
	}
	problems_add(why, PROBLEM_ERROR, key_path,
		     "the private key does not belong to the certificate (%s); were only one of "
		     "them renewed?",
		     path->certificate);
}

static bool check_key(const struct certfile_path *path, const struct parsed *chain,
		      struct certfile *c, struct problems *why)
{
	EVP_PKEY *public = X509_get_pubkey(chain->x[0]);
	bool ok = false;

	if (public == NULL || !key_type(public, &c->type)) {
		problems_add(
			why, PROBLEM_ERROR, path->certificate,
			"the certificate's key is not supported: RSA of 2048 to 8192 bits, "
			"ECDSA (P-256, P-384, P-521) and Ed25519 are; get one with such a key");
	} else if (EVP_PKEY_cmp(public, c->pem.parsed) != 1) {
		tell_mismatch(path, chain, c->pem.parsed, why);
	} else {
		c->key_bits = (uint32_t)EVP_PKEY_bits(public);
		ok = true;
	}
	EVP_PKEY_free(public);
	return ok;
}

/* What the issuer allows the key to be used for. The library refuses ECDSA keys that may not
 * sign; of RSA keys only some clients ask it. */
static bool check_usage(const struct certfile_path *from, X509 *leaf, enum index_key_type type,
			struct problems *why)
{
	const char *path = from->certificate;
	bool may_sign = (X509_get_key_usage(leaf) & KU_DIGITAL_SIGNATURE) != 0;
	uint32_t extended = X509_get_extended_key_usage(leaf);

	if (from->for_client && (extended & (XKU_SSL_CLIENT | XKU_ANYEKU)) == 0)
		problems_add(why, PROBLEM_WARNING, path,
			     "the certificate is not meant for TLS clients (its extended key usage "
			     "lacks clientAuth); servers will refuse it");
	if (!from->for_client && (extended & (XKU_SSL_SERVER | XKU_ANYEKU)) == 0)
		problems_add(why, PROBLEM_WARNING, path,
			     "the certificate is not meant for TLS servers (its extended key usage "
			     "lacks serverAuth); clients will refuse it");
	if (may_sign)
		return true;
	problems_add(why, type == INDEX_KEY_RSA ? PROBLEM_WARNING : PROBLEM_ERROR, path,
		     "the certificate's key may not sign (its key usage lacks digitalSignature), "
		     "which TLS needs; get one that may");
	return type == INDEX_KEY_RSA;
}

static void check_order(const char *path, const struct parsed *chain, struct problems *why)
{
	for (size_t i = 0; i + 1 < chain->num; i++) {
		if (X509_check_issued(chain->x[i + 1], chain->x[i]) == X509_V_OK)
			continue;
		problems_add(why, PROBLEM_WARNING, path,
			     "certificate %zu did not issue certificate %zu, so peers may not "
			     "accept the chain; each must be followed by its issuer",
			     i + 2, i + 1);
		return;
	}
}

static bool check_dates(const char *path, X509 *leaf, int64_t now_s, struct certfile *c,
			struct problems *why)
{
	char date[X509_TEXT_DATE];

	if (!x509_seconds(X509_get0_notBefore(leaf), &c->not_before_s) ||
	    !x509_seconds(X509_get0_notAfter(leaf), &c->not_after_s)) {
		problems_add(why, PROBLEM_ERROR, path, "the certificate's dates are unreadable");
		return false;
	}
	if (now_s > c->not_after_s) {
		x509_date(c->not_after_s, date);
		problems_add(why, PROBLEM_WARNING, path,
			     "the certificate expired on %s; peers will refuse it: renew it", date);
	} else if (now_s < c->not_before_s) {
		x509_date(c->not_before_s, date);
		problems_add(why, PROBLEM_WARNING, path,
			     "the certificate is not valid before %s; is the clock right?", date);
	}
	return true;
}

/* A host name, or "*." and a host name; letters are made lower case in place. */
static bool clean_name(char *name, size_t len)
{
	size_t start = len > 2 && name[0] == '*' && name[1] == '.' ? 2 : 0;

	if (len == 0 || len > INDEX_MAX_NAME || name[start] == '.' || name[len - 1] == '.')
		return false;
	for (size_t i = start; i < len; i++) {
		char c = name[i];

		if (c >= 'A' && c <= 'Z')
			name[i] = c = (char)(c - 'A' + 'a');
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
		      (c == '.' && name[i - 1] != '.')))
			return false;
	}
	return true;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Takes the usable dNSNames; `list` has room for all. */
static size_t collect_names(const char *path, const GENERAL_NAMES *san, char **list,
			    struct problems *why)
{
	size_t num = 0;

	for (size_t i = 0; i < sk_GENERAL_NAME_num(san); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(san, i);
		size_t len;
		char *name;

		if (g->type != GEN_DNS)
			continue;
		len = (size_t)ASN1_STRING_length(g->d.dNSName);
		name = strndup((const char *)ASN1_STRING_get0_data(g->d.dNSName), len);
		if (name != NULL && strlen(name) == len && clean_name(name, len)) {
			list[num++] = name;
			continue;
		}
		problems_add(
			why, PROBLEM_WARNING, path,
			"the name \"%.80s\" in the certificate is not a host name: passed over",
			name == NULL ? "" : name);
		free(name);
	}
	return num;
}

/* Joins the sorted names; false: out of memory. Frees them. */
static bool join_names(char **list, size_t num, struct certfile *c)
{
	size_t room = 1;
	bool ok;

	for (size_t i = 0; i < num; i++)
		room += strlen(list[i]) + 1;
	c->names = malloc(room);
	c->names_len = 0;
	ok = c->names != NULL;
	for (size_t i = 0; i < num; i++) {
		size_t n = strlen(list[i]) + 1;

		if (ok && (i == 0 || strcmp(list[i], list[i - 1]) != 0)) {
			memcpy(c->names + c->names_len, list[i], n);
			c->names_len += n;
		}
	}
	for (size_t i = 0; i < num; i++)
		free(list[i]);
	return ok;
}

static bool take_names(const char *path, X509 *leaf, struct certfile *c, struct problems *why)
{
	int critical;
	GENERAL_NAMES *san = X509_get_ext_d2i(leaf, NID_subject_alt_name, &critical, NULL);
	char **list = calloc(sk_GENERAL_NAME_num(san) + 1, sizeof(*list));
	size_t num = 0;
	bool ok = false;

	if (san == NULL && critical != -1) {
		problems_add(why, PROBLEM_ERROR, path,
			     "the certificate's subject alternative name is malformed");
		goto done;
	}
	if (list == NULL) {
		problems_add(why, PROBLEM_ERROR, path, "out of memory");
		goto done;
	}
	num = collect_names(path, san, list, why);
	qsort(list, num, sizeof(*list), compare_names);
	ok = join_names(list, num, c);
	if (num == 0)
		problems_add(why, PROBLEM_WARNING, path,
			     "the certificate names no host (subject alternative name), so it can "
			     "only serve as default_certificate");
done:
	free(list);
	GENERAL_NAMES_free(san);
	return ok;
}

/* What a folder may hold beside certificates with keys. */
static bool pass_over(const struct certfile_path *path, const struct pem_file *pem,
		      struct problems *why)
{
	const uint8_t *p;
	X509 *x;
	bool is_ca;

	if (!path->from_folder || path->key != NULL)
		return false;
	if (pem->chain.num == 0) {
		problems_add(why, PROBLEM_WARNING, path->certificate,
			     "holds no certificate: passed over");
		return true;
	}
	if (pem->key != NULL)
		return false;
	p = (const uint8_t *)pem->chain.der[0].p;
	x = d2i_X509(NULL, &p, (long)pem->chain.der[0].n);
	is_ca = x != NULL && X509_check_ca(x) == 1;
	X509_free(x);
	if (is_ca)
		problems_add(why, PROBLEM_WARNING, path->certificate,
			     "is a CA certificate without a key: passed over");
	return is_ca;
}

static bool check_present(const struct certfile_path *path, const struct pem_file *pem,
			  struct problems *why)
{
	if (pem->chain.num == 0) {
		problems_add(why, PROBLEM_ERROR, path->certificate,
			     "holds no certificate (\"BEGIN CERTIFICATE\")");
		return false;
	}
	if (pem->key == NULL || pem->parsed == NULL) {
		problems_add(why, PROBLEM_ERROR, path->certificate,
			     "holds no private key: put it in the same file, %s",
			     path->from_folder
				     ? "or beside it in a file of the same name that ends in .key"
				     : "or name both with {\"certificate\": ..., \"key\": ...}");
		return false;
	}
	return true;
}

enum certfile_result certfile_load(const struct certfile_path *path, int64_t now_s,
				   struct certfile *out, struct problems *why)
{
	struct certfile c = { 0 };
	struct parsed chain = { .num = 0 };
	enum certfile_result result = CERTFILE_BAD;
	X509 *leaf;

	if (!read_pair(path, &c.pem, why))
		goto done;
	if (pass_over(path, &c.pem, why)) {
		result = CERTFILE_PASSED_OVER;
		goto done;
	}
	if (!check_present(path, &c.pem, why) ||
	    !parse_chain(path->certificate, &c.pem.chain, &chain, why) ||
	    !check_key(path, &chain, &c, why))
		goto done;
	leaf = chain.x[0];
	check_order(path->certificate, &chain, why);
	if (!check_usage(path, leaf, c.type, why) ||
	    !check_dates(path->certificate, leaf, now_s, &c, why) ||
	    !take_names(path->certificate, leaf, &c, why))
		goto done;
	*out = c;
	c = (struct certfile){ 0 };
	result = CERTFILE_LOADED;
done:
	parsed_fini(&chain);
	certfile_fini(&c);
	ERR_clear_error();
	return result;
}

void certfile_fini(struct certfile *c)
{
	pem_file_fini(&c->pem);
	free(c->names);
	*c = (struct certfile){ 0 };
}
