/* keeper_area: the memory that a worker and the keeper share: a ring of requests for signatures one
 * way, a ring of answers the other. Each end is used by one thread at a time, trusts nothing that
 * the other writes, and copies before it looks. Never waits; who is to be woken is said, by what
 * the caller decides. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/key_message.h"
#include "certs/keys.h"

enum { KEEPER_SLOTS = 64 }; /* requests of a worker under way; a power of two */

struct keeper_request {
	struct key_id key;
	uint32_t slot;	     /* of the asker, which comes back with the answer */
	uint32_t generation; /* the same */
	uint16_t algorithm;
	uint16_t len;
	uint8_t message[KEY_MESSAGE_MAX];
};

enum keeper_verdict {
	KEEPER_SIGNED,
	KEEPER_FAILED,	/* no such key, or it does not fit the algorithm */
	KEEPER_REFUSED, /* it is not what a handshake signs */
};

struct keeper_answer {
	uint32_t slot;
	uint32_t generation;
	uint16_t verdict; /* enum keeper_verdict */
	uint16_t len;	  /* of the signature */
	uint8_t signature[KEYS_MAX_SIGNATURE];
};

struct keeper_area; /* what is shared: keeper_area_size bytes, zero at first */

/* keeper_area_size returns the bytes of the memory. */
size_t keeper_area_size(void);

/* One end. What it knows itself is never read back from what is shared. */
struct keeper_end {
	struct keeper_area *area;
	uint32_t written; /* into the ring that it writes */
	uint32_t read;	  /* from the ring that it reads */
};

/* keeper_end_init begins at either end of a fresh area. Borrows it. */
void keeper_end_init(struct keeper_end *e, struct keeper_area *area);

/* keeper_ask writes a request; `*wake` is set where the other end had read all before, and may
 * sleep. False: the ring is full. */
bool keeper_ask(struct keeper_end *e, const struct keeper_request *r, bool *wake);

/* keeper_answered reads the next answer. False: there is none. */
bool keeper_answered(struct keeper_end *e, struct keeper_answer *a);

/* keeper_has_answer tells whether there is one. */
bool keeper_has_answer(const struct keeper_end *e);

/* keeper_asked reads the next request, copied; its `len` fits. False: there is none. */
bool keeper_asked(struct keeper_end *e, struct keeper_request *r);

/* keeper_has_request tells whether there is one. */
bool keeper_has_request(const struct keeper_end *e);

/* keeper_answer writes an answer; as keeper_ask. */
bool keeper_answer(struct keeper_end *e, const struct keeper_answer *a, bool *wake);
