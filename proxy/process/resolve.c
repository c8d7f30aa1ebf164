#include "proxy/process/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

enum { RESOLVE_THREADS = 16 };

/* ---- addresses */

bool resolve_literal(const char *host, uint16_t port, struct plan_address *out)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
		*out = (struct plan_address){ .len = sizeof(v4) };
		memcpy(&out->address, &v4, sizeof(v4));
		return true;
	}
	if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
		*out = (struct plan_address){ .len = sizeof(v6) };
		memcpy(&out->address, &v6, sizeof(v6));
		return true;
	}
	return false;
}

bool resolve_unix(const char *path, struct plan_address *out)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t n = strlen(path);

	if (n == 0 || n >= sizeof(a.sun_path))
		return false;
	memcpy(a.sun_path, path, n + 1);
	*out = (struct plan_address){ .len = (uint32_t)(offsetof(struct sockaddr_un, sun_path) + n +
							1) };
	memcpy(&out->address, &a, sizeof(a));
	return true;
}

void resolve_set_port(struct plan_address *a, uint16_t port)
{
	/* The port lies at the same place in both families. */
	if (a->address.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&a->address)->sin6_port = htons(port);
	else if (a->address.ss_family == AF_INET)
		((struct sockaddr_in *)&a->address)->sin_port = htons(port);
}

void resolve_text(const struct plan_address *a, char *out, size_t len)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a->address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a->address;
	char host[INET6_ADDRSTRLEN] = "?";

	switch (a->address.ss_family) {
	case AF_INET:
		(void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		(void)snprintf(out, len, "%s:%u", host, (unsigned)ntohs(v4->sin_port));
		break;
	case AF_INET6:
		(void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		(void)snprintf(out, len, "[%s]:%u", host, (unsigned)ntohs(v6->sin6_port));
		break;
	default:
		(void)snprintf(out, len, "unix:%s",
			       ((const struct sockaddr_un *)&a->address)->sun_path);
		break;
	}
}

/* Servers answer in any order; ours shall not change from load to load. */
static int resolve_compare(const void *a, const void *b)
{
	const struct plan_address *x = a, *y = b;

	if (x->address.ss_family != y->address.ss_family)
		return x->address.ss_family < y->address.ss_family ? -1 : 1;
	return memcmp(&x->address, &y->address, sizeof(x->address));
}

/* ---- asking */

/* Lives until the last of asker and threads is done with it. */
struct resolve_job {
	pthread_mutex_t lock;
	pthread_cond_t progress;
	unsigned refs;
	size_t num, next, finished;
	struct resolve_entry {
		char *host;
		bool finished;
		struct resolve_name answer;
	} entries[];
};

static const char *resolve_error(int code)
{
	switch (code) {
	case EAI_AGAIN:
		return "no name server answers";
	case EAI_MEMORY:
		return "out of memory";
	case EAI_NONAME:
	case EAI_NODATA:
		return "there is no such name";
	default:
		return "name servers refuse it";
	}
}

static void resolve_ask(const char *host, struct resolve_name *answer)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	uint32_t num = 0;
	int code = getaddrinfo(host, NULL, &hints, &found);

	*answer = (struct resolve_name){ .error = "it has no address" };
	if (code != 0) {
		answer->error = resolve_error(code);
		return;
	}
	for (struct addrinfo *a = found; a != NULL && num < PLAN_MAX_ADDRESSES_EACH;
	     a = a->ai_next) {
		struct plan_address *to = &answer->list[num];
		bool seen = false;

		if ((a->ai_family != AF_INET && a->ai_family != AF_INET6) ||
		    a->ai_addrlen > sizeof(to->address))
			continue;
		to->len = (uint32_t)a->ai_addrlen;
		memcpy(&to->address, a->ai_addr, a->ai_addrlen);
		for (uint32_t i = 0; i < num && !seen; i++)
			seen = resolve_compare(&answer->list[i], to) == 0;
		if (seen)
			*to = (struct plan_address){ .len = 0 };
		else
			num++;
	}
	freeaddrinfo(found);
	qsort(answer->list, num, sizeof(answer->list[0]), resolve_compare);
	answer->num = num;
}

/* Called with the lock held; gives it up. */
static void resolve_job_unref(struct resolve_job *job)
{
	bool last = --job->refs == 0;

	(void)pthread_mutex_unlock(&job->lock);
	if (!last)
		return;
	(void)pthread_cond_destroy(&job->progress);
	(void)pthread_mutex_destroy(&job->lock);
	for (size_t i = 0; i < job->num; i++)
		free(job->entries[i].host);
	free(job);
}

