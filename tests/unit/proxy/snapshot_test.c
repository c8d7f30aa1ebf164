#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/observe/metrics.h"
#include "proxy/process/plan.h"
#include "proxy/process/publication.h"
#include "proxy/process/resolve.h"
#include "proxy/process/snapshot_build.h"

static const char text[] =
	"{\"listeners\":[{\"name\":\"one\",\"address\":\":1\",\"pool\":\"a\",\"mode\":\"tcp\"},"
	"{\"name\":\"two\",\"address\":\"unix:/tmp/x\",\"pool\":\"b\",\"mode\":\"tcp\"}],"
	"\"pools\":{\"a\":{\"servers\":[\"127.0.0.1:1\",\"127.0.0.2:2\"]},"
	"\"b\":{\"servers\":[\"unix:/tmp/y\"]}},\"workers\":3,\"admin\":false}";

/* A source with something of everything. */
static struct {
	struct conf *conf;
	struct plan_socket sockets[2];
	struct server_addresses servers[3];
	struct span roots[2];
	struct snapshot_source source;
	struct problems why;
} made;

static void use_address(struct plan_socket *s, const char *name, const struct plan_address *a)
{
	(void)snprintf(s->text, sizeof(s->text), "%s", name);
	s->address = a->address;
	s->len = a->len;
}

static void make_source(void)
{
	struct conf_source from = { .file = "test.json", .folder = "/tmp" };
	struct plan_address a;

	problems_init(&made.why);
	made.conf = conf_parse(span_str(text), &from, &made.why);
	cr_assert_not_null(made.conf);
	cr_assert(resolve_literal("::", 1, &a));
	use_address(&made.sockets[0], ":1", &a);
	cr_assert(resolve_unix("/tmp/x", &a));
	use_address(&made.sockets[1], "unix:/tmp/x", &a);
	made.sockets[1].listener = 1;
	made.servers[0].num = 2;
	cr_assert(resolve_literal("127.0.0.1", 1, &made.servers[0].list[0]));
	cr_assert(resolve_literal("::1", 1, &made.servers[0].list[1]));
	/* The second one did not resolve. */
	made.servers[2].num = 1;
	cr_assert(resolve_unix("/tmp/y", &made.servers[2].list[0]));
	made.roots[0] = span_str("roots of a");
	made.source = (struct snapshot_source){
		.conf = made.conf,
		.file = "test.json",
		.sockets = made.sockets,
		.num_sockets = 2,
		.servers = made.servers,
		.index = span_str("an index"),
		.roots = made.roots,
		.num_certificates = 5,
		.first_expiry_s = 1234567,
		.workers = 3,
		.uid = 1,
		.gid = 2,
		.admin_on = true,
		.admin_default = true,
		.admin = made.sockets[1],
	};
}

static void drop_source(void)
{
	conf_free(made.conf);
	problems_fini(&made.why);
}

TestSuite(snapshot, .init = make_source, .fini = drop_source);

static void seal(int fd)
{
	cr_assert_eq(
		fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
		0);
}

static int build(void)
{
	int fd = snapshot_build(&made.source, &made.why);

	cr_assert_geq(fd, 0, "%s", made.why.num > 0 ? made.why.list[0].what : "");
	return fd;
}

/* A copy of a built snapshot in memory of exactly its size. */
static struct plan *build_copy(uint64_t *size)
{
	struct plan *copy;
	struct stat st;
	int fd = build();

	cr_assert_eq(fstat(fd, &st), 0);
	*size = (uint64_t)st.st_size;
	copy = malloc(*size);
	cr_assert_eq(pread(fd, copy, *size, 0), st.st_size);
	(void)close(fd);
	return copy;
}

