#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "tests/unit/conf/given.h"

/* One key at a place in a configuration that is right otherwise. */
#define TOP(json) "{" GIVEN_ALL "," json "}"
#define LISTENER(json) \
	"{\"listeners\":[{\"address\":\":443\",\"pool\":\"web\"," json "}]," GIVEN_POOLS "}"
#define TLS(json) LISTENER("\"tls\":{\"certificates\":[\"a.pem\"]," json "}")
#define POOL(json) \
	"{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":[\"127.0.0.1:8080\"]," json "}}}"
#define SERVERS(json) "{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":" json "}}}"

Test(errors, unknown_keys_come_with_the_nearest)
{
	given_refused("{" GIVEN_LISTENERS ",\"pools\":{\"web\":{\"servers\":[\"a:1\"],\"sevrers\":"
		      "[]}}}",
		      "/pools/web/sevrers", "unknown key \"sevrers\", did you mean \"servers\"?");
	given_refused(TOP("\"drain-timeout\":\"1s\""), "/drain-timeout",
		      "did you mean \"drain_timeout\"?");
	given_refused(TOP("\"Workers\":1"), "/Workers", "did you mean \"workers\"?");
	given_refused(TOP("\"zzz\":1"), "/zzz", "known here are \"listeners\", \"pools\"");
	given_refused(TOP("\"\":1"), "/", "unknown key \"\"");
	given_refused(TOP("\"a/b~c\":1"), "/a~1b~0c", "unknown key \"a/b~c\"");
}

Test(errors, keys_of_later_issues_are_unknown)
{
	given_refused(TOP("\"watch\":true"), "/watch", "unknown key");
	given_refused(TOP("\"log\":{\"access\":{\"sample\":1}}"), "/log/access/sample",
		      "unknown key");
	given_refused(LISTENER("\"tls\":{\"certificates\":[\"a\"],\"early_data\":true}"),
		      "/listeners/0/tls/early_data", "unknown key");
	given_refused(LISTENER("\"mode\":\"smtp\""), "/listeners/0/mode", "unknown value");
	given_refused(POOL("\"balance\":\"fastest\""), "/pools/web/balance",
		      "expected \"least_requests\", \"round_robin\", \"random\", \"hash\" or "
		      "\"first\"");
}

Test(errors, required_keys_are_named)
{
	cr_expect_eq(given_errors("{}"), 1);
	given_refused("{}", "", "required key \"listeners\" is missing");
	given_refused("{\"listeners\":[{\"pool\":\"web\"}]," GIVEN_POOLS "}", "/listeners/0",
		      "required key \"address\" is missing: expected an address such as \":443\"");
	given_refused("{\"listeners\":[{\"address\":\":1\"}]," GIVEN_POOLS "}", "/listeners/0",
		      "has no \"pool\", \"routes\" or \"sni_routes\": give it one of them");
	given_refused(LISTENER("\"tls\":{}"), "/listeners/0/tls",
		      "required key \"certificates\" is missing");
	given_refused(LISTENER("\"tls\":{\"certificates\":[{\"key\":\"k\"}]}"),
		      "/listeners/0/tls/certificates/0", "required key \"certificate\"");
	given_refused("{" GIVEN_LISTENERS ",\"pools\":{\"web\":{}}}", "/pools/web",
		      "required key \"servers\"");
	given_refused(SERVERS("[{}]"), "/pools/web/servers/0", "required key \"address\"");
}

Test(errors, wrong_types_say_what_was_expected_and_what_came)
{
	given_refused(TOP("\"drain_timeout\":30"), "/drain_timeout",
		      "expected a duration such as \"30s\", got number 30");
	given_refused(TOP("\"workers\":\"2\""), "/workers",
		      "expected a whole number from 1 to 256, got string \"2\"");
	given_refused(TOP("\"workers\":1.5"), "/workers", "got number 1.5");
	given_refused(TOP("\"workers\":null"), "/workers", "got null");
	given_refused(TOP("\"workers\":true"), "/workers", "got true");
	given_refused(TOP("\"user\":{}"), "/user", "expected a name, got an object");
	given_refused(TOP("\"limits\":[]"), "/limits", "expected an object, got an array");
	given_refused(TLS("\"strict_sni\":\"yes\""), "/listeners/0/tls/strict_sni",
		      "expected true or false, got string \"yes\"");
	given_refused(TLS("\"strict_sni\":0"), "/listeners/0/tls/strict_sni", "got number 0");
	given_refused(TLS("\"min_version\":1.2"), "/listeners/0/tls/min_version",
		      "expected \"1.2\" or \"1.3\", got number 1.2");
	given_refused(TLS("\"ciphers\":\"ECDHE\""), "/listeners/0/tls/ciphers",
		      "expected an array");
	given_refused(TLS("\"ciphers\":[1]"), "/listeners/0/tls/ciphers/0", "got number 1");
	given_refused(LISTENER("\"tls\":true"), "/listeners/0/tls", "expected an object, got true");
	given_refused(LISTENER("\"tls\":{\"certificates\":\"a.pem\"}"),
		      "/listeners/0/tls/certificates", "expected an array");
	given_refused(LISTENER("\"tls\":{\"certificates\":[1]}"), "/listeners/0/tls/certificates/0",
		      "expected a string or an object, got number 1");
	given_refused("{\"listeners\":{}," GIVEN_POOLS "}", "/listeners", "got an object");
	given_refused("{\"listeners\":[\"a:1\"]," GIVEN_POOLS "}", "/listeners/0",
		      "expected an object, got string \"a:1\"");
	given_refused("{\"listeners\":[{\"address\":443,\"pool\":\"web\"}]," GIVEN_POOLS "}",
		      "/listeners/0/address", "got number 443");
	given_refused("{\"listeners\":[{\"address\":[[]],\"pool\":\"web\"}]," GIVEN_POOLS "}",
		      "/listeners/0/address/0", "got an array");
	given_refused("{\"listeners\":[{\"address\":\":1\",\"pool\":0}]," GIVEN_POOLS "}",
		      "/listeners/0/pool", "expected the name of a pool, got number 0");
	given_refused("{" GIVEN_ALL ",\"$comment\":{}}", "/$comment", "got an object");
	given_refused(SERVERS("\"a:1\""), "/pools/web/servers", "expected an array");
}

Test(errors, a_map_must_be_an_object)
{
	/* The listener's pool cannot be found then, which is a second error. */
	cr_expect_eq(given_errors("{" GIVEN_LISTENERS ",\"pools\":[]}"), 2);
	cr_expect_eq(given_errors("{" GIVEN_LISTENERS ",\"pools\":[{}]}"), 2);
	cr_expect_eq(given_errors("{" GIVEN_LISTENERS "}"), 1);
}

Test(errors, numbers_and_durations_have_a_range)
{
	given_refused(TOP("\"workers\":0"), "/workers", "from 1 to 256, got number 0");
	given_refused(TOP("\"workers\":257"), "/workers", "from 1 to 256");
	given_refused(TOP("\"workers\":-1"), "/workers", "from 1 to 256");
	given_refused(TOP("\"limits\":{\"connections\":0}"), "/limits/connections", "from 1 to");
	given_refused(TOP("\"limits\":{\"connections_per_address\":-1}"),
		      "/limits/connections_per_address", "from 0 to");
	given_refused(POOL("\"connections\":{\"max\":9223372036854775807}"),
		      "/pools/web/connections/max", "from 0 to 10000000");
	given_refused(SERVERS("[{\"address\":\"a:1\",\"weight\":0}]"),
		      "/pools/web/servers/0/weight", "from 1 to 256");
	given_refused(SERVERS("[{\"address\":\"a:1\",\"weight\":257}]"),
		      "/pools/web/servers/0/weight", "from 1 to 256");
	given_refused(TOP("\"drain_timeout\":\"8d\""), "/drain_timeout",
		      "\"8d\" is out of range: expected \"0s\" to \"7d\"");
	given_refused(LISTENER("\"timeouts\":{\"handshake\":\"0s\"}"),
		      "/listeners/0/timeouts/handshake", "expected \"10ms\" to \"1h\"");
	given_refused(POOL("\"timeouts\":{\"connect\":\"9ms\"}"), "/pools/web/timeouts/connect",
		      "out of range");
	given_refused(POOL("\"timeouts\":{\"idle\":\"31d\"}"), "/pools/web/timeouts/idle",
		      "out of range");
	given_refused(TOP("\"drain_timeout\":\"30\""), "/drain_timeout",
		      "\"30\" is not a duration such as \"30s\"; units are ms, s, m, h, d");
	given_refused(TOP("\"drain_timeout\":\"\""), "/drain_timeout", "is not a duration");
	conf_free(given_parse(TOP("\"drain_timeout\":\"0s\"")));
	conf_free(given_parse(TOP("\"workers\":256")));
	conf_free(given_parse(SERVERS("[{\"address\":\"a:1\",\"weight\":256}]")));
}

Test(errors, choices_come_with_the_nearest)
{
	given_refused(LISTENER("\"mode\":\"htpp\""), "/listeners/0/mode",
		      "unknown value \"htpp\", did you mean \"http\"?: expected \"http\" or "
		      "\"tcp\"");
	given_refused(LISTENER("\"mode\":\"\""), "/listeners/0/mode", "unknown value \"\"");
	given_refused(TLS("\"min_version\":\"1.1\""), "/listeners/0/tls/min_version",
		      "expected \"1.2\" or \"1.3\"");
	given_refused(TOP("\"log\":{\"level\":\"warn\"}"), "/log/level",
		      "expected \"error\", \"warning\", \"info\" or \"debug\"");
}

Test(errors, empty_lists_and_texts_are_refused)
{
	given_refused("{\"listeners\":[]," GIVEN_POOLS "}", "/listeners", "is empty");
	given_refused("{\"listeners\":[{\"address\":[],\"pool\":\"web\"}]," GIVEN_POOLS "}",
		      "/listeners/0/address", "is empty");
	given_refused(LISTENER("\"tls\":{\"certificates\":[]}"), "/listeners/0/tls/certificates",
		      "is empty");
	given_refused(TLS("\"groups\":[]"), "/listeners/0/tls/groups", "is empty");
	given_refused(TLS("\"ciphers\":[]"), "/listeners/0/tls/ciphers", "is empty");
	given_refused(SERVERS("[]"), "/pools/web/servers", "is empty");
	given_refused(LISTENER("\"name\":\"\""), "/listeners/0/name", "is empty: expected a name");
	given_refused(LISTENER("\"name\":\"${EMPTY}\""), "/listeners/0/name", "is empty");
	given_refused(TLS("\"default_certificate\":\"\""), "/listeners/0/tls/default_certificate",
		      "is empty: expected a path");
	given_refused(TOP("\"admin\":{\"address\":\"\"}"), "/admin/address", "is empty");
}

Test(errors, variables_that_fail_are_named_at_their_place)
{
	given_refused(TOP("\"user\":\"${NO}\""), "/user", "environment variable \"NO\" is not set");
	given_refused(SERVERS("[\"${NO}:1\"]"), "/pools/web/servers/0", "\"NO\" is not set");
	given_refused(TOP("\"user\":\"${HOST\""), "/user", "without \"}\"");
	given_refused(LISTENER("\"name\":\"${BAD}\""), "/listeners/0/name", "UTF-8");
	given_refused(LISTENER("\"name\":\"${LINE}\""), "/listeners/0/name", "control character");
	given_refused(LISTENER("\"name\":\"${BIG}${BIG}\""), "/listeners/0/name", "longer than");
	given_refused(LISTENER("\"name\":\"${BIG}\""), "/listeners/0/name",
		      "is 3000 bytes long: at most 128 are allowed");
}

Test(errors, control_characters_are_refused)
{
	given_refused(LISTENER("\"name\":\"a\\nb\""), "/listeners/0/name", "control character");
	given_refused(LISTENER("\"name\":\"a\\u0085b\""), "/listeners/0/name", "control character");
	given_refused(TLS("\"default_certificate\":\"a\\u001b\""),
		      "/listeners/0/tls/default_certificate", "control character");
	cr_expect_eq(given_errors("{" GIVEN_ALL ",\"pools\":{\"a\\nb\":{\"servers\":[\"a:1\"]}}}"),
		     3);
}

Test(errors, texts_have_a_longest)
{
	char text[8192], name[130];

	memset(name, 'n', sizeof(name));
	name[129] = '\0';
	(void)snprintf(text, sizeof(text), LISTENER("\"name\":\"%s\""), name);
	given_refused(text, "/listeners/0/name", "is 129 bytes long: at most 128");
	name[128] = '\0';
	(void)snprintf(text, sizeof(text), LISTENER("\"name\":\"%s\""), name);
	conf_free(given_parse(text));
	(void)snprintf(text, sizeof(text), TOP("\"user\":\"%.33s\""), name);
	given_refused(text, "/user", "at most 32");
	(void)snprintf(text, sizeof(text), TLS("\"groups\":[\"%.65s\"]"), name);
	given_refused(text, "/listeners/0/tls/groups/0", "at most 64");
}

Test(errors, paths_have_a_longest)
{
	char text[8192], path[5000];

	memset(path, 'p', sizeof(path));
	path[4096] = '\0';
	(void)snprintf(text, sizeof(text), TOP("\"log\":{\"error\":\"%s\"}"), path);
	given_refused(text, "/log/error", "longer than the 4095 bytes");
	path[4090] = '\0';
	(void)snprintf(text, sizeof(text), TOP("\"log\":{\"error\":\"%s\"}"), path);
	given_refused(text, "/log/error", "as an absolute path this is longer");
	(void)snprintf(text, sizeof(text), TOP("\"log\":{\"error\":\"/%s\"}"), path);
	conf_free(given_parse(text));
	path[95] = '\0';
	(void)snprintf(text, sizeof(text), SERVERS("[\"unix:%s\"]"), path);
	given_refused(text, "/pools/web/servers/0", "107 bytes");
	path[90] = '\0';
	(void)snprintf(text, sizeof(text), SERVERS("[\"unix:%s\"]"), path);
	conf_free(given_parse(text));
	memset(path, 'p', sizeof(path));
	path[4085] = '\0';
	(void)snprintf(text, sizeof(text), SERVERS("[\"unix:%s\"]"), path);
	given_refused(text, "/pools/web/servers/0", "as an absolute path this is longer");
}

Test(errors, spellings_are_checked)
{
	given_refused(TOP("\"user\":\"-root\""), "/user", "does not belong there");
	given_refused(TOP("\"user\":\"a b\""), "/user", "does not belong there");
	given_refused(TOP("\"group\":\"a:b\""), "/group", "does not belong there");
	given_refused(TLS("\"ciphers\":[\"ALL:!aNULL\"]"), "/listeners/0/tls/ciphers/0",
		      "expected a cipher suite such as");
	given_refused(TLS("\"ciphers\":[\"ecdhe\"]"), "/listeners/0/tls/ciphers/0",
		      "does not belong there");
	given_refused(TLS("\"groups\":[\"X25519:P-256\"]"), "/listeners/0/tls/groups/0",
		      "expected a group such as");
	given_refused(TLS("\"groups\":[\"P-256\",\"X25519\",\"P-256\"]"),
		      "/listeners/0/tls/groups/2", "\"P-256\" is there twice");
	given_refused(TLS("\"ciphers\":[\"A\",\"A\"]"), "/listeners/0/tls/ciphers/1",
		      "is there twice");
	given_refused(POOL("\"tls\":{\"server_name\":\"a b\"}"), "/pools/web/tls/server_name",
		      "neither a host name nor an IP address");
	given_refused(SERVERS("[\"a\"]"), "/pools/web/servers/0", "expected \"host:port\"");
	given_refused(SERVERS("[\":80\"]"), "/pools/web/servers/0", "needs a host");
	given_refused(SERVERS("[{\"address\":\":80\"}]"), "/pools/web/servers/0/address",
		      "needs a host");
	given_refused(SERVERS("[\"unix:@x\"]"), "/pools/web/servers/0", "absolute path");
}

Test(errors, all_are_found_in_one_run)
{
	cr_expect_eq(given_errors("{\"workers\":0,\"user\":1,\"x\":1,\"listeners\":[{\"address\":"
				  "\"a\",\"pool\":\"nope\",\"mode\":\"x\",\"tls\":{\"certificates\""
				  ":[],\"min_version\":\"1.3\",\"max_version\":\"1.2\"}}],"
				  "\"pools\":{\"web\":{\"servers\":[\"a:1\",\"a:1\",1]}}}"),
		     10);
}

Test(errors, a_long_file_name_leaves_room_for_the_pointer)
{
	struct conf_source from = given_source();
	char file[1000], want[512];
	struct problems why;

	memset(file, 'f', sizeof(file));
	file[0] = '<';
	file[sizeof(file) - 1] = '\0';
	from.file = file;
	problems_init(&why);
	cr_assert_null(conf_parse(span_str(TOP("\"workers\":0")), &from, &why));
	(void)snprintf(want, sizeof(want), "...%s: /workers", file + sizeof(file) - 1 - 240);
	cr_expect_str_eq(why.list[0].where, want);
	problems_fini(&why);
}

Test(errors, a_long_key_cuts_the_pointer_and_nothing_else)
{
	char text[4096];
	size_t n = 0;

	n += (size_t)snprintf(text + n, sizeof(text) - n, "{" GIVEN_ALL ",\"");
	while (n < 3000)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "~/long");
	(void)snprintf(text + n, sizeof(text) - n, "\":{\"x\":1},\"workers\":0}");
	cr_expect_eq(given_errors(text), 2);
}
