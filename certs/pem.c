#include "certs/pem.h"

#include <openssl/base64.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>

#include "certs/compat.h"
#include "conf/must.h"

enum block_kind {
	BLOCK_CERTIFICATE,
	BLOCK_TRUSTED, /* OpenSSL's own, with data behind the certificate */
	BLOCK_KEY,
	BLOCK_EC_KEY,
	BLOCK_RSA_KEY,
	BLOCK_ENCRYPTED_KEY,
	BLOCK_OTHER_KEY, /* DSA and the like */
	BLOCK_OTHER,
};

/* One BEGIN to END. */
struct block {
	enum block_kind kind;
	struct span label;
	struct span headers; /* RFC 1421, as OpenSSL's old key files have */
	struct span body;    /* base64 with white space */
};

enum next { NEXT_BLOCK, NEXT_END, NEXT_BAD };

static struct span next_line(struct span *text)
{
	const char *end = memchr(text->p, '\n', text->n);
	size_t n = end == NULL ? text->n : (size_t)(end - text->p) + 1;
	struct span line = span_of(text->p, n);

	*text = span_of(text->p + n, text->n - n);
	while (line.n > 0 && strchr(" \t\r\n", line.p[line.n - 1]) != NULL &&
	       line.p[line.n - 1] != '\0')
		line.n--;
	return line;
}

/* "-----BEGIN x-----" gives x; an empty span where `line` is no such line. */
static struct span line_label(struct span line, const char *begin)
{
	size_t n = strlen(begin);

	if (line.n <= n + 5 || memcmp(line.p, begin, n) != 0 ||
	    memcmp(line.p + line.n - 5, "-----", 5) != 0)
		return span_of(NULL, 0);
	return span_of(line.p + n, line.n - n - 5);
}

static bool span_ends(struct span s, const char *with)
{
	size_t n = strlen(with);

	return s.n >= n && memcmp(s.p + s.n - n, with, n) == 0;
}

static enum block_kind label_kind(struct span label)
{
	static const struct {
		const char *label;
		enum block_kind kind;
	} kinds[] = {
		{ "CERTIFICATE", BLOCK_CERTIFICATE },
		{ "X509 CERTIFICATE", BLOCK_CERTIFICATE },
		{ "TRUSTED CERTIFICATE", BLOCK_TRUSTED },
		{ "PRIVATE KEY", BLOCK_KEY },
		{ "EC PRIVATE KEY", BLOCK_EC_KEY },
		{ "RSA PRIVATE KEY", BLOCK_RSA_KEY },
		{ "ENCRYPTED PRIVATE KEY", BLOCK_ENCRYPTED_KEY },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (span_eq(label, span_str(kinds[i].label)))
			return kinds[i].kind;
	}
	return span_ends(label, "PRIVATE KEY") ? BLOCK_OTHER_KEY : BLOCK_OTHER;
}

/* Lines up to the first empty one are headers, if any of them has a colon. */
static void split_headers(struct block *b)
{
	struct span left = b->body;
	struct span line;

	if (left.n == 0)
		return;
	line = next_line(&left);
	if (line.n == 0 || memchr(line.p, ':', line.n) == NULL)
		return;
	while (left.n > 0 && next_line(&left).n > 0)
		;
	b->headers = span_of(b->body.p, b->body.n - left.n);
	b->body = left;
}

static enum next next_block(struct span *text, struct block *out, char *why, size_t why_len)
{
	struct block b = { .kind = BLOCK_OTHER };
	struct span line;
	struct span label;
	const char *body;

	do {
		if (text->n == 0)
			return NEXT_END;
		line = next_line(text);
		b.label = line_label(line, "-----BEGIN ");
	} while (b.label.n == 0);
	b.kind = label_kind(b.label);
	for (body = text->p; text->n > 0;) {
		line = next_line(text);
		if (line_label(line, "-----BEGIN ").n > 0)
			break;
		label = line_label(line, "-----END ");
		if (label.n == 0)
			continue;
		if (!span_eq(label, b.label))
			break;
		b.body = span_of(body, (size_t)(line.p - body));
		split_headers(&b);
		*out = b;
		return NEXT_BLOCK;
	}
	(void)snprintf(why, why_len,
		       "\"BEGIN %.*s\" has no \"END %.*s\": the file is cut short or damaged",
		       (int)(b.label.n > 40 ? 40 : b.label.n), b.label.p,
		       (int)(b.label.n > 40 ? 40 : b.label.n), b.label.p);
	return NEXT_BAD;
}

