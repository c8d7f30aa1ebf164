#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/demo/certificate.h"
#include "proxy/process/host.h"
#include "proxy/process/loader.h"
#include "proxy/process/loader_addresses.h"
#include "proxy/process/publication.h"
#include "proxy/process/resolve.h"

static char folder[64], file[128];
static struct problems why;

static void in_folder(char *out, size_t len, const char *name)
{
	(void)snprintf(out, len, "%s/%s", folder, name);
}

static void make_folder(void)
{
	char cert[128], key[128];

	(void)snprintf(folder, sizeof(folder), "/tmp/loader_test.XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	in_folder(file, sizeof(file), "c.json");
	in_folder(cert, sizeof(cert), "a.crt");
	in_folder(key, sizeof(key), "a.key");
	cr_assert(demo_certificate("a.example", cert, key));
	problems_init(&why);
}

static void remove_folder(void)
{
	static const char *const names[] = { "a.crt", "a.key", "c.json" };
	char path[128];

	for (size_t i = 0; i < 3; i++) {
		in_folder(path, sizeof(path), names[i]);
		(void)unlink(path);
	}
	(void)rmdir(folder);
	problems_fini(&why);
}

TestSuite(loader, .init = make_folder, .fini = remove_folder);

static void write_file(const char *text)
{
	FILE *f = fopen(file, "w");

	cr_assert_not_null(f);
	cr_assert_geq(fputs(text, f), 0);
	cr_assert_eq(fclose(f), 0);
}

#define TLS "\"tls\":{\"certificates\":[{\"certificate\":\"a.crt\",\"key\":\"a.key\"}]}"
#define ONE(extra)                                                                                 \
	"{\"listeners\":[{\"name\":\"l\",\"address\":\"127.0.0.1:8443\",\"pool\":\"p\"," TLS "}]," \
	"\"pools\":{\"p\":{\"servers\":[\"127.0.0.1:1\"]}},\"admin\":false,"                       \
	"\"key_isolation\":false" extra "}"

static bool load(const char *text, const struct conf *previous, struct loaded *out)
{
	struct loader_source from = { .file = file, .folder = folder, .text_fd = -1 };

	write_file(text);
	return loader_load(&from, previous, out, &why);
}

/* Opens what was loaded as a worker would. */
static struct snapshot *open_loaded(const struct loaded *made)
{
	struct publication p;
	struct snapshot *s;
	const char *wrong;

	cr_assert(publication_take(&p, made->snapshot_fd, made->keys_fd, &wrong), "%s", wrong);
	cr_assert(publication_seal(&p, &wrong), "%s", wrong);
	s = snapshot_open(dup(p.snapshot->fd), p.plan->key_isolation ? -1 : dup(p.keys->fd), &why);
	publication_fini(&p);
	cr_assert_not_null(s);
	return s;
}

/* A problem of that place and words was found. */
static void expect_problem(const char *where, const char *what)
{
	for (size_t i = 0; i < why.num; i++) {
		if (strstr(why.list[i].where, where) != NULL &&
		    strstr(why.list[i].what, what) != NULL)
			return;
	}
	problems_print(&why, stderr);
	cr_assert_fail("no problem at \"%s\" with \"%s\"", where, what);
}

Test(loader, files_become_a_snapshot)
{
	struct loaded made;
	struct snapshot *s;

	cr_assert(load(ONE(",\"workers\":5"), NULL, &made));
	cr_assert_eq(why.num, 0, "%s", why.num > 0 ? why.list[0].what : "");
	cr_assert_eq(made.num_listeners, 1);
	cr_assert_eq(made.num_pools, 1);
	cr_assert_eq(made.num_certificates, 1);
	s = open_loaded(&made);
	cr_assert_eq(s->plan->workers, 5);
	cr_assert_eq(s->plan->num_certificates, 1);
	cr_assert_gt(s->plan->first_expiry_s, 0);
	cr_assert_eq(s->plan->admin_on, 0);
	cr_assert_eq(s->plan->num_sockets, 1);
	cr_assert_str_eq(snapshot_socket(s, 0)->text, "127.0.0.1:8443");
	cr_assert_str_eq(snapshot_server(s, 0)->host, "127.0.0.1");
	cr_assert_eq(snapshot_server(s, 0)->num_addresses, 1);
	cr_assert_gt(s->keys_len, 100);
	/* Keys never come near the snapshot. */
	cr_assert_null(memmem(s->plan, s->plan->size, "PRIVATE", 7));
	snapshot_unref(s);
}

Test(loader, a_text_without_a_file)
{
	struct loader_source from = { .file = "command line", .folder = folder };
	struct loaded made;
	int fd = memfd_create("text", MFD_CLOEXEC);

	from.text_fd = fd;
	cr_assert_eq(write(fd, ONE(""), strlen(ONE(""))), (ssize_t)strlen(ONE("")));
	/* Each time from its start. */
	for (int i = 0; i < 2; i++) {
		cr_assert(loader_load(&from, NULL, &made, &why));
		snapshot_unref(open_loaded(&made));
	}
	(void)close(fd);
}

Test(loader, every_error_is_found_in_one_run)
{
	struct loaded made;

	cr_assert_not(
		load("{\"listeners\":[{\"name\":\"l\",\"address\":\"127.0.0.1:1\",\"pool\":\"p\","
		     "\"tls\":{\"certificates\":[\"none.pem\"]}}],"
		     "\"pools\":{\"p\":{\"servers\":[\"127.0.0.1:1\"],"
		     "\"tls\":{\"ca\":\"none.ca\"}}},"
		     "\"user\":\"no-such-user\",\"group\":\"no-such-group\"}",
		     NULL, &made));
	expect_problem("none.pem", "");
	expect_problem("none.ca", "");
	expect_problem("/user", "no-such-user");
	expect_problem("/group", "no-such-group");
}

Test(loader, what_a_worker_could_not_use_is_refused)
{
	struct loaded made;

	cr_assert_not(load("{\"listeners\":[{\"address\":\"127.0.0.1:1\",\"pool\":\"p\",\"tls\":{"
			   "\"certificates\":[{\"certificate\":\"a.crt\",\"key\":\"a.key\"}],"
			   "\"ciphers\":[\"NO-SUCH-CIPHER\"]}}],"
			   "\"pools\":{\"p\":{\"servers\":[\"127.0.0.1:1\"]}},\"admin\":false}",
			   NULL, &made));
	expect_problem("c.json: /listeners/0/tls", "NO-SUCH-CIPHER");
}

Test(loader, a_file_that_cannot_be_read)
{
	struct loader_source from = { .file = "/nonexistent", .folder = "/", .text_fd = -1 };
	struct loaded made;

	cr_assert_not(loader_load(&from, NULL, &made, &why));
	expect_problem("/nonexistent", "cannot be opened: No such file");
	from.file = "/tmp";
	cr_assert_not(loader_load(&from, NULL, &made, &why));
	expect_problem("/tmp", "cannot be read: Is a directory");
	from.file = "/dev/zero";
	cr_assert_not(loader_load(&from, NULL, &made, &why));
	expect_problem("/dev/zero", "larger than the 16 MiB");
}

Test(loader, keys_taken_at_start_must_not_change)
{
	struct loaded made;
	struct snapshot *s;

	cr_assert(load(ONE(",\"workers\":5"), NULL, &made));
	s = open_loaded(&made);
	cr_assert_not(load(ONE(",\"workers\":6"), s->conf, &made));
	expect_problem("/workers", "");
	cr_assert(load(ONE(",\"workers\":5,\"drain_timeout\":\"1s\""), s->conf, &made));
	snapshot_unref(open_loaded(&made));
	snapshot_unref(s);
}

Test(loader, a_name_that_does_not_resolve_is_a_warning)
{
	struct loaded made;
	struct snapshot *s;

	/* RFC 6761: no name server knows it. */
	cr_assert(load("{\"listeners\":[{\"address\":\"127.0.0.1:1\",\"pool\":\"p\"}],"
		       "\"pools\":{\"p\":{\"servers\":[\"x.invalid:1\"]}},\"admin\":false}",
		       NULL, &made));
	cr_assert_eq(why.num_errors, 0);
	expect_problem("/pools/p/servers/0", "x.invalid");
	expect_problem("/pools/p", "none of its servers");
	s = open_loaded(&made);
	cr_assert(s->plan->key_isolation && s->keys == NULL);
	cr_assert_eq(snapshot_server(s, 0)->num_addresses, 0);
	cr_assert_str_eq(snapshot_server(s, 0)->host, "x.invalid");
	snapshot_unref(s);
}

Test(loader, an_address_to_listen_on_must_be_there_and_once)
{
	struct loaded made;

	cr_assert_not(load("{\"listeners\":[{\"address\":\"x.invalid:1\",\"pool\":\"p\"},"
			   "{\"name\":\"two\",\"address\":[\"localhost:2\",\"127.0.0.1:2\"],"
			   "\"pool\":\"p\"}],"
			   "\"pools\":{\"p\":{\"servers\":[\"127.0.0.1:1\"]}},\"admin\":false}",
			   NULL, &made));
	expect_problem("/listeners/0", "there is nothing to listen on");
	expect_problem("/listeners/1", "listens already");
}

Test(loader, where_the_admin_socket_is_without_configuration)
{
	char path[108];

	cr_assert(loader_default_admin(true, NULL, path, sizeof(path)));
	cr_assert_str_eq(path, "/run/sallyport/admin.sock");
	cr_assert(loader_default_admin(false, "/run/user/7", path, sizeof(path)));
	cr_assert_str_eq(path, "/run/user/7/sallyport/admin.sock");
	cr_assert_not(loader_default_admin(false, NULL, path, sizeof(path)));
	cr_assert_not(loader_default_admin(false, "", path, sizeof(path)));
	cr_assert_not(loader_default_admin(false, "relative", path, sizeof(path)));
	cr_assert_not(loader_default_admin(false, "/run/user/7", path, 20));
}

/* ---- names and machine */

Test(resolve, literals_and_texts)
{
	struct plan_address a;
	char text[128];

	cr_assert(resolve_literal("10.1.2.3", 80, &a));
	cr_assert_eq(a.len, sizeof(struct sockaddr_in));
	resolve_text(&a, text, sizeof(text));
	cr_assert_str_eq(text, "10.1.2.3:80");
	cr_assert(resolve_literal("2001:db8::1", 443, &a));
	resolve_text(&a, text, sizeof(text));
	cr_assert_str_eq(text, "[2001:db8::1]:443");
	resolve_set_port(&a, 444);
	resolve_text(&a, text, sizeof(text));
	cr_assert_str_eq(text, "[2001:db8::1]:444");
	cr_assert(resolve_unix("/run/x", &a));
	resolve_text(&a, text, sizeof(text));
	cr_assert_str_eq(text, "unix:/run/x");
	cr_assert_not(resolve_literal("localhost", 1, &a));
	cr_assert_not(resolve_literal("1.2.3", 1, &a));
	cr_assert_not(resolve_literal("[::1]", 1, &a));
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	cr_assert_not(resolve_unix(text, &a));
	cr_assert_not(resolve_unix("", &a));
}

Test(resolve, many_names_at_once_each_with_its_own_answer)
{
	struct resolve_name names[] = { { .host = "localhost" }, { .host = "192.0.2.7" },
					{ .host = "x.invalid" }, { .host = "localhost" },
					{ .host = "y.invalid" }, { .host = "::1" } };
	char text[64];

	cr_assert(resolve_names(names, 6, INT64_C(9000000000)));
	cr_assert_geq(names[0].num, 1);
	cr_assert_eq(names[3].num, names[0].num);
	cr_assert_eq(memcmp(names[0].list, names[3].list, sizeof(names[0].list)), 0);
	for (uint32_t i = 1; i < names[0].num; i++)
		cr_assert_neq(
			memcmp(&names[0].list[i - 1], &names[0].list[i], sizeof(names[0].list[i])),
			0);
	cr_assert_eq(names[1].num, 1);
	resolve_text(&names[1].list[0], text, sizeof(text));
	cr_assert_str_eq(text, "192.0.2.7:0");
	cr_assert_eq(names[2].num, 0);
	cr_assert_not_null(names[2].error);
	cr_assert_eq(names[4].num, 0);
	cr_assert_eq(names[5].num, 1);
	cr_assert_str_eq(names[5].host, "::1");
}

Test(resolve, a_deadline_that_is_over_leaves_names_without_address)
{
	struct resolve_name names[64];
	char hosts[64][32];

	for (int i = 0; i < 64; i++) {
		(void)snprintf(hosts[i], sizeof(hosts[i]), "n%d.invalid", i);
		names[i] = (struct resolve_name){ .host = hosts[i] };
	}
	cr_assert(resolve_names(names, 64, 0));
	for (int i = 0; i < 64; i++) {
		cr_assert_eq(names[i].num, 0);
		cr_assert_not_null(names[i].error);
	}
	cr_assert(resolve_names(names, 0, 0));
}

/* Writes a file below the test's folder, making one folder on the way. */
static void put_file(const char *name, const char *text)
{
	char path[256], *slash;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	for (slash = strchr(path + strlen(folder) + 1, '/'); slash != NULL;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(path, 0755);
		*slash = '/';
	}
	f = fopen(path, "w");
	cr_assert_not_null(f);
	(void)fputs(text, f);
	(void)fclose(f);
}

static void drop_tree(void)
{
	static const char *const names[] = { "groups",
					     "cpu.max",
					     "a/b/cpu.max",
					     "a/cpu.max",
					     "a/b",
					     "a",
					     "cpu,cpuacct/g/cpu.cfs_quota_us",
					     "cpu,cpuacct/g/cpu.cfs_period_us",
					     "cpu,cpuacct/g",
					     "cpu,cpuacct" };
	char path[256];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		in_folder(path, sizeof(path), names[i]);
		(void)remove(path);
	}
	remove_folder();
}

