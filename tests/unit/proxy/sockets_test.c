#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/process/endpoint.h"
#include "proxy/process/listen.h"
#include "proxy/process/resolve.h"
#include "proxy/process/sockets.h"

enum { WORKERS = 3, MAX_SOCKETS = 4 };

static char folder[64], path[108];

static void make_folder(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/sockets_test.XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/s", folder);
}

static void remove_folder(void)
{
	(void)unlink(path);
	(void)rmdir(folder);
}

TestSuite(listen, .init = make_folder, .fini = remove_folder);
TestSuite(sockets, .init = make_folder, .fini = remove_folder);

/* A port that was free a moment ago. */
static uint16_t free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(a);

	cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	(void)close(fd);
	return ntohs(a.sin_port);
}

static int connect_to(const char *host, uint16_t port)
{
	struct plan_address a;
	int fd;

	cr_assert(resolve_literal(host, port, &a));
	fd = socket(a.address.ss_family, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&a.address, a.len) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

static int connect_path(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

static struct listen_how how_for(struct plan_address *a)
{
	return (struct listen_how){ .address = &a->address, .len = a->len, .mode = 0640 };
}

Test(listen, a_second_instance_is_refused)
{
	struct plan_address a;
	struct listen_how how;
	int first[WORKERS], second[WORKERS];
	char why[256] = "";

	cr_assert(resolve_literal("127.0.0.1", free_port(), &a));
	how = how_for(&a);
	cr_assert(listen_tcp(&how, WORKERS, first, why, sizeof(why)), "%s", why);
	cr_assert_not(listen_tcp(&how, WORKERS, second, why, sizeof(why)));
	cr_assert_not_null(strstr(why, "address already in use"));
	cr_assert_not_null(strstr(why, "another instance"));
	for (unsigned i = 0; i < WORKERS; i++) {
		cr_assert_eq(fcntl(first[i], F_GETFD), FD_CLOEXEC);
		cr_assert_neq(fcntl(first[i], F_GETFL) & O_NONBLOCK, 0);
		(void)close(first[i]);
	}
	cr_assert(listen_tcp(&how, 1, second, why, sizeof(why)), "%s", why);
	(void)close(second[0]);
}

Test(listen, both_families_and_one)
{
	uint16_t port = free_port();
	struct plan_address a;
	struct listen_how how;
	char why[256];
	int fd, peer;

	cr_assert(resolve_literal("::", port, &a));
	how = how_for(&a);
	how.both_families = true;
	cr_assert(listen_tcp(&how, 1, &fd, why, sizeof(why)), "%s", why);
	cr_assert_geq(peer = connect_to("127.0.0.1", port), 0);
	(void)close(peer);
	(void)close(fd);
	how.both_families = false;
	if (!listen_tcp(&how, 1, &fd, why, sizeof(why)))
		return; /* this machine has no IPv6 */
	cr_assert_lt(connect_to("127.0.0.1", port), 0);
	(void)close(fd);
}

Test(listen, an_address_of_another_machine_is_refused)
{
	struct plan_address a;
	struct listen_how how;
	char why[256];
	int fd;

	cr_assert(resolve_literal("192.0.2.1", 1234, &a)); /* RFC 5737 */
	how = how_for(&a);
	cr_assert_not(listen_tcp(&how, 1, &fd, why, sizeof(why)));
	cr_assert_not_null(strstr(why, "no interface"));
}

static int listen_path(struct listen_file *file, char *why, size_t why_len)
{
	struct plan_address a;
	struct listen_how how;

	cr_assert(resolve_unix(path, &a));
	how = how_for(&a);
	return listen_unix(&how, file, why, why_len);
}

Test(listen, unix_socket_with_its_mode_until_it_is_unlinked)
{
	struct listen_file file;
	char why[256];
	struct stat st;
	int fd = listen_path(&file, why, sizeof(why));

	cr_assert_geq(fd, 0, "%s", why);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode, (mode_t)(S_IFSOCK | 0640));
	listen_unlink(&file);
	cr_assert_neq(stat(path, &st), 0);
	listen_unlink(&file);
	(void)close(fd);
}

Test(listen, a_stale_socket_goes_and_a_living_one_stays)
{
	struct listen_file file, second;
	char why[256];
	int fd = listen_path(&file, why, sizeof(why)), peer;

	cr_assert_lt(listen_path(&second, why, sizeof(why)), 0);
	cr_assert_not_null(strstr(why, "somebody answers"));
	cr_assert_geq(peer = connect_path(), 0);
	(void)close(peer);
	(void)close(fd);
	cr_assert_geq(fd = listen_path(&second, why, sizeof(why)), 0, "%s", why);
	cr_assert_geq(peer = connect_path(), 0);
	(void)close(peer);
	(void)close(fd);
}

Test(listen, a_file_that_another_put_there_is_not_removed)
{
	struct listen_file file, second;
	char why[256];
	int fd = listen_path(&file, why, sizeof(why)), other, peer;

	cr_assert_eq(unlink(path), 0);
	cr_assert_geq(other = listen_path(&second, why, sizeof(why)), 0, "%s", why);
	listen_unlink(&file);
	cr_assert_geq(peer = connect_path(), 0);
	(void)close(peer);
	(void)close(other);
	(void)close(fd);
}

Test(listen, a_file_that_is_no_socket_stays)
{
	struct listen_file file;
	char why[256];
	struct stat st;
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	cr_assert_lt(listen_path(&file, why, sizeof(why)), 0);
	cr_assert_not_null(strstr(why, "no socket"));
	cr_assert_eq(stat(path, &st), 0);
	cr_assert(S_ISREG(st.st_mode));
	(void)close(fd);
}

Test(listen, a_missing_folder_is_named)
{
	struct listen_file file;
	char why[256];

	(void)snprintf(path, sizeof(path), "%s/none/s", folder);
	cr_assert_lt(listen_path(&file, why, sizeof(why)), 0);
	cr_assert_not_null(strstr(why, "folder does not exist"));
}

/* ---- the set */

/* A plan with sockets alone. */
static struct {
	struct plan plan;
	struct plan_socket sockets[MAX_SOCKETS];
} wanted;

static void want(unsigned n, const char *name, const struct plan_address *a)
{
	struct plan_socket *s = &wanted.sockets[n];

	*s = (struct plan_socket){ .address = a->address, .len = a->len };
	(void)snprintf(s->text, sizeof(s->text), "%s", name);
	wanted.plan.num_sockets = n + 1;
	wanted.plan.sockets = (uint64_t)((char *)wanted.sockets - (char *)&wanted.plan);
}

static void want_tcp(unsigned n, const char *host, uint16_t port)
{
	struct plan_address a;
	char name[64];

	cr_assert(resolve_literal(host, port, &a));
	resolve_text(&a, name, sizeof(name));
	want(n, name, &a);
}

static void want_unix(unsigned n)
{
	struct plan_address a;
	char name[128];

	(void)snprintf(name, sizeof(name), "unix:%s", path);
	cr_assert(resolve_unix(path, &a));
	want(n, name, &a);
}

static bool prepare(struct sockets *s, struct problems *why)
{
	problems_init(why);
	return sockets_prepare(s, &wanted.plan, why);
}

static struct listening *find(struct sockets *s, uint32_t id)
{
	struct listening *l;

	TAILQ_FOREACH(l, &s->list, entry) {
		if (l->id == id)
			return l;
	}
	return NULL;
}

Test(sockets, an_address_that_stays_keeps_id_and_sockets)
{
	uint16_t a = free_port(), b = free_port();
	struct problems why;
	struct sockets s;
	struct listening *kept;
	uint32_t id;
	int fd;

	sockets_init(&s, WORKERS);
	want_tcp(0, "127.0.0.1", a);
	cr_assert(prepare(&s, &why));
	sockets_commit(&s);
	id = wanted.sockets[0].id;
	kept = find(&s, id);
	cr_assert_eq(kept->num, WORKERS);
	cr_assert_neq(sockets_handle(kept, 0), sockets_handle(kept, 2));
	fd = sockets_handle(kept, 0)->fd;

	want_tcp(0, "127.0.0.1", b);
	want_tcp(1, "127.0.0.1", a);
	cr_assert(prepare(&s, &why));
	cr_assert_eq(find(&s, wanted.sockets[0].id)->state, SOCKETS_NEW);
	sockets_commit(&s);
	cr_assert_eq(wanted.sockets[1].id, id);
	cr_assert_neq(wanted.sockets[0].id, id);
	cr_assert_eq(sockets_handle(find(&s, id), 0)->fd, fd);

	want_tcp(0, "127.0.0.1", b);
	cr_assert(prepare(&s, &why));
	sockets_commit(&s);
	cr_assert_eq(find(&s, id)->state, SOCKETS_LEAVING);
	cr_assert_geq(fd = connect_to("127.0.0.1", a), 0);
	(void)close(fd);
	sockets_close_leaving(&s);
	cr_assert_null(find(&s, id));
	cr_assert_lt(connect_to("127.0.0.1", a), 0);
	sockets_fini(&s);
	cr_assert_lt(connect_to("127.0.0.1", b), 0);
}

Test(sockets, one_failure_takes_back_all_that_is_new)
{
	uint16_t a = free_port(), b = free_port(), c = free_port();
	struct plan_address taken;
	struct listen_how how;
	struct problems why;
	struct sockets s;
	char words[256];
	int fd, peer;

	cr_assert(resolve_literal("127.0.0.1", c, &taken));
	how = how_for(&taken);
	cr_assert(listen_tcp(&how, 1, &fd, words, sizeof(words)));
	sockets_init(&s, WORKERS);
	want_tcp(0, "127.0.0.1", a);
	cr_assert(prepare(&s, &why));
	sockets_commit(&s);
	want_tcp(1, "127.0.0.1", b);
	want_tcp(2, "127.0.0.1", c);
	want_tcp(3, "192.0.2.1", c);
	cr_assert_not(prepare(&s, &why));
	cr_assert_eq(why.num_errors, 2); /* each of them is named */
	problems_fini(&why);
	cr_assert_lt(connect_to("127.0.0.1", b), 0);
	cr_assert_geq(peer = connect_to("127.0.0.1", a), 0);
	(void)close(peer);
	(void)close(fd);
	sockets_fini(&s);
}

Test(sockets, a_port_may_move_to_an_address_that_overlaps)
{
	uint16_t port = free_port();
	struct plan_address any;
	struct problems why;
	struct sockets s;
	char name[16];
	int peer;

	sockets_init(&s, WORKERS);
	(void)snprintf(name, sizeof(name), ":%u", port);
	cr_assert(resolve_literal("::", port, &any));
	want(0, name, &any);
	cr_assert(prepare(&s, &why));
	sockets_commit(&s);
	want_tcp(0, "127.0.0.1", port);
	cr_assert(prepare(&s, &why), "%s", why.num > 0 ? why.list[0].what : "");
	sockets_commit(&s);
	sockets_close_leaving(&s);
	cr_assert_geq(peer = connect_to("127.0.0.1", port), 0);
	(void)close(peer);
	sockets_fini(&s);
}

Test(sockets, a_unix_socket_is_one_for_all)
{
	struct problems why;
	struct listening *l;
	struct sockets s;
	struct stat st;
	int peer;

	sockets_init(&s, WORKERS);
	want_unix(0);
	cr_assert(prepare(&s, &why));
	sockets_commit(&s);
	l = find(&s, wanted.sockets[0].id);
	cr_assert(l->shared);
	cr_assert_eq(sockets_handle(l, 0), sockets_handle(l, 2));
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0666);
	cr_assert_geq(peer = connect_path(), 0);
	(void)close(peer);
	sockets_fini(&s);
	cr_assert_neq(stat(path, &st), 0);
}

