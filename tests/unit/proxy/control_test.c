#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/control.h"

static char *said;

static bool say(const char *json)
{
	size_t len;
	FILE *out = open_memstream(&said, &len);
	bool ok = control_say_status(json, out);

	(void)fclose(out);
	return ok;
}

static void forget(void)
{
	free(said);
}

TestSuite(control, .fini = forget);

static void has(const char *words)
{
	cr_expect_not_null(strstr(said, words), "expected \"%s\" in:\n%s", words, said);
}

Test(control, status_in_words)
{
	cr_assert(say(
		"{\"version\":\"1.2\",\"state\":\"serving\",\"uptime_seconds\":90061,"
		"\"processes\":[{\"role\":\"supervisor\",\"pid\":7,\"uptime_seconds\":65,"
		"\"protection\":[]},{\"role\":\"worker\",\"number\":0,\"pid\":8,"
		"\"uptime_seconds\":3700,\"protection\":[\"privileges\",\"seccomp\"],"
		"\"connections\":3},{\"role\":\"keeper\",\"pid\":null}],"
		"\"configuration\":{\"generation\":4,\"certificates\":2,"
		"\"first_expiry_time\":1798761600,\"last_reload\":{\"time\":0,"
		"\"outcome\":\"refused\",\"reason\":\"f: wrong\\u001b[2J\"}},"
		"\"connections\":{\"clients\":3,\"idle_to_servers\":1},"
		"\"listeners\":[{\"name\":\":443\",\"connections\":3,\"accepted\":9}],"
		"\"pools\":[{\"name\":\"app\",\"connections\":2,\"servers\":[{\"address\":"
		"\"a:1\",\"state\":\"down\",\"connections\":2,\"requests_active\":1,\"failures\":5}]}]}"));
	has("sallyport 1.2, serving, for 1 d 1 h\n");
	has("generation 4, 2 certificates, the first expires 2027-01-01 00:00:00Z\n");
	has("1970-01-01 00:00:00Z, refused\n               f: wrong?[2J\n");
	has("3 from clients, 1 kept to servers\n");
	has("  supervisor            7  1 min 5 s     not confined\n");
	has("  worker 0              8  1 h 1 min          3 connections, confined by privileges, "
	    "seccomp\n");
	has("  keeper         is down\n");
	has("  :443: 3 connections, 9 accepted\n");
	has("    a:1: down, 2 connections, 1 requests, 5 failures\n");
}

Test(control, what_lacks_is_no_fault)
{
	cr_assert(say("{\"configuration\":{\"last_reload\":null}}"));
	has("last reload    none\n");
}

Test(control, what_is_no_status_is_none)
{
	cr_expect_not(say("hello"));
	forget();
	said = NULL;
	cr_expect_not(say("[]"));
	forget();
	said = NULL;
	cr_expect_not(say("{\"configuration\":1}"));
}
