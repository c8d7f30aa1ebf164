/* signing: the signature that a handshake waits for, as server or as client: between what the
 * library asks and what `keys` answers. Part of what hangs on an SSL; one thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/compat.h"
#include "certs/keys.h"

enum signing_state { SIGNING_NONE, SIGNING_WAITS, SIGNING_DONE };

struct signing {
	struct keys *keys;
	void (*ready)(void *owner);
	void *owner;
	struct key_id key;   /* the owner's to set */
	int64_t deadline_ns; /* of the handshake, on the clock of keys_shed; INT64_MAX: none */
	enum signing_state state;
	bool shed;	      /* when SIGNING_DONE, without a signature */
	struct keys_job *job; /* while SIGNING_WAITS */
	uint8_t *signature;   /* when SIGNING_DONE; NULL: it failed */
	size_t signature_len;
};

/* signing_init begins without a key. Borrows `keys`; `ready(owner)` is called once, from keys_run,
 * for each signature that was waited for, and may free `s`. */
void signing_init(struct signing *s, struct keys *keys, void (*ready)(void *owner), void *owner);

/* signing_fini cancels what waits. */
void signing_fini(struct signing *s);

/* What an SSL signs by: the `signing` of what hangs on it (exdata.h). Without one it fails; and it
 * never decrypts, which only key exchange without forward secrecy does, and only on a server, whose
 * setup refuses such suites. */
extern const SSL_PRIVATE_KEY_METHOD signing_method;
