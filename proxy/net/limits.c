#include "proxy/net/limits.h"

#include <netinet/in.h>
#include <openssl/siphash.h>
#include <string.h>

static uint64_t total_connections(const struct limits *l)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < board_workers(l->board); i++)
		sum += metrics_read(&board_worker(l->board, i)->metrics.connections);
	return sum;
}

enum limits_room limits_room(const struct limits *l, size_t num_others)
{
	uint64_t mine = metrics_read(&board_worker(l->board, l->worker)->metrics.connections);

	if ((mine + 1) * LIMITS_FDS_PER_CONNECTION + LIMITS_RESERVED_FDS + num_others > l->max_fds)
		return LIMITS_DESCRIPTORS;
	if (l->connections != 0 && total_connections(l) >= l->connections)
		return LIMITS_CONNECTIONS;
	return LIMITS_ROOM;
}

static void find_seat(const struct limits *l, const struct sockaddr *address,
		      struct limits_seat *seat)
{
	uint8_t bytes[9] = { 0 };
	uint64_t key[2], hash;

	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;

		memcpy(bytes, &in->sin_addr, 4);
		bytes[8] = 4;
	} else if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;

		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
			memcpy(bytes, in6->sin6_addr.s6_addr + 12, 4);
			bytes[8] = 4;
		} else {
			memcpy(bytes, in6->sin6_addr.s6_addr, 8);
			bytes[8] = 6;
		}
	}
	memcpy(key, board_supervisor(l->board)->address_key, sizeof(key));
	hash = SIPHASH_24(key, bytes, sizeof(bytes));
	for (unsigned row = 0; row < BOARD_ADDRESS_ROWS; row++)
		seat->cells[row] = (uint16_t)((hash >> (16 * row)) % BOARD_ADDRESS_CELLS);
}

static uint64_t count(const struct limits *l, const struct limits_seat *seat)
{
	uint64_t least = UINT64_MAX;

	for (unsigned row = 0; row < BOARD_ADDRESS_ROWS; row++) {
		uint64_t sum = 0;

		for (unsigned i = 0; i < board_workers(l->board); i++) {
			const struct board_worker *w = board_worker(l->board, i);

			sum += __atomic_load_n(&w->addresses[row][seat->cells[row]],
					       __ATOMIC_RELAXED);
		}
		if (sum < least)
			least = sum;
	}
	return least;
}

static void add(struct limits *l, const struct limits_seat *seat, uint32_t n)
{
	struct board_worker *mine = board_worker(l->board, l->worker);

	for (unsigned row = 0; row < BOARD_ADDRESS_ROWS; row++) {
		uint32_t *cell = &mine->addresses[row][seat->cells[row]];

		__atomic_store_n(cell, *cell + n, __ATOMIC_RELAXED);
	}
}

bool limits_admit(struct limits *l, const struct sockaddr *address, struct limits_seat *seat)
{
	find_seat(l, address, seat);
	if (l->connections_per_address != 0 && address->sa_family != AF_UNIX &&
	    count(l, seat) >= l->connections_per_address)
		return false;
	add(l, seat, 1);
	return true;
}

void limits_leave(struct limits *l, const struct limits_seat *seat)
{
	add(l, seat, (uint32_t)-1);
}
