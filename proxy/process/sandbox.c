#include "proxy/process/sandbox.h"

#include <stdio.h>
#include <time.h>

#include "certs/compat.h"

/* Sanitizers open files, start programs and look into processes, at any time. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANDBOX_PARTS SANDBOX_PRIVILEGES
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_PARTS SANDBOX_PRIVILEGES
#endif
#if !defined(SANDBOX_PARTS)
#define SANDBOX_PARTS SANDBOX_ALL
#endif

uint32_t sandbox_possible(void)
{
	return SANDBOX_PARTS;
}

/* Libraries open some things at their first use: afterwards it would be a violation. */
static void sandbox_warm_up(void)
{
	tzset();	  /* a file of time zones, for a log's times */
	compat_warm_up(); /* where chance comes from, in some of them */
}

uint32_t sandbox_enter(enum sandbox_role role, uint32_t parts)
{
	uint32_t there = SANDBOX_PRIVILEGES;

	parts &= SANDBOX_PARTS;
	sandbox_warm_up();
	if ((parts & SANDBOX_FILES) != 0)
		there |= sandbox_files(role);
	if ((parts & SANDBOX_CALLS) != 0)
		there |= sandbox_calls(role);
	return there;
}

void sandbox_say(uint32_t parts, char *out, uint32_t len)
{
	static const struct {
		uint32_t part;
		const char *name;
	} names[] = { { SANDBOX_PRIVILEGES, "privileges" },
		      { SANDBOX_FILES, "landlock" },
		      { SANDBOX_CALLS, "seccomp" } };
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if ((parts & names[i].part) != 0 && n < len)
			n += (size_t)snprintf(out + n, len - n, "%s%s", n == 0 ? "" : ", ",
					      names[i].name);
	}
}
