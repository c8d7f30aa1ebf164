/* board_name: the addresses of a server's name as the steward finds them, on the board: one writer,
 * any number of readers, no lock. What is read is looked at with suspicion. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proxy/process/snapshot.h"

enum { BOARD_NAME_ADDRESSES = 256 };

/* Lies in shared memory; all zero at first. */
struct board_name {
	uint64_t sequence; /* odd while it is being written */
	uint64_t identity; /* whose addresses they are: a slot may get another name */
	uint64_t num;
	uint64_t words[BOARD_NAME_ADDRESSES][3];
};

/* An address of a name. Of those with the lowest `priority` that can be had each gets its share, by
 * `weight` (RFC 2782). */
struct named_address {
	struct plan_address at;
	uint16_t priority, weight;
};

/* named_address_same tells whether two are the same in all. */
bool named_address_same(const struct named_address *a, const struct named_address *b);

/* board_name_identity tells names of servers apart; never 0. */
uint64_t board_name_identity(const struct plan_server *server);

/* board_name_write writes `num` addresses (BOARD_NAME_ADDRESSES at most). */
void board_name_write(struct board_name *to, uint64_t identity, const struct named_address *list,
		      uint32_t num);

/* board_name_changed tells whether there is something to read that is newer than `seen`. */
bool board_name_changed(const struct board_name *from, uint64_t seen);

/* board_name_read reads addresses of `identity`, BOARD_NAME_ADDRESSES at most, to `out`, and how
 * many to `*num`, and sets `*seen`. False: there are none of that identity, or they are being
 * written. */
bool board_name_read(const struct board_name *from, uint64_t identity, struct named_address *out,
		     uint32_t *num, uint64_t *seen);