/* Decodes the body to `out`, which has room for the body's length. 0: not base64. */
static size_t block_decode(const struct block *b, uint8_t *out)
{
	uint8_t *packed = malloc(b->body.n + 1);
	size_t num = 0;
	size_t len = 0;

	if (packed == NULL)
		return 0;
	for (size_t i = 0; i < b->body.n; i++) {
		char c = b->body.p[i];

		if (c != '\n' && c != '\r' && c != ' ' && c != '\t')
			packed[num++] = (uint8_t)c;
	}
	if (!EVP_DecodeBase64(out, &len, b->body.n, packed, num))
		len = 0;
	ERR_clear_error();
	OPENSSL_cleanse(packed, b->body.n + 1);
	free(packed);
	return len;
}

/* The list's memory: as long as the text, since DER is shorter than its base64. */
static bool list_init(struct pem_list *l, size_t text_len, size_t max)
{
	*l = (struct pem_list){ .bytes = malloc(text_len + 1),
				.der = calloc(max, sizeof(*l->der)) };
	return l->bytes != NULL && l->der != NULL;
}

static bool list_add(struct pem_list *l, const struct block *b, size_t max, char *why, size_t len)
{
	const struct span *last;
	uint8_t *to;
	size_t n;

	MUST(l->der != NULL && l->bytes != NULL);
	last = l->num == 0 ? NULL : &l->der[l->num - 1];
	to = last == NULL ? l->bytes : l->bytes + ((const uint8_t *)last->p - l->bytes) + last->n;
	if (l->num == max) {
		(void)snprintf(why, len, "holds more than %zu certificates", max);
		return false;
	}
	n = block_decode(b, to);
	if (n == 0) {
		(void)snprintf(why, len, "certificate %zu is not valid base64", l->num + 1);
		return false;
	}
	l->der[l->num++] = span_of(to, n);
	return true;
}

void pem_list_fini(struct pem_list *l)
{
	free(l->der);
	free(l->bytes);
	*l = (struct pem_list){ 0 };
}

static EVP_PKEY *parse_ec(CBS *der)
{
	EC_KEY *ec = EC_KEY_parse_private_key(der, NULL);
	EVP_PKEY *key = ec == NULL ? NULL : EVP_PKEY_new();

	if (key != NULL && !EVP_PKEY_set1_EC_KEY(key, ec)) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	EC_KEY_free(ec);
	return key;
}

static EVP_PKEY *parse_rsa(CBS *der)
{
	RSA *rsa = RSA_parse_private_key(der);
	EVP_PKEY *key = rsa == NULL ? NULL : EVP_PKEY_new();

	if (key != NULL && !EVP_PKEY_set1_RSA(key, rsa)) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	RSA_free(rsa);
	return key;
}

/* Any of the three forms to PKCS#8, which also shows that it is a key. */
static bool key_to_pkcs8(enum block_kind kind, struct span der, struct pem_file *out)
{
	EVP_PKEY *key;
	CBS cbs;
	CBB cbb;
	bool ok = false;

	CBS_init(&cbs, (const uint8_t *)der.p, der.n);
	key = kind == BLOCK_KEY	     ? EVP_parse_private_key(&cbs)
	      : kind == BLOCK_EC_KEY ? parse_ec(&cbs)
				     : parse_rsa(&cbs);
	if (key == NULL || CBS_len(&cbs) != 0)
		goto done;
	if (!CBB_init(&cbb, der.n + 64))
		goto done;
	ok = EVP_marshal_private_key(&cbb, key) && CBB_finish(&cbb, &out->key, &out->key_len);
	if (!ok)
		CBB_cleanup(&cbb);
	else
		out->parsed = EVP_PKEY_up_ref(key) ? key : NULL;
done:
	EVP_PKEY_free(key);
	ERR_clear_error();
	return ok;
}

