#include "certs/roots.h"

#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certs/compat.h"
#include "certs/pem.h"

enum { ROOTS_WORDS = 512 };

struct roots_file {
	char *path;
	bool usable; /* false: was told before */
	struct file file;
};

/* Where Debian, Red Hat and the BSDs keep them. */
static const char *const system_paths[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/cert.pem",
};

static const char *system_path(void)
{
	for (size_t i = 0; i < sizeof(system_paths) / sizeof(system_paths[0]); i++) {
		if (access(system_paths[i], R_OK) == 0)
			return system_paths[i];
	}
	return NULL;
}

/* Checks that verification will find something to trust. */
static bool check_roots(const char *path, const struct file *f, struct problems *why)
{
	struct pem_list list = { 0 };
	char words[ROOTS_WORDS];
	size_t good = 0;
	size_t num;

	if (!pem_read_roots(span_of(f->p, f->n), &list, words, sizeof(words))) {
		problems_add(why, PROBLEM_ERROR, path, "%s", words);
		return false;
	}
	num = list.num;
	for (size_t i = 0; i < num; i++) {
		const uint8_t *p = (const uint8_t *)list.der[i].p;
		X509 *x = d2i_X509(NULL, &p, (long)list.der[i].n);

		good += x != NULL;
		X509_free(x);
	}
	ERR_clear_error();
	pem_list_fini(&list);
	if (good < num)
		problems_add(why, good == 0 ? PROBLEM_ERROR : PROBLEM_WARNING, path,
			     "%zu of %zu certificates cannot be read and are not trusted",
			     num - good, num);
	return good > 0;
}

static bool roots_add(struct roots *r, const char *path, struct problems *why)
{
	struct roots_file *grown = realloc(r->list, (r->num + 1) * sizeof(*grown));
	struct roots_file *f;
	char words[ROOTS_WORDS];

	if (grown == NULL)
		return false;
	r->list = grown;
	f = &r->list[r->num];
	*f = (struct roots_file){ .path = strdup(path) };
	if (f->path == NULL)
		return false;
	r->num++;
	if (!file_read(path, PEM_MAX_ROOTS_FILE, &f->file, words, sizeof(words)))
		problems_add(why, PROBLEM_ERROR, path, "%s", words);
	else
		f->usable = check_roots(path, &f->file, why);
	return true;
}

bool roots_get(struct roots *r, const char *ca, const char *pointer, struct span *out,
	       struct problems *why)
{
	const char *path = ca == NULL ? system_path() : ca;
	size_t i;

	if (path == NULL) {
		problems_add(why, PROBLEM_ERROR, pointer,
			     "the system has no trusted roots (no %s): install ca-certificates, or "
			     "name a file of roots in tls.ca",
			     system_paths[0]);
		return false;
	}
	for (i = 0; i < r->num && strcmp(r->list[i].path, path) != 0; i++)
		;
	if (i == r->num && !roots_add(r, path, why)) {
		problems_add(why, PROBLEM_ERROR, path, "out of memory");
		return false;
	}
	if (!r->list[i].usable)
		return false;
	*out = span_of(r->list[i].file.p, r->list[i].file.n);
	return true;
}

void roots_fini(struct roots *r)
{
	for (size_t i = 0; i < r->num; i++) {
		free(r->list[i].path);
		file_fini(&r->list[i].file);
	}
	free(r->list);
	*r = (struct roots){ 0 };
}