/* ---- the admin endpoint */

static struct plan admin_plan(bool is_default)
{
	struct plan p = { .admin_on = 1, .admin_default = is_default };
	struct plan_address a;

	cr_assert(resolve_unix(path, &a));
	p.admin = a.address;
	p.admin_len = a.len;
	(void)snprintf(p.admin_text, sizeof(p.admin_text), "unix:%s", path);
	return p;
}

Test(sockets, the_admin_socket_is_private_and_its_folder_is_made)
{
	struct endpoint admin, second;
	struct problems why;
	struct plan p;
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/made/s", folder);
	p = admin_plan(false);
	problems_init(&why);
	cr_assert(endpoint_open(&admin, &p, &why));
	cr_assert_not_null(admin.socket);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	/* A second one does not take it, though nobody answers yet. */
	cr_assert_not(endpoint_open(&second, &p, &why));
	cr_assert_not_null(strstr(why.list[0].what, "another instance holds"));
	problems_fini(&why);
	endpoint_fini(&admin);
	endpoint_fini(&second);
	*strrchr(path, '/') = '\0';
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0755);
	cr_assert_eq(rmdir(path), 0);
}

Test(sockets, only_a_configured_admin_address_must_be_had)
{
	struct endpoint admin;
	struct plan p = admin_plan(true);
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	struct problems why;

	problems_init(&why);
	cr_assert(endpoint_open(&admin, &p, &why));
	cr_assert_null(admin.socket);
	cr_assert_eq(why.num_warnings, 1);
	p.admin_default = 0;
	cr_assert_not(endpoint_open(&admin, &p, &why));
	cr_assert_eq(why.num_errors, 1);
	p.admin_on = 0;
	cr_assert(endpoint_open(&admin, &p, &why));
	cr_assert_null(admin.socket);
	problems_fini(&why);
	(void)close(fd);
}
