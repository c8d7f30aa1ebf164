/* compat: the crypto library: BoringSSL of API 17 or newer, or AWS-LC. The only place that knows
 * which one; what it can do is asked at run time. Holds no state. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the build probed, where there was one (glibc's file of that name does no harm). */
#if __has_include("features.h")
#include "features.h"
#endif

#include <openssl/base.h>

#if !defined(OPENSSL_IS_BORINGSSL) && !defined(OPENSSL_IS_AWSLC)
#error "Sallyport needs BoringSSL or AWS-LC, not OpenSSL: see BORINGSSL_ROOT in README.md"
#endif

#include <openssl/bio.h>
#include <openssl/bytestring.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/pool.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

/* The library as it calls itself, and the number of its API. */
#if defined(OPENSSL_IS_AWSLC)
#define COMPAT_LIBRARY "AWS-LC"
#define COMPAT_API AWSLC_API_VERSION
#else
#define COMPAT_LIBRARY "BoringSSL"
#define COMPAT_API BORINGSSL_API_VERSION
#endif

/* compat_ssl_group_id returns the key exchange group of the connection's last handshake, 0 where
 * it had none. SSL_get_curve_id is its older name. */
static inline uint16_t compat_ssl_group_id(const SSL *ssl)
{
#if defined(HAVE_SSL_GET_GROUP_ID)
	return SSL_get_group_id(ssl);
#else
	return SSL_get_curve_id(ssl);
#endif
}

enum { COMPAT_MAX_GROUPS = 16 }; /* more than there are */

/* compat_warm_up has the library do what it does but once, such as opening a source of chance. */
void compat_warm_up(void);

/* compat_library returns "BoringSSL, API 17" and the like, for people. */
const char *compat_library(void);

/* compat_group_id returns the number (IANA) of the key exchange group `name`, as configuration
 * spells it ("X25519"); 0 where there is no such group or this library lacks it. */
uint16_t compat_group_id(const char *name);

/* compat_group_name returns the name of a group by its number; NULL where it is not known. */
const char *compat_group_name(uint16_t id);

/* compat_ssl_group returns the name of the group that the connection's handshake used; NULL where
 * it used none or it has no name here. */
const char *compat_ssl_group(const SSL *ssl);

/* compat_groups writes the names of all groups that this library has to `out`, best first, and
 * returns how many. */
size_t compat_groups(const char *out[COMPAT_MAX_GROUPS]);