static bool key_add(struct pem_file *f, const struct block *b, const char *name, char *why,
		    size_t len)
{
	uint8_t *der;
	size_t n;
	bool ok = false;

	if (f->key != NULL) {
		(void)snprintf(why, len,
			       "holds more than one private key: keep each in a file of its own");
		return false;
	}
	if (b->kind == BLOCK_ENCRYPTED_KEY ||
	    (b->headers.n > 0 && memmem(b->headers.p, b->headers.n, "ENCRYPTED", 9) != NULL)) {
		(void)snprintf(why, len,
			       "the private key is encrypted; decrypt it with: openssl pkey -in %s "
			       "-out %s.decrypted",
			       name, name);
		return false;
	}
	if (b->kind == BLOCK_OTHER_KEY) {
		(void)snprintf(why, len,
			       "\"%.*s\" is not supported: RSA, ECDSA and Ed25519 keys are",
			       (int)(b->label.n > 40 ? 40 : b->label.n), b->label.p);
		return false;
	}
	if ((der = malloc(b->body.n + 1)) == NULL)
		return false;
	n = block_decode(b, der);
	if (n == 0)
		(void)snprintf(why, len, "the private key is not valid base64");
	else if (!key_to_pkcs8(b->kind, span_of(der, n), f))
		(void)snprintf(
			why, len,
			"the private key is damaged or of a kind that is not supported: RSA, "
			"ECDSA (P-256, P-384, P-521) and Ed25519 keys are");
	else
		ok = true;
	OPENSSL_cleanse(der, b->body.n + 1);
	free(der);
	return ok;
}

/* Some editors put a byte order mark before the first line. */
static struct span skip_mark(struct span text)
{
	if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
		return span_of(text.p + 3, text.n - 3);
	return text;
}

static bool trusted_refused(const struct block *b, char *why, size_t len)
{
	if (b->kind != BLOCK_TRUSTED)
		return false;
	(void)snprintf(why, len,
		       "holds a \"TRUSTED CERTIFICATE\", OpenSSL's own form; convert it with: "
		       "openssl x509 -in FILE -out FILE.pem");
	return true;
}

bool pem_read(struct span text, const char *name, struct pem_file *out, char *why, size_t why_len)
{
	struct pem_file f = { 0 };
	struct block b;
	enum next next;

	(void)snprintf(why, why_len, "out of memory");
	if (text.n > PEM_MAX_FILE) {
		(void)snprintf(why, why_len, "is longer than 1 MiB");
		return false;
	}
	text = skip_mark(text);
	if (!list_init(&f.chain, text.n, PEM_MAX_CHAIN))
		goto fail;
	while ((next = next_block(&text, &b, why, why_len)) == NEXT_BLOCK) {
		if (trusted_refused(&b, why, why_len))
			goto fail;
		if (b.kind == BLOCK_OTHER)
			continue;
		if (b.kind == BLOCK_CERTIFICATE) {
			if (!list_add(&f.chain, &b, PEM_MAX_CHAIN, why, why_len))
				goto fail;
		} else if (!key_add(&f, &b, name, why, why_len)) {
			goto fail;
		}
	}
	if (next == NEXT_BAD)
		goto fail;
	*out = f;
	return true;
fail:
	pem_file_fini(&f);
	return false;
}

void pem_file_fini(struct pem_file *f)
{
	pem_list_fini(&f->chain);
	OPENSSL_free(f->key); /* wipes, as does the next */
	EVP_PKEY_free(f->parsed);
	*f = (struct pem_file){ 0 };
}

bool pem_read_roots(struct span text, struct pem_list *out, char *why, size_t why_len)
{
	struct pem_list l = { 0 };
	struct block b;
	enum next next;

	(void)snprintf(why, why_len, "out of memory");
	if (text.n > PEM_MAX_ROOTS_FILE) {
		(void)snprintf(why, why_len, "is longer than 8 MiB");
		return false;
	}
	text = skip_mark(text);
	if (!list_init(&l, text.n, PEM_MAX_ROOTS))
		goto fail;
	while ((next = next_block(&text, &b, why, why_len)) == NEXT_BLOCK) {
		if (trusted_refused(&b, why, why_len))
			goto fail;
		if (b.kind == BLOCK_CERTIFICATE) {
			if (!list_add(&l, &b, PEM_MAX_ROOTS, why, why_len))
				goto fail;
		} else if (b.kind != BLOCK_OTHER) {
			(void)snprintf(why, why_len,
				       "holds a private key: a file of trusted roots holds "
				       "certificates only");
			goto fail;
		}
	}
	if (next == NEXT_BAD)
		goto fail;
	if (l.num == 0) {
		(void)snprintf(why, why_len, "holds no certificate (\"BEGIN CERTIFICATE\")");
		goto fail;
	}
	*out = l;
	return true;
fail:
	pem_list_fini(&l);
	return false;
}