TestSuite(host, .init = make_folder, .fini = drop_tree);

static uint32_t quota(void)
{
	char groups[128];

	in_folder(groups, sizeof(groups), "groups");
	return host_quota_cpus(groups, folder);
}

Test(host, cpus_by_cgroup_version_2)
{
	put_file("groups", "0::/a/b\n");
	put_file("a/b/cpu.max", "max 100000\n");
	cr_assert_eq(quota(), 0);
	put_file("a/b/cpu.max", "250000 100000\n");
	cr_assert_eq(quota(), 3);
	/* A group above may grant less. */
	put_file("a/cpu.max", "100000 100000\n");
	cr_assert_eq(quota(), 1);
	put_file("a/cpu.max", "nonsense\n");
	cr_assert_eq(quota(), 3);
	put_file("a/b/cpu.max", "1000 100000\n");
	cr_assert_eq(quota(), 1);
	put_file("a/b/cpu.max", "9000000000000000000 1\n");
	cr_assert_eq(quota(), CONF_MAX_WORKERS);
	put_file("a/b/cpu.max", "100 0\n");
	cr_assert_eq(quota(), 0);
}

Test(host, cpus_by_cgroup_version_1)
{
	put_file("groups", "5:memory:/m\n3:cpu,cpuacct:/g\n1:cpuset:/\n");
	put_file("cpu,cpuacct/g/cpu.cfs_period_us", "100000\n");
	put_file("cpu,cpuacct/g/cpu.cfs_quota_us", "150000\n");
	cr_assert_eq(quota(), 2);
	put_file("cpu,cpuacct/g/cpu.cfs_quota_us", "-1\n");
	cr_assert_eq(quota(), 0);
	put_file("cpu,cpuacct/g/cpu.cfs_quota_us", "");
	cr_assert_eq(quota(), 0);
}

