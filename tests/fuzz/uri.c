/* Any bytes as a target and as an authority. What comes of a target holds after decoding it once
 * more, as a careless backend does; and what is in its form stays as it is. */
#include "proxy/http/uri.h"

#include <stdlib.h>

#include "conf/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned fuzz_digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	MUST(c >= 'A' && c <= 'F');
	return (unsigned)(c - 'A' + 10);
}

static void fuzz_segment(const char *p, size_t n)
{
	MUST(!(n == 1 && p[0] == '.'));
	MUST(!(n >= 2 && p[0] == '.' && p[1] == ';'));
	MUST(!(n == 2 && p[0] == '.' && p[1] == '.'));
	MUST(!(n >= 3 && p[0] == '.' && p[1] == '.' && p[2] == ';'));
}

/* Escapes are in upper case, or those of an escaped '%'. */
static void fuzz_decoded(struct span path)
{
	char *decoded = malloc(path.n + 1);
	size_t n = 0, start = 0;

	MUST(decoded != NULL);
	for (size_t i = 0; i < path.n; i++) {
		char c = path.p[i];

		MUST(c > ' ' && c < 0x7f && c != '\\' && c != '?' && c != '#');
		if (c == '%') {
			MUST(i + 2 < path.n);
			c = (char)(fuzz_digit(path.p[i + 1]) * 16 + fuzz_digit(path.p[i + 2]));
			i += 2;
		}
		MUST(c != '\0');
		if (c == '/' || c == '\\') {
			fuzz_segment(decoded + start, n - start);
			start = n + 1;
		}
		decoded[n++] = c;
	}
	fuzz_segment(decoded + start, n - start);
	free(decoded);
}

static void fuzz_target(struct span target, bool reject)
{
	char *out = malloc(target.n), *again = malloc(target.n);
	struct uri uri, second;
	const char *why = NULL;

	MUST(target.n == 0 || (out != NULL && again != NULL));
	if (uri_normalise(target, reject, out, &uri, &why)) {
		size_t n = uri.path.n + uri.query.n;

		MUST(n <= target.n && uri.path.p == out && uri.query.p == out + uri.path.n);
		MUST(uri.path.p[0] == '/' || span_eq(span_of(out, n), span_str("*")));
		MUST(uri.query.n == 0 || uri.query.p[0] == '?');
		MUST(span_eq(uri.query, span_of(target.p + target.n - uri.query.n, uri.query.n)));
		fuzz_decoded(uri.path);
		MUST(uri_normalise(span_of(out, n), reject, again, &second, &why));
		MUST(span_eq(uri.path, second.path) && span_eq(uri.query, second.query));
	} else {
		MUST(why != NULL);
	}
	free(out);
	free(again);
}

static void fuzz_authority(struct span authority)
{
	char *out = malloc(authority.n), *again = malloc(authority.n);
	struct span host, second;
	uint16_t port;

	MUST(authority.n == 0 || (out != NULL && again != NULL));
	if (uri_host(authority, out, &host, &port)) {
		MUST(host.n <= authority.n);
		MUST(uri_host(host, again, &second, &port));
		MUST(span_eq(host, second) && port == 0);
	}
	free(out);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size);

	fuzz_target(input, false);
	fuzz_target(input, true);
	fuzz_authority(input);
	return 0;
}
