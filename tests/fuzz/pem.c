/* PEM text: any bytes to chain and key, and to roots. */
#include <stddef.h>
#include <stdint.h>

#include "certs/pem.h"
#include "conf/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read must lie where it says; ASan watches the reading. */
static unsigned touch(const struct pem_list *l)
{
	unsigned sum = 0;

	for (size_t i = 0; i < l->num; i++) {
		for (size_t k = 0; k < l->der[i].n; k++)
			sum += (uint8_t)l->der[i].p[k];
	}
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pem_file f;
	struct pem_list roots;
	char why[256] = "";

	if (pem_read(span_of(data, size), "x.pem", &f, why, sizeof(why))) {
		MUST(f.chain.num <= PEM_MAX_CHAIN);
		MUST((f.key == NULL) == (f.parsed == NULL));
		(void)touch(&f.chain);
		pem_file_fini(&f);
	} else {
		MUST(why[0] != '\0');
	}
	if (pem_read_roots(span_of(data, size), &roots, why, sizeof(why))) {
		MUST(roots.num > 0 && roots.num <= PEM_MAX_ROOTS);
		(void)touch(&roots);
		pem_list_fini(&roots);
	}
	return 0;
}
