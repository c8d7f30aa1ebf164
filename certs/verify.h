/* verify: whether a chain of certificates leads to a trusted root, is in date, and speaks for the
 * name that was meant; and if not, why, in words. One per pool and snapshot; counted, since a
 * handshake may outlive its pool. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/compat.h"
#include "conf/span.h"

enum { VERIFY_WORDS = 640 }; /* bytes that hold any failure */

struct verify;

/* verify_new keeps the roots in `ca_pem`; they are parsed at the first use. `from` says in
 * messages where they came from. `uri` (NULL: none) is what certificates are to have in their SAN
 * in place of a name. NULL with words in `why`: no root, or memory was short. */
struct verify *verify_new(struct span ca_pem, const char *from, const char *uri, char *why,
			  size_t why_len);

/* verify_ref counts one more owner and returns `v`. */
struct verify *verify_ref(struct verify *v);

/* verify_unref counts one fewer and frees at the last. NULL is fine. */
void verify_unref(struct verify *v);

/* verify_server tells whether `chain` (leaf first) proves a TLS server called `name`, a host name
 * or IP address (RFC 9525: the SAN counts, never the common name); or where there is a URI, whether
 * it has that and no other one (SPIFFE's X509-SVID, 2). False: `*alert` is what TLS should say,
 * `words` (VERIFY_WORDS bytes) what people should read. */
bool verify_server(struct verify *v, const STACK_OF(CRYPTO_BUFFER) * chain, const char *name,
		   uint8_t *alert, char words[VERIFY_WORDS]);
