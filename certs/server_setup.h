/* server_setup: what a listener's `tls` says about versions, suites and groups, put into an
 * SSL_CTX. Holds nothing. */
#pragma once

#include <stdbool.h>

#include "certs/choose.h"
#include "certs/compat.h"
#include "conf/conf.h"
#include "conf/problems.h"

/* server_setup configures `ctx` by `t` and notes in `*policy` what the choice of a certificate
 * needs of it. False: what is wrong was added to `why`, or memory was short. */
bool server_setup(SSL_CTX *ctx, const struct conf_tls *t, struct choose_policy *policy,
		  struct problems *why);

/* server_setup_http makes `ctx` agree on a version of `http`, which outlives its handshakes, with
 * clients that ask for a protocol (ALPN, RFC 7301), and refuse those that ask for none of them. */
void server_setup_http(SSL_CTX *ctx, const struct conf_http *http);
