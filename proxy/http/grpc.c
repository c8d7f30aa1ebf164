#include "proxy/http/grpc.h"

#include <string.h>

/* Those of gRPC's status codes that a proxy has use for. */
enum {
	GRPC_UNKNOWN = 2,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_UNAUTHENTICATED = 16,
};

bool grpc_is_request(const struct head *h)
{
	static const char type[] = "application/grpc";
	const struct header *f = h == NULL ? NULL : head_find(h, HEADER_CONTENT_TYPE);
	size_t n = sizeof(type) - 1;

	if (f == NULL || h->version < 20 || f->value.n < n ||
	    !span_eq_nocase(span_of(f->value.p, n), span_str(type)))
		return false;
	return f->value.n == n || strchr("+;", f->value.p[n]) != NULL;
}

static unsigned code_of(unsigned status)
{
	switch (status) {
	case 400:
		return GRPC_INTERNAL;
	case 401:
		return GRPC_UNAUTHENTICATED;
	case 403:
		return GRPC_PERMISSION_DENIED;
	case 404:
	case 405:
		return GRPC_UNIMPLEMENTED;
	case 413:
	case 431:
		return GRPC_RESOURCE_EXHAUSTED;
	case 429:
	case 502:
	case 503:
		return GRPC_UNAVAILABLE;
	case 408:
	case 504: /* may have been acted upon: not to be taken for what can be tried again */
		return GRPC_DEADLINE_EXCEEDED;
	default:
		return GRPC_UNKNOWN;
	}
}

/* Percent-encoded, as the protocol of gRPC has it for all but printable ASCII. */
static struct span message(struct head *h, const char *why)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = strlen(why), len = 0, room = 0;
	char *to = size_mul(&room, n, 3) ? head_alloc(h, room) : NULL;

	if (to == NULL)
		return span_of("", 0);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)why[i];

		if (c >= ' ' && c <= '~' && c != '%') {
			to[len++] = (char)c;
			continue;
		}
		to[len++] = '%';
		to[len++] = hex[c >> 4];
		to[len++] = hex[c & 15];
	}
	return span_of(to, len);
}

struct head *grpc_answer(unsigned status, const char *why)
{
	struct head *h = head_new(0);

	if (h == NULL)
		return NULL;
	h->status = 200;
	head_add_id(h, HEADER_CONTENT_TYPE, span_str("application/grpc"));
	head_add(h, span_str("grpc-status"), head_print(h, "%u", code_of(status)));
	head_add(h, span_str("grpc-message"), message(h, why));
	if (!h->failed)
		return h;
	head_free(h);
	return NULL;
}