Test(snapshot, what_is_built_is_read)
{
	struct snapshot *s;
	int fd = build();

	seal(fd);
	s = snapshot_open(fd, -1, &made.why);
	cr_assert_not_null(s, "%s", made.why.num > 0 ? made.why.list[0].what : "");
	cr_assert_lt(fcntl(fd, F_GETFD), 0);
	cr_assert_eq(s->conf->num_listeners, 2);
	cr_assert_str_eq(s->conf->listeners[1].name, "two");
	cr_assert_eq(s->plan->num_sockets, 2);
	cr_assert_str_eq(snapshot_socket(s, 0)->text, ":1");
	cr_assert_eq(snapshot_socket(s, 1)->listener, 1);
	cr_assert_eq(snapshot_socket(s, 1)->address.ss_family, AF_UNIX);
	cr_assert_str_eq(snapshot_listener(s, 1)->name, "two");
	cr_assert_eq(snapshot_listener(s, 1)->set, 1);
	cr_assert_str_eq(snapshot_pool(s, 0)->name, "a");
	cr_assert_eq(snapshot_pool(s, 0)->num_servers, 2);
	cr_assert_eq(snapshot_pool(s, 1)->first_server, 2);
	cr_assert_str_eq(snapshot_server(s, 0)->host, "127.0.0.1");
	cr_assert_eq(snapshot_server(s, 0)->num_addresses, 2);
	cr_assert_eq(snapshot_server(s, 1)->num_addresses, 0);
	cr_assert_eq(snapshot_server(s, 2)->pool, 1);
	cr_assert_eq(snapshot_server(s, 2)->first_address, 2);
	cr_assert_eq(snapshot_address(s, 1)->address.ss_family, AF_INET6);
	cr_assert_eq(snapshot_address(s, 2)->address.ss_family, AF_UNIX);
	cr_assert(span_eq(snapshot_index(s), span_str("an index")));
	cr_assert(span_eq(snapshot_roots(s, 0), span_str("roots of a")));
	cr_assert_eq(snapshot_roots(s, 1).n, 0);
	cr_assert_eq(s->plan->num_certificates, 5);
	cr_assert_eq(s->plan->first_expiry_s, 1234567);
	cr_assert_eq(s->plan->workers, 3);
	cr_assert_eq(s->plan->uid, 1);
	cr_assert_eq(s->plan->gid, 2);
	cr_assert_str_eq(s->plan->log_error, "stderr");
	cr_assert_str_eq(s->plan->log_access, "stdout");
	cr_assert_str_eq(s->plan->admin_text, "unix:/tmp/x");
	snapshot_unref(snapshot_ref(s));
	snapshot_unref(s);
	snapshot_unref(NULL);
}

Test(snapshot, without_seals_it_is_refused)
{
	cr_assert_null(snapshot_open(build(), -1, &made.why));
	cr_assert_eq(made.why.num_errors, 1);
}

Test(snapshot, keys_come_in_a_memory_of_their_own)
{
	int fd = build(), keys = memfd_create("keys", MFD_ALLOW_SEALING);
	struct snapshot *s;

	cr_assert_eq(write(keys, "secret", 6), 6);
	seal(fd);
	cr_assert_null(snapshot_open(dup(fd), dup(keys), &made.why));
	seal(keys);
	s = snapshot_open(fd, keys, &made.why);
	cr_assert_not_null(s);
	cr_assert_eq(s->keys_len, 6);
	cr_assert_eq(memcmp(s->keys, "secret", 6), 0);
	snapshot_unref(s);
}

static int freed;

static void free_owned(void *owned)
{
	freed += *(int *)owned;
}

Test(snapshot, the_last_reference_frees_what_is_attached)
{
	int fd = build(), one = 1;
	struct snapshot *s;

	seal(fd);
	s = snapshot_open(fd, -1, &made.why);
	s->owned = &one;
	s->owned_free = free_owned;
	cr_assert_eq(snapshot_ref(s), s);
	snapshot_unref(s);
	cr_assert_eq(freed, 0);
	snapshot_unref(s);
	cr_assert_eq(freed, 1);
}

Test(snapshot, plan_and_configuration_must_agree)
{
	static const char other[] = "{\"listeners\":[{\"address\":\":1\",\"pool\":\"a\"}],"
				    "\"pools\":{\"a\":{\"servers\":[\"127.0.0.1:1\"]}}}";
	uint64_t size;
	struct plan *p = build_copy(&size);
	int fd = memfd_create("other", MFD_ALLOW_SEALING);

	cr_assert_leq(sizeof(other), p->json_len);
	memset((char *)p + p->json_offset, ' ', p->json_len);
	memcpy((char *)p + p->json_offset, other, sizeof(other) - 1);
	cr_assert_null(plan_check(p, size));
	cr_assert_eq(write(fd, p, size), (ssize_t)size);
	seal(fd);
	cr_assert_null(snapshot_open(fd, -1, &made.why));
	cr_assert_str_eq(made.why.list[0].what, "its plan and its configuration differ");
	free(p);
}

