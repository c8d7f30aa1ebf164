#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "conf/must.h"
#include "proxy/net/link_private.h"

enum {
	RECORD_BYTES = 16 << 10,      /* RFC 8446 5.1 */
	SMALL_RECORD_BYTES = 1400,    /* fits a TCP segment: decrypted as soon as it is there */
	SMALL_BURST_BYTES = 16 << 10, /* of a burst in small records, about an initial window */
	SEND_AT = 40 << 10,
};
#define BURST_OVER_NS INT64_C(1000000000) /* an idle second starts a new one */

/* ---- the BIO: reads from the input span, writes to the output queue ---- */

static int bio_read(BIO *bio, char *to, int len)
{
	struct link *l = BIO_get_data(bio);
	size_t n = l->in.n;

	BIO_clear_retry_flags(bio);
	if (len <= 0)
		return 0;
	if (n == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	if (n > (size_t)len)
		n = (size_t)len;
	memcpy(to, l->in.p, n);
	l->in = span_of(l->in.p + n, l->in.n - n);
	return (int)n;
}

static int bio_write(BIO *bio, const char *from, int len)
{
	struct link *l = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (len <= 0)
		return 0;
	if (l->out_broken)
		return len; /* reading will say what happened */
	if (!link_out_append(l, from, (size_t)len))
		return -1;
	loop_queue(l->loop, &l->flush, LOOP_FLUSH);
	return len;
}

static long bio_ctrl(BIO *bio, int cmd, long larg, void *parg)
{
	(void)bio;
	(void)larg;
	(void)parg;
	return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static void method_free(void *method)
{
	BIO_meth_free(method);
}

static const BIO_METHOD *method_of(struct loop *loop)
{
	BIO_METHOD *m = loop->bio_method;

	if (m != NULL)
		return m;
	if ((m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "link")) == NULL)
		return NULL;
	if (!BIO_meth_set_read(m, bio_read) || !BIO_meth_set_write(m, bio_write) ||
	    !BIO_meth_set_ctrl(m, bio_ctrl)) {
		BIO_meth_free(m);
		return NULL;
	}
	loop->bio_method = m;
	loop->bio_method_free = method_free;
	return m;
}

bool link_tls_attach(struct link *l)
{
	const BIO_METHOD *m = method_of(l->loop);
	BIO *bio = m == NULL ? NULL : BIO_new(m);

	if (bio == NULL)
		return false;
	BIO_set_data(bio, l);
	BIO_set_init(bio, 1);
	SSL_set_bio(l->ssl, bio, bio);
	return true;
}

/* ---- handshake ---- */

static void trouble(struct link *l)
{
	if (l->trouble == NULL && (l->trouble = calloc(1, sizeof(*l->trouble))) == NULL)
		return;
	l->trouble->reason = tls_reason_take(l->ssl, l->trouble->words, sizeof(l->trouble->words));
}

void link_tls_handshake(struct link *l)
{
	int r;

	ERR_clear_error();
	r = SSL_do_handshake(l->ssl);
	if (r == 1) {
		l->handshake_ns = loop_clock_ns() - l->began_ns;
		if (l->handshake_ns <= 0)
			l->handshake_ns = 1;
		if (SSL_is_server(l->ssl)) {
			server_tls_finished(l->ssl);
			l->tickets_kept = SSL_version(l->ssl) == TLS1_3_VERSION;
		}
		link_opened(l);
		return;
	}
	switch (SSL_get_error(l->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		break;
	case SSL_ERROR_WANT_PRIVATE_KEY_OPERATION:
		l->key_wait = true;
		break;
	default:
		trouble(l);
		link_tell_end(l, LINK_END_TLS);
		break;
	}
}

void link_tls_tickets(struct link *l)
{
	l->tickets_kept = false;
	ERR_clear_error();
	(void)SSL_write(l->ssl, "", 0); /* a failure shows at the next read or write */
	ERR_clear_error();
}

/* ---- records ---- */

/* Decrypts until the scratch is full or the input used up. False: the stream is at its end or
 * broken, `*error` says which. */
static bool decrypt(struct link *l, size_t *len, int *error)
{
	*len = 0;
	while (LOOP_PLAIN_BYTES - *len >= RECORD_BYTES) {
		int r = SSL_read(l->ssl, l->loop->plain + *len, (int)(LOOP_PLAIN_BYTES - *len));

		if (r <= 0) {
			*error = SSL_get_error(l->ssl, r);
			return false;
		}
		*len += (size_t)r;
	}
	return true;
}

void link_tls_read(struct link *l)
{
	for (;;) {
		size_t len;
		int error = SSL_ERROR_NONE;
		bool more;

		ERR_clear_error();
		more = decrypt(l, &len, &error);
		if (error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL)
			trouble(l); /* before an owner's call uses the error queue */
		if (len > 0) {
			l->bytes_received += len;
			l->ev->data(l->owner, span_of(l->loop->plain, len));
			if (l->state != LINK_OPEN || l->told_end)
				return;
		}
		if (more && !l->paused)
			continue;
		if (more || error == SSL_ERROR_WANT_READ)
			return;
		if (error == SSL_ERROR_ZERO_RETURN)
			link_tell_eof(l);
		else
			link_tell_end(l, LINK_END_TLS);
		return;
	}
}

bool link_tls_write(struct link *l, struct span bytes)
{
	if (l->loop->now_ns - l->last_write_ns > BURST_OVER_NS)
		l->small_left = SMALL_BURST_BYTES;
	l->last_write_ns = l->loop->now_ns;
	l->tickets_kept = false;
	while (bytes.n > 0) {
		size_t n = l->small_left > 0 ? SMALL_RECORD_BYTES : RECORD_BYTES;

		if (n > bytes.n)
			n = bytes.n;
		ERR_clear_error();
		if (SSL_write(l->ssl, bytes.p, (int)n) != (int)n)
			return false;
		l->small_left -= n < l->small_left ? (uint32_t)n : l->small_left;
		bytes = span_of(bytes.p + n, bytes.n - n);
		if (l->out_len >= SEND_AT)
			link_out_send(l);
	}
	return true;
}

void link_tls_end(struct link *l)
{
	ERR_clear_error();
	(void)SSL_shutdown(l->ssl); /* queues the alert; the peer's is not waited for */
	ERR_clear_error();
}

void link_tls_abort(struct link *l)
{
	ERR_clear_error();
	(void)SSL_send_fatal_alert(l->ssl, SSL_AD_INTERNAL_ERROR);
	ERR_clear_error();
}

/* ---- what there is to say of it ---- */

void link_facts(const struct link *l, struct link_facts *out)
{
	CHECK(l, LINK_MAGIC);
	*out = (struct link_facts){
		.handshake_ns = l->handshake_ns,
		.bytes_received = l->bytes_received,
		.bytes_sent = l->bytes_sent,
	};
	if (l->ssl == NULL || l->handshake_ns == 0)
		return;
	out->tls_version = (uint16_t)SSL_version(l->ssl);
	out->cipher = SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(l->ssl));
	out->group = compat_ssl_group_id(l->ssl);
	out->resumed = SSL_session_reused(l->ssl) == 1;
}

const SSL *link_ssl(const struct link *l)
{
	CHECK(l, LINK_MAGIC);
	return l->ssl;
}

enum tls_reason link_reason(const struct link *l, const char **words)
{
	CHECK(l, LINK_MAGIC);
	if (l->trouble != NULL)
		*words = l->trouble->words;
	else
		*words = l->error != 0 ? strerror(l->error) : "";
	return l->trouble == NULL ? TLS_REASON_OTHER : l->trouble->reason;
}