static void *resolve_thread(void *arg)
{
	struct resolve_job *job = arg;

	(void)pthread_mutex_lock(&job->lock);
	while (job->next < job->num) {
		struct resolve_entry *e = &job->entries[job->next++];
		struct resolve_name answer;

		(void)pthread_mutex_unlock(&job->lock);
		resolve_ask(e->host, &answer);
		(void)pthread_mutex_lock(&job->lock);
		e->answer = answer;
		e->finished = true;
		job->finished++;
		(void)pthread_cond_signal(&job->progress);
	}
	resolve_job_unref(job);
	return NULL;
}

static struct resolve_job *resolve_job_new(const char *const *hosts, size_t num)
{
	struct resolve_job *job = calloc(1, sizeof(*job) + num * sizeof(job->entries[0]));
	pthread_condattr_t clock;

	if (job == NULL)
		return NULL;
	for (; job->num < num; job->num++) {
		if ((job->entries[job->num].host = strdup(hosts[job->num])) == NULL) {
			while (job->num > 0)
				free(job->entries[--job->num].host);
			free(job);
			return NULL;
		}
	}
	job->refs = 1;
	(void)pthread_mutex_init(&job->lock, NULL);
	(void)pthread_condattr_init(&clock);
	(void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&job->progress, &clock);
	(void)pthread_condattr_destroy(&clock);
	return job;
}

/* Asks for all, then waits for the deadline or the last answer; returns with the lock held. */
static void resolve_job_run(struct resolve_job *job, int64_t timeout_ns)
{
	struct timespec until;
	pthread_t thread;
	size_t started = 0;
	int waited = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	timeout_ns += until.tv_nsec;
	until.tv_sec += (time_t)(timeout_ns / 1000000000);
	until.tv_nsec = (long)(timeout_ns % 1000000000);
	(void)pthread_mutex_lock(&job->lock);
	for (size_t i = 0; i < RESOLVE_THREADS && i < job->num; i++) {
		job->refs++;
		if (pthread_create(&thread, NULL, resolve_thread, job) != 0) {
			job->refs--;
			break;
		}
		(void)pthread_detach(thread);
		started++;
	}
	if (started == 0) {
		/* Without threads, the asker asks; then there is no deadline but the resolver's. */
		job->refs++;
		(void)pthread_mutex_unlock(&job->lock);
		(void)resolve_thread(job);
		(void)pthread_mutex_lock(&job->lock);
	}
	while (job->finished < job->num && waited != ETIMEDOUT)
		waited = pthread_cond_timedwait(&job->progress, &job->lock, &until);
	job->next = job->num;
}

static int resolve_compare_hosts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Takes what the job found over into `names`; `hosts` are its sorted, distinct hosts. */
static void resolve_take(const struct resolve_job *job, const char *const *hosts,
			 struct resolve_name *names, size_t num)
{
	for (size_t i = 0; i < num; i++) {
		const char *host = names[i].host;
		const char *const *at;

		if (names[i].num > 0)
			continue;
		at = bsearch(&host, hosts, job->num, sizeof(*hosts), resolve_compare_hosts);
		names[i].error = "it took too long";
		if (at == NULL || !job->entries[at - hosts].finished)
			continue;
		names[i] = job->entries[at - hosts].answer;
		names[i].host = host;
	}
}

bool resolve_names(struct resolve_name *names, size_t num, int64_t timeout_ns)
{
	const char **hosts = calloc(num + 1, sizeof(*hosts));
	struct resolve_job *job;
	size_t num_hosts = 0, distinct = 0;

	if (hosts == NULL)
		return false;
	for (size_t i = 0; i < num; i++) {
		names[i].num = resolve_literal(names[i].host, 0, &names[i].list[0]) ? 1 : 0;
		if (names[i].num == 0)
			hosts[num_hosts++] = names[i].host;
	}
	qsort(hosts, num_hosts, sizeof(*hosts), resolve_compare_hosts);
	for (size_t i = 0; i < num_hosts; i++) {
		if (distinct == 0 || strcmp(hosts[distinct - 1], hosts[i]) != 0)
			hosts[distinct++] = hosts[i];
	}
	if ((job = resolve_job_new(hosts, distinct)) == NULL) {
		free(hosts);
		return false;
	}
	resolve_job_run(job, timeout_ns);
	resolve_take(job, hosts, names, num);
	resolve_job_unref(job);
	free(hosts);
	return true;
}
