#include "conf/network.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "conf/must.h"
#include "conf/values.h"

static const uint8_t network_mapped[12] = { [10] = 0xff, [11] = 0xff };

static unsigned network_width(const struct conf_network *n)
{
	return n->family == AF_INET ? 32 : 128;
}

static bool network_address(const char *text, struct conf_network *out)
{
	struct conf_network n = { .family = AF_INET };

	if (inet_pton(AF_INET, text, n.bytes) != 1) {
		n.family = AF_INET6;
		if (inet_pton(AF_INET6, text, n.bytes) != 1)
			return false;
	}
	n.bits = (uint8_t)network_width(&n);
	*out = n;
	return true;
}

static bool network_bits(const char *text, struct conf_network *n)
{
	size_t len = strlen(text);
	unsigned bits = 0;

	if (len == 0 || len > 3 || (len > 1 && text[0] == '0'))
		return false;
	for (; *text >= '0' && *text <= '9'; text++)
		bits = bits * 10 + (unsigned)(*text - '0');
	if (*text != '\0' || bits > n->bits)
		return false;
	n->bits = (uint8_t)bits;
	return true;
}

/* Takes away what lies past the bits that count. */
static struct conf_network network_cut(struct conf_network n)
{
	for (size_t i = 0; i < sizeof(n.bytes); i++) {
		if (i * 8 >= n.bits)
			n.bytes[i] = 0;
		else if (n.bits - i * 8 < 8)
			n.bytes[i] &= (uint8_t)(0xff << (8 - (n.bits - i * 8)));
	}
	return n;
}

static struct conf_network network_plain(struct conf_network n)
{
	struct conf_network four = { .family = AF_INET };

	if (n.family == AF_INET || n.bits < 96 ||
	    memcmp(n.bytes, network_mapped, sizeof(network_mapped)) != 0)
		return n;
	four.bits = (uint8_t)(n.bits - 96);
	memcpy(four.bytes, n.bytes + sizeof(network_mapped), 4);
	return four;
}

bool network_read(struct span text, struct conf_network *out, char *why, size_t why_len)
{
	char copy[NETWORK_MAX_TEXT], quote[VALUE_QUOTE], cut_text[NETWORK_MAX_TEXT], *slash;
	struct conf_network n, cut;

	(void)value_quote(text, quote);
	if (text.n >= sizeof(copy) || (text.n > 0 && memchr(text.p, '\0', text.n) != NULL))
		goto none;
	memcpy(copy, text.n == 0 ? "" : text.p, text.n);
	copy[text.n] = '\0';
	if ((slash = strchr(copy, '/')) != NULL)
		*slash++ = '\0';
	if (!network_address(copy, &n))
		goto none;
	if (slash != NULL && !network_bits(slash, &n)) {
		(void)snprintf(why, why_len,
			       "\"%s\" is no network: after \"/\" a number of bits "
			       "from 0 to %u is expected",
			       quote, network_width(&n));
		return false;
	}
	cut = network_cut(n);
	if (memcmp(cut.bytes, n.bytes, sizeof(n.bytes)) != 0) {
		network_text(&cut, cut_text);
		(void)snprintf(why, why_len,
			       "\"%s\" is an address in a network: write \"%s\" for "
			       "all of it, or \"%s\"",
			       quote, cut_text, copy);
		return false;
	}
	*out = network_plain(n);
	return true;
none:
	(void)snprintf(why, why_len,
		       "\"%s\" is no network: expected one such as \"10.0.0.0/8\" or "
		       "\"2001:db8::/32\"",
		       quote);
	return false;
}

void network_text(const struct conf_network *n, char *out)
{
	size_t len;

	MUST(inet_ntop(n->family, n->bytes, out, INET6_ADDRSTRLEN) != NULL);
	len = strlen(out);
	if (n->bits < network_width(n))
		(void)snprintf(out + len, NETWORK_MAX_TEXT - len, "/%u", (unsigned)n->bits);
}