Test(host, odd_lists_of_groups_are_no_limit)
{
	cr_assert_eq(quota(), 0);
	put_file("groups", "");
	cr_assert_eq(quota(), 0);
	put_file("groups", "no colon\n1:only one\n::\n0::/../../etc\n");
	cr_assert_eq(quota(), 0);
	/* In a container only the top may be there. */
	put_file("groups", "0::/not/here\n");
	put_file("cpu.max", "200000 100000\n");
	cr_assert_eq(quota(), 2);
	cr_assert_geq(host_cpus(), 1);
	cr_assert_leq(host_cpus(), CONF_MAX_WORKERS);
}

Test(host, users_by_name_and_number)
{
	struct conf c = { .user = "root" };
	uint32_t uid = 9, gid = 9;

	cr_assert(host_identity(&c, true, "f", &uid, &gid, &why));
	cr_assert_eq(uid, 0);
	cr_assert_eq(gid, 0);
	expect_problem("f: /user", "as root");
	c.user = "nobody";
	cr_assert(host_identity(&c, true, "f", &uid, &gid, &why));
	cr_assert_neq(uid, 0);
	c.user = "4242";
	c.group = "4343";
	cr_assert(host_identity(&c, true, "f", &uid, &gid, &why));
	cr_assert_eq(uid, 4242);
	cr_assert_eq(gid, 4343);
	c.user = "4294967295"; /* would mean "unchanged" */
	c.group = NULL;
	cr_assert_not(host_identity(&c, true, "f", &uid, &gid, &why));
	expect_problem("f: /user", "4294967295");
	c.user = "12x";
	cr_assert_not(host_identity(&c, true, "f", &uid, &gid, &why));
	c.user = NULL;
	cr_assert(host_identity(&c, true, "f", &uid, &gid, &why));
	cr_assert_neq(uid, 0);
	cr_assert(host_identity(&c, false, "f", &uid, &gid, &why));
	cr_assert_eq(uid, geteuid());
}