Test(snapshot, a_name_that_does_not_fit_is_an_error)
{
	char long_name[300];
	struct conf_pool pools[2];

	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	memcpy(pools, made.conf->pools, sizeof(pools));
	pools[1].name = long_name;
	made.conf->pools = pools;
	cr_assert_eq(snapshot_build(&made.source, &made.why), -1);
	cr_assert_eq(made.why.num_errors, 1);
	cr_assert_not_null(strstr(made.why.list[0].where, "/pools/b"));
}

/* ---- damage */

#define DAMAGE(p, size, lvalue, value)                                               \
	do {                                                                         \
		__typeof__(lvalue) before = (lvalue);                                \
		(lvalue) = (__typeof__(lvalue))(value);                              \
		cr_expect_not_null(plan_check(p, size), "%s = %s", #lvalue, #value); \
		(lvalue) = before;                                                   \
		cr_assert_null(plan_check(p, size));                                 \
	} while (0)

Test(snapshot, a_damaged_head_is_refused)
{
	uint64_t size;
	struct plan *p = build_copy(&size);

	cr_assert_null(plan_check(p, size));
	cr_expect_not_null(plan_check(p, sizeof(*p) - 1));
	cr_expect_not_null(plan_check(p, size - 1));
	DAMAGE(p, size, p->magic, 0);
	DAMAGE(p, size, p->version, PLAN_VERSION + 1);
	DAMAGE(p, size, p->size, size + 1);
	DAMAGE(p, size, p->num_sockets, PLAN_MAX_SOCKETS + 1);
	DAMAGE(p, size, p->num_sockets, 100);
	DAMAGE(p, size, p->num_listeners, 200);
	DAMAGE(p, size, p->num_listeners, 1);
	DAMAGE(p, size, p->num_pools, 500);
	DAMAGE(p, size, p->num_pools, 1);
	DAMAGE(p, size, p->num_servers, 2);
	DAMAGE(p, size, p->num_servers, 4000);
	DAMAGE(p, size, p->num_addresses, 2);
	DAMAGE(p, size, p->num_addresses, PLAN_MAX_ADDRESSES);
	DAMAGE(p, size, p->sockets, 0);
	DAMAGE(p, size, p->sockets, p->sockets + 1);
	DAMAGE(p, size, p->listeners, size);
	DAMAGE(p, size, p->listeners, UINT64_MAX - 15);
	DAMAGE(p, size, p->pools, size - 16);
	DAMAGE(p, size, p->servers, 8);
	DAMAGE(p, size, p->addresses, UINT64_MAX);
	DAMAGE(p, size, p->json_offset, size);
	DAMAGE(p, size, p->json_len, size);
	DAMAGE(p, size, p->json_len, UINT64_MAX);
	DAMAGE(p, size, p->file_offset, 0);
	DAMAGE(p, size, p->file_len, 5000);
	DAMAGE(p, size, p->index_offset, p->index_offset + 1);
	DAMAGE(p, size, p->index_len, UINT64_MAX - p->index_offset);
	DAMAGE(p, size, p->workers, 0);
	DAMAGE(p, size, p->workers, CONF_MAX_WORKERS + 1);
	DAMAGE(p, size, p->log_level, CONF_LOG_DEBUG + 1);
	DAMAGE(p, size, p->drain_timeout_ns, -1);
	DAMAGE(p, size, p->admin_on, 2);
	DAMAGE(p, size, p->admin_default, 2);
	DAMAGE(p, size, p->admin_len, 3);
	DAMAGE(p, size, p->admin.ss_family, AF_PACKET);
	free(p);
}

/* Fills a text to its end, so that it has none. */
#define UNEND(p, size, array)                                          \
	do {                                                           \
		char before[sizeof(array)];                            \
		memcpy(before, (array), sizeof(before));               \
		memset((array), 'x', sizeof(before));                  \
		cr_expect_not_null(plan_check(p, size), "%s", #array); \
		memcpy((array), before, sizeof(before));               \
	} while (0)

Test(snapshot, a_text_without_end_is_refused)
{
	uint64_t size;
	struct plan *p = build_copy(&size);

	UNEND(p, size, p->log_error);
	UNEND(p, size, p->log_access);
	UNEND(p, size, p->admin_text);
	UNEND(p, size, plan_sockets(p)[1].text);
	UNEND(p, size, plan_listeners(p)[1].name);
	UNEND(p, size, plan_pools(p)[1].name);
	UNEND(p, size, plan_servers(p)[2].name);
	UNEND(p, size, plan_servers(p)[2].host);
	cr_assert_null(plan_check(p, size));
	free(p);
}

Test(snapshot, damaged_entries_are_refused)
{
	uint64_t size;
	struct plan *p = build_copy(&size);

	DAMAGE(p, size, plan_sockets(p)[1].listener, 2);
	DAMAGE(p, size, plan_sockets(p)[1].len, 200);
	DAMAGE(p, size, plan_sockets(p)[0].len, sizeof(struct sockaddr_in));
	DAMAGE(p, size, plan_sockets(p)[0].address.ss_family, AF_INET);
	DAMAGE(p, size, plan_listeners(p)[1].slot, METRICS_LISTENERS);
	DAMAGE(p, size, plan_pools(p)[0].slot, METRICS_POOLS);
	DAMAGE(p, size, plan_pools(p)[1].first_server, 4);
	DAMAGE(p, size, plan_pools(p)[1].num_servers, 2);
	DAMAGE(p, size, plan_pools(p)[1].num_servers, UINT32_MAX);
	DAMAGE(p, size, plan_pools(p)[0].roots_offset, size);
	DAMAGE(p, size, plan_pools(p)[0].roots_len, UINT64_MAX);
	DAMAGE(p, size, plan_servers(p)[0].pool, 2);
	DAMAGE(p, size, plan_servers(p)[0].slot, METRICS_SERVERS);
	DAMAGE(p, size, plan_servers(p)[0].first_address, 4);
	DAMAGE(p, size, plan_servers(p)[0].num_addresses, 4);
	DAMAGE(p, size, plan_servers(p)[2].num_addresses, UINT32_MAX);
	DAMAGE(p, size, plan_addresses(p)[0].len, 0);
	DAMAGE(p, size, plan_addresses(p)[0].address.ss_family, AF_UNSPEC);
	free(p);
}

Test(snapshot, an_address_must_be_whole)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/a" };
	uint32_t path = offsetof(struct sockaddr_un, sun_path);
	struct sockaddr_storage a = { .ss_family = AF_UNSPEC };

	memcpy(&a, &un, sizeof(un));
	cr_assert(plan_address_ok(&a, path + 3));
	cr_assert_not(plan_address_ok(&a, path + 2));
	cr_assert_not(plan_address_ok(&a, path));
	cr_assert_not(plan_address_ok(&a, sizeof(un) + 1));
	/* Abstract, relative and endless ones. */
	un.sun_path[0] = '\0';
	memcpy(&a, &un, sizeof(un));
	cr_assert_not(plan_address_ok(&a, path + 3));
	memset(un.sun_path, 'x', sizeof(un.sun_path));
	memcpy(&a, &un, sizeof(un));
	cr_assert_not(plan_address_ok(&a, sizeof(un)));
	un.sun_path[0] = '/';
	memcpy(&a, &un, sizeof(un));
	cr_assert_not(plan_address_ok(&a, sizeof(un)));
}

/* Reads everything that a plan says is there; a sanitizer watches. */
static unsigned read_all(const struct plan *p)
{
	const unsigned char *bytes = (const unsigned char *)p;
	unsigned sum = 0;

	for (uint32_t i = 0; i < p->num_sockets; i++)
		sum += (unsigned)strlen(plan_sockets(p)[i].text);
	for (uint32_t i = 0; i < p->num_listeners; i++)
		sum += (unsigned)strlen(plan_listeners(p)[i].name);
	for (uint32_t i = 0; i < p->num_pools; i++) {
		const struct plan_pool *pool = &plan_pools(p)[i];

		for (uint64_t k = 0; k < pool->roots_len; k++)
			sum += bytes[pool->roots_offset + k];
		for (uint32_t k = 0; k < pool->num_servers; k++)
			sum += plan_servers(p)[pool->first_server + k].slot;
	}
	for (uint32_t i = 0; i < p->num_servers; i++) {
		const struct plan_server *s = &plan_servers(p)[i];

		sum += plan_pools(p)[s->pool].slot + (unsigned)strlen(s->host);
		for (uint32_t k = 0; k < s->num_addresses; k++)
			sum += plan_addresses(p)[s->first_address + k].len;
	}
	for (uint64_t k = 0; k < p->json_len; k++)
		sum += bytes[p->json_offset + k];
	for (uint64_t k = 0; k < p->index_len; k++)
		sum += bytes[p->index_offset + k];
	return sum;
}

Test(snapshot, any_damage_is_refused_or_stays_inside)
{
	uint64_t size;
	struct plan *p = build_copy(&size);
	unsigned char *bytes = (unsigned char *)p, *good = malloc(size);
	unsigned seed = 1, passed = 0, sum = 0;

	memcpy(good, bytes, size);
	for (int i = 0; i < 20000; i++) {
		/* The head's numbers and the arrays, not the long texts. */
		size_t at = (size_t)rand_r(&seed) % (i % 2 == 0 ? 200 : size);
		size_t n = 1 + (size_t)rand_r(&seed) % 4;

		for (size_t k = at; k < at + n && k < size; k++)
			bytes[k] = (unsigned char)(rand_r(&seed) % 3 == 0 ? 0xff : rand_r(&seed));
		if (plan_check(p, size) == NULL) {
			passed++;
			sum += read_all(p);
		}
		memcpy(bytes, good, size);
	}
	cr_assert_gt(passed, 100);
	cr_assert_lt(passed, 19000);
	cr_assert_neq(sum, 0);
	free(good);
	free(p);
}

/* ---- as the supervisor holds it */

static int build_keys(void)
{
	int keys = memfd_create("keys", MFD_ALLOW_SEALING);

	cr_assert_eq(write(keys, "secret", 6), 6);
	return keys;
}

Test(snapshot, keys_for_a_keeper_can_be_wiped_and_are_no_workers)
{
	struct publication p;
	const char *why;
	char byte = 0;

	cr_assert(publication_take(&p, build(), build_keys(), &why), "%s", why);
	cr_assert(publication_seal(&p, &why), "%s", why);
	cr_assert_eq(pwrite(p.keys->fd, &byte, 1, 0), 1);
	cr_assert_neq(ftruncate(p.keys->fd, 1), 0);
	cr_assert_null(snapshot_open(dup(p.snapshot->fd), dup(p.keys->fd), &made.why));
	publication_fini(&p);
}

Test(snapshot, a_publication_is_filled_in_and_sealed)
{
	struct publication p;
	const char *why = "";
	struct snapshot *s;
	char byte = 0;

	cr_assert(publication_take(&p, build(), build_keys(), &why), "%s", why);
	cr_assert(p.plan->key_isolation);
	p.plan->key_isolation = 0;
	p.plan->generation = 9;
	plan_listeners(p.plan)[1].slot = 4;
	cr_assert(publication_seal(&p, &why), "%s", why);
	cr_assert_eq(p.plan->generation, 9);
	cr_assert_lt(pwrite(p.snapshot->fd, &byte, 1, 0), 0);
	cr_assert_lt(pwrite(p.keys->fd, &byte, 1, 0), 0);
	cr_assert_neq(ftruncate(p.snapshot->fd, 10), 0);
	s = snapshot_open(dup(p.snapshot->fd), dup(p.keys->fd), &made.why);
	cr_assert_not_null(s);
	cr_assert_eq(snapshot_listener(s, 1)->slot, 4);
	snapshot_unref(s);
	publication_fini(&p);
	publication_fini(&p);
}

Test(snapshot, what_is_no_snapshot_is_not_published)
{
	struct publication p;
	const char *why;
	int fd = memfd_create("zeros", MFD_ALLOW_SEALING);

	cr_assert_eq(ftruncate(fd, 100000), 0);
	cr_assert_not(publication_take(&p, fd, build_keys(), &why));
	cr_assert_not_null(why);
	cr_assert_lt(fcntl(fd, F_GETFD), 0);
	/* A file can be changed and cut off at any time. */
	cr_assert_not(publication_take(&p, open("/proc/self/exe", O_RDONLY), build_keys(), &why));
	/* One that somebody can still write to cannot be sealed. */
	fd = build();
	cr_assert(publication_take(&p, dup(fd), build_keys(), &why));
	cr_assert_neq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	cr_assert_not(publication_seal(&p, &why));
	publication_fini(&p);
	(void)close(fd);
}
