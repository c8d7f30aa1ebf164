#include "proxy/process/signers.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certs/keeper_area.h"
#include "certs/key_store.h"
#include "conf/conf.h"
#include "conf/must.h"

/* What is shared with a worker. */
struct area {
	unsigned refs; /* under the lock of all */
	unsigned number;
	pthread_mutex_t lock; /* to answer */
	struct keeper_end end;
	void *memory;
	int asked_fd, answered_fd;
	int alive_fd;	      /* its other end is closed when the worker has ended */
	unsigned num_refused; /* under the lock of all */
};

struct signers {
	struct key_store *store;
	signers_refused *refused;
	void *refused_arg;
	int epoll_fd, wake_fd;
	pthread_mutex_t lock; /* of what follows */
	struct area *areas[CONF_MAX_WORKERS];
	unsigned num_areas; /* places that were ever taken */
	unsigned next;	    /* whose turn it is */
	unsigned num_sleeping;
};

static void notify(int fd)
{
	(void)eventfd_write(fd, 1); /* it counts up to 2^64: it is never full */
}

/* ---- areas */

static void area_free(struct area *a)
{
	if (a->memory != MAP_FAILED)
		(void)munmap(a->memory, keeper_area_size());
	(void)close(a->asked_fd);
	(void)close(a->answered_fd);
	(void)close(a->alive_fd);
	(void)pthread_mutex_destroy(&a->lock);
	free(a);
}

/* Under the lock. */
static void area_unref(struct area *a)
{
	if (a != NULL && --a->refs == 0)
		area_free(a);
}

/* Owns the descriptors. */
static struct area *area_new(unsigned number, const int fds[SIGNERS_FDS])
{
	struct area *a = calloc(1, sizeof(*a));
	struct stat st;

	if (a == NULL || pthread_mutex_init(&a->lock, NULL) != 0) {
		for (int i = 0; i < SIGNERS_FDS; i++)
			(void)close(fds[i]);
		free(a);
		return NULL;
	}
	a->refs = 1;
	a->number = number;
	a->asked_fd = fds[1];
	a->answered_fd = fds[2];
	a->alive_fd = fds[3];
	a->memory = MAP_FAILED;
	if (fstat(fds[0], &st) == 0 && st.st_size == (off_t)keeper_area_size())
		a->memory = mmap(NULL, keeper_area_size(), PROT_READ | PROT_WRITE, MAP_SHARED,
				 fds[0], 0);
	(void)close(fds[0]);
	if (a->memory == MAP_FAILED) {
		area_free(a);
		return NULL;
	}
	keeper_end_init(&a->end, a->memory);
	return a;
}

bool signers_join(struct signers *s, unsigned number, const int fds[SIGNERS_FDS])
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	struct area *a;
	bool ok;

	if (number >= CONF_MAX_WORKERS) {
		for (int i = 0; i < SIGNERS_FDS; i++)
			(void)close(fds[i]);
		errno = EINVAL;
		return false;
	}
	if ((a = area_new(number, fds)) == NULL)
		return false;
	MUST(pthread_mutex_lock(&s->lock) == 0);
	/* Closing alone does not take it out while somebody else has it, too. */
	if (s->areas[number] != NULL)
		(void)epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, s->areas[number]->asked_fd, NULL);
	area_unref(s->areas[number]);
	s->areas[number] = a;
	if (number >= s->num_areas)
		s->num_areas = number + 1;
	ok = epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, a->asked_fd, &event) == 0;
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	return ok;
}

/* ---- signing */

/* Under the lock: the next request, fairly among workers. The area is the caller's to unref. */
static struct area *next_request(struct signers *s, struct keeper_request *r)
{
	for (unsigned i = 0; i < s->num_areas; i++) {
		struct area *a = s->areas[s->next];

		s->next = (s->next + 1) % s->num_areas;
		if (a != NULL && a->num_refused < SIGNERS_MAX_REFUSED && keeper_asked(&a->end, r)) {
			a->refs++;
			return a;
		}
	}
	return NULL;
}

/* Under the lock. */
static bool has_requests(const struct signers *s)
{
	for (unsigned i = 0; i < s->num_areas; i++) {
		const struct area *a = s->areas[i];

		if (a != NULL && a->num_refused < SIGNERS_MAX_REFUSED &&
		    keeper_has_request(&a->end))
			return true;
	}
	return false;
}

