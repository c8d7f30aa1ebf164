/* The log writer's thread while workers write (threads stand in for them), logs are reopened,
 * names change, the metrics are read and the steward says things. Fails where a line is lost. */

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "proxy/observe/exposition.h"
#include "proxy/observe/journal.h"
#include "proxy/observe/logwriter.h"

enum { WORKERS = 3, RECORDS = 20000, ROUNDS = 200 };

struct worker {
	struct ring_head head;
	struct ring_tail tail;
	struct metrics_worker metrics;
	uint32_t number;
};

static void put_request(struct journal *j, uint32_t i)
{
	static const char path[] = "/a/path/of/some/length";
	struct record_request r;

	record_request_start(&r);
	r.peer_family = AF_UNIX;
	record_request_put(&r, RECORD_TEXT_PATH, span_of(path, i % sizeof(path)));
	journal_request(j, &r);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct journal j = { .head = &w->head,
			     .tail = &w->tail,
			     .dropped = &w->metrics.log_dropped,
			     .worker = w->number,
			     .access = true,
			     .level = CONF_LOG_INFO };

	for (uint32_t i = 0; i < RECORDS; i++) {
		struct record_connection c = { .type = RECORD_CONNECTION,
					       .client_family = AF_UNIX };

		if (i % 2 == 0)
			journal_connection(&j, &c);
		else
			put_request(&j, i);
		metrics_add(&w->metrics.listeners[0].accepted, 1);
		metrics_observe(&w->metrics.listeners[0].handshake, i);
	}
	return NULL;
}

static struct names *names_for(int round)
{
	struct names *names = names_new(NULL);
	char name[32];

	(void)snprintf(name, sizeof(name), "listener-%d", round);
	if (names == NULL || !names_set_listener(names, 0, name) || !names_seal(names))
		exit(2);
	return names;
}

static size_t count_lines(int fd)
{
	size_t n = 0;
	char buf[65536];
	ssize_t got;

	(void)lseek(fd, 0, SEEK_SET);
	while ((got = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < got; i++)
			n += buf[i] == '\n';
	}
	return n;
}

static void disturb(struct logwriter *w, struct exposition_source *from, int access)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct names *names = names_for(i);
		size_t len;

		logwriter_set_names(w, names,
				    (struct logwriter_style){ CONF_LOG_INFO, CONF_LOG_JSON });
		logwriter_set_logs(w, open("/dev/null", O_WRONLY | O_CLOEXEC), dup(access));
		logwriter_say(w, CONF_LOG_INFO, "round %d", i);
		from->names = names;
		free(exposition_render(from, EXPOSITION_PROMETHEUS, &len));
		from->names = NULL;
		names_unref(names);
		(void)nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
	}
}

int main(void)
{
	static const struct metrics_supervisor supervisor;
	static struct metrics_steward steward;
	struct worker *workers = calloc(WORKERS, sizeof(*workers));
	const struct metrics_worker *metrics[WORKERS];
	struct logwriter_ring rings[WORKERS];
	struct exposition_source from = { .workers = metrics,
					  .num_workers = WORKERS,
					  .supervisor = &supervisor,
					  .steward = &steward,
					  .version = "1",
					  .crypto = "x" };
	pthread_t threads[WORKERS];
	int access = memfd_create("access", MFD_CLOEXEC);
	struct logwriter *w;
	uint64_t dropped = 0;
	size_t lines;

	if (workers == NULL || access < 0)
		return 2;
	for (uint32_t i = 0; i < WORKERS; i++) {
		workers[i].number = i;
		rings[i] = (struct logwriter_ring){ &workers[i].head, &workers[i].tail };
		metrics[i] = &workers[i].metrics;
	}
	if ((w = logwriter_new(rings, WORKERS, &steward)) == NULL)
		return 2;
	for (uint32_t i = 0; i < WORKERS; i++) {
		if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0)
			return 2;
	}
	disturb(w, &from, access);
	for (uint32_t i = 0; i < WORKERS; i++)
		(void)pthread_join(threads[i], NULL);
	if (!logwriter_finish(w, INT64_C(60000000000)))
		return 1;
	for (uint32_t i = 0; i < WORKERS; i++)
		dropped += workers[i].metrics.log_dropped;
	lines = count_lines(access);
	(void)printf("%zu lines, %llu dropped\n", lines, (unsigned long long)dropped);
	free(workers);
	return lines + dropped == WORKERS * RECORDS && steward.log_dropped == 0 ? 0 : 1;
}
