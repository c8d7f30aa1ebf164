/* One writes a name's addresses, others read: never a mixture of two lists. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/must.h"
#include "proxy/process/board_name.h"

enum { READERS = 3, LISTS = 20000, IDENTITY = 9 };

static struct board_name name;
static bool finished;

/* List `n` has as many addresses as fit it, each with `n` in it. */
static uint32_t make(unsigned n, struct named_address *list)
{
	uint32_t num = n % 7 + 1;

	for (uint32_t i = 0; i < num; i++) {
		struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = 1 };

		at.sin_addr.s_addr = n;
		list[i] = (struct named_address){ .at.len = sizeof(at),
						  .weight = (uint16_t)i,
						  .priority = (uint16_t)n };
		memcpy(&list[i].at.address, &at, sizeof(at));
	}
	return num;
}

static void *reader(void *arg)
{
	struct named_address got[BOARD_NAME_ADDRESSES], wanted[BOARD_NAME_ADDRESSES];
	uint64_t seen = 0, *num_read = arg;

	while (!__atomic_load_n(&finished, __ATOMIC_ACQUIRE)) {
		const struct sockaddr_in *at = (const struct sockaddr_in *)&got[0].at.address;
		uint32_t num;

		if (!board_name_changed(&name, seen) ||
		    !board_name_read(&name, IDENTITY, got, &num, &seen))
			continue;
		MUST(num > 0 && num == make(at->sin_addr.s_addr, wanted));
		for (uint32_t i = 0; i < num; i++)
			MUST(named_address_same(&got[i], &wanted[i]));
		__atomic_add_fetch(num_read, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

int main(void)
{
	struct named_address list[BOARD_NAME_ADDRESSES];
	pthread_t threads[READERS];
	uint64_t num_read[READERS] = { 0 }, sum = 0;

	for (unsigned i = 0; i < READERS; i++)
		MUST(pthread_create(&threads[i], NULL, reader, &num_read[i]) == 0);
	for (unsigned n = 0; n < LISTS; n++)
		board_name_write(&name, IDENTITY, list, make(n, list));
	/* Who has seen nothing of it yet sees the end of it. */
	while (sum == 0) {
		board_name_write(&name, IDENTITY, list, make(LISTS, list));
		for (unsigned i = 0; i < READERS; i++)
			sum += __atomic_load_n(&num_read[i], __ATOMIC_RELAXED);
	}
	__atomic_store_n(&finished, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < READERS; i++)
		MUST(pthread_join(threads[i], NULL) == 0);
	(void)printf("%d lists written\n", LISTS);
	return 0;
}
