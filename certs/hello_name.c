#include "certs/hello_name.h"

#include <stdlib.h>
#include <string.h>

#include "certs/compat.h"
#include <openssl/bytestring.h>

enum {
	RECORD_HEAD = 5,
	RECORD_MAX = 1 << 14, /* RFC 8446 5.1; a ClientHello is not encrypted */
	MESSAGE_HEAD = 4,
};

/* Host names as clients send them: what else there is in one is none (RFC 6066 3). */
static bool take_name(CBS *from, char *name)
{
	size_t n = CBS_len(from);

	if (n == 0 || n > HELLO_NAME_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		uint8_t c = CBS_data(from)[i];

		if (c <= ' ' || c > '~')
			return false;
		name[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
	}
	/* A trailing dot is no part of the name. */
	name[n - (n > 1 && name[n - 1] == '.')] = '\0';
	return true;
}

static enum hello_verdict read_server_name(CBS *extension, char *name)
{
	CBS list, host;
	uint8_t type;

	if (!CBS_get_u16_length_prefixed(extension, &list) || CBS_len(extension) != 0 ||
	    !CBS_get_u8(&list, &type) || type != TLSEXT_NAMETYPE_host_name ||
	    !CBS_get_u16_length_prefixed(&list, &host) || CBS_len(&list) != 0 ||
	    !take_name(&host, name))
		return HELLO_BAD;
	return HELLO_WHOLE;
}

/* The body of a ClientHello (RFC 8446 4.1.2). */
static enum hello_verdict read_hello(CBS *hello, char *name)
{
	CBS ignored, extensions;

	if (!CBS_skip(hello, 2 + SSL3_RANDOM_SIZE) ||
	    !CBS_get_u8_length_prefixed(hello, &ignored) ||
	    !CBS_get_u16_length_prefixed(hello, &ignored) ||
	    !CBS_get_u8_length_prefixed(hello, &ignored))
		return HELLO_BAD;
	if (CBS_len(hello) == 0) /* from before there were any */
		return HELLO_WHOLE;
	if (!CBS_get_u16_length_prefixed(hello, &extensions) || CBS_len(hello) != 0)
		return HELLO_BAD;
	while (CBS_len(&extensions) > 0) {
		uint16_t type;
		CBS extension;

		if (!CBS_get_u16(&extensions, &type) ||
		    !CBS_get_u16_length_prefixed(&extensions, &extension))
			return HELLO_BAD;
		if (type == TLSEXT_TYPE_server_name)
			return read_server_name(&extension, name);
	}
	return HELLO_WHOLE;
}

/* Joins what records of handshake messages hold. `*bad`: another kind of record, or none. */
static size_t join(struct span bytes, uint8_t *out, bool *bad)
{
	size_t len = 0;

	*bad = false;
	while (bytes.n >= RECORD_HEAD) {
		const uint8_t *head = (const uint8_t *)bytes.p;
		size_t n = (size_t)head[3] << 8 | head[4], there = bytes.n - RECORD_HEAD;

		if (head[0] != SSL3_RT_HANDSHAKE || head[1] != SSL3_VERSION_MAJOR || n == 0 ||
		    n > RECORD_MAX) {
			*bad = true;
			return len;
		}
		there = there < n ? there : n;
		memcpy(out + len, head + RECORD_HEAD, there);
		len += there;
		bytes = span_of(bytes.p + RECORD_HEAD + there, bytes.n - RECORD_HEAD - there);
	}
	/* Of a head that is not all there, the first byte says enough. */
	if (bytes.n > 0 && (uint8_t)bytes.p[0] != SSL3_RT_HANDSHAKE)
		*bad = true;
	return len;
}

enum hello_verdict hello_name(struct span bytes, char *name)
{
	uint8_t *message = malloc(bytes.n + 1);
	enum hello_verdict verdict = HELLO_MORE;
	size_t len, want;
	bool bad;
	CBS hello;

	name[0] = '\0';
	if (message == NULL)
		return HELLO_BAD;
	len = join(bytes, message, &bad);
	want = len < MESSAGE_HEAD ? SIZE_MAX
				  : MESSAGE_HEAD + ((size_t)message[1] << 16 |
						    (size_t)message[2] << 8 | message[3]);
	if (len > 0 && message[0] != SSL3_MT_CLIENT_HELLO) {
		verdict = HELLO_BAD;
	} else if (len >= want) {
		CBS_init(&hello, message + MESSAGE_HEAD, want - MESSAGE_HEAD);
		verdict = read_hello(&hello, name);
	} else if (bad || (want != SIZE_MAX && want > HELLO_MAX_BYTES) ||
		   bytes.n > HELLO_MAX_BYTES) {
		verdict = HELLO_BAD;
	}
	free(message);
	if (verdict != HELLO_WHOLE)
		name[0] = '\0';
	return verdict;
}
