/* faults: a library to be preloaded. Allocations fail and the wall clock jumps as the first numbers
 * of the file beside it say, ".control" behind its name, which whoever tests writes while we run:
 * every how many allocations one fails (0: none), seconds that the wall clock is ahead, and the
 * first letter of the roles that it is about (0: all), as in "sallyport:w0". */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SEEN __attribute__((visibility("default")))

struct control {
	int64_t fail_every, ahead_s, role;
	int64_t failed; /* written by us: how many have */
};

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t num, size_t n);
extern void *__libc_realloc(void *p, size_t n);

static struct control none;
static struct control *control = &none;
static uint64_t count;
static char letter; /* of our role; 0: not looked yet */

__attribute__((constructor)) static void find_control(void)
{
	char path[512];
	Dl_info info;
	void *p;
	int fd;

	if (dladdr(&control, &info) == 0 ||
	    snprintf(path, sizeof(path), "%s.control", info.dli_fname) >= (int)sizeof(path) ||
	    (fd = open(path, O_RDWR | O_CLOEXEC)) < 0)
		return;
	p = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (p != MAP_FAILED)
		control = p;
}

static int is_about_us(void)
{
	int64_t wanted = __atomic_load_n(&control->role, __ATOMIC_RELAXED);

	return wanted == 0 || letter == (char)wanted;
}

/* The role's name comes after us, but before the sandbox, in which it cannot be asked for: each
 * allocation until then looks. The supervisor has none, and always may. */
static void look_for_role(void)
{
	static const char prefix[] = "sallyport:";
	char name[17] = "";

	if (prctl(PR_GET_NAME, name, 0, 0, 0) == 0 &&
	    strncmp(name, prefix, sizeof(prefix) - 1) == 0)
		letter = name[sizeof(prefix) - 1];
}

static int fails(void)
{
	int64_t every = __atomic_load_n(&control->fail_every, __ATOMIC_RELAXED);

	if (letter == 0)
		look_for_role();
	if (every <= 0 || !is_about_us() ||
	    __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) % (uint64_t)every != 0)
		return 0;
	(void)__atomic_add_fetch(&control->failed, 1, __ATOMIC_RELAXED);
	errno = ENOMEM;
	return 1;
}

SEEN void *malloc(size_t n)
{
	return fails() ? NULL : __libc_malloc(n);
}

SEEN void *calloc(size_t num, size_t n)
{
	return fails() ? NULL : __libc_calloc(num, n);
}

SEEN void *realloc(void *p, size_t n)
{
	return fails() ? NULL : __libc_realloc(p, n);
}

static int64_t ahead(void)
{
	return __atomic_load_n(&control->ahead_s, __ATOMIC_RELAXED);
}

SEEN int clock_gettime(clockid_t clock, struct timespec *out)
{
	int r = (int)syscall(SYS_clock_gettime, clock, out);

	if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		out->tv_sec += ahead();
	return r;
}

SEEN time_t time(time_t *out)
{
	struct timespec now = { 0 };

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (out != NULL)
		*out = now.tv_sec;
	return now.tv_sec;
}

SEEN int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
	struct timespec now = { 0 };

	(void)zone;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	*out = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
	return 0;
}
