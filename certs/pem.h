/* pem: PEM text (RFC 7468) to a chain in DER and a private key in PKCS#8. Strict about what is
 * between BEGIN and END, indifferent to what is around it. Pure: reads no file. Not for peers'
 * input, but safe with it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/compat.h"
#include "conf/span.h"

enum {
	PEM_MAX_FILE = 1 << 20,	      /* bytes of text with a chain or key */
	PEM_MAX_CHAIN = 10,	      /* certificates of one chain */
	PEM_MAX_ROOTS_FILE = 8 << 20, /* bytes of text with roots */
	PEM_MAX_ROOTS = 4096,
};

/* Certificates in DER, in the order of the text. */
struct pem_list {
	struct span *der; /* each points into `bytes` */
	size_t num;
	uint8_t *bytes;
};

/* A chain with its key, either of which may be missing. */
struct pem_file {
	struct pem_list chain;
	uint8_t *key; /* PKCS#8 DER; NULL: none */
	size_t key_len;
	EVP_PKEY *parsed; /* the same key */
};

/* pem_read takes chain and key out of `text`. False, with a sentence in `why` (`why_len` bytes)
 * that continues "FILE: ...": malformed, encrypted, more than one key, more than PEM_MAX_CHAIN
 * certificates, or out of memory. `name` is the file's name for the remedy. */
bool pem_read(struct span text, const char *name, struct pem_file *out, char *why, size_t why_len);

/* pem_file_fini frees, and wipes the key; a struct of zero bytes is fine. */
void pem_file_fini(struct pem_file *f);

/* pem_read_roots takes the certificates out of `text`. False as with pem_read, and where there is
 * none, or a private key. */
bool pem_read_roots(struct span text, struct pem_list *out, char *why, size_t why_len);

/* pem_list_fini frees; a struct of zero bytes is fine. */
void pem_list_fini(struct pem_list *l);
