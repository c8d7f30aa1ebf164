/* Key tables that the supervisor keeps: in order, and wiped when they go. */
#include "proxy/process/key_loads.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char secret[] = "a private key";

/* Returns another descriptor of the memory. */
static int add(struct key_loads *l, uint32_t generation)
{
	int fd = memfd_create("keys", MFD_CLOEXEC | MFD_ALLOW_SEALING), other;
	struct handle *h;

	cr_assert_eq(write(fd, secret, sizeof(secret)), (ssize_t)sizeof(secret));
	cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	other = dup(fd);
	h = handle_new(fd);
	cr_assert(key_loads_add(l, generation, h));
	handle_unref(h);
	return other;
}

static bool is_wiped(int fd)
{
	static const char zeros[sizeof(secret)];
	char now[sizeof(secret)];

	cr_assert_eq(pread(fd, now, sizeof(now), 0), (ssize_t)sizeof(now));
	return memcmp(now, zeros, sizeof(now)) == 0;
}

Test(key_loads, those_below_go_and_are_wiped)
{
	struct key_loads l;
	int fds[3];

	key_loads_init(&l);
	for (uint32_t i = 0; i < 3; i++)
		fds[i] = add(&l, i + 1);
	cr_assert_not(key_loads_drop(&l, 1));
	cr_assert(key_loads_drop(&l, 3));
	cr_assert(is_wiped(fds[0]) && is_wiped(fds[1]) && !is_wiped(fds[2]));
	cr_assert_eq(TAILQ_FIRST(&l.list)->generation, 3);
	key_loads_fini(&l);
	cr_assert(is_wiped(fds[2]));
	cr_assert(TAILQ_EMPTY(&l.list));
	for (int i = 0; i < 3; i++)
		(void)close(fds[i]);
}
