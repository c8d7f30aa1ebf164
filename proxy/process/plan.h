/* plan: the head and the arrays of a snapshot as they lie in memory, and the check that all of it
 * is inside. Pure. Any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proxy/process/snapshot.h"

enum {
	PLAN_MAGIC = 0x53504c41,
	PLAN_VERSION = 2,
	PLAN_ALIGN = 16, /* of arrays and texts behind the head */
	PLAN_MAX_SOCKETS = CONF_MAX_LISTENERS * CONF_MAX_ADDRESSES,
	PLAN_MAX_ADDRESSES_EACH = 16, /* of one server */
	PLAN_MAX_ADDRESSES = CONF_MAX_SERVERS * PLAN_MAX_ADDRESSES_EACH,
};

/* plan_check tells whether the `size` bytes at `bytes` are a plan whose every number, offset and
 * text is in bounds. Returns NULL where they are; else what is wrong, a constant text. */
const char *plan_check(const void *bytes, uint64_t size);

/* plan_address_ok tells whether `a` is a whole TCP or unix address of `len` bytes. */
bool plan_address_ok(const struct sockaddr_storage *a, uint32_t len);

/* Arrays of a plan that plan_check has passed; writable where the mapping is: the supervisor fills
 * in slots and ids before it seals. */

/* plan_sockets returns its num_sockets sockets. */
struct plan_socket *plan_sockets(const struct plan *p);

/* plan_listeners returns its num_listeners listeners. */
struct plan_listener *plan_listeners(const struct plan *p);

/* plan_pools returns its num_pools pools. */
struct plan_pool *plan_pools(const struct plan *p);

/* plan_servers returns its num_servers servers. */
struct plan_server *plan_servers(const struct plan *p);

/* plan_addresses returns its num_addresses addresses. */
struct plan_address *plan_addresses(const struct plan *p);
