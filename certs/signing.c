#include "certs/signing.h"

#include <stdlib.h>
#include <string.h>

#include "certs/exdata.h"
#include "certs/reason_raise.h"

void signing_init(struct signing *s, struct keys *keys, void (*ready)(void *owner), void *owner)
{
	*s = (struct signing){
		.keys = keys, .ready = ready, .owner = owner, .deadline_ns = INT64_MAX
	};
}

void signing_fini(struct signing *s)
{
	keys_cancel(s->job);
	free(s->signature);
	s->job = NULL;
	s->signature = NULL;
}

static void answered(void *owner, struct span signature)
{
	struct signing *s = owner;

	s->job = NULL;
	s->state = SIGNING_DONE;
	s->shed = keys_is_shedding(s->keys);
	if (signature.n > 0 && (s->signature = malloc(signature.n)) != NULL) {
		memcpy(s->signature, signature.p, signature.n);
		s->signature_len = signature.n;
	}
	s->ready(s->owner); /* may free `s` */
}

static struct signing *signing_of(const SSL *ssl)
{
	struct exdata *x = exdata_get(ssl);

	return x == NULL ? NULL : x->signing;
}

static enum ssl_private_key_result_t sign(SSL *ssl, uint8_t *out, size_t *out_len, size_t max_out,
					  uint16_t algorithm, const uint8_t *in, size_t in_len)
{
	struct signing *s = signing_of(ssl);

	(void)out;
	(void)out_len;
	(void)max_out;
	if (s == NULL || s->state != SIGNING_NONE)
		return ssl_private_key_failure;
	s->job = keys_sign(s->keys, s->key, algorithm, span_of(in, in_len), answered, s);
	if (s->job == NULL) {
		reason_raise(TLS_REASON_KEY);
		return ssl_private_key_failure;
	}
	keys_set_deadline(s->job, s->deadline_ns);
	s->state = SIGNING_WAITS;
	return ssl_private_key_retry;
}

static enum ssl_private_key_result_t complete(SSL *ssl, uint8_t *out, size_t *out_len,
					      size_t max_out)
{
	struct signing *s = signing_of(ssl);

	if (s == NULL || s->state == SIGNING_NONE)
		return ssl_private_key_failure;
	if (s->state == SIGNING_WAITS)
		return ssl_private_key_retry;
	s->state = SIGNING_NONE;
	if (s->signature == NULL || s->signature_len > max_out) {
		reason_raise(s->shed ? TLS_REASON_SHED : TLS_REASON_KEY);
		return ssl_private_key_failure;
	}
	memcpy(out, s->signature, s->signature_len);
	*out_len = s->signature_len;
	free(s->signature);
	s->signature = NULL;
	return ssl_private_key_success;
}

static enum ssl_private_key_result_t decrypt(SSL *ssl, uint8_t *out, size_t *out_len,
					     size_t max_out, const uint8_t *in, size_t in_len)
{
	(void)ssl;
	(void)out;
	(void)out_len;
	(void)max_out;
	(void)in;
	(void)in_len;
	return ssl_private_key_failure;
}

const SSL_PRIVATE_KEY_METHOD signing_method = {
	.sign = sign,
	.decrypt = decrypt,
	.complete = complete,
};
