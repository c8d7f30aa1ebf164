/* Two threads share a ring as two processes do: one writes records of all sizes, one reads them
 * and checks every byte. Fails where one is torn, lost without being counted, or out of order. */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/observe/ring.h"

enum { RECORDS = 300000 };

struct shared {
	struct ring_head head;
	struct ring_tail tail;
	bool done;
	uint64_t dropped;
};

static size_t size_of(uint32_t n)
{
	return sizeof(n) + n * 2654435761u % (RING_RECORD_MAX - sizeof(n) + 1);
}

static void *writer(void *arg)
{
	struct shared *s = arg;
	uint8_t record[RING_RECORD_MAX];

	for (uint32_t i = 0; i < RECORDS; i++) {
		memset(record, (int)(i & 0xff), sizeof(record));
		memcpy(record, &i, sizeof(i));
		if (!ring_write(&s->head, &s->tail, span_of(record, size_of(i))))
			s->dropped++;
	}
	__atomic_store_n(&s->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static bool check(const uint8_t *record, size_t len, uint32_t *last)
{
	uint32_t n;

	if (len < sizeof(n))
		return false;
	memcpy(&n, record, sizeof(n));
	if (n >= RECORDS || len != size_of(n) || (*last != UINT32_MAX && n <= *last))
		return false;
	for (size_t i = sizeof(n); i < len; i++) {
		if (record[i] != (n & 0xff))
			return false;
	}
	*last = n;
	return true;
}

int main(void)
{
	struct shared *s = calloc(1, sizeof(*s));
	uint8_t record[RING_RECORD_MAX];
	uint32_t last = UINT32_MAX;
	uint64_t seen = 0;
	pthread_t thread;
	bool skipped;
	size_t len;

	if (s == NULL || pthread_create(&thread, NULL, writer, s) != 0)
		return 2;
	for (;;) {
		bool done = __atomic_load_n(&s->done, __ATOMIC_ACQUIRE);

		while (ring_read(&s->head, &s->tail, record, &len, &skipped)) {
			if (!check(record, len, &last)) {
				(void)fprintf(stderr, "torn record after %u\n", last);
				return 1;
			}
			seen++;
		}
		if (skipped) {
			(void)fprintf(stderr, "ring made no sense after %u\n", last);
			return 1;
		}
		if (done)
			break;
	}
	(void)pthread_join(thread, NULL);
	(void)printf("%llu read, %llu dropped\n", (unsigned long long)seen,
		     (unsigned long long)s->dropped);
	if (seen + s->dropped != RECORDS || seen == 0) {
		(void)fprintf(stderr, "records are missing\n");
		return 1;
	}
	free(s);
	return 0;
}
