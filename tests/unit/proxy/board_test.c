#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/process/board.h"

enum { WORKERS = 3, FDS = WORKERS + 2 };

/* What another process would get. */
static void pass(const struct board *b, enum board_role role, unsigned worker, int *fds)
{
	int own[FDS];

	board_fds(b, role, worker, own);
	for (unsigned i = 0; i < FDS; i++)
		cr_assert_geq(fds[i] = dup(own[i]), 0);
}

static struct board *receive(const struct board *b, enum board_role role, unsigned worker)
{
	int fds[FDS];
	struct board *mine;

	pass(b, role, worker, fds);
	mine = board_map(role, worker, WORKERS, fds);
	cr_assert_not_null(mine);
	for (unsigned i = 0; i < FDS; i++)
		cr_assert(fcntl(fds[i], F_GETFD) == -1 && errno == EBADF);
	return mine;
}

Test(board, what_one_writes_the_others_read)
{
	struct board *b = board_new(WORKERS);
	struct board *worker, *steward;

	cr_assert_not_null(b);
	worker = receive(b, BOARD_WORKER, 1);
	steward = receive(b, BOARD_STEWARD, 0);
	cr_assert_eq(board_workers(steward), WORKERS);
	board_worker(worker, 1)->metrics.log_dropped = 11;
	board_steward(steward)->tails[2].tail = 12;
	board_supervisor(b)->metrics.generation = 13;
	board_worker(b, 2)->metrics.connections = 14;
	cr_assert_eq(board_worker(b, 1)->metrics.log_dropped, 11);
	cr_assert_eq(board_worker(steward, 1)->metrics.log_dropped, 11);
	cr_assert_eq(board_worker(steward, 0)->metrics.log_dropped, 0);
	cr_assert_eq(board_steward(worker)->tails[2].tail, 12);
	cr_assert_eq(board_supervisor(steward)->metrics.generation, 13);
	cr_assert_eq(board_worker(worker, 2)->metrics.connections, 14);
	board_free(worker);
	board_free(steward);
	board_free(b);
	board_free(NULL);
}

static void expect_access(enum board_role role, unsigned worker, unsigned writable)
{
	struct board *b = board_new(WORKERS);
	int fds[FDS];

	cr_assert_not_null(b);
	pass(b, role, worker, fds);
	for (unsigned i = 0; i < FDS; i++) {
		bool write = i == writable || role == BOARD_SUPERVISOR;
		void *map;

		cr_assert_eq(fcntl(fds[i], F_GETFL) & O_ACCMODE, write ? O_RDWR : O_RDONLY,
			     "set %u", i);
		map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 0);
		cr_assert_eq(map != MAP_FAILED, write, "set %u", i);
	}
	board_free(b);
}

Test(board, each_role_can_write_its_own_pages_only)
{
	expect_access(BOARD_WORKER, 0, 0);
	expect_access(BOARD_WORKER, 2, 2);
	expect_access(BOARD_STEWARD, 0, WORKERS);
	expect_access(BOARD_SUPERVISOR, 0, WORKERS + 1);
}

Test(board, another_user_cannot_open_a_reader_for_writing)
{
	struct board *b = board_new(WORKERS);
	int fds[FDS];
	pid_t child;
	int status;

	cr_assert_not_null(b);
	if (getuid() != 0)
		cr_skip_test("needs a second user");
	board_fds(b, BOARD_WORKER, 0, fds);
	child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) {
		char path[64];

		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[1]);
		if (setgid(65534) != 0 || setuid(65534) != 0)
			_exit(2);
		_exit(open(path, O_RDWR) < 0 && fchmod(fds[1], 0666) != 0 ? 0 : 1);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	board_free(b);
}

Test(board, memory_cannot_be_shortened)
{
	struct board *b = board_new(1);
	int fds[3];

	cr_assert_not_null(b);
	board_fds(b, BOARD_SUPERVISOR, 0, fds);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(ftruncate(fds[i], 0), -1);
		cr_assert_eq(errno, EPERM);
		cr_assert_eq(fcntl(fds[i], F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
	}
	board_free(b);
}

Test(board, untouched_pages_cost_nothing)
{
	struct board *b = board_new(2);
	struct stat st;
	int fds[4];

	cr_assert_not_null(b);
	board_fds(b, BOARD_SUPERVISOR, 0, fds);
	cr_assert_eq(fstat(fds[0], &st), 0);
	cr_assert_gt(st.st_size, RING_BYTES);
	cr_assert_eq(st.st_blocks, 0);
	board_worker(b, 0)->ring.head = 1;
	cr_assert_eq(fstat(fds[0], &st), 0);
	cr_assert_leq(st.st_blocks * 512, 65536);
	board_free(b);
}

/* A descriptor in the place of one of the board's. */
static void expect_refused(int strange, unsigned at)
{
	struct board *b = board_new(WORKERS);
	int fds[FDS];

	cr_assert_not_null(b);
	pass(b, BOARD_WORKER, 0, fds);
	(void)close(fds[at]);
	cr_assert_geq(fds[at] = dup(strange), 0);
	cr_assert_null(board_map(BOARD_WORKER, 0, WORKERS, fds));
	for (unsigned i = 0; i < FDS; i++)
		cr_assert(fcntl(fds[i], F_GETFD) == -1 && errno == EBADF);
	board_free(b);
}

Test(board, what_is_not_the_boards_is_refused)
{
	int unsealed = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int file = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct board *other = board_new(1);
	int fds[3];
	struct stat st;

	cr_assert_not_null(other);
	board_fds(other, BOARD_SUPERVISOR, 0, fds);
	cr_assert_eq(fstat(fds[0], &st), 0);
	cr_assert_eq(ftruncate(unsealed, st.st_size), 0);
	expect_refused(unsealed, 1); /* would be long enough */
	expect_refused(file, 1);
	expect_refused(fds[1], 1);	 /* of another size */
	expect_refused(fds[0], WORKERS); /* likewise */
	expect_refused(fds[0], WORKERS + 1);
	board_free(other);
}

Test(board, numbers_out_of_range_are_refused)
{
	struct board *b = board_new(WORKERS);
	int fds[FDS];

	cr_assert_not_null(b);
	pass(b, BOARD_WORKER, 0, fds);
	cr_assert_null(board_map(BOARD_WORKER, WORKERS, WORKERS, fds));
	pass(b, BOARD_WORKER, 0, fds);
	cr_assert_null(board_map(BOARD_STEWARD, 0, 0, fds));
	for (unsigned i = 2; i < FDS; i++)
		(void)close(fds[i]);
	board_free(b);
}

Test(board, the_largest_can_be_made)
{
	struct board *b = board_new(CONF_MAX_WORKERS);

	cr_assert_not_null(b);
	board_worker(b, CONF_MAX_WORKERS - 1)->metrics.generation = 1;
	cr_assert_eq(board_num_fds(CONF_MAX_WORKERS), CONF_MAX_WORKERS + 2);
	board_free(b);
}
