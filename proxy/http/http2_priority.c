#include "proxy/http/http2_priority.h"

#include "proxy/http/head.h"

/* Without its parameters, which mean nothing here. */
static struct span bare(struct span member)
{
	const char *semicolon = memchr(member.p, ';', member.n);

	if (semicolon != NULL)
		member.n = (size_t)(semicolon - member.p);
	while (member.n > 0 && member.p[member.n - 1] == ' ')
		member.n--;
	return member;
}

nghttp2_extpri http2_priority_parse(struct span value)
{
	nghttp2_extpri priority = { .urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY };
	struct span member;

	while (header_next(&value, &member)) {
		member = bare(member);
		if (member.n == 3 && memcmp(member.p, "u=", 2) == 0 && member.p[2] >= '0' &&
		    member.p[2] <= '0' + NGHTTP2_EXTPRI_URGENCY_LOW)
			priority.urgency = (uint32_t)(member.p[2] - '0');
		else if (span_eq(member, span_str("i")) || span_eq(member, span_str("i=?1")))
			priority.inc = 1;
		else if (span_eq(member, span_str("i=?0")))
			priority.inc = 0;
	}
	return priority;
}
