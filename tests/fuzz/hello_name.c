/* What a client sends first, whole and cut: what is known of less does not change with more, and a
 * name is a name. */
#include "certs/hello_name.h"

#include <stdint.h>
#include <string.h>

#include "conf/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[HELLO_NAME_MAX + 1], before[HELLO_NAME_MAX + 1];
	struct span bytes = span_of((const char *)data, size);
	enum hello_verdict verdict = hello_name(bytes, name), cut;

	MUST(strlen(name) <= HELLO_NAME_MAX);
	MUST(verdict == HELLO_WHOLE || name[0] == '\0');
	for (const char *c = name; *c != '\0'; c++)
		MUST(*c > ' ' && *c <= '~' && !(*c >= 'A' && *c <= 'Z'));
	MUST(verdict != HELLO_MORE || size <= HELLO_MAX_BYTES);
	for (size_t n = 0; n < size; n += size / 16 + 1) {
		cut = hello_name(span_of(bytes.p, n), before);
		MUST(cut == HELLO_MORE || (cut == verdict && strcmp(before, name) == 0));
	}
	return 0;
}
