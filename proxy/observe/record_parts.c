#include "proxy/observe/record_parts.h"

#include <sys/socket.h>

#include "certs/compat.h"

/* The 4 bytes of an IPv4 address, also of one in IPv6's clothes; NULL: it is none. */
static const uint8_t *ipv4_of(struct record_address a)
{
	static const uint8_t v4_mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	if (a.family == AF_INET)
		return a.bytes;
	if (a.family == AF_INET6 && memcmp(a.bytes, v4_mapped, sizeof(v4_mapped)) == 0)
		return a.bytes + sizeof(v4_mapped);
	return NULL;
}

bool record_put_address(struct text *t, struct record_address a)
{
	const uint8_t *ipv4 = ipv4_of(a);

	if (ipv4 != NULL)
		text_ipv4(t, ipv4);
	else if (a.family == AF_INET6)
		text_ipv6(t, a.bytes);
	else if (a.family == AF_UNIX)
		TEXT_PUT(t, "unix");
	else
		return false;
	return true;
}

bool record_put_endpoint(struct text *t, struct record_address a, uint16_t port)
{
	bool brackets = a.family == AF_INET6 && ipv4_of(a) == NULL;

	if (brackets)
		TEXT_PUT(t, "[");
	if (!record_put_address(t, a))
		return false;
	if (brackets)
		TEXT_PUT(t, "]");
	if (a.family != AF_UNIX) {
		TEXT_PUT(t, ":");
		text_u64(t, port);
	}
	return true;
}

bool record_same_address(struct record_address a, struct record_address b)
{
	const uint8_t *x = ipv4_of(a);
	const uint8_t *y = ipv4_of(b);

	if (a.family == AF_UNIX || b.family == AF_UNIX)
		return a.family == b.family;
	if (x != NULL && y != NULL)
		return memcmp(x, y, 4) == 0;
	return a.family == AF_INET6 && b.family == AF_INET6 && memcmp(a.bytes, b.bytes, 16) == 0;
}

void record_put_ms(struct text *t, int64_t ns)
{
	text_fraction(t, ns < 0 ? 0 : ((uint64_t)ns + 500) / 1000, 3);
}

static const char *version_name(uint16_t version)
{
	switch (version) {
	case 0x0300:
		return "SSLv3";
	case 0x0301:
		return "TLSv1";
	case 0x0302:
		return "TLSv1.1";
	case 0x0303:
		return "TLSv1.2";
	case 0x0304:
		return "TLSv1.3";
	default:
		return NULL;
	}
}

/* Names that the TLS library or we made need no escaping; a number stands for what has none. */
static void put_name_or_number(struct text *t, const char *name, uint16_t number)
{
	TEXT_PUT(t, "\"");
	if (name != NULL)
		text_str(t, name);
	else
		text_hex16(t, number);
	TEXT_PUT(t, "\"");
}

void record_put_tls(struct text *t, const struct record_tls *tls)
{
	const SSL_CIPHER *cipher;

	if (tls->version != 0) {
		TEXT_PUT(t, ",\"tls\":");
		put_name_or_number(t, version_name(tls->version), tls->version);
	}
	if (tls->cipher != 0) {
		cipher = SSL_get_cipher_by_value(tls->cipher);
		TEXT_PUT(t, ",\"cipher\":");
		put_name_or_number(t, cipher == NULL ? NULL : SSL_CIPHER_standard_name(cipher),
				   tls->cipher);
	}
	if (tls->group != 0) {
		TEXT_PUT(t, ",\"group\":");
		put_name_or_number(t, compat_group_name(tls->group), tls->group);
	}
}

void record_put_resumed(struct text *t, bool resumed)
{
	if (resumed)
		TEXT_PUT(t, ",\"resumed\":true");
	else
		TEXT_PUT(t, ",\"resumed\":false");
}
