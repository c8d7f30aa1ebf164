/* shun: addresses that lately could not be connected to: others of the same name go first. A
 * worker's own, of fixed size: what does not fit is forgotten, and a name is then merely asked in
 * another order. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { SHUN_CELLS = 1024 };

/* Zero is empty. */
struct shun {
	struct shun_cell {
		uint64_t key;
		int64_t until_ns;
	} cells[SHUN_CELLS];
};

/* shun_add notes an address of `len` bytes, for ten seconds from `now_ns`. */
void shun_add(struct shun *s, const struct sockaddr_storage *address, socklen_t len,
	      int64_t now_ns);

/* shun_has tells whether it is noted. */
bool shun_has(const struct shun *s, const struct sockaddr_storage *address, socklen_t len,
	      int64_t now_ns);