static void refuse(struct signers *s, struct area *a)
{
	unsigned count;

	MUST(pthread_mutex_lock(&s->lock) == 0);
	count = ++a->num_refused;
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	if (count <= SIGNERS_MAX_REFUSED)
		s->refused(s->refused_arg, a->number, count);
}

static void answer(struct signers *s, struct area *a, const struct keeper_request *r)
{
	struct span message = span_of(r->message, r->len);
	struct keeper_answer to = { .slot = r->slot, .generation = r->generation };
	enum key_role role = key_message_role(r->algorithm, message);
	unsigned roles = key_store_roles(s->store, r->key);
	bool wake = false;

	/* A key that is gone is nobody's fault. */
	if (role == 0 || (roles != 0 && (roles & role) == 0)) {
		to.verdict = KEEPER_REFUSED;
		refuse(s, a);
	} else {
		to.len = (uint16_t)key_store_sign(s->store, r->key, r->algorithm, message,
						  to.signature);
		to.verdict = to.len > 0 ? KEEPER_SIGNED : KEEPER_FAILED;
	}
	MUST(pthread_mutex_lock(&a->lock) == 0);
	(void)keeper_answer(&a->end, &to, &wake); /* no room: it asked for more than it takes */
	MUST(pthread_mutex_unlock(&a->lock) == 0);
	if (wake)
		notify(a->answered_fd);
	/* A kernel that preempts lazily lets a worker in at the next system call, or not before the
	 * next tick. */
	if (keys_is_dear(r->algorithm))
		(void)sched_yield();
}

/* Waits until somebody asks, or is woken by another one who found more than it can do. */
static void sleep_a_while(struct signers *s)
{
	struct epoll_event event;

	s->num_sleeping++;
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	(void)epoll_wait(s->epoll_fd, &event, 1, -1);
	MUST(pthread_mutex_lock(&s->lock) == 0);
	s->num_sleeping--;
}

static void *signer(void *arg)
{
	struct signers *s = arg;

	MUST(pthread_mutex_lock(&s->lock) == 0);
	for (;;) {
		struct keeper_request r;
		struct area *a = next_request(s, &r);
		bool more;

		if (a == NULL) {
			sleep_a_while(s);
			continue;
		}
		more = s->num_sleeping > 0 && has_requests(s);
		MUST(pthread_mutex_unlock(&s->lock) == 0);
		if (more)
			notify(s->wake_fd);
		answer(s, a, &r);
		MUST(pthread_mutex_lock(&s->lock) == 0);
		area_unref(a);
	}
	return NULL;
}

/* ---- beginning */

static bool start(struct signers *s, unsigned num_threads)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->epoll_fd < 0 || s->wake_fd < 0 ||
	    epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->wake_fd, &event) != 0)
		return false;
	for (unsigned i = 0; i < num_threads && i < SIGNERS_MAX_THREADS; i++) {
		pthread_t thread;

		if ((errno = pthread_create(&thread, NULL, signer, s)) != 0)
			return i > 0; /* fewer do as well */
		(void)pthread_detach(thread);
	}
	return true;
}

struct signers *signers_new(struct key_store *store, unsigned num_threads, signers_refused *refused,
			    void *arg)
{
	struct signers *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	*s = (struct signers){ .store = store,
			       .refused = refused,
			       .refused_arg = arg,
			       .epoll_fd = -1,
			       .wake_fd = -1 };
	if ((errno = pthread_mutex_init(&s->lock, NULL)) == 0 && start(s, num_threads))
		return s;
	if (s->epoll_fd >= 0)
		(void)close(s->epoll_fd);
	if (s->wake_fd >= 0)
		(void)close(s->wake_fd);
	free(s);
	return NULL;
}

void signers_outlive(struct signers *s)
{
	/* Nobody else adds or takes away any more. */
	for (unsigned i = 0; i < s->num_areas; i++) {
		struct pollfd end = { .fd = s->areas[i] == NULL ? -1 : s->areas[i]->alive_fd };

		while (end.fd >= 0 && poll(&end, 1, -1) < 0 && errno == EINTR)
			;
	}
}
